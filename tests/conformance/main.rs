//! The contract of the ports: one function per clause, run against every adapter and every layer.
//!
//! A red test names the clause and the backend, as in `sqs::an_unacked_message_returns_after_its_lease`. Memory and the
//! layers around it run in virtual time; the clouds are the local one, spoken to by the real SDKs. `BRIDGE_SKIP=azure`
//! (or `sqs`, `cosmos`, ...) leaves backends out, and each test that it leaves out says so.

#![allow(clippy::unwrap_used, reason = "a clause that meets an error is to fail with it")]

mod backends;
mod depth;
mod foreign;
mod queue;
mod scan;
mod store;
mod tokens;
mod trouble;
mod values;
mod wire;

use std::time::Duration;

use bridge_core::{event::Event, record::Record};
use bridge_tests::{at, azure};

/// How long tombstones live here: decades, since the clouds end them by their own clocks, and the tests' dates are fixed.
const TOMBSTONE_LIFE: Duration = Duration::from_hours(50 * 365 * 24);

/// The record that `event` leaves when the worker on Azure applies it.
pub(crate) fn record(event: &Event) -> Record {
    Record::new(event, &azure(), at(0), TOMBSTONE_LIFE)
}

/// One test for each clause, run by the function of `backends` that is named like the backend.
macro_rules! tests {
    ($contract:ident, $backend:ident: $($clause:ident)*) => {
        mod $backend {
            $(
                #[test]
                fn $clause() {
                    crate::backends::$backend(stringify!($clause), crate::$contract::$clause);
                }
            )*
        }
    };
}
use tests;

queue::contract!(memory_queue);
queue::contract!(disorderly_memory_queue);
queue::contract!(timeout_queue);
queue::contract!(metered_queue);
queue::contract!(fault_queue);
queue::contract!(sqs);
queue::contract!(service_bus);
queue::cloud_contract!(sqs_deployment);
queue::cloud_contract!(service_bus_deployment);

store::contract!(memory_store);
store::contract!(timeout_store);
store::contract!(metered_store);
store::contract!(fault_store);
store::contract!(dynamodb);
store::contract!(cosmos);
store::cloud_contract!(dynamodb_deployment);
store::cloud_contract!(cosmos_deployment);

scan::contract!(memory_scan);
scan::contract!(dynamodb_scan);
scan::contract!(cosmos_scan);
scan::cloud_contract!(dynamodb_scan_deployment);
scan::cloud_contract!(cosmos_scan_deployment);
