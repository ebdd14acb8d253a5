//! Names a message for a plan and its journal, so that the same message is known again however often it is delivered.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The first 16 bytes of SHA-256 over the queue's number, the broker's name for the message, and its body: what came
/// later, or was changed, is another message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Fingerprint([u8; 16]);

impl Fingerprint {
    /// The fingerprint of a message in the queue that stands at `queue` among a plan's sources.
    pub fn of(queue: usize, message_id: &str, body: &[u8]) -> Self {
        let mut hash = Sha256::new();
        hash.update((queue as u64).to_be_bytes());
        hash.update((message_id.len() as u64).to_be_bytes());
        hash.update(message_id);
        hash.update(body);
        let mut first = [0; 16];
        first.copy_from_slice(&hash.finalize()[..16]);
        Self(first)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl FromStr for Fingerprint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut bytes = [0; 16];
        let read = hex::decode_to_slice(text, &mut bytes).map(|()| Self(bytes)).ok();
        read.filter(|read| read.to_string() == text).ok_or_else(|| format!("{text:?} is no fingerprint"))
    }
}

impl From<Fingerprint> for String {
    fn from(fingerprint: Fingerprint) -> Self {
        fingerprint.to_string()
    }
}

impl TryFrom<String> for Fingerprint {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queue_name_and_body_all_count() {
        let all = [
            Fingerprint::of(0, "a", b"bc"),
            Fingerprint::of(1, "a", b"bc"),
            Fingerprint::of(0, "ab", b"c"),
            Fingerprint::of(0, "a", b"bd"),
        ];
        for (at, one) in all.iter().enumerate() {
            assert!(all.iter().skip(at + 1).all(|other| one != other));
            assert_eq!(one.to_string().parse(), Ok(*one));
        }
        for none in [String::new(), "x".repeat(32), format!("+{}", "1".repeat(31)), "A".repeat(32)] {
            assert!(none.parse::<Fingerprint>().is_err(), "{none}");
        }
    }
}
