//! Why a worker stands still.

/// Why nothing more must be taken: no message can succeed until an operator acts, or until the store is back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Halt {
    /// What cannot be used.
    pub at: Spot,
    /// What is broken.
    pub detail: String,
}

/// What cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spot {
    /// The site's own store, until an operator acts.
    Store,
    /// The site's own store, which answers nobody or throttles everything. That passes by itself.
    Away,
    /// The dead-letter queue.
    DeadLetters,
    /// The site's queue, for settling.
    Settling,
    /// The site's queue, for receiving.
    Receiving,
}
