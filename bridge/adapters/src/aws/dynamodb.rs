//! A DynamoDB table as a [`Store`].
//!
//! The order of writes is kept by the table itself: one conditional `PutItem`, whose answer also tells what was there,
//! so that a write costs one request whether it wins or loses.

use std::fmt;

use async_trait::async_trait;
use aws_sdk_dynamodb::{
    Client,
    error::SdkError,
    operation::put_item::PutItemError,
    types::{AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure},
};
use bridge_core::{
    event::Key,
    failure::{FailureKind, PortError},
    port::{PutOutcome, Store},
    record::Record,
};

use super::{
    dynamodb_item::{self, Item},
    error::Failure,
};
use crate::dynamodb_size::ITEM_BYTES_MAX;

/// `version` is a fixed-width text whose byte order is the order of writes, so the table compares what the core does.
const NEWER: &str = "attribute_not_exists(pk) OR #version < :version";

/// A DynamoDB table with the partition key `pk` (a string) and no sort key.
#[derive(Debug)]
pub struct DynamodbStore {
    pub(super) client: Client,
    pub(super) table: String,
}

impl DynamodbStore {
    /// The table of that name, reached through `client`. Nothing is sent.
    pub fn new(client: Client, table: impl Into<String>) -> Self {
        Self { client, table: table.into() }
    }

    fn fail(&self, operation: &'static str, kind: FailureKind) -> PortError {
        PortError::new(self.to_string(), operation, kind)
    }

    async fn read(&self, operation: &'static str, key: &Key) -> Result<Option<Record>, PortError> {
        let request = self.client.get_item().table_name(&self.table).consistent_read(true);
        let answer = request
            .set_key(Some(dynamodb_item::primary_key(key)))
            .send()
            .await
            .map_err(|error| Failure::from(&error).at(self.to_string(), operation))?;
        let record = answer.item.map(dynamodb_item::to_record).transpose();
        record.map_err(|error| error.into_port_error(self.to_string(), operation, key))
    }

    /// What the table holds instead, after it has refused the write of `key`.
    async fn kept(&self, key: &Key, held: Option<Item>) -> Result<PutOutcome, PortError> {
        let operation = "put_if_newer";
        if let Some(item) = held {
            let current = dynamodb_item::version(&item);
            let current = current.map_err(|error| error.into_port_error(self.to_string(), operation, key))?;
            return Ok(PutOutcome::Kept { current });
        }
        match self.read(operation, key).await? {
            Some(record) => Ok(PutOutcome::Kept { current: record.version }),
            // It was there, and its life ended in between.
            None => Err(self.fail(operation, FailureKind::Unavailable)),
        }
    }
}

#[async_trait]
impl Store for DynamodbStore {
    async fn put_if_newer(&self, record: &Record) -> Result<PutOutcome, PortError> {
        let operation = "put_if_newer";
        let item = dynamodb_item::from_record(record)
            .map_err(|error| error.into_port_error(self.to_string(), operation, &record.key))?;
        let size_bytes = dynamodb_item::size_bytes(&item);
        let request = self.client.put_item().table_name(&self.table).set_item(Some(item));
        let answer = request
            .condition_expression(NEWER)
            .expression_attribute_names("#version", "version")
            .expression_attribute_values(":version", AttributeValue::S(record.version.as_str().to_owned()))
            .return_values(ReturnValue::AllOld)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        match answer {
            // A replaced item without a readable version was not written by the bridge, but it is gone: nothing to tell.
            Ok(answer) => {
                let replaced = answer.attributes.and_then(|item| dynamodb_item::version(&item).ok());
                Ok(PutOutcome::Stored { replaced })
            }
            Err(SdkError::ServiceError(refusal)) if refusal.err().is_conditional_check_failed_exception() => {
                let PutItemError::ConditionalCheckFailedException(refusal) = refusal.into_err() else {
                    unreachable!("asked just before")
                };
                self.kept(&record.key, refusal.item).await
            }
            Err(error) => {
                let failure = Failure::from(&error);
                // The service has no code of its own for it, so its word is joined with our count.
                let kind = match failure.kind {
                    FailureKind::Rejected { .. } if size_bytes > ITEM_BYTES_MAX => {
                        FailureKind::TooLarge { size_bytes, limit_bytes: ITEM_BYTES_MAX }
                    }
                    kind => kind,
                };
                Err(Failure { kind, ..failure }.at(self.to_string(), operation))
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
