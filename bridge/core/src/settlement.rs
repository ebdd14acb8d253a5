//! How a delivery ends, as data: the worker says it, the host carries it out.

use std::{collections::BTreeSet, time::Duration};

use chrono::{DateTime, SecondsFormat, Utc};

use crate::{
    event::SiteId,
    limits,
    marks::{self, Marks},
    port::{Delivery, Message, Properties},
    reason::Refusal,
};

/// How a delivery ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// Done: remove the message.
    Ack,
    /// Not now: deliver it again after this long.
    Retry {
        /// How long to hide the message.
        after: Duration,
    },
    /// Set it aside, where an operator finds it.
    DeadLetter(Letter),
    /// Take nothing more, and give this message back untouched: none can succeed until an operator acts.
    Halt {
        /// What is broken.
        detail: String,
    },
}

/// Why a message is set aside, and who has not confirmed its event yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// The code, and the words for it.
    pub refusal: Refusal,
    /// The sites that have not confirmed the event: `replay --to owed` sends it to just these.
    pub owed: BTreeSet<SiteId>,
}

/// Names of the properties that the bridge writes: on every message, on a copy that it gives back, on a letter.
pub mod property {
    /// What every name of the bridge's own begins with. A producer's property has another.
    pub const PREFIX: &str = "bridge_";
    /// The site that forwarded the event. A mark: [`Marks`](crate::marks::Marks).
    pub const FORWARDED_BY: &str = "bridge_forwarded_by";
    /// Who decided that the event may be older than deletes are remembered: `import` or `replay`. A mark.
    pub const ACCEPT_OLD: &str = "bridge_accept_old";
    /// On an event of the bridge's own, whose key is reserved: `heartbeat` or `drill`. A mark.
    pub const OWN_EVENT: &str = "bridge_own_event";
    /// On a copy that stands in for a message which is to come later: the message's id. [`ATTEMPT`] and [`FIRST_SEEN`] are
    /// believed beside it, and in letters.
    pub const COPY_OF: &str = "bridge_copy_of";
    /// The code of `schema/dead-letter-reasons.json`.
    pub const REASON: &str = "bridge_reason";
    /// What is wrong, in words.
    pub const DETAIL: &str = "bridge_detail";
    /// The queue that the message was taken from.
    pub const SOURCE_QUEUE: &str = "bridge_source_queue";
    /// How often the message was delivered.
    pub const ATTEMPT: &str = "bridge_attempt";
    /// When the message first came into its queue, RFC 3339.
    pub const FIRST_SEEN: &str = "bridge_first_seen";
    /// The sites that have not confirmed the event, separated by commas.
    pub const OWED: &str = "bridge_owed";
    /// The event's name, on forwarded messages: for people who look into a queue.
    pub const EVENT_ID: &str = "bridge_event_id";
    /// W3C trace context.
    pub const TRACEPARENT: &str = "traceparent";
    /// What the tracing systems on the way note beside it; passed on as it came.
    pub const TRACESTATE: &str = "tracestate";
    /// The older name of the trace context in Azure's clients.
    pub const DIAGNOSTIC_ID: &str = "Diagnostic-Id";

    /// Whether the name is one of the bridge's own, known to this version or not.
    pub fn is_own(name: &str) -> bool {
        name.starts_with(PREFIX)
    }
}

impl Letter {
    /// A letter of what nobody is owed: no site has it, or nobody knows who lacks it.
    pub fn owed_to_nobody(refusal: Refusal) -> Self {
        Self { refusal, owed: BTreeSet::new() }
    }

