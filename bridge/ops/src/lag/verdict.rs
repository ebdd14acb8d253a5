//! What of a report an operator has to know first: the one place that says what is good and what is bad.

use bridge_core::state::State;

use super::{
    causes::{Topic, fold},
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
/// Words of its state that a worker may be late by before it counts as silent, and as dead. Ours: by default 3.5 s and 10 s. One word may be
/// late for a scheduler's or a store's reasons, not two.
const WORDS_WARN: f64 = 1.75;
const WORDS_BAD: f64 = 5.0;

/// Everything that is not well, the worst first, each cause with what follows from it. Empty: all is well.
pub(super) fn findings(sites: &[Site], lag: &[Lag]) -> Vec<Finding> {
    let mut all: Vec<(Topic<'_>, Finding)> = sites.iter().flat_map(|site| of_site(site, lag)).collect();
    all.extend(lag.iter().filter_map(|lag| Some((Topic::Lag(&lag.from, &lag.to), of_lag(lag, sites)?))));
    fold(all)
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
        since: None,
        consequences: Vec::new(),
    }
}

fn of_site<'a>(site: &'a Site, lag: &[Lag]) -> Vec<(Topic<'a>, Finding)> {
    let name = site.site.as_str();
    let mut found = Vec::new();
    if site.unreachable || !site.trouble.is_empty() {
        let store = || lag.iter().any(|lag| lag.to == name && lag.state == LagState::Unknown);
        let (topic, level, text) = if site.unreachable {
            (Topic::Gone(name), Level::Bad, format!("{name} cannot be reached"))
        } else if store() {
            (Topic::Reach(name), Level::Bad, format!("the store of {name} cannot be read"))
        } else {
            (Topic::Reach(name), Level::Warn, format!("not all of {name} can be seen"))
        };
        let detail = Some(site.trouble.join("; "));
        found.push((topic, Finding { detail, ..finding(level, "reach", name, text, doctor(name), site_down(name)) }));
    }
    found.extend(of_state(site));
    match (&site.worker, &site.state) {
        (None, None) => {
            let text = format!("the worker of {name} was never heard of");
            found.push((Topic::Worker(name), finding(Level::Unknown, "worker", name, text, start(name), "halted")));
        }
        (Some(worker), _) => found.extend(of_worker(site, worker)),
        (None, Some(_)) => {}
    }
    found.extend(links(site));
    found.extend(of_queue(site).into_iter().map(|found| (Topic::Waits(name), found)));
    found.extend(of_letters(site));
    found
}

/// What the worker says by itself, or that it says nothing any more.
fn of_state(site: &Site) -> Option<(Topic<'_>, Finding)> {
    let (name, told) = (site.site.as_str(), site.state.as_ref()?);
    let silent = told.again_seconds.is_some_and(|again| told.age_seconds > again * WORDS_WARN);
    let last = if silent { format!("; it was last heard {} ago", span(told.age_seconds)) } else { String::new() };
    let since = span(told.for_seconds);
    let waiting = site.backlog_messages.unwrap_or_default();
    let (level, text, next, runbook) = match told.state {
        State::Working if !silent => return None,
        State::Working => {
            let age = span(told.age_seconds);
            let text = format!("the worker of {name} has said nothing for {age}: it is dead, or cut off");
            let dead = told.again_seconds.is_some_and(|again| told.age_seconds > again * WORDS_BAD);
            let level = if dead || waiting > 0 { Level::Bad } else { Level::Warn };
            let found = finding(level, "worker", name, text, start(name), "halted");
            return Some((Topic::Worker(name), Finding { since: Some(told.told_at.clone()), ..found }));
        }
        State::Halted => {
            let text = format!("the worker of {name} has been halted for {since}{last}");
            (Level::Bad, text, doctor(name), "halted")
        }
        State::StoreAway => {
            let text = format!("the store of {name} has not answered its worker for {since}{last}");
            (Level::Bad, text, doctor(name), site_down(name))
        }
        // A function's next process, or another one of the site, says nothing where it works.
        State::Stopped => {
            let text = format!("the worker of {name} was stopped {since} ago");
            let level = if waiting > 0 { Level::Bad } else { Level::Warn };
            (level, text, format!("start the worker of {name}"), "halted")
        }
    };
    let found = finding(level, "worker", name, text, next, runbook);
    Some((Topic::State(name), Finding { detail: told.detail.clone(), since: Some(told.since.clone()), ..found }))
}

