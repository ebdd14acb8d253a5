//! The simulation, the crash matrix and the model check as tests. The meta-test runs first: seeds that do not repeat
//! themselves make whatever is found with them worthless.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod exhaustive;
mod seeds;
