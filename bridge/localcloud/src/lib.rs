//! Both clouds on one machine: SQS, DynamoDB, Service Bus and Cosmos DB on loopback, with their own wire protocols, in one
//! process, in memory.
//!
//! [`LocalCloud`] puts the services together as two sites; each service also starts alone. Official clients run against
//! them unchanged, with the endpoints and keys of [`Sites`]. [`fault`] makes them fail on purpose, and [`admin`] is the way to it
//! from outside. Nothing here listens on anything but loopback, keeps anything on disk, or belongs into a deployable.

pub mod fault;
pub mod http;

pub mod cosmos;
pub mod dynamodb;
pub mod service_bus;
pub mod sqs;

pub mod admin;
mod cloud;
pub mod usage;

#[doc(hidden)]
pub mod fuzzing;

pub use cloud::{AwsSite, AzureSite, LocalCloud, Options, SERVICE_BUS_PORT, Sites, StartError};
