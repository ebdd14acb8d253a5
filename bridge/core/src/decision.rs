//! What one event means for one site, without I/O. Every site and the simulation call this function.

use std::{collections::BTreeSet, time::Duration};

use chrono::{DateTime, Utc};

use crate::{
    event::{Event, SiteId},
    limits,
    marks::Marks,
    reason::{Reason, Refusal},
    settlement::Letter,
    size,
};

/// What a site must know to decide: who it is, who the others are, and the limits.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The site that decides.
    pub site: SiteId,
    /// All configured sites, this one included.
    pub sites: BTreeSet<SiteId>,
    /// What every site holds an event to.
    pub limits: Limits,
}

/// What every site holds an event to.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How far ahead of a site's clock an event may be stamped at its origin.
    pub clock_skew_max: Duration,
    /// How far ahead of a site's clock any event may be stamped.
    pub future_max: Duration,
    /// How long ago any event may be stamped: less than tombstones live ([`limits::age_max`]).
    pub age_max: Duration,
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

/// Decides what `event`, which came with `marks` in a body of `body_bytes`, means for the site of `rules` at `now`.
///
/// The size limits and the near clock fence stand at the origin only: what the origin let through is let through everywhere, or
/// the stores would differ. The far fence and the age stand at every site. They refuse what no site may store, and a peer's event
/// stays owed to this site.
///
/// # Errors
/// The event must not be applied or forwarded: the letter that says so.
pub fn decide(
    rules: &Rules,
    event: &Event,
    marks: &Marks,
    body_bytes: usize,
    now: DateTime<Utc>,
) -> Result<Decision, Letter> {
    let own = event.origin == rules.site;
    origin(rules, event, marks).map_err(Letter::owed_to_nobody)?;
    in_time(rules, event, marks, now).map_err(|refusal| {
        // The origin has a peer's event already, so this site lacks it. An own event was refused before anybody got it.
        let owed = if own { BTreeSet::new() } else { [rules.site.clone()].into() };
        Letter { refusal, owed }
    })?;
    if !own {
        return Ok(Decision::Apply);
    }
    fits(rules, event, body_bytes).map_err(Letter::owed_to_nobody)?;
    Ok(Decision::ApplyAndForward)
}

/// Whose word counts: a configured site's for its own events, and for them in a peer's queue only by its forward.
fn origin(rules: &Rules, event: &Event, marks: &Marks) -> Result<(), Refusal> {
    let origin = &event.origin;
    if !rules.sites.contains(origin) {
        let known: Vec<_> = rules.sites.iter().map(SiteId::as_str).collect();
        let detail = format!("{origin} is not a configured site; these are: {}", known.join(", "));
        return Err(Refusal::new(Reason::UnknownOrigin, detail));
    }
    if *origin == rules.site || marks.forwarded_by.as_ref() == Some(origin) {
        return Ok(());
    }
    let here = &rules.site;
    let came = match &marks.forwarded_by {
        None => "it came straight from a producer".to_owned(),
        Some(other) => format!("it was forwarded by {other}"),
    };
    let detail = format!(
        "the event names {origin} as its source_region, but {came} to the queue of {here}. Producer: name {here} if the \
         write was accepted here, or else send the event to the queue of {origin}. Nothing was stored; bridge replay \
         --to owed sends it to the queue of {origin} as it is"
    );
    Err(Refusal::new(Reason::NotForwarded, detail))
}

