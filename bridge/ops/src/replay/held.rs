//! Deliveries in a run's hands: their leases are kept until they are removed or given back.

use std::{
    collections::BTreeSet,
    convert::Infallible,
    sync::{Mutex, MutexGuard, PoisonError},
};

use bridge_core::port::{Clock, Queue, Receipt};

/// Receipts in one call at the end: enough to be quick, few enough for any adapter.
const PORTION: usize = 1_000;

/// The receipts of one queue.
#[derive(Debug, Default)]
pub(super) struct Held(Mutex<BTreeSet<Receipt>>);

impl Held {
    pub(super) fn add(&self, receipts: impl Iterator<Item = Receipt>) {
        self.receipts().extend(receipts);
    }

    pub(super) fn remove(&self, receipt: &Receipt) {
        self.receipts().remove(receipt);
    }

    pub(super) fn len(&self) -> usize {
        self.receipts().len()
    }

    /// Extends all leases at every half of one, until it is dropped. A lease that is lost nevertheless does no harm: the
    /// message comes again, and is known.
    pub(super) async fn keep(&self, queue: &dyn Queue, clock: &dyn Clock) -> Infallible {
        if queue.lease().is_zero() {
            return futures_util::future::pending().await;
        }
        loop {
            clock.sleep(queue.lease() / 2).await;
            let held: Vec<Receipt> = self.receipts().iter().cloned().collect();
            for portion in held.chunks(PORTION) {
                for (receipt, extended) in portion.iter().zip(queue.extend(portion).await) {
                    if let Err(error) = extended {
                        tracing::debug!(error = error.chain(), "a lease was not extended");
                        self.remove(receipt);
                    }
                }
            }
        }
    }

    /// Gives all back.
    pub(super) async fn release(&self, queue: &dyn Queue) {
        let held: Vec<Receipt> = std::mem::take(&mut *self.receipts()).into_iter().collect();
        for portion in held.chunks(PORTION) {
            let failed = queue.release(portion).await.into_iter().filter_map(Result::err).last();
            if let Some(error) = failed {
                tracing::debug!(error = error.chain(), "some were not given back: they are when their leases end");
            }
        }
    }

    fn receipts(&self) -> MutexGuard<'_, BTreeSet<Receipt>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_removed_counts_no_more() {
        let held = Held::default();
        let receipt = |name: &str| Receipt(name.to_owned());
        held.add(["a", "b", "c", "a"].map(receipt).into_iter());
        held.remove(&receipt("b"));
        held.remove(&receipt("d"));
        assert_eq!(held.len(), 2);
    }
}
