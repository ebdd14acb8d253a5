//! A bound on every call: a call that has not answered by then has `TimedOut`, and may have happened nevertheless.
//!
//! Adapters bound their own requests; this bounds their sum, and whatever has no bound.

use std::{sync::Arc, time::Duration};

use bridge_core::{
    failure::{FailureKind, PortError},
    port::{Clock, within},
};

use super::layered::{Answers, Call, Layer, OnMany};

/// Ends each call in time.
#[derive(Debug)]
pub struct Timeout {
    clock: Arc<dyn Clock>,
    bound: Duration,
}

impl Timeout {
    /// Bounds each call to `bound`, and a receive to its own wait and `bound`.
    pub fn new(clock: Arc<dyn Clock>, bound: Duration) -> Self {
        Self { clock, bound }
    }
}

impl Layer for Timeout {
    async fn one<T: Send>(
        &self,
        call: Call<'_>,
        running: impl Future<Output = Result<T, PortError>> + Send,
        _: impl Fn(&T) -> usize + Send,
    ) -> Result<T, PortError> {
        let answer = within(&*self.clock, call.wait.saturating_add(self.bound), running).await;
        answer.unwrap_or_else(|| Err(call.failed(FailureKind::TimedOut)))
    }

    async fn many<P: ?Sized + Sync, I: Clone + Send + Sync, A: Send>(
        &self,
        call: Call<'_>,
        port: &P,
        items: &[I],
        run: OnMany<P, I, A>,
    ) -> Answers<A> {
        let answers = within(&*self.clock, self.bound, run(port, items)).await;
        answers.unwrap_or_else(|| items.iter().map(|_| Err(call.failed(FailureKind::TimedOut))).collect())
    }
}
