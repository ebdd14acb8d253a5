//! What the binary itself reads. It has no library, so its modules are compiled from where they are; see the root.

pub(crate) mod config;
pub(crate) mod guard;
