//! What of a report an operator has to know first: the one place that says what is good and what is bad.

use bridge_ops::lag::report::{Lag, LagState, Report, Site, Worker};
use serde::Serialize;

use super::letters;
use crate::span::span;

/// A lag from which on a site is behind. Ours: ten times what the promise of "a second or two" leaves to doubt.
const LAG_WARN_SECONDS: f64 = 10.0;
/// As the alert has it (`runbooks/lag.md`).
const LAG_BAD_SECONDS: f64 = 30.0;
/// The oldest message of a queue that is being worked off is seconds old, and a minute after a burst; trouble is what the alert
/// has it to be (`runbooks/lag.md`).
const OLDEST_WARN_SECONDS: f64 = 60.0;
const OLDEST_BAD_SECONDS: f64 = 300.0;
/// A clock off by this much orders writes wrongly that people would take for concurrent; as the alert has it (`runbooks/clock-skew.md`).
const CLOCK_WARN_SECONDS: f64 = 6.0;
/// Half of what `clock_skew_max_seconds` allows by default, beyond which events are set aside.
const CLOCK_BAD_SECONDS: f64 = 30.0;
/// Heartbeats that a worker may be late by, as in the lag matrix, before it counts as late, and as silent.
const BEATS_WARN: f64 = 2.0;
const BEATS_BAD: f64 = 4.0;

/// How bad it is; the worst comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Level {
    /// Data is at risk, or a promise is not kept.
    Bad,
    /// It will be, if nobody looks.
    Warn,
    /// It cannot be seen, so nobody knows.
    Unknown,
}

/// One thing to know, and where on the page it shows.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(super) struct Finding {
    pub(super) level: Level,
    /// The figure that it is about: `lag/FROM/TO`, or a measure of a site as in `worker/SITE`.
    pub(super) place: String,
    pub(super) text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) detail: Option<String>,
    /// The page that tells what to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) runbook: Option<&'static str>,
}

/// Everything that is not well, the worst first. Empty: all is well.
pub(super) fn findings(report: &Report) -> Vec<Finding> {
    let mut findings: Vec<Finding> = report.sites.iter().flat_map(of_site).collect();
    findings.extend(report.lag.iter().filter_map(|lag| of_lag(lag, report)));
    findings.sort();
    findings
}

fn finding(level: Level, place: String, text: String, runbook: impl Into<Option<&'static str>>) -> Finding {
    Finding { level, place, text, detail: None, runbook: runbook.into() }
}

fn of_site(site: &Site) -> Vec<Finding> {
    let name = &site.site;
    let mut found = Vec::new();
    if site.unreachable || !site.trouble.is_empty() {
        let (level, text) = if site.unreachable {
            (Level::Bad, format!("{name} cannot be reached"))
        } else {
            (Level::Warn, format!("not all of {name} can be seen"))
        };
        let detail = Some(site.trouble.join("; "));
        found.push(Finding { detail, ..finding(level, format!("reach/{name}"), text, site_down(name)) });
    }
    match &site.worker {
        None => found.push(finding(
            Level::Unknown,
            format!("worker/{name}"),
            format!("the worker of {name} was never heard of"),
            "halted",
        )),
        Some(worker) => found.extend(of_worker(name, worker)),
    }
    let oldest = site.oldest_age_seconds.unwrap_or_default();
    if oldest >= OLDEST_WARN_SECONDS {
        let level = if oldest >= OLDEST_BAD_SECONDS { Level::Bad } else { Level::Warn };
        let text = format!("the oldest message at {name} has been waiting for {}", span(oldest));
        found.push(finding(level, format!("oldest_age/{name}"), text, "lag"));
    }
    found.extend(of_letters(site));
    found
}

