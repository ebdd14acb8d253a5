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

use bridge_adapters::endpoint;
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
    /// Grows with every call that wants a sending.
    asked: u64,
}

#[derive(Debug, Default)]
struct Sending {
    /// What [`Buffer::asked`] was when the last sending began.
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

    /// Keeps spans to be sent; never waits.
    pub(super) fn take(&self, spans: Vec<SpanData>) {
        if self.traces.is_some() && !spans.is_empty() {
            let mut buffer = self.buffer();
            buffer.spans.extend(spans);
            self.give_up_oldest(&mut buffer);
        }
    }

    fn ask(&self) -> u64 {
        let mut buffer = self.buffer();
        buffer.asked += 1;
        buffer.asked
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
        let asked = self.ask();
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
            let sent = self.buffer().asked;
            match self.send_now().await {
                Ok(()) => *sending = Sending { sent, rest: None },
                Err(error) => tracing::warn!(error, "telemetry was not sent; tried again after {next:?}"),
            }
        });
        if flushed.await.is_err() {
            tracing::debug!(waited = ?begun.elapsed(), "telemetry was not sent in time");
        }
    }

    async fn send(&self) -> Result<(), String> {
        let _one_at_a_time = self.sending.lock().await;
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
    let builder = endpoint::client(url).redirect(reqwest::redirect::Policy::none()).timeout(REQUEST);
    Ok(builder.build()?)
}

#[cfg(test)]
mod tests {
    use std::{
        net::TcpListener,
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
    };

    use bridge_core::{
        port::{Delivery, Properties, Receipt},
        settlement::Settlement,
        trace::{Trace, TraceParent},
        worker::Verdict,
    };
    use chrono::DateTime;
    use opentelemetry_sdk::metrics::SdkMeterProvider;

    use super::*;
    use crate::telemetry::traces;

    fn outlet(signal: &str, address: std::net::SocketAddr) -> Outlet {
        let variable = format!("OTEL_EXPORTER_OTLP_{signal}_ENDPOINT");
        let settings = Settings::read(&[(variable, format!("http://{address}/"))].into()).unwrap();
        Outlet::new(&settings).unwrap().unwrap()
    }

    fn spans(count: usize) -> Vec<SpanData> {
        let at = DateTime::UNIX_EPOCH;
        let context: TraceParent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0b4902b7-01".parse().unwrap();
        let trace = Trace { context, parent: None, start: at, end: at, steps: Vec::new() };
        let verdict = Verdict { settlement: Settlement::Ack, write: None, event: None, trace: None };
        let delivery = Delivery {
            receipt: Receipt("r".to_owned()),
            message_id: "m".to_owned(),
            attempt: 1,
            first_seen: None,
            body: "".into(),
            properties: Properties::new(),
        };
        let mut spans = Vec::new();
        for _ in 0..count {
            traces::push(&mut spans, &trace, &"aws:us-east-1".parse().unwrap(), &delivery, &verdict);
        }
        spans
    }

    #[tokio::test]
    async fn what_nobody_takes_is_kept_up_to_a_bound() {
        let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let outlet = outlet("TRACES", nobody);
        outlet.take(spans(SPANS_MAX + 10));
        assert_eq!(outlet.buffer().spans.len(), SPANS_MAX);
        outlet.flush(Duration::from_secs(10)).await;
        assert_eq!(outlet.buffer().spans.len(), SPANS_MAX, "what was on its way went back");
        assert!(outlet.sending.lock().await.rest.is_some());
    }

    #[tokio::test]
    async fn a_receiver_that_hangs_costs_the_limit_once() {
        let hangs = TcpListener::bind("127.0.0.1:0").unwrap();
        let outlet = outlet("TRACES", hangs.local_addr().unwrap());
        outlet.take(spans(1));
        let limit = Duration::from_millis(200);
        let begun = Instant::now();
        outlet.flush(limit).await;
        assert!(begun.elapsed() >= limit);
        assert_eq!(outlet.buffer().spans.len(), 1, "a sending that is dropped loses nothing");
        let begun = Instant::now();
        for _ in 0..100 {
            outlet.flush(limit).await;
        }
        assert!(begun.elapsed() < limit, "it is left alone for a while");
    }

    /// The first sending may have begun too early for the others; one more is enough for all of them.
    #[tokio::test]
    async fn calls_at_the_same_time_share_a_sending() {
        let requests = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&requests);
        let take = move || {
            count.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(50))
        };
        let router = axum::Router::new().fallback(take);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let outlet = outlet("METRICS", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let provider = SdkMeterProvider::builder().with_reader(outlet.reader().unwrap().clone()).build();
        let limit = Duration::from_secs(10);
        futures_util::future::join_all((0..16).map(|_| outlet.flush(limit))).await;
        assert_eq!(requests.load(Ordering::SeqCst), 2);
        outlet.flush(limit).await;
        assert_eq!(requests.load(Ordering::SeqCst), 3, "a later call sends again");
        drop(provider);
    }
}
