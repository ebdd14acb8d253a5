//! A queue that gets messages as fast as it is read.

use async_trait::async_trait;
use bridge_core::{failure::PortError, port::Place};
use bridge_ops::replay::find::find;
use bridge_tests::over::{Change, Over};

use super::*;

/// Before each read six seconds pass, and one more letter comes.
#[derive(Debug)]
struct Growing {
    queue: Arc<dyn Queue>,
    clock: Arc<dyn Clock>,
    reads: AtomicU32,
}

#[async_trait]
impl Change for Growing {
    fn queue(&self) -> &dyn Queue {
        &*self.queue
    }

    async fn browse(&self, place: &mut Place, max: usize) -> Result<Vec<Delivery>, PortError> {
        let number = self.reads.fetch_add(1, Ordering::Relaxed);
        assert!(number < 100, "it goes on for ever");
        self.clock.sleep(Duration::from_secs(6)).await;
        let late = letter(1_000 + number, &body(900, HERE, "late", 1), "peer_unavailable", THERE);
        self.queue.send(&[late]).await.remove(0)?;
        self.queue.browse(place, max).await
    }
}

#[test]
fn a_plan_and_a_search_end_though_letters_keep_coming() {
    let world = world();
    fill(&world);
    let mut setting = setting(&world, "aws:us-east-1/dlq", "owed");
    let queue = Arc::clone(&setting.sources[0].queue);
    let clock = Arc::clone(&world.clock) as Arc<dyn Clock>;
    let before = world.clock.drive(plan(&setting));
    setting.sources[0].queue = Arc::new(Over(Growing { queue, clock, reads: AtomicU32::new(0) }));
    let entries = world.clock.drive(plan(&setting));
    assert!(before.iter().all(|one| entries.iter().any(|other| other.message_id == one.message_id)));
    let found =
        world.clock.drive(find(&setting.sources, &before[29].message_id, 1_000_000, world.clock.now(), &Untold));
    assert_eq!(found.unwrap().len(), 1);
}
