//! What of a report an operator has to know first: the one place that says what is good and what is bad.

use bridge_core::state::State;

use super::{
    causes::{Topic, fold},
    report::{Finding, Lag, LagState, Level, Site, Worker, WorkerState},
};
use crate::{replay::owed::BY_THEMSELVES, span::span};

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
    let mut all: Vec<(Topic<'_>, Finding)> = sites.iter().flat_map(|site| of_site(site, sites, lag)).collect();
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

fn of_site<'a>(site: &'a Site, sites: &[Site], lag: &[Lag]) -> Vec<(Topic<'a>, Finding)> {
    let name = site.site.as_str();
    let mut found = Vec::new();
    // Its worker's words are in its own store before they are anywhere else.
    let blind = lag.iter().any(|lag| lag.to == name && lag.state == LagState::Unknown);
    if site.unreachable || !site.trouble.is_empty() {
        let (topic, level, text) = if site.unreachable {
            (Topic::Gone(name), Level::Bad, format!("{name} cannot be reached"))
        } else if blind {
            (Topic::Reach(name), Level::Bad, format!("the store of {name} cannot be read"))
        } else {
            (Topic::Reach(name), Level::Warn, format!("not all of {name} can be seen"))
        };
        let detail = Some(site.trouble.join("; "));
        found.push((topic, Finding { detail, ..finding(level, "reach", name, text, doctor(name), site_down(name)) }));
    }
    found.extend(of_state(site, sites));
    match (&site.worker, &site.state) {
        (None, None) if site.unreachable || blind => {}
        (None, None) => {
            let text = format!("the worker of {name} was never heard of");
            found.push((Topic::Worker(name), finding(Level::Unknown, "worker", name, text, start(name), "halted")));
        }
        (Some(worker), _) => found.extend(of_worker(site, worker)),
        (None, Some(_)) => {}
    }
    found.extend(links(site));
    found.extend(of_queue(site).into_iter().map(|found| (Topic::Waits(name), found)));
    found.extend(of_letters(site, &site.away(sites)));
    found
}

/// What the worker says by itself, or that it says nothing any more.
fn of_state<'a>(site: &'a Site, sites: &[Site]) -> Option<(Topic<'a>, Finding)> {
    let (name, told) = (site.site.as_str(), site.state.as_ref()?);
    let silent = is_silent(told);
    let last = if silent { format!("; it was last heard {} ago", span(told.age_seconds)) } else { String::new() };
    let since = span(told.for_seconds);
    let waiting = site.backlog_messages.unwrap_or_default();
    let (level, text, next, runbook) = match told.state {
        State::Working if !silent => return None,
        State::Working => {
            let age = span(told.age_seconds);
            // Where no store takes a record, every worker is silent.
            let alone =
                sites.len() == 1 || sites.iter().any(|one| one.state.as_ref().is_none_or(|told| !is_silent(told)));
            let why =
                if alone { "it is dead, or cut off" } else { "no store takes what workers write, or all are dead" };
            let text = format!("the worker of {name} has said nothing for {age}: {why}");
            let dead = told.again_seconds.is_some_and(|again| told.age_seconds > again * WORDS_BAD);
            let level = if dead || waiting > 0 { Level::Bad } else { Level::Warn };
            let runbook = if alone { "halted" } else { "store-away" };
            let found = finding(level, "worker", name, text, start(name), runbook);
            return Some((Topic::Worker(name), Finding { since: Some(told.told_at.clone()), ..found }));
        }
        State::Halted => {
            let look = told.looks_in_seconds.filter(|_| !silent);
            let look =
                look.map(|left| format!("; it looks in {} whether it may go on", span(left))).unwrap_or_default();
            let text = format!("the worker of {name} has been halted for {since}{look}{last}");
            (Level::Bad, text, doctor(name), "halted")
        }
        State::StoreAway => {
            let text = format!("the store of {name} has not answered its worker for {since}{last}");
            (Level::Bad, text, doctor(name), "store-away")
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

/// Whether a worker that says its state again and again has not done so.
fn is_silent(told: &WorkerState) -> bool {
    told.again_seconds.is_some_and(|again| told.age_seconds > again * WORDS_WARN)
}

/// Whether its worker said lately that it works. Then an overdue heartbeat waits in a queue, and nobody is dead.
fn works(site: &Site) -> bool {
    let works = |told: &WorkerState| told.state == State::Working && told.again_seconds.is_some() && !is_silent(told);
    site.state.as_ref().is_some_and(works)
}

/// Whether its workers bring by themselves what letters owe.
fn brings(site: &Site) -> bool {
    site.state.as_ref().is_some_and(|told| told.auto_replay)
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
        let next = once_back(site, peer);
        let found = finding(Level::Warn, "circuits", name, text, next, site_down(peer));
        Finding { since: since.cloned(), ..found }
    };
    away.into_iter().map(|away| (Topic::Link(name, away.0), found(away))).collect()
}

/// What is to be done about letters that are owed to sites which do not answer.
fn once_back(site: &Site, away: &str) -> String {
    let name = &site.site;
    if brings(site) {
        format!("nothing: once {away} answers again, the workers of {name} bring over what was set aside")
    } else {
        format!("once {away} answers again: bridge replay --from {name}/dlq --to owed")
    }
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

fn of_letters<'a>(site: &'a Site, away: &[String]) -> Option<(Topic<'a>, Finding)> {
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
    let read = letters.messages.saturating_sub(letters.unread);
    let level = if letters.may_mend() > 0 { Level::Bad } else { Level::Warn };
    let noun = if letters.messages == 1 { "dead letter" } else { "dead letters" };
    let mut text = format!("{} {noun} at {name}", letters.messages);
    if let Some(bringing) = site.state.as_ref().and_then(|told| told.bringing.as_ref()) {
        text += &format!("; its worker has brought over {} in {}", bringing.letters, span(bringing.for_seconds));
    }
    let reasons: Vec<_> = letters.by_reason.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
    let detail = (!reasons.is_empty()).then(|| reasons.join(", "));
    let replay = format!("bridge replay --from {name}/dlq --to owed");
    // Of letters that were not read nothing is known that would make them something else.
    let for_peers = letters.by_reason.contains_key("peer_unavailable") || read == 0;
    let by_themselves =
        read == 0 || BY_THEMSELVES.iter().any(|reason| letters.owed_by_reason.contains_key(reason.as_str()));
    let next = match away {
        [_, ..] if for_peers => once_back(site, &away.join(" and ")),
        _ if by_themselves && brings(site) => format!(
            "see whether they become fewer, as the workers of {name} bring them over: bridge lag --watch; if not: {replay} --dry-run"
        ),
        _ => format!("{replay} --dry-run"),
    };
    let to_peers = owed == read && letters.by_reason.keys().all(|reason| reason == "peer_unavailable");
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
        // Of a site with a trouble of its own this is told once, and not for every way to it.
        (LagState::Unknown, _) if gone(to) || named(to).is_some_and(|site| !site.trouble.is_empty()) => return None,
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
