//! How much of a batch is in work at once: bytes decide, whatever the number of messages and of writes.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bridge_adapters::memory::ManualClock;
use bridge_core::{
    event::{Key, Payload},
    failure::PortError,
    port::{Clock, Queue, Store, Write},
    portion::PORTION_BYTES_MAX,
    record::Record,
    settlement::Settlement,
    worker::{Policy, Worker},
};

use crate::world::{World, event, policy};

const HERE: &str = "aws:us-east-1";
const EVENTS: usize = 64;
const EVENT_BYTES: usize = 250_000;

/// A store that takes its time, and counts the bytes of the payloads that it is asked to write meanwhile.
#[derive(Debug)]
struct Counting {
    inner: Arc<dyn Store>,
    clock: Arc<ManualClock>,
    now: AtomicUsize,
    most: AtomicUsize,
}

impl fmt::Display for Counting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "counting {}", self.inner)
    }
}

#[async_trait]
impl Store for Counting {
    async fn put_if_newer(&self, record: &Record) -> Result<Write, PortError> {
        let bytes = record.payload.as_ref().map_or(0, |payload: &Payload| payload.as_str().len());
        let now = self.now.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.most.fetch_max(now, Ordering::Relaxed);
        self.clock.sleep(Duration::from_secs(1)).await;
        self.now.fetch_sub(bytes, Ordering::Relaxed);
        self.inner.put_if_newer(record).await
    }

    async fn get(&self, key: &Key) -> Result<Option<Record>, PortError> {
        self.inner.get(key).await
    }
}

#[test]
fn no_more_than_a_portion_is_in_work_at_once() {
    let world = World::by_hand(3, &[HERE], &Policy { concurrent_writes: 1_000, ..policy() });
    let bodies: Vec<String> = (0..EVENTS)
        .map(|number| {
            let mut event = event(number as u128 + 1, HERE, "upsert", &format!("k{number}"), 1);
            event["payload"]["note"] = "x".repeat(EVENT_BYTES).into();
            event.to_string()
        })
        .collect();
    world.send(HERE, &bodies);
    let site = world.site(HERE);
    let hired = world.hire(site, "of this test");
    let store = Arc::new(Counting {
        inner: Arc::clone(&hired.store),
        clock: Arc::clone(&world.clock),
        now: AtomicUsize::new(0),
        most: AtomicUsize::new(0),
    });
    let worker = Worker { store: store.clone(), ..hired };
    let batch = world.clock.drive(site.queue.receive(EVENTS, Duration::ZERO)).unwrap();
    assert_eq!(batch.len(), EVENTS);
    let verdicts = world.clock.drive(worker.replicate(&batch));
    assert!(verdicts.iter().all(|verdict| verdict.settlement == Settlement::Ack), "{verdicts:?}");
    assert_eq!(site.store.snapshot().len(), EVENTS);
    let most = store.most.load(Ordering::Relaxed);
    assert!(most <= PORTION_BYTES_MAX && most > PORTION_BYTES_MAX - 2 * EVENT_BYTES, "{most} bytes at once");
}
