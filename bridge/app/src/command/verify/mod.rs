//! `bridge verify`: compares the stores of all sites, and repairs by the version order what it can.

mod show;

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use bridge_adapters::clock::SystemClock;
use bridge_core::{event::SiteId, failure::Recovery, port::Clock, retry::Backoff};
use bridge_ops::{
    lag::Observer,
    verify::{Failed, Note, Options, Report, Trouble, Verify},
};

use super::{lag::LIMIT, progress::Progress};
use crate::{
    assemble,
    config::Config,
    doctor::OwnSite,
    exit::{Code, Misuse},
    host,
    tell::tell,
};

/// Tries of one call on a store, the pauses between them, and after how long a failure is the last. Ours: about half a minute, as nobody
/// waits for a single key.
const ATTEMPTS_MAX: u32 = 7;
const GIVE_UP: Duration = Duration::from_secs(30);
const BACKOFF: Backoff = Backoff { base: Duration::from_millis(500), max: Duration::from_secs(20) };

/// Keys of ranges that differ that are held at a time. Ours: some 15 MB.
const KEYS_MAX: u64 = 50_000;

/// Looks at the queues, and the pause between two. Ours: no heartbeat is on its way for so long.
const LOOKS: u32 = 4;
const LOOK_PAUSE: Duration = Duration::from_millis(400);

/// Keys that are looked at, repaired or written at the same time.
const CONCURRENT: usize = 16;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "verify reads each store once, in segments, and compares digests of key ranges. It reads differing keys again after --settle, so that an event in flight does not count as drift. Keys that differ while at least as many messages wait that may mend them count as waiting. It is safe under traffic: a repair uses the workers' conditional writes.\n\nExit codes: 0 the stores agree (or were made to), 2 drift is left or differences wait for messages, 1 a store could not be read or written.\n\nExample: bridge verify --repair --config bridge.toml"
)]
pub(crate) struct Args {
    /// Write the latest version of a key to each site that lacks it
    #[arg(long)]
    repair: bool,
    /// Compare only these sites; repeat it for each site
    #[arg(long, value_name = "SITE")]
    only: Vec<SiteId>,
    #[command(flatten)]
    reading: ReadingArgs,
    /// Seconds that an event may be in flight between sites before its absence counts as drift
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    settle: u32,
    /// List at most this many keys; all are counted
    #[arg(long, value_name = "KEYS", default_value_t = 100)]
    limit: usize,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// How stores are read from end to end.
#[derive(Debug, clap::Args)]
pub(crate) struct ReadingArgs {
    /// Read this many segments of each store at once: one is gentle, more are faster on a large store
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024))]
    segments: u16,
    /// Read at most this many records per second from each store; without it, there is no limit
    #[arg(long, value_name = "PER SECOND", value_parser = rate)]
    rate: Option<f64>,
}

pub(crate) fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate: &f64| rate.is_finite() && *rate > 0.0);
    rate.ok_or_else(|| "a number over 0 is wanted".to_owned())
}

/// How to go about reading stores.
pub(crate) fn options(
    reading: &ReadingArgs,
    config: &Config,
    settle: Duration,
    findings_max: usize,
    repair: bool,
) -> Options {
    Options {
        segments: reading.segments.into(),
        rate: reading.rate,
        settle,
        keys_max: KEYS_MAX,
        concurrent: CONCURRENT,
        findings_max,
        attempts_max: ATTEMPTS_MAX,
        give_up: GIVE_UP,
        backoff: BACKOFF,
        repair,
        future_max: config.future_max,
        seed: fastrand::u64(..),
    }
}

/// What to say where a store cannot be used for good.
pub(crate) fn failed(failed: &Failed) -> anyhow::Error {
    let again = match failed.error.kind.recovery() {
        Recovery::Retry => ". Tried again and again until it was given up; run this once more when the store answers",
        Recovery::DeadLetter | Recovery::Halt => "",
    };
    let advice = format!("{}: {}; bridge doctor says what may be wrong with it{again}", failed, failed.error.chain());
    anyhow::anyhow!(advice)
}

