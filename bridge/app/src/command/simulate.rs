//! `bridge simulate`: worlds of sites on memory and virtual time, in which everything goes wrong by a seed.

use std::collections::BTreeMap;

use bridge_simulation::{
    run::{Outcome, Settings, simulate},
    scenario::SITES_MAX,
    sweep::{Sweep, repeats, sweep},
    world::Rule,
};
use serde_json::{Value, json};

use super::progress::Progress;
use crate::{
    exit::{Code, Misuse},
    host,
    tell::tell,
};

#[derive(Debug, clap::Args)]
#[command(after_help = "Example: bridge simulate --seed 1 --seeds 1000\n\
                  Prints the story of the first seed that breaks a rule, and the line that repeats it; exit code 1 then.\n\
                  No cloud and no configuration is needed.")]
pub(crate) struct Args {
    /// First seed; a seed always makes the same world, with the same trace
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
    /// Number of seeds to run, on all cores
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// Sites in each world; the seed decides if this is not given
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(2..=SITES_MAX as i64))]
    sites: Option<u8>,
    /// Rule by which stores accept writes: the bridge's, or one that people write by hand
    #[arg(long, value_enum, default_value_t)]
    rule: RuleArg,
    /// Print the trace of the seed, even if no rule was broken
    #[arg(long, conflicts_with = "seeds")]
    trace: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum RuleArg {
    /// Last writer wins by (timestamp, site, event id); a delete leaves a tombstone
    #[default]
    Bridge,
    /// Timestamps compared as texts, rows removed on delete, no fence against stamps from the future
    ByHand,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<Code> {
    let Some(end) = args.seed.checked_add(args.seeds) else {
        return Err(Misuse("--seed and --seeds together are more than there are seeds: 2^64".to_owned()).into());
    };
    let rule = if args.rule == RuleArg::Bridge { Rule::Bridge } else { Rule::ByHand };
    let settings = Settings { sites: args.sites.map(usize::from), rule, traced: false };
    let stop = host::stop_signal()?;
    let (args, swept, first, stopped) = tokio::task::spawn_blocking(move || {
        // A seed that does not repeat itself would make whatever is found worthless, so that is looked at first.
        let first = repeats(args.seed, settings).map_err(anyhow::Error::msg)?;
        let progress = std::sync::Mutex::new(Progress::of(args.seeds, "seeds"));
        let tell = || drop(progress.lock().map(|mut progress| progress.inc()));
        let swept = sweep(args.seed..end, settings, &tell, &|| stop.is_cancelled());
        if let Ok(progress) = progress.into_inner() {
            progress.finish();
        }
        let stopped = swept.seeds < args.seeds;
        anyhow::Ok((args, swept, first, stopped))
    })
    .await??;
    let text = if args.json { as_json(&args, &swept, &first) } else { as_text(&args, &swept, &first, settings) };
    super::print(&text)?;
    if stopped {
        tell!("stopped: {} of {} seeds were run", swept.seeds, args.seeds);
    }
    Ok(match swept.bad {
        0 if stopped => Code::Interrupted,
        0 => Code::Done,
        _ => Code::Failed,
    })
}

/// The line that repeats one seed.
fn line(args: &Args, seed: u64) -> String {
    let sites = args.sites.map(|sites| format!(" --sites {sites}")).unwrap_or_default();
    let rule = if args.rule == RuleArg::ByHand { " --rule by-hand" } else { "" };
    format!("bridge simulate --seed {seed}{sites}{rule} --trace")
}

fn as_text(args: &Args, swept: &Sweep, first: &Outcome, settings: Settings) -> String {
    let mut text = String::new();
    if args.trace {
        text.push_str(&story(first));
    } else if let Some(bad) = swept.failed.first() {
        text.push_str(&story(&simulate(bad.seed, Settings { traced: true, ..settings })));
    }
    for outcome in &swept.failed {
        let (seed, count) = (outcome.seed, outcome.violations.len());
        text.push_str(&format!("seed {seed}: {count} violations, the first: {}\n", outcome.violations[0]));
    }
    if let Some(bad) = swept.failed.first() {
        text.push_str(&format!("repeat it with: {}\n", line(args, bad.seed)));
    }
    text.push_str(&format!("{swept}\n"));
    text
}

/// What happened, line by line.
fn story(outcome: &Outcome) -> String {
    let mut text = format!("the world of seed {}: {}\n", outcome.seed, outcome.counts);
    for line in &outcome.trace {
        text.push_str(line);
        text.push('\n');
    }
    text
}

fn as_json(args: &Args, swept: &Sweep, first: &Outcome) -> String {
    let failed: Vec<Value> = swept
        .failed
        .iter()
        .map(|outcome| {
            let violations = outcome
                .violations
                .iter()
                .map(|violation| json!({ "checker": violation.checker.as_str(), "what": violation.what }));
            json!({
                "seed": outcome.seed,
                "violations": violations.collect::<Vec<_>>(),
                "repeat": line(args, outcome.seed),
            })
        })
        .collect();
    let mut report = json!({
        "seeds": swept.seeds,
        "bad": swept.bad,
        "events": swept.events,
        "deliveries": swept.deliveries,
        "virtual_seconds": swept.elapsed.as_secs(),
        "broken": swept.broken.iter().map(|(checker, worlds)| (checker.as_str(), *worlds)).collect::<BTreeMap<_, _>>(),
        "failed": failed,
    });
    if args.trace {
        report["trace"] = json!(first.trace);
    }
    format!("{report:#}\n")
}
