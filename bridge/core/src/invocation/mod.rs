//! Works off what the host of a function hands over in one invocation, within a budget of time.
//!
//! The two hosts differ in how a delivery ends, and so do the two files: [`partial`] for a host that removes every
//! message which is not reported as failed, [`whole`] for one that takes a single answer for all.

pub mod partial;
pub mod whole;

use std::time::Duration;

use crate::worker::Verdict;

/// What became of one delivery of an invocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The message may go: its event is done, or set aside.
    Settled(Verdict),
    /// The message must come again.
    Again {
        /// What was done; none where its turn never came, or time ran out.
        verdict: Option<Verdict>,
        /// How long it is better left alone.
        after: Duration,
    },
}

impl Ended {
    /// Whether the message may go.
    pub fn is_settled(&self) -> bool {
        matches!(self, Self::Settled(_))
    }

    /// What was done, if anything was.
    pub fn verdict(&self) -> Option<&Verdict> {
        match self {
            Self::Settled(verdict) => Some(verdict),
            Self::Again { verdict, .. } => verdict.as_ref(),
        }
    }
}
