//! The ports of the core, carried out by SQS, DynamoDB, Service Bus, Cosmos DB and memory.
//!
//! Each adapter says a vendor's words in the core's: one folder per cloud, the same file names in each. Layers wrap any
//! adapter and are adapters themselves. Nothing here decides anything: what to do about a failure is the core's.

#![warn(missing_docs)]

#[cfg(feature = "clouds")]
pub mod aws;
#[cfg(feature = "clouds")]
pub mod azure;
mod carried;
pub mod clock;
mod delivery;
pub mod documents;
#[cfg(feature = "clouds")]
pub mod endpoint;
#[cfg(feature = "clouds")]
mod failure;
pub mod file;
pub mod layer;
pub mod lines;
#[cfg(feature = "clouds")]
mod look;
pub mod memory;
#[cfg(feature = "clouds")]
pub mod names;
#[cfg(feature = "clouds")]
pub mod service_clock;
mod share;
#[cfg_attr(not(feature = "clouds"), allow(dead_code, reason = "records are read back from the clouds alone"))]
mod stored;
#[cfg(feature = "clouds")]
mod token;
