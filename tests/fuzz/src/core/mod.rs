//! The rules of the core: what stands in messages, records, letters, plans and journals.

pub(crate) mod event;
pub(crate) mod heartbeat;
pub(crate) mod ledger;
pub(crate) mod letter;
pub(crate) mod names;
pub(crate) mod numbers;
pub(crate) mod payload;
pub(crate) mod plan;
pub(crate) mod timestamp;
pub(crate) mod trace;
pub(crate) mod version;
