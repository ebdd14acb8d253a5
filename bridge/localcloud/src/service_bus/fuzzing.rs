//! Private parsers for `tests/fuzz`, which has no other way to them without a socket. Nothing else may use this.

use std::time::{Duration, UNIX_EPOCH};

use bytes::{Bytes, BytesMut};

use super::{auth::Key, message::Parsed, message::Stamp, rest, settings::QueueSettings, store::Store, wire};

/// The channels of the frames in a stream that comes in these pieces, and whether it ended at a frame that is none.
pub fn frames<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<u16>, bool) {
    let (mut buffer, mut channels) = (BytesMut::new(), Vec::new());
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            match wire::take_frame(&mut buffer) {
                Ok(Some(frame)) => channels.push(frame.channel),
                Ok(None) => break,
                Err(_) => return (channels, true),
            }
        }
    }
    (channels, false)
}

/// A message as the queue would hand it out; none if it is refused.
pub fn message(bytes: &[u8]) -> Option<Vec<u8>> {
    let parsed = Parsed::new(bytes).ok()?;
    let mut message = parsed.keep(&mut Store::default());
    message.set_properties(&vec![("DeadLetterReason".to_owned(), Bytes::from_static(&[0xa1, 1, b'x']))]);
    let stamp = Stamp {
        sequence: 1,
        enqueued_sequence: 1,
        enqueued: 1_790_000_000_000,
        delivery_count: 0,
        state: 0,
        lock: None,
        dead_letter_source: Some("q"),
    };
    let (head, bare) = message.encode(&stamp);
    Some([head, bare].concat())
}

/// A message that was sent by REST, encoded: from a batch's body, and from headers.
pub fn sent(text: &[u8]) -> Vec<Bytes> {
    let mut messages = rest::fuzzing::batch(text).unwrap_or_default();
    messages.extend(rest::fuzzing::single(text));
    messages
}

/// A queue's settings from a description in ATOM; none if it is refused.
pub fn settings(xml: &str) -> Option<QueueSettings> {
    rest::fuzzing::settings(xml)
}

/// Whether a token lets in, in the year 2026.
pub fn lets_in(token: &str) -> bool {
    let key = Key { name: "Root".to_owned(), key: "secret".to_owned() };
    key.check(token, "sb://127.0.0.1/orders", UNIX_EPOCH + Duration::from_secs(1_790_000_000)).is_ok()
}
