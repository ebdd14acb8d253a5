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
    after_help = "The lag from one site to another is how long the last heartbeat of the one took to the store of the other. Once the next is overdue it is shown as late, with the lag that is known at least, and then as silent: never as zero.\n\nExit codes: 0 shown, 1 no site could be reached.\n\nExample: bridge lag --watch --config bridge.toml"
)]
pub(crate) struct Args {
    /// Look again every two seconds until stopped
    #[arg(long)]
    watch: bool,
    /// Print JSON; with --watch a line a look
    #[arg(long)]
    json: bool,
    /// List the latest lost writes too: to another site, or to another content of the same event (kept where worker.conflicts is keep)
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
