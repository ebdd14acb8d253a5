//! The pipeline on memory queues and stores: what a worker does with every kind of delivery, and that any order of
//! deliveries with any repeats ends in one state at every site.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod backfill;
mod carrying_out;
mod contract;
mod convergence;
mod fences;
mod halts;
mod invocations;
mod lag;
mod leases;
mod letters;
mod outages;
mod portions;
mod refusals;
mod repair;
mod replay;
mod sends;
mod settlements;
mod tidy;
mod traces;
mod verify;
mod world;