/// Neither so far ahead that it would win for long, nor so old that a delete of it may be forgotten.
fn in_time(rules: &Rules, event: &Event, marks: &Marks, now: DateTime<Utc>) -> Result<(), Refusal> {
    let text = &event.timestamp.text;
    let ahead = event.timestamp.utc - now;
    let own = event.origin == rules.site;
    let Limits { clock_skew_max, future_max, age_max, .. } = rules.limits;
    let ahead_max = if own { clock_skew_max.min(future_max) } else { future_max };
    if ahead.to_std().is_ok_and(|ahead| ahead > ahead_max) {
        let by = match ahead.num_days() {
            days @ 3.. => format!("{days} days"),
            _ => format!("{} s", ahead.num_seconds()),
        };
        let detail = format!("{text} is {by} ahead of the clock here, {} s are allowed", ahead_max.as_secs());
        return Err(Refusal::new(Reason::ClockSkew, detail));
    }
    let accepted = marks.accept_old.is_some_and(|accepted| accepted.counts(now, age_max, future_max));
    if (-ahead).to_std().is_ok_and(|age| age > age_max) && !accepted {
        let (age, max) = (-ahead.num_days(), age_max.as_secs() / 86_400);
        let detail = format!(
            "{text} is over {age} days ago, {max} are allowed: a delete that came after it may be \
             forgotten. To store it nevertheless, at all sites: bridge replay --accept-old; for a first import: bridge \
             publish --import"
        );
        return Err(Refusal::new(Reason::TooOld, detail));
    }
    Ok(())
}

