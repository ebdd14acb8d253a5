//! From what the store and the peers answered to how the delivery ends, without I/O: the table of the design as code.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use crate::{
    event::SiteId,
    failure::{PortError, Recovery},
    port::Write,
    reason::{Reason, Refusal},
    retry::Backoff,
    settlement::{Letter, Settlement},
    version::Version,
};

/// What became of the write to the site's own store.
#[derive(Clone, Debug)]
pub(crate) enum Applied {
    /// The store has this version or a later one.
    Done(Write),
    /// The store failed, or refused the record.
    Failed(Arc<PortError>),
    /// The store is away, and no key is to blame.
    Away(Arc<PortError>),
    /// The worker's own bug.
    Panicked,
}

impl Applied {
    /// Why there was no answer, for a trace.
    pub(crate) fn failure(&self) -> Option<String> {
        match self {
            Self::Done(_) => None,
            Self::Failed(error) | Self::Away(error) => Some(error.chain()),
            Self::Panicked => Some("panicked".to_owned()),
        }
    }

    /// What the write of the greatest version of a key means for another event of that key in the same batch, which
    /// had no write of its own. `same`: the other event has that very version.
    pub(crate) fn for_coalesced(&self, same: bool, greatest: &Version) -> Self {
        match self {
            Self::Done(_) if same => Self::Done(Write::Duplicate),
            Self::Done(Write::Superseded { by }) => Self::Done(Write::Superseded { by: by.clone() }),
            Self::Done(_) => Self::Done(Write::Superseded { by: greatest.clone() }),
            other => other.clone(),
        }
    }

    /// Whether the message ends with this delivery: it will not be tried again, nor taken up after a halt. Who is owed the event has to be
    /// known then.
    pub(crate) fn ends_the_delivery(&self, attempt: &Attempt<'_>) -> bool {
        match self {
            Self::Done(_) => true,
            Self::Failed(error) => match error.kind.recovery() {
                Recovery::DeadLetter => true,
                Recovery::Retry => attempt.is_last,
                Recovery::Halt => false,
            },
            Self::Away(_) => attempt.has_waited_out,
            Self::Panicked => attempt.is_last,
        }
    }
}

/// What a peer's queue answered.
pub(crate) type Forwarded = Result<(), Arc<PortError>>;

/// The delivery that is concluded.
pub(crate) struct Attempt<'a> {
    pub(crate) site: &'a SiteId,
    pub(crate) number: u32,
    /// Whether a failure is not tried again.
    pub(crate) is_last: bool,
    /// Whether the message waits no longer for a store that is away.
    pub(crate) has_waited_out: bool,
    pub(crate) retry: Backoff,
}

/// Concludes one delivery.
///
/// The site's own store decides first. A peer never halts a site and never delays it: whatever keeps a peer from
/// confirming, also lost permissions or a missing queue, leaves the event owed to it in a dead letter.
pub(crate) fn conclude<'a>(
    attempt: &Attempt<'_>,
    applied: &Applied,
    forwarded: impl Iterator<Item = (&'a SiteId, &'a Forwarded)>,
    rng: &mut fastrand::Rng,
) -> Settlement {
    let failed: Vec<(&SiteId, &Arc<PortError>)> =
        forwarded.filter_map(|(site, sent)| Some((site, sent.as_ref().err()?))).collect();
    let peers: BTreeSet<SiteId> = failed.iter().map(|(site, _)| (*site).clone()).collect();
    let mut retry_or = |reason: Reason, detail: String, hint: Option<Duration>| {
        if !attempt.is_last {
            return Settlement::Retry { after: attempt.retry.delay(attempt.number, hint, rng) };
        }
        let detail = format!("given up after {} deliveries; {detail}", attempt.number);
        dead_letter(reason, detail, with_site(&peers, attempt.site))
    };
    match applied {
        Applied::Failed(error) => match error.kind.recovery() {
            Recovery::Retry => retry_or(Reason::RetriesExhausted, error.chain(), error.kind.retry_after()),
            Recovery::DeadLetter => dead_letter(Reason::StoreRejected, error.chain(), with_site(&peers, attempt.site)),
            Recovery::Halt => Settlement::Halt { detail: error.chain() },
        },
        Applied::Away(error) if attempt.has_waited_out => {
            let detail = format!("the message's queue would not keep it much longer; {}", error.chain());
            dead_letter(Reason::StoreAway, detail, with_site(&peers, attempt.site))
        }
        Applied::Away(error) => Settlement::Wait { detail: error.chain() },
        Applied::Panicked => retry_or(Reason::Panicked, "the worker panicked, see its log".to_owned(), None),
        Applied::Done(_) if failed.is_empty() => Settlement::Ack,
        Applied::Done(_) => {
            let refused = failed.iter().all(|(_, error)| error.kind.recovery() == Recovery::DeadLetter);
            let reason = if refused { Reason::PeerRejected } else { Reason::PeerUnavailable };
            let detail: Vec<_> = failed.iter().map(|(site, error)| format!("{site}: {}", error.chain())).collect();
            dead_letter(reason, detail.join("; "), peers)
        }
    }
}

fn with_site(peers: &BTreeSet<SiteId>, site: &SiteId) -> BTreeSet<SiteId> {
    peers.iter().chain([site]).cloned().collect()
}

fn dead_letter(reason: Reason, detail: String, owed: BTreeSet<SiteId>) -> Settlement {
    Settlement::DeadLetter(Letter { refusal: Refusal::new(reason, detail), owed })
}
