//! What the worker may do, whether it can be reached, and whether the clocks agree.

use chrono::TimeDelta;

use super::{Figures, Findings, Look, Mend, SiteFacts, Thing, spell};
use bridge_core::failure::{CredentialsRefused, FailureKind, NoCredentials, PortError};

/// A clock that is this far off is not kept any more. Ours: machines that are synchronised stay within a fraction of a
/// second, and a `Date` is good to one.
const CLOCK_OFF: TimeDelta = TimeDelta::seconds(5);

/// What a failure kept from being done.
#[derive(Clone, Copy)]
pub(super) enum Use {
    /// Reading a thing's settings.
    Look(Thing),
    /// Using it as a worker does.
    Work(Thing),
}

/// Reports what could not be seen or done.
pub(super) fn failed(check: &'static str, at: &str, purpose: Use, error: &PortError, out: &mut Findings) {
    let (Use::Look(thing) | Use::Work(thing)) = purpose;
    if let Some(none) = error.cause::<NoCredentials>() {
        return out.without_credentials(none);
    }
    if let Some(refused) = error.cause::<CredentialsRefused>() {
        return out.amiss(check, at, refused.to_string(), Mend::Prove(thing));
    }
    match (&error.kind, purpose) {
        // A worker does not need to read settings, so nothing is broken by it.
        (FailureKind::Unauthorized, Use::Look(_)) => {
            let found = format!("its settings may not be read: {}", said(error));
            out.warning(check, at, found, Mend::AllowLook(thing));
        }
        (FailureKind::Missing, _) => out.amiss(check, at, "does not exist", Mend::Create(thing)),
        (kind, _) => out.amiss(check, at, format!("{kind}: {}", said(error)), against(kind, thing)),
    }
}

/// What mends a failure.
fn against(kind: &FailureKind, thing: Thing) -> Mend {
    match kind {
        FailureKind::Throttled { .. } => Mend::Scale(thing),
        FailureKind::Rejected { .. } | FailureKind::TooLarge { .. } => Mend::Accept(thing),
        FailureKind::Misshapen { .. } => Mend::Replace(thing),
        FailureKind::Missing => Mend::Create(thing),
        FailureKind::Unauthorized | FailureKind::Panicked { .. } => Mend::AllowUse(thing),
        FailureKind::Unavailable | FailureKind::TimedOut | FailureKind::LeaseLost => Mend::Reach,
    }
}

/// The vendor's own words.
fn said(error: &PortError) -> String {
    error.source.as_ref().map_or_else(|| error.to_string(), ToString::to_string)
}

pub(super) fn examine(facts: &SiteFacts, figures: &Figures, out: &mut Findings) {
    let looks = &facts.looks;
    if let Some(tries) = &facts.tries {
        let tried = [
            ("store.read", &looks.store.at, Thing::Store, &tries.read, "a record was read"),
            ("store.write", &looks.store.at, Thing::Store, &tries.write, "a tombstone of its own was written"),
            ("queue.send", &looks.queue.at, Thing::Queue, &tries.send, "a heartbeat was sent"),
        ];
        for (check, at, thing, result, done) in tried {
            match result {
                Ok(()) => out.good(check, at, done),
                Err(error) => failed(check, at, Use::Work(thing), error, out),
            }
        }
        if looks.dead_letter_queue.seen.is_ok() {
            let found = "was looked at only: nothing was written to it";
            out.good("dead-letter-queue.send", &looks.dead_letter_queue.at, found);
        }
    }
    for look in &facts.clocks {
        clock(look, figures, out);
    }
}

/// An origin's clock that is behind refuses its own producers' events, and a clock that is ahead lets the future in.
fn clock(look: &Look<TimeDelta>, figures: &Figures, out: &mut Findings) {
    let check = "clock";
    let ahead = match &look.seen {
        Ok(ahead) => *ahead,
        Err(error) => {
            let found = format!("its clock could not be read: {}: {}", error.kind, said(error));
            return out.warning(check, &look.at, found, Mend::Reach);
        }
    };
    let most = spell(figures.clock_skew_max);
    let off = ahead.abs();
    let found = match ahead.num_seconds() {
        0 => "agrees with this machine's clock to the second".to_owned(),
        seconds if seconds > 0 => format!("is {seconds} s ahead of this machine's clock"),
        seconds => format!("is {} s behind this machine's clock", -seconds),
    };
    if off.to_std().is_ok_and(|off| off > figures.clock_skew_max) {
        let found = format!("{found}, over the {most} that an event may be ahead: good events would be set aside");
        out.amiss(check, &look.at, found, Mend::SetClock);
    } else if off > CLOCK_OFF {
        out.warning(check, &look.at, format!("{found}; an event may be {most} ahead"), Mend::SetClock);
    } else {
        out.good(check, &look.at, found);
    }
}
