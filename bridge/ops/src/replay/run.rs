//! Carries out a plan: takes messages from their source, runs their errands, removes what owes nothing any more.
//!
//! An errand is done, then written into the journal; a message is removed, then that is written down. So a run may be
//! killed anywhere: what was done and not written down is done again, and changes nothing.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, Utc};
use futures_util::future::{self, Either};

use super::{
    errand::Errand,
    fingerprint::Fingerprint,
    journal::{self, Journal},
    ledger::Ledger,
    pace::Pace,
    pay::{Dark, Payment, pay, until_final},
    setting::Setting,
    subject::Subject,
};
use bridge_core::{
    failure::{FailureKind, PortError, Recovery},
    lease::Leases,
    port::{Delivery, Receipt},
};

/// Messages that are taken with one call and brought together.
pub(super) const BATCH: usize = 100;

/// Batches of one queue on their way at once.
pub(super) const BATCHES: usize = 4;

/// How long to rest when a queue gives nothing.
const REST: Duration = Duration::from_millis(200);

/// What a lease's end may be late by before a message that did not come counts as gone.
const GRACE: Duration = Duration::from_secs(5);

/// Messages of others that a run holds at most. SQS hides 120,000 of a queue at once ("Amazon SQS message quotas", "in
/// flight", read 2026-11).
pub(super) const HELD_MAX: usize = 100_000;

/// How a run ended.
#[derive(Debug)]
pub enum End {
    /// Every message of the plan was brought, stays, or did not come.
    Finished,
    /// It was asked to stop.
    Stopped,
    /// No site that is owed anything can be used: each errand with what was said.
    Dark(BTreeMap<Errand, String>),
    /// The source cannot be read.
    Source(PortError),
    /// Too many messages beside the plan's lie in the source.
    Crowded(usize),
    /// The journal cannot be written.
    Journal(std::io::Error),
}

/// What a run leaves behind.
#[derive(Debug)]
pub struct Ended {
    /// How it ended.
    pub end: End,
    /// What came of the messages.
    pub ledger: Ledger,
    /// One reason each of what failed in the end: an errand, or the source that a message could not be removed from.
    pub failures: BTreeMap<String, String>,
    /// Messages whose last errand was confirmed in this run.
    pub brought: u64,
}

/// A run and all that its parts share.
pub struct Run<'a> {
    setting: &'a Setting<'a>,
    ledger: Mutex<Ledger>,
    journal: &'a dyn Journal,
    pace: Mutex<Pace>,
    dark: Dark,
    end: Mutex<Option<End>>,
    /// Told of each batch of so many messages that is done with.
    progress: &'a (dyn Fn(usize) + Sync),
    /// Whether to stop.
    stop: &'a (dyn Fn() -> bool + Sync),
    /// Each failure once, by errand or source.
    failures: Mutex<BTreeMap<String, String>>,
    brought: AtomicU64,
}

impl fmt::Debug for Run<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.setting.fmt(f)
    }
}

/// A message of the plan in this run's hands.
struct Task<'a> {
    message: Fingerprint,
    delivery: &'a Delivery,
    subject: Subject,
    errands: Vec<Errand>,
}

impl<'a> Run<'a> {
    /// A run of what `ledger` still waits for.
    pub fn new(
        setting: &'a Setting<'a>,
        ledger: Ledger,
        journal: &'a dyn Journal,
        pace: Pace,
        progress: &'a (dyn Fn(usize) + Sync),
        stop: &'a (dyn Fn() -> bool + Sync),
    ) -> Self {
        Self {
            setting,
            ledger: Mutex::new(ledger),
            journal,
            pace: Mutex::new(pace),
            dark: Dark::default(),
            end: Mutex::new(None),
            progress,
            stop,
            failures: Mutex::default(),
            brought: AtomicU64::default(),
        }
    }

    /// Runs until every message of the plan was met, or nothing more can be done.
    ///
    /// # Cancel safety
    /// Safe to drop at any await; what was in its hands comes back when its leases end.
    pub async fn work(self) -> Ended {
        let sources = (0..self.setting.sources.len()).map(|from| self.empty(from));
        future::join_all(sources).await;
        let end = self.end.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut ledger = self.ledger.into_inner().unwrap_or_else(PoisonError::into_inner);
        if end.is_some() {
            ledger.end_early();
        }
        Ended {
            end: end.unwrap_or(End::Finished),
            ledger,
            failures: self.failures.into_inner().unwrap_or_else(PoisonError::into_inner),
            brought: self.brought.into_inner(),
        }
    }

