//! Hosts: deliveries in, settlements out. They hold no decisions.

pub(crate) mod container;
pub(crate) mod function;
pub(crate) mod lambda;
pub(crate) mod own_queue;

use std::ffi::OsString;

use bridge_core::{
    conflict::Conflict,
    failure::PortError,
    heartbeat,
    pipeline::{Verdict, Worker},
    port::Delivery,
};
use futures_util::future;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{assemble::Worksite, telemetry::queues};

/// A host that starts the bridge without a command, and says so in the environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Function {
    /// AWS Lambda.
    Lambda,
    /// Azure Functions, with the port to serve.
    Azure {
        /// On loopback.
        port: u16,
    },
}

impl Function {
    /// The host that this process was started by, if any.
    pub(crate) fn of(environment: impl Fn(&str) -> Option<OsString>) -> Option<Self> {
        if environment(lambda::RUNTIME_API).is_some() {
            return Some(Self::Lambda);
        }
        let port = environment("FUNCTIONS_CUSTOMHANDLER_PORT")?.to_str()?.parse().ok()?;
        Some(Self::Azure { port })
    }
}

/// Sends the site's heartbeat into its own queue.
pub(crate) async fn send_heartbeat(worksite: &Worksite) -> Result<(), PortError> {
    let worker = &worksite.worker;
    let status = worksite.tally.status(worker);
    let (site, now) = (&worker.rules.site, worker.clock.now());
    let message = heartbeat::message(site, Uuid::now_v7(), worker.fresh_id(), now, &status);
    worksite.queue.send(&[message]).await.pop().unwrap_or(Ok(()))
}

/// Sends the heartbeat of a function, which may be a process' first and last work.
async fn send_one_heartbeat(worksite: &Worksite) -> Result<(), PortError> {
    for _ in 0..CLOCK_LOOKS {
        if worksite.tally.doubts_clock() {
            worksite.tally.look_at_clock(&worksite.worker).await;
        }
    }
    let sent = send_heartbeat(worksite).await;
    queues::look(worksite).await;
    sent
}

/// Looks at the service's clock before a function's heartbeat. Ours: one opens the connection, the other leaves a quarter of
/// a second of doubt, and a function is paid by its time.
const CLOCK_LOOKS: usize = 2;

/// Tells of what was concluded: in counts, measurements, lines and spans; and keeps conflicts if that is wanted.
async fn tell<'a>(worksite: &Worksite, concluded: impl Iterator<Item = (&'a Delivery, &'a Verdict)>) {
    let concluded: Vec<_> = concluded.collect();
    let mut conflicts = Vec::new();
    for (_, verdict) in &concluded {
        let conflict = Conflict::of(verdict);
        worksite.tally.count(verdict, conflict.as_ref());
        conflicts.extend(conflict);
    }
    let worker = &worksite.worker;
    worksite.telemetry.concluded(&concluded, &worker.peers, worksite.tally.skew(), worker.clock.now());
    if worksite.keep_conflicts {
        let Worker { rules, store, clock, .. } = &worksite.worker;
        let records: Vec<_> = conflicts.iter().map(|one| one.record(&rules.site, clock.now())).collect();
        let kept = future::join_all(records.iter().map(|record| store.put_if_newer(record))).await;
        if let Some(error) = kept.into_iter().find_map(Result::err) {
            tracing::warn!(error = error.chain(), "a conflict was counted and not kept in the ledger");
        }
    }
}

/// A token that is cancelled by Ctrl-C, a termination signal or a terminal that has gone away; a second signal ends the process at
/// once.
pub(crate) fn stop_signal() -> anyhow::Result<CancellationToken> {
    use tokio::signal::unix::{SignalKind, signal};
    let stop = CancellationToken::new();
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let mut hangup = if ignores_hangup() { None } else { Some(signal(SignalKind::hangup())?) };
    let token = stop.clone();
    tokio::spawn(async move {
        let mut next = async || {
            let gone = async {
                match &mut hangup {
                    Some(hangup) => drop(hangup.recv().await),
                    None => future::pending().await,
                }
            };
            tokio::select! { _ = interrupt.recv() => 130, _ = terminate.recv() => 143, () = gone => 129 }
        };
        next().await;
        token.cancel();
        let code = next().await;
        std::process::exit(code);
    });
    Ok(stop)
}

/// Whether this process was started to outlive its terminal, as `nohup` does. Where the system does not say so it was not.
fn ignores_hangup() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    // The signal of number 1 is the lowest bit.
    ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_names_the_host() {
        let of = |variables: &[(&str, &str)]| {
            Function::of(|name| variables.iter().find(|(one, _)| *one == name).map(|(_, value)| (*value).into()))
        };
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:9001")]), Some(Function::Lambda));
        assert_eq!(of(&[("FUNCTIONS_CUSTOMHANDLER_PORT", "7071")]), Some(Function::Azure { port: 7071 }));
        assert_eq!(of(&[("FUNCTIONS_CUSTOMHANDLER_PORT", "none")]), None);
    }
}
