//! The result of a comparison, for people.

use bridge_core::{event::SiteId, text};
use bridge_ops::verify::{Finding, Held, Kind, Report, digest::Digest, finding::misfit, report::Sum};
use chrono::{DateTime, Utc};

use crate::command::table::{Column, table};

/// The stores, the keys that are not as they should be, sums, and what to do now.
pub(crate) fn report(report: &Report, repair: bool, tombstones_since: DateTime<Utc>) -> String {
    let mut rows = vec![["site", "records", "tombstones", "foreign"].map(str::to_owned).to_vec()];
    for (site, counted) in &report.sites {
        let figures = [counted.records, counted.tombstones, counted.foreign].map(|count| count.to_string());
        rows.push([site.clone()].into_iter().chain(figures).collect());
    }
    let mut text = table(&[Column::Left(0), Column::Right(10)], &rows);
    for finding in &report.findings {
        text += &format!("\n{}", one(finding, tombstones_since));
    }
    if report.unlisted > 0 {
        text += &format!("\nand {} more; --limit lists more of them\n", report.unlisted);
    }
    if report.drift > 0 {
        text += &sums(report);
    }
    text + "\n" + &verdict(report, repair)
}

fn one(finding: &Finding, tombstones_since: DateTime<Utc>) -> String {
    let outcome = match (&finding.failed, finding.repaired) {
        (Some(why), _) => format!("  NOT repaired: {why}"),
        (None, true) => "  repaired".to_owned(),
        (None, false) => String::new(),
    };
    let word = if finding.waiting { "waiting" } else { finding.kind.as_str() };
    let mut text = format!("{word}  {}{outcome}\n", text::line(&finding.key));
    let row = |(site, held): (&SiteId, &Held)| {
        let held = match held {
            Held::Absent => "absent".to_owned(),
            Held::Foreign(what) => what.clone(),
            Held::Record(record) => match misfit(record) {
                Some(what) => squeezed(&what),
                None => {
                    // The versions are equal there, and payloads are not to be shown: what tells them apart is this.
                    let content = match finding.kind {
                        Kind::Differs => format!("  content {:.8}", Digest::of(record).to_string()),
                        _ => String::new(),
                    };
                    format!("{}  {}{content}", squeezed(record.version.as_str()), record.op.as_str())
                }
            },
        };
        vec![format!("  {site}"), held]
    };
    text += &table(&[Column::Left(0)], &finding.sites.iter().map(row).collect::<Vec<_>>());
    let newest = finding.sites.values().filter_map(Held::version).max();
    if finding.kind == Kind::Missing && newest.is_some_and(|newest| newest.timestamp() < tombstones_since) {
        text += "  older than tombstones live: where it is missing it may have been deleted\n";
    }
    text
}

/// Without the blanks that give a version its width.
fn squeezed(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn sums(report: &Report) -> String {
    let row = |name: &str, sum: Sum| {
        let figures = [sum.found, sum.repaired, sum.found - sum.repaired].map(|count| count.to_string());
        [name.to_owned()].into_iter().chain(figures).collect()
    };
    let mut rows = vec![["drift", "keys", "repaired", "left"].map(str::to_owned).to_vec()];
    rows.extend(report.by_kind.iter().map(|(kind, sum)| row(kind.as_str(), *sum)));
    rows.push(row("all", Sum { found: report.drift, repaired: report.drift - report.left }));
    format!("\n{}", table(&[Column::Left(8), Column::Right(8)], &rows))
}

fn verdict(report: &Report, repair: bool) -> String {
    let in_flight = match report.in_flight {
        0 => String::new(),
        keys => format!("{keys} more keys differed while a write was on its way, and agree by now\n"),
    };
    let left_of = |kinds: &[Kind]| -> u64 {
        let left = |kind| report.by_kind.get(kind).map_or(0, |sum| sum.found - sum.repaired);
        kinds.iter().map(left).sum()
    };
    let verdict = match (report.drift, report.left) {
        (0, _) if report.waiting > 0 => String::new(),
        (0, _) => format!("all {} stores agree\n", report.sites.len()),
        (drift, 0) => format!("{drift} keys had drifted and were repaired: all {} stores agree\n", report.sites.len()),
        (_, left) => {
            let mut text = format!("{left} keys have DRIFTED\n");
            if !repair && left_of(&[Kind::Missing, Kind::Older]) > 0 {
                text += "bridge verify --repair writes the greatest version wherever it is lacking; if much is missing, look at\n\
                         bridge lag and at the dead letters first (runbooks/dead-letters.md)\n";
                text += &emptied(report);
            }
            if left_of(&[Kind::Differs, Kind::Misfit, Kind::Foreign]) > 0 {
                text += "what differs, is misfit or foreign was changed by something else: docs/verify.md says what to do\n";
            }
            if left_of(&[Kind::Ahead]) > 0 {
                text += "what is ahead is stamped in the future, wins until that time comes, and is spread by nothing: docs/verify.md says what to do\n";
            }
            text
        }
    };
    in_flight + &verdict + &waiting(report)
}

/// The keys that messages may mend, or the messages that are too few for it.
fn waiting(report: &Report) -> String {
    let at = report.messages_waiting.iter().map(|(site, messages)| match messages {
        Some(messages) => format!("{messages} at {site}"),
        None => format!("not known at {site}"),
    });
    let (at, messages) = (at.collect::<Vec<_>>().join(", "), report.messages_waiting.values().flatten().sum::<u64>());
    let unknown = report.messages_waiting.values().any(Option::is_none);
    match report.waiting {
        0 if report.left > 0 && (messages > 0 || unknown) => {
            format!("messages that may mend some of it: {at}\n")
        }
        0 => String::new(),
        keys => format!(
            "{keys} keys differ, and WAIT for messages that may mend them: {at}\n\
             nothing of it is known to have drifted; bridge lag --watch shows whether they are worked off, and runbooks/dead-letters.md brings \
             over what was set aside; then run this again\n"
        ),
    }
}

/// The share of keys that a store must lack before filling it is faster than repairing. Ours: a repair holds and reads each by itself.
const EMPTY_ENOUGH: u64 = 10;

/// What to do about stores that lack much of what another has.
fn emptied(report: &Report) -> String {
    let Some((fullest, most)) = report.sites.iter().max_by_key(|(_, counted)| counted.records) else {
        return String::new();
    };
    let lacks = |site: &&String| report.sites[*site].records < most.records - most.records / EMPTY_ENOUGH;
    let lines = report
        .sites
        .keys()
        .filter(lacks)
        .map(|site| format!("{site} lacks much: bridge backfill --from {fullest} --to {site} fills it faster\n"));
    lines.collect()
}

#[cfg(test)]
mod tests {
    use bridge_ops::verify::report::Counted;

    use super::*;

    #[test]
    fn a_store_that_lacks_more_than_a_tenth_is_to_be_filled() {
        let said = |one: u64, other: u64| {
            let counted = |records| Counted { records, ..Counted::default() };
            let sites = [("aws:us-east-1".to_owned(), counted(one)), ("azure:westeurope".to_owned(), counted(other))];
            let missing = Sum { found: 1, repaired: 0 };
            let by_kind = [(Kind::Missing, missing)].into();
            verdict(&Report { sites: sites.into(), drift: 1, left: 1, by_kind, ..Report::default() }, false)
        };
        let fill = "azure:westeurope lacks much: bridge backfill --from aws:us-east-1 --to azure:westeurope";
        assert!(said(1_000, 899).contains(fill));
        assert!(!said(1_000, 900).contains("backfill") && !said(0, 0).contains("backfill"));
    }
}
