//! Sends metrics and traces by OTLP over HTTP: in the background of a container, and before each answer of a function,
//! within a bound.
//!
//! The official exporters encode and send; when to send is decided here, because the SDK's own way is a thread that
//! a function's freezing would stop in the middle of a request. A receiver that is slow or gone costs a function its
//! bound once in a while, an event nothing, and telemetry what no longer fits into the buffer.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use opentelemetry::metrics::Counter;
use opentelemetry_otlp::{MetricExporter, RetryPolicy, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::{
    error::OTelSdkResult,
    metrics::{data::ResourceMetrics, exporter::PushMetricExporter, reader::MetricReader},
    trace::{SpanData, SpanExporter as _},
};
use tokio_util::sync::CancellationToken;
use url::Url;

use super::{metrics::Reader, settings::Settings};

/// Spans that wait to be sent. Ours: some 500 bytes each, so 2 MB at most; the oldest are given up.
const SPANS_MAX: usize = 4_096;
/// Spans of one request. The SDK's own batch.
const SPANS_AT_ONCE: usize = 512;
/// One request, in the background. OTLP's own default.
const REQUEST: Duration = Duration::from_secs(10);
/// The last sending of a container that ends.
const LAST: Duration = Duration::from_secs(2);
/// How long a function leaves a receiver alone that failed, at first and at most: each try may cost it its bound.
const REST: (Duration, Duration) = (Duration::from_secs(30), Duration::from_mins(5));

/// Where metrics and traces are sent.
#[derive(Debug)]
pub(super) struct Outlet {
    traces: Option<SpanExporter>,
    metrics: Option<(Reader, MetricExporter)>,
    interval: Duration,
    buffer: Mutex<Buffer>,
    dropped: Option<Counter<u64>>,
    /// Held while sending; who waits for it finds out what was sent meanwhile.
    sending: tokio::sync::Mutex<Sending>,
}

#[derive(Debug, Default)]
struct Buffer {
    spans: VecDeque<SpanData>,
    /// Grows with everything that is recorded.
    recorded: u64,
}

#[derive(Debug, Default)]
struct Sending {
    /// What [`Buffer::recorded`] was when the last sending began.
    sent: u64,
    /// Set by a failure: how long to leave the receiver alone, and from when.
    rest: Option<(Instant, Duration)>,
}

impl Outlet {
    /// None where `settings` name no receiver. Nothing is sent yet.
    pub(super) fn new(settings: &Settings) -> anyhow::Result<Option<Self>> {
        if settings.traces.is_none() && settings.metrics.is_none() {
            return Ok(None);
        }
        let traces = settings.traces.as_ref().map(|url| span_exporter(url, settings)).transpose()?;
        let metrics = settings.metrics.as_ref().map(|url| metric_exporter(url, settings)).transpose()?;
        Ok(Some(Self {
            traces,
            metrics: metrics.map(|exporter| (Reader::new(settings.temporality), exporter)),
            interval: settings.interval,
            buffer: Mutex::default(),
            dropped: None,
            sending: tokio::sync::Mutex::default(),
        }))
    }

    /// Counts what is given up.
    pub(super) fn counting(mut self, dropped: Counter<u64>) -> Self {
        dropped.add(0, &[]);
        self.dropped = Some(dropped);
        self
    }

    pub(super) fn reader(&self) -> Option<&Reader> {
        self.metrics.as_ref().map(|(reader, _)| reader)
    }

    pub(super) fn takes_traces(&self) -> bool {
        self.traces.is_some()
    }

    /// Notes that something was recorded, and keeps its spans to be sent; never waits.
    pub(super) fn take(&self, spans: Vec<SpanData>) {
        let mut buffer = self.buffer();
        buffer.recorded += 1;
        if self.traces.is_some() {
            buffer.spans.extend(spans);
            self.give_up_oldest(&mut buffer);
        }
    }

    fn give_up_oldest(&self, buffer: &mut Buffer) {
        let too_many = buffer.spans.len().saturating_sub(SPANS_MAX);
        buffer.spans.drain(..too_many);
        if let Some(dropped) = self.dropped.as_ref().filter(|_| too_many > 0) {
            dropped.add(too_many as u64, &[]);
        }
    }

    fn buffer(&self) -> std::sync::MutexGuard<'_, Buffer> {
        self.buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends at every interval until `stop`, and then once more. One failure in a row is told of.
    pub(super) async fn send_until(&self, stop: CancellationToken) {
        let mut failing = false;
        while !stop.is_cancelled() {
            tokio::select! {
                () = tokio::time::sleep(self.interval) => {}
                () = stop.cancelled() => break,
            }
            let sent = tokio::select! {
                sent = self.send() => sent,
                () = stop.cancelled() => break,
            };
            match (sent, failing) {
                (Err(error), false) => {
                    tracing::warn!(error, "telemetry was not sent; events are not concerned");
                    failing = true;
                }
                (Ok(()), true) => {
                    tracing::info!("telemetry is sent again");
                    failing = false;
                }
                _ => {}
            }
        }
        // A receiver that is known to fail must not delay the end.
        if !failing {
            let _ = tokio::time::timeout(LAST, self.send()).await;
        }
    }

    /// Sends what was recorded before the call, within `limit`, unless the receiver failed a while ago. Calls at the
    /// same time share a sending.
    pub(super) async fn flush(&self, limit: Duration) {
        let asked = self.buffer().recorded;
        let begun = Instant::now();
        let flushed = tokio::time::timeout(limit, async {
            let mut sending = self.sending.lock().await;
            let resting = sending.rest.is_some_and(|(since, rest)| since.elapsed() < rest);
            if resting || sending.sent >= asked {
                return;
            }
            // Taken for failed unless it turns out otherwise: at the limit this future is dropped where it stands.
            let before = sending.rest.map(|(_, rest)| rest);
            let next = before.map_or(REST.0, |rest| (rest * 2).min(REST.1));
            sending.rest = Some((Instant::now(), next));
            let recorded = self.buffer().recorded;
            match self.send_now().await {
                Ok(()) => *sending = Sending { sent: recorded, rest: None },
                Err(error) => tracing::warn!(error, "telemetry was not sent; tried again after {next:?}"),
            }
        });
        if flushed.await.is_err() {
            tracing::debug!(waited = ?begun.elapsed(), "telemetry was not sent in time");
        }
    }

    async fn send(&self) -> Result<(), String> {
        let mut sending = self.sending.lock().await;
        sending.sent = self.buffer().recorded;
        self.send_now().await
    }

    async fn send_now(&self) -> Result<(), String> {
        let mut result = Ok(());
        if let Some((reader, exporter)) = &self.metrics {
            let mut metrics = ResourceMetrics::default();
            let sent = match reader.collect(&mut metrics) {
                Ok(()) => exporter.export(&metrics).await,
                Err(error) => Err(error),
            };
            result = result.and(words("metrics", sent));
        }
        if let Some(exporter) = &self.traces {
            loop {
                let Some(batch) = Batch::take(self) else { break };
                let sent = exporter.export(batch.spans.clone()).await;
                let failed = sent.is_err();
                result = result.and(words("traces", sent));
                if failed {
                    break; // The batch goes back.
                }
                batch.done();
            }
        }
        result
    }
}

fn words(what: &str, sent: OTelSdkResult) -> Result<(), String> {
    sent.map_err(|error| format!("{what}: {error}"))
}

/// Spans on their way; they go back into the buffer unless they arrived, also when the sending is dropped.
struct Batch<'a> {
    outlet: &'a Outlet,
    spans: Vec<SpanData>,
}

