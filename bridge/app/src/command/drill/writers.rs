//! The users of all sites: each writes to its own site, and those of the failed one to another once they are sent there.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bridge_adapters::clock::SystemClock;
use bridge_core::{
    envelope,
    event::{Op, SiteId},
    failure::PortError,
    marks::{DRILL_KEYS, Marks, Own},
    port::{Clock, Queue},
};
use bridge_ops::drill::{Answer, Book};
use bytes::Bytes;
use serde_json::json;
use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::command::publish::message;

/// How long a user waits for the queue. Ours: longer than any answer of a healthy one, and what a person would bear.
const SEND_LIMIT: Duration = Duration::from_secs(3);

/// Of ten writes so many change an earlier key, and so many delete one; the others make a new one.
const CHANGES: u32 = 3;
const DELETES: u32 = 1;

/// What the messages of a drill are marked with: its keys are reserved.
const MARKS: Marks = Marks { forwarded_by: None, accept_old: None, own: Some(Own::Drill) };

/// What every key of a drill begins with.
pub(super) fn prefix(run: &str) -> String {
    format!("{DRILL_KEYS}{run}/")
}

/// The book, whoever holds it for a moment.
pub(super) fn open(book: &Mutex<Book>) -> MutexGuard<'_, Book> {
    book.lock().unwrap_or_else(PoisonError::into_inner)
}

/// All users.
#[derive(Debug)]
pub(super) struct Writers {
    pub(super) run: String,
    pub(super) queues: BTreeMap<SiteId, Arc<dyn Queue>>,
    pub(super) book: Arc<Mutex<Book>>,
    pub(super) key_pointer: String,
    pub(super) failing: SiteId,
    /// Where users of the failing site write; itself, unless it is failed over.
    pub(super) serving: Mutex<SiteId>,
    /// Writes to the failing site in a row that were not confirmed.
    pub(super) failures: AtomicU32,
    pub(super) made: AtomicUsize,
}

impl Writers {
    /// Writes `rate` times a second for users of each site, until stopped; then waits for what is on its way.
    pub(super) async fn write(self: Arc<Self>, rate: f64, stop: CancellationToken) {
        let mut homes = JoinSet::new();
        for home in self.queues.keys().cloned() {
            let (writers, stop) = (Arc::clone(&self), stop.clone());
            homes.spawn(async move { writers.users_of(home, rate, stop).await });
        }
        while homes.join_next().await.is_some() {}
    }

    async fn users_of(self: Arc<Self>, home: SiteId, rate: f64, stop: CancellationToken) {
        let mut ticks = interval(Duration::from_secs_f64(1.0 / rate));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut sends = JoinSet::new();
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                _ = ticks.tick() => {}
            }
            // A send of its own task: users do not wait for each other.
            let (writers, home) = (Arc::clone(&self), home.clone());
            sends.spawn(async move { writers.write_once(home).await });
            while sends.try_join_next().is_some() {}
        }
        while sends.join_next().await.is_some() {}
    }

    async fn write_once(&self, home: SiteId) {
        let to = if home == self.failing { self.serves_failing() } else { home.clone() };
        let (op, key) = self.next();
        let body = event(&to, op, &key, &json!({ "drill": self.run, "user_of": home.as_str() }));
        // Read as a worker will read it.
        let event = match envelope::decode_marked(&body, &self.key_pointer, &MARKS) {
            Ok(event) => event,
            Err(refusal) => return tracing::error!(%refusal, "the drill's own event is none"),
        };
        let message = message(&event, body, &MARKS);
        let number = open(&self.book).write(event, home, SystemClock.now());
        let answer = match timeout(SEND_LIMIT, self.queues[&to].send(&[message])).await {
            Ok(mut sent) => sent.pop().unwrap_or(Ok(())).map_or_else(|error| refused(&error), |()| confirmed()),
            Err(_) => Answer::Unknown,
        };
        if to == self.failing {
            match answer {
                Answer::Confirmed(_) => self.failures.store(0, Ordering::Relaxed),
                Answer::Refused(_) | Answer::Unknown => _ = self.failures.fetch_add(1, Ordering::Relaxed),
            }
        }
        open(&self.book).answered(number, answer);
    }

    fn serves_failing(&self) -> SiteId {
        self.serving.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sends users of the failing site to `site` from now on.
    pub(super) fn serve(&self, site: &SiteId) {
        *self.serving.lock().unwrap_or_else(PoisonError::into_inner) = site.clone();
    }

    /// What the next write does, and to which key.
    fn next(&self) -> (Op, String) {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let book = open(&self.book);
        let earlier = book.entries();
        let op = match fastrand::u32(..10) {
            draw if draw < DELETES && !earlier.is_empty() => Op::Delete,
            draw if draw < DELETES + CHANGES && !earlier.is_empty() => Op::Update,
            _ => return (Op::Create, format!("{}{number}", prefix(&self.run))),
        };
        (op, earlier[fastrand::usize(..earlier.len())].event.key.to_string())
    }

    /// Deletes every key that was written, by way of `site`; what goes on in the book that is returned is what must be seen of it.
    pub(super) async fn delete_all(&self, site: &SiteId) -> (Book, Result<(), PortError>) {
        let (keys, sites) = {
            let book = open(&self.book);
            (book.keys().map(ToString::to_string).collect::<Vec<_>>(), book.sites().to_vec())
        };
        let mut book = Book::new(sites);
        let mut result = Ok(());
        for portion in keys.chunks(100) {
            let mut messages = Vec::new();
            for key in portion {
                let body = event(site, Op::Delete, key, &json!({}));
                if let Ok(event) = envelope::decode_marked(&body, &self.key_pointer, &MARKS) {
                    messages.push(message(&event, body, &MARKS));
                    book.write(event, site.clone(), SystemClock.now());
                }
            }
            result = result.and(self.queues[site].send(&messages).await.into_iter().collect());
        }
        for number in 0..book.entries().len() {
            book.answered(number, confirmed());
        }
        (book, result)
    }
}

fn confirmed() -> Answer {
    Answer::Confirmed(SystemClock.now())
}

fn refused(error: &PortError) -> Answer {
    if error.kind.outcome_unknown() { Answer::Unknown } else { Answer::Refused(error.chain()) }
}

fn event(origin: &SiteId, op: Op, key: &str, payload: &serde_json::Value) -> Bytes {
    let event = json!({
        "event_id": uuid::Uuid::now_v7().to_string(),
        "source_region": origin.as_str(),
        "op_type": op.as_str(),
        "key": key,
        "payload": payload,
        "timestamp": SystemClock.now().to_rfc3339_opts(chrono::SecondsFormat::Nanos, true),
    });
    event.to_string().into()
}
