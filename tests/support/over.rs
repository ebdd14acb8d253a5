//! A queue that does something of its own in some calls, and passes the others on.

use std::{fmt, time::Duration};

use async_trait::async_trait;
use bridge_core::{
    failure::PortError,
    port::{Delivery, Message, Place, Queue, Receipt, Use},
    reason::Refusal,
};

/// The answers of a call on many items, one each.
pub type Answers = Vec<Result<(), PortError>>;

/// What a test changes about a queue: the calls that tests are about.
#[async_trait]
pub trait Change: fmt::Debug + Send + Sync {
    /// The queue below.
    fn queue(&self) -> &dyn Queue;

    /// As [`Queue::receive`].
    async fn receive(&self, max: usize, wait: Duration) -> Result<Vec<Delivery>, PortError> {
        self.queue().receive(max, wait).await
    }

    /// As [`Queue::ack`].
    async fn ack(&self, receipts: &[Receipt]) -> Answers {
        self.queue().ack(receipts).await
    }

    /// As [`Queue::browse`].
    async fn browse(&self, place: &mut Place, max: usize) -> Result<Vec<Delivery>, PortError> {
        self.queue().browse(place, max).await
    }

    /// As [`Queue::release`].
    async fn release(&self, receipts: &[Receipt]) -> Answers {
        self.queue().release(receipts).await
    }
}

/// A queue with such a change.
#[derive(Debug)]
pub struct Over<C>(pub C);

impl<C: Change> fmt::Display for Over<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.0.queue(), f)
    }
}

#[async_trait]
impl<C: Change> Queue for Over<C> {
    async fn receive(&self, max: usize, wait: Duration) -> Result<Vec<Delivery>, PortError> {
        self.0.receive(max, wait).await
    }

    fn lease(&self) -> Duration {
        self.0.queue().lease()
    }

    async fn extend(&self, receipts: &[Receipt]) -> Vec<Result<Duration, PortError>> {
        self.0.queue().extend(receipts).await
    }

    async fn ack(&self, receipts: &[Receipt]) -> Answers {
        self.0.ack(receipts).await
    }

    async fn retry(&self, later: &[(&Delivery, Duration)]) -> Answers {
        self.0.queue().retry(later).await
    }

    async fn bury(&self, delivery: &Delivery, why: &Refusal) -> Result<bool, PortError> {
        self.0.queue().bury(delivery, why).await
    }

    async fn probe(&self, what: Use) -> Result<(), PortError> {
        self.0.queue().probe(what).await
    }

    async fn send(&self, messages: &[Message]) -> Answers {
        self.0.queue().send(messages).await
    }

    async fn browse(&self, place: &mut Place, max: usize) -> Result<Vec<Delivery>, PortError> {
        self.0.browse(place, max).await
    }

    async fn release(&self, receipts: &[Receipt]) -> Answers {
        self.0.release(receipts).await
    }

    async fn close(&self) {
        self.0.queue().close().await;
    }
}
