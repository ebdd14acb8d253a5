//! Works off what the host of a function hands over in one invocation, within a budget of time.
//!
//! The two hosts differ in how a delivery ends, and so do the two files: [`partial`] for a host that removes every
//! message which is not reported as failed, [`whole`] for one that takes a single answer for all.

pub mod partial;
pub mod whole;

use std::time::Duration;

use crate::{
    carry_out::set_aside,
    failure::Recovery,
    pipeline::{Verdict, Worker},
    port::{Delivery, Queue},
    settlement::{Letter, Settlement},
};

/// Nothing can succeed until an operator acts: the host must take nothing more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Halted {
    /// What is broken.
    pub detail: String,
}

/// What became of one delivery of an invocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The message may go: its event is done, or set aside.
    Settled(Verdict),
    /// The message must come again.
    Again {
        /// What was concluded; none where its turn never came, or time ran out.
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

    /// What was concluded, if anything was.
    pub fn verdict(&self) -> Option<&Verdict> {
        match self {
            Self::Settled(verdict) => Some(verdict),
            Self::Again { verdict, .. } => verdict.as_ref(),
        }
    }
}

/// Replicates deliveries and sends the letters among them.
///
/// # Errors
/// Halted: the store, or the dead-letter queue, can be used by nobody. What else was done may be done again.
async fn settle(
    worker: &Worker,
    queue: &dyn Queue,
    dead_letters: &dyn Queue,
    deliveries: &[Delivery],
) -> Result<Vec<Ended>, Halted> {
    let verdicts = worker.replicate(deliveries).await;
    let mut letters: Vec<(&Delivery, &Letter)> = Vec::new();
    for (delivery, verdict) in deliveries.iter().zip(&verdicts) {
        match &verdict.settlement {
            Settlement::DeadLetter(letter) => letters.push((delivery, letter)),
            Settlement::Halt { detail } => return Err(Halted { detail: detail.clone() }),
            Settlement::Ack | Settlement::Retry { .. } => {}
        }
    }
    let mut sent = set_aside(worker, dead_letters, &queue.to_string(), &letters).await.into_iter();
    let end = |(delivery, verdict): (&Delivery, Verdict)| {
        let after = match &verdict.settlement {
            Settlement::Retry { after } => *after,
            Settlement::DeadLetter(_) => match sent.next() {
                Some(Err(error)) if error.kind.recovery() == Recovery::Halt => {
                    return Err(Halted { detail: error.chain() });
                }
                Some(Err(error)) => {
                    let (message_id, error) = (&delivery.message_id, error.chain());
                    tracing::warn!(message_id, error, "not set aside: the message comes again");
                    worker.policy.retry.base
                }
                _ => return Ok(Ended::Settled(verdict)),
            },
            _ => return Ok(Ended::Settled(verdict)),
        };
        Ok(Ended::Again { verdict: Some(verdict), after })
    };
    deliveries.iter().zip(verdicts).map(end).collect()
}
