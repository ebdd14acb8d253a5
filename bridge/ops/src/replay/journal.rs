//! What a run has done, as data: JSON Lines, appended as it goes. What stands there is done; what does not stand there is
//! done again, and does no harm.

use bridge_core::port::Write;
use serde::{Deserialize, Serialize};

use super::fingerprint::Fingerprint;

/// One line of a journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "did", rename_all = "snake_case")]
pub enum Receipt {
    /// A run began, the first one or one more.
    Begin {
        /// The plan's hash.
        plan: String,
        /// When, RFC 3339.
        at: String,
    },
    /// A site has the event.
    Confirmed {
        /// The message.
        message: Fingerprint,
        /// The errand, as `SITE/queue` or `SITE/store`.
        by: String,
        /// What it came to.
        outcome: Outcome,
    },
    /// The message has left its source.
    Removed {
        /// The message.
        message: Fingerprint,
    },
    /// The message was confirmed before, and its source gives it no more: it was removed without a word, or somebody else removed or holds it.
    Gone {
        /// The message.
        message: Fingerprint,
    },
}

/// What an errand came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The store held this very write.
    Duplicate,
    /// The store held a later write.
    Superseded,
    /// It is the stored state now.
    Applied,
    /// The site's queue has it; its worker applies it.
    Sent,
}

impl From<&Write> for Outcome {
    fn from(write: &Write) -> Self {
        match write {
            Write::Applied { .. } => Self::Applied,
            Write::Superseded { .. } => Self::Superseded,
            Write::Duplicate => Self::Duplicate,
        }
    }
}

impl Outcome {
    /// The word in journals and tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Duplicate => "duplicate",
            Self::Superseded => "superseded",
            Self::Applied => "applied",
            Self::Sent => "sent",
        }
    }
}

/// Where receipts are kept.
pub trait Journal: Send + Sync {
    /// Appends receipts.
    ///
    /// # Errors
    /// They are not kept: the run must stop, or it could not be resumed.
    fn append(&self, receipts: &[Receipt]) -> std::io::Result<()>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_has_one_word() {
        for outcome in [Outcome::Duplicate, Outcome::Superseded, Outcome::Applied, Outcome::Sent] {
            assert_eq!(serde_json::to_value(outcome).unwrap(), outcome.as_str());
        }
    }
}
