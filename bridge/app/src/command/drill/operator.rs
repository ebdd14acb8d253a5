//! What an operator does during an outage: the commands of the runbooks, by this very program, one after the other.

use std::{process::Stdio, time::Duration};

use anyhow::Context;
use bridge_adapters::clock::SystemClock;
use bridge_core::port::Clock;
use chrono::{DateTime, Utc};
use serde_json::Value;
use tokio::process::Command;

/// A command that was run.
#[derive(Clone, Debug)]
pub(super) struct Done {
    /// As a person would type it.
    pub(super) command: String,
    pub(super) at: DateTime<Utc>,
    pub(super) seconds: f64,
    /// None if it was ended because it took too long.
    pub(super) exit_code: Option<i32>,
    /// Its `--json`, if it printed any.
    pub(super) answer: Option<Value>,
    /// The last it said on standard error, if it failed.
    pub(super) complaint: Option<String>,
}

/// Runs commands of this program.
#[derive(Debug)]
pub(super) struct Operator {
    /// As this process got it.
    pub(super) config: Option<String>,
    pub(super) limit: Duration,
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
        let output = tokio::time::timeout(self.limit, command.output()).await;
        let seconds = (SystemClock.now() - at).as_seconds_f64();
        let line = format!("bridge {}", arguments.join(" "));
        let done = match output {
            Err(_) => {
                let complaint = Some(format!("ended after {:.0} s", self.limit.as_secs_f64()));
                Done { command: line, at, seconds, exit_code: None, answer: None, complaint }
            }
            Ok(output) => {
                let output = output.with_context(|| line.clone())?;
                let failed = !matches!(output.status.code(), Some(0 | 2));
                let said = String::from_utf8_lossy(&output.stderr);
                let complaint = said.lines().rev().find(|line| !line.trim().is_empty()).filter(|_| failed);
                Done {
                    command: line,
                    at,
                    seconds,
                    exit_code: output.status.code(),
                    answer: serde_json::from_slice(&output.stdout).ok(),
                    complaint: complaint.map(str::to_owned),
                }
            }
        };
        self.done.push(done.clone());
        Ok(done)
    }
}
