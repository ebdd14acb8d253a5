//! A Service Bus queue: received over AMQP, sent to over REST.
//!
//! Receiving and settling need AMQP: REST takes one message for each request and cannot extend in bulk. Sending does
//! not: a request confirms a whole batch, starts in a quarter of the time, and keeps no connection that a frozen
//! function could lose. Nothing here decides what to do about a failure; nothing prints a key or a token.

mod admin;
mod amqp;
mod connection_string;
mod depth;
#[doc(hidden)]
pub mod fuzzing;
mod message;
mod rest;
mod sas;

use std::{
    fmt,
    sync::Mutex,
    time::{Duration, SystemTime},
};

pub use admin::ServiceBusDescriptions;
use async_trait::async_trait;
use bridge_core::{
    failure::{PortError, Recovery},
    port::{Delivery, Message, Place, Queue, Receipt, Reschedule, Use},
    property,
    reason::Refusal,
    trace,
};
use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
pub use connection_string::{ConnectionStringError, ServiceBusConnection};
pub use depth::ServiceBusDepth;
use futures_util::{StreamExt, stream};
pub use message::Peeked;
pub(crate) use message::unpack;
use reqwest::Url;
pub(super) use sas::identity_failure;
use tokio::time::Instant;
use uuid::Uuid;

use self::{
    amqp::{
        connection::Connector,
        leases::Leases,
        management::{Order, peeked},
        receiver::{Link, LinkSlot},
        settle::Receipts,
    },
    rest::Sender,
};
use crate::{delivery, failure::Failure};

/// Where a queue is and what it is like.
#[derive(Clone, Debug)]
pub struct ServiceBusOptions {
    /// For logs and errors, for example `service-bus bridge-events`.
    pub label: String,
    /// The namespace.
    pub connection: ServiceBusConnection,
    /// Where to send, if not to the namespace's own `https` address: an emulator's HTTP endpoint. Plain http goes to
    /// loopback only.
    pub http_endpoint: Option<Url>,
    /// The queue, or the sub-queue `QUEUE/$deadletterqueue`, which can be read but not sent to.
    pub queue: String,
    /// The queue's own lock duration: the broker sets it, so it must be told here as it is there.
    pub lease: Duration,
    /// Bytes of a message in the namespace's tier. "Service Bus quotas", read 2026-11: 256 KB in Standard, up to 100 MB
    /// in Premium.
    pub message_bytes_max: usize,
    /// How long to wait for what.
    pub timeouts: Timeouts,
}

/// How long to wait for answers.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// A connection: socket, TLS, AMQP and the first token.
    pub connect: Duration,
    /// One exchange: a send, a settlement, an extension.
    pub operation: Duration,
    /// A goodbye. What it would have given back comes back by itself when its lock ends.
    pub close: Duration,
}

impl Default for Timeouts {
    /// Ours. Connecting takes eleven round trips, so 10 s is plenty on any working path; an exchange takes one. Both stay
    /// well below a lease, so that what timed out can still be tried again.
    fn default() -> Self {
        Self { connect: Duration::from_secs(10), operation: Duration::from_secs(10), close: Duration::from_secs(2) }
    }
}

/// Messages of one call that are retried at the same time. Ours: each is a request and a settlement.
const RETRIES_AT_ONCE: usize = 16;

/// The receipt of a message that was peeked at and is not held.
const LOOKED_AT: &str = "looked-at";

/// The least that [`Queue::receive`] waits for a first message: the broker must be asked, and has to answer.
const WAIT_MIN: Duration = Duration::from_millis(50);

/// A queue of Azure Service Bus. Does nothing until it is used, connects when it is, and again when it has to.
pub struct ServiceBusQueue {
    label: String,
    queue: String,
    lease: Duration,
    timeouts: Timeouts,
    connector: Connector,
    link: LinkSlot,
    leases: Mutex<Leases>,
    sender: Sender,
}

impl ServiceBusQueue {
    /// A queue that nothing was asked of yet.
    pub fn new(options: ServiceBusOptions) -> Self {
        let ServiceBusOptions { label, connection, http_endpoint, queue, lease, message_bytes_max, timeouts } = options;
        Self {
            sender: Sender::new(connection.clone(), http_endpoint.as_ref(), &queue, message_bytes_max, timeouts),
            connector: Connector::new(connection, queue.clone(), timeouts),
            link: LinkSlot::new(queue.clone(), lease),
            leases: Mutex::new(Leases::new(lease)),
            label,
            queue,
            lease,
            timeouts,
        }
    }

