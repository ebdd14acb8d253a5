//! Worlds of sites on memory and virtual time, in which everything goes wrong by a seed. One thread, no real clock, no
//! chance but the seed's: the same seed is the same run, to the byte of its trace.
//!
//! In reading order: a [`scenario`] is all that a seed decides; [`run`] plays it in a [`world`], whose [`site`]s are worked
//! by a [`host`] each, with an [`operator`] who replays in the middle; [`faults`] say what goes wrong and when. Every call
//! travels a [`wire`], and below it an observer ([`watch`]) tells the [`books`] what really happened, from which the
//! ten [`checkers`] judge. [`matrix`] and [`model`] leave nothing to chance: every step, every order.

#![warn(missing_docs)]

pub mod run;
pub mod scenario;
pub mod sweep;

mod audit;
mod compare;
pub mod host;
pub mod operator;
mod readings;
mod replayed;
pub mod site;
pub mod world;

pub mod events;
pub mod faults;

pub mod books;
pub mod checkers;
mod holdings;
pub mod trace;

pub mod told;
pub mod watch;
pub mod wire;

pub mod matrix;
pub mod model;
mod model_step;

pub mod by_hand;
pub mod executor;
pub mod seed;