    /// The message to put into the dead-letter queue: the body byte for byte, the letter as properties.
    ///
    /// The message's own properties are kept as far as every queue has room for them; the letter's come first.
    pub fn message(&self, delivery: &Delivery, source_queue: &str, id: String) -> Message {
        let mut properties = Properties::new();
        let mut set = |name: &str, value: String| properties.insert(name.to_owned(), value);
        set(property::REASON, self.refusal.reason.to_string());
        set(property::DETAIL, self.refusal.detail.clone());
        set(property::SOURCE_QUEUE, source_queue.to_owned());
        set(property::ATTEMPT, delivery.attempt.to_string());
        if let Some(first_seen) = delivery.first_seen {
            set(property::FIRST_SEEN, rfc3339(first_seen));
        }
        if !self.owed.is_empty() {
            let owed: Vec<_> = self.owed.iter().map(SiteId::as_str).collect();
            set(property::OWED, owed.join(","));
        }
        // A letter that an operator moves back into the queue is the same forward once more.
        Marks::read(&delivery.properties).write(&mut properties);
        for (name, value) in marks::kept(&delivery.properties) {
            if properties.len() < limits::PROPERTIES_MAX && !value.is_empty() {
                properties.entry(name).or_insert(value);
            }
        }
        Message { id, body: delivery.body.clone(), properties }
    }
}

/// The form of times in properties, in records' `applied_at` and in reports.
pub fn rfc3339(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{port::Receipt, reason::Reason};

    fn message(own: Properties, owed: &[&str]) -> Message {
        let refusal = Refusal::new(Reason::PeerUnavailable, "dark");
        let letter = Letter { refusal, owed: owed.iter().map(|site| site.parse().unwrap()).collect() };
        let delivery = Delivery {
            receipt: Receipt("receipt".to_owned()),
            message_id: "message".to_owned(),
            attempt: 3,
            first_seen: DateTime::from_timestamp(0, 0),
            body: "body".into(),
            properties: own,
        };
        letter.message(&delivery, "queue", "id".to_owned())
    }

    fn own<const N: usize>(of: [(&str, &str); N]) -> Properties {
        of.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
    }

    #[test]
    fn a_letter_tells_the_whole_story() {
        let message = message(own([]), &["azure:westeurope", "aws:us-east-1"]);
        let expected = own([
            ("bridge_reason", "peer_unavailable"),
            ("bridge_detail", "dark"),
            ("bridge_source_queue", "queue"),
            ("bridge_attempt", "3"),
            ("bridge_first_seen", "1970-01-01T00:00:00.000Z"),
            ("bridge_owed", "aws:us-east-1,azure:westeurope"),
        ]);
        assert_eq!((message.id.as_str(), &*message.body, message.properties), ("id", b"body".as_slice(), expected));
    }

    #[test]
    fn what_a_message_came_with_is_kept_as_far_as_there_is_room() {
        let came_with = own([("a", "1"), ("b", ""), ("c", "3"), ("d", "4"), ("e", "5"), ("f", "6"), ("g", "7")]);
        let kept = message(came_with, &[]).properties;
        assert_eq!(kept.len(), limits::PROPERTIES_MAX);
        let names: Vec<&str> = kept.keys().map(String::as_str).collect();
        assert_eq!(
            names,
            [
                "a",
                "bridge_attempt",
                "bridge_detail",
                "bridge_first_seen",
                "bridge_reason",
                "bridge_source_queue",
                "c",
                "d",
                "e",
                "f"
            ]
        );
    }

    #[test]
    fn a_letter_of_a_letter_tells_the_last_story() {
        let again =
            message(own([("bridge_reason", "clock_skew"), ("bridge_attempt", "9"), ("own", "x")]), &[]).properties;
        let told = ["bridge_reason", "bridge_attempt", "own"].map(|name| again[name].as_str());
        assert_eq!(told, ["peer_unavailable", "3", "x"]);
    }

    #[test]
    fn a_letter_keeps_the_marks_and_believes_no_other_name_of_the_bridge() {
        let came_with = own([
            ("a", "1"),
            ("bridge_accept_old", "import"),
            ("bridge_copy_of", "m"),
            ("bridge_forwarded_by", "aws:us-east-1"),
            ("bridge_owed", "aws:us-east-1"),
            ("c", "3"),
        ]);
        let kept = message(came_with, &[]).properties;
        let given = ["a", "bridge_accept_old", "bridge_forwarded_by", "c"];
        let names: Vec<&str> = kept.keys().map(String::as_str).collect();
        assert!(given.iter().all(|name| names.contains(name)), "{names:?}");
        assert!(!names.contains(&"bridge_owed") && !names.contains(&"bridge_copy_of"), "{names:?}");
    }
}
