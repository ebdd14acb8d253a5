//! The evidence: what was done and measured, as JSON, and every write in a file of its own.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
};

use anyhow::Context;
use bridge_core::property::rfc3339;
use bridge_ops::{
    drill::{Aftermath, Answer, Entry, Fate, Figures},
    lag::report::RecoveryPoint,
};
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{
    Args, course::Drill, earlier::Earlier, markdown, noticed::Told, operator::Done, outage::Trouble, writers::open,
};
use crate::exit::{Code, Misuse};

/// The version of the JSON's form.
const FORM: u32 = 1;

/// The endings of the files that a report is made of.
const FILES: [&str; 3] = ["jsonl", "json", "md"];

/// Refuses to write over evidence of an earlier drill.
pub(super) fn is_new(path: &Path) -> anyhow::Result<()> {
    let files = FILES.map(|extension| path.with_added_extension(extension));
    match files.iter().find(|file| file.exists()) {
        None => Ok(()),
        Some(file) => {
            let advice = format!("--report {}: {} is there already; name another", path.display(), file.display());
            Err(Misuse(advice).into())
        }
    }
}

/// Makes the file of writes, which must not be there yet.
pub(super) fn begin(path: &Path) -> anyhow::Result<()> {
    let file = path.with_added_extension(FILES[0]);
    std::fs::File::create_new(&file).with_context(|| format!("--report {}: {}", path.display(), file.display()))?;
    Ok(())
}

/// What a drill came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Passed,
    /// Nothing is lost, and something is still to be done.
    Owing,
    Failed,
    /// Somebody stopped it.
    Stopped,
}

impl Verdict {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Owing => "owing",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
        }
    }
}

/// All that is told of a drill.
pub(super) struct Report {
    pub(super) run: String,
    pub(super) verdict: Verdict,
    pub(super) failures: Vec<String>,
    pub(super) began_at: DateTime<Utc>,
    pub(super) ended_at: DateTime<Utc>,
    pub(super) failed_site: String,
    pub(super) sites: Vec<String>,
    pub(super) how: String,
    pub(super) settings: Value,
    /// None if nothing was made to fail.
    pub(super) figures: Option<Figures>,
    pub(super) predicted: Option<RecoveryPoint>,
    pub(super) trouble: Trouble,
    /// What `bridge lag` told of it.
    pub(super) told: Told,
    /// The drill that it is compared with.
    pub(super) earlier: Option<Earlier>,
    pub(super) timeline: Vec<(DateTime<Utc>, String)>,
    pub(super) commands: Vec<Done>,
    pub(super) writes: String,
    pub(super) writes_sha256: String,
    pub(super) writes_file: PathBuf,
}

impl Report {
    pub(super) fn new(
        drill: &mut Drill<'_>,
        figures: Option<Figures>,
        aftermath: &Aftermath,
        run: &str,
        path: &Path,
        stopped: bool,
    ) -> Self {
        let (args, book) = (drill.args, drill.book());
        let book = open(&book);
        let mut writes = String::new();
        for entry in book.entries() {
            let fate = Fate::of(&book, entry, args.late_after(), aftermath).filter(|_| figures.is_some());
            let _ = writeln!(writes, "{}", line(entry, fate));
        }
        let (mut failures, mut owing) = (std::mem::take(&mut drill.failures), std::mem::take(&mut drill.owing));
        if let Some(figures) = &figures {
            judge(figures, args, &mut failures, &mut owing);
        }
        let verdict = if stopped {
            Verdict::Stopped
        } else if !failures.is_empty() || figures.is_none() {
            Verdict::Failed
        } else if !owing.is_empty() {
            Verdict::Owing
        } else {
            Verdict::Passed
        };
        failures.extend(owing);
        Self {
            run: run.to_owned(),
            verdict,
            failures,
            began_at: drill.began_at,
            ended_at: chrono::DateTime::from(std::time::SystemTime::now()),
            failed_site: args.failing.to_string(),
            sites: drill.sites.iter().map(ToString::to_string).collect(),
            how: drill.outage.words(),
            settings: json!({
                "writes_per_second_and_site": args.rate, "steady_seconds": args.steady, "outage_seconds": args.outage,
                "patience_seconds": args.patience, "late_after_seconds": args.late_after, "rto_max_seconds": args.rto_max,
                "rpo_max_events": args.rpo_max, "by_hand": args.by_hand,
            }),
            figures,
            predicted: drill.predicted,
            trouble: args.trouble,
            told: drill.noticed.told(),
            earlier: None,
            timeline: std::mem::take(&mut drill.timeline),
            commands: std::mem::take(&mut drill.operator.done),
            writes_sha256: hex::encode(Sha256::digest(&writes)),
            writes,
            writes_file: path.with_added_extension("jsonl"),
        }
    }

    pub(super) fn code(&self) -> Code {
        match self.verdict {
            Verdict::Passed => Code::Done,
            Verdict::Owing => Code::Remains,
            Verdict::Failed => Code::Failed,
            Verdict::Stopped => Code::Interrupted,
        }
    }

    /// Writes all three files.
    pub(super) fn write(&self, path: &Path) -> anyhow::Result<()> {
        let texts = [self.writes.clone(), self.as_json()?, markdown::report(self)];
        for (extension, text) in FILES.into_iter().zip(texts) {
            let file = path.with_added_extension(extension);
            std::fs::write(&file, text).with_context(|| file.display().to_string())?;
        }
        Ok(())
    }

