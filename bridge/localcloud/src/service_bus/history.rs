//! The message ids of the last minutes, for duplicate detection. Knows ids and ticks, nothing of messages.

use std::collections::{HashSet, VecDeque};

use sha2::{Digest, Sha256};

/// 16 bytes of a SHA-256 stand for an id of up to 128 characters, so that the history of a busy queue stays small.
type Fingerprint = [u8; 16];

#[derive(Debug, Default)]
pub(super) struct History {
    known: HashSet<Fingerprint>,
    /// In order of arrival: (tick, id).
    arrivals: VecDeque<(i64, Fingerprint)>,
}

impl History {
    /// Remembers an id; false if it is known already.
    pub(super) fn learn(&mut self, tick: i64, id: &str) -> bool {
        let mut fingerprint = Fingerprint::default();
        fingerprint.copy_from_slice(&Sha256::digest(id.as_bytes())[..16]);
        let new = self.known.insert(fingerprint);
        if new {
            self.arrivals.push_back((tick, fingerprint));
        }
        new
    }

    /// Forgets what arrived at or before `tick`.
    pub(super) fn forget(&mut self, tick: i64) {
        let before = self.arrivals.len();
        while let Some((_, id)) = self.arrivals.pop_front_if(|(at, _)| *at <= tick) {
            self.known.remove(&id);
        }
        // Memory follows only when it is worth the copying.
        if before > self.arrivals.len() && self.arrivals.len() * 4 < self.arrivals.capacity() {
            self.arrivals.shrink_to_fit();
            self.known.shrink_to_fit();
        }
    }

    /// When the last known id arrived: one wake-up then forgets them all, instead of one for each.
    pub(super) fn last_arrival(&self) -> Option<i64> {
        self.arrivals.back().map(|(at, _)| *at)
    }
}
