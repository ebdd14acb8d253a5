//! What a delivery owes to the copies of its message that came before it.
//!
//! A message that is sent again, by a retry where the broker cannot hide one or by a replay, says in its properties how
//! often its forerunners were delivered and when the first of them came.

use std::time::Duration;

use bridge_core::port::Properties;
pub(crate) use bridge_core::settlement::property::{ATTEMPT, FIRST_SEEN};
use chrono::{DateTime, Utc};

/// Deliveries of this message, counted by the broker, and of the copies before it. A property that is no number counts
/// as absent: it was not written by the bridge.
pub(crate) fn attempt(properties: &Properties, deliveries: u32) -> u32 {
    let before = properties.get(ATTEMPT).and_then(|text| text.parse::<u32>().ok()).unwrap_or(0);
    deliveries.max(1).saturating_add(before)
}

/// When the message or the first of its copies came, whichever was earlier.
pub(crate) fn first_seen(properties: &Properties, sent: Option<DateTime<Utc>>) -> Option<DateTime<Utc>> {
    let before =
        properties.get(FIRST_SEEN).and_then(|text| DateTime::parse_from_rfc3339(text).ok()).map(|t| t.to_utc());
    match (before, sent) {
        (Some(before), Some(sent)) => Some(before.min(sent)),
        (before, sent) => before.or(sent),
    }
}

/// Whole seconds, rounded up: no broker hides a message for a fraction of one, and none may hide it for less than asked.
pub(crate) fn seconds_up(duration: Duration) -> u64 {
    duration.as_secs().saturating_add(u64::from(duration.subsec_nanos() > 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn properties(attempt: &str, first_seen: &str) -> Properties {
        [(ATTEMPT, attempt), (FIRST_SEEN, first_seen)].map(|(name, value)| (name.to_owned(), value.to_owned())).into()
    }

    #[test]
    fn copies_go_on_counting() {
        assert_eq!(attempt(&Properties::new(), 3), 3);
        assert_eq!(attempt(&properties("4", ""), 1), 5);
        assert_eq!(attempt(&properties("many", ""), 1), 1);
        assert_eq!(attempt(&properties("4294967295", ""), 7), u32::MAX);
    }

    #[test]
    fn the_earliest_copy_gives_the_time() {
        let sent: DateTime<Utc> = "2026-11-21T01:00:00Z".parse().unwrap();
        let earlier = properties("1", "2026-11-21T01:30:00+02:00");
        assert_eq!(first_seen(&earlier, Some(sent)), Some("2026-11-20T23:30:00Z".parse().unwrap()));
        assert_eq!(first_seen(&properties("1", "2026-11-22T00:00:00Z"), Some(sent)), Some(sent));
        assert_eq!(first_seen(&properties("1", "yesterday"), Some(sent)), Some(sent));
        assert_eq!(first_seen(&earlier, None), Some("2026-11-20T23:30:00Z".parse().unwrap()));
    }

    #[test]
    fn seconds_are_never_rounded_down() {
        assert_eq!(seconds_up(Duration::ZERO), 0);
        assert_eq!(seconds_up(Duration::from_millis(1)), 1);
        assert_eq!(seconds_up(Duration::from_secs(2)), 2);
        assert_eq!(seconds_up(Duration::from_millis(2_001)), 3);
    }
}
