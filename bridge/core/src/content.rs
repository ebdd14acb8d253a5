//! What an event says beside the name of the write, in 64 bits: two contents under one name are two writes by it.
//!
//! The figure is the beginning of a SHA-256 of the event's operation, the text of its timestamp, its key and its payload
//! (a delete has none), as the [`canonical`] text of one JSON array. `schema/README.md` has an example.

use std::{fmt, str::FromStr};

use sha2::{Digest as _, Sha256};

use crate::{canonical, key::Key, op::Op, payload::Payload};

/// Of all that a record keeps of an event, whatever its version does not say already.
///
/// 64 bits: that two contents of one event have the same figure by chance happens once in 2^64 times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContentDigest(u64);

impl ContentDigest {
    /// The digest of a content. How its numbers are spelled, in what order members stand and which envelope it came in
    /// make no difference.
    pub fn of(op: Op, timestamp: &str, key: &Key, payload: Option<&Payload>) -> Self {
        let hash = hash(Sha256::new(), op, timestamp, key, payload).finalize();
        Self(u64::from_be_bytes(hash[..8].try_into().expect("8 bytes are 8 bytes")))
    }
}

/// Takes in the text that stands for a content.
pub fn hash(hash: Sha256, op: Op, timestamp: &str, key: &Key, payload: Option<&Payload>) -> Sha256 {
    let mut text = Vec::with_capacity(256);
    text.push(b'[');
    for part in [op.as_str(), timestamp, key.as_str()] {
        canonical::write_string(part, &mut text);
        text.push(b',');
    }
    if payload.is_none() {
        text.pop();
    }
    hash.chain_update(text).chain_update(payload.map_or("", Payload::as_str)).chain_update("]")
}

/// Sixteen hexadecimal digits.
impl fmt::Display for ContentDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for ContentDigest {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        u64::from_str_radix(text, 16).map(Self)
    }
}

impl From<u64> for ContentDigest {
    fn from(bits: u64) -> Self {
        Self(bits)
    }
}

impl From<ContentDigest> for u64 {
    fn from(digest: ContentDigest) -> Self {
        digest.0
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn of(op: Op, timestamp: &str, key: &str, payload: Option<Value>) -> String {
        let payload = payload.map(|payload| payload.to_string().parse().unwrap());
        ContentDigest::of(op, timestamp, &key.parse().unwrap(), payload.as_ref()).to_string()
    }

    /// The example of `schema/README.md`, whose figure `sha256sum` gave.
    #[test]
    fn the_digest_is_that_of_the_contract() {
        let payload = json!({ "total": 1999.0, "id": "order-42", "currency": "EUR" });
        let upsert = of(Op::Update, "2026-11-21T01:02:03.123456Z", "order-42", Some(payload));
        assert_eq!(upsert, "ab542efc433a3778");
        let delete = of(Op::Delete, "2026-11-21T01:02:04Z", "order-42", None);
        assert_eq!(delete, "e4f0ec29dbe7f1f7");
    }

    #[test]
    fn every_part_counts_and_no_two_parts_run_into_each_other() {
        let (time, payload) = ("2026-11-21T01:02:03Z", || Some(json!({"a": 1})));
        let mut all = vec![
            of(Op::Update, time, "k", payload()),
            of(Op::Upsert, time, "k", payload()),
            of(Op::Update, "2026-11-21T01:02:03.0Z", "k", payload()),
            of(Op::Update, time, "l", payload()),
            of(Op::Update, time, "k", Some(json!({"a": 2}))),
            of(Op::Update, time, "k", Some(json!({"a": "1"}))),
            of(Op::Update, time, "k", Some(json!({}))),
            of(Op::Update, time, "k", None),
            of(Op::Update, time, "k\",\"l", None),
            of(Op::Delete, time, "k", None),
        ];
        let count = all.len();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), count);
    }
}
