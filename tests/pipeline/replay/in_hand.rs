//! How much a run has in its hands, where messages are as large as a queue takes.

use std::{
    collections::HashMap,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use bridge_core::{failure::PortError, port::Receipt};
use bridge_tests::over::{Answers, Change, Over};

use super::*;

const MIB: usize = 1024 * 1024;

/// A queue that weighs what is handed over and not removed yet.
#[derive(Debug)]
struct Scales {
    queue: Arc<dyn Queue>,
    in_hand: Mutex<HashMap<Receipt, usize>>,
    most: AtomicUsize,
}

impl Scales {
    fn forget(&self, receipts: &[Receipt]) {
        let mut in_hand = self.in_hand.lock().unwrap();
        in_hand.retain(|receipt, _| !receipts.contains(receipt));
    }
}

#[async_trait]
impl Change for Scales {
    fn queue(&self) -> &dyn Queue {
        &*self.queue
    }

    async fn receive(&self, max: usize, wait: Duration) -> Result<Vec<Delivery>, PortError> {
        let batch = self.queue.receive(max, wait).await?;
        let mut in_hand = self.in_hand.lock().unwrap();
        in_hand.extend(batch.iter().map(|delivery| (delivery.receipt.clone(), delivery.body.len())));
        self.most.fetch_max(in_hand.values().sum(), Ordering::Relaxed);
        Ok(batch)
    }

    async fn ack(&self, receipts: &[Receipt]) -> Answers {
        self.forget(receipts);
        self.queue.ack(receipts).await
    }

    async fn release(&self, receipts: &[Receipt]) -> Answers {
        self.forget(receipts);
        self.queue.release(receipts).await
    }
}

/// The most bytes in hand while letters with bodies of these sizes were brought.
fn most_in_hand(sizes: &[usize]) -> usize {
    let world = world();
    for (number, bytes) in sizes.iter().enumerate() {
        let mut event = event(number as u128 + 1, HERE, "upsert", &format!("k{number}"), 0);
        event["payload"]["note"] = "x".repeat(*bytes).into();
        let letter = letter(u32::try_from(number).unwrap(), &event.to_string(), "peer_unavailable", THERE);
        assert!(world.clock.drive(world.site(HERE).letters.send(&[letter])).iter().all(Result::is_ok));
    }
    let mut setting = setting(&world, "aws:us-east-1/dlq", "owed");
    setting.rules.limits.message_bytes_max = MIB;
    setting.sources[0].message_bytes_max = MIB;
    let entries = world.clock.drive(plan(&setting));
    let scales = Arc::new(Over(Scales {
        queue: Arc::clone(&setting.sources[0].queue),
        in_hand: Mutex::default(),
        most: AtomicUsize::new(0),
    }));
    setting.sources[0].queue = scales.clone();
    setting.inflight_bytes_max = 16 * MIB;
    let (end, _) = world.clock.drive(run(&setting, &entries, &Kept::default()));
    assert!(matches!(end, End::Finished), "{end:?}");
    assert_eq!(world.site(THERE).queue.len(), sizes.len(), "all were brought");
    scales.0.most.load(Ordering::Relaxed)
}

#[test]
fn a_run_holds_no_more_bytes_than_it_may() {
    let most = most_in_hand(&[350_000; 120]);
    assert!((4 * 350_000..=16 * MIB).contains(&most), "{most}");
    // Whatever comes after small ones.
    let sizes: Vec<usize> = (0..300).map(|number| if number < 150 { 100 } else { 350_000 }).collect();
    let most = most_in_hand(&sizes);
    assert!(most <= 4 * 16 * MIB, "{most}");
}
