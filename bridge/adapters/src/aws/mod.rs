//! Amazon Web Services: SQS as a queue, DynamoDB as a store.

mod client;
mod credential;
pub mod dynamodb;
mod error;
#[doc(hidden)]
pub mod fuzzing;
mod http;
mod inspect;
pub mod invocation;
pub mod sqs;

pub use client::{AwsClients, AwsCredentials, AwsEndpoints, AwsOptions, EndpointError, StaticCredentials};
pub use dynamodb::DynamodbStore;
pub use inspect::{AwsInspect, AwsInspectOptions};
pub use sqs::{QueueIdentity, SqsDepth, SqsQueue, SqsQueueOptions, SqsRedriveDepth, fifo, redrive_target};
