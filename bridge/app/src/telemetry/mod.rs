//! What a worker tells of itself: logs, and, where somebody listens, metrics and traces.
//!
//! Everything starts from what the core says as data: verdicts, observations of calls, spans. Nothing here is ever in an
//! event's way: recording takes no lock that is held over I/O, buffers are bounded, and a listener that is slow, broken
//! or gone costs telemetry and never an event.

pub(crate) mod incidents;
pub(crate) mod logs;
mod metrics;
mod otlp;
pub(crate) mod outage;
mod prometheus;
mod settings;
mod site;
#[cfg(test)]
mod tests;
mod traces;

use std::sync::Arc;

use anyhow::Context;
use bridge_core::event::SiteId;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub(crate) use settings::Settings;
pub(crate) use site::SiteTelemetry;

use metrics::{Instruments, Reader};
use otlp::Outlet;

/// The telemetry of this process; off where nobody listens.
#[derive(Clone, Debug, Default)]
pub(crate) struct Telemetry(Option<Arc<Listening>>);

#[derive(Debug)]
struct Listening {
    instruments: Instruments,
    /// Keeps the instruments alive.
    _provider: SdkMeterProvider,
    /// Where metrics and traces are sent, if anywhere.
    outlet: Option<Arc<Outlet>>,
    /// What a scrape reads, if there is an endpoint for it.
    scraped: Option<Reader>,
}

impl Telemetry {
    /// Nobody listens.
    pub(crate) fn off() -> Self {
        Self::default()
    }

    /// Starts what `settings` ask for. `scraped`: whether there will be an endpoint for Prometheus.
    pub(crate) fn start(settings: &Settings, scraped: bool) -> anyhow::Result<Self> {
        let outlet = Outlet::new(settings).context("telemetry by OTLP")?;
        let scraped = scraped.then(Reader::cumulative);
        if outlet.is_none() && scraped.is_none() {
            return Ok(Self::off());
        }
        let mut provider = SdkMeterProvider::builder().with_resource(settings.resource.clone());
        for reader in scraped.iter().chain(outlet.as_ref().and_then(Outlet::reader)) {
            provider = provider.with_reader(reader.clone());
        }
        let provider = provider.build();
        let instruments = Instruments::new(&provider);
        let outlet = outlet.map(|outlet| Arc::new(outlet.counting(instruments.dropped.clone())));
        Ok(Self(Some(Arc::new(Listening { instruments, _provider: provider, outlet, scraped }))))
    }

    /// The telemetry of one site's worker.
    pub(crate) fn site<'a>(&self, site: &SiteId, peers: impl Iterator<Item = &'a SiteId>) -> SiteTelemetry {
        SiteTelemetry::new(self.0.clone(), site, peers)
    }

    /// Whether anybody listens at all.
    pub(crate) fn listens(&self) -> bool {
        self.0.is_some()
    }

    /// Whether somebody takes traces.
    pub(crate) fn takes_traces(&self) -> bool {
        self.outlet().is_some_and(|outlet| outlet.takes_traces())
    }

    fn outlet(&self) -> Option<&Arc<Outlet>> {
        self.0.as_ref()?.outlet.as_ref()
    }

    /// Sends in the background, until `stop`; then once more.
    pub(crate) async fn send_until(&self, stop: CancellationToken) {
        if let Some(outlet) = self.outlet() {
            outlet.send_until(stop).await;
        }
    }

    /// Serves `GET /metrics` and `GET /health` on `listener`, until `stop`.
    pub(crate) async fn serve(&self, listener: TcpListener, stop: CancellationToken) -> anyhow::Result<()> {
        let reader = self.0.as_ref().and_then(|listening| listening.scraped.clone());
        prometheus::serve(listener, reader.unwrap_or_else(Reader::cumulative), stop).await
    }
}
