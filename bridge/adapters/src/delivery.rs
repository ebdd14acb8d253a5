//! What a delivery owes to the copies of its message that came before it.
//!
//! Where a broker cannot hide a message for a chosen time, a copy is sent in its place, marked as one. It says in its properties
//! how often its forerunners were delivered and when the first of them came. Beside any other message these properties are not
//! believed: whoever sends it could use up its tries.

use std::time::Duration;

use bridge_core::{
    marks,
    port::{Delivery, Properties},
    property::{ATTEMPT, COPY_OF, FIRST_SEEN, rfc3339},
};
use chrono::{DateTime, Utc};

/// A delivery's account over all copies of its message.
pub(crate) struct Counted {
    pub(crate) attempt: u32,
    pub(crate) first_seen: Option<DateTime<Utc>>,
    /// Those of the first message.
    pub(crate) properties: Properties,
}

/// Takes off what a copy carries of its forerunners, and counts it in: `deliveries` of this message by its broker, which took it at
/// `enqueued`.
pub(crate) fn counted(mut properties: Properties, deliveries: u32, enqueued: Option<DateTime<Utc>>) -> Counted {
    let deliveries = deliveries.max(1);
    if properties.remove(COPY_OF).is_none() {
        return Counted { attempt: deliveries, first_seen: enqueued, properties };
    }
    let before = properties.remove(ATTEMPT).and_then(|text| text.parse::<u32>().ok()).unwrap_or(0);
    let first = properties.remove(FIRST_SEEN).and_then(|text| DateTime::parse_from_rfc3339(&text).ok());
    let first_seen = first.map(|first| first.to_utc()).into_iter().chain(enqueued).min();
    Counted { attempt: deliveries.saturating_add(before), first_seen, properties }
}

/// The properties of a copy that takes a delivery's place at `now`: what stays with the message, and what its deliveries came to.
pub(crate) fn of_copy(delivery: &Delivery, now: DateTime<Utc>) -> Properties {
    let mut properties = marks::kept(&delivery.properties);
    let mut set = |name: &str, value: String| properties.insert(name.to_owned(), value);
    set(ATTEMPT, delivery.attempt.to_string());
    set(FIRST_SEEN, rfc3339(delivery.first_seen.unwrap_or(now)));
    set(COPY_OF, delivery.message_id.clone());
    properties
}

/// Whole seconds, rounded up: no broker hides a message for a fraction of one, and none may hide it for less than asked.
pub(crate) fn seconds_up(duration: Duration) -> u64 {
    duration.as_secs().saturating_add(u64::from(duration.subsec_nanos() > 0))
}

#[cfg(test)]
mod tests {
    use bridge_core::port::Receipt;
    use bytes::Bytes;

    use super::*;

    fn properties<const N: usize>(of: [(&str, &str); N]) -> Properties {
        of.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
    }

    fn copy(attempt: &str, first_seen: &str, deliveries: u32, enqueued: Option<DateTime<Utc>>) -> Counted {
        let copy = [(ATTEMPT, attempt), (FIRST_SEEN, first_seen), (COPY_OF, "m"), ("own", "x")];
        counted(properties(copy), deliveries, enqueued)
    }

    #[test]
    fn copies_go_on_counting() {
        let attempt = |before, deliveries| copy(before, "", deliveries, None).attempt;
        assert_eq!(attempt("4", 1), 5);
        assert_eq!(attempt("many", 1), 1);
        assert_eq!(attempt("4294967295", 7), u32::MAX);
        assert_eq!(attempt("4", 0), 5, "this one is a delivery, whatever the broker counts");
        assert_eq!(copy("4", "", 1, None).properties, properties([("own", "x")]), "as the first message was");
    }

    #[test]
    fn the_earliest_copy_gives_the_time() {
        let sent: DateTime<Utc> = "2026-11-21T01:00:00Z".parse().unwrap();
        let earlier = "2026-11-21T01:30:00+02:00";
        let first_seen = |first, sent| copy("1", first, 1, sent).first_seen;
        assert_eq!(first_seen(earlier, Some(sent)), Some("2026-11-20T23:30:00Z".parse().unwrap()));
        assert_eq!(first_seen("2026-11-22T00:00:00Z", Some(sent)), Some(sent));
        assert_eq!(first_seen("yesterday", Some(sent)), Some(sent));
        assert_eq!(first_seen(earlier, None), Some("2026-11-20T23:30:00Z".parse().unwrap()));
    }

    #[test]
    fn a_producer_cannot_use_up_the_tries() {
        let sent: DateTime<Utc> = "2026-11-21T01:00:00Z".parse().unwrap();
        let own = properties([(ATTEMPT, "25"), (FIRST_SEEN, "2020-01-01T00:00:00Z")]);
        let read = counted(own.clone(), 3, Some(sent));
        assert_eq!((read.attempt, read.first_seen, read.properties), (3, Some(sent), own));
    }

    #[test]
    fn a_copy_is_read_as_the_delivery_that_it_stands_in_for() {
        let delivery = Delivery {
            receipt: Receipt("r".to_owned()),
            message_id: "first".to_owned(),
            attempt: 3,
            first_seen: Some("2026-11-21T01:00:00.5Z".parse().unwrap()),
            body: Bytes::from_static(&[0xff]),
            properties: properties([
                ("a", "b"),
                ("bridge_accept_old", "replay 2026-11-21T01:02:03.000Z"),
                ("bridge_attempt", "25"),
                ("bridge_forwarded_by", "aws:us-east-1"),
                ("bridge_owed", "aws:us-east-1"),
                ("traceparent", "no trace"),
            ]),
        };
        let copy = of_copy(&delivery, DateTime::default());
        let kept = [
            ("a", "b"),
            ("bridge_accept_old", "replay 2026-11-21T01:02:03.000Z"),
            ("bridge_forwarded_by", "aws:us-east-1"),
        ];
        let told = [(ATTEMPT, "3"), (COPY_OF, "first"), (FIRST_SEEN, "2026-11-21T01:00:00.500Z")];
        assert_eq!(copy, properties(kept).into_iter().chain(properties(told)).collect());
        let read = counted(copy, 2, None);
        assert_eq!((read.attempt, read.first_seen, read.properties), (5, delivery.first_seen, properties(kept)));
    }

    #[test]
    fn seconds_are_never_rounded_down() {
        assert_eq!(seconds_up(Duration::ZERO), 0);
        assert_eq!(seconds_up(Duration::from_millis(1)), 1);
        assert_eq!(seconds_up(Duration::from_secs(2)), 2);
        assert_eq!(seconds_up(Duration::from_millis(2_001)), 3);
    }
}
