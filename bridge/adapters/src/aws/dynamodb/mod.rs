//! A DynamoDB table as a [`Store`].
//!
//! The order of writes is kept by the table itself: one conditional `PutItem`, whose answer also tells what was there,
//! so that a write costs one request whether it wins or loses.

pub mod item;
pub mod payload;
mod scan;
mod shape;

use std::{collections::HashMap, fmt};

use async_trait::async_trait;
use aws_sdk_dynamodb::{
    Client,
    config::http::HttpResponse,
    error::SdkError,
    operation::{RequestId, get_item::GetItemError, put_item::PutItemError},
    types::{AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure},
};
use bridge_core::{
    event::{Key, Op},
    failure::{FailureKind, PortError, Recovery},
    limits,
    port::{Store, Write},
    record::Record,
    size,
    version::{self, Version},
};

use self::{item::Item, payload::Spliced, shape::Shape};
use super::error::Failure;
use crate::stored;

/// What a write asks of the item that it would replace: that it is a record of the bridge, and an older one.
///
/// `version` is a fixed-width text whose byte order is the order of writes, so the table compares what the core does. The
/// language of conditions knows kinds and sizes and no patterns: an item with every attribute of a record, each of its
/// kind and size, passes for one. Whatever else is there stays, however its version compares.
const NEWER: &str = "attribute_not_exists(#pk) OR (\
    #version < :version AND size(#version) = :width AND contains(#version, :mark) AND \
    attribute_type(#event_id, :S) AND size(#event_id) = :name AND attribute_type(#source_region, :S) AND \
    attribute_type(#timestamp, :S) AND attribute_type(#applied_at, :S) AND attribute_type(#applied_by, :S) AND (\
    #op_type = :delete AND #deleted = :true AND attribute_not_exists(#payload) OR \
    #op_type IN (:create, :update, :upsert) AND #deleted = :false AND attribute_type(#payload, :M)) AND (\
    attribute_not_exists(#expires_at) OR attribute_type(#expires_at, :N)))";

/// The attributes that [`NEWER`] names; some of them are words of its language.
const NAMES: [&str; 11] = [
    "pk",
    "version",
    "event_id",
    "source_region",
    "timestamp",
    "op_type",
    "payload",
    "deleted",
    item::EXPIRES_AT,
    "applied_at",
    "applied_by",
];

/// Bytes of an event's name.
const UUID_BYTES: usize = 36;

fn names() -> HashMap<String, String> {
    NAMES.iter().map(|name| (format!("#{name}"), (*name).to_owned())).collect()
}

fn values(version: &Version) -> HashMap<String, AttributeValue> {
    let text = |text: &str| AttributeValue::S(text.to_owned());
    let values = [
        (":version", text(version.as_str())),
        (":width", AttributeValue::N(version::WIDTH.to_string())),
        // Behind the time, in every version.
        (":mark", text("Z ")),
        (":name", AttributeValue::N(UUID_BYTES.to_string())),
        (":S", text("S")),
        (":M", text("M")),
        (":N", text("N")),
        (":true", AttributeValue::Bool(true)),
        (":false", AttributeValue::Bool(false)),
        (":create", text(Op::Create.as_str())),
        (":update", text(Op::Update.as_str())),
        (":upsert", text(Op::Upsert.as_str())),
        (":delete", text(Op::Delete.as_str())),
    ];
    values.map(|(name, value)| (name.to_owned(), value)).into()
}

/// A DynamoDB table with the partition key `pk` (a string) and no sort key.
#[derive(Debug)]
pub struct DynamodbStore {
    pub(super) client: Client,
    pub(super) table: String,
    shape: Shape,
}

/// A key of no record, to ask by. It costs half a read request unit, because nothing is there.
const NO_RECORD: &str = "_bridge/shape";

impl DynamodbStore {
    /// The table of that name, reached through `client`. Nothing is sent.
    pub fn new(client: Client, table: impl Into<String>) -> Self {
        Self { client, table: table.into(), shape: Shape::default() }
    }

    fn fail(&self, operation: &'static str, kind: FailureKind) -> PortError {
        PortError::new(self.to_string(), operation, kind)
    }

    /// Whether the service itself has answered. The SDK takes an empty answer of 2xx for a success, also one of a proxy's.
    pub(super) fn answered(&self, operation: &'static str, answer: &impl RequestId) -> Result<(), PortError> {
        match answer.request_id() {
            Some(_) => Ok(()),
            None => Err(self
                .fail(operation, FailureKind::Unavailable)
                .caused_by("an answer without a request id is not DynamoDB's")),
        }
    }

