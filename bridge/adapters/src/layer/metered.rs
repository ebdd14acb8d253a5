//! Tells a hook of every call: to which backend, which method, what came of it, how long it took.
//!
//! The hook turns this into metrics; the adapters know no metrics system.

use std::{
    fmt,
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use bridge_core::{
    event::Key,
    failure::{FailureKind, PortError},
    port::{Delivery, Message, Place, PutOutcome, Queue, Receipt, Store, Use},
    reason::Refusal,
    record::Record,
};

use super::Operation;

/// One call and what came of it.
#[derive(Clone, Debug)]
pub struct Observation<'a> {
    /// The adapter and what it talked to.
    pub backend: &'a str,
    /// The method.
    pub operation: Operation,
    /// What came of it; of a call on many items, the first failure among them.
    pub outcome: Outcome,
    /// Items of the call: messages asked to send or to settle, messages received, one for a store.
    pub items: usize,
    /// Those of them that failed.
    pub failed: usize,
    /// From the call to its answer, by the machine's steady clock.
    pub duration: Duration,
}

/// What came of a call, as a word for a metric's label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It did what it should; losing to a newer version included.
    Ok,
    /// See [`FailureKind::Throttled`].
    Throttled,
    /// See [`FailureKind::Unavailable`].
    Unavailable,
    /// See [`FailureKind::TimedOut`].
    TimedOut,
    /// See [`FailureKind::LeaseLost`].
    LeaseLost,
    /// See [`FailureKind::TooLarge`].
    TooLarge,
    /// See [`FailureKind::Rejected`].
    Rejected,
    /// See [`FailureKind::Unauthorized`].
    Unauthorized,
    /// See [`FailureKind::Missing`].
    Missing,
    /// See [`FailureKind::Misshapen`].
    Misshapen,
    /// The call was dropped before it answered.
    Cancelled,
}

impl Outcome {
    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Throttled => "throttled",
            Self::Unavailable => "unavailable",
            Self::TimedOut => "timed_out",
            Self::LeaseLost => "lease_lost",
            Self::TooLarge => "too_large",
            Self::Rejected => "rejected",
            Self::Unauthorized => "unauthorized",
            Self::Missing => "missing",
            Self::Misshapen => "misshapen",
            Self::Cancelled => "cancelled",
        }
    }
}

impl From<&FailureKind> for Outcome {
    fn from(kind: &FailureKind) -> Self {
        match kind {
            FailureKind::Throttled { .. } => Self::Throttled,
            FailureKind::Unavailable => Self::Unavailable,
            FailureKind::TimedOut => Self::TimedOut,
            FailureKind::LeaseLost => Self::LeaseLost,
            FailureKind::TooLarge { .. } => Self::TooLarge,
            FailureKind::Rejected { .. } => Self::Rejected,
            FailureKind::Unauthorized => Self::Unauthorized,
            FailureKind::Missing => Self::Missing,
            FailureKind::Misshapen { .. } => Self::Misshapen,
        }
    }
}

/// Where observations go. Called on the caller's task: it must be quick, and must not block.
pub type Observe = Arc<dyn Fn(&Observation<'_>) + Send + Sync>;

/// Times calls and reports them, cancelled ones too.
struct Meter {
    backend: String,
    observe: Observe,
}

impl Meter {
    fn new(backend: &impl fmt::Display, observe: Observe) -> Self {
        Self { backend: backend.to_string(), observe }
    }

    async fn call<T>(
        &self,
        operation: Operation,
        call: impl Future<Output = T> + Send,
        sum: impl FnOnce(&T) -> Sum + Send,
    ) -> T {
        let mut running = Running { meter: self, operation, start: Instant::now(), sum: Sum::CANCELLED };
        let answer = call.await;
        running.sum = sum(&answer);
        answer
    }
}

/// What a call's answer comes to.
#[derive(Clone, Copy)]
struct Sum {
    outcome: Outcome,
    items: usize,
    failed: usize,
}

impl Sum {
    const CANCELLED: Self = Self { outcome: Outcome::Cancelled, items: 0, failed: 0 };

    fn one<T>(items: usize, result: &Result<T, PortError>) -> Self {
        let outcome = result.as_ref().map_or_else(|error| Outcome::from(&error.kind), |_| Outcome::Ok);
        Self { outcome, items, failed: if result.is_ok() { 0 } else { items } }
    }

    #[allow(clippy::ptr_arg, reason = "it is passed where a function of the answer's own type is wanted")]
    fn many(results: &Vec<Result<(), PortError>>) -> Self {
        let mut failures = results.iter().filter_map(|result| result.as_ref().err());
        let outcome = failures.next().map_or(Outcome::Ok, |error| Outcome::from(&error.kind));
        let failed = results.iter().filter(|result| result.is_err()).count();
        Self { outcome, items: results.len(), failed }
    }
}

/// A call on its way; reports when it ends, whichever way.
struct Running<'a> {
    meter: &'a Meter,
    operation: Operation,
    start: Instant,
    sum: Sum,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let Sum { outcome, items, failed } = self.sum;
        (self.meter.observe)(&Observation {
            backend: &self.meter.backend,
            operation: self.operation,
            outcome,
            items,
            failed,
            duration: self.start.elapsed(),
        });
    }
}

