//! Finds single messages of a source. It takes none.

use std::collections::HashSet;

use bridge_core::{
    failure::PortError,
    incident::Incidents,
    lease,
    port::{Delivery, Place, Receipt},
};
use chrono::{DateTime, Utc};

use super::{arrivals::Arrivals, fingerprint::Fingerprint, planner::PORTION, portions::Portions, setting::SourceQueue};

/// A message and where it lies.
#[derive(Clone, Debug)]
pub struct Found {
    /// The number of its queue among the sources.
    pub queue: usize,
    /// Its name in plans and journals.
    pub message: Fingerprint,
    /// The message.
    pub delivery: Delivery,
}

/// The messages that the broker calls `id`: some brokers leave the choice of names to the sender. All that a look had to take is given
/// back. What comes after `now` may be missed, and does not keep the look from ending. `bytes_max`: bytes of messages in hand, about.
///
/// # Errors
/// A queue cannot be read.
pub async fn find(
    sources: &[SourceQueue],
    id: &str,
    bytes_max: usize,
    now: DateTime<Utc>,
    incidents: &dyn Incidents,
) -> Result<Vec<Found>, PortError> {
    let mut found = Vec::new();
    for (from, source) in sources.iter().enumerate() {
        let mut receipts = Vec::new();
        let looked = look(from, source, id, bytes_max, Arrivals::since(now), &mut receipts, &mut found).await;
        lease::release(&*source.queue, &receipts, incidents).await;
        looked?;
    }
    Ok(found)
}

async fn look(
    from: usize,
    source: &SourceQueue,
    id: &str,
    bytes_max: usize,
    mut arrivals: Arrivals,
    receipts: &mut Vec<Receipt>,
    found: &mut Vec<Found>,
) -> Result<(), PortError> {
    let portions = Portions::new(bytes_max, source.message_bytes_max);
    let (mut place, mut seen) = (Place::default(), HashSet::new());
    loop {
        let shown = source.queue.browse(&mut place, portions.next(PORTION)).await?;
        portions.saw(&shown);
        let before = seen.len();
        let no_more = arrivals.are_all(&shown);
        for delivery in shown {
            receipts.push(delivery.receipt.clone());
            let message = Fingerprint::of(from, &delivery.message_id, &delivery.body);
            if seen.insert(message) && delivery.message_id == id {
                found.push(Found { queue: from, message, delivery });
            }
        }
        if no_more || seen.len() == before {
            return Ok(());
        }
    }
}
