//! The way between a caller and a queue or a store: every call takes its time there and back, so that before and after each
//! effect there is an await at which the caller can be killed, and now and then a call arrives twice.

use std::{
    fmt,
    future::Future,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bridge_adapters::{
    layer::{Call, Faults, Layer, Operation, Timeout},
    memory::ManualClock,
};
use bridge_core::{
    event::Key,
    failure::PortError,
    port::{Clock, Cursor, Delivery, ForeignItem, Message, Page, Place, Queue, Receipt, Scan, Store, Use, Write},
    reason::Refusal,
    record::Record,
};
use fastrand::Rng;

use crate::{
    books::Books,
    seed::{chance, stream},
};

/// What the ways of a world are like.
#[derive(Clone, Debug)]
pub enum Traffic {
    /// No time at all, for a world that is worked by hand.
    None,
    /// By the seed: mostly some milliseconds, now and then seconds; so many calls of a hundred arrive twice.
    Seeded {
        /// From 0 to 1.
        twice: f64,
    },
    /// A millisecond each way; the call of this number, counted over all ways from 0, arrives twice.
    Counted {
        /// Calls so far.
        calls: Arc<AtomicU64>,
        /// Which one; none if no call has that number.
        twice: u64,
    },
}

/// One caller's way to one backend.
#[derive(Debug)]
struct Way {
    traffic: Traffic,
    clock: Arc<ManualClock>,
    rng: Mutex<Rng>,
    caller: String,
    books: Arc<Books>,
}

impl Way {
    async fn travel<T, F: Future<Output = T>>(&self, call: impl Fn() -> F) -> T {
        if matches!(self.traffic, Traffic::None) {
            return call().await;
        }
        self.pass().await;
        let answer = if self.twice() {
            call().await;
            call().await
        } else {
            call().await
        };
        self.pass().await;
        answer
    }

    async fn pass(&self) {
        let millis = match self.traffic {
            Traffic::None => return,
            Traffic::Counted { .. } => 1,
            Traffic::Seeded { .. } => {
                let mut rng = self.rng.lock().unwrap_or_else(PoisonError::into_inner);
                if chance(&mut rng, 0.03) { rng.u64(500..3_000) } else { rng.u64(1..30) }
            }
        };
        self.clock.sleep(Duration::from_millis(millis)).await;
    }

    fn twice(&self) -> bool {
        match &self.traffic {
            Traffic::None => false,
            Traffic::Seeded { twice } => chance(&mut self.rng.lock().unwrap_or_else(PoisonError::into_inner), *twice),
            Traffic::Counted { calls, twice } => calls.fetch_add(1, Ordering::Relaxed) == *twice,
        }
    }

    fn tell<T>(&self, operation: &str, backend: &dyn fmt::Display, result: &Result<T, PortError>) {
        if let Err(error) = result {
            self.books.note(|| format!("{}: {operation} of {backend}: {}", self.caller, error.kind));
        }
    }

    fn tell_all<T>(&self, operation: &str, backend: &dyn fmt::Display, results: &[Result<T, PortError>]) {
        let failed = results.iter().filter(|result| result.is_err()).count();
        if let Some(Err(error)) = results.iter().find(|result| result.is_err()) {
            let all = results.len();
            self.books.note(|| format!("{}: {operation} of {backend}: {failed} of {all}: {}", self.caller, error.kind));
        }
    }
}

/// Lays ways for one caller.
#[derive(Clone, Debug)]
pub struct Wiring {
    /// What they are like.
    pub traffic: Traffic,
    /// Time.
    pub clock: Arc<ManualClock>,
    /// Where failures are noted.
    pub books: Arc<Books>,
    /// The world's seed.
    pub seed: u64,
    /// The caller, for the trace and its own streams.
    pub caller: String,
}

impl Wiring {
    /// The way to a queue.
    pub fn queue(&self, inner: Arc<dyn Queue>) -> Arc<dyn Queue> {
        let way = self.way(&inner.to_string());
        Arc::new(WireQueue { inner, way })
    }

    /// The way to a store.
    pub fn store(&self, inner: Arc<dyn Store>) -> Arc<dyn Store> {
        let way = self.way(&inner.to_string());
        Arc::new(WireStore { inner, way })
    }

    /// The way to a store that is read from end to end.
    pub fn scan(&self, inner: Arc<dyn Scan>, faults: Faults, timeout: Timeout) -> Arc<dyn Scan> {
        let way = self.way(&format!("reading {inner}"));
        Arc::new(WireScan { inner, way, faults, timeout })
    }

    fn way(&self, backend: &str) -> Way {
        Way {
            traffic: self.traffic.clone(),
            clock: Arc::clone(&self.clock),
            rng: Mutex::new(stream(self.seed, &format!("way of {} to {backend}", self.caller))),
            caller: self.caller.clone(),
            books: Arc::clone(&self.books),
        }
    }
}

#[derive(Debug)]
struct WireQueue {
    inner: Arc<dyn Queue>,
    way: Way,
}

#[async_trait]
impl Queue for WireQueue {
    async fn receive(&self, max: usize, wait: Duration) -> Result<Vec<Delivery>, PortError> {
        let answer = self.way.travel(|| self.inner.receive(max, wait)).await;
        self.way.tell("receive", &self.inner, &answer);
        answer
    }

    fn lease(&self) -> Duration {
        self.inner.lease()
    }

    async fn extend(&self, receipts: &[Receipt]) -> Vec<Result<Duration, PortError>> {
        let answers = self.way.travel(|| self.inner.extend(receipts)).await;
        self.way.tell_all("extend", &self.inner, &answers);
        answers
    }

    async fn ack(&self, receipts: &[Receipt]) -> Vec<Result<(), PortError>> {
        let answers = self.way.travel(|| self.inner.ack(receipts)).await;
        self.way.tell_all("ack", &self.inner, &answers);
        answers
    }

    async fn retry(&self, later: &[(&Delivery, Duration)]) -> Vec<Result<(), PortError>> {
        let answers = self.way.travel(|| self.inner.retry(later)).await;
        self.way.tell_all("retry", &self.inner, &answers);
        answers
    }

    async fn bury(&self, delivery: &Delivery, why: &Refusal) -> Result<bool, PortError> {
        let answer = self.way.travel(|| self.inner.bury(delivery, why)).await;
        self.way.tell("bury", &self.inner, &answer);
        answer
    }

    async fn probe(&self, what: Use) -> Result<(), PortError> {
        let answer = self.way.travel(|| self.inner.probe(what)).await;
        self.way.tell("probe", &self.inner, &answer);
        answer
    }

    async fn send(&self, messages: &[Message]) -> Vec<Result<(), PortError>> {
        let answers = self.way.travel(|| self.inner.send(messages)).await;
        self.way.tell_all("send", &self.inner, &answers);
        answers
    }

    async fn browse(&self, place: &mut Place, max: usize) -> Result<Vec<Delivery>, PortError> {
        self.way.pass().await;
        let answer = self.inner.browse(place, max).await;
        self.way.pass().await;
        self.way.tell("browse", &self.inner, &answer);
        answer
    }

    async fn release(&self, receipts: &[Receipt]) -> Vec<Result<(), PortError>> {
        let answers = self.way.travel(|| self.inner.release(receipts)).await;
        self.way.tell_all("release", &self.inner, &answers);
        answers
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}

impl fmt::Display for WireQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

#[derive(Debug)]
struct WireStore {
    inner: Arc<dyn Store>,
    way: Way,
}

#[async_trait]
impl Store for WireStore {
    async fn put_if_newer(&self, record: &Record) -> Result<Write, PortError> {
        let answer = self.way.travel(|| self.inner.put_if_newer(record)).await;
        self.way.tell("put", &self.inner, &answer);
        answer
    }

    async fn get(&self, key: &Key) -> Result<Option<Record>, PortError> {
        let answer = self.way.travel(|| self.inner.get(key)).await;
        self.way.tell("get", &self.inner, &answer);
        answer
    }
}

impl fmt::Display for WireStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

/// No layer is made for this port: its calls go through those of the store's reads.
#[derive(Debug)]
struct WireScan {
    inner: Arc<dyn Scan>,
    way: Way,
    faults: Faults,
    timeout: Timeout,
}

impl WireScan {
    async fn call<T: Send, F: Future<Output = Result<T, PortError>> + Send>(
        &self,
        call: impl Fn() -> F + Send + Sync,
    ) -> Result<T, PortError> {
        let backend = self.inner.to_string();
        let read = Call { backend: &backend, operation: Operation::Get, wait: Duration::ZERO };
        let travel = self.way.travel(|| self.faults.one(read, call(), |_| 1));
        let answer = self.timeout.one(read, travel, |_| 1).await;
        self.way.tell("read", &backend, &answer);
        answer
    }
}

#[async_trait]
impl Scan for WireScan {
    async fn segments(&self, wanted: usize) -> Result<Vec<Cursor>, PortError> {
        self.call(|| self.inner.segments(wanted)).await
    }

    async fn page(&self, from: &Cursor) -> Result<Page, PortError> {
        self.call(|| self.inner.page(from)).await
    }

    async fn beside(&self, key: &Key) -> Result<Vec<ForeignItem>, PortError> {
        self.call(|| self.inner.beside(key)).await
    }
}

impl fmt::Display for WireScan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}
