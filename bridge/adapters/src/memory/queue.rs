//! A queue in memory: leases, attempts, delayed retries, duplicates and disorder, by a given clock and a given seed.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use async_trait::async_trait;
use bridge_core::{
    failure::{FailureKind, PortError},
    limits,
    port::{Clock, Delivery, Depth, Message, Place, Properties, Queue, QueueDepth, Receipt, Reschedule, Use},
    reason::Refusal,
};
use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::select;
use tokio::sync::Notify;

use crate::{
    carried::{service_bus, sqs},
    delivery::{self, Counted, counted},
};

/// The receipt of a message that was looked at and is not held.
const LOOKED_AT: &str = "looked-at";

/// In which order waiting messages are delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// As they came into the queue. For tests that are about something else; no cloud promises it.
    Arrival,
    /// As the seed has it.
    Shuffled,
}

/// What a [`MemoryQueue`] is like.
#[derive(Clone, Debug)]
pub struct MemoryQueueOptions {
    /// For logs and errors.
    pub name: String,
    /// How long a delivery stays hidden.
    pub lease: Duration,
    /// Bytes of a message: body, and names and values of its properties.
    pub message_bytes_max: usize,
    /// Order of delivery.
    pub order: Order,
    /// How likely it is, from 0 to 1, that a message is delivered once more than its receivers deserve.
    pub duplicates: f64,
    /// Decides on order and duplicates.
    pub seed: u64,
    /// By whose rules a message is taken in.
    pub carries: Carries,
    /// Whether a worker may hand it messages to bury, as Service Bus lets it and SQS does not.
    pub buries: bool,
    /// Deliveries of a message after which the queue buries it by itself, without a reason; never if none.
    pub deliveries_max: Option<u32>,
}

/// By whose rules a queue takes a message in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carries {
    /// Any content, and sizes by the plainest count.
    Anything,
    /// What SQS carries, and as it counts.
    Sqs,
    /// What Service Bus carries, and as it counts.
    ServiceBus,
}

impl Default for MemoryQueueOptions {
    fn default() -> Self {
        Self {
            name: "memory-queue".to_owned(),
            lease: Duration::from_secs(30),
            message_bytes_max: limits::EVENT_BYTES_MAX,
            order: Order::Shuffled,
            duplicates: 0.0,
            seed: 0,
            carries: Carries::Anything,
            buries: false,
            deliveries_max: None,
        }
    }
}

/// A queue in memory.
///
/// It keeps time by the clock it was given, which stands for the broker's own: a worker with a skewed clock needs
/// another one. [`Queue::receive`] waits on that clock, and ends early when a message arrives. As strict as the
/// strictest cloud: a receipt is worth nothing once its lease has ended, even if nobody else holds the message.
#[derive(Debug)]
pub struct MemoryQueue {
    options: MemoryQueueOptions,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    arrived: Notify,
}

#[derive(Debug)]
struct State {
    rng: fastrand::Rng,
    next_id: u64,
    messages: BTreeMap<u64, Stored>,
    /// Waiting to be delivered.
    visible: VecDeque<u64>,
    /// Leased or delayed, by the instant at which that ends.
    hidden: BTreeSet<(DateTime<Utc>, u64)>,
    /// The broker's own dead letters, with their reasons; none where it counted too many deliveries.
    buried: Vec<(Bytes, Option<Refusal>)>,
}

#[derive(Clone, Debug)]
struct Stored {
    body: Bytes,
    properties: Properties,
    sent: DateTime<Utc>,
    deliveries: u32,
    /// When the message becomes visible; none while it is.
    hidden_until: Option<DateTime<Utc>>,
    /// Whether its latest receipt is good.
    leased: bool,
    /// Whether it was delivered twice already by `duplicates`; once is enough, or a batch could never end.
    duplicated: bool,
}

