//! The report for people.

use std::io::IsTerminal;

use bridge_core::{conflict::ConflictKind, text::visible};
use bridge_ops::{
    lag::{
        Report,
        owed::{Course, Owed},
        report::{Conflict, Finding, Lag, LagState, Site},
    },
    span::span,
};

use crate::command::table::{Column, table, table_or_blocks};

/// The report on a screen of its own, where there is one: what stood there before is overwritten.
pub(super) fn screen(report: &Report) -> String {
    let clear = if std::io::stdout().is_terminal() { "\x1b[2J\x1b[H" } else { "" };
    format!("{clear}{}\n", visible(&self::report(report)))
}

/// The report as lines.
pub(super) fn report(report: &Report) -> String {
    let mut text = format!("{}\n\n{}", report.at, matrix(report));
    for site in &report.sites {
        text += &format!("\n{}{}\n", site.site, if site.unreachable { "   UNREACHABLE" } else { "" });
        let facts: Vec<_> = facts(site).into_iter().map(|(name, value)| vec![format!("  {name}"), value]).collect();
        text += &table(&[Column::Left(16), Column::Left(0)], &facts);
    }
    if !report.conflicts.is_empty() {
        text += "\nlost writes, the latest first\n";
    }
    for conflict in &report.conflicts {
        text += &format!("  {}  {}: {} (seen at {})\n", conflict.seen_at, conflict.key, lost(conflict), conflict.site);
    }
    text + "\n" + &owed(&report.owed) + &findings(&report.findings)
}

/// What is owed in all; nothing where nothing is.
fn owed(owed: &Owed) -> String {
    let Owed { messages, waiting, in_flight, backing_off, scheduled, set_aside, uncounted, course } = owed;
    if *messages == 0 && uncounted.is_empty() {
        return String::new();
    }
    let states = [
        (waiting, "waiting"),
        (in_flight, "in flight"),
        (backing_off, "backing off"),
        (scheduled, "scheduled"),
        (set_aside, "set aside"),
    ];
    let states: Vec<_> =
        states.iter().filter(|(count, _)| **count > 0).map(|(count, name)| format!("{count} {name}")).collect();
    let states = if states.is_empty() { String::new() } else { format!(" ({})", states.join(", ")) };
    let noun = if *messages == 1 { "message" } else { "messages" };
    let least = if uncounted.is_empty() { "" } else { "at least " };
    let mut line = format!("owed in all: {least}{messages} {noun}{states}");
    if !uncounted.is_empty() {
        line += &format!("; what lies at {} is not known", uncounted.join(", "));
    }
    if let Some(Course { since, per_second, none_left_at, none_left_in_seconds }) = course {
        line += &match (per_second, none_left_in_seconds.zip(none_left_at.as_ref())) {
            (None, _) => String::new(),
            (Some(_), Some((left, at))) => format!("; fewer: none left in {} ({at}) at this rate", span(left)),
            (Some(rate), None) if *rate > 0.0 => format!("; more: {rate:.1} a second"),
            (Some(_), None) => "; neither more nor fewer".to_owned(),
        };
        line += &format!("; since {since}, as far as was looked");
    }
    line + "\n"
}

/// The findings, worst first as they come. They stand last, where a terminal shows them.
fn findings(findings: &[Finding]) -> String {
    if findings.is_empty() {
        return "nothing found\n".to_owned();
    }
    let lines = |finding: &Finding| {
        let Finding { level, text, detail, next, runbook, since, consequences, .. } = finding;
        let more = |line: String| vec!["  ".to_owned(), line];
        let see = runbook.as_ref().map(|runbook| format!("; runbooks/{runbook}.md")).unwrap_or_default();
        let since = since.as_ref().map(|since| format!(" (since {since})")).unwrap_or_default();
        let head = vec![format!("  {}", level.as_str()), format!("{text}{since}")];
        let detail = detail.clone().map(more);
        let below = consequences.iter().flat_map(|one| below(one, 0)).map(more);
        [head].into_iter().chain(detail).chain([more(format!("next: {next}{see}"))]).chain(below).collect::<Vec<_>>()
    };
    let rows: Vec<_> = findings.iter().flat_map(lines).collect();
    format!("found, the worst first\n{}", table(&[Column::Left(0)], &rows))
}

/// What follows from a cause, one line each: the cause's next step mends it.
fn below(finding: &Finding, depth: usize) -> Vec<String> {
    let head = format!("{}- {}", "  ".repeat(depth), finding.text);
    let deeper = finding.consequences.iter().flat_map(|one| below(one, depth + 1));
    [head].into_iter().chain(deeper).collect()
}

