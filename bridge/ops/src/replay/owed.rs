//! One pass over a site's dead letters: brings what they owe and removes what is owed to nobody any more, without a plan.
//!
//! It pays as a [`run`](super::run) does: deliver first, remove last. Nothing has to be written down, as a letter says itself whom it is owed to.
//! Killed anywhere, it leaves letters whose events some sites have already; they are brought once more, and change nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bridge_core::{
    event::SiteId,
    failure::{FailureKind, PortError, Recovery},
    lease::Leases,
    port::{Delivery, Properties, Receipt},
    reason::Reason,
};
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::{self, Either};

use super::{
    errand::{Errand, Errands, Way},
    filter::Admission,
    journal::Outcome,
    ledger::Tally,
    pace::Pace,
    pay::{Dark, Payment, pay, until_final},
    run::{BATCH, BATCHES, End, HELD_MAX},
    setting::Setting,
    subject::{Holds, Subject, is_excerpt, names_who_is_owed, reason},
};

/// How long a take waits for a first letter. Ours: SQS asks all of its servers then, and a pass ends when none has any.
const WAIT: Duration = Duration::from_secs(1);

/// How long letters may keep coming of which none can be brought. Ours: a queue of 100,000 is read in half of that.
const QUIET_MAX: TimeDelta = TimeDelta::seconds(30);

/// Reasons of letters that go by themselves: nothing is wrong with the event, and the failure was of a kind that passes. The order of versions makes it safe at any time.
///
/// All others wait for a person. Of `store_rejected` and `peer_rejected` a store or a queue has refused the event, and would again. `panicked` is
/// a fault of the worker. The rest is refused by the rules: no site would take it as it is, or (`too_old`, `not_forwarded`) somebody has to look at
/// the key first.
pub const BY_THEMSELVES: [Reason; 3] = [Reason::PeerUnavailable, Reason::RetriesExhausted, Reason::StoreAway];

/// Whether a letter goes by itself: its reason is one of [`BY_THEMSELVES`], it names the sites that are owed its event, and it has the whole
/// body. What somebody else put there, or the broker moved, names none.
pub fn goes_by_itself(properties: &Properties, holds: Holds) -> bool {
    let reason = reason(properties, holds);
    BY_THEMSELVES.iter().any(|known| known.as_str() == reason)
        && names_who_is_owed(properties, holds)
        && !is_excerpt(properties, holds)
}

/// What a pass came to.
#[derive(Debug)]
pub struct Passed {
    /// How it ended.
    pub end: End,
    /// What came of the letters, by reason. One whose removal failed and that came again counts twice.
    pub tallies: BTreeMap<String, Tally>,
    /// Letters that were confirmed by all who were owed them.
    pub brought: u64,
    /// Letters that lie there still: those that the pass took and gave back.
    pub left: u64,
    /// Letters that a filter may be about, by the flags of the fields that cannot be read, with spaces between.
    pub unreadable: BTreeMap<String, u64>,
    /// One reason each of what failed in the end, by errand or source.
    pub failures: BTreeMap<String, String>,
    /// Peers that are owed letters and could not be used, before the pass or in it.
    pub away: BTreeSet<SiteId>,
    /// Whether another pass may bring more of what this one left: a failure that passes.
    pub again: bool,
}

/// A pass, and all that its parts share.
pub struct Pass<'a> {
    pub(super) setting: &'a Setting<'a>,
    pub(super) pace: &'a Mutex<Pace>,
    /// Which letters it is about.
    pub(super) admits: &'a (dyn Fn(&Delivery, Holds) -> Admission + Sync),
    /// Told of each batch of so many letters that is done with.
    pub(super) progress: &'a (dyn Fn(usize) + Sync),
    /// Whether to stop.
    pub(super) stop: &'a (dyn Fn() -> bool + Sync),
    dark: Dark,
    sums: Mutex<Sums>,
}

#[derive(Default)]
struct Sums {
    end: Option<End>,
    tallies: BTreeMap<String, Tally>,
    brought: u64,
    left: u64,
    unreadable: BTreeMap<String, u64>,
    failures: BTreeMap<String, String>,
    /// Peers that some letter is owed to.
    owed: BTreeSet<SiteId>,
    again: bool,
    /// When a letter was last admitted.
    last: Option<DateTime<Utc>>,
}

impl fmt::Debug for Pass<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.setting.fmt(f)
    }
}

/// A letter that is to be brought.
struct Task<'d> {
    delivery: &'d Delivery,
    subject: Subject,
    errands: Errands,
}

