//! Ends and extends deliveries, many at a time: on the link that they came from where that is still there, by their
//! locks over the management link otherwise.

use std::collections::HashMap;

use bridge_core::{failure::FailureKind, port::Receipt};
use bytes::Bytes;
use fe2o3_amqp::{
    link::{delivery::DeliveryInfo, receiver::TerminalDeliveryState},
    types::{
        definitions,
        messaging::{Accepted, DeliveryState, Released},
    },
};
use futures_util::{StreamExt, stream};
use tokio::time::Instant;
use uuid::Uuid;

use super::{connection::Live, failure::Failure, leases::Way, management::Order};
use crate::azure::service_bus::{ServiceBusQueue, lock_of};

/// Locks in one request. Ours: a request of 100 is small, and one lost lock among them costs 101 requests.
const LOCKS_MAX: usize = 100;

/// Requests under way together.
const CONCURRENT_MAX: usize = 16;

/// The different locks among the receipts of a call, so that one that is given twice is used once.
pub(crate) struct Receipts {
    pub(crate) locks: Vec<Uuid>,
    /// For each receipt its lock's place.
    places: Vec<Result<usize, Failure>>,
}

impl Receipts {
    pub(crate) fn read(receipts: &[Receipt]) -> Self {
        let mut known: HashMap<Uuid, usize> = HashMap::with_capacity(receipts.len());
        let (mut locks, mut places) = (Vec::with_capacity(receipts.len()), Vec::with_capacity(receipts.len()));
        for receipt in receipts {
            places.push(lock_of(receipt).map(|lock| {
                *known.entry(lock).or_insert_with(|| {
                    locks.push(lock);
                    locks.len() - 1
                })
            }));
        }
        Self { locks, places }
    }

    /// One result for each receipt, from one for each lock.
    pub(crate) fn spread(self, outcomes: &[Result<(), Failure>]) -> Vec<Result<(), Failure>> {
        self.places.into_iter().map(|place| outcomes[place?].clone()).collect()
    }
}

impl ServiceBusQueue {
    /// Completes messages, all in flight together. One result each, in their order; no lock may occur twice.
    pub(crate) async fn acknowledge(&self, locks: &[Uuid]) -> Vec<Result<(), Failure>> {
        let results = self.settle(locks, &TerminalDeliveryState::Accepted(Accepted {}), Order::complete).await;
        let mut leases = self.leases();
        for (lock, result) in locks.iter().zip(&results) {
            match result {
                Ok(()) => leases.acked(*lock),
                Err(failure) if failure.kind == FailureKind::LeaseLost => leases.lost(*lock),
                Err(_) => {}
            }
        }
        results
    }

    /// Gives messages back, all in flight together. One result each, in their order; no lock may occur twice.
    pub(crate) async fn give_back(&self, locks: &[Uuid]) -> Vec<Result<(), Failure>> {
        let results = self.settle(locks, &TerminalDeliveryState::Released(Released {}), Order::abandon_all).await;
        let mut leases = self.leases();
        for (lock, result) in locks.iter().zip(&results) {
            match result {
                Err(failure) if failure.kind != FailureKind::LeaseLost => {}
                _ => leases.lost(*lock),
            }
        }
        results
    }

    /// Settles messages on the link that they came from, or else by their locks with `order`.
    async fn settle(
        &self,
        locks: &[Uuid],
        state: &TerminalDeliveryState,
        order: fn(&[Uuid]) -> Order,
    ) -> Vec<Result<(), Failure>> {
        let mut results: Vec<Result<(), Failure>> = vec![Ok(()); locks.len()];
        let (mut by_link, mut by_lock) = (HashMap::<u64, Vec<(usize, DeliveryInfo)>>::new(), Vec::new());
        {
            let mut leases = self.leases();
            for (index, lock) in locks.iter().enumerate() {
                match leases.settle(*lock) {
                    Way::Link(connection, info) => by_link.entry(connection).or_default().push((index, info)),
                    Way::Token => by_lock.push(index),
                    Way::Acked => {}
                    Way::Unknown => {
                        results[index] = Err(Failure::lease_lost("this delivery is not in this process's hands"));
                    }
                }
            }
        }
        for (connection, items) in by_link {
            match self.link.current(connection).await {
                Some(link) => {
                    let asked: Vec<usize> = items.iter().map(|(index, _)| *index).collect();
                    let (settled, missing) = link.settle(items, state.clone(), self.timeouts.operation).await;
                    if let Some(failure) = missing {
                        self.connector.discard(connection).await;
                        for index in asked {
                            results[index] = Err(failure.clone());
                        }
                    }
                    for (index, answer) in settled {
                        results[index] = read(answer, state);
                    }
                }
                None => by_lock.extend(items.into_iter().map(|(index, _)| index)),
            }
        }
        if !by_lock.is_empty() {
            let tokens: Vec<Uuid> = by_lock.iter().map(|index| locks[*index]).collect();
            let outcomes = self.manage_locks(&tokens, order).await;
            for (index, outcome) in by_lock.into_iter().zip(outcomes) {
                results[index] = outcome;
            }
        }
        results
    }

