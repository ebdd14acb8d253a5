//! What works a site, as the three real hosts do, with the core's own way of settling for each; killed and started again.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bridge_core::{
    books::Books,
    carry_out::Carried,
    failure::PortError,
    halt::Halt,
    invocation::{partial, whole},
    port::{Clock, Delivery, Queue, Receipt},
    receive::{Listen, Pace, receive},
    retry::Backoff,
    settlement::Settlement,
    worker::{Verdict, Worker},
};
use bridge_ops::replay::{
    auto::{Auto, Known, Tell},
    owed::Passed,
    route::{Source, Target},
    setting::Setting,
};
use fastrand::Rng;
use futures_util::future;
use uuid::Uuid;

use crate::{
    books::{Actor, Ended, Kind, Place, Portion},
    checkers::Checker,
    executor::Mortal,
    operator,
    seed::stream,
    site::Site,
    wire::Traffic,
    world::{Options, World},
};

/// How long a receive waits for messages.
const WAIT: Duration = Duration::from_secs(20);
/// How long a host rests after a failed receive, and while halted.
const REST: Duration = Duration::from_secs(2);

/// What works a site.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostKind {
    /// `bridge run`: settles every message itself, two batches at once.
    Container,
    /// AWS Lambda behind SQS: the platform removes all but what is reported as failed.
    Lambda,
    /// An Azure Function behind Service Bus: one answer for all.
    Function,
}

impl HostKind {
    /// How many messages it takes where each call is made once: a batch, or two at the same time. Not known where some are made twice.
    pub fn portion(self, batch: usize, options: &Options) -> Portion {
        let held_max = match (self, &options.traffic) {
            (_, Traffic::Seeded { twice }) if *twice > 0.0 => usize::MAX,
            (Self::Container, _) => 2 * batch,
            (Self::Lambda | Self::Function, _) => batch,
        };
        Portion { taken_max: batch, held_max }
    }

    /// Deliveries of a message, at least, before it is given up. A Function tries a message that it holds several times.
    pub fn tries_min(self, options: &Options) -> u32 {
        if self == Self::Function { 1 } else { options.policy.attempts_max }
    }

    /// Sends of one event to one peer that one delivery may cause, each of which may arrive twice. What a Function's host
    /// holds it tries again itself, how often is its own affair.
    pub fn sends_max(self, options: &Options) -> u32 {
        let arrivals = if matches!(options.traffic, Traffic::Seeded { twice } if twice > 0.0) { 2 } else { 1 };
        match self {
            Self::Container | Self::Lambda => options.policy.peer_attempts_max * arrivals,
            Self::Function => u32::MAX,
        }
    }
}

/// How a site is worked.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    /// What works it.
    pub kind: HostKind,
    /// Messages of a batch at most.
    pub batch: usize,
    /// Whether its worker brings what letters owe by itself.
    pub auto: bool,
}

/// Works `site` for ever. Each life ends after some polls if `life` says how many on average, and a new one begins.
pub async fn serve(world: &World, site: &Site, manner: Manner, life: Option<u64>, name: &str) {
    let mut rng = stream(world.options.seed, &format!("lives of {site} {name}"));
    for number in 0.. {
        let polls = polls(&mut rng, life);
        let name = format!("{name}.{number}");
        Mortal::new(live(world, site, manner, &name), polls).await;
        world.books.note(|| format!("worker of {site} {name} is killed"));
        world.clock.sleep(Duration::from_millis(rng.u64(100..5_000))).await;
    }
}

fn polls(rng: &mut Rng, life: Option<u64>) -> u64 {
    life.map_or(u64::MAX, |mean| rng.u64(1..2 * mean))
}

