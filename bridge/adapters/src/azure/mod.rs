//! Azure: Service Bus as a queue, Cosmos DB as a store.

mod client;
pub mod cosmos;
pub mod credential;
mod error;
mod from_aws;
#[doc(hidden)]
pub mod fuzzing;
pub mod identity;
mod inspect;
pub mod invocation;
pub mod service_bus;
mod tls;

pub use client::{CosmosCredential, CosmosOptions};
pub use cosmos::CosmosStore;
pub use from_aws::FromAws;
pub use inspect::AzureInspect;
