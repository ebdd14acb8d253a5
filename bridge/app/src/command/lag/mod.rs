//! `bridge lag`: how far behind each site is, and what would be missing if one vanished now.

mod show;

use std::time::Duration;

use bridge_core::text::visible;
use bridge_ops::lag::{Report, owed::Trend, report::Level};

use crate::{assemble, config::Config, exit::Code, host};

/// How long to wait for an answer. Ours: longer than any of a healthy site, and short enough to look again and again.
pub(crate) const LIMIT: Duration = Duration::from_secs(3);

/// From one look of `--watch` to the next.
const WATCH: Duration = Duration::from_secs(2);

#[derive(Debug, clap::Args)]
#[command(
    after_help = "The lag between two sites is the time that the last heartbeat took from one site to the other's store. When the next heartbeat is overdue, the lag shows as late, with its known minimum, and then as silent. It never shows as zero. Below the sites stands what the dashboard finds, the worst first: bad (red there), warn (yellow) or unknown (grey), each with the next step.\n\nExit codes: 0 shown, 1 no site could be reached, 2 with --strict: a finding is bad or warn.\n\nExample: bridge lag --watch --config bridge.toml"
)]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
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
    /// End with exit code 2 if any finding is bad or warn, which the dashboard shows red or yellow
    #[arg(long, conflicts_with = "watch")]
    strict: bool,
}

pub(crate) async fn run(args: Args, config: Config) -> anyhow::Result<Code> {
    let observer = assemble::observer(&config, LIMIT).await?;
    let stop = host::stop_signal()?;
    let mut trend = Trend::default();
    loop {
        // Ctrl-C ends no look, as its end is seconds away: letters that it has taken would stay hidden for minutes.
        let mut report = observer.look(args.conflicts).await;
        if args.watch {
            trend.take(&mut report);
        }
        let text = text(&args, &report)?;
        let text = match (args.json, args.watch) {
            (true, _) => visible(&text),
            (false, watch) => super::fitted(&if watch { text.into() } else { visible(&text) }).into(),
        };
        // A closed pipe ends the watch, as nobody sees it any more.
        super::print_styled(&text)?;
        if !args.watch {
            return Ok(code(args.strict, &report));
        }
        tokio::select! {
            () = tokio::time::sleep(WATCH) => {}
            () = stop.cancelled() => return Ok(Code::Done),
        }
    }
}

fn code(strict: bool, report: &Report) -> Code {
    if report.sites.iter().all(|site| site.unreachable) {
        Code::Failed
    } else if strict && report.findings.iter().any(|finding| finding.level != Level::Unknown) {
        Code::Remains
    } else {
        Code::Done
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

#[cfg(test)]
mod tests {
    use bridge_ops::lag::report::{Finding, Site};

    use super::*;

    #[test]
    fn red_and_yellow_alone_make_an_exit_code_and_only_where_that_is_asked_for() {
        let report = |unreachable, level: Option<Level>| {
            let found = |level| Finding {
                level,
                place: String::new(),
                site: String::new(),
                text: String::new(),
                detail: None,
                next: String::new(),
                runbook: None,
                since: None,
                consequences: Vec::new(),
            };
            let sites = vec![Site { unreachable, ..Site::default() }];
            Report { sites, findings: level.map(found).into_iter().collect(), ..Report::default() }
        };
        let cases = [
            (None, Code::Done),
            (Some(Level::Unknown), Code::Done),
            (Some(Level::Warn), Code::Remains),
            (Some(Level::Bad), Code::Remains),
        ];
        for (level, strict) in cases {
            assert_eq!(code(true, &report(false, level)), strict, "{level:?}");
            assert_eq!(code(false, &report(false, level)), Code::Done, "{level:?}");
        }
        assert_eq!(code(true, &report(true, Some(Level::Bad))), Code::Failed, "no site was reached");
    }
}
