//! Private parsers for `tests/fuzz`, which has no other way to them without a service. Nothing else may use this.

use std::time::Duration;

use bridge_core::doctor::QueueFacts;
use chrono::{DateTime, Utc};
use fe2o3_amqp::types::messaging::message::__private::Deserializable;

use super::{describe, management, message, rest, well_formed::well_formed, wire};

/// An encoded message.
pub fn message(bytes: &[u8]) -> Option<message::Peeked> {
    message::decode(bytes).ok()
}

/// The first deliveries that the dispositions name which a stream holds that comes in these pieces.
pub fn dispositions<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Vec<u32> {
    let (mut frames, mut found) = (wire::Frames::default(), Vec::new());
    for piece in pieces {
        frames.feed(piece, |disposition| found.push(disposition.first));
    }
    found
}

/// The encoded messages in a management node's answer; none where it refuses. The broker itself encodes its answers, and they are
/// decoded before the bridge sees them.
pub fn peeked(answer: &[u8]) -> Option<Vec<Vec<u8>>> {
    if !well_formed(answer) {
        return None;
    }
    let answer: Deserializable<management::Answer> = serde_amqp::from_slice(answer).ok()?;
    management::read(answer.0).ok().map(|(_, body)| management::peeked(body))
}

/// The description of a queue.
pub fn facts(xml: &str) -> Option<QueueFacts> {
    describe::facts("queue", xml).ok()
}

/// A `Retry-After`.
pub fn retry_after(text: &str, now: DateTime<Utc>) -> Option<Duration> {
    rest::retry_after(text, now)
}
