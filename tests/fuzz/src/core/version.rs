//! Versions, as a store gives them back.

use bridge_core::version::{Version, WIDTH};

use crate::text;

/// What is read is written as it was, and its parts are there.
pub(crate) fn run(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    match text.parse::<Version>() {
        Ok(version) => {
            assert_eq!((version.as_str(), text.len()), (text, WIDTH));
            assert_eq!(
                Version::new(version.timestamp(), &version.origin(), version.event_id(), version.content()),
                version
            );
        }
        Err(error) => assert!(error.to_string().len() < 16 * WIDTH, "not the whole of a long text again"),
    }
}
