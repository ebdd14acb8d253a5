//! `bridge run`: works for one site until it is stopped.

use std::net::SocketAddr;

use tokio::net::TcpListener;

use super::SiteArg;
use crate::{
    assemble,
    config::Config,
    doctor::OwnSite,
    exit::Code,
    host, serve,
    telemetry::{Settings, Telemetry},
};

#[derive(Debug, clap::Args)]
#[command(after_help = "Example: bridge run --config bridge.toml --site aws:us-east-1")]
pub(crate) struct Args {
    #[command(flatten)]
    pub(super) site: SiteArg,
}

pub(crate) async fn run(config: Config) -> anyhow::Result<Code> {
    let site = config.own_site()?.clone();
    let stop = host::stop_signal()?;
    let listen = config.telemetry.metrics_listen;
    let telemetry = Telemetry::start(&Settings::of_process()?, listen.is_some())?;
    let listener = match listen {
        Some(address) => Some(listener(address).await?),
        None => None,
    };
    let worksite = assemble::worksite(&config, &site, &telemetry).await?;
    let own = OwnSite::of(&config, &worksite);
    // Telemetry outlives the work, so that the last batches are told of too.
    let worked = tokio_util::sync::CancellationToken::new();
    let work = async {
        let checked = tokio::select! {
            checked = own.check() => checked,
            // The work that follows ends at once, with its counts.
            () = stop.cancelled() => Ok(()),
        };
        if checked.is_ok() {
            host::container::work(&worksite, &own, config.container_of(&site), stop).await;
        }
        worked.cancel();
        checked
    };
    let serve = async {
        if let Some(listener) = listener
            && let Err(error) = telemetry.serve(listener, worked.clone()).await
        {
            tracing::warn!(error = format!("{error:#}"), "the metrics are not served any more");
        }
    };
    let (checked, (), ()) = tokio::join!(work, serve, telemetry.send_until(worked.clone()));
    checked.map(|()| Code::Done)
}

/// A place for the metrics. One that is taken is an error: whoever scrapes there would read another process.
pub(crate) async fn listener(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let listener = serve::listen(address, "worker.metrics_listen").await?;
    tracing::info!(address = %listener.local_addr()?, "serving /metrics and /health");
    Ok(listener)
}
