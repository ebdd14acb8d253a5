//! The report for people.

use bridge_core::property::rfc3339;
use bridge_ops::{
    drill::{Figures, Pace},
    lag::report::RecoveryPoint,
};

use super::{
    noticed::Told,
    outage::Trouble,
    report::{Report, Verdict},
    watch,
};

pub(super) fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Passed => "PASSED",
        Verdict::Owing => "lost nothing, but is NOT DONE",
        Verdict::Failed => "FAILED",
        Verdict::Stopped => "was STOPPED",
    }
}

/// The figures, each with its name, and that of the earlier drill.
pub(super) fn figures(report: &Report) -> Vec<(&'static str, String, Option<String>)> {
    let Some(figures) = &report.figures else { return Vec::new() };
    let now = rows(report.trouble, figures, report.predicted.as_ref(), &report.told);
    let before = report.earlier.as_ref().and_then(|earlier| {
        Some(rows(report.trouble, earlier.figures.as_ref()?, earlier.predicted_rpo.as_ref(), &earlier.told))
    });
    let before = |name: &str| before.as_ref()?.iter().find(|(one, _)| *one == name).map(|(_, figure)| figure.clone());
    now.into_iter().map(|(name, figure)| (name, figure, before(name))).collect()
}

fn rows(
    trouble: Trouble,
    figures: &Figures,
    predicted: Option<&RecoveryPoint>,
    told: &Told,
) -> Vec<(&'static str, String)> {
    let Figures { rto, rpo, missing_at_failover: early, writes, fates, .. } = figures;
    let moved = [
        ("recovery time (RTO)", seconds(rto.readable_seconds)),
        ("  until it was noticed and its users were sent elsewhere", seconds(rto.failed_over_seconds)),
        ("  until the first of their writes was confirmed there", seconds(rto.confirmed_seconds)),
        ("  until it could be read there", seconds(rto.readable_seconds)),
        ("recovery point (RPO), had the site never come back", missing(rpo.events, rpo.seconds)),
        ("  the same at the moment of failing over", missing(early.events, early.seconds)),
    ];
    let mut rows = vec![("until bridge lag found it", seconds(told.found_after_seconds))];
    rows.extend(moved.into_iter().filter(|_| trouble.moves_users()));
    if let Some(predicted) = predicted.filter(|_| trouble.moves_users()) {
        let events = predicted.events.map_or_else(|| "not known".to_owned(), |events| format!("{events} events"));
        rows.push(("  what bridge lag said before: at most", format!("{events}, {}", seconds(predicted.seconds))));
    }
    rows.extend([
        ("writes made", writes.made.to_string()),
        ("  confirmed to their users", writes.confirmed.to_string()),
        ("  refused", writes.refused.to_string()),
        ("  without a certain answer", writes.unknown.to_string()),
        ("confirmed writes at every site in time", fates.in_time.to_string()),
        ("  late", fates.late.to_string()),
        ("  still owed", fates.owed.to_string()),
        ("  still in a queue, perhaps", fates.waiting.to_string()),
        ("  LOST", fates.lost.to_string()),
        ("lacking somewhere when the site came back", figures.lacking_at_return.to_string()),
        ("from its return until every site had everything", seconds(figures.catch_up_seconds)),
        ("from its return until bridge lag found nothing", seconds(told.well_after_seconds)),
        ("other sites' own writes, until readable, before", pace(figures.pace_before)),
        ("  during the outage", pace(figures.pace_during)),
        ("deleted keys that came back", figures.wrong.resurrected.len().to_string()),
        (
            "keys that fell back to an older state, or were damaged",
            (figures.wrong.undone.len() + figures.wrong.damaged.len()).to_string(),
        ),
    ]);
    rows
}

pub(super) fn report(report: &Report) -> String {
    let Report { run, failed_site, how, sites, began_at, ended_at, .. } = report;
    let what = match report.trouble {
        Trouble::Site => failed_site.clone(),
        other => format!("the {} of {failed_site}", other.thing()),
    };
    let mut page = format!("# Drill {run}\n\n**{what} failed, and the drill {}.**\n\n", verdict(report.verdict));
    for failure in &report.failures {
        page += &format!("- {failure}\n");
    }
    if !report.failures.is_empty() {
        page += "\n";
    }
    page += &format!(
        "| | |\n|---|---|\n| sites | {} |\n| how it failed | {how} |\n| from | {} |\n| to | {} |\n| bridge | {} |\n",
        sites.join(", "),
        rfc3339(*began_at),
        rfc3339(*ended_at),
        env!("CARGO_PKG_VERSION")
    );
    for (name, value) in report.settings.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null()) {
        page += &format!("| {} | {value} |\n", name.replace('_', " "));
    }
    page += match &report.earlier {
        Some(earlier) => {
            format!("| compared with | {} |\n\n## Figures\n\n| | | {} |\n|---|---:|---:|\n", earlier.run, earlier.run)
        }
        None => "\n## Figures\n\n| | |\n|---|---:|\n".to_owned(),
    }
    .as_str();
    for (name, figure, before) in figures(report) {
        let name =
            if name.starts_with(' ') { format!("&nbsp;&nbsp;{}", name.trim_start()) } else { format!("**{name}**") };
        let before = before.map(|before| format!(" {before} |")).unwrap_or_default();
        page += &format!("| {name} | {figure} |{before}\n");
    }
    page += "\n## What happened\n\n| at | seconds | |\n|---|---:|---|\n";
    for (at, what) in &report.timeline {
        let since = (*at - *began_at).as_seconds_f64();
        page += &format!("| {} | {since:.1} | {} |\n", rfc3339(*at), what.replace('|', "\\|"));
    }
    page += "\n## Commands\n\n";
    for done in &report.commands {
        let code = done.exit_code.map_or_else(|| "none".to_owned(), |code| code.to_string());
        page += &format!("- `{}`: exit code {code} after {:.1} s\n", done.command, done.seconds);
    }
    page + &format!(
        "
## How it was measured

Users of every site wrote to its queue, some new keys, some changes and deletes of earlier ones, also of another site's. A write counts as
confirmed when the queue said so to its user, and as having reached a site when that site's store showed it, or a later write of its key;
the stores were looked at every {} ms, and all times are of the clock of the one machine that did so.

- **Recovery time**: from the failure until a write of the failed site's users, made after it, could be read at the site that they were sent to.
- **Recovery point**: confirmed writes that no surviving site had until the failed one came back, whatever was done meanwhile; in seconds, from
  the oldest of them until the site failed, or confirmed its last write if that was later.
- **Late**: at every site, but not within {} s. **Owed**: not at every site, and in a dead letter. **Still in a queue, perhaps**: not
  at every site and in no dead letter, while queues hold messages. **Lost**: the same with empty queues.

Every write, with all its times: `{}`, SHA-256 `{}`. Each figure can be computed anew from it and from the times above.
",
        watch::EVERY.as_millis(),
        report.settings["late_after_seconds"],
        report.writes_file.display(),
        report.writes_sha256
    )
}

fn seconds(seconds: Option<f64>) -> String {
    seconds.map_or_else(|| "not measured".to_owned(), |seconds| format!("{seconds:.1} s"))
}

fn missing(events: usize, seconds: f64) -> String {
    format!("{events} events, {seconds:.1} s")
}

fn pace(pace: Option<Pace>) -> String {
    pace.map_or_else(
        || "not measured".to_owned(),
        |pace| format!("{:.2} s, at most {:.2} s", pace.median_seconds, pace.most_seconds),
    )
}
