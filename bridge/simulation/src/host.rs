//! What works a site, as the three real hosts do, with the core's own way of settling for each; killed and started again.

use std::time::Duration;

use bridge_core::{
    books::Books,
    carry_out,
    invocation::{partial, whole},
    pipeline::Worker,
    port::{Clock, Delivery, Queue, Receipt},
    settlement::Settlement,
};
use fastrand::Rng;
use futures_util::future::join;

use crate::{
    books::{Actor, Ended, Kind, Place},
    checkers::Checker,
    executor::Mortal,
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

/// Works `site` for ever. Each life ends after some polls if `life` says how many on average, and a new one begins.
pub async fn serve(world: &World, site: &Site, kind: HostKind, batch: usize, life: Option<u64>, name: &str) {
    let mut rng = stream(world.options.seed, &format!("lives of {site} {name}"));
    for number in 0.. {
        let polls = polls(&mut rng, life);
        let name = format!("{name}.{number}");
        Mortal::new(live(world, site, kind, batch, &name), polls).await;
        world.books.note(|| format!("worker of {site} {name} is killed"));
        world.clock.sleep(Duration::from_millis(rng.u64(100..5_000))).await;
    }
}

fn polls(rng: &mut Rng, life: Option<u64>) -> u64 {
    life.map_or(u64::MAX, |mean| rng.u64(1..2 * mean))
}

async fn live(world: &World, site: &Site, kind: HostKind, batch: usize, life: &str) {
    let worker = world.hire(site, life);
    let actor = Actor::Worker(site.number);
    let queue = world.queue(site, Kind::Queue, actor, life);
    let letters = world.queue(site, Kind::Letters, actor, life);
    let hand = Hand { world, site, worker: &worker, queue: &*queue, letters: &*letters, batch };
    match kind {
        HostKind::Container => drop(join(hand.contain(), hand.contain()).await),
        HostKind::Lambda => hand.invoke_partial().await,
        HostKind::Function => hand.invoke_whole().await,
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
        loop {
            let batch = self.receive().await;
            let (verdicts, carried) = carry_out::work_off(self.worker, self.queue, self.letters, &batch).await;
            let reported = |delivery: &Delivery| {
                carried.unsettled.iter().any(|(name, _)| *name == delivery.message_id || *name == delivery.receipt.0)
            };
            self.count(batch.len(), verdicts.len());
            let mut left = 0;
            for (delivery, verdict) in batch.iter().zip(&verdicts) {
                self.balance(delivery, &verdict.settlement, reported(delivery));
                left += u64::from(reported(delivery) || matches!(verdict.settlement, Settlement::Halt { .. }));
            }
            self.compare(carried.books, batch.len() as u64, left);
            if carried.halt.is_some() {
                self.world.clock.sleep(REST).await;
            }
        }
    }

    async fn invoke_partial(&self) {
        let budget =
            partial::Budget { work: Duration::from_secs(20), give_back: Duration::from_secs(2), portion: self.batch };
        loop {
            let batch = self.receive().await;
            let worked = partial::work_off(self.worker, self.queue, self.letters, &batch, budget).await;
            // Halted: the invocation fails, and all of it comes again when its leases end.
            let Ok(ended) = worked else { continue };
            self.count(batch.len(), ended.len());
            let settled = batch.iter().zip(&ended).filter(|(_, ended)| ended.is_settled());
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
            match whole::work_off(self.worker, self.queue, copies, self.letters, batch, budget).await {
                Ok(settled) => {
                    self.count(receipts.len(), settled.len());
                    self.remove(receipts).await;
                }
                Err(_) => drop(self.queue.release(&receipts).await),
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
        let expected = match settlement {
            Settlement::Ack | Settlement::DeadLetter(_) => Some(Ended::Acked),
            Settlement::Retry { .. } => Some(Ended::GivenBack),
            Settlement::Halt { .. } => None,
        };
        let balanced = end == expected || reported;
        if !balanced {
            let what = format!(
                "{}: {} was settled as {settlement:?}, its queue has {end:?}, and no failure was reported",
                self.site, delivery.message_id
            );
            self.world.books.open().violate(Checker::BooksBalance, what);
        }
    }
}