    /// Extends leases. One result each, in their order.
    pub(crate) async fn renew(&self, locks: &[Uuid]) -> Vec<Result<(), Failure>> {
        let asked = Instant::now();
        let held: Vec<Uuid> = {
            let leases = self.leases();
            locks.iter().copied().filter(|lock| leases.left(*lock, asked).is_some()).collect()
        };
        let outcomes = self.manage_locks(&held, Order::renew).await;
        let outcomes: HashMap<Uuid, Result<(), Failure>> = held.into_iter().zip(outcomes).collect();
        let mut leases = self.leases();
        let stale = || Err(Failure::lease_lost("this delivery is not in this process's hands"));
        locks
            .iter()
            .map(|lock| {
                let outcome = outcomes.get(lock).cloned().unwrap_or_else(stale);
                match &outcome {
                    Ok(()) => leases.extended(*lock, asked),
                    Err(failure) if failure.kind == FailureKind::LeaseLost => leases.lost(*lock),
                    Err(_) => {}
                }
                outcome
            })
            .collect()
    }

    /// Asks the management node one thing, over a new connection if the one that is there turns out to be gone.
    pub(crate) async fn manage(&self, order: Order) -> Result<Bytes, Failure> {
        let live = self.connector.live().await?;
        match self.manage_over(&live, &order).await {
            // Not after a timeout: the caller has waited long enough.
            Err(failure) if matches!(failure.kind, FailureKind::Unavailable | FailureKind::Unauthorized) => {
                let live = self.connector.live().await?;
                self.manage_over(&live, &order).await
            }
            answer => answer,
        }
    }

    async fn manage_over(&self, live: &Live, order: &Order) -> Result<Bytes, Failure> {
        let answer = match self.connector.management(live).await {
            Ok(link) => link.manage(order).await,
            Err(failure) => Err(failure),
        };
        if answer.as_ref().is_err_and(Failure::may_be_the_connections) {
            self.connector.discard(live.number).await;
        }
        answer
    }

    /// Renews or completes by lock, in portions. The service does all of a portion or nothing, so a portion with a lost
    /// lock is done again lock by lock.
    async fn manage_locks(&self, locks: &[Uuid], order: fn(&[Uuid]) -> Order) -> Vec<Result<(), Failure>> {
        let mut results = Vec::with_capacity(locks.len());
        for portion in locks.chunks(LOCKS_MAX) {
            match self.manage(order(portion)).await {
                Err(failure) if failure.kind == FailureKind::LeaseLost && portion.len() > 1 => {
                    let singly: Vec<Order> = portion.iter().map(|lock| order(&[*lock])).collect();
                    let singly =
                        stream::iter(singly.into_iter().map(|order| self.manage(order))).buffered(CONCURRENT_MAX);
                    results.extend(singly.map(|answer| answer.map(drop)).collect::<Vec<_>>().await);
                }
                outcome => results.resize(results.len() + portion.len(), outcome.map(drop)),
            }
        }
        results
    }
}

/// The service's word on a delivery that was to be settled as `asked`. Only its consent is one.
fn read(state: Option<DeliveryState>, asked: &TerminalDeliveryState) -> Result<(), Failure> {
    match state {
        Some(DeliveryState::Accepted(_)) if matches!(asked, TerminalDeliveryState::Accepted(_)) => Ok(()),
        Some(DeliveryState::Released(_)) if matches!(asked, TerminalDeliveryState::Released(_)) => Ok(()),
        Some(DeliveryState::Rejected(rejected)) => {
            let unknown = || Failure::unavailable("the service refused a settlement without a reason");
            Err(rejected.error.as_ref().map_or_else(unknown, |error: &definitions::Error| Failure::from(error)))
        }
        Some(DeliveryState::Released(_) | DeliveryState::Modified(_)) => {
            Err(Failure::lease_lost("the service gave the message to others instead"))
        }
        _ => Err(Failure::unavailable("the service settled without saying how")),
    }
}

#[cfg(test)]
mod tests {
    use fe2o3_amqp::types::{definitions::ErrorCondition, messaging::Rejected, primitives::Symbol};

    use super::*;

    #[test]
    fn only_consent_is_consent() {
        let accepted = TerminalDeliveryState::Accepted(Accepted {});
        let kind = |state| read(state, &accepted).map_err(|failure| failure.kind);
        let lost = ErrorCondition::Custom(Symbol::from("com.microsoft:message-lock-lost"));
        let lost = Rejected { error: Some(definitions::Error::new(lost, None, None)) };
        assert_eq!(kind(Some(DeliveryState::Accepted(Accepted {}))), Ok(()));
        assert_eq!(kind(Some(DeliveryState::Rejected(lost))), Err(FailureKind::LeaseLost));
        assert_eq!(kind(Some(DeliveryState::Released(Released {}))), Err(FailureKind::LeaseLost));
        assert_eq!(kind(Some(DeliveryState::Rejected(Rejected { error: None }))), Err(FailureKind::Unavailable));
        assert_eq!(kind(None), Err(FailureKind::Unavailable));
        let released = TerminalDeliveryState::Released(Released {});
        assert_eq!(read(Some(DeliveryState::Released(Released {})), &released), Ok(()));
    }

    #[test]
    fn a_receipt_that_is_given_twice_is_used_once_and_rubbish_never() {
        let [a, b] = [Uuid::from_u128(1), Uuid::from_u128(2)];
        let given = [a.to_string(), "rubbish".to_owned(), b.to_string(), a.to_string()].map(Receipt);
        let receipts = Receipts::read(&given);
        assert_eq!(receipts.locks, [a, b]);
        let results = receipts.spread(&[Ok(()), Err(Failure::timed_out("b"))]);
        let kinds: Vec<_> = results.into_iter().map(|result| result.map_err(|failure| failure.kind)).collect();
        assert_eq!(kinds, [Ok(()), Err(FailureKind::LeaseLost), Err(FailureKind::TimedOut), Ok(())]);
    }
}