impl<'a> Pass<'a> {
    /// A pass over what `admits` lets through, from the setting's source to whom it is owed.
    pub fn new(
        setting: &'a Setting<'a>,
        pace: &'a Mutex<Pace>,
        admits: &'a (dyn Fn(&Delivery, Holds) -> Admission + Sync),
        progress: &'a (dyn Fn(usize) + Sync),
        stop: &'a (dyn Fn() -> bool + Sync),
    ) -> Self {
        Self { setting, pace, admits, progress, stop, dark: Dark::default(), sums: Mutex::default() }
    }

    /// The same, without a try for peers that are known to be away.
    pub(super) fn without(self, away: &BTreeSet<SiteId>) -> Self {
        for site in away {
            self.dark.note(&to(site), &PortError::new(site.to_string(), "replay", FailureKind::Unavailable));
        }
        self
    }

    /// Goes on until the queues give nothing more.
    ///
    /// # Cancel safety
    /// Safe to drop at any await; what was in its hands comes back when its leases end.
    pub async fn work(self) -> Passed {
        future::join_all((0..self.setting.sources.len()).map(|from| self.empty(from))).await;
        let dark = self.dark.all();
        let Sums { end, tallies, brought, left, unreadable, failures, owed, again, .. } =
            self.sums.into_inner().unwrap_or_else(PoisonError::into_inner);
        let away = owed.into_iter().filter(|site| dark.contains_key(&to(site))).collect();
        let end = end.unwrap_or(End::Finished);
        Passed { end, tallies, brought, left, unreadable, failures, away, again }
    }

    async fn empty(&self, from: usize) {
        let setting = self.setting;
        let queue = &*setting.sources[from].queue;
        let held = Leases::default();
        {
            let takers = std::pin::pin!(future::join_all((0..BATCHES).map(|_| self.take(from, &held))));
            let keep = std::pin::pin!(held.keep(queue, &*setting.clock, &*setting.incidents));
            let Either::Left(_) = future::select(takers, keep).await;
        }
        self.sums().left += held.len() as u64;
        held.release(queue, &*setting.incidents).await;
    }

    async fn take(&self, from: usize, held: &Leases) {
        let setting = self.setting;
        let (queue, clock) = (&*setting.sources[from].queue, &*setting.clock);
        let portions = setting.portions(from, setting.sources.len() * BATCHES);
        let mut failures = 0;
        while self.goes_on() {
            let batch = match queue.receive(portions.next(BATCH), WAIT).await {
                Ok(batch) if batch.is_empty() => return,
                Ok(batch) => batch,
                Err(error) => {
                    failures += 1;
                    if error.kind.recovery() != Recovery::Retry || failures >= setting.attempts_max {
                        return self.end(End::Source(error));
                    }
                    clock.sleep(setting.pause(failures, error.kind.retry_after())).await;
                    continue;
                }
            };
            failures = 0;
            portions.saw(&batch);
            held.add(batch.iter().map(|delivery| delivery.receipt.clone()), queue, clock);
            self.bring(from, held, &batch).await;
            if held.len() > HELD_MAX {
                self.end(End::Crowded(held.len()));
            }
            let quiet = clock.now() - *self.sums().last.get_or_insert_with(|| clock.now());
            if quiet > QUIET_MAX {
                return;
            }
        }
    }

    /// Does all that is to be done for one batch. What stays is held until the end of the pass, so that it does not come at once again.
    async fn bring(&self, from: usize, held: &Leases, batch: &[Delivery]) {
        let mut tasks = Vec::new();
        for delivery in batch {
            match (self.admits)(delivery, self.setting.sources[from].holds) {
                Admission::Passes => {}
                Admission::Fails => continue,
                Admission::Unreadable(fields) => {
                    *self.sums().unreadable.entry(fields.join(" ")).or_default() += 1;
                    continue;
                }
            }
            let subject = self.setting.read(from, delivery).await;
            let errands = self.setting.errands(&subject);
            let mut sums = self.sums();
            let tally = sums.tallies.entry(subject.reason.clone()).or_default();
            tally.planned += 1;
            if errands.run.is_empty() {
                tally.left += 1;
                continue;
            }
            sums.owed.extend(errands.run.iter().filter(|errand| errand.way == Way::Queue).map(|one| one.site.clone()));
            // A letter that only peers are owed which are away cannot be brought, and must not keep a pass going.
            if errands.run.iter().any(|errand| !self.dark.has(errand)) {
                sums.last = Some(self.setting.clock.now());
            }
            drop(sums);
            tasks.push(Task { delivery, subject, errands });
        }
        let portion = self.pace().portion(BATCH);
        for tasks in tasks.chunks(portion) {
            if !self.goes_on() {
                self.count(tasks, |tally| tally.untried += 1);
                continue;
            }
            let wait = self.pace().wait(tasks.len(), self.setting.clock.now());
            if !wait.is_zero() {
                self.setting.clock.sleep(wait).await;
            }
            let done = self.pay(tasks).await;
            self.remove(from, held, &done).await;
            (self.progress)(tasks.len());
        }
    }

