//! What was asked for, checked as a whole: every wrong flag is named at once, with what to write instead.

use std::{collections::BTreeSet, path::Path};

use bridge_adapters::lines::Lines;
use bridge_core::{event::SiteId, limits, text};
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
    pub(super) forget_sites: BTreeSet<SiteId>,
    pub(super) because: Option<String>,
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
    pub(super) forget_sites: BTreeSet<SiteId>,
    pub(super) because: Option<String>,
    /// The queues in which the messages of the plan that is there lie.
    pub(super) queues: Option<Vec<String>>,
}

impl Route {
    /// The site whose store a run writes into by itself.
    pub(super) fn store(&self) -> Option<&SiteId> {
        match &self.to {
            Target::Store(site) => Some(site),
            Target::Owed => self.from.site(),
            Target::Queue(_) | Target::Nowhere => None,
        }
    }
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
    /// The messages that were named, if any were.
    pub(super) fn message_ids(&self) -> Option<String> {
        let ids: Vec<_> = self.filter.message_ids.iter().map(|id| text::line(id)).collect();
        (!ids.is_empty()).then(|| ids.join(" or "))
    }

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
        let forget_sites: BTreeSet<SiteId> =
            faults.all("--forget-site", &args.forget_site, str::parse).into_iter().collect();
        for site in forget_sites.iter().filter(|site| config.knows(site).is_ok()) {
            faults.0.push(format!(
                "--forget-site: {site} is configured, so it can get what it is owed; remove it at every site first"
            ));
        }
        if let (Some(Target::Store(site)), false) = (&to, forget_sites.is_empty()) {
            faults.0.push(format!(
                "--forget-site: with --to {site}/store messages would leave that one store took and nobody else got; use --to owed, or --to SITE/queue of the site's new name"
            ));
        }
        let because = args
            .because
            .as_deref()
            .map(|text| text::bounded(text.trim(), limits::DETAIL_CHARS_MAX, limits::DETAIL_BYTES_MAX));
        if to == Some(Target::Nowhere) {
            nowhere(args, from.as_ref(), because.as_deref(), &mut faults);
        } else if because.is_some() && to.is_some() {
            faults.0.push("--because: it goes with --to nowhere".into());
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
                forget_sites,
                because,
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
            let Self { edit_with, edit_valid, accept_old, forget_sites, because, .. } = self.clone();
            return Ok(Route { from, to, edit_with, edit_valid, accept_old, forget_sites, because, queues: None });
        };
        let path = file.path().display();
        let mut other = Vec::new();
        let given = [
            ("--from", self.from.as_ref().map(ToString::to_string), Some(head.from.clone())),
            ("--to", self.to.as_ref().map(ToString::to_string), Some(head.to.clone())),
            ("--edit-with", self.edit_with.clone(), head.edit_with.clone()),
            ("--because", self.because.clone(), head.because.clone()),
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
        let planned: BTreeSet<_> = head.forget_sites.iter().map(String::as_str).collect();
        if !self.forget_sites.is_empty() && !self.forget_sites.iter().map(SiteId::as_str).eq(planned) {
            other.push(format!("--forget-site [{}]", head.forget_sites.join(" ")));
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
        let forget_sites = head.forget_sites.iter().map(|site| site.parse()).collect::<Result<_, _>>();
        let forget_sites = forget_sites.map_err(|error| Misuse(format!("{path}: {error}")))?;
        let Head { edit_with, edit_valid, accept_old, because, queues, .. } = head;
        Ok(Route { from, to, edit_with, edit_valid, accept_old, forget_sites, because, queues: Some(queues) })
    }

    /// Whether dead letters go to whom they are owed without a plan: nobody is asked, and nothing is said to be kept, chosen by hand or changed.
    pub(super) fn goes_at_once(&self, route: &Route, args: &Args) -> bool {
        let owed = matches!(route.from, Source::DeadLetters(_)) && route.to == Target::Owed;
        let as_it_lies = self.edit_with.is_none() && !self.accept_old && self.forget_sites.is_empty();
        let chosen = self.limit < u64::MAX || !self.filter.message_ids.is_empty();
        args.yes && !args.dry_run && args.plan.is_none() && owed && as_it_lies && !chosen
    }

    /// Whether it says enough for a plan to be made.
    pub(super) fn can_plan(&self) -> bool {
        self.from.is_some() && self.to.is_some()
    }
}

/// Whoever drops messages names each one, and says why.
fn nowhere(args: &Args, from: Option<&Source>, because: Option<&str>, faults: &mut Faults) {
    let wrong = [
        (
            from.is_some_and(|from| !matches!(from, Source::DeadLetters(_))),
            "--to nowhere: only dead letters are dropped: --from SITE/dlq",
        ),
        (
            args.filters.message_id.is_empty(),
            "--to nowhere: name each letter with --message-id, as --dry-run --list shows it",
        ),
        (because.is_none_or(str::is_empty), "--to nowhere: say why with --because; the plan and the log keep it"),
        (
            args.edit_with.is_some() || args.accept_old || !args.forget_site.is_empty(),
            "--to nowhere: --edit-with, --accept-old and --forget-site are for messages that are brought",
        ),
    ];
    faults.0.extend(wrong.into_iter().filter(|(wrong, _)| *wrong).map(|(_, words)| words.to_owned()));
}
