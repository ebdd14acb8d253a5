//! Over AMQP: receives, settles and keeps leases, and asks the management node.

pub(super) mod connection;
pub(super) mod encoding;
pub(super) mod failure;
pub(super) mod frames;
pub(super) mod leases;
pub(super) mod management;
pub(super) mod receiver;
pub(super) mod settle;
pub(super) mod wire;
