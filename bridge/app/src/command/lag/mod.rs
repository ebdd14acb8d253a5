//! `bridge lag`: how far behind each site is, and what would be missing if one vanished now.

mod show;

use std::time::Duration;

use bridge_ops::lag::Report;

use crate::{assemble, config::Config, exit::Code, host};

/// How long to wait for an answer. Ours: longer than any of a healthy site, and short enough to look again and again.
pub(crate) const LIMIT: Duration = Duration::from_secs(3);

/// From one look of `--watch` to the next.
const WATCH: Duration = Duration::from_secs(2);

#[derive(Debug, clap::Args)]
#[command(
    after_help = "The lag between two sites is the time that the last heartbeat took from one site to the other's store. When the next heartbeat is overdue, the lag shows as late, with its known minimum, and then as silent. It never shows as zero.\n\nExit codes: 0 shown, 1 no site could be reached.\n\nExample: bridge lag --watch --config bridge.toml"
)]
pub(crate) struct Args {
    /// Repeat every two seconds until stopped
    #[arg(long)]
    watch: bool,
    /// Print JSON; with --watch, one line each time
    #[arg(long)]
    json: bool,
    /// Also list the latest lost writes: those that lost to another site, or to another content of the same event (needs worker.conflicts = keep)
    #[arg(long)]
    conflicts: bool,
}

pub(crate) async fn run(args: Args, config: Config) -> anyhow::Result<Code> {
    let observer = assemble::observer(&config, LIMIT).await?;
    let stop = host::stop_signal()?;
    loop {
        // Ctrl-C ends no look, as its end is seconds away: letters that it has taken would stay hidden for minutes.
        let report = observer.look(args.conflicts).await;
        let text = text(&args, &report)?;
        if args.watch && !args.json {
            super::print_styled(&text)?;
        } else {
            super::print(&text)?;
        }
        if !args.watch {
            let any = report.sites.iter().any(|site| !site.unreachable);
            return Ok(if any { Code::Done } else { Code::Failed });
        }
        tokio::select! {
            () = tokio::time::sleep(WATCH) => {}
            () = stop.cancelled() => return Ok(Code::Done),
        }
    }
}

fn text(args: &Args, report: &Report) -> anyhow::Result<String> {
    Ok(match (args.json, args.watch) {
        (true, true) => format!("{}\n", serde_json::to_string(report)?),
        (true, false) => format!("{}\n", serde_json::to_string_pretty(report)?),
        (false, false) => show::report(report),
        (false, true) => show::screen(report),
    })
}
