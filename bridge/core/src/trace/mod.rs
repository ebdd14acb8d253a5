//! One trace over all clouds, as data: the context that a message came with, and the spans of one delivery. The host turns
//! them into telemetry; nothing here measures, exports or decides anything about the event.
//!
//! A delivery is one span, whose parent is whoever sent the message. The write to the store and the send to each peer
//! are its children, and the forwarded message names the send, so that the far site's span hangs below it.

mod carried;

use std::{
    fmt,
    str::FromStr,
    sync::{Mutex, PoisonError},
};

use chrono::{DateTime, Utc};

pub use carried::{Carried, carried, is_context};

use crate::event::SiteId;

/// A W3C `traceparent`: which trace, which span of it, and whether it is recorded.
///
/// # Source
/// W3C Trace Context, section 3.2, read 2026-11.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TraceParent {
    /// The trace; never 0.
    pub trace: u128,
    /// The span; never 0.
    pub span: u64,
    /// The flags of version 00; bit 0 is "sampled".
    pub flags: u8,
}

impl TraceParent {
    /// Whether whoever sent this records the trace.
    pub fn is_sampled(self) -> bool {
        self.flags & 1 == 1
    }

    /// A new trace that is recorded.
    pub fn root(rng: &mut fastrand::Rng) -> Self {
        Self { trace: rng.u128(1..), span: rng.u64(1..), flags: 1 }
    }

    /// A new span of the same trace.
    #[must_use]
    pub fn child(self, rng: &mut fastrand::Rng) -> Self {
        Self { span: rng.u64(1..), ..self }
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace, self.span, self.flags)
    }
}

/// A text that is no `traceparent`. It is ignored, as the specification asks: a trace is never worth an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a W3C traceparent")]
pub struct NotATraceParent;

impl FromStr for TraceParent {
    type Err = NotATraceParent;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts: Vec<&str> = text.split('-').collect();
        // Later versions begin with what version 00 has, and may go on.
        let [version, trace, span, flags, ..] = parts[..] else { return Err(NotATraceParent) };
        let (version, trace, span, flags) = (hex(version, 2)?, hex(trace, 32)?, hex(span, 16)?, hex(flags, 2)?);
        let goes_on = parts.len() > 4;
        if version == 0xff || trace == 0 || span == 0 || (goes_on && version == 0) {
            return Err(NotATraceParent);
        }
        let span = u64::try_from(span).map_err(|_| NotATraceParent)?;
        // Of a later version only the bit that version 00 knows may be believed.
        let flags = u8::try_from(flags).map_err(|_| NotATraceParent)?;
        Ok(Self { trace, span, flags: if version == 0 { flags } else { flags & 1 } })
    }
}

/// A number of exactly so many hexadecimal digits, in lower case.
fn hex(text: &str, digits: usize) -> Result<u128, NotATraceParent> {
    let lower = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if text.len() != digits || !lower {
        return Err(NotATraceParent);
    }
    u128::from_str_radix(text, 16).map_err(|_| NotATraceParent)
}

/// What a step of a delivery was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StepKind {
    /// The write to the site's own store.
    Apply,
    /// The send to a peer, all its tries together.
    Forward(SiteId),
}

/// A child span of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What it was.
    pub kind: StepKind,
    /// Its span.
    pub span: u64,
    /// When it began, by the worker's clock.
    pub start: DateTime<Utc>,
    /// When it ended.
    pub end: DateTime<Utc>,
    /// Why it failed, if it did.
    pub failed: Option<String>,
}

/// The spans of one delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// The trace, and the delivery's own span.
    pub context: TraceParent,
    /// The span of whoever sent the message; none where the trace begins here.
    pub parent: Option<u64>,
    /// When the batch was taken up, by the worker's clock.
    pub start: DateTime<Utc>,
    /// When the batch was concluded.
    pub end: DateTime<Utc>,
    /// The children.
    pub steps: Vec<Step>,
}

/// The spans of a delivery that is being worked on. Its store and its peers note their steps at the same time.
#[derive(Debug)]
pub(crate) struct Open {
    context: TraceParent,
    parent: Option<u64>,
    start: DateTime<Utc>,
    steps: Mutex<Vec<Step>>,
}

