//! A site to forward to. A dark peer costs neither latency nor function time: after some failures in a row its circuit opens, and
//! one that keeps silent is waited for within a bound. What it did not confirm is owed to it.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, Utc};

use crate::{
    circuit::{Circuit, CircuitPolicy, CircuitState},
    conclude::Forwarded,
    event::SiteId,
    failure::{FailureKind, PortError, Recovery},
    port::{Clock, Message, Queue, within},
    retry,
};

/// A site to forward to.
#[derive(Debug)]
pub struct Peer {
    /// Its name.
    pub site: SiteId,
    /// Its queue.
    pub queue: Arc<dyn Queue>,
    circuit: Mutex<Circuit>,
    /// Messages that it did not take, and may take later.
    missed: AtomicU64,
    /// Sends that reached it.
    reached: AtomicU64,
}

/// The part of the budget after which a try is not waited for alone. Ours: an answer takes milliseconds, so a quarter of the usual 10 s
/// says that this connection is dead; and a slow answer that comes later still counts.
const SHARES: u32 = 4;

/// How hard a worker tries to send, and by which clock.
#[derive(Clone, Copy)]
pub(crate) struct Tries<'a> {
    pub(crate) clock: &'a dyn Clock,
    /// Sends of one message at most.
    pub(crate) attempts_max: u32,
    /// Time for all of them.
    pub(crate) time: Duration,
    /// The pause after so many tries, with what the service asked for.
    pub(crate) pause: &'a (dyn Fn(u32, Option<Duration>) -> Duration + Sync),
}

/// A send that is under way. One that is dropped, or that panics, has reached nobody as far as anybody knows.
struct Sending<'a> {
    peer: &'a Peer,
    clock: &'a dyn Clock,
    answer: Answer,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Answer {
    Reached,
    Failed,
    /// Every message timed out.
    Silence,
}

impl Drop for Sending<'_> {
    fn drop(&mut self) {
        let mut circuit = self.peer.circuit.lock().unwrap_or_else(PoisonError::into_inner);
        match self.answer {
            Answer::Silence => circuit.silent(self.clock.now()),
            answer => circuit.record(answer == Answer::Reached, self.clock.now()),
        }
        self.peer.reached.fetch_add(u64::from(self.answer == Answer::Reached), Ordering::Relaxed);
    }
}

impl Peer {
    /// A peer that is taken to be up.
    pub fn new(site: SiteId, queue: Arc<dyn Queue>, policy: CircuitPolicy) -> Self {
        Self {
            site,
            queue,
            circuit: Mutex::new(Circuit::new(policy)),
            missed: AtomicU64::default(),
            reached: AtomicU64::default(),
        }
    }

    /// What its circuit breaker is doing.
    pub fn circuit(&self) -> CircuitState {
        self.circuit.lock().unwrap_or_else(PoisonError::into_inner).state()
    }

    /// It seems to be back, as something else than a send has shown: the next send is a try.
    pub fn hope(&self, now: DateTime<Utc>) {
        self.circuit.lock().unwrap_or_else(PoisonError::into_inner).hope(now);
    }

    /// Messages of this process that the peer did not take and may take later: letters owe them to it.
    pub fn missed(&self) -> u64 {
        self.missed.load(Ordering::Relaxed)
    }

    /// Sends of this process that have reached it: a greater number than before shows that it takes messages again.
    pub fn reached(&self) -> u64 {
        self.reached.load(Ordering::Relaxed)
    }

    /// Begins to send, if the circuit allows it.
    fn begin<'a>(&'a self, clock: &'a dyn Clock) -> Option<Sending<'a>> {
        let allowed = self.circuit.lock().unwrap_or_else(PoisonError::into_inner).allows(clock.now());
        // Made only where it is allowed: its end counts.
        allowed.then(|| Sending { peer: self, clock, answer: Answer::Failed })
    }

    /// Sends messages, and sends those again whose failure may pass, within the budget of a peer; answers for each. A try without an answer
    /// after its share of the budget is joined by the next one, by another connection: a request that was lost costs that share alone.
    pub(crate) async fn send(&self, tries: Tries<'_>, messages: Vec<Message>) -> Vec<Forwarded> {
        let failed = |kind, why: String| Arc::new(PortError::new(self.queue.to_string(), "send", kind).caused_by(why));
        let Some(mut sending) = self.begin(tries.clock) else {
            let open =
                failed(FailureKind::Unavailable, "not tried: the circuit is open after earlier failures".to_owned());
            self.missed.fetch_add(messages.len() as u64, Ordering::Relaxed);
            return vec![Err(open); messages.len()];
        };
        let mut results: Vec<Option<Forwarded>> = vec![None; messages.len()];
        let budget = tries.time;
        let send = async |waiting: Vec<usize>| {
            let portion: Vec<Message> = waiting.into_iter().map(|at| messages[at].clone()).collect();
            self.queue.send(&portion).await
        };
        let share = budget / tries.attempts_max.clamp(1, SHARES);
        let sends = retry::until_final(tries.clock, tries.attempts_max, Some(share), tries.pause, &mut results, send);
        let in_time = within(tries.clock, budget, sends).await.is_some();
        let unanswered = || {
            if in_time {
                failed(FailureKind::Unavailable, "it did not answer for this message".to_owned())
            } else {
                failed(FailureKind::TimedOut, format!("no answer within {} s", budget.as_secs_f64()))
            }
        };
        let results: Vec<Forwarded> =
            results.into_iter().map(|result| result.unwrap_or_else(|| Err(unanswered()))).collect();
        let reached =
            |result: &Forwarded| result.as_ref().map_or_else(|e| e.kind.recovery() == Recovery::DeadLetter, |()| true);
        let silence = |result: &Forwarded| result.as_ref().is_err_and(|e| matches!(e.kind, FailureKind::TimedOut));
        sending.answer = match &results[..] {
            results if results.iter().any(reached) => Answer::Reached,
            results if results.iter().all(silence) => Answer::Silence,
            _ => Answer::Failed,
        };
        let passing = |result: &&Forwarded| result.as_ref().is_err_and(|e| e.kind.recovery() != Recovery::DeadLetter);
        self.missed.fetch_add(results.iter().filter(passing).count() as u64, Ordering::Relaxed);
        results
    }
}
