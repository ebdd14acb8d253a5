//! What an operator does during an outage: the commands of the runbooks, by this very program, one after the other.

use std::{collections::BTreeSet, path::Path, process::Stdio, time::Duration};

use anyhow::{Context, bail};
use bridge_adapters::clock::SystemClock;
use bridge_core::{event::SiteId, port::Clock, property::rfc3339};
use chrono::{DateTime, Utc};
use serde_json::Value;
use tokio::{process::Command, time::sleep};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::course::Drill;

/// How long a command may take. Ours: reading stores of millions of keys from end to end takes many minutes.
const LIMIT: Duration = Duration::from_secs(3_600);

/// Looks at the queues in the end, and the pause between two. Ours: no heartbeat is on its way for so long.
const LOOKS: usize = 5;
const LOOK_PAUSE: Duration = Duration::from_millis(300);

/// A command that was run.
#[derive(Clone, Debug)]
pub(super) struct Done {
    /// As a person would type it.
    pub(super) command: String,
    pub(super) at: DateTime<Utc>,
    pub(super) seconds: f64,
    /// None if it was ended before its end, or not begun.
    pub(super) exit_code: Option<i32>,
    /// Its `--json`, if it printed any.
    pub(super) answer: Option<Value>,
    /// Why it failed, if it did: the last that it said.
    pub(super) complaint: Option<String>,
}

impl Done {
    /// How a replay ended, in a line.
    fn outcome(&self) -> String {
        if let Some(complaint) = &self.complaint {
            return complaint.clone();
        }
        let all = self.answer.as_ref().map(|answer| &answer["all"]);
        let count = |name: &str| all.and_then(|all| all[name].as_u64()).filter(|count| *count > 0);
        let names = ["sent", "applied", "superseded", "duplicate", "kept", "left"];
        let counts = names.iter().filter_map(|name| Some(format!("{} {name}", count(name)?)));
        let text = counts.collect::<Vec<_>>().join(", ");
        if text.is_empty() { "nothing to bring".to_owned() } else { text }
    }
}

/// Runs commands of this program.
#[derive(Debug)]
pub(super) struct Operator {
    /// As this process got it.
    pub(super) config: Option<String>,
    /// Ends a command that is under way: all of them can be killed at any moment.
    pub(super) stop: CancellationToken,
    pub(super) done: Vec<Done>,
}

impl Operator {
    /// Runs one, and keeps what came of it.
    pub(super) async fn run(&mut self, arguments: &[&str]) -> anyhow::Result<Done> {
        let at = SystemClock.now();
        let mut command = Command::new(std::env::current_exe().context("this program's own file")?);
        command.args(arguments).arg("--json").stdin(Stdio::null()).kill_on_drop(true);
        if let Some(config) = &self.config {
            command.env("BRIDGE_CONFIG", config);
        }
        let output = tokio::select! {
            output = command.output() => output,
            () = sleep(LIMIT) => Err(std::io::Error::other(format!("ended after {} s", LIMIT.as_secs()))),
            () = self.stop.cancelled() => Err(std::io::Error::other(super::STOPPED)),
        };
        let seconds = (SystemClock.now() - at).as_seconds_f64();
        let line = format!("bridge {}", arguments.join(" "));
        let mut done = Done { command: line, at, seconds, exit_code: None, answer: None, complaint: None };
        match output {
            Err(error) => done.complaint = Some(error.to_string()),
            Ok(output) => {
                let said = String::from_utf8_lossy(&output.stderr);
                let failed = !matches!(output.status.code(), Some(0 | 2));
                let complaint = said.lines().rev().find(|line| !line.trim().is_empty()).filter(|_| failed);
                done.exit_code = output.status.code();
                done.answer = serde_json::from_slice(&output.stdout).ok();
                done.complaint = complaint.map(str::to_owned);
            }
        }
        self.done.push(done.clone());
        Ok(done)
    }
}

impl Drill<'_> {
    /// What is missing of the failed site is brought to the others, if its queue can be read.
    pub(super) async fn fail_over(&mut self, site: &SiteId) -> anyhow::Result<()> {
        if self.args.by_hand {
            return Ok(());
        }
        let report = self.observer.glance().await;
        let waiting = report.sites.iter().find(|one| one.site == site.as_str()).and_then(|one| one.backlog_messages);
        if waiting.is_none_or(|messages| messages == 0) {
            return Ok(());
        }
        for survivor in self.sites.clone().iter().filter(|one| *one != site) {
            let (from, to) = (format!("{site}/queue"), format!("{survivor}/store"));
            let done = self.operator.run(&["replay", "--from", &from, "--to", &to, "--yes"]).await?;
            self.say_done(&done);
        }
        Ok(())
    }

    /// Letters that were written since the drill began go to whom they are owed.
    pub(super) async fn replay_letters(&mut self) -> anyhow::Result<()> {
        let report = self.observer.glance().await;
        let since = rfc3339(self.began_at);
        for site in report.sites {
            if site.dead_letters.is_none_or(|letters| letters.messages == 0) {
                continue;
            }
            let from = format!("{}/dlq", site.site);
            let done =
                self.operator.run(&["replay", "--from", &from, "--to", "owed", "--since", &since, "--yes"]).await?;
            self.say_done(&done);
        }
        Ok(())
    }

    /// The events that dead letters hold.
    pub(super) async fn letters(&mut self, folder: &Path) -> anyhow::Result<BTreeSet<Uuid>> {
        let mut events = BTreeSet::new();
        for (number, site) in self.sites.clone().into_iter().enumerate() {
            let (from, file) = (format!("{site}/dlq"), folder.join(format!("{number}.plan")));
            let plan = file.display().to_string();
            let done =
                self.operator.run(&["replay", "--from", &from, "--to", "owed", "--dry-run", "--plan", &plan]).await?;
            if done.exit_code != Some(0) {
                bail!("the dead letters of {site} cannot be listed: {}", done.complaint.unwrap_or_default());
            }
            let lines = std::fs::read_to_string(&file).with_context(|| plan.clone())?;
            let event = |line: &str| {
                let entry: serde_json::Value = serde_json::from_str(line).ok()?;
                entry["event_id"].as_str()?.parse::<Uuid>().ok()
            };
            events.extend(lines.lines().filter_map(event));
        }
        Ok(events)
    }

    /// Messages that lie in the queues of all sites: the least of some looks, as heartbeats come and go. A queue that cannot be
    /// looked at may hold some.
    pub(super) async fn queued(&self) -> u64 {
        let mut least = u64::MAX;
        for _ in 0..LOOKS {
            let report = self.observer.glance().await;
            least = least.min(report.sites.iter().map(|site| site.queued().unwrap_or(1)).sum());
            sleep(LOOK_PAUSE).await;
        }
        least
    }

    fn say_done(&mut self, done: &Done) {
        self.say(format!("{}: {}", done.command, done.outcome()));
    }
}