    pub(super) fn as_json(&self) -> anyhow::Result<String> {
        let since = |at: DateTime<Utc>| ((at - self.began_at).as_seconds_f64() * 1e3).round() / 1e3;
        let timeline: Vec<Value> = self
            .timeline
            .iter()
            .map(|(at, what)| json!({ "at": rfc3339(*at), "seconds": since(*at), "what": what }))
            .collect();
        let commands: Vec<Value> = self
            .commands
            .iter()
            .map(|done| {
                json!({
                    "command": done.command, "at": rfc3339(done.at), "seconds": done.seconds, "exit_code": done.exit_code,
                    "answer": done.answer, "complaint": done.complaint,
                })
            })
            .collect();
        let value = json!({
            "bridge_drill": FORM,
            "run": self.run,
            "bridge": env!("CARGO_PKG_VERSION"),
            "verdict": self.verdict.as_str(),
            "failures": self.failures,
            "began_at": rfc3339(self.began_at),
            "ended_at": rfc3339(self.ended_at),
            "failed_site": self.failed_site,
            "sites": self.sites,
            "how": self.how,
            "trouble": self.trouble.as_str(),
            "told": self.told,
            "compared_with": self.earlier.as_ref().map(|earlier| json!({ "run": earlier.run, "file": earlier.file })),
            "settings": self.settings,
            "figures": self.figures,
            "predicted_rpo": self.predicted,
            "timeline": timeline,
            "commands": commands,
            "writes": { "file": self.writes_file, "sha256": self.writes_sha256 },
        });
        Ok(format!("{}\n", serde_json::to_string_pretty(&value)?))
    }

    /// For the terminal: the verdict, the figures, where the rest is.
    pub(super) fn as_text(&self, path: &Path) -> String {
        let mut text = format!("\nThe drill {}.\n\n", markdown::verdict(self.verdict));
        for (name, figure, before) in markdown::figures(self) {
            text += format!("{name:58}{figure:>18}{:>18}", before.unwrap_or_default()).trim_end();
            text += "\n";
        }
        if let Some(earlier) = &self.earlier {
            text += &format!("\nThe last column is of {} ({}).\n", earlier.run, earlier.file.display());
        }
        for failure in &self.failures {
            text += &format!("\n{failure}\n");
        }
        text + &format!("\n{}\n", path.with_added_extension("md").display())
    }
}

/// What makes it fail, and what is merely left to do.
fn judge(figures: &Figures, args: &Args, grave: &mut Vec<String>, owing: &mut Vec<String>) {
    let fates = figures.fates;
    if fates.lost > 0 {
        grave.push(format!(
            "{} confirmed writes are LOST: no dead letter holds them (`\"fate\":\"lost\"` in the file of writes)",
            fates.lost
        ));
    }
    if fates.owed > 0 {
        let sites = "bridge replay --from SITE/dlq --to owed, runbooks/after-the-outage.md";
        owing.push(format!("{} confirmed writes are still owed: {sites}", fates.owed));
    }
    let (waiting, queued) = (fates.waiting, figures.queued_at_end);
    if waiting as u64 > queued {
        grave.push(format!("{waiting} confirmed writes are missing, and queues hold {queued} messages: some are LOST"));
    } else if waiting > 0 {
        let what = "may be in a queue, as these hold";
        owing.push(format!("{waiting} confirmed writes {what} {queued} messages: wait, and look with bridge lag"));
    }
    let wrong = &figures.wrong;
    for (keys, what) in [
        (&wrong.resurrected, "were deleted and came back"),
        (&wrong.undone, "fell back to an older state"),
        (&wrong.damaged, "hold another content than was written"),
    ] {
        if !keys.is_empty() {
            grave.push(format!("{} keys {what}: {}", keys.len(), keys.iter().cloned().collect::<Vec<_>>().join(", ")));
        }
    }
    match (figures.rto.readable_seconds, args.rto_max) {
        (None, _) if args.trouble.moves_users() => {
            grave.push("no write of the failed site's users could be read at another site".to_owned());
        }
        (Some(rto), Some(max)) if rto > max => {
            grave.push(format!("the recovery time of {rto} s is over --rto-max {max}"));
        }
        _ => {}
    }
    if args.rpo_max.is_some_and(|max| figures.rpo.events > max) {
        grave.push(format!("the recovery point of {} events is over --rpo-max", figures.rpo.events));
    }
}

/// One write, as a line of the file.
fn line(entry: &Entry, fate: Option<Fate>) -> Value {
    let (answer, why) = match &entry.answer {
        Answer::Confirmed(_) => ("confirmed", None),
        Answer::Refused(why) => ("refused", Some(why)),
        Answer::Unknown => ("unknown", None),
    };
    let seen: serde_json::Map<String, Value> =
        entry.seen_at.iter().map(|(site, at)| (site.to_string(), rfc3339(*at).into())).collect();
    json!({
        "event_id": entry.event.id.to_string(), "key": entry.event.key.as_str(), "op_type": entry.event.op.as_str(),
        "version": entry.event.version().as_str(), "user_of": entry.home.as_str(), "sent_to": entry.event.origin.as_str(),
        "written_at": rfc3339(entry.written_at), "answer": answer, "why": why,
        "confirmed_at": entry.confirmed_at().map(rfc3339), "seen_at": seen, "fate": fate,
    })
}