    /// Looks at up to `count` messages from a sequence number on, taking none: waiting, locked and scheduled ones alike.
    /// Ask again from the last sequence number plus one until nothing comes.
    ///
    /// # Errors
    /// Whatever the service says of the queue as a whole.
    pub async fn peek(&self, from_sequence: i64, count: usize) -> Result<Vec<Peeked>, PortError> {
        let count = i32::try_from(count).unwrap_or(i32::MAX);
        let answer = self.manage(Order::peek(from_sequence, count)).await;
        let answer = answer.map_err(|failure| failure.at(&self.label, "peek"))?;
        Ok(peeked(&answer).into_iter().map(message::read).collect())
    }

    async fn take(&self, max: usize, deadline: Instant) -> Result<Vec<Delivery>, Failure> {
        let link = self.attached().await?;
        match self.take_from(&link, max, deadline).await {
            // Services end connections now and then, and tokens that could not be renewed in time end links: a new
            // connection tells whether that was all.
            Err(failure) if failure.may_be_the_connections() => {
                tracing::debug!(queue = self.label, error = failure.detail(), "receiving again on a new connection");
                self.connector.discard(link.connection).await;
                self.take_from(&self.attached().await?, max, deadline).await
            }
            taken => taken,
        }
    }

    async fn attached(&self) -> Result<Link, Failure> {
        self.link.attached(&self.connector, self.timeouts.operation).await
    }

    async fn take_from(&self, link: &Link, max: usize, deadline: Instant) -> Result<Vec<Delivery>, Failure> {
        let taken = link.take(max, deadline).await?;
        // No await from here on: what is taken must reach the caller, or it would hide until its lock ends.
        let handed_out = taken
            .iter()
            .map(|taken| (taken.arrived.lock, taken.connection, taken.arrived.info.clone(), taken.lease_ends));
        let lapsed = self.leases().hand_out(handed_out, Instant::now());
        let here = lapsed.into_iter().filter(|(connection, _)| *connection == link.connection);
        link.forget(here.map(|(_, info)| info).collect());
        Ok(taken.into_iter().map(|taken| taken.arrived.delivery).collect())
    }

    /// The lock of a delivery, which holds for a while from now.
    async fn held(&self, delivery: &Delivery) -> Result<Uuid, Failure> {
        let lock = lock_of(&delivery.receipt)?;
        let left = self.leases().left(lock, Instant::now()).ok_or_else(stale)?;
        if left < self.lease / 3 {
            self.renew(&[lock]).await.pop().unwrap_or_else(|| Err(stale()))?;
        }
        Ok(lock)
    }

    async fn retry_as_copy(&self, delivery: &Delivery, after: Duration) -> Result<(), Failure> {
        // A copy of a message that others hold would be one too many, and the lock must hold until the original is gone.
        let lock = self.held(delivery).await?;
        if self.queue.contains("/$") {
            // A sub-queue takes no copies, so the message goes back to it as it is, and at once.
            self.manage(Order::abandon(lock)).await?;
            self.leases().lost(lock);
            return Ok(());
        }
        self.schedule(delivery, after).await?;
        // The copy is safe, so the original may go. Should this worker die right here, or the lock be lost, the message is
        // there twice: both are the same event with the same version, so the stores end as with one, both count their
        // attempts on, and so both come to an end.
        self.acknowledge(&[lock]).await.pop().unwrap_or_else(|| Err(stale()))
    }

    async fn bury_held(&self, delivery: &Delivery, why: &Refusal) -> Result<(), Failure> {
        let lock = self.held(delivery).await?;
        self.manage(Order::bury(lock, why.reason.as_str(), &why.detail)).await.map(drop)
    }