impl Open {
    /// Begins the spans of a delivery, if it is to be traced: if its sender records the trace, and of those without a
    /// trace so large a part as `ratio` says. What a sender does not record is not recorded here either.
    pub(crate) fn begin(
        parent: Option<TraceParent>,
        ratio: f64,
        start: DateTime<Utc>,
        rng: &mut fastrand::Rng,
    ) -> Option<Self> {
        let context = match parent {
            Some(parent) if parent.is_sampled() => parent.child(rng),
            // No number is drawn where none is needed, so that a seed gives the same run with traces off.
            None if ratio > 0.0 && rng.f64() < ratio => TraceParent::root(rng),
            Some(_) | None => return None,
        };
        Some(Self { context, parent: parent.map(|parent| parent.span), start, steps: Mutex::default() })
    }

    /// The context of a new child.
    pub(crate) fn child(&self, rng: &mut fastrand::Rng) -> TraceParent {
        self.context.child(rng)
    }

    /// Notes a child that has ended.
    pub(crate) fn note(&self, step: Step) {
        self.steps.lock().unwrap_or_else(PoisonError::into_inner).push(step);
    }

    /// Ends the delivery.
    pub(crate) fn end(&self, end: DateTime<Utc>) -> Trace {
        let steps = std::mem::take(&mut *self.steps.lock().unwrap_or_else(PoisonError::into_inner));
        Trace { context: self.context, parent: self.parent, start: self.start, end, steps }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0b4902b7-01";
    const UNSAMPLED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0b4902b7-00";

    fn begin(parent: Option<&str>, ratio: f64) -> Option<Trace> {
        let at = DateTime::UNIX_EPOCH;
        let parent = parent.map(|text| text.parse().unwrap());
        Open::begin(parent, ratio, at, &mut fastrand::Rng::with_seed(1)).map(|open| open.end(at))
    }

    #[test]
    fn a_traceparent_survives_the_round_trip() {
        let parent: TraceParent = SAMPLED.parse().unwrap();
        assert_eq!(parent.trace, 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736);
        assert_eq!(parent.span, 0x00f0_67aa_0b49_02b7);
        assert!(parent.is_sampled());
        assert_eq!(parent.to_string(), SAMPLED);
    }

    #[test]
    fn what_is_no_traceparent_is_refused() {
        for text in [
            "",
            "00",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0b4902b7",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0b4902b7-01-more",
            "00-00000000000000000000000000000000-00f067aa0b4902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0b4902b7-01",
            "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0b4902b7-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0b4902b7-01",
            "0-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0b4902b7-01",
            "|4bf92f3577b34da6.1.",
        ] {
            assert_eq!(text.parse::<TraceParent>(), Err(NotATraceParent), "{text:?}");
        }
    }

    #[test]
    fn a_later_version_is_read_as_far_as_it_is_known() {
        let later = "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0b4902b7-ff-more".parse::<TraceParent>().unwrap();
        assert_eq!(later.to_string(), SAMPLED, "it goes on as what we can write");
    }

    #[test]
    fn a_delivery_hangs_below_whoever_sent_it() {
        let trace = begin(Some(SAMPLED), 0.0).unwrap();
        let sender: TraceParent = SAMPLED.parse().unwrap();
        assert_eq!((trace.context.trace, trace.parent), (sender.trace, Some(sender.span)));
        assert_ne!(trace.context.span, sender.span);
    }

    #[test]
    fn the_sender_decides_and_the_ratio_is_for_those_without_a_trace() {
        assert_eq!(begin(Some(UNSAMPLED), 1.0), None);
        assert_eq!(begin(None, 0.0), None);
        let root = begin(None, 1.0).unwrap();
        assert!(root.context.is_sampled() && root.parent.is_none());
        let mut rng = fastrand::Rng::with_seed(7);
        assert!(Open::begin(None, 0.0, DateTime::UNIX_EPOCH, &mut rng).is_none());
        assert_eq!(rng, fastrand::Rng::with_seed(7), "with traces off no number is drawn");
        let traced = (0..10_000).filter(|_| Open::begin(None, 0.1, DateTime::UNIX_EPOCH, &mut rng).is_some()).count();
        assert!((900..1_100).contains(&traced), "{traced} of 10,000 at a ratio of 0.1");
    }
}
