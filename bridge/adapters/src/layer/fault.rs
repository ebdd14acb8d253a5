//! Faults in front of any adapter: failures before and after the effect, lost requests, lost answers, partial batches.
//!
//! What goes wrong is the plan's; this carries it out. For tests and the simulation: no deployable wires it.

use std::{fmt, future::pending, sync::Arc, time::Duration};

use async_trait::async_trait;
use bridge_core::{
    event::Key,
    failure::{FailureKind, PortError},
    port::{Clock, Delivery, Message, Place, PutOutcome, Queue, Receipt, Store, Use},
    reason::Refusal,
    record::Record,
};

use super::Operation;
pub use super::fault_plan::{Fault, FaultPlan, Rule};

/// What a layer does around one call on one thing.
enum Course {
    /// Makes the call, then waits.
    Go(Duration),
    /// Fails without the call.
    Refuse(FailureKind),
    /// Makes the call, then fails.
    Hide(FailureKind),
    /// Makes the call if asked to, and never ends.
    Hang { call: bool },
}

/// Plan and clock of a layer.
#[derive(Debug)]
struct Faults {
    plan: Arc<FaultPlan>,
    clock: Arc<dyn Clock>,
}

impl Faults {
    fn course(&self, operation: Operation) -> Course {
        match self.plan.judge(operation) {
            None => Course::Go(Duration::ZERO),
            Some(Fault::Before(kind)) => Course::Refuse(kind),
            Some(Fault::After(kind)) => Course::Hide(kind),
            Some(Fault::Lost) => Course::Hang { call: false },
            Some(Fault::Unanswered) => Course::Hang { call: true },
            Some(Fault::Late(pause)) => Course::Go(pause),
            Some(Fault::Items { share, kind, after }) => match (self.plan.draw(1, share)[0], after) {
                (false, _) => Course::Go(Duration::ZERO),
                (true, false) => Course::Refuse(kind),
                (true, true) => Course::Hide(kind),
            },
        }
    }

    /// Makes a call on one thing, as the plan has it.
    async fn one<T>(
        &self,
        backend: &(impl fmt::Display + Sync),
        operation: Operation,
        call: impl Future<Output = Result<T, PortError>> + Send,
    ) -> Result<T, PortError> {
        match self.course(operation) {
            Course::Go(pause) => {
                let answer = call.await;
                self.pause(pause).await;
                answer
            }
            Course::Refuse(kind) => Err(failure(backend, operation, kind)),
            Course::Hide(kind) => {
                call.await?;
                Err(failure(backend, operation, kind))
            }
            Course::Hang { call: makes } => {
                if makes {
                    let _unanswered = call.await;
                }
                pending().await
            }
        }
    }

    /// Makes a call on many items, as the plan has it. `call` gets those that are to reach the backend.
    async fn many<I: Clone + Sync, F>(
        &self,
        backend: &(impl fmt::Display + Sync),
        operation: Operation,
        items: &[I],
        call: impl FnOnce(Vec<I>) -> F + Send,
    ) -> Vec<Result<(), PortError>>
    where
        F: Future<Output = Vec<Result<(), PortError>>> + Send,
    {
        let fail = |kind: &FailureKind| Err(failure(backend, operation, kind.clone()));
        match self.plan.judge(operation) {
            None => call(items.to_vec()).await,
            Some(Fault::Before(kind)) => items.iter().map(|_| fail(&kind)).collect(),
            Some(Fault::After(kind)) => {
                let results = call(items.to_vec()).await;
                results.into_iter().map(|result| result.and_then(|()| fail(&kind))).collect()
            }
            Some(Fault::Lost) => pending().await,
            Some(Fault::Unanswered) => {
                call(items.to_vec()).await;
                pending().await
            }
            Some(Fault::Late(pause)) => {
                let results = call(items.to_vec()).await;
                self.pause(pause).await;
                results
            }
            Some(Fault::Items { share, kind, after }) => {
                let struck = self.plan.draw(items.len(), share);
                let reaches = |struck: &bool| after || !struck;
                let good =
                    items.iter().zip(&struck).filter(|(_, struck)| reaches(struck)).map(|(item, _)| item.clone());
                let mut answers = call(good.collect()).await.into_iter();
                let merge = |struck: &bool| {
                    let answer = if reaches(struck) { answers.next() } else { None };
                    match answer {
                        Some(Err(error)) => Err(error),
                        Some(Ok(())) if !struck => Ok(()),
                        _ => fail(&kind),
                    }
                };
                struck.iter().map(merge).collect()
            }
        }
    }

