//! `bridge drill`: makes a site fail, goes on writing, fails over, brings what is owed, and measures all of it from outside.

mod course;
mod earlier;
mod markdown;
mod noticed;
mod operator;
mod outage;
mod report;
mod watch;
mod writers;

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, AtomicUsize},
    },
    time::Duration,
};

use anyhow::Context;
use bridge_adapters::clock::SystemClock;
use bridge_core::{event::SiteId, port::Clock};
use bridge_ops::drill::{Aftermath, Book, Figures};
use url::Url;

use self::{
    course::Drill,
    earlier::Earlier,
    noticed::Noticed,
    operator::Operator,
    outage::{Outage, Trouble},
    report::Report,
    writers::Writers,
};
use super::{ask, lag::LIMIT};
use crate::{
    assemble,
    config::Config,
    exit::{Code, Misuse},
    host,
    tell::tell,
};

/// What a drill says that was asked to stop.
const STOPPED: &str = "stopped before its end";

/// How long a drill waits for what should happen, unless told otherwise. Ours: circuits and leases end within half a minute each,
/// retries come within five minutes.
const PATIENCE_SECONDS: u32 = 300;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Simulated users write at every site, under keys of their own (_bridge/drill/...). The drill makes the site fail and moves its users to another site. It replays the waiting events with the commands of the runbooks. It restores the site, replays what the site is still owed, and compares all stores. It times each write from outside: when the queue confirmed it, and when each store showed it.\n\nIt writes three files: a report for people (.md), one for machines (.json), and every write (.jsonl).\n\nExit codes: 0 passed, 1 failed, 2 nothing is lost, but something is still owed or differs.\n\nExample: bridge drill aws:us-east-1 --admin http://127.0.0.1:PORT (which bridge local prints)"
)]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct Args {
    /// Site to make fail
    #[arg(value_name = "SITE")]
    failing: SiteId,
    /// What fails: with --admin by itself, else by your commands
    #[arg(long, value_enum, default_value_t = Trouble::Site)]
    trouble: Trouble,
    /// Admin endpoint of `bridge local`, which injects the fault
    #[arg(long, value_name = "URL", conflicts_with_all = ["fail", "restore"])]
    admin: Option<Url>,
    /// Shell command that makes the site fail, for example by disabling its trigger; without it the drill asks you to
    #[arg(long, value_name = "COMMAND", requires = "restore")]
    fail: Option<String>,
    /// Shell command that restores the site; always run
    #[arg(long, value_name = "COMMAND", requires = "fail")]
    restore: Option<String>,
    /// Writes per second at each site
    #[arg(long, value_name = "PER SECOND", default_value_t = 10.0, value_parser = rate)]
    rate: f64,
    /// Seconds of normal operation before the site fails
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    steady: u32,
    /// Minimum seconds that the site stays away
    #[arg(long, value_name = "SECONDS", default_value_t = 20)]
    outage: u32,
    /// Seconds to wait for an expected change before it counts as missing
    #[arg(long, value_name = "SECONDS", default_value_t = PATIENCE_SECONDS, value_parser = clap::value_parser!(u32).range(1..))]
    patience: u32,
    /// A confirmed write is late if it takes longer than this to reach every site
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    late_after: u32,
    /// Fail the drill if recovery takes longer
    #[arg(long, value_name = "SECONDS")]
    rto_max: Option<f64>,
    /// Fail the drill if more events would be lost should the site never return
    #[arg(long, value_name = "EVENTS")]
    rpo_max: Option<usize>,
    /// Replay nothing: you follow the runbooks while the drill measures
    #[arg(long)]
    by_hand: bool,
    /// Skip the final comparison, which reads all stores from end to end
    #[arg(long)]
    without_verify: bool,
    /// Write the report to PATH.md, PATH.json and PATH.jsonl; none may exist yet
    #[arg(long, value_name = "PATH")]
    report: Option<PathBuf>,
    /// Compare with this earlier report (.json); without it, with the last of the same site and trouble beside the new one
    #[arg(long, value_name = "FILE")]
    compare: Option<PathBuf>,
    /// Skip the confirmation, also on real clouds
    #[arg(long)]
    yes: bool,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

impl Args {
    fn steady(&self) -> Duration {
        Duration::from_secs(self.steady.into())
    }

    fn outage(&self) -> Duration {
        Duration::from_secs(self.outage.into())
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(self.patience.into())
    }

    fn late_after(&self) -> Duration {
        Duration::from_secs(self.late_after.into())
    }
}

/// `source`: where the configuration came from, for the commands that the drill runs.
pub(crate) async fn run(args: Args, config: Config, source: Option<String>) -> anyhow::Result<Code> {
    let sites: Vec<SiteId> = config.sites.keys().cloned().collect();
    config.knows(&args.failing).map_err(Misuse)?;
    let Some(survivor) = sites.iter().find(|site| **site != args.failing).cloned() else {
        return Err(Misuse("there is no site to fail over to: the configuration has one only".to_owned()).into());
    };
    let outage = match (&args.admin, &args.fail, &args.restore) {
        (Some(admin), _, _) => Outage::of_localcloud(admin, args.trouble, &args.failing)?,
        (None, Some(fail), Some(restore)) => Outage::Commands { fail: fail.clone(), restore: restore.clone() },
        _ => Outage::ByHand,
    };
    outage.check().await?;
    let began_at = SystemClock.now();
    let run = format!("{}-{:04x}", began_at.format("%Y%m%dT%H%M%SZ"), fastrand::u16(..));
    let path = args.report.clone().unwrap_or_else(|| PathBuf::from(format!("bridge-drill-{run}")));
    report::is_new(&path)?;
    let earlier = Earlier::find(&args, &path)?;
    if outage.is_real() && !args.yes && !confirmed(&args, &outage)? {
        tell!("that is not the site's name: nothing was made to fail");
        return Ok(Code::Failed);
    }
    let stop = host::stop_signal()?;

    let observer = Arc::new(assemble::observer(&config, LIMIT).await?);
    let book = Arc::new(Mutex::new(Book::new(sites.clone())));
    let (mut queues, mut stores) = (std::collections::BTreeMap::new(), watch::Stores::new());
    for site in &sites {
        let ports = assemble::ports(&config, site).await?;
        queues.insert(site.clone(), ports.queue);
        stores.insert(site.clone(), ports.store);
    }
    let writers = Arc::new(Writers {
        run: run.clone(),
        queues,
        book,
        key_pointer: config.policy.key_pointer.clone(),
        failing: args.failing.clone(),
        serving: Mutex::new(args.failing.clone()),
        failures: AtomicU32::new(0),
        made: AtomicUsize::new(0),
    });
    let mut drill = Drill {
        args: &args,
        sites,
        survivor,
        outage,
        observer,
        stores,
        writers,
        operator: Operator { config: source, stop: stop.clone(), done: Vec::new() },
        stop,
        began_at,
        timeline: Vec::new(),
        course: None,
        noticed: Noticed::default(),
        predicted: None,
        failures: Vec::new(),
        owing: Vec::new(),
    };
    // That it can be written is known before anything fails.
    report::begin(&path)?;
    let went = drill.run().await;
    let mut report = conclude(&mut drill, went, &run, &path).await?;
    report.earlier = earlier;
    for queue in drill.writers.queues.values() {
        queue.close().await;
    }
    report.write(&path)?;
    super::print(&if args.json { report.as_json()? } else { report.as_text(&path) })?;
    Ok(report.code())
}

/// What came of it all: the last looks, the figures, the verdict.
async fn conclude(
    drill: &mut Drill<'_>,
    went: anyhow::Result<()>,
    run: &str,
    path: &std::path::Path,
) -> anyhow::Result<Report> {
    let stopped = drill.stop.is_cancelled();
    if (stopped || went.is_err()) && drill.course.is_some() {
        drill.owing.push(left_behind(&drill.args.failing, &drill.sites));
    }
    if let Err(error) = went {
        drill.failures.push(format!("{error:#}"));
    }
    let book = drill.book();
    let (held, unread) = watch::held(&drill.stores, &book).await;
    drill.failures.extend(unread);
    let mut aftermath = Aftermath { held, ..Aftermath::default() };
    if writers::open(&book).missing().next().is_some() && !stopped {
        let folder = std::env::temp_dir().join(format!("bridge-drill-{run}"));
        std::fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        match drill.letters(&folder).await {
            Ok(found) => aftermath.letters = found,
            Err(error) => drill.failures.push(format!("{error:#}")),
        }
        aftermath.queued = drill.queued().await;
        let _ = std::fs::remove_dir_all(&folder);
    }
    if !drill.args.without_verify && !stopped && drill.course.is_some() {
        drill.say("comparing all stores as a whole".to_owned());
        let done = drill.operator.run(&["verify", "--settle", "3", "--limit", "10"]).await?;
        match done.exit_code {
            Some(0) => {}
            Some(2) => {
                let count =
                    |name: &str| done.answer.as_ref().and_then(|answer| answer[name].as_u64()).unwrap_or_default();
                let left = count("left") + count("waiting");
                drill.owing.push(format!(
                    "the stores differ in {left} keys, which may be older than the drill: bridge verify, runbooks/stores-differ.md"
                ));
            }
            _ => drill.failures.push(format!("bridge verify failed: {}", done.complaint.unwrap_or_default())),
        }
    }
    // What was not waited for must not be told as lost.
    let course = drill.course.as_ref().filter(|_| !stopped);
    let figures = course.map(|course| Figures::of(&writers::open(&book), course, &aftermath));
    drill.tidy().await;
    Ok(Report::new(drill, figures, &aftermath, run, path, stopped))
}

/// What a drill that did not come to its end may leave behind: applications wrote meanwhile, too.
fn left_behind(site: &SiteId, sites: &[SiteId]) -> String {
    let lines: Vec<_> = sites
        .iter()
        .filter(|other| *other != site)
        .map(|other| format!("bridge replay --from {other}/dlq --to owed"))
        .collect();
    format!(
        "what {site} is still owed of the time in which it was away, by your applications too, lies in the dead letters of the others: {}; runbooks/after-the-outage.md",
        lines.join(", ")
    )
}

/// Writes a second. Ours: fewer than one in 100 s show nothing, and more than 1,000 are a load test and no drill.
fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate: &f64| (0.01..=1_000.0).contains(rate));
    rate.ok_or_else(|| "a number from 0.01 to 1000 is wanted".to_owned())
}

fn confirmed(args: &Args, outage: &Outage) -> anyhow::Result<bool> {
    if !ask::is_possible(args.json) {
        let advice = "this is no terminal to ask on: add --yes to let it fail";
        return Err(Misuse(advice.to_owned()).into());
    }
    tell!(
        "{} will fail, {}, for {} s or longer, and what it is owed is replayed.\nThis is no localcloud: what your applications write there is concerned too.",
        args.failing,
        outage.words(),
        args.outage
    );
    Ok(ask::line("Write the site's name to go on:")? == args.failing.as_str())
}
