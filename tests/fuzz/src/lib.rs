//! Fuzz targets for everything that reads bytes from outside: one small file each, with what must hold beside "no panic".
//!
//! A target is a plain function over bytes. `corpus.rs` runs each over its corpus in the normal tests; `./just fuzz` lets
//! libFuzzer look for more. [`targets`] is the list, [`run`] starts libFuzzer.

#![allow(clippy::unwrap_used, reason = "a step that fails must fail its target")]

pub mod run;
pub mod targets;

mod adapters;
mod app;
mod core;
mod localcloud;

// The binary has no library: its modules are compiled from where they are, under the names that they know each other by.
#[path = "../../../bridge/app/src/config/mod.rs"]
#[allow(dead_code, reason = "the binary uses the rest of it")]
mod config;
#[path = "../../../bridge/app/src/exit.rs"]
#[allow(dead_code, reason = "the binary uses the rest of it")]
mod exit;
#[path = "../../../bridge/app/src/dashboard/guard.rs"]
#[allow(dead_code, reason = "the binary uses the rest of it")]
mod guard;
#[path = "../../../bridge/app/src/tell.rs"]
mod tell;

/// The text of an input; most parsers are handed nothing else.
fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}
