//! What of a report an operator has to know first: the one place that says what is good and what is bad.

use super::{
    reasons,
    report::{Finding, Lag, LagState, Level, Site, Worker},
};
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

/// Everything that is not well, the worst first. Empty: all is well.
pub(super) fn findings(sites: &[Site], lag: &[Lag]) -> Vec<Finding> {
    let mut findings: Vec<Finding> = sites.iter().flat_map(of_site).collect();
    findings.extend(lag.iter().filter_map(|lag| of_lag(lag, sites)));
    findings.sort();
    findings
}

fn finding(
    level: Level,
    measure: &str,
    site: &str,
    text: String,
    next: String,
    runbook: impl Into<Option<&'static str>>,
) -> Finding {
    Finding {
        level,
        place: format!("{measure}/{site}"),
        site: site.to_owned(),
        text,
        detail: None,
        next,
        runbook: runbook.into().map(str::to_owned),
    }
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
        found.push(Finding { detail, ..finding(level, "reach", name, text, doctor(name), site_down(name)) });
    }
    match &site.worker {
        None => {
            let text = format!("the worker of {name} was never heard of");
            found.push(finding(Level::Unknown, "worker", name, text, start(name), "halted"));
        }
        Some(worker) => found.extend(of_worker(name, worker)),
    }
    found.extend(of_queue(site));
    found.extend(of_letters(site));
    found
}

fn of_worker(name: &str, worker: &Worker) -> Vec<Finding> {
    let mut found = Vec::new();
    if worker.age_seconds > worker.every_seconds * BEATS_WARN {
        let level = if worker.age_seconds > worker.every_seconds * BEATS_BAD { Level::Bad } else { Level::Warn };
        let text = format!("the worker of {name} was last heard {} ago", span(worker.age_seconds));
        found.push(finding(level, "worker", name, text, start(name), "halted"));
    }
    for (peer, _) in worker.circuits.iter().filter(|(_, state)| *state != "closed") {
        let text = format!("{name} cannot reach {peer}: what it writes is set aside for {peer}");
        let next = format!("when {peer} answers again: bridge replay --from {name}/dlq --to owed");
        found.push(finding(Level::Warn, "circuits", name, text, next, site_down(peer)));
    }
    let skew = worker.clock_skew_seconds.unwrap_or_default();
    if skew.abs() >= CLOCK_WARN_SECONDS {
        let level = if skew.abs() >= CLOCK_BAD_SECONDS { Level::Bad } else { Level::Warn };
        let direction = if skew > 0.0 { "ahead" } else { "behind" };
        let text = format!("the clock of the worker of {name} is {} {direction}", span(skew.abs()));
        let next = format!("correct the clock of the machine of {name}'s worker");
        found.push(finding(level, "clock", name, text, next, "clock-skew"));
    }
    found
}

/// Messages that back off are not applied yet, however well everything looks beside them.
fn of_queue(site: &Site) -> Vec<Finding> {
    let name = &site.site;
    let next = || format!("see whether it shrinks: bridge lag --watch; if not: {}", doctor(name));
    let mut found = Vec::new();
    let delayed = site.delayed_messages.unwrap_or_default();
    if delayed > 0 {
        let wait = if delayed == 1 { "message waits" } else { "messages wait" };
        let text = format!("{delayed} {wait} at {name} for a later time, as for a retry");
        found.push(finding(Level::Warn, "delayed", name, text, next(), "lag"));
    }
    let oldest = site.oldest_age_seconds.unwrap_or_default();
    if oldest >= OLDEST_WARN_SECONDS {
        let level = if oldest >= OLDEST_BAD_SECONDS { Level::Bad } else { Level::Warn };
        let text = format!("the oldest message at {name} has been waiting for {}", span(oldest));
        found.push(finding(level, "oldest_age", name, text, next(), "lag"));
    }
    found
}

