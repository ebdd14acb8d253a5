//! Owed events bring themselves over: when a peer answers again, a worker of the site brings what the letters owe to it.
//!
//! A pass takes letters, and on SQS hides them meanwhile from whoever looks. So there is one only where there is a reason: the worker has just
//! begun, a peer answers that did not take a message of this worker, or the letters have become more though every peer answers.

use std::{
    collections::BTreeSet,
    fmt,
    pin::pin,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bridge_core::{
    event::SiteId,
    failure::PortError,
    peer::Peer,
    port::{Clock, Delivery, Depth, Use, within},
    stop::unless,
    worker::Worker,
};
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::{
    FutureExt,
    future::{self, Either, Shared, select},
};
use uuid::Uuid;

use super::{
    filter::Admission,
    lease::{LIFE, Lease},
    owed::{Pass, Passed, goes_by_itself},
    pace::Pace,
    run::End,
    setting::Setting,
    subject::{Holds, is_owed_to},
};

/// From one look to the next, and how long a look at a peer may take. Ours: together with a pass's first requests they stay below 5 s.
const TICK: Duration = Duration::from_secs(1);
const PROBE_MAX: Duration = Duration::from_secs(2);

/// How long after its start a worker looks for letters of the time before. Ours: others of the site start too, and messages come first.
const BEGIN: Duration = Duration::from_secs(3);

/// From one count of the letters to the next. Ours: it finds letters of another worker that is no more; one request.
const COUNT: TimeDelta = TimeDelta::seconds(30);

/// How long a letter may not be counted that was sent. "Amazon SQS", `ApproximateNumberOfMessages`, read 2026-11: within a minute in general.
const UNCOUNTED: TimeDelta = TimeDelta::minutes(2);

/// From one pass to the next where letters cannot be counted.
const BLIND: TimeDelta = TimeDelta::minutes(15);

/// The wait after a pass that brought nothing though a peer answers, at first and at most; it doubles.
const FRUITLESS: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(60)];

/// What a stopped pass may take to give back its letters. Ours: some requests; what is not given back comes again when its lease ends.
const GOODBYE: Duration = Duration::from_secs(3);

/// Whoever wants to know what the workers bring by themselves.
pub trait Tell: Send + Sync {
    /// The first letters of a pass are brought.
    fn begins(&self);

    /// So many more letters are done with.
    fn progresses(&self, letters: usize);

    /// A pass that brought or tried letters is over; none where it was cut off.
    fn ends(&self, passed: Option<&Passed>);

    /// The site's store did not say who brings what is owed.
    fn no_lease(&self, error: &PortError);
}

/// Brings what a site's letters owe.
pub struct Auto<'a> {
    /// The site's worker: its peers, its store, its clock.
    pub worker: &'a Worker,
    /// From the site's dead letters to whom they are owed.
    pub setting: &'a Setting<'a>,
    /// Counts the letters, where that is possible.
    pub depth: Option<&'a dyn Depth>,
    /// Names this process.
    pub holder: Uuid,
    /// Messages a second.
    pub rate: f64,
    /// Is told.
    pub tell: &'a dyn Tell,
}

impl fmt::Debug for Auto<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.setting.fmt(f)
    }
}

/// What a process knows of its site's letters.
#[derive(Debug, Default)]
pub struct Known {
    /// Peers to ask whether they answer, before letters are brought to them.
    away: BTreeSet<SiteId>,
    /// What each peer has missed so far, in the order of the worker's peers.
    missed: Vec<u64>,
    /// When one missed some last: their letters may not be counted yet.
    missing: Option<DateTime<Utc>>,
    /// Whether there may be letters that can be brought.
    due: bool,
    /// Not before this.
    not_before: Option<DateTime<Utc>>,
    /// Letters that lie there for a reason that no pass removes.
    left: Option<u64>,
    counted: Option<DateTime<Utc>>,
    /// When the last pass ended.
    passed: Option<DateTime<Utc>>,
    /// Passes in a row that brought nothing and may bring more.
    fruitless: u32,
}

