//! Timestamps of events: two at a time, for their order.

use bridge_core::{envelope, version::Version};
use uuid::Uuid;

use crate::text;

/// The text order of versions is the order of the instants, and each reads back.
pub(crate) fn run(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    let (one, other) = text.split_once('\n').unwrap_or((text, "2026-11-21T01:02:03.123456789Z"));
    let read = [one, other].map(envelope::parse_timestamp);
    for error in read.iter().filter_map(|read| read.as_ref().err()) {
        assert!(error.len() < 512, "not the whole of a long text again");
    }
    let [Ok(one), Ok(other)] = read else { return };
    let site = "aws:us-east-1".parse().unwrap();
    let [first, second] = [&one, &other].map(|time| Version::new(time.utc, &site, Uuid::nil(), 0.into()));
    assert_eq!(first.as_str().cmp(second.as_str()), one.utc.cmp(&other.utc));
    for (version, time) in [(&first, &one), (&second, &other)] {
        assert_eq!(version.as_str().parse().as_ref(), Ok(version));
        assert_eq!(version.timestamp(), time.utc);
    }
}
