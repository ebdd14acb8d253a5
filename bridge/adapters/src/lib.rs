//! The ports of the core, carried out by SQS, DynamoDB, Service Bus, Cosmos DB and memory.
//!
//! Each adapter says a vendor's words in the core's: one folder per cloud, the same file names in each. Layers wrap any
//! adapter and are adapters themselves. Nothing here decides anything: what to do about a failure is the core's.

#![warn(missing_docs)]

pub mod aws;
pub mod azure;
pub mod clock;
mod delivery;
pub mod endpoint;
pub mod file;
pub mod layer;
pub mod memory;
pub mod service_clock;
mod share;
mod stored;
