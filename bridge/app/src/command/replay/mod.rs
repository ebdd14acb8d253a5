//! `bridge replay`: brings messages to where they are owed, by a plan that can be looked at first.

mod edit;
mod files;
mod filters;
mod folder;
mod options;
mod pass;
mod planning;
pub(super) mod plans;
mod report;
mod run;
mod sums;

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex},
};

use bridge_adapters::clock::SystemClock;
use bridge_core::{event::SiteId, limits, port::Queue};
use bridge_ops::replay::{
    frame::Frame,
    plan::{Entry, Head},
    planner::Missed,
    setting::{Editor, Place, Setting},
};

use self::{
    edit::Program,
    filters::FilterArgs,
    options::{Request, Route},
};
use super::ask;
use crate::{
    assemble,
    config::Config,
    doctor::OwnSite,
    exit::{Code, Misuse},
    host,
    telemetry::incidents::Log,
    tell::tell,
};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "It is a plan first: which messages, where each goes, and what it will do there. --dry-run prints that and changes nothing. Dead letters go to owed with --yes in one pass without a plan, unless --plan names a file for one. A message leaves its source only when all that it is owed to have confirmed it; a run that was killed goes on with --resume. A filter looks at a message as it lies in its source, before --edit-with. Messages whose field cannot be read are counted and stay.\n\nExample: bridge replay --from aws:us-east-1/dlq --to owed --dry-run --config bridge.toml"
)]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct Args {
    /// Where messages are: SITE/dlq (the site's dead letters, its own and the broker's), SITE/queue, or a file of events
    #[arg(long, value_name = "SOURCE")]
    from: Option<String>,
    /// Where they go: owed (each to just the sites that have not confirmed it), SITE/queue, SITE/store, or nowhere: that drops the
    /// dead letters that --message-id names
    #[arg(long, value_name = "TARGET")]
    to: Option<String>,
    #[command(flatten)]
    filters: FilterArgs,
    /// At most so many messages a second; as fast as it goes, unless given
    #[arg(long, value_name = "PER SECOND")]
    rate: Option<f64>,
    /// Print the plan and change nothing
    #[arg(long)]
    dry_run: bool,
    /// List every message of the plan, each with its reason, its effect and the detail
    #[arg(long, requires = "dry_run")]
    list: bool,
    /// Save the plan in this file, or run the one that is in it
    #[arg(long, value_name = "FILE")]
    plan: Option<PathBuf>,
    /// Go on with a plan that was begun: what its journal, FILE.journal, has is not done again
    #[arg(long, requires = "plan")]
    resume: bool,
    /// Pipe the body of each message that no site takes through this program (by `sh -c`), and send what it prints if that
    /// is a valid event
    #[arg(long, value_name = "COMMAND")]
    edit_with: Option<String>,
    /// Pipe the bodies of valid messages through it too; a changed event needs a new `event_id` and `timestamp`
    #[arg(long)]
    edit_valid: bool,
    /// Bring events that are older than deletes are remembered (`too_old`) too, each to all sites: was a key deleted after
    /// such an event, it is back
    #[arg(long)]
    accept_old: bool,
    /// Give up what this site is owed: it is no longer configured. Letters that only such sites are owed leave their queue; may be
    /// repeated
    #[arg(long, value_name = "SITE", value_delimiter = ',')]
    forget_site: Vec<String>,
    /// Why messages are dropped; goes into the plan and the log
    #[arg(long, value_name = "TEXT")]
    because: Option<String>,
    /// Run the plan without asking
    #[arg(long)]
    yes: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// `config_flag`: the configuration, where a flag names it; for the command that goes on.
pub(crate) async fn run(args: Args, config: Config, config_flag: Option<&str>) -> anyhow::Result<Code> {
    let request = Request::read(&args, &config)?;
    let asks = ask::is_possible(args.json);
    if !args.dry_run && !args.yes && !asks {
        return Err(
            Misuse("this is no terminal to ask on: add --yes to run it, or --dry-run to look only".into()).into()
        );
    }
    let stop = host::stop_signal()?;

    // 1. The plan: the one that is there, or a new one.
    let mut file = files::PlanFile::at(args.plan.clone())?;
    if request.can_plan() {
        file.discard_if_empty()?;
    }
    let route = request.route(file.head()?, &file, &config)?;
    if file.is_there() && !args.resume && !args.dry_run && file.journal().exists() {
        let (plan, journal) = (file.path().display(), file.journal());
        let advice = format!("{plan} was begun already: add --resume to go on, or remove {}", journal.display());
        return Err(Misuse(advice).into());
    }
    // Whoever writes into a store looks first whether it keeps what it gets, as repairs and backfills do.
    if let (false, Some(site)) = (args.dry_run, route.store()) {
        OwnSite::check_store(&config, site).await?;
    }
    let program = route.edit_with.as_deref();
    if let Some(program) = program {
        // A plan is a file that somebody else may have written, and a program runs as the one who runs the plan.
        if file.is_there() && !args.dry_run && request.edit_with.is_none() {
            let flag = shlex::try_quote(program).unwrap_or_default();
            let path = file.path().display();
            return Err(Misuse(format!(
                "{path} edits its messages with a program that its author chose: {program}. If that is what you want, name it: --edit-with {flag}"
            ))
            .into());
        }
        tell!("edits with: {program}");
    }
    let program = program.map(Program::new);
    let setting = setting(&config, &route, program.as_ref().map(|program| program as &dyn Editor)).await?;
    if request.goes_at_once(&route, &args) {
        let again = pass::again(&request, &route, config_flag);
        let code = pass::bring(&setting, &request, (config.frame(), again, args.json), &stop).await;
        close(&setting).await;
        return code;
    }
    if let Some(planned) = &route.queues
        && *planned != labels(&setting)
    {
        close(&setting).await;
        let (planned, now) = (planned.join(", "), labels(&setting).join(", "));
        return Err(file
            .is_of_another(&format!("its messages lay in {planned}, and {} is made of {now} now", route.from))
            .into());
    }
    if !file.is_there() {
        let made = planning::make(&setting, &request, config.frame(), &file, &stop).await;
        if made.is_err() || stop.is_cancelled() {
            close(&setting).await;
        }
        if !made? {
            tell!("stopped before the plan was whole: nothing was changed");
            return Ok(Code::Interrupted);
        }
    }

    // 2. What it says.
    let loaded = file.load(setting.clock.now() - limits::age_max(setting.tombstone_life))?;
    let sums = &loaded.sums;
    if !args.dry_run && file.journal().exists() && loaded.ledger.open() == 0 {
        close(&setting).await;
        return Err(Misuse(sums.done_already(&file)).into());
    }
    if let (true, Some(ids)) = (sums.is_empty(), request.message_ids()) {
        close(&setting).await;
        file.end(true);
        tell!("{} has no message {ids}; --dry-run --list shows those that are there", route.from);
        return Ok(Code::Failed);
    }
    if args.dry_run || (!args.yes && !args.json) {
        let mut listed = Vec::new();
        if args.list && args.json {
            file.entries(|entry| {
                listed.push(serde_json::to_value(entry)?);
                Ok(())
            })?;
        }
        let listed = args.list.then_some(listed);
        if args.json {
            super::print(&sums::as_json(&file, sums, listed))?;
        } else {
            super::print_fitted(&sums::as_table(sums))?;
        }
    }
    if args.list && !args.json {
        super::print("\nevery message of the plan:\n")?;
        file.entries(|entry| super::print_fitted(&format!("  {}\n", sums::line(&entry))))?;
    }
    if args.dry_run && !args.json {
        super::print(&format!("\n{}\n", file.offer(config_flag, route.edit_with.as_deref())))?;
    }
    let answer = match args.dry_run {
        true => Some(false),
        false if args.yes || loaded.ledger.is_empty() => Some(true),
        false => ask::yes_unless("\nRun it?", &stop).await?,
    };
    if answer != Some(true) {
        close(&setting).await;
        file.end(true);
        return Ok(match answer {
            None => Code::Interrupted,
            _ if args.dry_run => Code::Done,
            _ => Code::Failed,
        });
    }

    // 3. Carry it out.
    if sums.drops() > 0 {
        let because = route.because.as_deref().unwrap_or("only sites that were given up are owed it");
        file.entries(|entry| {
            note_drop(&entry, because);
            Ok(())
        })?;
    }
    let resume = file.resume(config_flag, request.rate, route.edit_with.as_deref());
    let manner = run::Manner { rate: request.rate, json: args.json, resume, stop: &stop };
    let code = run::carry_out(&setting, loaded, &file, manner).await;
    close(&setting).await;
    code
}

/// Leaves a trace of a message that no site gets.
fn note_drop(entry: &Entry, because: &str) {
    if entry.dropped {
        let Entry { message_id, reason, event_id, key, source_region, .. } = entry;
        let (event_id, key, source_region) = (event_id.as_deref(), key.as_deref(), source_region.as_deref());
        tracing::warn!(message_id, reason, event_id, key, source_region, because, "dropping a dead letter");
    }
}

/// All that a plan and a run work with.
async fn setting<'a>(config: &Config, route: &Route, editor: Option<&'a dyn Editor>) -> anyhow::Result<Setting<'a>> {
    let mut places = BTreeMap::new();
    for site in config.sites.keys() {
        let ports = assemble::ports(config, site).await?;
        places.insert(site.clone(), Place { queue: ports.queue, store: ports.store });
    }
    Ok(Setting {
        sources: assemble::sources(config, &route.from).await?,
        source: route.from.clone(),
        target: route.to.clone(),
        places,
        rules: config.rules(&any_site(config)),
        key_pointer: config.policy.key_pointer.clone(),
        tombstone_life: config.policy.tombstone_life,
        attempts_max: config.policy.peer_attempts_max,
        backoff: config.policy.peer_retry,
        editor,
        edit_valid: route.edit_valid,
        accept_old: route.accept_old,
        forget_sites: route.forget_sites.clone(),
        inflight_bytes_max: config.inflight_bytes_max,
        incidents: Arc::new(Log),
        clock: Arc::new(SystemClock),
        rng: Mutex::new(fastrand::Rng::new()),
    })
}

