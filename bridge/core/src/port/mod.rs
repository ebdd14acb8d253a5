//! What the bridge asks of a cloud: a queue, a store and a clock.
//!
//! Each port is the smallest set of verbs that all clouds can honour, without default methods: a default that a layer
//! forgets to forward is a silent bug. The contract of each is a suite in `tests/conformance`, which memory, every
//! adapter and every layer pass.

mod clock;
mod depth;
mod queue;
mod reschedule;
mod scan;
mod store;

pub use crate::property::Properties;
pub use clock::{Clock, within};
pub use depth::{Depth, QueueDepth, States};
pub use queue::{Delivery, Message, Place, Queue, Receipt, Use};
pub use reschedule::Reschedule;
pub use scan::{Cursor, ForeignItem, Page, Scan};
pub use store::{Store, Write};
