//! What a worker or a replay dealt with by itself, as data: for whoever keeps a log. The core writes none.

use std::fmt;

use crate::{failure::PortError, reason::Reason};

/// Something that did not go as it should, and that no result tells of.
#[derive(Clone, Copy, Debug)]
pub enum Incident<'a> {
    /// The dead-letter queue refused this letter, and took a smaller form of it.
    LetterShortened {
        /// The message.
        message_id: &'a str,
        /// The refusal.
        error: &'a PortError,
    },
    /// The dead-letter queue takes no letter that holds this message. It has an excerpt, and the message stays in its queue.
    LetterExcerpted {
        /// The message.
        message_id: &'a str,
        /// Why it was to be set aside.
        reason: Reason,
        /// Bytes of its body.
        body_bytes: usize,
    },
    /// A message was not set aside, and some more of its batch: they come again.
    NotSetAside {
        /// The first of them.
        message_id: &'a str,
        /// How many there are beside it.
        more: usize,
        /// What kept it from that.
        error: &'a PortError,
    },
    /// Some leases were not extended. Those that still hold are tried again.
    LeasesNotExtended {
        /// How many of them are lost: their messages come again.
        lost: usize,
        /// The last failure.
        error: &'a PortError,
    },
    /// Some messages were not given back: they come again when their leases end.
    NotGivenBack(&'a PortError),
    /// Some messages were not hidden for the chosen time: they come again in the host's own time.
    NotHidden(&'a PortError),
    /// Nothing can succeed until an operator acts, and the host of a function waits for that.
    Halted {
        /// What is broken.
        detail: &'a str,
    },
    /// Messages in other hands are not counted: that needs a permission which a replay can do without.
    NotCounted(&'a PortError),
}

/// Whoever is told of incidents. Called on the caller's task: it must be quick, and must not block.
pub trait Incidents: fmt::Debug + Send + Sync {
    /// Takes note of one.
    fn report(&self, incident: Incident<'_>);
}

/// Nobody is told.
#[derive(Clone, Copy, Debug)]
pub struct Untold;

impl Incidents for Untold {
    fn report(&self, _: Incident<'_>) {}
}