fn of_worker(name: &str, worker: &Worker) -> Vec<Finding> {
    let mut found = Vec::new();
    if worker.age_seconds > worker.every_seconds * BEATS_WARN {
        let level = if worker.age_seconds > worker.every_seconds * BEATS_BAD { Level::Bad } else { Level::Warn };
        let text = format!("the worker of {name} was last heard {} ago", span(worker.age_seconds));
        found.push(finding(level, format!("worker/{name}"), text, "halted"));
    }
    for (peer, _) in worker.circuits.iter().filter(|(_, state)| *state != "closed") {
        let text = format!("{name} cannot reach {peer}: what it writes is set aside for {peer}");
        found.push(finding(Level::Warn, format!("circuits/{name}"), text, site_down(peer)));
    }
    let skew = worker.clock_skew_seconds.unwrap_or_default();
    if skew.abs() >= CLOCK_WARN_SECONDS {
        let level = if skew.abs() >= CLOCK_BAD_SECONDS { Level::Bad } else { Level::Warn };
        let direction = if skew > 0.0 { "ahead" } else { "behind" };
        let text = format!("the clock of the worker of {name} is {} {direction}", span(skew.abs()));
        found.push(finding(level, format!("clock/{name}"), text, "clock-skew"));
    }
    found
}

fn of_letters(site: &Site) -> Option<Finding> {
    let name = &site.site;
    let place = format!("dead_letters/{name}");
    let Some(letters) = &site.dead_letters else {
        let text = format!("the dead letters of {name} cannot be seen");
        return (!site.unreachable).then(|| finding(Level::Unknown, place, text, None));
    };
    if letters.messages == 0 {
        return None;
    }
    // What producers did wrong no site has, so the stores agree; everything else is owed to some site, and so is what a wrong clock of
    // a worker let through at one site alone.
    let owed = letters.by_reason.keys().any(|reason| !letters::is_producers(reason))
        || letters.owed_by_reason.values().any(|count| *count > 0);
    let level = if owed { Level::Bad } else { Level::Warn };
    let noun = if letters.messages == 1 { "dead letter" } else { "dead letters" };
    let text = format!("{} {noun} at {name}", letters.messages);
    let reasons: Vec<_> = letters.by_reason.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
    let detail = (!reasons.is_empty()).then(|| reasons.join(", "));
    Some(Finding { detail, ..finding(level, place, text, "dead-letters") })
}

fn of_lag(lag: &Lag, report: &Report) -> Option<Finding> {
    let (from, to) = (&lag.from, &lag.to);
    let site = |name: &str| report.sites.iter().find(|site| site.site == name);
    let (level, text) = match (lag.state, lag.seconds) {
        (LagState::Heard, Some(seconds)) if seconds >= LAG_WARN_SECONDS => {
            let level = if seconds >= LAG_BAD_SECONDS { Level::Bad } else { Level::Warn };
            (level, format!("{to} is {} behind {from}", span(seconds)))
        }
        (LagState::Heard, _) => return None,
        (LagState::Late, seconds) => {
            let behind =
                seconds.map(|seconds| format!(": it is at least {} behind", span(seconds))).unwrap_or_default();
            (Level::Warn, format!("a heartbeat of {from} is overdue at {to}{behind}"))
        }
        (LagState::Silent, _) => {
            let since = lag.age_seconds.map(|age| format!(" for {}", span(age))).unwrap_or_default();
            (Level::Bad, format!("nothing of {from} has come to {to}{since}"))
        }
        (LagState::Never, _) => (Level::Unknown, format!("no heartbeat of {from} was ever at {to}")),
        // Of a site that cannot be reached at all this is told once, and not for every way to it.
        (LagState::Unknown, _) if site(to).is_some_and(|site| site.unreachable) => return None,
        (LagState::Unknown, _) => (Level::Bad, format!("the store of {to} cannot be read")),
    };
    // Where a site is gone, its own runbook comes first.
    let gone = [from, to].into_iter().find(|name| site(name).is_some_and(|site| site.unreachable));
    let runbook = gone.map_or("lag", |name| site_down(name));
    Some(finding(level, format!("lag/{from}/{to}"), text, runbook))
}

/// The runbook of a site that is down.
fn site_down(site: &str) -> &'static str {
    if site.starts_with("aws:") { "aws-down" } else { "azure-down" }
}
