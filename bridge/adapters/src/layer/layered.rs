//! The one wrapper of each port: makes every call through a [`Layer`], which is all that layers differ in.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use bridge_core::{
    event::Key,
    failure::{FailureKind, PortError},
    port::{Delivery, Message, Place, Queue, Receipt, Store, Use, Write},
    reason::Refusal,
    record::Record,
};
use futures_util::future::BoxFuture;

use super::Operation;

/// The answers of a call on many items, one each.
pub type Answers<A = ()> = Vec<Result<A, PortError>>;

/// A call on many items of a port.
pub type OnMany<P, I, A> = for<'a> fn(&'a P, &'a [I]) -> BoxFuture<'a, Answers<A>>;

/// Which call is made.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// The adapter and what it talks to.
    pub backend: &'a str,
    /// The method.
    pub operation: Operation,
    /// How long the call may take because it was asked to wait: a receive's.
    pub wait: Duration,
}

impl Call<'_> {
    /// The failure of this call, as the backend's own would be.
    pub(super) fn failed(self, kind: FailureKind) -> PortError {
        PortError::new(self.backend.to_owned(), self.operation.as_str(), kind)
    }
}

/// What surrounds every call of a port.
pub trait Layer: Send + Sync {
    /// Makes a call on one thing, or does not. `items`: how many items an answer stands for.
    fn one<T: Send>(
        &self,
        call: Call<'_>,
        running: impl Future<Output = Result<T, PortError>> + Send,
        items: impl Fn(&T) -> usize + Send,
    ) -> impl Future<Output = Result<T, PortError>> + Send;

    /// Makes a call on many items, or on some of them.
    fn many<P: ?Sized + Sync, I: Clone + Send + Sync, A: Send>(
        &self,
        call: Call<'_>,
        port: &P,
        items: &[I],
        run: OnMany<P, I, A>,
    ) -> impl Future<Output = Answers<A>> + Send;
}

/// A port with a layer around it.
pub struct Layered<P: ?Sized, L> {
    inner: Arc<P>,
    backend: String,
    layer: L,
}

/// A queue with a layer around it.
pub type LayeredQueue<L> = Layered<dyn Queue, L>;

/// A store with a layer around it.
pub type LayeredStore<L> = Layered<dyn Store, L>;

impl<P: ?Sized + fmt::Display, L> Layered<P, L> {
    /// Puts `layer` around `inner`.
    pub fn new(inner: Arc<P>, layer: L) -> Self {
        Self { backend: inner.to_string(), inner, layer }
    }
}

impl<P: ?Sized, L> Layered<P, L> {
    fn call(&self, operation: Operation) -> Call<'_> {
        Call { backend: &self.backend, operation, wait: Duration::ZERO }
    }
}

fn one_item<T>(_: &T) -> usize {
    1
}

#[async_trait]
impl<L: Layer> Queue for LayeredQueue<L> {
    async fn receive(&self, max: usize, wait: Duration) -> Result<Vec<Delivery>, PortError> {
        let call = Call { wait, ..self.call(Operation::Receive) };
        self.layer.one(call, self.inner.receive(max, wait), Vec::len).await
    }

    fn lease(&self) -> Duration {
        self.inner.lease()
    }

    async fn extend(&self, receipts: &[Receipt]) -> Answers<Duration> {
        let call = self.call(Operation::Extend);
        self.layer.many(call, &*self.inner, receipts, |queue, receipts| queue.extend(receipts)).await
    }

    async fn ack(&self, receipts: &[Receipt]) -> Answers {
        self.layer.many(self.call(Operation::Ack), &*self.inner, receipts, |queue, receipts| queue.ack(receipts)).await
    }

    async fn retry(&self, later: &[(&Delivery, Duration)]) -> Answers {
        self.layer.many(self.call(Operation::Retry), &*self.inner, later, |queue, later| queue.retry(later)).await
    }

    async fn bury(&self, delivery: &Delivery, why: &Refusal) -> Result<bool, PortError> {
        self.layer.one(self.call(Operation::Bury), self.inner.bury(delivery, why), one_item).await
    }

    async fn probe(&self, what: Use) -> Result<(), PortError> {
        self.layer.one(self.call(Operation::Probe), self.inner.probe(what), one_item).await
    }

    async fn send(&self, messages: &[Message]) -> Answers {
        let call = self.call(Operation::Send);
        self.layer.many(call, &*self.inner, messages, |queue, messages| queue.send(messages)).await
    }

    async fn browse(&self, place: &mut Place, max: usize) -> Result<Vec<Delivery>, PortError> {
        self.layer.one(self.call(Operation::Browse), self.inner.browse(place, max), Vec::len).await
    }

    async fn release(&self, receipts: &[Receipt]) -> Answers {
        let call = self.call(Operation::Release);
        self.layer.many(call, &*self.inner, receipts, |queue, receipts| queue.release(receipts)).await
    }

    async fn close(&self) {
        let closing = async {
            self.inner.close().await;
            Ok(())
        };
        // A close answers nothing, so nobody can be told of its failure.
        let _ = self.layer.one(self.call(Operation::Close), closing, one_item).await;
    }
}

#[async_trait]
impl<L: Layer> Store for LayeredStore<L> {
    async fn put_if_newer(&self, record: &Record) -> Result<Write, PortError> {
        self.layer.one(self.call(Operation::PutIfNewer), self.inner.put_if_newer(record), one_item).await
    }

    async fn get(&self, key: &Key) -> Result<Option<Record>, PortError> {
        self.layer.one(self.call(Operation::Get), self.inner.get(key), one_item).await
    }
}

impl<P: ?Sized, L> fmt::Display for Layered<P, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.backend)
    }
}

impl<P: ?Sized, L> fmt::Debug for Layered<P, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Layered").field("backend", &self.backend).finish_non_exhaustive()
    }
}