fn of_letters(site: &Site) -> Option<Finding> {
    let name = &site.site;
    let Some(letters) = &site.dead_letters else {
        let text = format!("the dead letters of {name} cannot be seen");
        return (!site.unreachable).then(|| finding(Level::Unknown, "dead_letters", name, text, doctor(name), None));
    };
    if letters.messages == 0 {
        return None;
    }
    // What producers did wrong no site has, so the stores agree; everything else is owed to some site, and so is what a wrong clock of
    // a worker let through at one site alone.
    let owed = letters.by_reason.keys().any(|reason| !reasons::is_producers(reason))
        || letters.owed_by_reason.values().any(|count| *count > 0);
    let level = if owed { Level::Bad } else { Level::Warn };
    let noun = if letters.messages == 1 { "dead letter" } else { "dead letters" };
    let text = format!("{} {noun} at {name}", letters.messages);
    let reasons: Vec<_> = letters.by_reason.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
    let detail = (!reasons.is_empty()).then(|| reasons.join(", "));
    let next = format!("bridge replay --from {name}/dlq --to owed --dry-run");
    Some(Finding { detail, ..finding(level, "dead_letters", name, text, next, "dead-letters") })
}

fn of_lag(lag: &Lag, sites: &[Site]) -> Option<Finding> {
    let (from, to) = (&lag.from, &lag.to);
    let gone = |name: &str| sites.iter().any(|site| site.site == name && site.unreachable);
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
        (LagState::Unknown, _) if gone(to) => return None,
        (LagState::Unknown, _) => (Level::Bad, format!("the store of {to} cannot be read")),
    };
    // Where a site is gone, its own runbook comes first.
    let gone = [from, to].into_iter().find(|name| gone(name));
    let (next, runbook) = gone.map_or(("bridge doctor".to_owned(), "lag"), |name| (doctor(name), site_down(name)));
    Some(finding(level, &format!("lag/{from}"), to, text, next, runbook))
}

/// The runbook of a site that is down.
fn site_down(site: &str) -> &'static str {
    if site.starts_with("aws:") { "aws-down" } else { "azure-down" }
}

fn doctor(site: &str) -> String {
    format!("bridge doctor --site {site}")
}

