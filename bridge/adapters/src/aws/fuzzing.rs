//! Private parsers for `tests/fuzz`, which has no other way to them without a service. Nothing else may use this.

use std::collections::HashMap;

use aws_sdk_sqs::types::{Message, QueueAttributeName};
use bridge_core::port::{Cursor, Delivery};
use bridge_ops::doctor::QueueFacts;

use super::{inspect, redrive, sqs_message};
use crate::share::Share;

/// A delivery of SQS.
pub fn delivery(message: Message) -> Option<Delivery> {
    sqs_message::to_delivery(message)
}

/// What one attribute of a queue says of it.
///
/// # Errors
/// What they should have said.
pub fn queue_facts(name: QueueAttributeName, value: &str) -> Result<QueueFacts, String> {
    inspect::queue_facts(&HashMap::from([(name, value.to_owned())]))
}

/// The address of the queue that a redrive policy names.
pub fn redrive_address(queue_url: &str, policy: &str) -> Option<String> {
    redrive::address(queue_url, policy)
}

/// A cursor of a scan by numbered shares: what it is read as, written again.
pub fn cursor(cursor: &Cursor) -> Option<Cursor> {
    Share::read(cursor).map(|share| share.cursor())
}
