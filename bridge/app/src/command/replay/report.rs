//! What a plan says and what a run came to, as tables and as JSON.

use std::collections::BTreeMap;

use bridge_core::{
    replay::{
        effect::Effect,
        journal::Outcome,
        ledger::Tally,
        plan::{Entry, Head},
        route::Source,
        run::End,
    },
    version::Version,
};
use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::files::PlanFile;
use crate::exit::Code;

/// Messages of a plan that are listed one by one, with why they stay.
const LISTED_MAX: usize = 10;

const OUTCOMES: [Outcome; 4] = [Outcome::Sent, Outcome::Applied, Outcome::Superseded, Outcome::Duplicate];

/// What a plan comes to.
#[derive(Debug, Default)]
pub(super) struct Sums {
    pub(super) head: Option<Head>,
    pub(super) sha256: String,
    reasons: BTreeMap<String, BTreeMap<Effect, u64>>,
    /// Messages that stay for the sites that are owed them beside the target.
    unpaid: BTreeMap<String, u64>,
    /// Messages that would be applied though a delete of theirs may have been forgotten by now.
    old: u64,
    /// Messages that an earlier run has brought, and those that a run would still wait for.
    pub(super) brought: usize,
    pub(super) open: usize,
    /// Some of those that no site takes: the broker's name, and why.
    refused: Vec<(String, String)>,
}

impl Sums {
    pub(super) fn add(&mut self, entry: &Entry, forgotten: DateTime<Utc>) {
        let version: Option<Version> = entry.version.as_ref().and_then(|text| text.parse().ok());
        let old = version.is_some_and(|version| version.timestamp() < forgotten);
        // A store that could not be asked may apply it as well.
        let applies = |effect| matches!(effect, Effect::Apply | Effect::StillOwed);
        self.old += u64::from(old && entry.errands.iter().any(|errand| applies(errand.effect)));
        *self.reasons.entry(entry.reason.clone()).or_default().entry(entry.effect()).or_default() += 1;
        if !entry.unpaid.is_empty() {
            *self.unpaid.entry(entry.unpaid.join(", ")).or_default() += 1;
        }
        if let Some(refused) = entry.refused.as_ref().filter(|_| self.refused.len() < LISTED_MAX) {
            let (reason, detail) = (&refused.reason, &refused.detail);
            let event = match (&entry.event_id, &entry.key, &entry.source_region) {
                (Some(event), Some(key), Some(site)) => {
                    format!(" (event {event} of {} from {site})", key.escape_debug())
                }
                _ => String::new(),
            };
            self.refused.push((entry.message_id.clone(), format!("{reason}: {detail}{event}")));
        }
    }

    fn title(&self) -> String {
        let head = self.head.as_ref();
        let of = |field: fn(&Head) -> &String| head.map(field).cloned().unwrap_or_default();
        format!("from {} to {}, plan {:.12} of {}", of(|h| &h.from), of(|h| &h.to), self.sha256, of(|h| &h.made_at))
    }

    /// Messages that are not in the plan, as somebody had them in hand when it was made.
    fn hidden(&self) -> u64 {
        self.head.as_ref().map_or(0, |head| head.hidden)
    }

    /// Whether letters are known of that the plan does not have. What a worker has in hand of its queue is none's loss.
    fn overlooks(&self) -> bool {
        self.hidden() > 0 && matches!(self.source(), Some(Source::DeadLetters(_)))
    }

    fn source(&self) -> Option<Source> {
        self.head.as_ref().and_then(|head| head.from.parse().ok())
    }

    fn is_of_a_file(&self) -> bool {
        matches!(self.source(), Some(Source::File(_)))
    }

    /// What there is to say to somebody who runs a plan once more that has no work left.
    pub(super) fn done_already(&self, file: &PlanFile) -> String {
        let made_at = self.head.as_ref().map_or("", |head| &head.made_at);
        format!(
            "{}: this plan of {made_at} is done already; what came since is not in it: name another file for a new plan",
            file.path().display()
        )
    }

    fn messages(&self) -> u64 {
        self.reasons.values().flat_map(BTreeMap::values).sum()
    }

