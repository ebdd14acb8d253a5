//! For a host that takes one answer for all that it handed over: an Azure Function with a custom handler.
//!
//! Such a host abandons what failed, which brings it back at once and counts: a short outage would use up a message's
//! deliveries within seconds. So what must come again is held here for a while and tried again; what takes longer goes
//! back as a scheduled copy.

use std::time::Duration;

use super::{Ended, Halted, settle};
use crate::{
    pipeline::{Verdict, Worker},
    port::{Delivery, Queue, Reschedule, within},
    settlement::Settlement,
};

/// How long an invocation may take.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// One try. What takes longer is not held.
    pub attempt: Duration,
    /// Pauses between tries, all together, before a copy is scheduled instead: each invocation that waits keeps one
    /// of the host's few calls busy.
    pub hold: Duration,
    /// Pauses while halted, all together, before the host is told: it then counts a delivery.
    pub halt: Duration,
}

/// The pause between two looks while halted. Ours: soon enough after an operator's mend, and no load.
const HALT_PAUSE: Duration = Duration::from_secs(5);

/// Why the host must be told that the invocation failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failed {
    /// See there.
    Halted(Halted),
    /// Not even a copy could be scheduled.
    NotRescheduled {
        /// What the queue said.
        detail: String,
    },
}

/// Replicates deliveries until each is settled, or safe as a copy; answers what was concluded of each.
///
/// # Errors
/// The host must be told: all of the deliveries come again.
///
/// # Cancel safety
/// Safe to drop at any await, as the host then delivers all again.
pub async fn work_off(
    worker: &Worker,
    queue: &dyn Queue,
    copies: &dyn Reschedule,
    dead_letters: &dyn Queue,
    deliveries: Vec<Delivery>,
    budget: Budget,
) -> Result<Vec<(Delivery, Verdict)>, Failed> {
    let mut settled = Vec::with_capacity(deliveries.len());
    let mut waiting = deliveries;
    let (mut held, mut halted) = (Duration::ZERO, Duration::ZERO);
    while !waiting.is_empty() {
        let tried = within(&*worker.clock, budget.attempt, settle(worker, queue, dead_letters, &waiting)).await;
        let in_time = tried.is_some();
        let out_of_time = || vec![Ended::Again { verdict: None, after: worker.policy.retry.base }; waiting.len()];
        let ended = match tried.unwrap_or_else(|| Ok(out_of_time())) {
            Ok(ended) => ended,
            Err(reason) if halted + HALT_PAUSE > budget.halt => return Err(Failed::Halted(reason)),
            Err(reason) => {
                if halted.is_zero() {
                    tracing::error!(detail = reason.detail, "halted: nothing is lost; see runbooks/halted.md");
                }
                worker.clock.sleep(HALT_PAUSE).await;
                halted += HALT_PAUSE;
                // The peers have the events by now, most likely: a look is no first delivery, and counts as no more than one.
                for delivery in &mut waiting {
                    delivery.attempt = delivery.attempt.max(2);
                }
                continue;
            }
        };
        let mut again = Vec::new();
        for (delivery, ended) in waiting.into_iter().zip(ended) {
            match ended {
                Ended::Settled(verdict) => settled.push((delivery, verdict)),
                Ended::Again { verdict, after } => again.push((delivery, verdict, after)),
            }
        }
        let pause = again.iter().map(|(_, _, after)| *after).max().unwrap_or_default();
        if in_time && held + pause <= budget.hold {
            worker.clock.sleep(pause).await;
            held += pause;
            waiting = again.into_iter().map(|(delivery, ..)| tried_once_more(delivery)).collect();
            continue;
        }
        for (delivery, verdict, after) in again {
            let sent = copies.reschedule(&delivery, after).await;
            sent.map_err(|error| Failed::NotRescheduled { detail: error.chain() })?;
            let settlement = Settlement::Retry { after };
            let verdict = verdict.unwrap_or(Verdict { settlement, write: None, event: None, trace: None });
            settled.push((delivery, verdict));
        }
        break;
    }
    Ok(settled)
}

/// A try in the host's hands counts as a delivery does.
fn tried_once_more(delivery: Delivery) -> Delivery {
    Delivery { attempt: delivery.attempt.saturating_add(1), ..delivery }
}