pub(crate) async fn run(args: Args, config: Config) -> anyhow::Result<Code> {
    let mut sites = BTreeMap::new();
    for site in chosen(&args.only, &config)? {
        if args.repair {
            OwnSite::check_store(&config, &site).await?;
        }
        sites.insert(site.clone(), assemble::target(&config, &site).await?);
    }
    let stop = host::stop_signal()?;
    let options = options(&args.reading, &config, Duration::from_secs(args.settle.into()), args.limit, args.repair);
    let progress = Mutex::new(Stages { now: Progress::new(READING), looking: false });
    let note = |note: Note| progress.lock().unwrap_or_else(PoisonError::into_inner).note(note, args.settle);
    let trouble = |trouble: &Trouble| progress.lock().unwrap_or_else(PoisonError::into_inner).now.trouble(trouble);
    let clock = SystemClock;
    let verify = Verify { sites: &sites, clock: &clock, options: &options, note: &note, trouble: &trouble };
    let observer = assemble::observer(&config, LIMIT).await?;
    let mut report = Report::default();
    let ended = tokio::select! {
        ended = compare(&verify, &observer, &mut report) => Some(ended),
        () = stop.cancelled() => None,
    };
    progress.lock().unwrap_or_else(PoisonError::into_inner).now.finish();
    if !matches!(ended, Some(Ok(()))) && report.repaired() > 0 {
        super::print(&so_far(&report, args.json)?)?;
    }
    match ended {
        None => {
            tell!("stopped before all was compared: what was repaired stays so; run it again");
            return Ok(Code::Interrupted);
        }
        Some(ended) => ended.map_err(|error| failed(&error))?,
    }
    report.findings.sort_by(|one, other| one.key.cmp(&other.key));
    let tombstones_since = clock.now() - config.policy.tombstone_life;
    if args.json {
        super::print(&as_json(&report, true)?)?;
    } else {
        super::print_fitted(&show::report(&report, args.repair, tombstones_since))?;
    }
    Ok(if report.left == 0 && report.waiting == 0 { Code::Done } else { Code::Remains })
}

/// Compares; what differs is no drift if messages wait that may mend it. Messages that were worked off while it compared may have mended what it
/// had looked at before, so it compares once more then.
async fn compare(verify: &Verify<'_>, observer: &Observer, report: &mut Report) -> Result<(), Failed> {
    let mut waited = total(&messages_waiting(observer).await);
    if waited > 0 && !verify.options.repair {
        tell!("{waited} messages wait in queues or were set aside: some differences may be on their way (bridge lag)");
    }
    loop {
        verify.run_into(report).await?;
        if verify.options.repair || report.mendable() == 0 {
            return Ok(());
        }
        let messages = messages_waiting(observer).await;
        if total(&messages) > 0 || waited == 0 {
            report.consider(messages);
            return Ok(());
        }
        tell!("the messages that waited were worked off meanwhile: comparing once more");
        (*report, waited) = (Report::default(), 0);
    }
}

/// Messages that may mend a difference, by site: the least of some looks, as a heartbeat comes and goes. A site that does not answer is not
/// known.
async fn messages_waiting(observer: &Observer) -> BTreeMap<String, Option<u64>> {
    let mut least: BTreeMap<String, Option<u64>> = BTreeMap::new();
    for look in 0..LOOKS {
        if look > 0 {
            tokio::time::sleep(LOOK_PAUSE).await;
        }
        for (site, seen) in observer.may_mend().await {
            let least = least.entry(site).or_insert(seen);
            *least = (*least).min(seen).or(*least).or(seen);
        }
        if total(&least) == 0 {
            break;
        }
    }
    least
}

fn total(messages: &BTreeMap<String, Option<u64>>) -> u64 {
    messages.values().flatten().sum()
}

/// What was repaired until it was stopped or failed.
fn so_far(report: &Report, json: bool) -> anyhow::Result<String> {
    if json {
        return as_json(report, false);
    }
    let Report { keys_looked_at: looked, left, .. } = report;
    Ok(format!("so far {looked} keys were looked at, {} were repaired, and {left} are left\n", report.repaired()))
}

/// `complete`: whether all was compared.
fn as_json(report: &Report, complete: bool) -> anyhow::Result<String> {
    let mut value = serde_json::to_value(report)?;
    value["complete"] = complete.into();
    Ok(format!("{value:#}\n"))
}

const READING: &str = "records read";

/// Progress through readings, and the looks at single keys between them.
struct Stages {
    now: Progress,
    looking: bool,
}

impl Stages {
    fn note(&mut self, note: Note, settle: u32) {
        match note {
            Note::Read(count) => {
                if self.looking {
                    self.next(Progress::new(READING));
                }
                self.now.add(count as u64);
            }
            Note::Suspects(count) => {
                self.now.say(&format!("{count} keys differ; looking again in {settle} s"));
                self.next(Progress::of(count as u64, "keys looked at"));
                self.looking = true;
            }
            Note::Looked if self.looking => self.now.inc(),
            Note::Looked => {}
        }
    }

    fn next(&mut self, progress: Progress) {
        self.now.finish();
        self.now = progress;
        self.looking = false;
    }
}

/// The sites to compare.
fn chosen(only: &[SiteId], config: &Config) -> anyhow::Result<Vec<SiteId>> {
    if let Some(unknown) = only.iter().find(|site| !config.sites.contains_key(*site)) {
        let known: Vec<_> = config.sites.keys().map(SiteId::as_str).collect();
        return Err(Misuse(format!("--only {unknown}: the configuration has {}", known.join(", "))).into());
    }
    let mut sites: Vec<SiteId> = if only.is_empty() { config.sites.keys().cloned().collect() } else { only.to_vec() };
    sites.sort();
    sites.dedup();
    if sites.len() < 2 {
        return Err(Misuse("there is nothing to compare: name two sites or more with --only".to_owned()).into());
    }
    Ok(sites)
}
