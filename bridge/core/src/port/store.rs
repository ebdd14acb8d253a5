//! A key-value store that can refuse a write atomically.

use std::fmt;

use async_trait::async_trait;

use crate::{event::Key, failure::PortError, record::Record, version::Version};

/// Outcome of a conditional write. Losing is not an error: it is the rule at work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PutOutcome {
    /// The record is now the stored state.
    Stored {
        /// The version that it replaced, if there was one.
        replaced: Option<Version>,
    },
    /// The store holds this version or a later one; nothing was written.
    Kept {
        /// The version that the store holds.
        current: Version,
    },
}

/// A key-value store that can refuse a write atomically.
#[async_trait]
pub trait Store: fmt::Debug + fmt::Display + Send + Sync {
    /// Writes `record` whole unless the store already holds its version or a later one.
    ///
    /// Atomic: of any number of concurrent writers, the greatest version is what remains. Writing the same record
    /// again, also after an ambiguous failure, is `Kept` with `current` equal to its version.
    ///
    /// # Errors
    /// `TooLarge` and `Rejected` concern this record alone.
    async fn put_if_newer(&self, record: &Record) -> Result<PutOutcome, PortError>;

    /// Reads the record of `key`, tombstones included. Sees every write that was confirmed before the call.
    ///
    /// # Errors
    /// `Rejected` if what the store holds is not a record of the bridge.
    async fn get(&self, key: &Key) -> Result<Option<Record>, PortError>;
}