    /// Takes the plan's messages out of one queue.
    async fn empty(&self, from: usize) {
        let queue = &*self.setting.sources[from].queue;
        let held = Leases::default();
        let seen = Mutex::new(self.setting.clock.now());
        {
            // Each taker has its own idea of how large messages are: together they stay within the bound.
            let takers = (0..BATCHES).map(|_| self.take(from, &held, &seen));
            let takers = std::pin::pin!(future::join_all(takers));
            let keep = std::pin::pin!(held.keep(queue, &*self.setting.clock, &*self.setting.incidents));
            let Either::Left(_) = future::select(takers, keep).await;
        }
        // The queue gives nothing more: what is still waited for is not in it, and no later run need wait again.
        if self.goes_on() {
            let gone = self.ledger().gone(from);
            self.note(&gone.into_iter().map(|message| journal::Receipt::Gone { message }).collect::<Vec<_>>());
        }
        held.release(queue, &*self.setting.incidents).await;
    }

    /// Takes batches until nothing of the plan is to come. `seen`: when the last message of the plan came.
    async fn take(&self, from: usize, held: &Leases, seen: &Mutex<DateTime<Utc>>) {
        let queue = &*self.setting.sources[from].queue;
        let clock = &*self.setting.clock;
        let portions = self.setting.portions(from, self.setting.sources.len() * BATCHES);
        let mut failures = 0;
        while self.goes_on() && self.ledger().waiting(from) > 0 {
            let batch = match queue.receive(portions.next(BATCH), Duration::ZERO).await {
                Ok(batch) => batch,
                Err(error) => {
                    failures += 1;
                    if error.kind.recovery() != Recovery::Retry || failures >= self.setting.attempts_max {
                        self.end(End::Source(error));
                        return;
                    }
                    clock.sleep(self.setting.pause(failures, error.kind.retry_after())).await;
                    continue;
                }
            };
            failures = 0;
            portions.saw(&batch);
            held.add(batch.iter().map(|delivery| delivery.receipt.clone()), queue, clock);
            if self.bring(from, held, &batch).await {
                *seen.lock().unwrap_or_else(PoisonError::into_inner) = clock.now();
                continue;
            }
            if held.len() > HELD_MAX {
                self.end(End::Crowded(held.len()));
                return;
            }
            let quiet = clock.now() - *seen.lock().unwrap_or_else(PoisonError::into_inner);
            let patience = if queue.lease().is_zero() { Duration::ZERO } else { queue.lease() + GRACE };
            // What a consumer that died had in its hands comes back when its leases end.
            if batch.is_empty() && quiet.to_std().is_ok_and(|quiet| quiet >= patience) {
                return;
            }
            if batch.is_empty() {
                clock.sleep(REST).await;
            }
        }
    }

    /// Does all that is to be done for one batch; whether there was anything of the plan in it.
    async fn bring(&self, from: usize, held: &Leases, batch: &[Delivery]) -> bool {
        let (mut tasks, mut done, mut any) = (Vec::new(), Vec::new(), false);
        for delivery in batch {
            let message = Fingerprint::of(from, &delivery.message_id, &delivery.body);
            if !self.ledger().claim(&message) {
                continue;
            }
            any = true;
            let task = self.task(from, message, delivery).await;
            if !task.errands.is_empty() {
                tasks.push(task);
            } else if self.ledger().conclude(&message) {
                done.push((message, &delivery.receipt));
            }
        }
        for (_, error) in self.remove(from, held, &done).await {
            self.failed(self.setting.source.to_string(), &error);
        }
        if !done.is_empty() {
            (self.progress)(done.len());
        }
        let portion = self.pace().portion(BATCH);
        for tasks in tasks.chunks(portion) {
            if !self.goes_on() {
                let mut ledger = self.ledger();
                for task in tasks {
                    ledger.put_back(&task.message);
                }
                continue;
            }
            let wait = self.pace().wait(tasks.len(), self.setting.clock.now());
            if !wait.is_zero() {
                self.setting.clock.sleep(wait).await;
            }
            let done = self.run_errands(tasks).await;
            // A lost lease brings the message once more, unless an earlier try has removed it: it is waited for, once.
            for (message, _) in self.remove(from, held, &done).await {
                self.ledger().put_back(&message);
            }
            (self.progress)(tasks.len());
        }
        any
    }