impl<'a> Batch<'a> {
    fn take(outlet: &'a Outlet) -> Option<Self> {
        let mut buffer = outlet.buffer();
        let count = buffer.spans.len().min(SPANS_AT_ONCE);
        let spans: Vec<SpanData> = buffer.spans.drain(..count).collect();
        (!spans.is_empty()).then_some(Self { outlet, spans })
    }

    fn done(mut self) {
        self.spans.clear();
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        if self.spans.is_empty() {
            return;
        }
        let mut buffer = self.outlet.buffer();
        let newer = std::mem::take(&mut buffer.spans);
        buffer.spans.extend(self.spans.drain(..));
        buffer.spans.extend(newer);
        self.outlet.give_up_oldest(&mut buffer);
    }
}

fn span_exporter(url: &Url, settings: &Settings) -> anyhow::Result<SpanExporter> {
    let builder = SpanExporter::builder().with_http().with_endpoint(url.as_str()).with_timeout(REQUEST);
    let mut exporter = builder.with_retry_policy(RetryPolicy::disabled()).with_http_client(client(url)?).build()?;
    exporter.set_resource(&settings.resource);
    Ok(exporter)
}

fn metric_exporter(url: &Url, settings: &Settings) -> anyhow::Result<MetricExporter> {
    let builder = MetricExporter::builder().with_temporality(settings.temporality).with_http();
    let builder = builder.with_endpoint(url.as_str()).with_timeout(REQUEST);
    Ok(builder.with_retry_policy(RetryPolicy::disabled()).with_http_client(client(url)?).build()?)
}

fn client(url: &Url) -> anyhow::Result<reqwest::Client> {
    // Headers may carry a key: it goes where it was meant for, and nowhere else.
    let mut builder = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).timeout(REQUEST);
    if url.scheme() == "http" {
        builder = builder.no_proxy(); // Loopback, as everywhere.
    }
    Ok(builder.build()?)
}
