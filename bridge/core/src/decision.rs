//! What one event means for one site, without I/O. Every site and the simulation call this function.

use std::{collections::BTreeSet, time::Duration};

use chrono::{DateTime, Utc};

use crate::{
    event::{Event, SiteId},
    limits,
    reason::{Reason, Refusal},
    size,
};

/// What a site must know to decide.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The site that decides.
    pub site: SiteId,
    /// All configured sites, this one included.
    pub sites: BTreeSet<SiteId>,
    /// How far ahead of this site's clock an event may be stamped at its origin.
    pub clock_skew_max: Duration,
    /// Bytes of a message that the narrowest site's queue takes.
    pub message_bytes_max: usize,
}

/// What to do with a valid event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The write was accepted here: apply it, and forward it to every peer.
    ApplyAndForward,
    /// A peer's write: apply it. Only the origin forwards, so an event crosses each link once and can never loop.
    Apply,
}

/// Decides what `event`, whose body has `body_bytes`, means for the site of `rules` at `now`.
///
/// The clock fence and the size limits stand at the origin only: what the origin let through is let through
/// everywhere, or the stores would differ.
///
/// # Errors
/// The event must not be applied or forwarded anywhere.
pub fn decide(rules: &Rules, event: &Event, body_bytes: usize, now: DateTime<Utc>) -> Result<Decision, Refusal> {
    if !rules.sites.contains(&event.origin) {
        let known: Vec<_> = rules.sites.iter().map(SiteId::as_str).collect();
        let detail = format!("{} is not a configured site; these are: {}", event.origin, known.join(", "));
        return Err(Refusal::new(Reason::UnknownOrigin, detail));
    }
    if event.origin != rules.site {
        return Ok(Decision::Apply);
    }
    let ahead = event.timestamp.utc - now;
    if ahead.to_std().is_ok_and(|ahead| ahead > rules.clock_skew_max) {
        let (by, max) = (ahead.num_seconds(), rules.clock_skew_max.as_secs());
        let detail = format!("{} is {by} s ahead of this worker's clock, {max} s are allowed", event.timestamp.text);
        return Err(Refusal::new(Reason::ClockSkew, detail));
    }
    let too_large = |what: &str, bytes: usize, limit: usize| {
        Refusal::new(Reason::TooLarge, format!("the {what} has {bytes} bytes, the narrowest site takes {limit}"))
    };
    let body_bytes_max = rules.message_bytes_max.saturating_sub(limits::PROPERTIES_BYTES);
    if body_bytes > body_bytes_max {
        return Err(too_large("event", body_bytes, body_bytes_max));
    }
    let record_bytes = size::record_bytes(event);
    if record_bytes > limits::RECORD_BYTES_MAX {
        return Err(too_large("record", record_bytes, limits::RECORD_BYTES_MAX));
    }
    Ok(Decision::ApplyAndForward)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope;

    const NOW: &str = "2026-11-21T01:02:03Z";

    fn rules() -> Rules {
        Rules {
            site: "aws:us-east-1".parse().unwrap(),
            sites: ["aws:us-east-1", "azure:westeurope"].map(|site| site.parse().unwrap()).into(),
            clock_skew_max: Duration::from_mins(1),
            message_bytes_max: limits::EVENT_BYTES_MAX,
        }
    }

    fn event(timestamp: &str, note: &str) -> Event {
        let event = serde_json::json!({
            "event_id": "01936d6e-8a3c-7c61-9d0b-0f3a5a3c9e11",
            "source_region": "aws:us-east-1",
            "op_type": "update",
            "payload": { "id": "order-42", "note": note },
            "timestamp": timestamp,
        });
        envelope::decode(event.to_string().as_bytes(), "/id").unwrap()
    }

    fn verdict(event: &Event, body_bytes: usize) -> Result<Decision, Reason> {
        decide(&rules(), event, body_bytes, NOW.parse().unwrap()).map_err(|refusal| refusal.reason)
    }

    #[test]
    fn the_fence_stands_exactly_as_far_ahead_as_configured() {
        let good = ["2026-11-21T01:03:03Z", NOW, "1970-01-01T00:00:00Z"];
        for timestamp in good {
            assert_eq!(verdict(&event(timestamp, ""), 0), Ok(Decision::ApplyAndForward), "{timestamp}");
        }
        for timestamp in ["2026-11-21T01:03:03.000000001Z", "2027-11-21T01:03:03Z"] {
            assert_eq!(verdict(&event(timestamp, ""), 0), Err(Reason::ClockSkew), "{timestamp}");
        }
    }

    #[test]
    fn a_message_leaves_room_for_the_properties() {
        let most = limits::EVENT_BYTES_MAX - limits::PROPERTIES_BYTES;
        assert_eq!(verdict(&event(NOW, ""), most), Ok(Decision::ApplyAndForward));
        assert_eq!(verdict(&event(NOW, ""), most + 1), Err(Reason::TooLarge));
        assert_eq!(verdict(&event(NOW, ""), most + 2), Err(Reason::TooLarge));
    }

    #[test]
    fn a_record_may_be_as_large_as_the_narrowest_store_takes() {
        let room = limits::RECORD_BYTES_MAX - size::record_bytes(&event(NOW, ""));
        assert_eq!(verdict(&event(NOW, &"x".repeat(room)), 0), Ok(Decision::ApplyAndForward));
        assert_eq!(verdict(&event(NOW, &"x".repeat(room + 1)), 0), Err(Reason::TooLarge));
        assert_eq!(verdict(&event(NOW, &"x".repeat(room + 2)), 0), Err(Reason::TooLarge));
    }
}
