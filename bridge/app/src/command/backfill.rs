//! `bridge backfill`: fills the store of one site from another's, as for a new site.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use bridge_adapters::clock::SystemClock;
use bridge_core::{event::SiteId, text};
use bridge_ops::verify::{
    Trouble,
    backfill::{Backfill, Filled},
};
use serde_json::json;

use super::{
    ask,
    progress::Progress,
    verify::{ReadingArgs, failed, options},
};
use crate::{
    assemble,
    config::Config,
    doctor::OwnSite,
    exit::{Code, Misuse},
    host,
    tell::tell,
};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Copies every record, tombstones included, unless the target has the same or a later version. It is safe under traffic. Run it again to resume. Start the new site's worker first, so that it misses no event.\n\nExit codes: 0 done, 2 some items were left out (listed), 1 a store could not be read or written.\n\nExample: bridge backfill --from aws:us-east-1 --to azure:westeurope --dry-run --config bridge.toml"
)]
pub(crate) struct Args {
    /// Site to copy from
    #[arg(long, value_name = "SITE")]
    from: SiteId,
    /// Site to copy to
    #[arg(long, value_name = "SITE")]
    to: SiteId,
    #[command(flatten)]
    reading: ReadingArgs,
    /// Count the records it would write; change nothing
    #[arg(long)]
    dry_run: bool,
    /// Skip the confirmation
    #[arg(long)]
    yes: bool,
    /// List at most this many left-out items; all are counted
    #[arg(long, value_name = "ITEMS", default_value_t = 100)]
    limit: usize,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: Args, config: Config) -> anyhow::Result<Code> {
    for site in [&args.from, &args.to] {
        if !config.sites.contains_key(site) {
            let known: Vec<_> = config.sites.keys().map(SiteId::as_str).collect();
            return Err(Misuse(format!("there is no site {site}: the configuration has {}", known.join(", "))).into());
        }
    }
    if args.from == args.to {
        return Err(Misuse("--from and --to are the same site".to_owned()).into());
    }
    if !args.dry_run && !args.yes && !confirmed(&args)? {
        return Ok(Code::Failed);
    }
    let from = assemble::target(&config, &args.from).await?;
    let to = assemble::target(&config, &args.to).await?;
    OwnSite::check_store(&config, &args.to).await?;
    let stop = host::stop_signal()?;
    let options = options(&args.reading, &config, Duration::ZERO, args.limit, false);
    let progress = Mutex::new(Progress::new("records"));
    let note = |count: usize| progress.lock().unwrap_or_else(PoisonError::into_inner).add(count as u64);
    let trouble = |trouble: &Trouble| progress.lock().unwrap_or_else(PoisonError::into_inner).trouble(trouble);
    let backfill = Backfill {
        from: (&args.from, &*from.scan),
        to: (&args.to, &*to.store),
        clock: &SystemClock,
        options: &options,
        dry_run: args.dry_run,
        note: &note,
        trouble: &trouble,
    };
    let mut filled = Filled::default();
    let ended = tokio::select! {
        ended = backfill.run_into(&mut filled) => Some(ended),
        () = stop.cancelled() => None,
    };
    progress.lock().unwrap_or_else(PoisonError::into_inner).finish();
    let complete = matches!(ended, Some(Ok(())));
    if complete || filled.written > 0 {
        super::print(&if args.json { as_json(&args, &filled, complete)? } else { as_text(&args, &filled, complete) })?;
    }
    match ended {
        None => {
            tell!("stopped: what was written stays; run it again to go on");
            return Ok(Code::Interrupted);
        }
        Some(ended) => ended.map_err(|error| failed(&error))?,
    }
    Ok(if filled.left_out_all() == 0 { Code::Done } else { Code::Remains })
}

fn confirmed(args: &Args) -> anyhow::Result<bool> {
    if !ask::is_possible(args.json) {
        let advice = "this is no terminal to ask on: add --yes to run it, or --dry-run to look only";
        return Err(Misuse(advice.to_owned()).into());
    }
    ask::yes(&format!("Write to the store of {} what it lacks of {}?", args.to, args.from))
}

/// `complete`: whether that is all, and not what was done until it was stopped or failed.
fn as_json(args: &Args, filled: &Filled, complete: bool) -> anyhow::Result<String> {
    let (from, to) = (args.from.as_str(), args.to.as_str());
    let mut value = json!({ "from": from, "to": to, "dry_run": args.dry_run, "complete": complete });
    if let (Some(value), serde_json::Value::Object(members)) = (value.as_object_mut(), serde_json::to_value(filled)?) {
        value.extend(members);
    }
    Ok(format!("{value:#}\n"))
}

fn as_text(args: &Args, filled: &Filled, complete: bool) -> String {
    let written = if args.dry_run { "to be written" } else { "written" };
    let mut text = String::new();
    for item in &filled.left_out {
        text += &format!("left out: {}  {}\n", text::line(&item.key), item.why);
    }
    for (what, count) in [
        ("read", filled.read),
        (written, filled.written),
        ("kept", filled.kept),
        ("expired", filled.expired),
        ("foreign", filled.foreign),
        ("ahead", filled.ahead),
        ("refused", filled.refused),
    ] {
        text += &format!("{what:14}{count:>10}\n");
    }
    if !complete {
        return text;
    }
    let Args { from, to, .. } = args;
    text + &if args.dry_run {
        format!("\nnothing was changed; to do it: bridge backfill --from {from} --to {to}\n")
    } else {
        format!("\ncompare the two now: bridge verify --only {from} --only {to}\n")
    }
}
