//! What a run came to, as a table and as JSON.

use std::collections::BTreeMap;

use bridge_ops::replay::{journal::Outcome, ledger::Tally, run::End};
use serde_json::{Value, json};

use super::{files::PlanFile, sums::Sums};
use crate::command::table::{Column, table_or_blocks};
use crate::exit::Code;

const OUTCOMES: [Outcome; 4] = [Outcome::Sent, Outcome::Applied, Outcome::Superseded, Outcome::Duplicate];

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
            End::Stopped => Code::Interrupted,
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
            End::Journal(error) => (format!("the journal {error}"), "once there is room"),
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
        ("unremoved", tally.unremoved),
        ("untried", tally.untried),
    ];
    [("planned", tally.planned)].into_iter().chain(done).chain(rest)
}

pub(super) fn closing_json(file: Option<&PlanFile>, sums: &Sums, closing: &Closing<'_>) -> String {
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
    // What did not happen has no column, but for what everybody looks for.
    let some: Vec<&str> = counts(&all).filter(|(_, count)| *count > 0).map(|(name, _)| name).collect();
    let told = |name: &str| ["planned", "removed", "left"].contains(&name) || some.contains(&name);
    let counts = |tally: &Tally| counts(tally).filter(|(name, _)| told(name)).collect::<Vec<_>>();
    let names = counts(&all).into_iter().map(|(name, _)| name.to_owned());
    let mut rows: Vec<Vec<String>> = vec![["reason".to_owned()].into_iter().chain(names).collect()];
    let row = |name: &str, tally: &Tally| -> Vec<String> {
        [name.to_owned()].into_iter().chain(counts(tally).iter().map(|(_, count)| count.to_string())).collect()
    };
    rows.extend(closing.tallies.iter().map(|(reason, tally)| row(reason, tally)));
    rows.push(row("all", &all));
    let mut text = format!("{}\n\n{}\n", sums.title(), table_or_blocks(&[Column::Left(0), Column::Right(0)], &rows));
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
        "are done with, and still in the source: they could not be removed; once that is mended, go on with: {}",
        closing.resume
    );
    remark(
        all.unremoved,
        if matches!(closing.end, End::Finished) { &resume } else { "are done with, and still in the source" },
    );
    remark(all.left, "are left in the source; --dry-run --list shows why, runbooks/dead-letters.md what to do");
    let unseen = if file {
        "did not come: their lines were changed since the plan was made; name another file for a new plan"
    } else {
        "did not come: another consumer has taken them, or they are put off for later; a new plan holds those that are there then"
    };
    remark(all.unseen, unseen);
    remark(all.untried, "were not tried yet");
    for told in sums.unreadable() {
        text += &format!("{told}\n");
    }
    if sums.hidden() > 0 {
        text += &format!(
            "about {} more were in somebody's hands when the plan was made, and are not in it: make another plan\n",
            sums.hidden()
        );
    }
    text
}