    /// Sends a copy of `delivery`, to be delivered after `after`: with all of the message's own properties, or without them where there is no
    /// room for them beside what a copy notes.
    async fn schedule(&self, delivery: &Delivery, after: Duration) -> Result<(), Failure> {
        let now = SystemTime::now().into();
        let scheduled = (!after.is_zero()).then(|| http_date_up(now, after));
        let post = async |copy: &Message| {
            let sent = self.sender.send(&[copy], scheduled.as_deref()).await.pop();
            sent.unwrap_or_else(|| Err(Failure::unavailable("not sent")))
        };
        let mut copy = copy_of(delivery, now);
        match post(&copy).await {
            Err(failure) if failure.kind.recovery() == Recovery::DeadLetter => {
                tracing::debug!(
                    queue = self.label,
                    error = failure.detail(),
                    "a copy goes without the message's own properties"
                );
                copy.properties.retain(|name, _| property::is_own(name) || trace::is_context(name));
                post(&copy).await
            }
            sent => sent,
        }
    }

    async fn probe_for(&self, what: Use) -> Result<(), Failure> {
        match what {
            Use::Send => self.sender.probe().await,
            // Shows nothing, as no message has the last of all numbers.
            Use::Settle => self.manage(Order::peek(i64::MAX, 1)).await.map(drop),
        }
    }

    fn leases(&self) -> std::sync::MutexGuard<'_, Leases> {
        self.leases.lock().expect("nothing panics while it holds the lock")
    }
}

#[async_trait]
impl Queue for ServiceBusQueue {
    async fn receive(&self, max: usize, wait: Duration) -> Result<Vec<Delivery>, PortError> {
        if max == 0 {
            return Ok(Vec::new());
        }
        let deadline = Instant::now() + wait.max(WAIT_MIN);
        self.take(max, deadline).await.map_err(|failure| failure.at(&self.label, "receive"))
    }

    fn lease(&self) -> Duration {
        self.lease
    }

    async fn extend(&self, receipts: &[Receipt]) -> Vec<Result<Duration, PortError>> {
        let receipts = Receipts::read(receipts);
        let outcomes = self.renew(&receipts.locks).await;
        receipts
            .spread(&outcomes)
            .into_iter()
            .map(|outcome| outcome.map(|()| self.lease).map_err(|failure| failure.at(&self.label, "extend")))
            .collect()
    }

    async fn ack(&self, receipts: &[Receipt]) -> Vec<Result<(), PortError>> {
        let receipts = Receipts::read(receipts);
        let outcomes = self.acknowledge(&receipts.locks).await;
        receipts
            .spread(&outcomes)
            .into_iter()
            .map(|outcome| outcome.map_err(|failure| failure.at(&self.label, "ack")))
            .collect()
    }

    /// Schedules a copy over REST and then completes the original: Service Bus cannot hide a message for a chosen time.
    async fn retry(&self, later: &[(&Delivery, Duration)]) -> Vec<Result<(), PortError>> {
        let retry = async |(delivery, after): &(&Delivery, Duration)| {
            let retried = self.retry_as_copy(delivery, *after).await;
            retried.map_err(|failure| failure.at(&self.label, "retry"))
        };
        stream::iter(later.iter().map(retry)).buffered(RETRIES_AT_ONCE).collect().await
    }

    async fn bury(&self, delivery: &Delivery, why: &Refusal) -> Result<bool, PortError> {
        let buried = self.bury_held(delivery, why).await;
        buried.map(|()| true).map_err(|failure| failure.at(&self.label, "bury"))
    }

    async fn probe(&self, what: Use) -> Result<(), PortError> {
        self.probe_for(what).await.map_err(|failure| failure.at(&self.label, "probe"))
    }

    async fn send(&self, messages: &[Message]) -> Vec<Result<(), PortError>> {
        let messages: Vec<&Message> = messages.iter().collect();
        let outcomes = self.sender.send(&messages, None).await;
        outcomes.into_iter().map(|outcome| outcome.map_err(|failure| failure.at(&self.label, "send"))).collect()
    }

    /// Peeks: nothing is taken or counted; scheduled and locked messages show too.
    async fn browse(&self, place: &mut Place, max: usize) -> Result<Vec<Delivery>, PortError> {
        let peeked = self.peek(i64::try_from(place.0).unwrap_or(i64::MAX), max).await?;
        if !peeked.is_empty() {
            // The one after the last, and never the same again: a message may come without its number.
            let numbers = peeked.iter().map(|message| u64::try_from(message.sequence_number).unwrap_or_default());
            *place = Place(numbers.max().unwrap_or_default().max(place.0) + 1);
        }
        let shown = peeked.into_iter().map(|message| Delivery {
            receipt: Receipt(LOOKED_AT.to_owned()),
            message_id: message.message_id,
            attempt: message.attempts.saturating_add(1),
            first_seen: message.first_seen,
            body: message.body,
            properties: message.properties,
        });
        Ok(shown.collect())
    }