fn start(site: &str) -> String {
    format!("see whether the worker of {site} runs, and its log; then: {}", doctor(site))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lag::report::{DeadLetters, RecoveryPoint, Report};

    const HERE: &str = "aws:us-east-1";
    const THERE: &str = "azure:westeurope";

    /// A site with which all is well.
    fn site(name: &str, peer: &str) -> Site {
        Site {
            site: name.to_owned(),
            unreachable: false,
            trouble: Vec::new(),
            backlog_messages: Some(0),
            in_flight_messages: Some(0),
            delayed_messages: Some(0),
            oldest_age_seconds: None,
            dead_letters: Some(DeadLetters::default()),
            worker: Some(Worker {
                heard_at: "2026-11-21T01:02:00Z".to_owned(),
                age_seconds: 3.0,
                every_seconds: 30.0,
                instance: "one".to_owned(),
                clock_skew_seconds: Some(0.02),
                circuits: [(peer.to_owned(), "closed".to_owned())].into(),
                events: [].into(),
                conflicts: 0,
            }),
            recovery_point: RecoveryPoint { events: Some(0), seconds: Some(0.04) },
        }
    }

    fn way(from: &str, to: &str) -> Lag {
        Lag {
            from: from.to_owned(),
            to: to.to_owned(),
            state: LagState::Heard,
            seconds: Some(0.041),
            heard_at: Some("2026-11-21T01:02:00Z".to_owned()),
            age_seconds: Some(3.0),
        }
    }

    /// A report with which all is well.
    fn report() -> Report {
        Report {
            sites: vec![site(HERE, THERE), site(THERE, HERE)],
            lag: vec![way(HERE, THERE), way(THERE, HERE)],
            ..Report::default()
        }
    }

    /// Everything that is found once `change` was made to a good report.
    fn all_found(change: impl FnOnce(&mut Report)) -> Vec<Finding> {
        let mut report = report();
        change(&mut report);
        findings(&report.sites, &report.lag)
    }

    /// Level, place and runbook of it.
    fn found(change: impl FnOnce(&mut Report)) -> Vec<(Level, String, Option<String>)> {
        all_found(change).into_iter().map(|finding| (finding.level, finding.place, finding.runbook)).collect()
    }

    fn worker(report: &mut Report) -> &mut Worker {
        report.sites[0].worker.as_mut().unwrap()
    }

    #[test]
    fn nothing_is_found_where_all_is_well() {
        assert_eq!(found(|_| {}), []);
    }

    #[test]
    fn each_trouble_is_found_where_it_shows_and_with_its_runbook() {
        type Change = fn(&mut Report);
        let cases: [(Change, Level, &str, Option<&str>); 21] = [
            (
                |r| r.sites[0].trouble = vec!["table: denied".into()],
                Level::Warn,
                "reach/aws:us-east-1",
                Some("aws-down"),
            ),
            (|r| r.sites[0].worker = None, Level::Unknown, "worker/aws:us-east-1", Some("halted")),
            (|r| worker(r).age_seconds = 61.0, Level::Warn, "worker/aws:us-east-1", Some("halted")),
            (|r| worker(r).age_seconds = 121.0, Level::Bad, "worker/aws:us-east-1", Some("halted")),
            (
                |r| *worker(r).circuits.get_mut(THERE).unwrap() = "open".into(),
                Level::Warn,
                "circuits/aws:us-east-1",
                Some("azure-down"),
            ),
            (|r| worker(r).clock_skew_seconds = Some(-6.0), Level::Warn, "clock/aws:us-east-1", Some("clock-skew")),
            (|r| worker(r).clock_skew_seconds = Some(31.0), Level::Bad, "clock/aws:us-east-1", Some("clock-skew")),
            (|r| r.sites[0].delayed_messages = Some(1), Level::Warn, "delayed/aws:us-east-1", Some("lag")),
            (|r| r.sites[0].oldest_age_seconds = Some(60.0), Level::Warn, "oldest_age/aws:us-east-1", Some("lag")),
            (|r| r.sites[0].oldest_age_seconds = Some(300.0), Level::Bad, "oldest_age/aws:us-east-1", Some("lag")),
            (|r| r.sites[0].dead_letters = None, Level::Unknown, "dead_letters/aws:us-east-1", None),
            (|r| letters(r, "peer_unavailable"), Level::Bad, "dead_letters/aws:us-east-1", Some("dead-letters")),
            (|r| letters(r, "not_json"), Level::Warn, "dead_letters/aws:us-east-1", Some("dead-letters")),
            (|r| letters(r, "clock_skew"), Level::Warn, "dead_letters/aws:us-east-1", Some("dead-letters")),
            (|r| owed(r, "clock_skew"), Level::Bad, "dead_letters/aws:us-east-1", Some("dead-letters")),
            (|r| r.lag[0].seconds = Some(10.0), Level::Warn, "lag/aws:us-east-1/azure:westeurope", Some("lag")),
            (|r| r.lag[0].seconds = Some(30.0), Level::Bad, "lag/aws:us-east-1/azure:westeurope", Some("lag")),
            (|r| r.lag[1].state = LagState::Unknown, Level::Bad, "lag/azure:westeurope/aws:us-east-1", Some("lag")),
            (|r| r.lag[0].state = LagState::Late, Level::Warn, "lag/aws:us-east-1/azure:westeurope", Some("lag")),
            (|r| r.lag[0].state = LagState::Silent, Level::Bad, "lag/aws:us-east-1/azure:westeurope", Some("lag")),
            (|r| r.lag[0].state = LagState::Never, Level::Unknown, "lag/aws:us-east-1/azure:westeurope", Some("lag")),
        ];
        for (change, level, place, runbook) in cases {
            assert_eq!(found(change), [(level, place.to_owned(), runbook.map(str::to_owned))]);
        }
    }

    fn letters(report: &mut Report, reason: &str) {
        let by_reason = [(reason.to_owned(), 5)].into();
        report.sites[0].dead_letters = Some(DeadLetters { messages: 5, by_reason, ..DeadLetters::default() });
    }

    /// One of the five is owed to a site.
    fn owed(report: &mut Report, reason: &str) {
        letters(report, reason);
        let owed_by_reason = [(reason.to_owned(), 1)].into();
        let letters = report.sites[0].dead_letters.take().unwrap();
        report.sites[0].dead_letters = Some(DeadLetters { owed_by_reason, ..letters });
    }

    #[test]
    fn a_site_that_is_gone_is_told_once_and_first() {
        let all = found(|report| {
            let gone = &mut report.sites[1];
            (gone.unreachable, gone.dead_letters, gone.backlog_messages) = (true, None, None);
            report.lag[0] = Lag { state: LagState::Unknown, seconds: None, ..way(HERE, THERE) };
            *worker(report).circuits.get_mut(THERE).unwrap() = "open".into();
        });
        let places: Vec<_> = all.iter().map(|(level, place, _)| (*level, place.as_str())).collect();
        assert_eq!(places, [(Level::Bad, "reach/azure:westeurope"), (Level::Warn, "circuits/aws:us-east-1")]);
    }

    #[test]
    fn where_a_site_is_gone_silence_leads_to_its_runbook() {
        let all = found(|report| {
            report.sites[0].unreachable = true;
            report.lag[0].state = LagState::Silent;
        });
        let runbooks: Vec<_> =
            all.iter().map(|(_, place, runbook)| (place.as_str(), runbook.as_deref().unwrap())).collect();
        assert_eq!(runbooks, [("lag/aws:us-east-1/azure:westeurope", "aws-down"), ("reach/aws:us-east-1", "aws-down")]);
    }

    /// A person who reads only the finding knows which site it is, and what to type.
    #[test]
    fn each_finding_says_its_site_and_the_next_step() {
        type Change = fn(&mut Report);
        let cases: [(Change, &str, &str, &str); 7] = [
            (
                |r| r.sites[0].unreachable = true,
                HERE,
                "aws:us-east-1 cannot be reached",
                "bridge doctor --site aws:us-east-1",
            ),
            (
                |r| r.sites[1].delayed_messages = Some(752),
                THERE,
                "752 messages wait at azure:westeurope for a later time, as for a retry",
                "see whether it shrinks: bridge lag --watch; if not: bridge doctor --site azure:westeurope",
            ),
            (
                |r| r.sites[0].oldest_age_seconds = Some(90.0),
                HERE,
                "the oldest message at aws:us-east-1 has been waiting for 1 min 30 s",
                "see whether it shrinks: bridge lag --watch; if not: bridge doctor --site aws:us-east-1",
            ),
            (
                |r| *worker(r).circuits.get_mut(THERE).unwrap() = "open".into(),
                HERE,
                "aws:us-east-1 cannot reach azure:westeurope: what it writes is set aside for azure:westeurope",
                "when azure:westeurope answers again: bridge replay --from aws:us-east-1/dlq --to owed",
            ),
            (
                |r| r.sites[0].worker = None,
                HERE,
                "the worker of aws:us-east-1 was never heard of",
                "see whether the worker of aws:us-east-1 runs, and its log; then: bridge doctor --site aws:us-east-1",
            ),
            (
                |r| letters(r, "peer_unavailable"),
                HERE,
                "5 dead letters at aws:us-east-1",
                "bridge replay --from aws:us-east-1/dlq --to owed --dry-run",
            ),
            (
                |r| r.lag[0].seconds = Some(12.0),
                THERE,
                "azure:westeurope is 12.0 s behind aws:us-east-1",
                "bridge doctor",
            ),
        ];
        for (change, site, text, next) in cases {
            let all = all_found(change);
            let said = all.iter().map(|one| (one.site.as_str(), one.text.as_str(), one.next.as_str()));
            assert_eq!(said.collect::<Vec<_>>(), [(site, text, next)]);
        }
        assert_eq!(all_found(|r| letters(r, "not_json"))[0].detail.as_deref(), Some("not_json 5"));
    }
}