    /// What is still to be done for a delivery of the plan. It is read anew: the plan froze which messages, and whom they
    /// are owed to stands in themselves.
    async fn task<'d>(&self, from: usize, message: Fingerprint, delivery: &'d Delivery) -> Task<'d> {
        let setting = self.setting;
        let subject = setting.read(from, delivery).await;
        let errands = self.ledger().owe(&message, setting.errands(&subject));
        Task { message, delivery, subject, errands }
    }

    /// Runs errands and writes down what was confirmed; answers which messages may be removed.
    async fn run_errands<'d>(&self, tasks: &[Task<'d>]) -> Vec<(Fingerprint, &'d Receipt)> {
        let mut payments = Vec::new();
        let mut messages = Vec::new();
        for task in tasks {
            let Ok(event) = &task.subject.event else { continue };
            for errand in &task.errands {
                payments.push(Payment { subject: &task.subject, event, errand });
                messages.push(task.message);
            }
        }
        let answers = pay(self.setting, &self.dark, &payments).await;
        let mut receipts = Vec::with_capacity(answers.len());
        for ((payment, message), answer) in payments.iter().zip(&messages).zip(answers) {
            let by = payment.errand.to_string();
            match answer {
                Ok(outcome) => receipts.push(journal::Receipt::Confirmed { message: *message, by, outcome }),
                Err(error) => self.failed(by, &error),
            }
        }
        if !self.note(&receipts) {
            return Vec::new();
        }
        let mut ledger = self.ledger();
        let brought = tasks.iter().filter(|task| ledger.is_brought(&task.message)).count();
        self.brought.fetch_add(brought as u64, Ordering::Relaxed);
        tasks
            .iter()
            .filter(|task| ledger.conclude(&task.message))
            .map(|task| (task.message, &task.delivery.receipt))
            .collect()
    }

    /// Removes messages from their source, and writes that down; answers which were not in hand any more. What could not be
    /// removed is given back at the end, and removed by a run that resumes: everybody has it.
    async fn remove(
        &self,
        from: usize,
        held: &Leases,
        done: &[(Fingerprint, &Receipt)],
    ) -> Vec<(Fingerprint, Arc<PortError>)> {
        let ack = async |indexes: Vec<usize>| {
            let portion: Vec<Receipt> = indexes.into_iter().map(|at| done[at].1.clone()).collect();
            self.setting.sources[from].queue.ack(&portion).await
        };
        let answers = until_final(self.setting, done.len(), ack).await;
        let (mut removed, mut lost) = (Vec::with_capacity(done.len()), Vec::new());
        for ((message, receipt), answer) in done.iter().zip(answers) {
            match answer {
                Ok(()) => removed.push(journal::Receipt::Removed { message: *message }),
                Err(error) if error.kind == FailureKind::LeaseLost => lost.push((*message, error)),
                Err(error) => {
                    self.failed(self.setting.source.to_string(), &error);
                    continue;
                }
            }
            held.remove(receipt);
        }
        self.note(&removed);
        lost
    }

    fn failed(&self, what: String, error: &PortError) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures.entry(what).or_insert_with(|| error.chain());
    }

    /// Writes receipts into the journal, then into the ledger; whether they are kept.
    fn note(&self, receipts: &[journal::Receipt]) -> bool {
        if receipts.is_empty() {
            return true;
        }
        if let Err(error) = self.journal.append(receipts) {
            self.end(End::Journal(error));
            return false;
        }
        let mut ledger = self.ledger();
        for receipt in receipts {
            ledger.receipt(receipt);
        }
        true
    }

    /// Whether there is anything that can be done.
    fn goes_on(&self) -> bool {
        if (self.stop)() {
            self.end(End::Stopped);
        }
        let dark = self.dark.all();
        if !dark.is_empty() && self.ledger().places().iter().all(|place| dark.contains_key(place)) {
            self.end(End::Dark(dark));
        }
        self.end.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }

    fn end(&self, end: End) {
        self.end.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(end);
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pace(&self) -> MutexGuard<'_, Pace> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
