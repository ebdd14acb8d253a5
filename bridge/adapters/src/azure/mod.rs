//! Azure: Service Bus as a queue, Cosmos DB as a store.

mod client;
mod cosmos;
mod cosmos_account;
pub mod cosmos_item;
mod cosmos_scan;
pub mod credential;
mod error;
pub mod function_payload;
#[doc(hidden)]
pub mod fuzzing;
pub mod identity;
mod inspect;
pub mod service_bus;
mod tls;

pub use client::{CosmosCredential, CosmosOptions};
pub use cosmos::CosmosStore;
pub use inspect::AzureInspect;
