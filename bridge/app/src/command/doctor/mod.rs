//! `bridge doctor`: every assumption checked against the real accounts, each finding with how to mend it.

mod mend;
mod show;

use bridge_adapters::clock::SystemClock;
use bridge_core::{event::SiteId, port::Clock, probe};
use bridge_ops::doctor::{self, Figures, Finding, SiteFacts, State, Tries};
use futures_util::future;
use uuid::Uuid;

use crate::{
    assemble,
    config::{Config, SiteConfig},
    exit::Code,
    host,
    telemetry::Telemetry,
};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Looks at every site (or at --site alone), and tries what a worker does: it reads and writes a record under the reserved key _bridge/doctor/SITE, which expires after an hour, and sends a heartbeat. Dead-letter queues are looked at only.\n\nExit codes: 0 all good, 1 nothing could be looked at, 2 something is to be mended.\n\nExample: bridge doctor --config bridge.toml"
)]
pub(crate) struct Args {
    /// Look only: write no record and send no heartbeat
    #[arg(long)]
    read_only: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: &Args, config: Config) -> anyhow::Result<Code> {
    let chosen = config.sites.keys().filter(|site| config.site.as_ref().is_none_or(|own| own == *site));
    let sites = future::try_join_all(chosen.map(|site| look(&config, site, args.read_only))).await?;
    let figures = Figures {
        tombstone_life: config.policy.tombstone_life,
        attempts_max: config.policy.attempts_max,
        clock_skew_max: config.clock_skew_max,
        sites: config.sites.len(),
    };
    let findings = doctor::examine(&sites, &figures);
    let text = if args.json { show::json(&findings, &config) } else { show::lines(&findings, &config) };
    super::print(&text)?;
    Ok(judge(&sites, &findings))
}

fn judge(sites: &[SiteFacts], findings: &[Finding]) -> Code {
    if !sites.iter().any(|facts| facts.looks.any()) {
        return Code::Failed;
    }
    if findings.iter().all(|finding| finding.state == State::Good) { Code::Done } else { Code::Remains }
}

/// Looks at one site, and tries it. What fails is a fact.
async fn look(config: &Config, site: &SiteId, read_only: bool) -> anyhow::Result<SiteFacts> {
    let inspector = assemble::inspector(config, site).await?;
    let tries = async { if read_only { Ok(None) } else { attempt(config, site).await.map(Some) } };
    let (looks, tries) = future::join(inspector.look(), tries).await;
    let lease = match &config.sites[site] {
        SiteConfig::Aws(aws) => aws.lease,
        SiteConfig::Azure(azure) => azure.lease,
    };
    let message_bytes_max = config.sites[site].message_bytes_max() as u64;
    Ok(SiteFacts { site: site.clone(), message_bytes_max, lease, looks, tries: tries? })
}

/// Does what a worker does, with its own ports.
async fn attempt(config: &Config, site: &SiteId) -> anyhow::Result<Tries> {
    let worksite = assemble::worksite(config, site, &Telemetry::off()).await?;
    let store = &worksite.worker.store;
    let probe = probe::record(site, Uuid::now_v7(), SystemClock.now());
    let (read, write, send) =
        future::join3(store.get(&probe.key), store.put_if_newer(&probe), host::send_heartbeat(&worksite)).await;
    worksite.close().await;
    Ok(Tries { read: read.map(drop), write: write.map(drop), send })
}
