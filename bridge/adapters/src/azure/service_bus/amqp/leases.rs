//! Which deliveries are in a caller's hands, and which of them this process has already acknowledged.
//!
//! Pure bookkeeping, time passed in. What the broker knows decides in the end: this only tells how to reach it.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    time::Duration,
};

use fe2o3_amqp::link::delivery::DeliveryInfo;
use tokio::time::Instant;
use uuid::Uuid;

/// Acknowledged receipts that are remembered, so that acknowledging twice is no error. Ours: far more than one batch,
/// and 200 KB at most.
const ACKED_MAX: usize = 4_096;

/// A delivery in a caller's hands.
#[derive(Clone, Debug)]
struct Held<D> {
    /// How to settle it on the link that it came from, and the connection of that link; taken by the first try.
    way: Option<(u64, D)>,
    /// When the broker gives it to others, by this machine's clock.
    ends: Instant,
}

/// How a receipt can be settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Way<D> {
    /// On the link that it came from, as long as that connection lives.
    Link(u64, D),
    /// By its lock token: a try on the link was left without an answer.
    Token,
    /// It is done.
    Acked,
    /// Nothing is known of it, or its lease ended long ago.
    Unknown,
}

/// All deliveries that were handed out.
#[derive(Debug)]
pub(crate) struct Leases<D = DeliveryInfo> {
    lease: Duration,
    held: HashMap<Uuid, Held<D>>,
    acked: HashSet<Uuid>,
    acked_order: VecDeque<Uuid>,
}

impl<D: Clone> Leases<D> {
    pub(crate) fn new(lease: Duration) -> Self {
        Self { lease, held: HashMap::new(), acked: HashSet::new(), acked_order: VecDeque::new() }
    }

    /// Remembers a delivery that is being handed out, and forgets those whose lease ended more than a lease ago; returns
    /// how to settle these, as a link keeps what is not settled.
    pub(crate) fn hand_out(
        &mut self,
        deliveries: impl Iterator<Item = (Uuid, u64, D, Instant)>,
        now: Instant,
    ) -> Vec<(u64, D)> {
        for (token, connection, info, ends) in deliveries {
            self.held.insert(token, Held { way: Some((connection, info)), ends });
        }
        let lease = self.lease;
        self.held.extract_if(|_, held| held.ends + lease <= now).filter_map(|(_, held)| held.way).collect()
    }

    /// How to settle a receipt. The link is given once: a second settlement of the same delivery there would never be
    /// answered.
    pub(crate) fn settle(&mut self, token: Uuid) -> Way<D> {
        match self.held.get_mut(&token) {
            Some(held) => held.way.take().map_or(Way::Token, |(connection, info)| Way::Link(connection, info)),
            None if self.acked.contains(&token) => Way::Acked,
            None => Way::Unknown,
        }
    }

    /// What is left of the lease on a receipt; none if it is not held.
    pub(crate) fn left(&self, token: Uuid, now: Instant) -> Option<Duration> {
        self.held.get(&token).map(|held| held.ends.saturating_duration_since(now))
    }

    /// The broker has extended the lease to a whole one from `asked`.
    pub(crate) fn extended(&mut self, token: Uuid, asked: Instant) {
        if let Some(held) = self.held.get_mut(&token) {
            held.ends = held.ends.max(asked + self.lease);
        }
    }

    /// The broker has removed the message.
    pub(crate) fn acked(&mut self, token: Uuid) {
        self.held.remove(&token);
        if self.acked.insert(token) {
            self.acked_order.push_back(token);
        }
        if self.acked_order.len() > ACKED_MAX {
            self.acked_order.pop_front().map(|oldest| self.acked.remove(&oldest));
        }
    }

    /// The broker has given the message to others, or will.
    pub(crate) fn lost(&mut self, token: Uuid) {
        self.held.remove(&token);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(30);

    fn leases(now: Instant, count: u128) -> Leases<u128> {
        let mut leases = Leases::new(LEASE);
        leases.hand_out((0..count).map(|n| (Uuid::from_u128(n), 1, n, now + LEASE)), now);
        leases
    }

    #[test]
    fn a_link_is_given_once_and_then_the_token() {
        let mut leases = leases(Instant::now(), 1);
        let token = Uuid::from_u128(0);
        assert_eq!(leases.settle(token), Way::Link(1, 0));
        assert_eq!(leases.settle(token), Way::Token);
        leases.acked(token);
        assert_eq!(leases.settle(token), Way::Acked);
        assert_eq!(leases.settle(Uuid::from_u128(9)), Way::Unknown);
    }

    #[test]
    fn a_delivery_is_forgotten_one_lease_after_its_own_ended() {
        let now = Instant::now();
        let mut leases = leases(now, 2);
        leases.extended(Uuid::from_u128(1), now + LEASE);
        assert!(leases.hand_out(std::iter::empty(), now + LEASE * 2 - Duration::from_secs(1)).is_empty());
        assert_eq!(leases.left(Uuid::from_u128(0), now + LEASE), Some(Duration::ZERO));
        assert_eq!(leases.hand_out(std::iter::empty(), now + LEASE * 2), [(1, 0)]);
        assert_eq!(leases.settle(Uuid::from_u128(0)), Way::Unknown);
        assert_eq!(leases.settle(Uuid::from_u128(1)), Way::Link(1, 1));
    }

    #[test]
    fn the_oldest_acknowledged_receipts_are_forgotten() {
        let mut leases = leases(Instant::now(), 0);
        for n in 0..=ACKED_MAX as u128 {
            leases.acked(Uuid::from_u128(n));
        }
        assert_eq!(leases.settle(Uuid::from_u128(0)), Way::Unknown);
        assert_eq!(leases.settle(Uuid::from_u128(1)), Way::Acked);
        assert_eq!(leases.acked.len(), ACKED_MAX);
    }
}
