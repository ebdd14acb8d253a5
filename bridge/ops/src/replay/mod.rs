//! Replay: brings messages that lie in a queue, in the dead letters or in a file to where they are owed.
//!
//! First the [`planner`] makes a [`plan`]: it freezes the set by the [`fingerprint`] of each message and predicts its [`effect`]. Then a
//! [`run`]: each message of the plan runs its [`errand`]s, what is confirmed goes into a [`journal`], and only what
//! owes nothing any more leaves its source. A [`pass`](owed) does the same without a plan, where nothing is to be confirmed first: for a command, and for
//! the workers, which bring what is owed [by themselves](auto). All of it without I/O but through the ports.

pub mod auto;
pub mod effect;
pub mod errand;
pub mod filter;
pub mod find;
pub mod fingerprint;
pub mod frame;
pub mod journal;
pub mod ledger;
pub mod owed;
pub mod pace;
pub mod plan;
pub mod planner;
pub mod portions;
pub mod route;
pub mod run;
pub mod setting;
pub mod subject;

mod arrivals;
mod edit;
mod lease;
mod pay;
