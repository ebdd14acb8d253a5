//! What each service holds at this moment: tests and users see here that clients which came and went left nothing behind.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::fault::ServiceAt;

/// What one service holds; `None` is what it does not know or does not have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Usage {
    /// Open connections, over all its protocols.
    pub connections: usize,
    /// Attached links of those that speak AMQP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub links: Option<usize>,
    /// Places in the lines of those that wait for a message, one for each connection and queue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting: Option<usize>,
    /// Messages of all queues, whatever their state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub messages: Option<usize>,
    /// Messages that all queues took in from senders since the start. It only grows; the services' own moves to dead
    /// letters do not count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sent: Option<u64>,
}

/// Tells what a service holds whenever it is asked.
pub type Gauge = Box<dyn Fn() -> Usage + Send + Sync>;

pub type Gauges = BTreeMap<ServiceAt, Gauge>;
