//! Hosts: deliveries in, settlements out. They hold no decisions.

mod beat;
pub(crate) mod container;
pub(crate) mod function;
pub(crate) mod lambda;
mod owed;
pub(crate) mod own_queue;
mod queues;
pub(crate) mod state;

use std::{
    ffi::OsString,
    path::Path,
    time::{Duration, Instant},
};

use bridge_core::{
    conflict::Conflict,
    failure::PortError,
    heartbeat,
    port::Delivery,
    worker::{Verdict, Worker},
};
use futures_util::future;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{assemble::Worksite, exit::Misuse};

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
    ///
    /// # Errors
    /// A host's variables that no host sets so.
    pub(crate) fn of(environment: impl Fn(&str) -> Option<OsString>) -> Result<Option<Self>, Misuse> {
        if environment(lambda::RUNTIME_API).is_some() {
            lambda::check_environment(&environment)?;
            return Ok(Some(Self::Lambda));
        }
        if environment(HANDLER_PORT).is_none() {
            return Ok(None);
        }
        let is_port = |text: &str| text.parse().ok().filter(|port| *port != 0);
        let port = variable(&environment, "Azure Functions", HANDLER_PORT, "a port, from 1 to 65535", is_port)?;
        Ok(Some(Self::Azure { port }))
    }
}

/// The configuration in a function's package, where `just package --config FILE` puts it. Both clouds start a function in its package's folder.
pub(crate) fn packaged_config() -> Option<String> {
    Path::new(PACKAGED_CONFIG).is_file().then(|| PACKAGED_CONFIG.to_owned())
}

/// `deploy/package.py` has the same name.
const PACKAGED_CONFIG: &str = "bridge.toml";

/// Names the port to serve in the environment of a custom handler.
const HANDLER_PORT: &str = "FUNCTIONS_CUSTOMHANDLER_PORT";

/// A variable that `host` sets in the environment of every process that it starts; `read` makes a value of it, which is `what`.
fn variable<T>(
    environment: &impl Fn(&str) -> Option<OsString>,
    host: &str,
    name: &str,
    what: &str,
    read: impl Fn(&str) -> Option<T>,
) -> Result<T, Misuse> {
    let value = environment(name);
    value.as_ref().and_then(|value| value.to_str()).and_then(read).ok_or_else(|| {
        let is = value.map_or_else(|| "is not set".to_owned(), |value| format!("is {:?}", value.to_string_lossy()));
        Misuse(format!(
            "{name} {is}, and {host} sets it to {what}: give a command, such as `bridge run`, or let {host} start this process"
        ))
    })
}

/// Sends the site's heartbeat into its own queue.
pub(crate) async fn send_heartbeat(worksite: &Worksite) -> Result<(), PortError> {
    let worker = &worksite.worker;
    let status = worksite.tally.status(worker);
    let (site, now) = (&worker.rules.site, worker.clock.now());
    let message = heartbeat::message(site, Uuid::now_v7(), worker.fresh_id(), now, &status);
    worksite.queue.send(&[message]).await.pop().unwrap_or(Ok(()))
}

/// Sends the heartbeat of a function, which may be a process' first and last work, and brings what letters owe in the `time` that is left.
async fn send_one_heartbeat(worksite: &Worksite, time: Duration) -> Result<(), PortError> {
    let end = Instant::now() + time;
    for _ in 0..CLOCK_LOOKS {
        if worksite.tally.doubts_clock() {
            worksite.tally.look_at_clock(&worksite.worker).await;
        }
    }
    let sent = send_heartbeat(worksite).await;
    queues::look(worksite).await;
    owed::once(worksite, end.saturating_duration_since(Instant::now())).await;
    sent
}

/// Looks at the service's clock before a function's heartbeat. Ours: one opens the connection, the other leaves a quarter of
/// a second of doubt, and a function is paid by its time.
const CLOCK_LOOKS: usize = 2;

/// How long a function brings what letters owe with one heartbeat. Ours: its schedule calls it every minute, and an Azure Function has five minutes.
const BRING_MAX: Duration = Duration::from_secs(40);

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
    worksite.links.look(concluded.iter().map(|(_, verdict)| *verdict), &worker.peers, worker.clock.now());
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
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    #[test]
    fn the_environment_names_the_host() {
        let of = |variables: &[(&str, &str)]| {
            Function::of(|name| variables.iter().find(|(one, _)| *one == name).map(|(_, value)| (*value).into()))
        };
        assert_eq!(of(&[]).unwrap(), None);
        assert_eq!(of(&LAMBDA).unwrap(), Some(Function::Lambda));
        assert_eq!(of(&[("FUNCTIONS_CUSTOMHANDLER_PORT", "7071")]).unwrap(), Some(Function::Azure { port: 7071 }));
    }

    const LAMBDA: [(&str, &str); 4] = [
        ("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:9001"),
        ("AWS_LAMBDA_FUNCTION_NAME", "bridge"),
        ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256"),
    ];

    /// The runtime's client would panic.
    #[test]
    fn a_variable_that_no_host_sets_so_is_refused_by_name() {
        let not_utf8 = || OsString::from_vec(b"a\xff".to_vec());
        let refused = |variables: &[(&str, OsString)]| {
            let find = |name: &str| variables.iter().find(|(one, _)| *one == name).map(|(_, value)| value.clone());
            Function::of(find).unwrap_err().to_string()
        };
        for (wrong, values) in [
            ("AWS_LAMBDA_RUNTIME_API", &["", "no host", "127.0.0.1", "127.0.0.1:99999", "http://127.0.0.1:9001/x"][..]),
            ("AWS_LAMBDA_FUNCTION_NAME", &[""]),
            ("AWS_LAMBDA_FUNCTION_VERSION", &[""]),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", &["", "much", "-1", "0", "99999999999"]),
        ] {
            let with = |value: Option<OsString>| -> Vec<(&str, OsString)> {
                let others =
                    LAMBDA.iter().filter(|(name, _)| *name != wrong).map(|(name, value)| (*name, value.into()));
                others.chain(value.map(|value| (wrong, value))).collect()
            };
            let values = values.iter().map(|value| Some(OsString::from(value))).chain([Some(not_utf8())]);
            let missing = (wrong != "AWS_LAMBDA_RUNTIME_API").then_some(None);
            for value in values.chain(missing) {
                let error = refused(&with(value.clone()));
                assert!(
                    error.starts_with(&format!("{wrong} is ")) && error.contains("AWS Lambda"),
                    "{value:?}: {error}"
                );
            }
        }
        for port in ["", "none", "0", "-1", "65536", " 7071"] {
            let error = refused(&[("FUNCTIONS_CUSTOMHANDLER_PORT", port.into())]);
            assert!(error.starts_with(&format!("FUNCTIONS_CUSTOMHANDLER_PORT is {port:?}")), "{error}");
        }
        refused(&[("FUNCTIONS_CUSTOMHANDLER_PORT", not_utf8())]);
    }
}
