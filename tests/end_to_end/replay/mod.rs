//! `bridge replay`, the built program, on both clouds: dead letters in bulk, killed and resumed; and the drills of an
//! outage.

mod bulk;
mod by_itself;
mod drill;
mod edges;
mod honest;
mod letters;
mod plans;
pub(crate) mod sites;
