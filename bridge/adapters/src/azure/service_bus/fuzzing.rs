//! Private parsers for `tests/fuzz`, which has no other way to them without a service. Nothing else may use this.

use std::time::Duration;

use bridge_ops::doctor::QueueFacts;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use fe2o3_amqp::types::{
    messaging::{Message, message::__private::Deserializable},
    performatives::Performative,
};

use super::{
    admin,
    amqp::{encoding, frames::Frames, management},
    message, rest,
};

/// An encoded message.
pub fn message(bytes: &[u8]) -> message::Peeked {
    message::read(Bytes::copy_from_slice(bytes))
}

/// Whether these bytes are sections of a message.
pub fn is_message(bytes: &[u8]) -> bool {
    message::Sections::of(bytes).is_ok()
}

/// What the library sees of a stream that comes in these pieces, the first deliveries that its dispositions name, and whether
/// the stream goes on.
pub fn frames<'a>(mut pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<u8>, Vec<u32>, bool) {
    let (mut frames, mut out, mut found) = (Frames::default(), Vec::new(), Vec::new());
    let fed = pieces.try_for_each(|piece| frames.feed(piece, &mut out, |disposition| found.push(disposition.first)));
    (out, found, fed.is_ok())
}

/// Decodes what the library sees of a stream as the library does: each frame's performative, and each payload. Whatever
/// is in there, it needs no more than an ordinary stack.
pub fn decode(mut seen: &[u8]) {
    while seen.len() >= 8 {
        let size = if seen.starts_with(b"AMQP") {
            8
        } else {
            u32::from_be_bytes([seen[0], seen[1], seen[2], seen[3]]) as usize
        };
        let (frame, rest) = seen.split_at(size);
        seen = rest;
        if frame.starts_with(b"AMQP") {
            continue;
        }
        let body = &frame[usize::from(frame[4]) * 4..];
        let Ok(length) = encoding::checked(body) else { continue };
        let _ = serde_amqp::from_slice::<Performative>(&body[..length]);
        let _ = serde_amqp::from_slice::<serde_amqp::Value>(&body[..length]);
        let _ = serde_amqp::from_slice::<Deserializable<Message<message::Wrapped>>>(&body[length..]);
    }
}

/// The encoded messages in a management node's answer; none where it refuses.
pub fn peeked(answer: &[u8]) -> Option<Vec<Bytes>> {
    management::read(&Bytes::copy_from_slice(answer)).ok().map(|body| management::peeked(&body))
}

/// The description of a queue.
pub fn facts(xml: &str) -> Option<QueueFacts> {
    admin::facts("queue", xml).ok()
}

/// A `Retry-After`.
pub fn retry_after(text: &str, now: DateTime<Utc>) -> Option<Duration> {
    rest::retry_after(text, now)
}