impl Stored {
    /// The message as it is handed over, or shown, under this receipt.
    fn delivery(&self, id: u64, receipt: Receipt, deliveries: u32) -> Delivery {
        let Counted { attempt, first_seen, properties } = counted(self.properties.clone(), deliveries, Some(self.sent));
        let message_id = format!("memory-{id}");
        Delivery { receipt, message_id, attempt, first_seen, body: self.body.clone(), properties }
    }
}

impl MemoryQueue {
    /// An empty queue.
    pub fn new(options: MemoryQueueOptions, clock: Arc<dyn Clock>) -> Self {
        let state = State {
            rng: fastrand::Rng::with_seed(options.seed),
            next_id: 1,
            messages: BTreeMap::new(),
            visible: VecDeque::new(),
            hidden: BTreeSet::new(),
            buried: Vec::new(),
        };
        Self { options, clock, state: Mutex::new(state), arrived: Notify::new() }
    }

    /// Messages in the queue, delivered ones included.
    pub fn len(&self) -> usize {
        self.state().messages.len()
    }

    /// Whether the queue holds no message at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bodies and properties of all messages in the queue, delivered ones included, oldest first.
    pub fn snapshot(&self) -> Vec<(Bytes, Properties)> {
        self.state().messages.values().map(|stored| (stored.body.clone(), stored.properties.clone())).collect()
    }

    /// Bodies of the broker's own dead letters, with their reasons; none where it counted too many deliveries.
    pub fn buried(&self) -> Vec<(Bytes, Option<Refusal>)> {
        self.state().buried.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while it holds the lock")
    }

    fn fail(&self, operation: &'static str, kind: FailureKind) -> PortError {
        PortError::new(self.to_string(), operation, kind)
    }

    fn accept(&self, message: &Message) -> Result<(), PortError> {
        let refuse = |kind| Err(self.fail("send", kind));
        let limit = self.options.message_bytes_max;
        match self.options.carries {
            Carries::Anything => {}
            Carries::Sqs => return sqs::check(message, limit).or_else(refuse),
            Carries::ServiceBus => return service_bus::check(message, limit).or_else(refuse),
        }
        let properties = &message.properties;
        if properties.len() > limits::PROPERTIES_MAX {
            let detail = format!("{} properties; a message has at most {}", properties.len(), limits::PROPERTIES_MAX);
            return refuse(FailureKind::Rejected { detail });
        }
        if let Some((name, _)) = properties.iter().find(|(name, value)| name.is_empty() || value.is_empty()) {
            return refuse(FailureKind::Rejected { detail: format!("property {name:?}: name or value is empty") });
        }
        let beside: usize = properties.iter().map(|(name, value)| name.len() + value.len()).sum();
        let size_bytes = message.body.len() + beside;
        if size_bytes > self.options.message_bytes_max {
            let limit_bytes = self.options.message_bytes_max as u64;
            return refuse(FailureKind::TooLarge { size_bytes: size_bytes as u64, limit_bytes });
        }
        Ok(())
    }

    /// Runs `change` on the receipt's message if the receipt is good, and says `LeaseLost` if not.
    fn with_lease(
        &self,
        operation: &'static str,
        receipt: &Receipt,
        change: impl FnOnce(&mut State, u64, DateTime<Utc>),
    ) -> Result<(), PortError> {
        let now = self.clock.now();
        let mut state = self.state();
        state.reclaim(now);
        match state.leased(receipt) {
            Some(id) => {
                change(&mut state, id, now);
                Ok(())
            }
            None => Err(self.fail(operation, FailureKind::LeaseLost)),
        }
    }
}

impl State {
    /// Makes visible again what was hidden until `now` or before.
    fn reclaim(&mut self, now: DateTime<Utc>) {
        while let Some((until, id)) = self.hidden.first().copied().filter(|(until, _)| *until <= now) {
            self.hidden.remove(&(until, id));
            if let Some(stored) = self.messages.get_mut(&id) {
                stored.hidden_until = None;
                stored.leased = false;
                self.visible.push_back(id);
            }
        }
    }

    fn add(&mut self, stored: Stored) {
        let id = self.add_unseen(stored);
        self.visible.push_back(id);
    }