    /// Runs the errands of letters; answers those that may be removed.
    async fn pay<'t, 'd>(&self, tasks: &'t [Task<'d>]) -> Vec<&'t Task<'d>> {
        let mut payments = Vec::new();
        let mut owners = Vec::new();
        for (at, task) in tasks.iter().enumerate() {
            let Ok(event) = &task.subject.event else { continue };
            for errand in &task.errands.run {
                payments.push(Payment { subject: &task.subject, event, errand });
                owners.push(at);
            }
        }
        let answers = pay(self.setting, &self.dark, &payments).await;
        let mut outcomes: Vec<Option<Outcome>> = vec![None; tasks.len()];
        let mut unpaid = BTreeSet::new();
        for ((payment, at), answer) in payments.iter().zip(owners).zip(answers) {
            match answer {
                Ok(outcome) => outcomes[at] = outcomes[at].max(Some(outcome)),
                Err(error) => {
                    unpaid.insert(at);
                    // Whoever is dark is looked at before another pass; of the others some messages failed alone.
                    let passes = error.kind.recovery() != Recovery::DeadLetter && !self.dark.has(payment.errand);
                    self.sums().again |= passes || payment.errand.way == Way::Store && self.dark.has(payment.errand);
                    self.failed(payment.errand.to_string(), &error);
                }
            }
        }
        let mut done = Vec::new();
        for (at, task) in tasks.iter().enumerate() {
            let mut sums = self.sums();
            let tally = sums.tallies.entry(task.subject.reason.clone()).or_default();
            let Some(outcome) = outcomes[at].filter(|_| !unpaid.contains(&at)) else {
                tally.left += 1;
                continue;
            };
            *tally.done.entry(outcome).or_default() += 1;
            if task.errands.unpaid.is_empty() {
                done.push(task);
            } else {
                tally.kept += 1;
            }
            sums.brought += 1;
        }
        done
    }

    /// Removes letters that nobody is owed any more. What could not be removed is given back, and comes again.
    async fn remove(&self, from: usize, held: &Leases, done: &[&Task<'_>]) {
        let receipt = |at: usize| done[at].delivery.receipt.clone();
        let ack = async |indexes: Vec<usize>| {
            let portion: Vec<Receipt> = indexes.into_iter().map(receipt).collect();
            self.setting.sources[from].queue.ack(&portion).await
        };
        let answers = until_final(self.setting, done.len(), ack).await;
        for (task, answer) in done.iter().zip(answers) {
            match answer {
                Ok(()) => {
                    self.count(std::slice::from_ref(*task), |tally| tally.removed += 1);
                    held.remove(&task.delivery.receipt);
                }
                Err(error) => {
                    self.count(std::slice::from_ref(*task), |tally| tally.unremoved += 1);
                    self.sums().again = true;
                    self.failed(self.setting.source.to_string(), &error);
                    if error.kind == FailureKind::LeaseLost {
                        held.remove(&task.delivery.receipt);
                    }
                }
            }
        }
    }

    fn count(&self, tasks: &[Task<'_>], how: impl Fn(&mut Tally)) {
        let mut sums = self.sums();
        for task in tasks {
            how(sums.tallies.entry(task.subject.reason.clone()).or_default());
        }
    }

    fn failed(&self, what: String, error: &PortError) {
        self.sums().failures.entry(what).or_insert_with(|| error.chain());
    }

    /// Whether there is anything that can be done: a peer that is not known to be away.
    fn goes_on(&self) -> bool {
        if (self.stop)() {
            self.end(End::Stopped);
        }
        let dark = self.dark.all();
        let mut peers = self.setting.sites().iter().filter(|site| Some(*site) != self.setting.source.site()).peekable();
        if peers.peek().is_some() && peers.all(|site| dark.contains_key(&to(site))) {
            self.end(End::Dark(dark));
        }
        self.sums().end.is_none()
    }

    fn end(&self, end: End) {
        self.sums().end.get_or_insert(end);
    }

    fn sums(&self) -> MutexGuard<'_, Sums> {
        self.sums.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pace(&self) -> MutexGuard<'_, Pace> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The way to a peer: its queue.
fn to(site: &SiteId) -> Errand {
    Errand { site: site.clone(), way: Way::Queue }
}
