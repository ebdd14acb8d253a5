//! Why a message was set aside: the codes of `schema/dead-letter-reasons.json`, which operators filter by.

use std::fmt;

use crate::{limits, text};

/// Why a message was set aside. Codes are stable: they stand in letters, metrics, filters and runbooks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// The body is not a JSON object in UTF-8.
    NotJson,
    /// A member name occurs twice in one object.
    DuplicateMember,
    /// A field is missing, or not of its kind.
    InvalidEvent,
    /// Written by a later version of the contract, or of another specification.
    UnsupportedSchemaVersion,
    /// The key is missing, empty, or longer than a store takes.
    InvalidKey,
    /// One of the stores could not hold the payload exactly.
    NotPortable,
    /// Longer than the narrowest site takes.
    TooLarge,
    /// Stamped further in the future than clocks may differ.
    ClockSkew,
    /// Stamped longer ago than deletes are remembered.
    TooOld,
    /// The origin is not a configured site.
    UnknownOrigin,
    /// It names a peer as its origin, and that peer did not forward it.
    NotForwarded,
    /// Applied here, but a peer could not be reached.
    PeerUnavailable,
    /// The store failed again and again.
    RetriesExhausted,
    /// The store was away for nearly as long as the queue keeps messages.
    StoreAway,
    /// The store refused this one record.
    StoreRejected,
    /// A peer's queue refused this one message.
    PeerRejected,
    /// The worker itself failed on it again and again.
    Panicked,
}

impl Reason {
    /// Every reason, for help texts and for the test against the schema.
    pub const ALL: [Self; 17] = [
        Self::NotJson,
        Self::DuplicateMember,
        Self::InvalidEvent,
        Self::UnsupportedSchemaVersion,
        Self::InvalidKey,
        Self::NotPortable,
        Self::TooLarge,
        Self::ClockSkew,
        Self::TooOld,
        Self::UnknownOrigin,
        Self::NotForwarded,
        Self::PeerUnavailable,
        Self::RetriesExhausted,
        Self::StoreAway,
        Self::StoreRejected,
        Self::PeerRejected,
        Self::Panicked,
    ];

    /// The code.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotJson => "not_json",
            Self::DuplicateMember => "duplicate_member",
            Self::InvalidEvent => "invalid_event",
            Self::UnsupportedSchemaVersion => "unsupported_schema_version",
            Self::InvalidKey => "invalid_key",
            Self::NotPortable => "not_portable",
            Self::TooLarge => "too_large",
            Self::ClockSkew => "clock_skew",
            Self::TooOld => "too_old",
            Self::UnknownOrigin => "unknown_origin",
            Self::NotForwarded => "not_forwarded",
            Self::PeerUnavailable => "peer_unavailable",
            Self::RetriesExhausted => "retries_exhausted",
            Self::StoreAway => "store_away",
            Self::StoreRejected => "store_rejected",
            Self::PeerRejected => "peer_rejected",
            Self::Panicked => "panicked",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A message that can never succeed as it is, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {detail}")]
pub struct Refusal {
    /// The code.
    pub reason: Reason,
    /// What is wrong, where, and with which figures; never a payload's content beyond the offending value.
    pub detail: String,
}

impl Refusal {
    /// A refusal whose detail is one line that every queue carries, however long and odd the text that it quotes.
    pub fn new(reason: Reason, detail: impl fmt::Display) -> Self {
        let detail = text::bounded(&detail.to_string(), limits::DETAIL_CHARS_MAX, limits::DETAIL_BYTES_MAX);
        Self { reason, detail }
    }
}
