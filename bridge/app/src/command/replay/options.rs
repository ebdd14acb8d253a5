//! What was asked for, checked as a whole: every wrong flag is named at once, with what to write instead.

use std::path::Path;

use bridge_adapters::lines::Lines;
use bridge_ops::replay::{
    filter::Filter,
    plan::Head,
    route::{Source, Target},
};

use super::{Args, files::PlanFile};
use crate::{config::Config, exit::Misuse};

/// What was asked for.
#[derive(Clone, Debug)]
pub(super) struct Request {
    from: Option<Source>,
    to: Option<Target>,
    pub(super) filter: Filter,
    pub(super) limit: u64,
    pub(super) rate: Option<f64>,
    pub(super) edit_with: Option<String>,
    pub(super) edit_valid: bool,
    pub(super) accept_old: bool,
    /// The filters as they were written.
    pub(super) words: Vec<String>,
}

/// From where to where, by the flags or by the plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Route {
    pub(super) from: Source,
    pub(super) to: Target,
    pub(super) edit_with: Option<String>,
    pub(super) edit_valid: bool,
    pub(super) accept_old: bool,
    /// The queues in which the messages of the plan that is there lie.
    pub(super) queues: Option<Vec<String>>,
}

/// Collects what is wrong.
#[derive(Debug, Default)]
pub(super) struct Faults(Vec<String>);

impl Faults {
    pub(super) fn read<T, E: std::fmt::Display>(&mut self, flag: &str, read: Result<T, E>) -> Option<T> {
        read.map_err(|error| self.0.push(format!("{flag}: {error}"))).ok()
    }

    pub(super) fn all<T, E: std::fmt::Display>(
        &mut self,
        flag: &str,
        texts: &[String],
        read: impl Fn(&str) -> Result<T, E>,
    ) -> Vec<T> {
        texts.iter().filter_map(|text| self.read(flag, read(text))).collect()
    }
}

impl Request {
    pub(super) fn read(args: &Args, config: &Config) -> Result<Self, Misuse> {
        let mut faults = Faults::default();
        let from = args.from.as_deref().and_then(|text| faults.read("--from", text.parse::<Source>()));
        let to = args.to.as_deref().and_then(|text| faults.read("--to", text.parse::<Target>()));
        for site in from.as_ref().and_then(Source::site).into_iter().chain(to.as_ref().and_then(Target::site)) {
            faults.read("--from and --to", config.knows(site));
        }
        if matches!(&from, Some(Source::File(path)) if path == "-") {
            faults.0.push(
                "--from: a replay reads its source twice, so standard input will not do: save it to a file".into(),
            );
        }
        if let Some(Source::File(path)) = from.as_ref().filter(|from| from.to_string() != "-") {
            faults.read("--from", Lines::of(Path::new(path)));
        }
        if let (Some(from), Some(to)) = (&from, &to)
            && from.to_string() == to.to_string()
        {
            faults.0.push(format!("--to: {to} is where the messages are"));
        }
        let filter = args.filters.read(&mut faults);
        if args.rate.is_some_and(|rate| !rate.is_finite() || rate <= 0.0) {
            faults.0.push("--rate: must be over 0; leave it out to go as fast as it goes".into());
        }
        if args.filters.limit == Some(0) {
            faults.0.push("--limit: must be over 0; --dry-run changes nothing".into());
        }
        if args.edit_valid && args.edit_with.is_none() && args.plan.is_none() {
            faults.0.push("--edit-valid: --edit-with names the program that edits".into());
        }
        if faults.0.is_empty() {
            let limit = args.filters.limit.unwrap_or(u64::MAX);
            Ok(Self {
                from,
                to,
                filter,
                limit,
                rate: args.rate,
                edit_with: args.edit_with.clone(),
                edit_valid: args.edit_valid,
                accept_old: args.accept_old,
                words: args.filters.words(),
            })
        } else {
            Err(Misuse(faults.0.join("\n        ")))
        }
    }

    /// From where to where: as the plan that is there has it, or as the flags have it.
    pub(super) fn route(&self, head: Option<Head>, file: &PlanFile, config: &Config) -> anyhow::Result<Route> {
        let Some(head) = head else {
            let (Some(from), Some(to)) = (self.from.clone(), self.to.clone()) else {
                let needed = "--from and --to are needed to make a plan, as in --from aws:us-east-1/dlq --to owed";
                let there_is_none = file.named().map(|path| format!("there is no plan at {}; ", path.display()));
                return Err(Misuse(there_is_none.unwrap_or_default() + needed).into());
            };
            let edit_with = self.edit_with.clone();
            let Self { edit_valid, accept_old, .. } = *self;
            return Ok(Route { from, to, edit_with, edit_valid, accept_old, queues: None });
        };
        let path = file.path().display();
        let mut other = Vec::new();
        let given = [
            ("--from", self.from.as_ref().map(ToString::to_string), Some(head.from.clone())),
            ("--to", self.to.as_ref().map(ToString::to_string), Some(head.to.clone())),
            ("--edit-with", self.edit_with.clone(), head.edit_with.clone()),
        ];
        for (flag, given, planned) in given {
            if given.is_some() && given != planned {
                other.push(format!("{flag} {}", planned.unwrap_or_else(|| "nothing".into())));
            }
        }
        for (flag, given, planned) in
            [("--edit-valid", self.edit_valid, head.edit_valid), ("--accept-old", self.accept_old, head.accept_old)]
        {
            if given && !planned {
                other.push(format!("no {flag}"));
            }
        }
        if !self.words.is_empty() && self.words != head.filters {
            other.push(format!("the filters [{}]", head.filters.join(" ")));
        }
        if !other.is_empty() {
            let what =
                format!("{path} holds a plan already, with {}: name another file for another plan", other.join(", "));
            return Err(Misuse(what).into());
        }
        let differences = head.made_for.differences(&config.frame());
        if !differences.is_empty() {
            return Err(file.is_of_another(&differences.join("; ")).into());
        }
        let read = |error: String| Misuse(format!("{path}: {error}"));
        let from: Source = head.from.parse().map_err(read)?;
        let to: Target = head.to.parse().map_err(read)?;
        for site in from.site().into_iter().chain(to.site()) {
            config.knows(site).map_err(read)?;
        }
        let Head { edit_with, edit_valid, accept_old, queues, .. } = head;
        Ok(Route { from, to, edit_with, edit_valid, accept_old, queues: Some(queues) })
    }
}
