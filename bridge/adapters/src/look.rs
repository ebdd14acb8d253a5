//! One look at a setting, for a bounded time.

use std::time::Duration;

use bridge_core::failure::{FailureKind, PortError};
use bridge_ops::doctor::Look;

use crate::layer::guarded;

pub(crate) const LOOK: &str = "look";

/// What `read` saw at `at`, or that it took longer than `limit`.
pub(crate) async fn look<T>(at: String, limit: Duration, read: impl Future<Output = Result<T, PortError>>) -> Look<T> {
    let seen = within(&at, limit, read).await;
    Look { at, seen }
}

/// What `read` comes to, or that it took longer than `limit`.
pub(crate) async fn within<T>(
    at: &str,
    limit: Duration,
    read: impl Future<Output = Result<T, PortError>>,
) -> Result<T, PortError> {
    match tokio::time::timeout(limit, guarded(read)).await {
        Ok(seen) => seen.unwrap_or_else(|panic| Err(PortError::new(at, LOOK, panic))),
        Err(_) => {
            let silence = format!("no answer within {} s", limit.as_secs_f32());
            Err(PortError::new(at, LOOK, FailureKind::TimedOut).caused_by(silence))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_look_ends_with_its_limit() {
        let seen = look("a table".to_owned(), Duration::ZERO, async { Ok(7) }).await;
        assert_eq!(seen.seen.unwrap(), 7, "an answer that is there wins");
        let silent = look::<()>("a table".to_owned(), Duration::from_millis(10), std::future::pending()).await;
        let error = silent.seen.unwrap_err().chain();
        assert_eq!(error, "a table: look failed: timed out: no answer within 0.01 s");
        let panics = look::<()>("a table".to_owned(), Duration::from_secs(10), async { panic!("bad header") }).await;
        assert_eq!(panics.seen.unwrap_err().to_string(), "a table: look failed: the SDK panicked: bad header");
    }
}
