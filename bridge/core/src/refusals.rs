//! A store that refuses one key after the other: is it the messages, or is it the store?

use std::collections::BTreeSet;

use crate::{event::Key, failure::FailureKind, limits::REFUSED_KEYS_MAX};

/// The keys that a store has refused since it took the last one. Messages that are wrong come between good ones; where
/// none is taken any more the store may be wrong, and every message would end as a letter.
#[derive(Debug, Default)]
pub struct Refusals {
    keys: BTreeSet<Key>,
}

impl Refusals {
    /// Takes in what came of a write of `key`: nothing, or how it failed. A store that is away says neither.
    pub fn note(&mut self, key: &Key, failure: Option<&FailureKind>) {
        match failure {
            None => self.keys.clear(),
            Some(FailureKind::Rejected { .. }) if !self.suspect_the_store() => drop(self.keys.insert(key.clone())),
            Some(_) => {}
        }
    }

    /// Whether the store may be what is wrong.
    pub fn suspect_the_store(&self) -> bool {
        self.keys.len() >= REFUSED_KEYS_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused() -> FailureKind {
        FailureKind::Rejected { detail: "no".to_owned() }
    }

    fn key(number: usize) -> Key {
        number.to_string().parse().unwrap()
    }

    #[test]
    fn so_many_different_keys_without_a_success_between_are_the_store() {
        let mut refusals = Refusals::default();
        for number in 0..REFUSED_KEYS_MAX {
            assert!(!refusals.suspect_the_store(), "{number}");
            for _ in 0..3 {
                refusals.note(&key(number), Some(&refused()));
            }
        }
        assert!(refusals.suspect_the_store());
        refusals.note(&key(0), None);
        assert!(!refusals.suspect_the_store(), "it takes writes");
    }

    #[test]
    fn one_key_however_often_and_a_store_that_is_away_say_nothing() {
        let mut refusals = Refusals::default();
        (0..2 * REFUSED_KEYS_MAX).for_each(|_| refusals.note(&key(1), Some(&refused())));
        for kind in [
            FailureKind::Unavailable,
            FailureKind::Unauthorized,
            FailureKind::TooLarge { size_bytes: 2, limit_bytes: 1 },
        ] {
            (0..2 * REFUSED_KEYS_MAX).for_each(|number| refusals.note(&key(number), Some(&kind)));
        }
        assert!(!refusals.suspect_the_store());
        // Neither ends the row, nor does it go on beyond its end.
        (0..10 * REFUSED_KEYS_MAX).for_each(|number| refusals.note(&key(number), Some(&refused())));
        assert_eq!(refusals.keys.len(), REFUSED_KEYS_MAX);
    }
}
