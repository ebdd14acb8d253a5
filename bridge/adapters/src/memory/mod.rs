//! A queue, a store and a clock in memory: deterministic, without tasks, timers or a runtime.
//!
//! They are equals of the cloud adapters and pass the same contract, and they are never kinder than a cloud: deliveries
//! are leased, order is not promised, duplicates can be asked for. The simulation and the tests of the core run on them.

mod clock;
mod queue;
mod store;

pub use clock::ManualClock;
pub use queue::{Carries, MemoryQueue, MemoryQueueOptions, Order};
pub use store::MemoryStore;
