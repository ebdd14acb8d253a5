//! Runs the automatic replay: all the time in a container, with each heartbeat in a function.

use std::time::Duration;

use bridge_core::failure::PortError;
use bridge_ops::replay::{auto::Tell, owed::Passed, run::End};
use tokio_util::sync::CancellationToken;

use crate::assemble::{Owed, Worksite};

/// Runs it until `stop`.
pub(crate) async fn watch(worksite: &Worksite, stop: &CancellationToken) {
    if let Some(owed) = &worksite.owed {
        owed.auto(&worksite.worker, &Log(worksite, owed)).watch(stop.cancelled()).await;
    }
}

/// Runs it once, for at most `time`. One call of a process at a time.
pub(crate) async fn once(worksite: &Worksite, time: Duration) {
    let Some(owed) = worksite.owed.as_ref().filter(|_| !time.is_zero()) else { return };
    if let Ok(mut known) = owed.known.try_lock() {
        owed.auto(&worksite.worker, &Log(worksite, owed)).once(&mut known, time).await;
    }
}

/// One line when letters begin to go, one when a pass is over; and how far it is, for the worker's state.
struct Log<'a>(&'a Worksite, &'a Owed);

impl Tell for Log<'_> {
    fn begins(&self) {
        self.1.bringing.begins(self.0.worker.clock.now());
        tracing::info!("bringing what dead letters owe to sites that answer again");
    }

    fn progresses(&self, letters: usize) {
        self.1.bringing.goes_on(letters);
    }

    fn ends(&self, passed: Option<&Passed>) {
        self.1.bringing.ends();
        let Some(passed) = passed else {
            tracing::info!("stopped bringing what dead letters owe: another pass goes on with it");
            return;
        };
        let Passed { brought, left, .. } = *passed;
        let failed =
            passed.failures.iter().map(|(what, error)| format!("{what}: {error}")).collect::<Vec<_>>().join("; ");
        let why = match &passed.end {
            End::Finished => "all was seen".to_owned(),
            End::Stopped => "stopped".to_owned(),
            End::Dark(_) => "no peer answers".to_owned(),
            End::Source(error) => error.chain(),
            End::Journal(error) => error.to_string(),
            End::Crowded(_) => "other letters are in the way; see runbooks/dead-letters.md".to_owned(),
        };
        tracing::info!(brought, left, why, failed, "brought what dead letters owed");
    }

    fn no_lease(&self, error: &PortError) {
        tracing::debug!(error = error.chain(), "the store does not say which worker brings what is owed");
    }
}
