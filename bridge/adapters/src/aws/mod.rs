//! Amazon Web Services: SQS as a queue, DynamoDB as a store.

mod client;
mod depth;
mod dynamodb;
pub mod dynamodb_item;
pub mod dynamodb_payload;
mod dynamodb_scan;
mod dynamodb_shape;
mod error;
pub mod fifo;
#[doc(hidden)]
pub mod fuzzing;
mod inspect;
pub mod lambda_event;
mod queue_identity;
mod redrive;
mod sqs;
mod sqs_batch;
mod sqs_message;

pub use client::{AwsClients, AwsCredentials, AwsOptions, StaticCredentials};
pub use depth::{SqsDepth, SqsRedriveDepth};
pub use dynamodb::DynamodbStore;
pub use inspect::{AwsInspect, AwsInspectOptions};
pub use queue_identity::QueueIdentity;
pub use redrive::redrive_target;
pub use sqs::{SqsQueue, SqsQueueOptions};