/// The narrowest site decides, for all.
fn fits(rules: &Rules, event: &Event, body_bytes: usize) -> Result<(), Refusal> {
    let too_large = |what: &str, bytes: usize, limit: usize| {
        Refusal::new(Reason::TooLarge, format!("the {what} has {bytes} bytes, the narrowest site takes {limit}"))
    };
    let body_bytes_max = rules.limits.message_bytes_max.saturating_sub(limits::PROPERTIES_BYTES);
    if body_bytes > body_bytes_max {
        return Err(too_large("event", body_bytes, body_bytes_max));
    }
    let record_bytes = size::record_bytes(event);
    if record_bytes > limits::RECORD_BYTES_MAX {
        return Err(too_large("record", record_bytes, limits::RECORD_BYTES_MAX));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        envelope,
        marks::{AcceptOld, Accepted},
    };

    const NOW: &str = "2026-11-21T01:02:03Z";

    const HERE: &str = "aws:us-east-1";
    const THERE: &str = "azure:westeurope";

    fn rules() -> Rules {
        Rules {
            site: HERE.parse().unwrap(),
            sites: [HERE, THERE].map(|site| site.parse().unwrap()).into(),
            limits: Limits {
                clock_skew_max: Duration::from_mins(1),
                future_max: Duration::from_hours(1),
                age_max: Duration::from_hours(24),
                message_bytes_max: limits::EVENT_BYTES_MAX,
            },
        }
    }

    fn event_of(origin: &str, timestamp: &str, note: &str) -> Event {
        let event = serde_json::json!({
            "event_id": "01936d6e-8a3c-7c61-9d0b-0f3a5a3c9e11",
            "source_region": origin,
            "op_type": "update",
            "payload": { "id": "order-42", "note": note },
            "timestamp": timestamp,
        });
        envelope::decode(event.to_string().as_bytes(), "/id").unwrap()
    }

    fn event(timestamp: &str, note: &str) -> Event {
        event_of(HERE, timestamp, note)
    }

    fn verdict(event: &Event, body_bytes: usize) -> Result<Decision, Reason> {
        judge(event, &Marks::default(), body_bytes).map_err(|letter| letter.refusal.reason)
    }

    fn judge(event: &Event, marks: &Marks, body_bytes: usize) -> Result<Decision, Letter> {
        decide(&rules(), event, marks, body_bytes, NOW.parse().unwrap())
    }

    /// What becomes of a peer's event that this site forwarded: its decision, or the reason and who is owed it.
    fn forwarded(by: Option<&str>, timestamp: &str) -> Result<Decision, (Reason, Vec<String>)> {
        let marks = Marks { forwarded_by: by.map(|site| site.parse().unwrap()), ..Marks::default() };
        let owed = |letter: Letter| letter.owed.iter().map(ToString::to_string).collect();
        judge(&event_of(THERE, timestamp, ""), &marks, 0).map_err(|letter| (letter.refusal.reason, owed(letter)))
    }

    #[test]
    fn the_near_fence_stands_exactly_as_far_ahead_as_configured() {
        for timestamp in ["2026-11-21T01:03:03Z", NOW] {
            assert_eq!(verdict(&event(timestamp, ""), 0), Ok(Decision::ApplyAndForward), "{timestamp}");
        }
        for timestamp in ["2026-11-21T01:03:03.000000001Z", "2027-11-21T01:03:03Z"] {
            let letter = judge(&event(timestamp, ""), &Marks::default(), 0).unwrap_err();
            assert_eq!((letter.refusal.reason, letter.owed.len()), (Reason::ClockSkew, 0), "{timestamp}");
        }
    }

    #[test]
    fn the_far_fence_stands_at_every_site_and_a_peers_event_stays_owed() {
        assert_eq!(forwarded(Some(THERE), "2026-11-21T02:02:03Z"), Ok(Decision::Apply), "an hour is allowed");
        for timestamp in ["2026-11-21T02:02:03.000000001Z", "2099-01-01T00:00:00Z"] {
            let owed = vec![HERE.to_owned()];
            assert_eq!(forwarded(Some(THERE), timestamp), Err((Reason::ClockSkew, owed)), "{timestamp}");
        }
    }

    #[test]
    fn an_event_may_be_as_old_as_deletes_are_remembered() {
        let (oldest, older) = ("2026-11-20T01:02:03Z", "2026-11-20T01:02:02.999999999Z");
        assert_eq!(verdict(&event(oldest, ""), 0), Ok(Decision::ApplyAndForward));
        assert_eq!(forwarded(Some(THERE), oldest), Ok(Decision::Apply));
        for timestamp in [older, "1970-01-01T00:00:00Z", "0001-01-01T00:00:00Z"] {
            assert_eq!(verdict(&event(timestamp, ""), 0), Err(Reason::TooOld), "{timestamp}");
            assert_eq!(forwarded(Some(THERE), timestamp), Err((Reason::TooOld, vec![HERE.to_owned()])), "{timestamp}");
        }
        for by in [AcceptOld::Import, AcceptOld::Replay] {
            let accepted = |at: &str| {
                let accept_old = Some(Accepted { by, at: at.parse().unwrap() });
                Marks { accept_old, ..Marks::default() }
            };
            let marks = accepted(oldest);
            assert_eq!(judge(&event(older, ""), &marks, 0), Ok(Decision::ApplyAndForward), "{by:?}");
            for at in [older, "2026-11-21T02:02:03.001Z"] {
                let refused = judge(&event(older, ""), &accepted(at), 0).unwrap_err();
                assert_eq!(refused.refusal.reason, Reason::TooOld, "accepted at {at}");
            }
            let ahead = judge(&event("2099-01-01T00:00:00Z", ""), &marks, 0).unwrap_err();
            assert_eq!(ahead.refusal.reason, Reason::ClockSkew, "it opens no other fence");
        }
    }

    #[test]
    fn a_peers_word_counts_only_by_its_own_forward() {
        assert_eq!(forwarded(Some(THERE), NOW), Ok(Decision::Apply));
        for by in [None, Some(HERE), Some("aws:eu-west-1")] {
            assert_eq!(forwarded(by, NOW), Err((Reason::NotForwarded, Vec::new())), "{by:?}");
        }
        let letter = judge(&event_of(THERE, NOW, ""), &Marks::default(), 0).unwrap_err();
        for word in ["name aws:us-east-1 if", "send the event to the queue of azure:westeurope"] {
            assert!(letter.refusal.detail.contains(word), "{}", letter.refusal.detail);
        }
    }

    #[test]
    fn a_refusal_is_one_sentence_after_the_other() {
        let unforwarded = judge(&event_of(THERE, NOW, ""), &Marks::default(), 0).unwrap_err();
        let old = judge(&event("1970-01-01T00:00:00Z", ""), &Marks::default(), 0).unwrap_err();
        for Letter { refusal, .. } in [unforwarded, old] {
            assert!(!refusal.detail.contains("  ") && !refusal.detail.ends_with('…'), "{}", refusal.detail);
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