    fn add_unseen(&mut self, stored: Stored) -> u64 {
        let id = self.next_id;
        self.messages.insert(id, stored);
        self.next_id += 1;
        id
    }

    fn take(&mut self, max: usize, now: DateTime<Utc>, options: &MemoryQueueOptions) -> Vec<Delivery> {
        self.reclaim(now);
        let mut deliveries = Vec::new();
        while deliveries.len() < max && !self.visible.is_empty() {
            let id = match options.order {
                Order::Arrival => self.visible.pop_front(),
                Order::Shuffled => self.visible.swap_remove_back(self.rng.usize(..self.visible.len())),
            };
            deliveries.extend(id.and_then(|id| self.deliver(id, now, options)));
        }
        deliveries
    }

    fn deliver(&mut self, id: u64, now: DateTime<Utc>, options: &MemoryQueueOptions) -> Option<Delivery> {
        let again = options.duplicates > 0.0 && self.rng.f64() < options.duplicates;
        if options
            .deliveries_max
            .is_some_and(|max| self.messages.get(&id).is_some_and(|stored| stored.deliveries >= max))
        {
            let body = self.messages.remove(&id)?.body;
            self.buried.push((body, None));
            return None;
        }
        let stored = self.messages.get_mut(&id)?;
        let copy = (again && !stored.duplicated).then(|| {
            stored.duplicated = true;
            stored.clone()
        });
        stored.deliveries += 1;
        stored.leased = true;
        let delivery = stored.delivery(id, Receipt(format!("{id}.{}", stored.deliveries)), stored.deliveries);
        self.hide(id, now, options.lease);
        if let Some(copy) = copy {
            self.add(copy);
        }
        Some(delivery)
    }

    fn hide(&mut self, id: u64, now: DateTime<Utc>, duration: Duration) {
        let until = later(now, duration);
        if let Some(stored) = self.messages.get_mut(&id) {
            if let Some(before) = stored.hidden_until.replace(until) {
                self.hidden.remove(&(before, id));
            }
            self.hidden.insert((until, id));
        }
    }

    fn remove(&mut self, id: u64) {
        if let Some(until) = self.messages.remove(&id).and_then(|stored| stored.hidden_until) {
            self.hidden.remove(&(until, id));
        }
    }

    /// The message of a receipt that is good.
    fn leased(&self, receipt: &Receipt) -> Option<u64> {
        let (id, delivery) = parse(receipt)?;
        self.messages.get(&id).filter(|stored| stored.leased && stored.deliveries == delivery).map(|_| id)
    }
}

/// `duration` after `now`, or the end of time.
fn later(now: DateTime<Utc>, duration: Duration) -> DateTime<Utc> {
    TimeDelta::from_std(duration)
        .ok()
        .and_then(|delta| now.checked_add_signed(delta))
        .unwrap_or(DateTime::<Utc>::MAX_UTC)
}

fn parse(receipt: &Receipt) -> Option<(u64, u32)> {
    let (id, delivery) = receipt.0.split_once('.')?;
    Some((id.parse().ok()?, delivery.parse().ok()?))
}

#[async_trait]
impl Depth for MemoryQueue {
    async fn depth(&self) -> Result<QueueDepth, PortError> {
        let now = self.clock.now();
        let mut state = self.state();
        state.reclaim(now);
        let hidden = state.messages.values().filter(|stored| stored.hidden_until.is_some());
        let (leased, delayed): (Vec<_>, Vec<_>) = hidden.partition(|stored| stored.leased);
        Ok(QueueDepth {
            waiting: state.visible.len() as u64,
            in_flight: Some(leased.len() as u64),
            delayed: delayed.len() as u64,
            oldest: state.messages.values().map(|stored| stored.sent).min(),
        })
    }
}