async fn live(world: &World, site: &Site, Manner { kind, batch, auto }: Manner, life: &str) {
    world.books.hired(site.number);
    let worker = world.hire(site, life);
    let actor = Actor::Worker(site.number);
    let queue = world.queue(site, Kind::Queue, actor, life);
    let letters = world.queue(site, Kind::Letters, actor, life);
    let hand = Hand { world, site, worker: &worker, queue: &*queue, letters: &*letters, batch };
    let work = async {
        match kind {
            HostKind::Container => hand.contain().await,
            HostKind::Lambda => hand.invoke_partial().await,
            HostKind::Function => hand.invoke_whole().await,
        }
    };
    let bring = async {
        if auto {
            bring(world, site, &worker, kind, life).await;
        }
    };
    future::join(work, bring).await;
}

/// Brings what the letters of `site` owe, as its host does: all the time, or with each heartbeat.
async fn bring(world: &World, site: &Site, worker: &Worker, kind: HostKind, life: &str) {
    let source = Source::DeadLetters(site.id.clone());
    let setting = Setting {
        clock: Arc::clone(&worker.clock),
        ..operator::setting(world, source, Target::Owed, &format!("auto of {site} {life}"))
    };
    let holder = Uuid::from_u128(stream(world.options.seed, &format!("holder {site} {life}")).u128(..));
    let told = Brings { world, site };
    let auto = Auto { worker, setting: &setting, depth: Some(&*site.letters), holder, rate: RATE, tell: &told };
    if kind == HostKind::Container {
        return auto.watch(future::pending()).await;
    }
    let mut known = Known::default();
    loop {
        world.clock.sleep(BEAT).await;
        auto.once(&mut known, BEAT / 2).await;
    }
}

/// From one heartbeat of a function to the next.
const BEAT: Duration = Duration::from_secs(30);
/// Letters a second that a worker brings.
const RATE: f64 = 100.0;

struct Brings<'a> {
    world: &'a World,
    site: &'a Site,
}

impl Tell for Brings<'_> {
    fn begins(&self) {
        self.world.books.note(|| format!("worker of {} brings what letters owe", self.site));
    }

    fn progresses(&self, _: usize) {}

    fn ends(&self, passed: Option<&Passed>) {
        let Some(passed) = passed else {
            return self.world.books.note(|| format!("worker of {}: its pass was cut off", self.site));
        };
        let Passed { end, brought, left, away, .. } = passed;
        self.world
            .books
            .note(|| format!("worker of {}: {end:?}, {brought} brought, {left} left, away {away:?}", self.site));
    }

    fn no_lease(&self, error: &PortError) {
        self.world.books.note(|| format!("worker of {} has no lease: {error}", self.site));
    }
}

/// One life of a worker, and what it works with.
struct Hand<'a> {
    world: &'a World,
    site: &'a Site,
    worker: &'a Worker,
    queue: &'a dyn Queue,
    letters: &'a dyn Queue,
    batch: usize,
}

