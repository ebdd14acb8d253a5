//! The protocols that localcloud serves: never deployed, and still nothing that a client sends may end it.

pub(crate) mod faults;
pub(crate) mod service_bus_frames;
pub(crate) mod service_bus_message;
pub(crate) mod service_bus_rest;
pub(crate) mod sqs;
