//! Which messages of a source a replay is about.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use bridge_core::{
    envelope::Glimpse,
    event::{Key, Op, SiteId},
    port::Delivery,
};

use super::subject::{self, Holds};

/// Which messages a replay is about: those that pass every filter that is set, and any one value of it. A message is judged as it lies
/// in its source, before any edit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// The broker's names of messages.
    pub message_ids: Vec<String>,
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
    /// From this instant on: the event's own timestamp, or where it cannot be read the time when the message was first seen.
    pub since: Option<DateTime<Utc>>,
    /// Before this instant, of the same time.
    pub until: Option<DateTime<Utc>>,
}

/// What a filter says of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It passes.
    Passes,
    /// It does not.
    Fails,
    /// Nobody knows: these fields decide, by the names of their flags, and cannot be read.
    Unreadable(Vec<&'static str>),
}

impl Filter {
    /// Whether a message passes. `holds`: what lies in its queue.
    pub fn judge(&self, delivery: &Delivery, holds: Holds, key_pointer: &str) -> Admission {
        let reason = subject::reason(&delivery.properties, holds);
        if !among(&self.message_ids, &delivery.message_id) || !among(&self.reasons, &reason) {
            return Admission::Fails;
        }
        if !self.looks_inside() {
            return Admission::Passes;
        }
        let event = Glimpse::of(&delivery.body, key_pointer);
        let time = event.timestamp.or_else(|| subject::first_seen(delivery, holds));
        let answers = [
            ("key", any(&self.keys, event.key.as_ref())),
            ("event-id", any(&self.event_ids, event.id.as_ref())),
            ("source-region", any(&self.origins, event.origin.as_ref())),
            ("op", any(&self.ops, event.op.as_ref())),
            ("since", self.since.map_or(Some(true), |since| Some(time? >= since))),
            ("until", self.until.map_or(Some(true), |until| Some(time? < until))),
        ];
        if answers.iter().any(|(_, answer)| *answer == Some(false)) {
            return Admission::Fails;
        }
        let unreadable: Vec<_> = answers.iter().filter(|(_, answer)| answer.is_none()).map(|(flag, _)| *flag).collect();
        if unreadable.is_empty() { Admission::Passes } else { Admission::Unreadable(unreadable) }
    }

    /// Whether a message's body decides.
    fn looks_inside(&self) -> bool {
        let Self { message_ids: _, reasons: _, keys, event_ids, origins, ops, since, until } = self;
        let lists = [keys.is_empty(), event_ids.is_empty(), origins.is_empty(), ops.is_empty()];
        lists.contains(&false) || since.is_some() || until.is_some()
    }
}

fn among(wanted: &[String], given: &str) -> bool {
    wanted.is_empty() || wanted.iter().any(|wanted| wanted == given)
}

/// Whether `given` is wanted, if it can be read.
fn any<T: PartialEq>(wanted: &[T], given: Option<&T>) -> Option<bool> {
    if wanted.is_empty() { Some(true) } else { given.map(|given| wanted.contains(given)) }
}

#[cfg(test)]
mod tests {
    use bridge_core::port::{Properties, Receipt};

    use super::*;

    const EVENT: &str = r#"{"event_id":"01936d6e-8a3c-7c61-9d0b-0f3a5a3c9e11","source_region":"aws:us-east-1","op_type":"delete","payload":{"id":"k"},"timestamp":"2026-11-21T01:00:00Z"}"#;

    fn judge(filter: &Filter, body: &str) -> Admission {
        let delivery = Delivery {
            receipt: Receipt(String::new()),
            message_id: "m".to_owned(),
            attempt: 1,
            first_seen: Some("2026-11-21T02:00:00Z".parse().unwrap()),
            body: body.to_owned().into(),
            properties: Properties::from([("bridge_reason".to_owned(), "not_json".to_owned())]),
        };
        filter.judge(&delivery, Holds::Letters, "/id")
    }

    #[test]
    fn every_filter_counts_and_what_cannot_be_read_is_told() {
        use Admission::{Fails, Passes, Unreadable};
        let all = Filter::default;
        let at = |text: &str| Some(text.parse().unwrap());
        let unreadable = |flags: &[&'static str]| Unreadable(flags.to_vec());
        let cases = [
            (all(), Passes, Passes),
            (Filter { message_ids: vec!["m".into(), "x".into()], ..all() }, Passes, Passes),
            (Filter { message_ids: vec!["x".into()], keys: vec!["k".parse().unwrap()], ..all() }, Fails, Fails),
            (Filter { reasons: vec!["not_json".into(), "x".into()], ..all() }, Passes, Passes),
            (Filter { reasons: vec!["panicked".into()], ..all() }, Fails, Fails),
            (Filter { keys: vec!["k".parse().unwrap()], ..all() }, Passes, unreadable(&["key"])),
            (Filter { event_ids: vec![Uuid::nil()], ..all() }, Fails, unreadable(&["event-id"])),
            (
                Filter { origins: vec!["aws:us-east-1".parse().unwrap()], ops: vec![Op::Delete], ..all() },
                Passes,
                unreadable(&["source-region", "op"]),
            ),
            (Filter { ops: vec![Op::Create, Op::Update], ..all() }, Fails, unreadable(&["op"])),
            (
                Filter { since: at("2026-11-21T01:00:00Z"), until: at("2026-11-21T01:00:00.000000001Z"), ..all() },
                Passes,
                Fails,
            ),
            (Filter { since: at("2026-11-21T01:30:00Z"), ..all() }, Fails, Passes),
            (Filter { until: at("2026-11-21T01:00:00Z"), keys: vec!["k".parse().unwrap()], ..all() }, Fails, Fails),
        ];
        for (filter, event, other) in cases {
            assert_eq!((judge(&filter, EVENT), judge(&filter, "not an event")), (event, other), "{filter:?}");
        }
    }

    /// The body is no valid event, and the field that is asked for can be read.
    #[test]
    fn a_field_counts_wherever_it_can_be_read() {
        let refused = EVENT.replace("\"k\"", "\"k\",\"n\":9007199254740993").replace("delete", "update");
        let filter = |key: &str| Filter { keys: vec![key.parse().unwrap()], ..Filter::default() };
        assert_eq!(judge(&filter("k"), &refused), Admission::Passes);
        assert_eq!(judge(&filter("other"), &refused), Admission::Fails);
        let stamped =
            |hour| Filter { since: Some(format!("2026-11-21T{hour}:00:00Z").parse().unwrap()), ..Filter::default() };
        assert_eq!(
            (judge(&stamped("01"), &refused), judge(&stamped("02"), &refused)),
            (Admission::Passes, Admission::Fails)
        );
    }
}