/// Whether its worker said lately that it works. Then an overdue heartbeat waits in a queue, and nobody is dead.
fn works(site: &Site) -> bool {
    site.state.as_ref().is_some_and(|told| {
        told.state == State::Working && told.again_seconds.is_some_and(|again| told.age_seconds <= again * WORDS_WARN)
    })
}

fn of_worker<'a>(site: &'a Site, worker: &Worker) -> Vec<(Topic<'a>, Finding)> {
    let name = site.site.as_str();
    let mut found = Vec::new();
    // A worker that speaks for itself is judged by that.
    let speaks = site.state.as_ref().is_some_and(|told| told.again_seconds.is_some() || told.state == State::Stopped);
    if !speaks && worker.age_seconds > worker.every_seconds * BEATS_WARN {
        let level = if worker.age_seconds > worker.every_seconds * BEATS_BAD { Level::Bad } else { Level::Warn };
        let text = format!("the worker of {name} was last heard {} ago", span(worker.age_seconds));
        found.push((Topic::Worker(name), finding(level, "worker", name, text, start(name), "halted")));
    }
    let skew = worker.clock_skew_seconds.unwrap_or_default();
    if skew.abs() >= CLOCK_WARN_SECONDS {
        let level = if skew.abs() >= CLOCK_BAD_SECONDS { Level::Bad } else { Level::Warn };
        let direction = if skew > 0.0 { "ahead" } else { "behind" };
        let text = format!("the clock of the worker of {name} is {} {direction}", span(skew.abs()));
        let next = format!("correct the clock of the machine of {name}'s worker");
        found.push((Topic::Alone, finding(level, "clock", name, text, next, "clock-skew")));
    }
    found
}

/// The peers that its worker cannot reach, by the latest that it said.
fn links(site: &Site) -> Vec<(Topic<'_>, Finding)> {
    let name = site.site.as_str();
    let away: Vec<(&str, Option<&String>)> = match (&site.state, &site.worker) {
        (Some(told), _) => told.peers_away.iter().map(|(peer, since)| (peer.as_str(), Some(since))).collect(),
        (None, Some(worker)) => {
            let open = worker.circuits.iter().filter(|(_, circuit)| *circuit != "closed");
            open.map(|(peer, _)| (peer.as_str(), None)).collect()
        }
        (None, None) => Vec::new(),
    };
    let found = |(peer, since): (&'_ str, Option<&String>)| {
        let text = format!("{name} cannot reach {peer}: what it writes is set aside for {peer}");
        let next = format!("when {peer} answers again: bridge replay --from {name}/dlq --to owed");
        let found = finding(Level::Warn, "circuits", name, text, next, site_down(peer));
        Finding { since: since.cloned(), ..found }
    };
    away.into_iter().map(|away| (Topic::Link(name, away.0), found(away))).collect()
}

