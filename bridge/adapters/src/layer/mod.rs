//! Layers: what is true of every call, wrapped around any adapter. [`Layered`] implements each port once; a [`Layer`] says
//! what surrounds a call. A port with any layer around it passes the port's contract.

mod fault;
mod fault_plan;
mod guard;
mod layered;
mod metered;
mod timeout;

#[cfg(test)]
mod tests;

pub use fault::{Fault, FaultPlan, Faults, Rule};
pub use guard::Guard;
pub(crate) use guard::guarded;
pub use layered::{Answers, Call, Layer, Layered, LayeredQueue, LayeredStore, OnMany};
pub use metered::{Meter, Observation, Observe, Outcome};
pub use timeout::Timeout;

/// A method of a port that talks to a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Operation {
    /// `Queue::receive`
    Receive,
    /// `Queue::extend`
    Extend,
    /// `Queue::ack`
    Ack,
    /// `Queue::retry`
    Retry,
    /// `Queue::bury`
    Bury,
    /// `Queue::probe`
    Probe,
    /// `Queue::send`
    Send,
    /// `Queue::browse`
    Browse,
    /// `Queue::release`
    Release,
    /// `Queue::close`
    Close,
    /// `Store::put_if_newer`
    PutIfNewer,
    /// `Store::get`
    Get,
}

impl Operation {
    /// The method's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Receive => "receive",
            Self::Extend => "extend",
            Self::Ack => "ack",
            Self::Retry => "retry",
            Self::Bury => "bury",
            Self::Probe => "probe",
            Self::Send => "send",
            Self::Browse => "browse",
            Self::Release => "release",
            Self::Close => "close",
            Self::PutIfNewer => "put_if_newer",
            Self::Get => "get",
        }
    }
}