impl Hand<'_> {
    async fn receive(&self) -> Vec<Delivery> {
        loop {
            match self.queue.receive(self.batch, WAIT).await {
                Ok(batch) if batch.is_empty() => {}
                Ok(batch) => return batch,
                Err(_) => self.world.clock.sleep(REST).await,
            }
        }
    }

    async fn contain(&self) {
        let pace = Pace {
            batch_messages_max: self.batch,
            concurrent_batches: 2,
            receive_wait: WAIT,
            pause: Backoff { base: REST, max: REST },
            rest: Backoff { base: REST, max: 4 * REST },
            probe: Backoff { base: REST, max: REST },
        };
        receive(self.worker, self.queue, self.letters, pace, self, future::pending()).await;
    }

    async fn invoke_partial(&self) {
        let budget =
            partial::Budget { work: Duration::from_secs(20), give_back: Duration::from_secs(2), portion: self.batch };
        loop {
            let batch = self.receive().await;
            let worked = partial::work_off(self.worker, self.queue, self.letters, &batch, budget).await;
            self.count(batch.len(), worked.ended.len());
            // Halted with nothing settled, the invocation fails.
            let settled = batch.iter().zip(&worked.ended).filter(|(_, ended)| ended.is_settled());
            self.remove(settled.map(|(delivery, _)| delivery.receipt.clone()).collect()).await;
        }
    }

    async fn invoke_whole(&self) {
        let budget = whole::Budget {
            attempt: Duration::from_secs(10),
            hold: Duration::from_secs(5),
            halt: Duration::from_secs(10),
        };
        loop {
            let batch = self.receive().await;
            let receipts: Vec<Receipt> = batch.iter().map(|delivery| delivery.receipt.clone()).collect();
            let copies = &*self.site.queue;
            let worked = whole::work_off(self.worker, self.queue, copies, self.letters, batch, budget).await;
            if worked.failed.is_some() {
                self.queue.release(&receipts).await;
            } else {
                self.count(receipts.len(), worked.concluded.len());
                self.remove(receipts).await;
            }
        }
    }

    /// The platform removes what the function said may go.
    async fn remove(&self, receipts: Vec<Receipt>) {
        if !receipts.is_empty() {
            self.queue.ack(&receipts).await;
        }
    }

    fn count(&self, delivered: usize, concluded: usize) {
        if delivered != concluded {
            let what = format!("{}: {delivered} deliveries, {concluded} conclusions", self.site);
            self.world.books.open().violate(Checker::BooksBalance, what);
        }
    }

    /// What the worker tells of a batch when it ends in an orderly way.
    fn compare(&self, books: Books, delivered: u64, left: u64) {
        if !books.balance() || books.delivered != delivered || books.left != left {
            let what =
                format!("{}: {delivered} deliveries, {left} of them left, and the books have {books:?}", self.site);
            self.world.books.open().violate(Checker::BooksBalance, what);
        }
    }

    /// Delivered = acked + retried + dead-lettered + in flight: what a verdict says was done, or is reported as not done.
    fn balance(&self, delivery: &Delivery, settlement: &Settlement, reported: bool) {
        let place = Place { site: self.site.number, kind: Kind::Queue };
        let end = self.world.books.end_of(place, &delivery.receipt);
        let balanced = match settlement {
            Settlement::Ack => end == Some(Ended::Acked),
            // What no letter holds is given back, and an excerpt of it set aside.
            Settlement::DeadLetter(_) => end.is_some(),
            Settlement::Retry { .. } => end == Some(Ended::GivenBack),
            // A message that could not be given back comes again by itself.
            Settlement::Halt { .. } | Settlement::Wait { .. } => end != Some(Ended::Acked),
        };
        if !balanced && !reported {
            let what = format!(
                "{}: {} was settled as {settlement:?}, its queue has {end:?}, and no failure was reported",
                self.site, delivery.message_id
            );
            self.world.books.open().violate(Checker::BooksBalance, what);
        }
    }
}

#[async_trait]
impl Listen for Hand<'_> {
    async fn worked_off(&self, batch: &[Delivery], verdicts: &[Verdict], carried: &Carried) {
        let reported = |delivery: &Delivery| carried.unsettled.iter().any(|(name, _)| *name == delivery.message_id);
        self.count(batch.len(), verdicts.len());
        let mut left = 0;
        for (delivery, verdict) in batch.iter().zip(verdicts) {
            self.balance(delivery, &verdict.settlement, reported(delivery));
            let untouched = matches!(verdict.settlement, Settlement::Halt { .. } | Settlement::Wait { .. });
            left += u64::from(reported(delivery) || untouched);
        }
        self.compare(carried.books, batch.len() as u64, left);
    }

    fn not_received(&self, _: &PortError) {}

    fn received(&self) {}

    fn halted(&self, halt: &Halt, _: Duration) {
        self.world.books.note(|| format!("worker of {} halts: {}", self.site, halt.detail));
    }

    fn still_halted(&self, _: &Halt, error: &PortError, _: Duration) {
        self.world.books.note(|| format!("worker of {} is still halted: {}", self.site, error.kind));
    }

    async fn examine(&self) -> Result<(), PortError> {
        Ok(())
    }

    fn mended(&self, _: &Halt) {
        self.world.books.note(|| format!("worker of {} goes on", self.site));
    }
}