    fn json(&self, file: &PlanFile) -> Value {
        let head = self.head.as_ref();
        let counts = |effects: &BTreeMap<Effect, u64>| -> Value {
            Effect::ALL
                .iter()
                .map(|effect| (effect.to_string(), effects.get(effect).copied().unwrap_or_default().into()))
                .collect::<serde_json::Map<_, _>>()
                .into()
        };
        json!({
            "file": file.path(), "sha256": self.sha256, "messages": self.messages(),
            "from": head.map(|head| &head.from), "to": head.map(|head| &head.to),
            "made_at": head.map(|head| &head.made_at), "filters": head.map(|head| &head.filters),
            "predicted": self.reasons.iter().map(|(reason, effects)| (reason.clone(), counts(effects))).collect::<serde_json::Map<_, _>>(),
            "stay_for": self.unpaid, "older_than_tombstones": self.old, "hidden": self.hidden(),
            "brought": self.brought, "open": self.open,
        })
    }
}

pub(super) fn plan_json(file: &PlanFile, sums: &Sums) -> String {
    format!("{:#}\n", json!({ "dry_run": true, "plan": sums.json(file) }))
}

pub(super) fn plan_table(sums: &Sums) -> String {
    let mut rows =
        vec![["reason", "messages"].into_iter().chain(Effect::ALL.map(Effect::as_str)).map(str::to_owned).collect()];
    let row = |name: &str, effects: &BTreeMap<Effect, u64>| -> Vec<String> {
        let counts = Effect::ALL.map(|effect| effects.get(&effect).copied().unwrap_or_default());
        let all = counts.iter().sum::<u64>();
        [name.to_owned(), all.to_string()].into_iter().chain(counts.map(|count| count.to_string())).collect()
    };
    let mut all: BTreeMap<Effect, u64> = BTreeMap::new();
    for (reason, effects) in &sums.reasons {
        rows.push(row(reason, effects));
        for (effect, count) in effects {
            *all.entry(*effect).or_default() += count;
        }
    }
    rows.push(row("all", &all));
    let mut text = format!("{}\n\n{}", sums.title(), table(&rows));
    if sums.brought > 0 {
        text += &format!(
            "\n{} are brought already, by a run that began this plan; {} are to do\n",
            sums.brought, sums.open
        );
    }
    if sums.hidden() > 0 {
        text += &format!(
            "\nabout {} more are not in this plan: they were in somebody's hands when it was made\n",
            sums.hidden()
        );
    }
    for (sites, count) in &sums.unpaid {
        text += &format!("\n{count} stay in the source even so: they are owed to {sites} too\n");
    }
    if sums.old > 0 {
        text += &format!(
            "\n{} would or may be applied and are older than tombstones live: was their key deleted since, that is forgotten by now\n",
            sums.old
        );
    }
    if !sums.refused.is_empty() {
        text += "\nno site takes these, so they stay; --edit-with can mend them on the way:\n";
        for (id, why) in &sums.refused {
            text += &format!("  {id}  {why}\n");
        }
        let more = all.get(&Effect::Invalid).copied().unwrap_or_default()
            + all.get(&Effect::TooLarge).copied().unwrap_or_default();
        if more > LISTED_MAX as u64 {
            text += &format!("  and {} more; the plan's file has them all (--plan FILE)\n", more - LISTED_MAX as u64);
        }
    }
    text
}

/// What a run came to.
pub(super) struct Closing<'a> {
    pub(super) brought: u64,
    pub(super) seconds: f64,
    pub(super) tallies: BTreeMap<&'a str, Tally>,
    pub(super) failures: BTreeMap<String, String>,
    pub(super) end: &'a End,
    pub(super) resume: String,
}