#[async_trait]
impl Queue for MemoryQueue {
    async fn receive(&self, max: usize, wait: Duration) -> Result<Vec<Delivery>, PortError> {
        let end = later(self.clock.now(), wait);
        loop {
            let mut arrived = pin!(self.arrived.notified());
            arrived.as_mut().enable();
            let now = self.clock.now();
            let next = {
                let mut state = self.state();
                let deliveries = state.take(max, now, &self.options);
                if !deliveries.is_empty() || now >= end || max == 0 {
                    return Ok(deliveries);
                }
                state.hidden.first().map_or(end, |(until, _)| end.min(*until))
            };
            let pause = (next - now).to_std().unwrap_or_default();
            select(arrived, self.clock.sleep(pause)).await;
        }
    }

    fn lease(&self) -> Duration {
        self.options.lease
    }

    async fn extend(&self, receipts: &[Receipt]) -> Vec<Result<Duration, PortError>> {
        let lease = self.options.lease;
        let hide = |receipt| self.with_lease("extend", receipt, |state, id, now| state.hide(id, now, lease));
        let extend = |receipt| hide(receipt).map(|()| lease);
        receipts.iter().map(extend).collect()
    }

    async fn ack(&self, receipts: &[Receipt]) -> Vec<Result<(), PortError>> {
        let ack = |receipt| {
            let gone = parse(receipt).is_some_and(|(id, _)| !self.state().messages.contains_key(&id));
            if gone { Ok(()) } else { self.with_lease("ack", receipt, |state, id, _| state.remove(id)) }
        };
        receipts.iter().map(ack).collect()
    }

    async fn retry(&self, later: &[(&Delivery, Duration)]) -> Vec<Result<(), PortError>> {
        let retry = |(delivery, after): &(&Delivery, Duration)| {
            let after = Duration::from_secs(delivery::seconds_up(*after));
            self.with_lease("retry", &delivery.receipt, |state, id, now| {
                if let Some(stored) = state.messages.get_mut(&id) {
                    stored.leased = false;
                }
                state.hide(id, now, after);
            })
        };
        let results = later.iter().map(retry).collect();
        self.arrived.notify_waiters();
        results
    }

    async fn bury(&self, delivery: &Delivery, why: &Refusal) -> Result<bool, PortError> {
        if !self.options.buries {
            return Ok(false);
        }
        self.with_lease("bury", &delivery.receipt, |state, id, _| {
            state.remove(id);
            state.buried.push((delivery.body.clone(), Some(why.clone())));
        })?;
        Ok(true)
    }

    async fn probe(&self, _: Use) -> Result<(), PortError> {
        Ok(())
    }

    async fn send(&self, messages: &[Message]) -> Vec<Result<(), PortError>> {
        let now = self.clock.now();
        let send = |message: &Message| {
            self.accept(message)?;
            self.state().add(Stored {
                body: message.body.clone(),
                properties: message.properties.clone(),
                sent: now,
                deliveries: 0,
                hidden_until: None,
                leased: false,
                duplicated: false,
            });
            Ok(())
        };
        let results = messages.iter().map(send).collect();
        self.arrived.notify_waiters();
        results
    }

    /// Looks as Service Bus does: in the order of arrival, and at all messages, whoever holds them.
    async fn browse(&self, place: &mut Place, max: usize) -> Result<Vec<Delivery>, PortError> {
        let state = self.state();
        let shown = state.messages.range(place.0..).take(max).map(|(id, stored)| {
            *place = Place(id + 1);
            stored.delivery(*id, Receipt(LOOKED_AT.to_owned()), stored.deliveries + 1)
        });
        Ok(shown.collect())
    }

    async fn release(&self, receipts: &[Receipt]) -> Vec<Result<(), PortError>> {
        let release = |receipt: &Receipt| {
            if receipt.0 == LOOKED_AT {
                return Ok(());
            }
            self.with_lease("release", receipt, |state, id, now| {
                if let Some(stored) = state.messages.get_mut(&id) {
                    stored.leased = false;
                }
                state.hide(id, now, Duration::ZERO);
            })
        };
        let results = receipts.iter().map(release).collect();
        self.arrived.notify_waiters();
        results
    }

