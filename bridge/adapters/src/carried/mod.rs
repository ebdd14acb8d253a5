//! What each cloud's queue carries, and how it counts bytes. Pure, so that memory can be as strict as either.

pub(crate) mod service_bus;
pub(crate) mod sqs;

use bridge_core::failure::FailureKind;

fn too_large(size_bytes: usize, limit_bytes: usize) -> FailureKind {
    FailureKind::TooLarge { size_bytes: size_bytes as u64, limit_bytes: limit_bytes as u64 }
}