    /// Whether the table has the key that a record needs, as [`Shape`] confirms it.
    ///
    /// A table with another key may take a record as an item that no later write of its key meets. A read names the whole key, so every
    /// table with another one refuses it.
    pub(super) async fn confirm_shape(&self, operation: &'static str) -> Result<(), PortError> {
        let request = self.client.get_item().table_name(&self.table).key("pk", AttributeValue::S(NO_RECORD.to_owned()));
        let look = async {
            let answer = request.send().await;
            let answer = answer.map_err(|error| of_a_read(error).at(self.to_string(), operation))?;
            self.answered(operation, &answer)
        };
        self.shape.confirm(look).await
    }

    /// What a failed write means for the table. One that has refused an item, or was not there, may be another one by now.
    async fn judge(&self, operation: &'static str, failure: Failure) -> PortError {
        let error = failure.at(self.to_string(), operation);
        if !matches!(error.kind.recovery(), Recovery::Retry) {
            self.shape.forget().await;
        }
        match error.kind {
            FailureKind::Rejected { .. } => match self.confirm_shape(operation).await {
                Err(shape) if matches!(shape.kind, FailureKind::Misshapen { .. }) => shape,
                _ => error,
            },
            _ => error,
        }
    }

    async fn read(&self, operation: &'static str, key: &Key) -> Result<Option<Record>, PortError> {
        let request = self.client.get_item().table_name(&self.table).consistent_read(true);
        let answer = request
            .set_key(Some(item::primary_key(key)))
            .send()
            .await
            .map_err(|error| of_a_read(error).at(self.to_string(), operation))?;
        self.answered(operation, &answer)?;
        let record = answer.item.as_ref().map(item::to_record).transpose();
        record.map_err(|error| error.into_port_error(self.to_string(), operation, key))
    }

    /// What the table holds instead, after it has refused the write of `record`.
    async fn kept(&self, record: &Record, held: Option<Item>) -> Result<Write, PortError> {
        let operation = "put_if_newer";
        let held = match held {
            Some(item) => Some(item::to_record(&item)),
            None => self.read(operation, &record.key).await?.map(Ok),
        };
        match held {
            Some(held) => match held.and_then(|held| stored::not_older(held, record)) {
                Ok(current) => Ok(Write::kept(current, &record.version)),
                Err(error) => Err(error.refuse(self.to_string(), operation, &record.key)),
            },
            // It was there, and its life ended in between.
            None => Err(self.fail(operation, FailureKind::Unavailable)),
        }
    }
}

/// Why a read by key failed. The right table answers every legal key, so one that refuses the request itself has another key, whatever the
/// service says.
fn of_a_read(error: SdkError<GetItemError, HttpResponse>) -> Failure {
    let mut failure = Failure::from(error);
    if let FailureKind::Rejected { detail } = failure.kind {
        failure.kind = FailureKind::Misshapen { detail };
    }
    failure
}

#[async_trait]
impl Store for DynamodbStore {
    async fn put_if_newer(&self, record: &Record) -> Result<Write, PortError> {
        let operation = "put_if_newer";
        let item = item::from_record(record)
            .map_err(|error| error.into_port_error(self.to_string(), operation, &record.key))?;
        self.confirm_shape(operation).await?;
        let request = self.client.put_item().table_name(&self.table).set_item(Some(item));
        let answer = request
            .condition_expression(NEWER)
            .set_expression_attribute_names(Some(names()))
            .set_expression_attribute_values(Some(values(&record.version)))
            .return_values(ReturnValue::AllOld)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .customize()
            .interceptor(Spliced(record.payload.clone()))
            .send()
            .await;
        match answer {
            Ok(answer) => {
                self.answered(operation, &answer)?;
                let replaced = answer.attributes.and_then(|item| item::version(&item).ok());
                Ok(Write::Applied { replaced })
            }
            Err(SdkError::ServiceError(refusal)) if refusal.err().is_conditional_check_failed_exception() => {
                let PutItemError::ConditionalCheckFailedException(refusal) = refusal.into_err() else {
                    unreachable!("asked just before")
                };
                self.kept(record, refusal.item).await
            }
            Err(error) => {
                let failure = Failure::from(error);
                let size_bytes = size::item_bytes(record);
                // The service has no code of its own for it, so its word is joined with our count.
                let kind = match failure.kind {
                    FailureKind::Rejected { .. } if size_bytes > limits::ITEM_BYTES_MAX => {
                        FailureKind::TooLarge { size_bytes, limit_bytes: limits::ITEM_BYTES_MAX }
                    }
                    kind => kind,
                };
                Err(self.judge(operation, Failure { kind, ..failure }).await)
            }
        }
    }

    async fn get(&self, key: &Key) -> Result<Option<Record>, PortError> {
        self.read("get", key).await
    }
}

impl fmt::Display for DynamodbStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "dynamodb {}", self.table)
    }
}
