//! What operators do with the bridge, in reading order. Like the core below it: no I/O, no clock, no environment, no SDK.
//!
//! [`replay`] brings events where they are owed, [`verify`] compares stores and repairs them, [`lag`] says how far behind
//! each site is, [`doctor`] checks a site's settings, [`drill`] measures a failover.

#![warn(missing_docs)]

pub mod doctor;
pub mod drill;
pub mod lag;
pub mod replay;
pub mod span;
pub mod verify;
