//! The rules of replication, in reading order. No I/O, no clock, no environment, no SDK.
//!
//! One batch goes through [`pipeline`]: [`envelope`] reads each message, [`decision`] says what it means here, the
//! store and the peers do it, [`settlement`] says how each delivery ends, and [`carry_out`] ends it, or
//! [`invocation`] where the host of a function does. [`receive`] goes on to the next batch.

#![warn(missing_docs)]

pub mod pipeline;
pub mod worker;

pub mod envelope;
pub mod event;
mod key;
mod op;
mod site;

pub mod canonical;
pub mod content;
pub mod version;

pub mod decision;
pub mod marks;
pub mod payload;
pub mod portable;
pub mod portion;
pub mod size;

pub mod books;
pub mod carry_out;
mod conclude;
mod ending;
pub mod excerpts;
pub mod forwarded;
pub mod halt;
pub mod invocation;
pub mod letter;
pub mod peer;
pub mod probe;
pub mod property;
pub mod reason;
pub mod receive;
pub mod refusals;
pub mod set_aside;
pub mod settlement;
pub mod text;

pub mod failure;
pub mod port;
pub mod record;

pub mod circuit;
pub mod conflict;
pub mod health;
pub mod heartbeat;
pub mod incident;
pub mod lease;
pub mod limits;
pub mod metric;
pub mod reserved;
pub mod retry;
pub mod skew;
pub mod state;
pub mod stop;
pub mod trace;

mod json;
