//! For a host that takes one answer for all that it handed over: an Azure Function with a custom handler.
//!
//! Such a host abandons what failed, which brings it back at once and counts: a short outage would use up a message's
//! deliveries within seconds. So what must come again is held here for a while and tried again; what takes longer goes
//! back as a scheduled copy.

use std::time::Duration;

use crate::{
    ending::{Ending, endings},
    halt::{Halt, Spot},
    incident::Incident,
    port::{Delivery, Queue, Reschedule, within},
    set_aside::Desk,
    settlement::Settlement,
    worker::{Verdict, Worker},
};

/// How long an invocation may take.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// One try. What takes longer is not held.
    pub attempt: Duration,
    /// Pauses between tries, all together, before a copy is scheduled instead: each invocation that waits keeps one
    /// of the host's few calls busy.
    pub hold: Duration,
    /// Pauses while halted, all together, before copies are scheduled: as long as it lasts, the host takes nothing more.
    pub halt: Duration,
}

/// The pause between two looks while halted, and before the host brings a message back that no copy may replace. Ours: soon enough after an
/// operator's mend, and no load.
const HALT_PAUSE: Duration = Duration::from_secs(5);

/// What came of an invocation.
#[derive(Debug, Default)]
pub struct Worked {
    /// What was done with each delivery. The host may remove them all, unless it failed.
    pub concluded: Vec<(Delivery, Verdict)>,
    /// Why nothing can succeed for now, if so.
    pub halt: Option<Halt>,
    /// Why the host must be told that the invocation failed, if so: all of its deliveries come again.
    pub failed: Option<Failed>,
}

/// Why the host must be told that an invocation failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failed {
    /// Not even a copy could be scheduled.
    NotRescheduled {
        /// What the queue said.
        detail: String,
    },
    /// No letter holds a message, and no copy may take its place: the broker's own dead letters get it in the end.
    NotSetAside,
}

/// A delivery that must come again.
struct Again {
    delivery: Delivery,
    verdict: Verdict,
    after: Duration,
}

/// Replicates deliveries until each is settled, or safe as a copy.
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
) -> Worked {
    let desk = Desk { queue, settles: false, dead_letters };
    let mut outcome = Worked::default();
    let mut waiting = deliveries;
    let (mut held, mut halted) = (Duration::ZERO, Duration::ZERO);
    loop {
        let tried = within(&*worker.clock, budget.attempt, settle(worker, desk, &waiting)).await;
        let in_time = tried.is_some();
        let again = outcome.sort(worker, waiting, tried);
        if outcome.failed.is_some() {
            worker.clock.sleep(HALT_PAUSE).await;
            return outcome;
        }
        if again.is_empty() {
            return outcome;
        }
        let (spent, pause, limit) = match &outcome.halt {
            // To wait here would keep the host's calls busy for as long as the outage lasts.
            Some(Halt { at: Spot::Away, .. }) => (&mut held, Duration::MAX, Duration::ZERO),
            Some(_) => (&mut halted, HALT_PAUSE, budget.halt),
            None => (&mut held, again.iter().map(|again| again.after).max().unwrap_or_default(), budget.hold),
        };
        if !in_time || spent.saturating_add(pause) > limit {
            outcome.reschedule(worker, copies, again).await;
            return outcome;
        }
        if let Some(halt) = outcome.halt.as_ref().filter(|_| spent.is_zero()) {
            worker.incidents.report(Incident::Halted { detail: &halt.detail });
        }
        *spent += pause;
        worker.clock.sleep(pause).await;
        waiting = again.into_iter().map(Again::once_more).collect();
    }
}

async fn settle(worker: &Worker, desk: Desk<'_>, deliveries: &[Delivery]) -> Vec<(Ending, Verdict)> {
    let mut verdicts = worker.replicate(deliveries).await;
    endings(worker, desk, deliveries, &mut verdicts).await.into_iter().zip(verdicts).collect()
}

impl Worked {
    /// Sorts what one try came to: answers what must come again, and notes the rest. None tried: it took too long.
    fn sort(
        &mut self,
        worker: &Worker,
        deliveries: Vec<Delivery>,
        tried: Option<Vec<(Ending, Verdict)>>,
    ) -> Vec<Again> {
        let mut tried = tried.unwrap_or_default().into_iter();
        let mut again = Vec::new();
        self.halt = None;
        for delivery in deliveries {
            let out_of_time = || {
                let after = worker.policy.retry.base;
                let settlement = Settlement::Retry { after };
                (Ending::Later(after), Verdict { settlement, write: None, event: None, trace: None })
            };
            let (ending, verdict) = tried.next().unwrap_or_else(out_of_time);
            match ending {
                Ending::Remove | Ending::Gone => self.concluded.push((delivery, verdict)),
                Ending::Later(after) => again.push(Again { delivery, verdict, after }),
                Ending::Untouched(halt) => {
                    let after = worker.hidden(&delivery, &halt);
                    self.halt.get_or_insert(halt);
                    again.push(Again { delivery, verdict, after });
                }
                Ending::Stay(_) | Ending::Left(_) => {
                    self.failed = Some(Failed::NotSetAside);
                    self.concluded.push((delivery, verdict));
                }
            }
        }
        again
    }

    /// Puts copies in the place of what must come again.
    async fn reschedule(&mut self, worker: &Worker, copies: &dyn Reschedule, again: Vec<Again>) {
        for Again { mut delivery, verdict, after } in again {
            if matches!(verdict.settlement, Settlement::Halt { .. } | Settlement::Wait { .. }) {
                // That is no failure of the message: half of its tries are left for later.
                delivery.attempt = delivery.attempt.min(worker.policy.attempts_max / 2).max(1);
            }
            match copies.reschedule(&delivery, after).await {
                Ok(()) => self.concluded.push((delivery, verdict)),
                Err(error) => {
                    self.failed = Some(Failed::NotRescheduled { detail: error.chain() });
                    return;
                }
            }
        }
    }
}

impl Again {
    /// A try in the host's hands counts as a delivery does. A look while halted counts as no more than one: it is not the first, after which
    /// the peers are likely to have the event.
    fn once_more(self) -> Delivery {
        let Self { mut delivery, verdict, .. } = self;
        delivery.attempt = match verdict.settlement {
            Settlement::Halt { .. } => delivery.attempt.max(2),
            _ => delivery.attempt.saturating_add(1),
        };
        delivery
    }
}
