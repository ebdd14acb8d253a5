//! For a host that removes every message of a batch but those reported as failed: AWS Lambda behind SQS.
//!
//! Each message is settled by itself: one that takes long holds up the few that were begun together with it, and what is done when time runs
//! out is reported as done. What was not reached stays hidden until its turn, as each receive counts at the broker.

use std::{
    cmp::Reverse,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use chrono::{DateTime, Utc};
use futures_util::{StreamExt, stream};

use super::Ended;
use crate::{
    ending::{Ending, endings},
    halt::{Halt, Spot},
    incident::Incident,
    limits,
    port::{Delivery, Queue, within},
    set_aside::Desk,
    settlement::Settlement,
    worker::{Verdict, Worker},
};

/// Groups of messages that are under way together. Ours: while one waits for its slowest message, the other goes on.
const GROUPS_AT_ONCE: usize = 2;

/// How much one invocation does, and how long it may take.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// Time for the work. What is not settled by then comes again.
    pub work: Duration,
    /// Time for the last letters and for giving back. What was not given back by then comes again when the host's own hiding of it ends.
    pub give_back: Duration,
    /// Deliveries that are worked on at the same time.
    pub portion: usize,
}

/// What came of an invocation.
#[derive(Debug)]
pub struct Worked {
    /// What became of each delivery, in the order of the batch.
    pub ended: Vec<Ended>,
    /// Why nothing can succeed for now, if so.
    pub halt: Option<Halt>,
    /// Deliveries of which nothing was concluded: their turn never came, or time ran out.
    pub unfinished: usize,
}

/// Replicates a batch, beginning with the messages that were delivered most often, and gives back what must come again.
///
/// # Cancel safety
/// Safe to drop at any await, as the host then delivers the whole batch again.
pub async fn work_off(
    worker: &Worker,
    queue: &dyn Queue,
    dead_letters: &dyn Queue,
    batch: &[Delivery],
    budget: Budget,
) -> Worked {
    let mut order: Vec<usize> = (0..batch.len()).collect();
    order.sort_by_key(|at| Reverse(batch[*at].attempt));
    let invocation = Invocation {
        worker,
        desk: Desk { queue, settles: true, dead_letters },
        batch,
        order,
        begin: worker.clock.now(),
        state: Mutex::new(State {
            slots: batch.iter().map(|_| Slot::Waiting).collect(),
            slowest: Duration::ZERO,
            halted: None,
        }),
    };
    within(&*worker.clock, budget.work, invocation.work(budget)).await;
    within(&*worker.clock, budget.give_back / 2, invocation.end(&invocation.order)).await;
    let outcome = invocation.conclude();

    let again = batch.iter().zip(&outcome.ended).filter_map(|(delivery, ended)| match ended {
        Ended::Again { after, .. } => Some((delivery, *after)),
        Ended::Settled(_) => None,
    });
    let again: Vec<(&Delivery, Duration)> = again.collect();
    if !again.is_empty() {
        let given_back = within(&*worker.clock, budget.give_back / 2, queue.retry(&again)).await;
        // What cannot be hidden for the chosen time comes again in the host's own time, which does no harm.
        if let Some(error) = given_back.into_iter().flatten().find_map(Result::err) {
            worker.incidents.report(Incident::NotHidden(&error));
        }
    }
    outcome
}

struct Invocation<'a> {
    worker: &'a Worker,
    desk: Desk<'a>,
    batch: &'a [Delivery],
    /// Places in the batch, in the order of the work.
    order: Vec<usize>,
    begin: DateTime<Utc>,
    state: Mutex<State>,
}

struct State {
    /// How far each delivery has come, by its place in the batch.
    slots: Vec<Slot>,
    /// The longest that a group took so far.
    slowest: Duration,
    /// Why nothing more is begun, if so.
    halted: Option<Spot>,
}

/// How far a delivery has come.
enum Slot {
    Waiting,
    Begun,
    Concluded(Verdict),
    Ended(Ending, Verdict),
}