fn lost(conflict: &Conflict) -> String {
    let Conflict { kind, lost, won, .. } = conflict;
    match kind {
        ConflictKind::TwoSites => {
            format!("{} of {} lost to {} of {}", lost.timestamp, lost.origin, won.timestamp, won.origin)
        }
        ConflictKind::TwoContents => {
            format!("{}: event {} of {}, {}", kind.describe(), lost.event_id, lost.origin, lost.timestamp)
        }
    }
}

/// From each site, down, to each other one, across.
fn matrix(report: &Report) -> String {
    let names = || report.sites.iter().map(|site| site.site.clone());
    let row = |from: String| {
        let cells = names().map(|to| {
            let lag = report.lag.iter().find(|lag| lag.from == from && lag.to == to);
            lag.map_or_else(|| "-".to_owned(), cell)
        });
        [from.clone()].into_iter().chain(cells).collect()
    };
    let head: Vec<String> = ["from \\ to".to_owned()].into_iter().chain(names()).collect();
    let rows: Vec<Vec<String>> = [head].into_iter().chain(names().map(row)).collect();
    table_or_blocks(&[Column::Left(0), Column::Right(20)], &rows)
}

fn cell(lag: &Lag) -> String {
    let seconds = lag.seconds.map(span).unwrap_or_default();
    match lag.state {
        LagState::Heard => seconds,
        LagState::Late => format!("LATE, over {seconds}"),
        LagState::Silent => format!("SILENT for {}", lag.age_seconds.map(span).unwrap_or_default()),
        LagState::Never => "never heard of".to_owned(),
        LagState::Unknown => "UNKNOWN".to_owned(),
    }
}

fn facts(site: &Site) -> Vec<(&'static str, String)> {
    let count = |count: Option<u64>| count.map_or_else(|| "not known".to_owned(), |count| count.to_string());
    let mut backlog = format!("{} waiting", count(site.backlog_messages));
    if let Some(in_flight) = site.in_flight_messages {
        backlog += &format!(", {in_flight} in flight");
    }
    if let Some(backing_off) = site.backing_off_messages {
        backlog += &format!(", {backing_off} backing off");
    }
    backlog += &format!(", {} delayed", count(site.delayed_messages));
    if let Some(age) = site.oldest_age_seconds {
        backlog += &format!("; the oldest for {}", span(age));
    }
    let letters = site.dead_letters.as_ref().map_or_else(
        || "not known".to_owned(),
        |letters| {
            let owed = |reason: &String| match letters.owed_by_reason.get(reason) {
                Some(owed) => format!(" ({owed} owed)"),
                None => String::new(),
            };
            let reasons = letters.by_reason.iter().map(|(reason, count)| format!("{count} {reason}{}", owed(reason)));
            let unread = (letters.unread > 0).then(|| format!("{} of {} not read", letters.unread, letters.messages));
            let reasons: Vec<_> = reasons.chain(unread).collect();
            if reasons.is_empty() {
                letters.messages.to_string()
            } else {
                format!("{}: {}", letters.messages, reasons.join(", "))
            }
        },
    );
    let worker = site.worker.as_ref().map_or_else(
        || if site.trouble.is_empty() { "never heard of" } else { "not known" }.to_owned(),
        |worker| {
            let circuits = worker.circuits.iter().map(|(peer, state)| format!("; circuit to {peer} {state}"));
            let skew = worker.clock_skew_seconds.map(|skew| format!("; clock {skew:+.3} s"));
            format!(
                "heard {} ago{}{}",
                span(worker.age_seconds),
                circuits.collect::<String>(),
                skew.unwrap_or_default()
            )
        },
    );
    let state = site.state.as_ref().map(|told| {
        let word = told.state.as_str().replace('_', " ");
        let look = told.looks_in_seconds.map(|left| format!(", looks in {} whether it may go on", span(left)));
        let brings = told.bringing.as_ref().map(|bringing| {
            format!("; has brought over {} dead letters in {}", bringing.letters, span(bringing.for_seconds))
        });
        let more = look.into_iter().chain(brings).collect::<String>();
        format!("{word} for {}, told {} ago{more}", span(told.for_seconds), span(told.age_seconds))
    });
    let missing = match (site.recovery_point.events, site.recovery_point.seconds) {
        (events, Some(seconds)) => format!("{} events at most, {} of writes", count(events), span(seconds)),
        (events, None) => format!("{} events at most; of how long is not known", count(events)),
    };
    let mut facts = vec![("backlog", backlog), ("dead letters", letters), ("worker", worker)];
    facts.extend(state.map(|state| ("state", state)));
    facts.push(("if it vanished", missing));
    facts.extend(site.trouble.iter().map(|trouble| ("trouble", trouble.clone())));
    facts
}
