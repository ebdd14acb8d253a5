//! How long a service asks to wait.

use std::time::Duration;

use bridge_adapters::azure::service_bus::fuzzing::retry_after;
use bridge_core::{limits, retry::Backoff};
use chrono::DateTime;

use crate::text;

/// Whatever a service asks for, a worker waits no longer than a queue can hold a message back, and no shorter than asked within that.
pub(crate) fn run(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    let hint = retry_after(text, DateTime::from_timestamp(1_790_000_000, 0).unwrap());
    let backoff = Backoff { base: Duration::from_millis(100), max: Duration::from_secs(60) };
    let delay = backoff.delay(1, hint, &mut fastrand::Rng::with_seed(1));
    assert!(
        delay <= limits::RETRY_HINT_MAX && delay >= hint.unwrap_or_default().min(limits::RETRY_HINT_MAX),
        "{text:?}: {delay:?}"
    );
}