/// An event is held against the rules of its own origin, so which site stands here does not matter.
fn any_site(config: &Config) -> SiteId {
    config.sites.keys().next().cloned().expect("a configuration without a site is refused")
}

async fn close(setting: &Setting<'_>) {
    let queues =
        setting.sources.iter().map(|from| &from.queue).chain(setting.places.values().map(|place| &place.queue));
    futures_util::future::join_all(queues.map(|queue: &Arc<dyn Queue>| queue.close())).await;
}

/// The queues of the source, as a plan names them.
fn labels(setting: &Setting<'_>) -> Vec<String> {
    setting.sources.iter().map(|from| from.queue.to_string()).collect()
}

/// The head of a plan that is to be made. `missed`: messages that it does not have.
fn head(setting: &Setting<'_>, request: &Request, made_for: Frame, missed: Missed) -> Head {
    Head {
        bridge_replay_plan: bridge_ops::replay::plan::FORM,
        made_at: bridge_core::property::rfc3339(setting.clock.now()),
        from: setting.source.to_string(),
        to: setting.target.to_string(),
        queues: labels(setting),
        hidden: missed.hidden,
        unreadable: missed.unreadable,
        made_for,
        edit_with: request.edit_with.clone(),
        edit_valid: request.edit_valid,
        accept_old: request.accept_old,
        forget_sites: request.forget_sites.iter().map(ToString::to_string).collect(),
        because: request.because.clone(),
        filters: request.words.clone(),
    }
}
