//! A bound on every call: what has not answered by then has `TimedOut`, and may have happened nevertheless.
//!
//! Adapters bound their own requests; this bounds what those bounds add up to, and whatever has none.

use std::{fmt, future::Future, sync::Arc, time::Duration};

use async_trait::async_trait;
use bridge_core::{
    event::Key,
    failure::{FailureKind, PortError},
    port::{Clock, Delivery, Message, Place, PutOutcome, Queue, Receipt, Store, Use, within},
    reason::Refusal,
    record::Record,
};

use super::Operation;

/// A queue whose calls end in time.
#[derive(Debug)]
pub struct TimeoutQueue {
    inner: Arc<dyn Queue>,
    clock: Arc<dyn Clock>,
    bound: Duration,
}

impl TimeoutQueue {
    /// Bounds each call on `inner` to `bound`, and a receive to its own wait and `bound`.
    pub fn new(inner: Arc<dyn Queue>, clock: Arc<dyn Clock>, bound: Duration) -> Self {
        Self { inner, clock, bound }
    }

    async fn each<F>(&self, operation: Operation, items: usize, call: F) -> Vec<Result<(), PortError>>
    where
        F: Future<Output = Vec<Result<(), PortError>>> + Send,
    {
        let timed_out = |_| Err(timed_out(&self.inner, operation));
        within(&*self.clock, self.bound, call).await.unwrap_or_else(|| (0..items).map(timed_out).collect())
    }
}

#[async_trait]
impl Queue for TimeoutQueue {
    async fn receive(&self, max: usize, wait: Duration) -> Result<Vec<Delivery>, PortError> {
        let call = self.inner.receive(max, wait);
        let answer = within(&*self.clock, wait.saturating_add(self.bound), call).await;
        answer.unwrap_or_else(|| Err(timed_out(&self.inner, Operation::Receive)))
    }

    fn lease(&self) -> Duration {
        self.inner.lease()
    }

    async fn extend(&self, receipts: &[Receipt]) -> Vec<Result<(), PortError>> {
        self.each(Operation::Extend, receipts.len(), self.inner.extend(receipts)).await
    }

    async fn ack(&self, receipts: &[Receipt]) -> Vec<Result<(), PortError>> {
        self.each(Operation::Ack, receipts.len(), self.inner.ack(receipts)).await
    }

    async fn retry(&self, later: &[(&Delivery, Duration)]) -> Vec<Result<(), PortError>> {
        self.each(Operation::Retry, later.len(), self.inner.retry(later)).await
    }

    async fn bury(&self, delivery: &Delivery, why: &Refusal) -> Result<bool, PortError> {
        let answer = within(&*self.clock, self.bound, self.inner.bury(delivery, why)).await;
        answer.unwrap_or_else(|| Err(timed_out(&self.inner, Operation::Bury)))
    }

    async fn probe(&self, what: Use) -> Result<(), PortError> {
        let answer = within(&*self.clock, self.bound, self.inner.probe(what)).await;
        answer.unwrap_or_else(|| Err(timed_out(&self.inner, Operation::Probe)))
    }

    async fn send(&self, messages: &[Message]) -> Vec<Result<(), PortError>> {
        self.each(Operation::Send, messages.len(), self.inner.send(messages)).await
    }

    async fn browse(&self, place: &mut Place, max: usize) -> Result<Vec<Delivery>, PortError> {
        let answer = within(&*self.clock, self.bound, self.inner.browse(place, max)).await;
        answer.unwrap_or_else(|| Err(timed_out(&self.inner, Operation::Browse)))
    }

    async fn release(&self, receipts: &[Receipt]) -> Vec<Result<(), PortError>> {
        self.each(Operation::Release, receipts.len(), self.inner.release(receipts)).await
    }

    async fn close(&self) {
        within(&*self.clock, self.bound, self.inner.close()).await;
    }
}

impl fmt::Display for TimeoutQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

/// A store whose calls end in time.
#[derive(Debug)]
pub struct TimeoutStore {
    inner: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    bound: Duration,
}

impl TimeoutStore {
    /// Bounds each call on `inner` to `bound`.
    pub fn new(inner: Arc<dyn Store>, clock: Arc<dyn Clock>, bound: Duration) -> Self {
        Self { inner, clock, bound }
    }
}

#[async_trait]
impl Store for TimeoutStore {
    async fn put_if_newer(&self, record: &Record) -> Result<PutOutcome, PortError> {
        let answer = within(&*self.clock, self.bound, self.inner.put_if_newer(record)).await;
        answer.unwrap_or_else(|| Err(timed_out(&self.inner, Operation::PutIfNewer)))
    }

    async fn get(&self, key: &Key) -> Result<Option<Record>, PortError> {
        let answer = within(&*self.clock, self.bound, self.inner.get(key)).await;
        answer.unwrap_or_else(|| Err(timed_out(&self.inner, Operation::Get)))
    }
}

impl fmt::Display for TimeoutStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

fn timed_out(backend: &impl fmt::Display, operation: Operation) -> PortError {
    PortError::new(backend.to_string(), operation.as_str(), FailureKind::TimedOut)
}
