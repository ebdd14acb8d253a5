//! A key-value store that can refuse a write atomically.

use std::fmt;

use async_trait::async_trait;

use crate::{event::Key, failure::PortError, record::Record, version::Version};

/// Outcome of a conditional write. Losing is not an error: it is the rule at work.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Write {
    /// The record is now the stored state.
    Applied {
        /// The version that it replaced, if there was one.
        replaced: Option<Version>,
    },
    /// The store holds a later write; nothing was written. Within a batch, the batch had a later one.
    Superseded {
        /// The later write.
        by: Version,
    },
    /// The store holds this very write; nothing was written.
    Duplicate,
}

impl Write {
    /// The outcome for `version` where the store holds `current`, which is no older.
    pub fn kept(current: Version, version: &Version) -> Self {
        if current == *version { Self::Duplicate } else { Self::Superseded { by: current } }
    }

    /// The word in logs and metrics.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Applied { .. } => "applied",
            Self::Superseded { .. } => "superseded",
            Self::Duplicate => "duplicate",
        }
    }
}

/// A key-value store that can refuse a write atomically.
#[async_trait]
pub trait Store: fmt::Debug + fmt::Display + Send + Sync {
    /// Writes `record` whole unless the store already holds its version or a later one.
    ///
    /// Atomic: of any number of concurrent writers, the greatest version is what remains. Writing the same record
    /// again, also after an ambiguous failure, is a `Duplicate`.
    ///
    /// # Errors
    /// `TooLarge` and `Rejected` concern this record alone.
    async fn put_if_newer(&self, record: &Record) -> Result<Write, PortError>;

    /// Reads the record of `key`, tombstones included. Sees every write that was confirmed before the call.
    ///
    /// # Errors
    /// `Rejected` if what the store holds is not a record of the bridge.
    async fn get(&self, key: &Key) -> Result<Option<Record>, PortError>;
}
