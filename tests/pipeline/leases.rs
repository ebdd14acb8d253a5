//! Leases are kept while the work lasts, and not a moment longer.

use std::{collections::BTreeSet, fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use bridge_adapters::clock::SystemClock;
use bridge_core::{
    carry_out::work_off,
    decision::{Limits, Rules},
    event::Key,
    failure::PortError,
    incident::Untold,
    limits,
    port::{Delivery, Message, Place, Queue, Receipt, Store, Use, Write},
    reason::Refusal,
    record::Record,
    worker::Worker,
};

use crate::world::{event, policy};

const LEASE: Duration = Duration::from_millis(200);

/// A queue whose calls go over one line, one after the other, as a connection has it while it is being opened; an extension
/// takes longer than anybody has patience.
#[derive(Debug, Default)]
struct OneLine(tokio::sync::Mutex<()>);

impl fmt::Display for OneLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("one line")
    }
}

#[async_trait]
impl Queue for OneLine {
    async fn receive(&self, _: usize, _: Duration) -> Result<Vec<Delivery>, PortError> {
        Ok(Vec::new())
    }

    fn lease(&self) -> Duration {
        LEASE
    }

    async fn extend(&self, receipts: &[Receipt]) -> Vec<Result<Duration, PortError>> {
        let _line = self.0.lock().await;
        tokio::time::sleep(Duration::from_hours(1)).await;
        receipts.iter().map(|_| Ok(LEASE)).collect()
    }

    async fn ack(&self, receipts: &[Receipt]) -> Vec<Result<(), PortError>> {
        let _line = self.0.lock().await;
        receipts.iter().map(|_| Ok(())).collect()
    }

    async fn retry(&self, later: &[(&Delivery, Duration)]) -> Vec<Result<(), PortError>> {
        later.iter().map(|_| Ok(())).collect()
    }

    async fn bury(&self, _: &Delivery, _: &Refusal) -> Result<bool, PortError> {
        Ok(false)
    }

    async fn probe(&self, _: Use) -> Result<(), PortError> {
        Ok(())
    }

    async fn send(&self, messages: &[Message]) -> Vec<Result<(), PortError>> {
        messages.iter().map(|_| Ok(())).collect()
    }

    async fn browse(&self, _: &mut Place, _: usize) -> Result<Vec<Delivery>, PortError> {
        Ok(Vec::new())
    }

    async fn release(&self, receipts: &[Receipt]) -> Vec<Result<(), PortError>> {
        receipts.iter().map(|_| Ok(())).collect()
    }

    async fn close(&self) {}
}

/// A store that takes longer than half a lease, so that an extension begins.
#[derive(Debug)]
struct SlowStore;

impl fmt::Display for SlowStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("slow store")
    }
}

#[async_trait]
impl Store for SlowStore {
    async fn put_if_newer(&self, _: &Record) -> Result<Write, PortError> {
        tokio::time::sleep(LEASE).await;
        Ok(Write::Applied { replaced: None })
    }

    async fn get(&self, _: &Key) -> Result<Option<Record>, PortError> {
        Ok(None)
    }
}

/// Once the work is done, an extension that is still under way is given up: it may hold what the settlement needs, such as the place at
/// a connection that is being opened. A worker that only stopped looking at it waited for ever.
#[test]
fn an_extension_that_is_under_way_is_no_hindrance_to_the_settlement() {
    let site: bridge_core::event::SiteId = "aws:us-east-1".parse().unwrap();
    let origin = site.to_string();
    let worker = Worker {
        rules: Rules {
            site: site.clone(),
            sites: BTreeSet::from([site]),
            limits: Limits {
                clock_skew_max: limits::CLOCK_SKEW_MAX,
                future_max: limits::FUTURE_MAX,
                age_max: Duration::MAX,
                message_bytes_max: 1024 * 1024,
            },
        },
        policy: policy(),
        store: Arc::new(SlowStore),
        peers: Vec::new(),
        clock: Arc::new(SystemClock),
        rng: std::sync::Mutex::new(fastrand::Rng::with_seed(1)),
        incidents: Arc::new(Untold),
        excerpts: bridge_core::excerpts::Excerpts::default(),
        health: bridge_core::health::Health::default(),
    };
    let delivery = Delivery {
        receipt: Receipt("1".to_owned()),
        message_id: "1".to_owned(),
        attempt: 1,
        first_seen: None,
        body: event(1, &origin, "create", "a", 0).to_string().into_bytes().into(),
        properties: bridge_core::port::Properties::new(),
    };
    let (queue, letters) = (OneLine::default(), OneLine::default());
    let batch = [delivery];
    let work = work_off(&worker, &queue, &letters, &batch);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let ended = runtime.block_on(async { tokio::time::timeout(Duration::from_secs(20), work).await });
    let (_, carried) = ended.expect("the extension holds up the settlement");
    assert_eq!((carried.books.acked, carried.books.delivered), (1, 1), "{carried:?}");
}
