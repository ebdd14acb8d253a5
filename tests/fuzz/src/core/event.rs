//! The body of a message, in both envelopes.

use bridge_core::{
    envelope,
    event::{Event, Op},
    limits,
    reason::Refusal,
    version::Version,
};
use bytes::Bytes;
use serde_json::Value;

/// What is accepted reads the same once forwarded, and keeps within every limit; what is refused has words fit for a letter.
pub(crate) fn run(bytes: &[u8]) {
    match envelope::decode(bytes, "/id") {
        Ok(event) => accepted(bytes, &event),
        Err(refusal) => refused(&refusal),
    }
}

fn accepted(bytes: &[u8], event: &Event) {
    let forwarded = envelope::forwardable(&Bytes::copy_from_slice(bytes));
    assert_eq!(envelope::decode(&forwarded, "/id").as_ref(), Ok(event), "a peer reads another event");
    assert!(event.key.escaped().len() <= limits::KEY_BYTES_MAX);
    let version = event.version();
    assert_eq!(version.as_str().parse::<Version>().as_ref(), Ok(version), "a store gives back another version");
    assert_eq!(
        (version.timestamp(), version.origin(), version.event_id()),
        (event.timestamp.utc, event.origin.clone(), event.id)
    );
    // Another reader of JSON sees the same payload, and what it writes is the same write.
    let other: Value = serde_json::from_slice(bytes).unwrap();
    let payload = ["payload", "data"].map(|name| other.get(name)?.to_string().parse().ok());
    let same = payload.contains(&Some(event.payload.clone()));
    assert!(same || event.op == Op::Delete, "serde_json reads another payload");
    let again = envelope::decode(other.to_string().as_bytes(), "/id").map(|again| again.version().clone());
    assert_eq!(again.as_ref(), Ok(version), "written by another it is another write");
}

pub(crate) fn refused(refusal: &Refusal) {
    // One character more is the sign that it was cut.
    assert!(refusal.detail.chars().count() <= limits::DETAIL_CHARS_MAX + 1);
    assert!(!refusal.detail.is_empty());
}
