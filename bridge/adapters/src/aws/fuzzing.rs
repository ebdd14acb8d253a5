//! Private parsers for `tests/fuzz`, which has no other way to them without a service. Nothing else may use this.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_sqs::types::{Message, QueueAttributeName};
use bridge_core::{
    port::{Cursor, Delivery},
    record::Record,
};
use bridge_ops::doctor::QueueFacts;
use serde_json::Value;

use super::{
    dynamodb::{
        item::{self, Item},
        payload,
    },
    inspect,
    sqs::{message, redrive},
};
use crate::share::Share;

/// A delivery of SQS.
pub fn delivery(message: Message) -> Option<Delivery> {
    message::to_delivery(message)
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

/// The item of `record` as the service gives it back: what is sent, read as the SDK reads it.
///
/// # Panics
/// If the record cannot be written.
pub fn as_read(record: &Record) -> Item {
    let mut item = item::from_record(record).expect("a record that can be written");
    if let Some(payload) = &record.payload {
        let mut text = String::new();
        payload::write(payload, &mut text);
        item.insert("payload".to_owned(), value(&serde_json::from_str(&text).expect("JSON")));
    }
    item
}

fn value(json: &Value) -> AttributeValue {
    let (kind, value_of) = json.as_object().and_then(|members| members.iter().next()).expect("one kind");
    let text = || value_of.as_str().expect("a text").to_owned();
    match kind.as_str() {
        "S" => AttributeValue::S(text()),
        "N" => AttributeValue::N(text()),
        "BOOL" => AttributeValue::Bool(value_of.as_bool().expect("a boolean")),
        "NULL" => AttributeValue::Null(true),
        "L" => AttributeValue::L(value_of.as_array().expect("a list").iter().map(value).collect()),
        "M" => {
            let members = value_of.as_object().expect("a map").iter();
            AttributeValue::M(members.map(|(name, json)| (name.clone(), value(json))).collect())
        }
        other => panic!("{other} is never written"),
    }
}