    async fn pause(&self, pause: Duration) {
        if !pause.is_zero() {
            self.clock.sleep(pause).await;
        }
    }
}

fn failure(backend: &impl fmt::Display, operation: Operation, kind: FailureKind) -> PortError {
    PortError::new(backend.to_string(), operation.as_str(), kind).caused_by("a fault of the plan")
}

/// A queue with faults.
#[derive(Debug)]
pub struct FaultQueue {
    inner: Arc<dyn Queue>,
    faults: Faults,
}

impl FaultQueue {
    /// Puts the faults of `plan` in front of `inner`.
    pub fn new(inner: Arc<dyn Queue>, plan: Arc<FaultPlan>, clock: Arc<dyn Clock>) -> Self {
        Self { inner, faults: Faults { plan, clock } }
    }
}

#[async_trait]
impl Queue for FaultQueue {
    async fn receive(&self, max: usize, wait: Duration) -> Result<Vec<Delivery>, PortError> {
        self.faults.one(&self.inner, Operation::Receive, self.inner.receive(max, wait)).await
    }

    fn lease(&self) -> Duration {
        self.inner.lease()
    }

    async fn extend(&self, receipts: &[Receipt]) -> Vec<Result<(), PortError>> {
        let call = async |receipts: Vec<Receipt>| self.inner.extend(&receipts).await;
        self.faults.many(&self.inner, Operation::Extend, receipts, call).await
    }

    async fn ack(&self, receipts: &[Receipt]) -> Vec<Result<(), PortError>> {
        let call = async |receipts: Vec<Receipt>| self.inner.ack(&receipts).await;
        self.faults.many(&self.inner, Operation::Ack, receipts, call).await
    }

    async fn retry(&self, later: &[(&Delivery, Duration)]) -> Vec<Result<(), PortError>> {
        let call = async |later: Vec<(&Delivery, Duration)>| self.inner.retry(&later).await;
        self.faults.many(&self.inner, Operation::Retry, later, call).await
    }

    async fn bury(&self, delivery: &Delivery, why: &Refusal) -> Result<bool, PortError> {
        self.faults.one(&self.inner, Operation::Bury, self.inner.bury(delivery, why)).await
    }

    async fn probe(&self, what: Use) -> Result<(), PortError> {
        self.faults.one(&self.inner, Operation::Probe, self.inner.probe(what)).await
    }

    async fn send(&self, messages: &[Message]) -> Vec<Result<(), PortError>> {
        let call = async |messages: Vec<Message>| self.inner.send(&messages).await;
        self.faults.many(&self.inner, Operation::Send, messages, call).await
    }

    async fn browse(&self, place: &mut Place, max: usize) -> Result<Vec<Delivery>, PortError> {
        self.faults.one(&self.inner, Operation::Browse, self.inner.browse(place, max)).await
    }

    async fn release(&self, receipts: &[Receipt]) -> Vec<Result<(), PortError>> {
        let call = async |receipts: Vec<Receipt>| self.inner.release(&receipts).await;
        self.faults.many(&self.inner, Operation::Release, receipts, call).await
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}

impl fmt::Display for FaultQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

/// A store with faults.
#[derive(Debug)]
pub struct FaultStore {
    inner: Arc<dyn Store>,
    faults: Faults,
}

impl FaultStore {
    /// Puts the faults of `plan` in front of `inner`.
    pub fn new(inner: Arc<dyn Store>, plan: Arc<FaultPlan>, clock: Arc<dyn Clock>) -> Self {
        Self { inner, faults: Faults { plan, clock } }
    }
}

#[async_trait]
impl Store for FaultStore {
    async fn put_if_newer(&self, record: &Record) -> Result<PutOutcome, PortError> {
        self.faults.one(&self.inner, Operation::PutIfNewer, self.inner.put_if_newer(record)).await
    }

    async fn get(&self, key: &Key) -> Result<Option<Record>, PortError> {
        self.faults.one(&self.inner, Operation::Get, self.inner.get(key)).await
    }
}

impl fmt::Display for FaultStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}