impl Closing<'_> {
    /// Whether no work is left in the plan.
    pub(super) fn is_complete(&self) -> bool {
        let all = self.all();
        all.left + all.unseen + all.untried + all.unremoved == 0
    }

    pub(super) fn code(&self, sums: &Sums) -> Code {
        match self.end {
            End::Finished if self.is_complete() && !sums.overlooks() => Code::Done,
            End::Finished => Code::Remains,
            _ => Code::Failed,
        }
    }

    fn all(&self) -> Tally {
        let mut all = Tally::default();
        for tally in self.tallies.values() {
            all.planned += tally.planned;
            all.removed += tally.removed;
            all.kept += tally.kept;
            all.unremoved += tally.unremoved;
            all.left += tally.left;
            all.unseen += tally.unseen;
            all.untried += tally.untried;
            for (outcome, count) in &tally.done {
                *all.done.entry(*outcome).or_default() += count;
            }
        }
        all
    }

    fn rate(&self) -> f64 {
        #[allow(clippy::cast_precision_loss, reason = "for a figure with one digit")]
        let brought = self.brought as f64;
        if self.seconds > 0.0 { brought / self.seconds } else { 0.0 }
    }

    /// Why it ended early, with what to do.
    fn trouble(&self) -> Option<String> {
        let (why, advice) = match self.end {
            End::Finished => return None,
            End::Stopped => ("stopped".to_owned(), "nothing is lost"),
            End::Dark(places) => {
                let places: Vec<_> = places.iter().map(|(place, error)| format!("{place}: {error}")).collect();
                (format!("no target can be used: {}", places.join("; ")), "nothing is lost; once it is mended")
            }
            End::Source(error) => {
                (format!("the source cannot be read: {}", error.chain()), "nothing is lost; once it is mended")
            }
            End::Journal(error) => (format!("the journal cannot be written: {error}"), "once there is room"),
            End::Crowded(count) => (
                format!("{count} messages that are not of the plan are in the way"),
                "take more of them into one plan, or later",
            ),
        };
        Some(format!("{why}\n{advice}, go on with: {}", self.resume))
    }
}

fn counts(tally: &Tally) -> impl Iterator<Item = (&'static str, u64)> {
    let done = OUTCOMES.map(|outcome| (outcome.as_str(), tally.done.get(&outcome).copied().unwrap_or_default()));
    let rest = [
        ("removed", tally.removed),
        ("kept", tally.kept),
        ("left", tally.left),
        ("unseen", tally.unseen),
        (UNREMOVED, tally.unremoved),
        (UNTRIED, tally.untried),
    ];
    [("planned", tally.planned)].into_iter().chain(done).chain(rest)
}

const UNREMOVED: &str = "unremoved";
const UNTRIED: &str = "untried";

pub(super) fn closing_json(file: &PlanFile, sums: &Sums, closing: &Closing<'_>) -> String {
    let object = |tally: &Tally| -> Value {
        counts(tally).map(|(name, count)| (name.to_owned(), count.into())).collect::<serde_json::Map<_, _>>().into()
    };
    let end = match closing.end {
        End::Finished => "finished",
        End::Stopped => "stopped",
        End::Dark(_) => "target_unavailable",
        End::Source(_) => "source_unavailable",
        End::Journal(_) => "journal_failed",
        End::Crowded(_) => "crowded",
    };
    let reasons = closing.tallies.iter().map(|(reason, tally)| ((*reason).to_owned(), object(tally)));
    let json = json!({
        "plan": sums.json(file),
        "end": end,
        "trouble": closing.trouble(),
        "all": object(&closing.all()),
        "reasons": reasons.collect::<serde_json::Map<_, _>>(),
        "failures": closing.failures,
        "seconds": closing.seconds,
        "messages_per_second": closing.rate(),
    });
    format!("{json:#}\n")
}

pub(super) fn closing_table(sums: &Sums, closing: &Closing<'_>) -> String {
    let all = closing.all();
    // What only trouble brings has a column when there is trouble.
    let trouble: Vec<&str> = counts(&all).filter(|(_, count)| *count > 0).map(|(name, _)| name).collect();
    let told = |name: &str| !matches!(name, UNREMOVED | UNTRIED) || trouble.contains(&name);
    let counts = |tally: &Tally| counts(tally).filter(|(name, _)| told(name)).collect::<Vec<_>>();
    let names = counts(&all).into_iter().map(|(name, _)| name.to_owned());
    let mut rows: Vec<Vec<String>> = vec![["reason".to_owned()].into_iter().chain(names).collect()];
    let row = |name: &str, tally: &Tally| -> Vec<String> {
        [name.to_owned()].into_iter().chain(counts(tally).iter().map(|(_, count)| count.to_string())).collect()
    };
    rows.extend(closing.tallies.iter().map(|(reason, tally)| row(reason, tally)));
    rows.push(row("all", &all));
    let mut text = format!("{}\n\n{}\n", sums.title(), table(&rows));
    let rate = closing.rate();
    text += &format!("{} messages brought in {:.1} s, {rate:.0} a second\n", closing.brought, closing.seconds);
    for (errand, error) in &closing.failures {
        text += &format!("{errand}: {error}\n");
    }
    text += &remarks(sums, closing, &all);
    if let Some(trouble) = closing.trouble() {
        text += &format!("{trouble}\n");
    }
    text
}

