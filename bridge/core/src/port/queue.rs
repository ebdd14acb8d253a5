//! A queue that delivers at least once and in no particular order.

use std::{fmt, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};

use crate::{failure::PortError, property::Properties, reason::Refusal};

/// Proof of one delivery; a later delivery of the same message has another one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Receipt(pub String);

/// How far a look through a queue has come; what the number means is the backend's own business.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place(pub u64);

/// One hand-over of one message. The same message may be delivered again.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// Proof of this delivery.
    pub receipt: Receipt,
    /// The broker's name for the message, for logs and for a host's answer.
    pub message_id: String,
    /// How often the message was delivered, counting this delivery and those of the copies before it; starts at 1.
    pub attempt: u32,
    /// When the message, or the first of its copies, came into the queue, by the broker's clock.
    pub first_seen: Option<DateTime<Utc>>,
    /// The body, byte for byte.
    pub body: Bytes,
    /// The texts beside the body.
    pub properties: Properties,
}

/// A message to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Names this send, and is kept over its own retries; never reused for another send of the same event, or a
    /// queue's duplicate detection would swallow a replay.
    pub id: String,
    /// The body, byte for byte.
    pub body: Bytes,
    /// The texts beside the body; at most [`limits::PROPERTIES_MAX`](crate::limits::PROPERTIES_MAX).
    pub properties: Properties,
}

/// What a worker does with a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Sends to it.
    Send,
    /// Ends deliveries from it.
    Settle,
}

/// A queue that delivers at least once and in no particular order.
///
/// Calls on many items answer for each item, in the order of the items. Every method is cancel safe: a call that is
/// dropped may have taken effect, and nothing is lost by it.
#[async_trait]
pub trait Queue: fmt::Debug + fmt::Display + Send + Sync {
    /// Takes up to `max` messages and hides each from other receivers for [`Queue::lease`].
    ///
    /// Waits up to `wait` for the first message and hardly longer for more; returns none when none came. The adapter
    /// asks the backend in portions that it allows; `max` may be any number over 0.
    ///
    /// # Errors
    /// Whatever the backend says of the queue as a whole; no message is lost by an error.
    async fn receive(&self, max: usize, wait: Duration) -> Result<Vec<Delivery>, PortError>;

    /// How long a delivery stays hidden unless it is extended or settled.
    fn lease(&self) -> Duration;

    /// Hides delivered messages for a whole [`Queue::lease`] from now. Answers for how long each lease holds at least, from the beginning
    /// of the call: a span, as the clocks of a worker and a broker differ.
    ///
    /// # Errors
    /// [`FailureKind::LeaseLost`](crate::failure::FailureKind::LeaseLost) where the receipt is stale: another worker
    /// may hold the message already.
    async fn extend(&self, receipts: &[Receipt]) -> Vec<Result<Duration, PortError>>;

    /// Removes messages for good. Removing one twice is not an error.
    ///
    /// # Errors
    /// `LeaseLost` where the backend can tell that the receipt is stale; the message will be delivered again.
    async fn ack(&self, receipts: &[Receipt]) -> Vec<Result<(), PortError>>;

    /// Gives messages back, each to be delivered again after at least so long (rounded up to whole seconds) with an
    /// attempt that is greater by one, however the backend does it: where it cannot hide a message for a chosen time,
    /// a copy is scheduled and the message then removed.
    ///
    /// # Errors
    /// `LeaseLost` where the receipt is stale; the message will be delivered again anyway.
    async fn retry(&self, later: &[(&Delivery, Duration)]) -> Vec<Result<(), PortError>>;

    /// Hands a delivered message, whole, to the broker's own dead letters, with the reason where the broker writes one down. False where the
    /// broker takes no message at a worker's word: nothing was done then.
    ///
    /// # Errors
    /// `LeaseLost` where the receipt is stale; the message will be delivered again.
    async fn bury(&self, delivery: &Delivery, why: &Refusal) -> Result<bool, PortError>;

    /// Asks whether this process may use the queue for `what`, by a request that takes, sends and removes nothing.
    ///
    /// # Errors
    /// `Unauthorized` or `Missing`, as the use itself would give; or whatever keeps the backend from answering.
    async fn probe(&self, what: Use) -> Result<(), PortError>;

    /// Appends messages, in as few requests as the backend allows.
    ///
    /// `Ok` means that the backend has it durably. After an error whose
    /// [outcome is unknown](crate::failure::FailureKind::outcome_unknown) the message may be there nevertheless: sending
    /// again may duplicate it, which the version order absorbs.
    ///
    /// # Errors
    /// `TooLarge` with both figures and `Rejected` concern one item alone.
    async fn send(&self, messages: &[Message]) -> Vec<Result<(), PortError>>;

    /// Shows up to `max` messages that lie in the queue and takes none: the portion after `place`, which moves on. None
    /// at the end. What comes meanwhile may be shown, and a message may be shown twice.
    ///
    /// Start with [`Place::default`], ask until nothing comes, and then [`release`](Queue::release) the receipts of all
    /// that was shown: a backend that must take a message in order to show it hides it until then, and counts the look
    /// as a delivery. Where looking is free, messages in other hands and delayed ones are shown too.
    ///
    /// # Errors
    /// Whatever the backend says of the queue as a whole.
    async fn browse(&self, place: &mut Place, max: usize) -> Result<Vec<Delivery>, PortError>;

    /// Gives messages back untouched and at once, without a copy. A receipt from [`Queue::browse`] that holds nothing
    /// back is as good as any.
    ///
    /// # Errors
    /// `LeaseLost` where the receipt is stale; the message can be received anyway.
    async fn release(&self, receipts: &[Receipt]) -> Vec<Result<(), PortError>>;

    /// Hands back what was delivered to this process but not to a caller, and closes connections. The next call
    /// opens them again.
    async fn close(&self);
}
