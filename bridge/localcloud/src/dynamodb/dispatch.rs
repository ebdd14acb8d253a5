//! From an operation's name and body to the engine's typed call and back.

use axum::http::HeaderMap;
use dynoxide::{Database, DynoxideError};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::answer::Failed;

/// What reads and writes items, as against tables and streams.
const DATA: [&str; 12] = [
    "PutItem",
    "GetItem",
    "UpdateItem",
    "DeleteItem",
    "Query",
    "Scan",
    "BatchGetItem",
    "BatchWriteItem",
    "TransactGetItems",
    "TransactWriteItems",
    "ExecuteStatement",
    "BatchExecuteStatement",
];
const CONTROL: [&str; 11] = [
    "ExecuteTransaction",
    "CreateTable",
    "DeleteTable",
    "DescribeTable",
    "ListTables",
    "UpdateTable",
    "UpdateTimeToLive",
    "DescribeTimeToLive",
    "TagResource",
    "UntagResource",
    "ListTagsOfResource",
];
const STREAMS: [&str; 4] = ["ListStreams", "DescribeStream", "GetShardIterator", "GetRecords"];

/// The operation that a request names, if there is one of that name.
pub(super) fn operation(headers: &HeaderMap) -> Option<&'static str> {
    let target = headers.get("x-amz-target")?.to_str().ok()?;
    let find = |names: &[&'static str], name: &str| names.iter().copied().find(|known| *known == name);
    match target.split_once('.')? {
        ("DynamoDB_20120810", name) => find(&DATA, name).or_else(|| find(&CONTROL, name)),
        ("DynamoDBStreams_20120810", name) => find(&STREAMS, name),
        _ => None,
    }
}

pub(super) fn is_data(operation: &str) -> bool {
    DATA.contains(&operation)
}

/// Whether one call may read or write many items.
pub(super) fn is_long(operation: &str) -> bool {
    matches!(
        operation,
        "Query"
            | "Scan"
            | "BatchGetItem"
            | "BatchWriteItem"
            | "TransactWriteItems"
            | "DeleteTable"
            | "ExecuteStatement"
    )
}

pub(super) fn run(db: &Database, operation: &str, body: &[u8]) -> Result<Vec<u8>, Failed> {
    let call = Operation { name: operation, body };
    match operation {
        "PutItem" => call.run(|request| db.put_item(request)),
        "GetItem" => call.run(|request| db.get_item(request)),
        "UpdateItem" => call.run(|request| db.update_item(request)),
        "DeleteItem" => call.run(|request| db.delete_item(request)),
        "Query" => call.run(|request| db.query(request)),
        "Scan" => call.run(|request| db.scan(request)),
        "BatchGetItem" => call.run(|request| db.batch_get_item(request)),
        "BatchWriteItem" => call.run(|request| db.batch_write_item(request)),
        "TransactGetItems" => call.run(|request| db.transact_get_items(request)),
        "TransactWriteItems" => call.run(|request| db.transact_write_items(request)),
        "ExecuteStatement" => call.run(|request| db.execute_statement(request)),
        "BatchExecuteStatement" => call.run(|request| db.batch_execute_statement(request)),
        "ExecuteTransaction" => call.run(|request| db.execute_transaction(request)),
        "CreateTable" => call.run(|request| db.create_table(request)),
        "DeleteTable" => call.run(|request| db.delete_table(request)),
        "DescribeTable" => call.run(|request| db.describe_table(request)),
        "ListTables" => call.run(|request| db.list_tables(request)),
        "UpdateTable" => call.run(|request| db.update_table(request)),
        "UpdateTimeToLive" => call.run(|request| db.update_time_to_live(request)),
        "DescribeTimeToLive" => call.run(|request| db.describe_time_to_live(request)),
        "TagResource" => call.run(|request| db.tag_resource(request)),
        "UntagResource" => call.run(|request| db.untag_resource(request)),
        "ListTagsOfResource" => call.run(|request| db.list_tags_of_resource(request)),
        "ListStreams" => call.run(|request| db.list_streams(request)),
        "DescribeStream" => call.run(|request| db.describe_stream(request)),
        "GetShardIterator" => call.run(|request| db.get_shard_iterator(request)),
        "GetRecords" => call.run(|request| db.get_records(request)),
        _ => Err(Failed::unknown_operation()),
    }
}

struct Operation<'a> {
    name: &'a str,
    body: &'a [u8],
}

impl Operation<'_> {
    fn run<Q: DeserializeOwned, A: Serialize>(
        &self,
        call: impl FnOnce(Q) -> Result<A, DynoxideError>,
    ) -> Result<Vec<u8>, Failed> {
        if self.body.trim_ascii_start().first() != Some(&b'{') {
            return Err(Failed::unreadable());
        }
        let request = serde_json::from_slice(self.body).map_err(|error| self.unreadable(&error))?;
        let answer = call(request)?;
        serde_json::to_vec(&answer).map_err(|_| Failed::internal())
    }

    /// The engine's request types put a mark before what they refuse, to say which error the service would answer with;
    /// what bears no mark is JSON of the wrong shape.
    fn unreadable(&self, error: &serde_json::Error) -> Failed {
        let text = error.to_string();
        let words = text.rsplit_once(" at line ").map_or(text.as_str(), |(words, _)| words);
        let validation = |message: String| DynoxideError::ValidationException(message).into();
        if words.starts_with("recursion limit exceeded") {
            // The parser gives up at 127 levels of JSON, which is past the service's 32 levels of attributes.
            return validation("Nesting Levels have exceeded supported limits".to_owned());
        }
        if let Some(message) = words.strip_prefix("VALIDATION_REQUEST:") {
            return match self.name {
                "PutItem" | "UpdateItem" | "DeleteItem" => {
                    validation(format!("1 validation error detected: {message}"))
                }
                _ => validation(message.to_owned()),
            };
        }
        for mark in ["VALIDATION_AS_READ:", "VALIDATION:"] {
            if let Some(message) = words.strip_prefix(mark) {
                return validation(message.to_owned());
            }
        }
        for mark in ["SERIALIZATION_AS_READ:", "SERIALIZATION:"] {
            if let Some(message) = words.strip_prefix(mark) {
                return DynoxideError::SerializationException(message.to_owned()).into();
            }
        }
        if !error.is_data() {
            return Failed::unreadable();
        }
        if words.contains("empty AttributeValue") {
            let text = "Supplied AttributeValue is empty, must contain exactly one of the supported datatypes";
            return validation(text.to_owned());
        }
        // What is missing or null breaks a rule of the operation; what has another type is not its JSON at all.
        let rules = ["Supplied AttributeValue", "missing field", "unknown variant", "invalid type: null"];
        if rules.iter().any(|rule| words.contains(rule)) {
            validation(words.to_owned())
        } else {
            DynoxideError::SerializationException(words.to_owned()).into()
        }
    }
}
