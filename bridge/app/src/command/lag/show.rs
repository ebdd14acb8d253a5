//! The report for people.

use std::io::IsTerminal;

use bridge_core::{conflict::ConflictKind, text::visible};
use bridge_ops::lag::{
    Report,
    report::{Conflict, Lag, LagState, Site},
};

use crate::{
    command::table::{Column, table},
    span::span,
};

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
    text
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
    table(&[Column::Left(0), Column::Right(20)], &rows)
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
            let unread = (letters.unread > 0).then(|| format!("{} not read", letters.unread));
            let reasons: Vec<_> = reasons.chain(unread).collect();
            if reasons.is_empty() {
                letters.messages.to_string()
            } else {
                format!("{}: {}", letters.messages, reasons.join(", "))
            }
        },
    );
    let worker = site.worker.as_ref().map_or_else(
        || "never heard of".to_owned(),
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
    let missing = match (site.recovery_point.events, site.recovery_point.seconds) {
        (events, Some(seconds)) => format!("{} events at most, {} of writes", count(events), span(seconds)),
        (events, None) => format!("{} events at most; of how long is not known", count(events)),
    };
    let mut facts =
        vec![("backlog", backlog), ("dead letters", letters), ("worker", worker), ("if it vanished", missing)];
    facts.extend(site.trouble.iter().map(|trouble| ("trouble", trouble.clone())));
    facts
}
