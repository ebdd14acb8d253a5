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