    async fn close(&self) {}
}

#[async_trait]
impl Reschedule for MemoryQueue {
    async fn reschedule(&self, delivery: &Delivery, after: Duration) -> Result<(), PortError> {
        let now = self.clock.now();
        let mut state = self.state();
        let id = state.add_unseen(Stored {
            body: delivery.body.clone(),
            properties: delivery::of_copy(delivery, now),
            sent: now,
            deliveries: 0,
            hidden_until: None,
            leased: false,
            duplicated: false,
        });
        state.hide(id, now, Duration::from_secs(delivery::seconds_up(after)));
        drop(state);
        self.arrived.notify_waiters();
        Ok(())
    }
}

impl fmt::Display for MemoryQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "memory {}", self.options.name)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::join;

    use super::*;
    use crate::memory::ManualClock;

    fn queue(options: MemoryQueueOptions) -> (Arc<ManualClock>, MemoryQueue) {
        let clock = ManualClock::new("2026-11-21T01:02:03Z".parse().unwrap());
        let queue = MemoryQueue::new(options, Arc::clone(&clock) as Arc<dyn Clock>);
        (clock, queue)
    }

    fn message(body: &'static str) -> Message {
        Message { id: body.to_owned(), body: Bytes::from_static(body.as_bytes()), properties: Properties::new() }
    }

    fn bodies(deliveries: &[Delivery]) -> Vec<&str> {
        deliveries.iter().map(|delivery| std::str::from_utf8(&delivery.body).unwrap()).collect()
    }

    const ABC: [&str; 5] = ["a", "b", "c", "d", "e"];

    #[test]
    fn a_seed_decides_on_the_order_and_another_on_another() {
        let order = |seed| {
            let (clock, queue) = queue(MemoryQueueOptions { seed, ..Default::default() });
            clock.drive(async {
                queue.send(&ABC.map(message)).await;
                bodies(&queue.receive(10, Duration::ZERO).await.unwrap()).join("")
            })
        };
        assert_eq!(order(1), order(1));
        assert_ne!(order(1), order(2));
        let mut sorted: Vec<char> = order(1).chars().collect();
        sorted.sort_unstable();
        assert_eq!(sorted, ['a', 'b', 'c', 'd', 'e']);
    }

    #[test]
    fn duplicates_are_copies_with_receipts_of_their_own() {
        let (clock, queue) = queue(MemoryQueueOptions { duplicates: 1.0, order: Order::Arrival, ..Default::default() });
        clock.drive(async {
            queue.send(&[message("a")]).await;
            let both = queue.receive(10, Duration::ZERO).await.unwrap();
            assert_eq!(bodies(&both), ["a", "a"]);
            assert_ne!(both[0].receipt, both[1].receipt);
            queue.ack(&[both[0].receipt.clone()]).await;
            assert_eq!(queue.len(), 1, "a copy is settled by itself");
        });
    }

    #[test]
    fn a_message_that_arrives_ends_the_wait() {
        let (clock, queue) = queue(MemoryQueueOptions::default());
        let (received, ()) = clock.drive(join(queue.receive(1, Duration::from_secs(20)), async {
            clock.sleep(Duration::from_secs(3)).await;
            queue.send(&[message("a")]).await;
        }));
        assert_eq!(bodies(&received.unwrap()), ["a"]);
        assert_eq!(clock.elapsed(), Duration::from_secs(3));
    }

    #[test]
    fn a_lease_that_ends_ends_the_wait() {
        let (clock, queue) = queue(MemoryQueueOptions { lease: Duration::from_secs(5), ..Default::default() });
        clock.drive(async {
            queue.send(&[message("a")]).await;
            queue.receive(1, Duration::ZERO).await.unwrap();
            let again = queue.receive(1, Duration::from_secs(20)).await.unwrap();
            assert_eq!(again[0].attempt, 2);
        });
        assert_eq!(clock.elapsed(), Duration::from_secs(5));
    }
}