    /// A plain release, which does not count as a failed delivery; where the link is gone, an abandon, which does.
    async fn release(&self, receipts: &[Receipt]) -> Vec<Result<(), PortError>> {
        let held: Vec<Receipt> = receipts.iter().filter(|receipt| receipt.0 != LOOKED_AT).cloned().collect();
        let receipts_held = Receipts::read(&held);
        let outcomes = self.give_back(&receipts_held.locks).await;
        let mut outcomes = receipts_held.spread(&outcomes).into_iter();
        let outcome = |receipt: &Receipt| {
            let outcome = if receipt.0 == LOOKED_AT { Some(Ok(())) } else { outcomes.next() };
            outcome.unwrap_or(Ok(())).map_err(|failure| failure.at(&self.label, "release"))
        };
        receipts.iter().map(outcome).collect()
    }

    /// Gives back what no caller took. What the service sends in the very moment of the goodbye stays locked for one
    /// lease. Deliveries in callers' hands can still be settled, over a new connection.
    async fn close(&self) {
        if let Some(link) = self.link.take().await {
            link.close(self.timeouts.close).await;
        }
        self.connector.close().await;
    }
}

#[async_trait]
impl Reschedule for ServiceBusQueue {
    async fn reschedule(&self, delivery: &Delivery, after: Duration) -> Result<(), PortError> {
        self.schedule(delivery, after).await.map_err(|failure| failure.at(&self.label, "reschedule"))
    }
}

impl fmt::Display for ServiceBusQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.label)
    }
}

impl fmt::Debug for ServiceBusQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { label, queue, lease, .. } = self;
        write!(f, "ServiceBusQueue {{ label: {label:?}, queue: {queue:?}, lease: {lease:?} }}")
    }
}

fn lock_of(receipt: &Receipt) -> Result<Uuid, Failure> {
    receipt.0.parse().map_err(|_| Failure::lease_lost("this is no receipt of a Service Bus queue"))
}

fn stale() -> Failure {
    Failure::lease_lost("this delivery is not in this process's hands")
}

/// The message that takes a delivery's place. Its id is a fresh one: duplicate detection would take the copy for the original, and
/// drop it.
fn copy_of(delivery: &Delivery, now: DateTime<Utc>) -> Message {
    let properties = delivery::of_copy(delivery, now);
    Message { id: Uuid::new_v4().to_string(), body: delivery.body.clone(), properties }
}

/// `now` and `after` as an HTTP date. It has whole seconds only, so the time is rounded up.
fn http_date_up(now: DateTime<Utc>, after: Duration) -> String {
    let after = TimeDelta::from_std(after).unwrap_or(TimeDelta::days(14));
    let at = now + after;
    let whole = at.trunc_subsecs(0);
    let at = if whole < at { whole + TimeDelta::seconds(1) } else { whole };
    at.format("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_is_rounded_up_to_whole_seconds() {
        let now = "2026-11-21T01:02:03.400Z".parse().unwrap();
        assert_eq!(http_date_up(now, Duration::from_millis(1)), "Sat, 21 Nov 2026 01:02:04 GMT");
        assert_eq!(http_date_up(now, Duration::from_millis(600)), "Sat, 21 Nov 2026 01:02:04 GMT");
        assert_eq!(http_date_up(now, Duration::from_millis(601)), "Sat, 21 Nov 2026 01:02:05 GMT");
    }

    #[test]
    fn a_queue_prints_no_secret() {
        let text = "Endpoint=sb://127.0.0.1;SharedAccessKeyName=n;SharedAccessKey=c2VjcmV0;UseDevelopmentEmulator=true";
        let options = ServiceBusOptions {
            label: "service-bus q".to_owned(),
            connection: text.parse().unwrap(),
            http_endpoint: None,
            queue: "q".to_owned(),
            lease: Duration::from_secs(30),
            message_bytes_max: 1024,
            timeouts: Timeouts::default(),
        };
        let shown = format!("{options:?}");
        let queue = ServiceBusQueue::new(options);
        assert!(!format!("{shown} {queue} {queue:?} {:?} {:?}", queue.sender, queue.connector).contains("c2VjcmV0"));
    }
}
