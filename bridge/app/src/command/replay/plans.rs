//! `bridge plans`: the plans that nobody named, as replays that were killed or stopped leave them; and their removal.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use anyhow::Context;
use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::{files::PlanFile, folder};
use crate::{
    command::table::{Column, table},
    exit::Code,
};

/// Age of a file that no process writes any more. Ours: a plan is made within hours.
const ABANDONED: Duration = Duration::from_hours(24);

const DAY: Duration = Duration::from_hours(24);

#[derive(Debug, clap::Args)]
#[command(
    after_help = "A replay without --plan keeps its plan and its journal in $XDG_STATE_HOME/bridge/replays, or ~/.local/state/bridge/replays. It removes them when all is done. A plan that is removed before that loses nothing: a new plan brings what is left, and what was brought is a duplicate. Needs no configuration.\n\nExample: bridge plans --clean"
)]
pub(crate) struct Args {
    /// Remove the plans that have no message to bring, and what a killed planning left
    #[arg(long)]
    clean: bool,
    /// With --clean: also remove plans with messages to bring that nobody ran for so many days
    #[arg(long, value_name = "DAYS", requires = "clean")]
    older_than: Option<u16>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What lies in the folder under one name.
struct Left {
    path: PathBuf,
    /// The last write of the plan or of its journal.
    touched: SystemTime,
    holds: Holds,
}

enum Holds {
    Plan {
        from: String,
        to: String,
        messages: usize,
        open: usize,
    },
    /// What no plan was made of, or a journal without its plan.
    Remnant,
    /// One that cannot be read, and why.
    Unreadable(String),
}

impl Left {
    /// Whether `--clean` removes it.
    fn goes(&self, older_than: Option<u16>, now: SystemTime) -> bool {
        let age = now.duration_since(self.touched).unwrap_or_default();
        match &self.holds {
            Holds::Plan { open: 0, .. } => true,
            Holds::Remnant => age > ABANDONED,
            Holds::Plan { .. } | Holds::Unreadable(_) => older_than.is_some_and(|days| age > DAY * days.into()),
        }
    }

    fn touched_at(&self) -> String {
        bridge_core::property::rfc3339(DateTime::<Utc>::from(self.touched))
    }

    fn words(&self) -> String {
        match &self.holds {
            Holds::Plan { from, to, messages, open } => {
                format!("from {from} to {to}, {open} of {messages} messages to bring")
            }
            Holds::Remnant => "left by a planning or a run that was killed".to_owned(),
            Holds::Unreadable(why) => format!("cannot be read: {why}"),
        }
    }

    fn json(&self, removed: bool) -> Value {
        let mut value = json!({ "file": self.path, "touched_at": self.touched_at(), "removed": removed });
        match &self.holds {
            Holds::Plan { from, to, messages, open } => {
                for (name, field) in
                    [("from", json!(from)), ("to", json!(to)), ("messages", json!(messages)), ("open", json!(open))]
                {
                    value[name] = field;
                }
            }
            Holds::Remnant => {}
            Holds::Unreadable(why) => value["unreadable"] = why.as_str().into(),
        }
        value
    }
}

pub(crate) fn run(args: &Args) -> anyhow::Result<Code> {
    let now = SystemTime::now();
    let mut found = Vec::new();
    for folder in folder::folders() {
        found.extend(left_in(&folder).with_context(|| folder.display().to_string())?);
    }
    let mut shown = Vec::new();
    for left in found {
        let goes = args.clean && left.goes(args.older_than, now);
        if goes {
            remove(&left.path)?;
        }
        shown.push((left, goes));
    }
    if args.json {
        crate::command::print(&as_json(&shown))?;
    } else {
        crate::command::print_fitted(&as_text(&shown, args.clean))?;
    }
    Ok(Code::Done)
}

/// Plans, and files that belong to none. A folder that is not there has nothing, and one of somebody else has none of ours.
fn left_in(folder: &Path) -> io::Result<Vec<Left>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied) => {
            return Ok(Vec::new());
        }
        Err(error) => return Err(error),
    };
    let mut paths = entries.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<Vec<_>>>()?;
    paths.sort();
    let touched = |path: &Path| fs::metadata(path).and_then(|file| file.modified());
    let mut left = Vec::new();
    for path in &paths {
        let plan = path.extension().is_some_and(|end| end == "jsonl");
        let journal = PlanFile::left_over(path.clone()).journal();
        let belongs = path.extension().is_some_and(|end| end == "journal") && paths.contains(&path.with_extension(""));
        if belongs || !path.is_file() {
            continue;
        }
        let holds = if plan { plan_in(path) } else { Holds::Remnant };
        let touched = touched(path)?.max(touched(&journal).unwrap_or(SystemTime::UNIX_EPOCH));
        left.push(Left { path: path.clone(), touched, holds });
    }
    Ok(left)
}

fn plan_in(path: &Path) -> Holds {
    match PlanFile::left_over(path.to_owned()).load(DateTime::<Utc>::MIN_UTC) {
        Ok(loaded) => {
            let (from, to) = loaded.sums.head.map(|head| (head.from, head.to)).unwrap_or_default();
            Holds::Plan { from, to, messages: loaded.ledger.len(), open: loaded.ledger.open() }
        }
        Err(error) => Holds::Unreadable(format!("{error:#}")),
    }
}

fn remove(path: &Path) -> anyhow::Result<()> {
    fs::remove_file(path).with_context(|| path.display().to_string())?;
    let journal = PlanFile::left_over(path.to_owned()).journal();
    match fs::remove_file(&journal) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| journal.display().to_string())
        }
        _ => Ok(()),
    }
}

fn as_json(shown: &[(Left, bool)]) -> String {
    let plans: Vec<_> = shown.iter().map(|(left, removed)| left.json(*removed)).collect();
    format!("{:#}\n", json!({ "plans": plans }))
}

fn as_text(shown: &[(Left, bool)], clean: bool) -> String {
    if shown.is_empty() {
        return "no plan is left\n".to_owned();
    }
    let mut text = String::new();
    for (left, removed) in shown {
        let state = if *removed { "removed" } else { "kept" };
        let rows = [vec!["  last written".to_owned(), left.touched_at()], vec!["  holds".to_owned(), left.words()]];
        let head = if clean { format!("{state}  {}", left.path.display()) } else { left.path.display().to_string() };
        text += &format!("{head}\n{}", table(&[Column::Left(0)], &rows));
        if !*removed && matches!(&left.holds, Holds::Plan { open, .. } if *open > 0) {
            let resume = PlanFile::left_over(left.path.clone()).resume(None, None, None);
            text += &format!("  to go on with it: {resume}\n");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_work_left_goes_only_when_it_is_old_and_that_is_asked_for() {
        let now = SystemTime::now();
        let plan = |open| Holds::Plan { from: String::new(), to: String::new(), messages: 3, open };
        let goes = |holds, days: u64, older_than| {
            Left { path: PathBuf::new(), touched: now - DAY * u32::try_from(days).unwrap(), holds }
                .goes(older_than, now)
        };
        assert!(goes(plan(0), 0, None), "it is done");
        assert!(!goes(plan(1), 400, None) && !goes(plan(1), 6, Some(7)) && goes(plan(1), 8, Some(7)));
        assert!(!goes(Holds::Remnant, 0, None) && goes(Holds::Remnant, 2, None), "somebody may be making it");
        assert!(!goes(Holds::Unreadable(String::new()), 9, None) && goes(Holds::Unreadable(String::new()), 9, Some(7)));
    }
}
