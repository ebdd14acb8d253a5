//! The built binary from end to end: real SDKs, the clouds' own wire protocols, independent official clients.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod acceptance;
mod amqp;
mod chaos;
mod command_line;
mod configurations;
mod dashboard;
mod doctor;
mod documents;
mod drill;
mod faults;
mod federation;
mod functions;
mod identity;
mod lag;
mod load;
mod local;
mod observability;
mod official_clients;
mod outages;
mod own_site;
mod packages;
mod places;
mod program;
mod proxies;
mod publishing;
mod replay;
mod runbooks;
mod set_aside;
mod simulate;
mod telemetry;
mod trust;
mod truth;
mod verify;
mod workers;
