//! A few sites on memory, driven by hand.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use bridge_adapters::{
    layer::{FaultPlan, FaultQueue, FaultStore},
    memory::{ManualClock, MemoryQueue, MemoryQueueOptions, MemoryStore},
};
use bridge_core::{
    carry_out::work_off,
    circuit::CircuitPolicy,
    decision::Rules,
    event::SiteId,
    pipeline::{Forward, Peer, Policy, Verdict, Worker},
    port::{Clock, Message, Properties, Queue, Store},
    retry::Backoff,
};
use serde_json::{Value, json};

/// When every world begins.
pub(crate) const START: &str = "2026-11-21T01:02:03Z";

pub(crate) struct Site {
    pub(crate) worker: Worker,
    pub(crate) queue: Arc<MemoryQueue>,
    pub(crate) letters: Arc<MemoryQueue>,
    pub(crate) store: Arc<MemoryStore>,
    /// What goes wrong with this site's queue, as its peers see it.
    pub(crate) inbound: Arc<FaultPlan>,
    /// What goes wrong with this site's store.
    pub(crate) writes: Arc<FaultPlan>,
}

pub(crate) struct World {
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) sites: BTreeMap<SiteId, Site>,
}

pub(crate) fn policy() -> Policy {
    Policy {
        key_pointer: "/id".to_owned(),
        tombstone_life: Duration::from_hours(35 * 24),
        attempts_max: 5,
        retry: Backoff { base: Duration::from_secs(1), max: Duration::from_mins(1) },
        peer_attempts_max: 3,
        peer_retry: Backoff { base: Duration::from_millis(100), max: Duration::from_secs(2) },
        circuit: CircuitPolicy { failures: 2, pause: Duration::from_secs(10) },
        forward: Forward::All,
        concurrent_writes: 4,
        trace_ratio: Some(0.0),
    }
}

impl World {
    pub(crate) fn new(seed: u64, names: &[&str], policy: &Policy) -> Self {
        let clock = ManualClock::new(START.parse().unwrap());
        let time = || Arc::clone(&clock) as Arc<dyn Clock>;
        let ids: Vec<SiteId> = names.iter().map(|name| name.parse().unwrap()).collect();
        let queue = |name: String, seed| {
            Arc::new(MemoryQueue::new(MemoryQueueOptions { name, seed, ..MemoryQueueOptions::default() }, time()))
        };
        let queues: BTreeMap<&SiteId, (Arc<MemoryQueue>, Arc<FaultPlan>)> = ids
            .iter()
            .zip(1..)
            .map(|(id, n)| (id, (queue(format!("{id}/queue"), seed ^ n), Arc::new(FaultPlan::new(seed ^ n, vec![])))))
            .collect();
        let sites = ids.iter().map(|id| {
            let (own, inbound) = queues[id].clone();
            let writes = Arc::new(FaultPlan::new(seed, vec![]));
            let store = Arc::new(MemoryStore::new(format!("{id}/store"), time()));
            let peers = queues.iter().filter(|(peer, _)| **peer != id).map(|(peer, (queue, plan))| {
                let queue = FaultQueue::new(Arc::clone(queue) as Arc<dyn Queue>, Arc::clone(plan), time());
                Peer::new((*peer).clone(), Arc::new(queue), policy.circuit)
            });
            let worker = Worker {
                rules: Rules {
                    site: id.clone(),
                    sites: ids.iter().cloned().collect(),
                    clock_skew_max: Duration::from_mins(1),
                    message_bytes_max: 256 * 1024,
                },
                policy: policy.clone(),
                store: Arc::new(FaultStore::new(Arc::clone(&store) as Arc<dyn Store>, Arc::clone(&writes), time())),
                peers: peers.collect(),
                clock: time(),
                rng: Mutex::new(fastrand::Rng::with_seed(seed)),
            };
            let letters = queue(format!("{id}/dlq"), seed);
            (id.clone(), Site { worker, queue: own, letters, store, inbound, writes })
        });
        let sites = sites.collect();
        Self { clock, sites }
    }

    pub(crate) fn site(&self, name: &str) -> &Site {
        &self.sites[&name.parse::<SiteId>().unwrap()]
    }

    /// Puts bodies into a site's queue.
    pub(crate) fn send(&self, site: &str, bodies: &[String]) {
        let messages: Vec<_> = bodies.iter().zip(0..).map(|(body, n): (_, u32)| message(n, body)).collect();
        let sent = self.clock.drive(self.site(site).queue.send(&messages));
        assert!(sent.iter().all(Result::is_ok), "{sent:?}");
    }

    /// Works off one batch at a site; answers the verdicts with the bodies they are about.
    pub(crate) fn work(&self, site: &str, max: usize) -> Vec<(String, Verdict)> {
        let site = self.site(site);
        self.clock.drive(async {
            let batch = site.queue.receive(max, Duration::ZERO).await.unwrap();
            let (verdicts, _) = work_off(&site.worker, &*site.queue, &*site.letters, &batch).await;
            let bodies = batch.iter().map(|delivery| String::from_utf8_lossy(&delivery.body).into_owned());
            bodies.zip(verdicts).collect()
        })
    }

    /// Works at every site until all queues are empty. An event that never comes to rest is found by its count.
    pub(crate) fn drain(&self, batch: usize) {
        let mut deliveries = 0;
        for _ in 0..10_000 {
            if self.sites.values().all(|site| site.queue.is_empty()) {
                return;
            }
            let worked: usize = self.sites.keys().map(|id| self.work(id.as_str(), batch).len()).sum();
            deliveries += worked;
            assert!(deliveries < 5_000, "the same events are delivered again and again");
            if worked == 0 {
                self.clock.advance(Duration::from_secs(1));
            }
        }
        panic!("the queues were not empty after 10,000 rounds");
    }
}

pub(crate) fn message(number: u32, body: &str) -> Message {
    Message { id: number.to_string(), body: body.to_owned().into(), properties: Properties::new() }
}

/// The body of an event: `second` is after the world's beginning.
pub(crate) fn event(id: u128, origin: &str, op: &str, key: &str, second: i64) -> Value {
    let timestamp = START.parse::<chrono::DateTime<chrono::Utc>>().unwrap() + chrono::TimeDelta::seconds(second);
    json!({
        "event_id": uuid::Uuid::from_u128(id).to_string(),
        "source_region": origin,
        "op_type": op,
        "payload": { "id": key, "from": origin, "number": id.to_string() },
        "timestamp": timestamp.to_rfc3339(),
    })
}
