//! Observers right before the memory queues and stores, below all faults: what they pass on to the books really happened,
//! whatever answer the caller gets.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use bridge_adapters::memory::MemoryQueue;
use bridge_core::{
    event::Key,
    failure::PortError,
    port::{self, Delivery, Message, Queue, Receipt, Store, Use, Write},
    reason::Refusal,
    record::Record,
};
use bytes::Bytes;

use crate::{
    books::{Actor, Books, Ended, Place},
    site::Shelf,
};

/// A queue that is watched on behalf of one caller.
#[derive(Debug)]
pub struct WatchQueue {
    inner: Arc<MemoryQueue>,
    place: Place,
    actor: Actor,
    books: Arc<Books>,
    /// The body of each delivery that is not known to have ended.
    bodies: Mutex<BTreeMap<Receipt, Bytes>>,
}

impl WatchQueue {
    /// Watches what `actor` does to the queue that stands at `place`.
    pub fn new(inner: Arc<MemoryQueue>, place: Place, actor: Actor, books: Arc<Books>) -> Arc<Self> {
        Arc::new(Self { inner, place, actor, books, bodies: Mutex::default() })
    }

    fn ended(&self, receipt: &Receipt, how: Ended) {
        let body = self.bodies.lock().unwrap_or_else(PoisonError::into_inner).remove(receipt);
        self.books.ended(self.place, self.actor, receipt, body.as_ref(), how);
    }
}

#[async_trait]
impl Queue for WatchQueue {
    async fn receive(&self, max: usize, wait: Duration) -> Result<Vec<Delivery>, PortError> {
        let deliveries = self.inner.receive(max, wait).await?;
        let received = deliveries.iter().map(|delivery| (delivery.receipt.clone(), delivery.body.clone()));
        self.bodies.lock().unwrap_or_else(PoisonError::into_inner).extend(received);
        self.books.delivered(self.place, self.actor, &deliveries);
        Ok(deliveries)
    }

    fn lease(&self) -> Duration {
        self.inner.lease()
    }

    async fn extend(&self, receipts: &[Receipt]) -> Vec<Result<Duration, PortError>> {
        let answers = self.inner.extend(receipts).await;
        for (receipt, _) in receipts.iter().zip(&answers).filter(|(_, answer)| answer.is_ok()) {
            self.books.extended(self.place, self.actor, receipt);
        }
        answers
    }

    async fn ack(&self, receipts: &[Receipt]) -> Vec<Result<(), PortError>> {
        let answers = self.inner.ack(receipts).await;
        for (receipt, _) in receipts.iter().zip(&answers).filter(|(_, answer)| answer.is_ok()) {
            self.ended(receipt, Ended::Acked);
        }
        answers
    }

    async fn retry(&self, later: &[(&Delivery, Duration)]) -> Vec<Result<(), PortError>> {
        let answers = self.inner.retry(later).await;
        for ((delivery, _), _) in later.iter().zip(&answers).filter(|(_, answer)| answer.is_ok()) {
            self.ended(&delivery.receipt, Ended::GivenBack);
        }
        answers
    }

    async fn bury(&self, delivery: &Delivery, why: &Refusal) -> Result<bool, PortError> {
        self.inner.bury(delivery, why).await
    }

    async fn probe(&self, what: Use) -> Result<(), PortError> {
        self.inner.probe(what).await
    }

    async fn send(&self, messages: &[Message]) -> Vec<Result<(), PortError>> {
        let answers = self.inner.send(messages).await;
        for (message, _) in messages.iter().zip(&answers).filter(|(_, answer)| answer.is_ok()) {
            self.books.accepted(self.place, self.actor, message);
        }
        answers
    }

    async fn browse(&self, place: &mut port::Place, max: usize) -> Result<Vec<Delivery>, PortError> {
        self.inner.browse(place, max).await
    }

    async fn release(&self, receipts: &[Receipt]) -> Vec<Result<(), PortError>> {
        let answers = self.inner.release(receipts).await;
        for (receipt, _) in receipts.iter().zip(&answers).filter(|(_, answer)| answer.is_ok()) {
            self.ended(receipt, Ended::GivenBack);
        }
        answers
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}

impl fmt::Display for WatchQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

/// A store that is watched on behalf of one caller.
#[derive(Debug)]
pub struct WatchStore {
    inner: Arc<dyn Shelf>,
    site: usize,
    actor: Actor,
    books: Arc<Books>,
}

impl WatchStore {
    /// Watches what `actor` does to the store of a site.
    pub fn new(inner: Arc<dyn Shelf>, site: usize, actor: Actor, books: Arc<Books>) -> Arc<Self> {
        Arc::new(Self { inner, site, actor, books })
    }
}

#[async_trait]
impl Store for WatchStore {
    async fn put_if_newer(&self, record: &Record) -> Result<Write, PortError> {
        let outcome = self.inner.put_if_newer(record).await?;
        self.books.wrote(self.site, self.actor, record, &outcome);
        Ok(outcome)
    }

    async fn get(&self, key: &Key) -> Result<Option<Record>, PortError> {
        self.inner.get(key).await
    }
}

impl fmt::Display for WatchStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}
