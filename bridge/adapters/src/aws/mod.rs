//! Amazon Web Services: SQS as a queue, DynamoDB as a store.

mod client;
mod credential;
pub mod dynamodb;
mod error;
mod from_azure;
#[doc(hidden)]
pub mod fuzzing;
mod http;
mod identity;
mod inspect;
pub mod invocation;
pub mod sqs;

pub use client::{AwsClients, AwsCredentials, AwsEndpoints, AwsOptions, EndpointError, StaticCredentials};
pub use dynamodb::DynamodbStore;
pub use from_azure::FromAzure;
pub use identity::way;
pub(crate) use identity::{not_answered, sts};
pub use inspect::{AwsInspect, AwsInspectOptions};
pub use sqs::{QueueIdentity, SqsDepth, SqsQueue, SqsQueueOptions, SqsRedriveDepth, fifo, redrive_target};

/// How a log's filter keeps the SDK's chain of credentials quiet: it warns of every link, once for each client, and the error of the call names
/// them all.
pub const QUIET_CREDENTIALS: &str = "aws_config=error";
