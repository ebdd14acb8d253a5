//! How a delivery ends, as data: the worker says it, the host carries it out.

use std::{collections::BTreeSet, time::Duration};

use crate::{event::SiteId, reason::Refusal};

/// How a delivery ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// Done: remove the message.
    Ack,
    /// Not now: deliver it again after this long.
    Retry {
        /// How long to hide the message.
        after: Duration,
    },
    /// Set it aside, where an operator finds it.
    DeadLetter(Letter),
    /// Take nothing more, and give this message back untouched: none can succeed until an operator acts.
    Halt {
        /// What is broken.
        detail: String,
    },
    /// Take nothing more, and give this message back untouched: the site's own store is away. No message is to blame, and none loses an attempt.
    Wait {
        /// What the store said, or what was said in its place.
        detail: String,
    },
}

/// Why a message is set aside, and who has not confirmed its event yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// The code, and the words for it.
    pub refusal: Refusal,
    /// The sites that have not confirmed the event: `replay --to owed` sends it to just these.
    pub owed: BTreeSet<SiteId>,
}

impl Letter {
    /// A letter of what nobody is owed: no site has it, or nobody knows who lacks it.
    pub fn owed_to_nobody(refusal: Refusal) -> Self {
        Self { refusal, owed: BTreeSet::new() }
    }
}
