//! How many messages to take at once, so that they fit into a bound of bytes together.
//!
//! A queue says how large a message is only when it hands it over. So the first portion is as small as the largest messages that the queue
//! may hold demand, and each later one goes by what came so far. Should small messages be followed by the largest, one portion has four times
//! the bound.

use std::sync::atomic::{AtomicUsize, Ordering};

use bridge_core::port::Delivery;

/// By how many times a portion may pass its bound. Ours: small messages are taken in a quarter of the requests, and nobody's machine ends.
const SURPRISE: usize = 4;

/// The size of the next portion of one queue.
#[derive(Debug)]
pub struct Portions {
    bytes_max: usize,
    /// Fewer are never counted on.
    expected_min: usize,
    /// Bytes that the next message is counted on to have.
    expected: AtomicUsize,
}

impl Portions {
    /// Portions of at most `bytes_max` each, of a queue whose messages have at most `message_bytes_max`.
    pub fn new(bytes_max: usize, message_bytes_max: usize) -> Self {
        let expected = message_bytes_max.max(1);
        Self { bytes_max, expected_min: (expected / SURPRISE).max(1), expected: AtomicUsize::new(expected) }
    }

    /// How many messages to take, `wanted` at most and one at least.
    pub fn next(&self, wanted: usize) -> usize {
        (self.bytes_max / self.expected.load(Ordering::Relaxed)).min(wanted).max(1)
    }

    /// Takes note of a portion that came.
    pub fn saw(&self, portion: &[Delivery]) {
        let bytes = |delivery: &Delivery| {
            let beside: usize = delivery.properties.iter().map(|(name, value)| name.len() + value.len()).sum();
            delivery.body.len() + beside
        };
        if let Some(largest) = portion.iter().map(bytes).max() {
            let expected = (self.expected.load(Ordering::Relaxed) / 2).max(2 * largest).max(self.expected_min);
            self.expected.store(expected, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use bridge_core::port::{Properties, Receipt};

    use super::*;

    fn portion(bytes: &[usize]) -> Vec<Delivery> {
        let delivery = |bytes: &usize| Delivery {
            receipt: Receipt(String::new()),
            message_id: String::new(),
            attempt: 1,
            first_seen: None,
            body: vec![b'x'; *bytes - 3].into(),
            properties: Properties::from([("a".to_owned(), "bc".to_owned())]),
        };
        bytes.iter().map(delivery).collect()
    }

    #[test]
    fn a_portion_is_counted_by_the_largest_messages_at_first_and_by_those_that_came_later() {
        let portions = Portions::new(64_000, 1_000);
        assert_eq!((portions.next(1_000), portions.next(10)), (64, 10));
        portions.saw(&portion(&[10, 20, 10]));
        assert_eq!(portions.next(1_000), 128, "by half and no more");
        portions.saw(&portion(&[10]));
        portions.saw(&[]);
        assert_eq!(portions.next(1_000), 256, "an empty portion says nothing");
        portions.saw(&portion(&[10, 400, 10]));
        assert_eq!(portions.next(1_000), 80, "twice the largest");
        for _ in 0..9 {
            portions.saw(&portion(&[10]));
        }
        assert_eq!(portions.next(1_000), 256, "four times as many as the largest would let");
        portions.saw(&portion(&[100_000]));
        assert_eq!(portions.next(1_000), 1, "one is always taken");
        assert_eq!(Portions::new(0, 0).next(1_000), 1);
    }
}