impl Auto<'_> {
    /// Looks and brings until `stop`.
    ///
    /// # Cancel safety
    /// Safe to drop at any await: what was in its hands comes back when its leases end, and its own lease ends by itself.
    pub async fn watch(&self, stop: impl Future<Output = ()>) {
        let stop = stop.shared();
        let mut known = self.nothing_known();
        let mut rest = BEGIN;
        while unless(&stop, self.clock().sleep(rest)).await.is_some() {
            rest = TICK;
            self.note_missed(&mut known);
            if unless(&stop, self.count(&mut known)).await.is_none() {
                return;
            }
            if known.due || !known.away.is_empty() {
                if unless(&stop, self.probe(&mut known)).await.is_none() {
                    return;
                }
                self.bring(&mut known, &stop).await;
            }
        }
    }

    /// Looks once, and brings for at most `time`. For a function, which is called now and then, in whichever process; `known` is this one's.
    pub async fn once(&self, known: &mut Known, time: Duration) {
        if known.missed.is_empty() {
            *known = self.nothing_known();
        }
        self.note_missed(known);
        known.counted = None;
        self.count(known).await;
        if known.due || !known.away.is_empty() {
            self.probe(known).await;
            self.bring(known, &self.clock().sleep(time).shared()).await;
        }
    }

    fn clock(&self) -> &dyn Clock {
        &*self.worker.clock
    }

    fn own(&self) -> &SiteId {
        &self.worker.rules.site
    }

    /// Of letters that lie there from before nobody knows: any peer may be owed some.
    fn nothing_known(&self) -> Known {
        let peers = &self.worker.peers;
        Known {
            away: peers.iter().map(|peer| peer.site.clone()).collect(),
            missed: vec![0; peers.len()],
            due: true,
            ..Known::default()
        }
    }

    /// A peer that has missed messages since is asked whether it answers.
    fn note_missed(&self, known: &mut Known) {
        for (peer, before) in self.worker.peers.iter().zip(&mut known.missed) {
            let missed = peer.missed();
            if std::mem::replace(before, missed) != missed {
                known.away.insert(peer.site.clone());
                known.missing = Some(self.worker.clock.now());
            }
        }
    }

    /// Counts the letters now and then. While a peer is away they become more without need for a pass.
    async fn count(&self, known: &mut Known) {
        let now = self.clock().now();
        let young =
            |at: Option<DateTime<Utc>>, span| at.is_some_and(|at| (TimeDelta::zero()..span).contains(&(now - at)));
        let missing = young(known.missing, UNCOUNTED);
        if !known.away.is_empty() && !known.due || young(known.counted, COUNT) {
            return;
        }
        known.counted = Some(now);
        let counted = match self.depth {
            Some(depth) => within(self.clock(), PROBE_MAX, depth.depth()).await.and_then(Result::ok),
            None => None,
        };
        match counted.map(|depth| depth.messages()) {
            // No pass and no question: there is nothing.
            Some(0) if !missing => (known.due, known.left, known.away) = (false, Some(0), BTreeSet::new()),
            Some(count) => {
                known.due |= known.left.is_some_and(|left| count > left);
                known.left = known.left.map(|left| left.min(count));
            }
            None => known.due |= !young(known.passed, BLIND),
        }
    }

    /// Asks the peers of which it is not known whether they answer. One that does again makes a pass due.
    async fn probe(&self, known: &mut Known) {
        let asked: Vec<&Peer> = self.worker.peers.iter().filter(|peer| known.away.contains(&peer.site)).collect();
        let ask = asked.iter().map(|peer| within(self.clock(), PROBE_MAX, peer.queue.probe(Use::Send)));
        let answers = future::join_all(ask).await;
        for (peer, answer) in asked.into_iter().zip(answers) {
            if matches!(answer, Some(Ok(()))) {
                known.away.remove(&peer.site);
                known.due = true;
            }
        }
    }

    /// Makes a pass, if one is due and anybody can be brought anything.
    async fn bring(&self, known: &mut Known, stop: &Shared<impl Future<Output = ()>>) {
        let peers = &self.worker.peers;
        let now = self.clock().now();
        let early = known.not_before.is_some_and(|at| (TimeDelta::zero()..TimeDelta::minutes(2)).contains(&(at - now)));
        if !known.due || early || !peers.is_empty() && known.away.len() == peers.len() {
            return;
        }
        let lease = Lease { site: self.own(), store: &*self.worker.store, clock: self.clock(), holder: self.holder };
        match unless(stop, within(self.clock(), LIFE, lease.take())).await {
            None => return,
            Some(Some(Ok(true))) => {}
            Some(other) => {
                if let Some(Err(error)) = other {
                    self.tell.no_lease(&error);
                }
                // Another worker brings; what it leaves undone is looked at once it has ended, or was killed.
                return self.put_off(known, LIFE / 2);
            }
        }
        let passed = self.pass(known, &lease, stop).await;
        // What is not given up ends by itself.
        within(self.clock(), GOODBYE, lease.give_up()).await;
        if let Some(passed) = passed {
            self.learn(known, &passed);
        }
    }

    /// A pass for as long as the lease is kept; none if it did not end in time.
    async fn pass(&self, known: &Known, lease: &Lease<'_>, stop: &Shared<impl Future<Output = ()>>) -> Option<Passed> {
        let (begun, stopped) = (AtomicBool::new(false), AtomicBool::new(false));
        let waited_for = Mutex::new(BTreeSet::new());
        let admits = |delivery: &Delivery, holds: Holds| {
            if !goes_by_itself(&delivery.properties, holds) {
                return Admission::Fails;
            }
            let owed = |site: &&SiteId| is_owed_to(&delivery.properties, holds, site);
            let (away, here): (Vec<&SiteId>, Vec<&SiteId>) =
                self.worker.rules.sites.iter().filter(owed).partition(|site| known.away.contains(*site));
            waited_for.lock().unwrap_or_else(PoisonError::into_inner).extend(away.into_iter().cloned());
            if here.is_empty() { Admission::Fails } else { Admission::Passes }
        };
        let progress = |letters| {
            if !begun.swap(true, Ordering::Relaxed) {
                self.tell.begins();
            }
            self.tell.progresses(letters);
        };
        let stops = || stopped.load(Ordering::Relaxed);
        let pace = Mutex::new(Pace::new(Some(self.rate)));
        let pass = Pass::new(self.setting, &pace, &admits, &progress, &stops).without(&known.away);
        let pass = pin!(async {
            let passed = pass.work().await;
            // The queue's connection is for a pass alone.
            self.setting.sources.iter().map(|source| source.queue.close()).collect::<future::JoinAll<_>>().await;
            passed
        });
        let kept = pin!(lease.keep());
        let passed = match select(pass, select(kept, stop.clone())).await {
            Either::Left((passed, _)) => Some(passed),
            Either::Right((_, pass)) => {
                stopped.store(true, Ordering::Relaxed);
                within(self.clock(), GOODBYE, pass).await
            }
        };
        if begun.load(Ordering::Relaxed) {
            self.tell.ends(passed.as_ref());
        }
        let mut passed = passed?;
        passed.away.append(&mut waited_for.lock().unwrap_or_else(PoisonError::into_inner));
        Some(passed)
    }

    /// What a pass says about the next one.
    fn learn(&self, known: &mut Known, passed: &Passed) {
        known.passed = Some(self.clock().now());
        known.left = Some(passed.left);
        known.due = passed.again || matches!(passed.end, End::Stopped | End::Source(_));
        match passed.end {
            // Of those that are away only the ones matter whom a letter is owed to.
            End::Finished => known.away.clone_from(&passed.away),
            // Not all letters were seen.
            End::Dark(_) => known.away = self.worker.peers.iter().map(|peer| peer.site.clone()).collect(),
            _ => known.away.extend(passed.away.iter().cloned()),
        }
        if known.due && passed.brought == 0 {
            let wait = FRUITLESS[0].saturating_mul(1 << known.fruitless.min(10)).min(FRUITLESS[1]);
            known.fruitless += 1;
            self.put_off(known, wait);
        } else {
            (known.fruitless, known.not_before) = (0, None);
        }
    }

    fn put_off(&self, known: &mut Known, wait: Duration) {
        known.not_before = TimeDelta::from_std(wait).ok().and_then(|wait| self.clock().now().checked_add_signed(wait));
    }
}