/// Messages that back off are not applied yet, however well everything looks beside them.
fn of_queue(site: &Site) -> Vec<Finding> {
    let name = &site.site;
    let next = || format!("see whether it shrinks: bridge lag --watch; if not: {}", doctor(name));
    let mut found = Vec::new();
    let wait = |count| if count == 1 { "message waits" } else { "messages wait" };
    let backing_off = site.backing_off_messages.unwrap_or_default();
    if backing_off > 0 {
        let text = format!("{backing_off} {} at {name} for a retry", wait(backing_off));
        found.push(finding(Level::Warn, "backing_off", name, text, next(), "lag"));
    }
    let delayed = site.delayed_messages.unwrap_or_default();
    if delayed > 0 {
        let text = format!("{delayed} {} at {name} for a later time", wait(delayed));
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

fn of_letters(site: &Site) -> Option<(Topic<'_>, Finding)> {
    let name = site.site.as_str();
    let Some(letters) = &site.dead_letters else {
        let text = format!("the dead letters of {name} cannot be seen");
        let found = || finding(Level::Unknown, "dead_letters", name, text, doctor(name), None);
        return (!site.unreachable).then(|| (Topic::Waits(name), found()));
    };
    if letters.messages == 0 {
        return None;
    }
    let owed: u64 = letters.owed_by_reason.values().sum();
    let level = if letters.may_mend() > 0 { Level::Bad } else { Level::Warn };
    let noun = if letters.messages == 1 { "dead letter" } else { "dead letters" };
    let text = format!("{} {noun} at {name}", letters.messages);
    let reasons: Vec<_> = letters.by_reason.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
    let detail = (!reasons.is_empty()).then(|| reasons.join(", "));
    let next = format!("bridge replay --from {name}/dlq --to owed --dry-run");
    let to_peers = owed == letters.messages && letters.by_reason.keys().all(|reason| reason == "peer_unavailable");
    let topic = if to_peers { Topic::Owed(name) } else { Topic::Alone };
    Some((topic, Finding { detail, ..finding(level, "dead_letters", name, text, next, "dead-letters") }))
}

fn of_lag(lag: &Lag, sites: &[Site]) -> Option<Finding> {
    let (from, to) = (&lag.from, &lag.to);
    let named = |name: &str| sites.iter().find(|site| site.site == name);
    let gone = |name: &str| named(name).is_some_and(|site| site.unreachable);
    let works = |name: &str| named(name).is_some_and(works);
    let behind = |seconds: f64| {
        let level = if seconds >= LAG_BAD_SECONDS { Level::Bad } else { Level::Warn };
        (level, format!("{to} is {} behind {from}", span(seconds)))
    };
    let backlog = || -> u64 { [from, to].iter().filter_map(|name| named(name)?.backlog_messages).sum() };
    let (level, text) = match (lag.state, lag.seconds) {
        (LagState::Heard, Some(seconds)) if seconds >= LAG_WARN_SECONDS => behind(seconds),
        (LagState::Heard, _) => return None,
        // Where both workers work, the heartbeat waits in a queue like all before it.
        (LagState::Late | LagState::Silent, _) if works(from) && works(to) && backlog() > 0 => {
            let (level, text) = behind(lag.age_seconds.unwrap_or_default());
            (level, format!("{text}: {} messages wait before the next heartbeat", backlog()))
        }
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
    use crate::lag::report::{DeadLetters, RecoveryPoint, Report, WorkerState};

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
            backing_off_messages: None,
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
            state: None,
            recovery_point: RecoveryPoint { events: Some(0), seconds: Some(0.0) },
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
            (|r| owed(r, "clock_skew", 1), Level::Bad, "dead_letters/aws:us-east-1", Some("dead-letters")),
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

    /// So many of the five are owed to a site.
    fn owed(report: &mut Report, reason: &str, count: u64) {
        letters(report, reason);
        let owed_by_reason = [(reason.to_owned(), count)].into();
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
        assert_eq!(places, [(Level::Bad, "reach/azure:westeurope")]);
    }

    #[test]
    fn where_a_site_is_gone_silence_leads_to_its_runbook() {
        let all = all_found(|report| {
            report.sites[0].unreachable = true;
            report.lag[0].state = LagState::Silent;
        });
        assert_eq!(places(&all), ["reach/aws:us-east-1", "  lag/aws:us-east-1/azure:westeurope"]);
        assert_eq!(all[0].consequences[0].runbook.as_deref(), Some("aws-down"));
    }

    /// The places of findings, those of consequences further in.
    fn places(findings: &[Finding]) -> Vec<String> {
        let deeper = |one: &Finding| places(&one.consequences).into_iter().map(|place| format!("  {place}"));
        findings.iter().flat_map(|one| [one.place.clone()].into_iter().chain(deeper(one)).collect::<Vec<_>>()).collect()
    }

    /// What the worker of the first site says, so many seconds ago.
    fn says(report: &mut Report, state: State, ago: f64) {
        report.sites[0].state = Some(WorkerState {
            state,
            since: "2026-11-21T01:00:00Z".to_owned(),
            for_seconds: 90.0,
            detail: (state != State::Working).then(|| "table: denied".to_owned()),
            peers_away: [].into(),
            told_at: "2026-11-21T01:01:30Z".to_owned(),
            age_seconds: ago,
            again_seconds: Some(2.0),
            instance: "one".to_owned(),
        });
    }

    /// A backlog grows, and heartbeats are overdue to and from the site.
    fn stalled(report: &mut Report) {
        let site = &mut report.sites[0];
        (site.backlog_messages, site.oldest_age_seconds, site.delayed_messages) = (Some(2_504), Some(90.0), Some(3));
        worker(report).age_seconds = 130.0;
        report.lag.iter_mut().for_each(|lag| lag.state = LagState::Silent);
    }

    #[test]
    fn what_a_worker_says_is_found_at_once_with_what_follows_below_it() {
        for (state, text) in [
            (State::Halted, "the worker of aws:us-east-1 has been halted for 1 min 30 s"),
            (State::StoreAway, "the store of aws:us-east-1 has not answered its worker for 1 min 30 s"),
        ] {
            let all = all_found(|report| says(report, state, 1.0));
            assert_eq!(places(&all), ["worker/aws:us-east-1"]);
            let [one] = &all[..] else { panic!("{all:?}") };
            assert_eq!((one.level, one.text.as_str()), (Level::Bad, text));
            assert_eq!(one.detail.as_deref(), Some("table: denied"));
            assert_eq!(one.since.as_deref(), Some("2026-11-21T01:00:00Z"));
            let all = all_found(|report| {
                says(report, state, 1.0);
                stalled(report);
            });
            let below = ["lag/aws:us-east-1/azure:westeurope", "lag/azure:westeurope/aws:us-east-1"];
            let queue = ["delayed/aws:us-east-1", "oldest_age/aws:us-east-1"];
            let expected: Vec<_> = below.iter().chain(&queue).map(|place| format!("  {place}")).collect();
            assert_eq!(places(&all), [vec!["worker/aws:us-east-1".to_owned()], expected].concat());
        }
    }

    #[test]
    fn a_worker_that_says_nothing_any_more_is_found_within_two_of_its_words() {
        let level = |ago, waiting| {
            let found = all_found(|report| {
                says(report, State::Working, ago);
                report.sites[0].backlog_messages = Some(waiting);
            });
            found.first().map(|one| (one.level, one.place.clone()))
        };
        let place = || "worker/aws:us-east-1".to_owned();
        assert_eq!(level(3.5, 7), None);
        assert_eq!(level(3.6, 0), Some((Level::Warn, place())));
        assert_eq!(level(3.6, 7), Some((Level::Bad, place())), "messages wait, and nobody takes them");
        assert_eq!(level(10.1, 0), Some((Level::Bad, place())));
        let ended = |waiting| {
            let found = all_found(|report| {
                says(report, State::Stopped, 500.0);
                report.sites[0].backlog_messages = Some(waiting);
            });
            (found[0].level, found[0].text.clone())
        };
        let text = "the worker of aws:us-east-1 was stopped 1 min 30 s ago".to_owned();
        assert_eq!(ended(0), (Level::Warn, text.clone()));
        assert_eq!(ended(1), (Level::Bad, text));
        // A function says it on a change alone.
        let function = found(|report| {
            says(report, State::Working, 500.0);
            report.sites[0].state.as_mut().unwrap().again_seconds = None;
        });
        assert_eq!(function, []);
    }

    /// Heartbeats take the way of the events: they wait in a backlog as these do.
    #[test]
    fn a_backlog_that_is_worked_off_is_no_silence() {
        let all = all_found(|report| {
            says(report, State::Working, 1.0);
            report.sites[1].state = report.sites[0].state.clone();
            worker(report).age_seconds = 130.0;
            report.sites[0].backlog_messages = Some(2_000);
            (report.lag[0].state, report.lag[0].age_seconds) = (LagState::Silent, Some(25.0));
        });
        let [one] = &all[..] else { panic!("{all:?}") };
        assert_eq!(
            one.text,
            "azure:westeurope is 25.0 s behind aws:us-east-1: 2000 messages wait before the next heartbeat"
        );
        assert_eq!(one.level, Level::Warn);
    }

    #[test]
    fn what_is_set_aside_for_a_peer_that_is_away_stands_below_it() {
        let away = |report: &mut Report| {
            says(report, State::Working, 1.0);
            let told = report.sites[0].state.as_mut().unwrap();
            told.peers_away = [(THERE.to_owned(), "2026-11-21T01:01:00Z".to_owned())].into();
            letters(report, "peer_unavailable");
            owed(report, "peer_unavailable", 5);
        };
        let all = all_found(away);
        assert_eq!(places(&all), ["circuits/aws:us-east-1", "  dead_letters/aws:us-east-1"]);
        assert_eq!((all[0].level, all[0].since.as_deref()), (Level::Bad, Some("2026-11-21T01:01:00Z")));
        let all = all_found(|report| {
            away(report);
            report.sites[1].unreachable = true;
        });
        let below = ["  circuits/aws:us-east-1", "  dead_letters/aws:us-east-1"];
        assert_eq!(places(&all)[0], "reach/azure:westeurope");
        let mut found = places(&all)[1..].to_vec();
        found.sort();
        assert_eq!(found, below);
        // Letters of another reason are trouble of their own.
        let all = all_found(|report| {
            away(report);
            owed(report, "store_rejected", 5);
        });
        assert_eq!(places(&all).iter().filter(|place| !place.starts_with(' ')).count(), 2);
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
                "752 messages wait at azure:westeurope for a later time",
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
