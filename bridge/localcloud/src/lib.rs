//! AWS and Azure on one machine: SQS, DynamoDB, Service Bus and Cosmos DB on loopback, with their own wire protocols, in one
//! process, in memory.
//!
//! [`LocalCloud`] puts the services together as sites: any number of regions of AWS, each with SQS and DynamoDB, and of
//! Azure, each with Service Bus and Cosmos DB. Each service also starts alone. Official clients run against them
//! unchanged, with the endpoints and keys of [`Sites`]. [`fault`] makes them fail on purpose, and [`admin`] is the way to it
//! from outside. Nothing here listens on anything but loopback, keeps anything on disk, or belongs into a deployable.

pub mod fault;
pub mod http;

pub mod cosmos;
pub mod dynamodb;
pub mod service_bus;
pub mod sqs;

pub mod admin;
#[cfg(feature = "cli")]
pub mod cli;
mod cloud;
mod contents;
mod site;
pub mod usage;

#[doc(hidden)]
pub mod fuzzing;

pub use cloud::{
    AwsOptions, AwsRegion, AwsSite, AzureOptions, AzureRegion, AzureSite, LocalCloud, Options, SERVICE_BUS_PORT, Sites,
    StartError,
};
pub use contents::Contents;
pub use site::{Cloud, NoSite, SiteName};
