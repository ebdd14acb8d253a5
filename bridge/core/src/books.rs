//! The books of a worker: how many deliveries it was handed, and how each of them was ended.
//!
//! A delivery counts as acked, retried or dead-lettered only once its queue has confirmed that. All others are left: they come again
//! when their leases end.

use std::ops::AddAssign;

use crate::failure::{FailureKind, PortError};

/// Counts of deliveries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Books {
    /// Handed to the worker.
    pub delivered: u64,
    /// Removed from the queue, because all was done.
    pub acked: u64,
    /// Given back to be delivered later.
    pub retried: u64,
    /// Removed from the queue, because a letter lies in the dead-letter queue, or the message among the broker's own dead letters.
    pub dead_lettered: u64,
    /// Not settled: the worker halted, or their settlement failed.
    pub left: u64,
    /// Of those that were left: whose lease had ended before the settlement.
    pub leases_lost: u64,
}

impl Books {
    /// Whether each delivery was ended in exactly one way.
    pub fn balance(&self) -> bool {
        self.delivered == self.acked + self.retried + self.dead_lettered + self.left
    }

    /// A settlement that failed with `error`.
    pub(crate) fn leave(&mut self, error: &PortError) {
        self.left += 1;
        self.leases_lost += u64::from(error.kind == FailureKind::LeaseLost);
    }
}

impl AddAssign for Books {
    fn add_assign(&mut self, other: Self) {
        self.delivered += other.delivered;
        self.acked += other.acked;
        self.retried += other.retried;
        self.dead_lettered += other.dead_lettered;
        self.left += other.left;
        self.leases_lost += other.leases_lost;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn books() -> Books {
        Books { delivered: 16, acked: 1, retried: 3, dead_lettered: 4, left: 8, leases_lost: 5 }
    }

    #[test]
    fn books_add_up_count_by_count() {
        let mut sum = books();
        sum += books();
        let twice = Books { delivered: 32, acked: 2, retried: 6, dead_lettered: 8, left: 16, leases_lost: 10 };
        assert_eq!(sum, twice);
        assert!(sum.balance());
    }

    #[test]
    fn a_delivery_that_ended_in_no_way_or_in_two_is_noticed() {
        assert!(!Books { acked: 0, ..books() }.balance());
        assert!(!Books { retried: 4, ..books() }.balance());
    }

    #[test]
    fn a_lost_lease_is_told_from_other_failures() {
        let mut books = Books::default();
        books.leave(&PortError::new("sqs", "ack", FailureKind::LeaseLost));
        books.leave(&PortError::new("sqs", "ack", FailureKind::TimedOut));
        books.leave(&PortError::new("sqs", "ack", FailureKind::Unavailable));
        assert_eq!((books.left, books.leases_lost), (3, 1));
    }
}