/// What the counts mean, and what to do about them.
fn remarks(sums: &Sums, closing: &Closing<'_>, all: &Tally) -> String {
    let file = sums.is_of_a_file();
    let mut text = String::new();
    let mut remark = |count: u64, words: &str| {
        if count > 0 {
            text += &format!("{count} {words}\n");
        }
    };
    let kept = if file {
        "are confirmed by the target; the file stays as it is"
    } else {
        "are confirmed by the target and kept in the source, for the sites that are owed them too"
    };
    remark(all.kept, kept);
    let resume = format!(
        "are brought, and still in the source: they could not be removed; once that is mended, go on with: {}",
        closing.resume
    );
    remark(
        all.unremoved,
        if matches!(closing.end, End::Finished) { &resume } else { "are brought, and still in the source" },
    );
    remark(all.left, "are left in the source; --dry-run lists why, runbooks/dead-letters.md what to do");
    let unseen = if file {
        "did not come: their lines were changed since the plan was made; name another file for a new plan"
    } else {
        "did not come: another consumer has taken them, or they are put off for later"
    };
    remark(all.unseen, unseen);
    remark(all.untried, "were not tried yet");
    if sums.overlooks() {
        text += &format!(
            "about {} more were in somebody's hands when the plan was made, and are not in it: make another plan\n",
            sums.hidden()
        );
    }
    text
}

/// Columns of one width each, the first to the left.
fn table(rows: &[Vec<String>]) -> String {
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let line = |row: &Vec<String>| {
        let cells = row.iter().enumerate().map(|(column, cell)| {
            let width = width(column).unwrap_or_default();
            if column == 0 { format!("{cell:width$}") } else { format!("{cell:>width$}") }
        });
        format!("{}\n", cells.collect::<Vec<_>>().join("  "))
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use bridge_core::replay::{fingerprint::Fingerprint, plan::Prediction};

    use super::*;

    /// Of a write from before `forgotten` whatever may be applied counts, also where one of its stores cannot be asked.
    #[test]
    fn old_writes_are_told_of_wherever_they_may_be_applied() {
        use Effect::{Apply, Duplicate, StillOwed, Superseded};
        let old = |second: u32, effects: &[Effect]| {
            let errands =
                effects.iter().map(|effect| Prediction { to: "aws:us-east-1/store".to_owned(), effect: *effect });
            let entry = Entry {
                message: Fingerprint::of(0, "m", b""),
                queue: 0,
                message_id: "m".to_owned(),
                reason: "peer_unavailable".to_owned(),
                first_seen: None,
                bytes: 0,
                event_id: None,
                key: Some("k".to_owned()),
                version: Some(version(second)),
                source_region: None,
                errands: errands.collect(),
                unpaid: Vec::new(),
                refused: None,
            };
            let mut sums = Sums::default();
            sums.add(&entry, "2026-11-21T00:00:30Z".parse().unwrap());
            sums.old
        };
        for (second, effects, expected) in [
            (29, &[Apply][..], 1),
            (29, &[StillOwed, Apply], 1),
            (29, &[Duplicate, StillOwed], 1),
            (29, &[Duplicate, Superseded], 0),
            (29, &[], 0),
            (30, &[Apply, StillOwed], 0),
        ] {
            assert_eq!(old(second, effects), expected, "{second} {effects:?}");
        }
    }

    fn version(second: u32) -> String {
        let at = format!("2026-11-21T00:00:{second:02}Z").parse().unwrap();
        Version::new(at, &"aws:us-east-1".parse().unwrap(), uuid::Uuid::nil()).to_string()
    }
}
