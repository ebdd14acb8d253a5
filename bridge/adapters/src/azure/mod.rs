//! Azure: Service Bus as a queue, Cosmos DB as a store.

mod client;
pub mod cosmos;
pub mod credential;
mod error;
#[doc(hidden)]
pub mod fuzzing;
pub mod identity;
mod inspect;
pub mod invocation;
pub mod service_bus;
mod tls;

pub use client::{CosmosCredential, CosmosOptions};
pub use cosmos::CosmosStore;
pub use inspect::AzureInspect;
