//! Which messages of a source a replay is about.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use bridge_core::event::{Key, Op, SiteId};

use super::subject::Subject;

/// Which messages a replay is about: those that pass every filter that is set, and any one value of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Codes of reasons.
    pub reasons: Vec<String>,
    /// Keys of entities.
    pub keys: Vec<Key>,
    /// Names of events.
    pub event_ids: Vec<Uuid>,
    /// Sites that accepted the writes.
    pub origins: Vec<SiteId>,
    /// What was done.
    pub ops: Vec<Op>,
    /// From this instant on: the event's own timestamp, or when the message was first seen if it is no event.
    pub since: Option<DateTime<Utc>>,
    /// Before this instant, of the same time.
    pub until: Option<DateTime<Utc>>,
}

impl Filter {
    /// Whether a message that lies there for `reason` may pass. Known before its body is looked at.
    pub fn admits_reason(&self, reason: &str) -> bool {
        self.reasons.is_empty() || self.reasons.iter().any(|wanted| wanted == reason)
    }

    /// Whether a message passes. One that is no event has no key, name, origin or operation, and so passes no filter by
    /// these.
    pub fn admits(&self, subject: &Subject) -> bool {
        let event = subject.event.as_ref().ok();
        let time = event.map(|event| event.timestamp.utc).or(subject.first_seen);
        self.admits_reason(&subject.reason)
            && any(&self.keys, event.map(|event| &event.key))
            && any(&self.event_ids, event.map(|event| &event.id))
            && any(&self.origins, event.map(|event| &event.origin))
            && any(&self.ops, event.map(|event| &event.op))
            && self.since.is_none_or(|since| time.is_some_and(|time| time >= since))
            && self.until.is_none_or(|until| time.is_some_and(|time| time < until))
    }
}

fn any<T: PartialEq>(wanted: &[T], given: Option<&T>) -> bool {
    wanted.is_empty() || given.is_some_and(|given| wanted.contains(given))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bridge_core::{
        envelope,
        reason::{Reason, Refusal},
    };

    fn subject(event: bool) -> Subject {
        let body = r#"{"event_id":"01936d6e-8a3c-7c61-9d0b-0f3a5a3c9e11","source_region":"aws:us-east-1","op_type":"delete","payload":{"id":"k"},"timestamp":"2026-11-21T01:00:00Z"}"#;
        let refused = Err(Refusal::new(Reason::NotJson, "no"));
        Subject {
            reason: "not_json".to_owned(),
            first_seen: Some("2026-11-21T02:00:00Z".parse().unwrap()),
            ..Subject::sample(if event { envelope::decode(body.as_bytes(), "/id") } else { refused })
        }
    }

    #[test]
    fn every_filter_counts_and_what_is_no_event_passes_none_by_its_event() {
        let all = Filter::default;
        let at = |text: &str| Some(text.parse().unwrap());
        let cases: [(Filter, bool, bool); 10] = [
            (all(), true, true),
            (Filter { reasons: vec!["not_json".into(), "x".into()], ..all() }, true, true),
            (Filter { reasons: vec!["panicked".into()], ..all() }, false, false),
            (Filter { keys: vec!["k".parse().unwrap()], ..all() }, true, false),
            (Filter { event_ids: vec![Uuid::nil()], ..all() }, false, false),
            (Filter { origins: vec!["aws:us-east-1".parse().unwrap()], ops: vec![Op::Delete], ..all() }, true, false),
            (Filter { ops: vec![Op::Create, Op::Update], ..all() }, false, false),
            (
                Filter { since: at("2026-11-21T01:00:00Z"), until: at("2026-11-21T01:00:00.000000001Z"), ..all() },
                true,
                false,
            ),
            (Filter { since: at("2026-11-21T01:30:00Z"), ..all() }, false, true),
            (Filter { until: at("2026-11-21T01:00:00Z"), ..all() }, false, false),
        ];
        for (filter, event, other) in cases {
            assert_eq!((filter.admits(&subject(true)), filter.admits(&subject(false))), (event, other), "{filter:?}");
        }
    }
}