impl Invocation<'_> {
    async fn work(&self, budget: Budget) {
        let size = budget.portion.div_ceil(GROUPS_AT_ONCE).max(1);
        let groups = stream::iter(self.order.chunks(size));
        groups.for_each_concurrent(GROUPS_AT_ONCE, |group| self.settle(group, budget.work)).await;
    }

    /// Whether a group that takes as long as the slowest so far will end in time. A message that is begun in vain has used its peers and its
    /// store.
    fn may_begin(&self, group: &[usize], work: Duration) -> bool {
        let state = self.state();
        let halted = match state.halted {
            None => false,
            // What has waited out gets its letter without the store.
            Some(Spot::Away) => !group.iter().any(|at| self.worker.has_waited_out(&self.batch[*at])),
            Some(_) => true,
        };
        !halted && self.elapsed() + state.slowest <= work
    }

    /// Works a group off, if it is likely to end within `work`.
    async fn settle(&self, group: &[usize], work: Duration) {
        if !self.may_begin(group, work) {
            return;
        }
        let begin = self.elapsed();
        let deliveries: Vec<Delivery> = group.iter().map(|at| self.batch[*at].clone()).collect();
        for at in group {
            self.state().slots[*at] = Slot::Begun;
        }
        let note = |at: usize, verdict: Verdict| {
            let mut state = self.state();
            match verdict.settlement {
                Settlement::Halt { .. } => state.halted = Some(Spot::Store),
                Settlement::Wait { .. } => drop(state.halted.get_or_insert(Spot::Away)),
                Settlement::Ack | Settlement::Retry { .. } | Settlement::DeadLetter(_) => {}
            }
            state.slots[group[at]] = Slot::Concluded(verdict);
        };
        self.worker.replicate_each(&deliveries, &note).await;
        self.end(group).await;
        let mut state = self.state();
        state.slowest = state.slowest.max(self.elapsed().saturating_sub(begin));
    }

    /// Ends what is concluded, of the deliveries at these places: sends their letters.
    async fn end(&self, places: &[usize]) {
        let concluded = |at: &usize| match &self.state().slots[*at] {
            Slot::Concluded(verdict) => Some((*at, verdict.clone())),
            _ => None,
        };
        let (places, mut verdicts): (Vec<usize>, Vec<Verdict>) = places.iter().filter_map(concluded).unzip();
        let deliveries: Vec<Delivery> = places.iter().map(|at| self.batch[*at].clone()).collect();
        let endings = endings(self.worker, self.desk, &deliveries, &mut verdicts).await;
        let mut state = self.state();
        for (at, (ending, verdict)) in places.into_iter().zip(endings.into_iter().zip(verdicts)) {
            if let Ending::Untouched(halt) = &ending {
                state.halted = Some(halt.at);
            }
            state.slots[at] = Slot::Ended(ending, verdict);
        }
    }

    /// What became of each delivery by now.
    fn conclude(&self) -> Worked {
        let slots = std::mem::take(&mut self.state().slots);
        let finished = slots.iter().filter(|slot| matches!(slot, Slot::Concluded(_) | Slot::Ended(..))).count();
        let mut worked = Worked { ended: Vec::new(), halt: None, unfinished: slots.len() - finished };
        let mut ended: Vec<Option<Ended>> =
            slots.into_iter().enumerate().map(|(at, slot)| self.ended(at, slot, &mut worked)).collect();
        let mut ahead = 0;
        for at in &self.order {
            if ended[*at].is_none() {
                let after = match &worked.halt {
                    Some(halt) => self.worker.hidden(&self.batch[*at], halt),
                    None => self.turn(*at, ahead, finished),
                };
                ended[*at] = Some(Ended::Again { verdict: None, after });
                ahead += 1;
            }
        }
        worked.ended = ended.into_iter().flatten().collect();
        worked
    }

    /// What became of a delivery; none where nothing was concluded of it.
    fn ended(&self, at: usize, slot: Slot, worked: &mut Worked) -> Option<Ended> {
        let again = |verdict, after| Ended::Again { verdict: Some(verdict), after };
        Some(match slot {
            Slot::Waiting | Slot::Begun => return None,
            Slot::Ended(Ending::Remove | Ending::Gone, verdict) => Ended::Settled(verdict),
            Slot::Ended(Ending::Later(after) | Ending::Stay(after), verdict) => again(verdict, after),
            Slot::Ended(Ending::Untouched(halt), verdict) => {
                let after = self.worker.hidden(&self.batch[at], &halt);
                worked.halt.get_or_insert(halt);
                again(verdict, after)
            }
            Slot::Ended(Ending::Left(_), verdict) => again(verdict, self.worker.far(&self.batch[at])),
            // There was no time for its letter.
            Slot::Concluded(verdict) => {
                let after = self.worker.policy.retry.base;
                again(Verdict { settlement: Settlement::Retry { after }, ..verdict }, after)
            }
        })
    }

    /// When a delivery that was not reached is likely to have its turn, with `ahead` others before it, where one invocation finishes `finished`
    /// of them: to show it earlier would cost a receive for nothing. Later with each delivery, so that no flood uses them up.
    fn turn(&self, at: usize, ahead: usize, finished: usize) -> Duration {
        let invocations = ahead.checked_div(finished).unwrap_or(ahead + 1);
        let share = self.elapsed().saturating_mul(u32::try_from(invocations).unwrap_or(u32::MAX));
        let doublings = self.batch[at].attempt.saturating_sub(DELIVERIES_FOR_NOTHING).min(31);
        let longer = if doublings == 0 { Duration::ZERO } else { Duration::from_secs(1 << doublings) };
        share.max(longer).min(limits::UNREACHED_MAX)
    }

    fn elapsed(&self) -> Duration {
        (self.worker.clock.now() - self.begin).to_std().unwrap_or_default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Deliveries of a message that was not reached, before it waits longer and longer. Ours: a function that keeps up needs fewer.
const DELIVERIES_FOR_NOTHING: u32 = 3;