/// A queue whose calls are observed.
pub struct MeteredQueue {
    inner: Arc<dyn Queue>,
    meter: Meter,
}

impl MeteredQueue {
    /// Tells `observe` of each call on `inner`.
    pub fn new(inner: Arc<dyn Queue>, observe: Observe) -> Self {
        Self { meter: Meter::new(&inner, observe), inner }
    }
}

#[async_trait]
impl Queue for MeteredQueue {
    async fn receive(&self, max: usize, wait: Duration) -> Result<Vec<Delivery>, PortError> {
        let sum = |result: &Result<Vec<Delivery>, PortError>| Sum::one(result.as_ref().map_or(1, Vec::len), result);
        self.meter.call(Operation::Receive, self.inner.receive(max, wait), sum).await
    }

    fn lease(&self) -> Duration {
        self.inner.lease()
    }

    async fn extend(&self, receipts: &[Receipt]) -> Vec<Result<(), PortError>> {
        self.meter.call(Operation::Extend, self.inner.extend(receipts), Sum::many).await
    }

    async fn ack(&self, receipts: &[Receipt]) -> Vec<Result<(), PortError>> {
        self.meter.call(Operation::Ack, self.inner.ack(receipts), Sum::many).await
    }

    async fn retry(&self, later: &[(&Delivery, Duration)]) -> Vec<Result<(), PortError>> {
        self.meter.call(Operation::Retry, self.inner.retry(later), Sum::many).await
    }

    async fn bury(&self, delivery: &Delivery, why: &Refusal) -> Result<bool, PortError> {
        self.meter.call(Operation::Bury, self.inner.bury(delivery, why), |result| Sum::one(1, result)).await
    }

    async fn probe(&self, what: Use) -> Result<(), PortError> {
        self.meter.call(Operation::Probe, self.inner.probe(what), |result| Sum::one(1, result)).await
    }

    async fn send(&self, messages: &[Message]) -> Vec<Result<(), PortError>> {
        self.meter.call(Operation::Send, self.inner.send(messages), Sum::many).await
    }

    async fn browse(&self, place: &mut Place, max: usize) -> Result<Vec<Delivery>, PortError> {
        let sum = |result: &Result<Vec<Delivery>, PortError>| Sum::one(result.as_ref().map_or(1, Vec::len), result);
        self.meter.call(Operation::Browse, self.inner.browse(place, max), sum).await
    }

    async fn release(&self, receipts: &[Receipt]) -> Vec<Result<(), PortError>> {
        self.meter.call(Operation::Release, self.inner.release(receipts), Sum::many).await
    }

    async fn close(&self) {
        let sum = |(): &()| Sum { outcome: Outcome::Ok, items: 1, failed: 0 };
        self.meter.call(Operation::Close, self.inner.close(), sum).await;
    }
}

impl fmt::Display for MeteredQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl fmt::Debug for MeteredQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MeteredQueue").field("inner", &self.inner).finish_non_exhaustive()
    }
}

/// A store whose calls are observed.
pub struct MeteredStore {
    inner: Arc<dyn Store>,
    meter: Meter,
}

impl MeteredStore {
    /// Tells `observe` of each call on `inner`.
    pub fn new(inner: Arc<dyn Store>, observe: Observe) -> Self {
        Self { meter: Meter::new(&inner, observe), inner }
    }
}

#[async_trait]
impl Store for MeteredStore {
    async fn put_if_newer(&self, record: &Record) -> Result<PutOutcome, PortError> {
        self.meter.call(Operation::PutIfNewer, self.inner.put_if_newer(record), |result| Sum::one(1, result)).await
    }

    async fn get(&self, key: &Key) -> Result<Option<Record>, PortError> {
        self.meter.call(Operation::Get, self.inner.get(key), |result| Sum::one(1, result)).await
    }
}

impl fmt::Display for MeteredStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl fmt::Debug for MeteredStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MeteredStore").field("inner", &self.inner).finish_non_exhaustive()
    }
}
