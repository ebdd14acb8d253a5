//! `bridge doctor`: every assumption checked against the real accounts, each finding with how to mend it.

mod show;

use std::time::Duration;

use bridge_adapters::clock::SystemClock;
use bridge_core::{event::SiteId, port::Clock, probe};
use bridge_ops::doctor::{Finding, SiteFacts, State, Tries, examine};
use futures_util::future;
use uuid::Uuid;

use super::SiteArg;
use crate::{assemble, config::Config, doctor, exit::Code, host, telemetry::Telemetry};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Checks every site, or --site alone. It does what a worker does: it reads and writes a record under the reserved key _bridge/doctor/SITE, which expires after an hour, and sends a heartbeat. It only reads dead-letter queues.\n\nExit codes: 0 nothing is bad, 1 no site could be checked, 2 something is bad, or with --strict worth a warning.\n\nExample: bridge doctor --config bridge.toml"
)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(super) site: SiteArg,
    /// Only read: write no record and send no heartbeat
    #[arg(long)]
    read_only: bool,
    /// End with exit code 2 for warnings too
    #[arg(long)]
    strict: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: &Args, config: Config) -> anyhow::Result<Code> {
    let chosen = config.sites.keys().filter(|site| config.site.as_ref().is_none_or(|own| own == *site));
    let sites = future::try_join_all(chosen.map(|site| look(&config, site, args.read_only))).await?;
    let findings = examine(&sites, &doctor::figures(&config));
    if args.json {
        super::print(&show::json(&findings, &config))?;
    } else {
        super::print_styled(&super::fitted(&show::lines(&findings, &config)))?;
    }
    Ok(judge(&sites, &findings, args.strict))
}

fn judge(sites: &[SiteFacts], findings: &[Finding], strict: bool) -> Code {
    if !sites.iter().any(SiteFacts::any) {
        return Code::Failed;
    }
    let remains = |finding: &Finding| finding.state == State::Bad || strict && finding.state == State::Warning;
    if findings.iter().any(remains) { Code::Remains } else { Code::Done }
}

/// Looks at one site, and tries it. What fails is a fact.
async fn look(config: &Config, site: &SiteId, read_only: bool) -> anyhow::Result<SiteFacts> {
    let inspect = assemble::ports(config, site).await?.inspect;
    let tries = async { if read_only { Ok(None) } else { attempt(config, site).await.map(Some) } };
    let (facts, clocks, tries) =
        Box::pin(future::join3(doctor::look(config, site, &*inspect, LIMIT), inspect.clocks(LIMIT), tries)).await;
    Ok(SiteFacts { clocks, tries: tries?, ..facts })
}

/// For each look. Ours: longer than the adapters' own limits, so that their words are the ones that are told.
const LIMIT: Duration = Duration::from_secs(30);

/// Does what a worker does, with its own ports.
async fn attempt(config: &Config, site: &SiteId) -> anyhow::Result<Tries> {
    let worksite = assemble::worksite(config, site, &Telemetry::off()).await?;
    let store = &worksite.worker.store;
    // The heartbeat is stamped by the cloud's clock, as this machine's may be wrong.
    worksite.tally.look_at_clock(&worksite.worker).await;
    let probe = probe::record(site, Uuid::now_v7(), SystemClock.now());
    let (read, write, send) =
        future::join3(store.get(&probe.key), store.put_if_newer(&probe), host::send_heartbeat(&worksite)).await;
    worksite.close().await;
    Ok(Tries { read: read.map(drop), write: write.map(drop), send })
}
