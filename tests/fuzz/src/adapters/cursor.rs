//! Cursors of scans, which stand in files between two runs.

use bridge_adapters::{aws, azure};
use bridge_core::port::Cursor;

use crate::text;

/// What is read is written the same, and reads back.
pub(crate) fn run(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    for written_again in [aws::fuzzing::cursor, azure::fuzzing::cursor] {
        if let Some(once) = written_again(&Cursor(text.to_owned())) {
            assert_eq!(written_again(&once), Some(once));
        }
    }
}
