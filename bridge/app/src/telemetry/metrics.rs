//! The instruments, one for each metric of `bridge_core::metric`, and the reader that takes their values on demand: no
//! thread of its own, so that a frozen function has nothing that thaws in the middle of a request.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use bridge_core::metric::{self, DURATION_BUCKETS, LAG_BUCKETS, Metric};
use opentelemetry::{
    KeyValue,
    metrics::{Counter, Gauge, Histogram, Meter, MeterProvider},
};
use opentelemetry_sdk::{
    error::OTelSdkResult,
    metrics::{
        InstrumentKind, ManualReader, Pipeline, SdkMeterProvider, Temporality, data::ResourceMetrics,
        reader::MetricReader,
    },
};

/// One instrument for each metric.
#[derive(Debug)]
pub(super) struct Instruments {
    pub(super) lag: Histogram<f64>,
    pub(super) events: Counter<u64>,
    pub(super) apply_duration: Histogram<f64>,
    pub(super) forward_duration: Histogram<f64>,
    pub(super) dead_letters: Counter<u64>,
    pub(super) backlog: Known,
    pub(super) messages: Known,
    pub(super) oldest_age: Gauge<f64>,
    pub(super) circuit: Gauge<u64>,
    pub(super) clock_skew: Gauge<f64>,
    pub(super) conflicts: Counter<u64>,
    pub(super) halted: Gauge<u64>,
    pub(super) store_away: Gauge<u64>,
    pub(super) heartbeat: Gauge<f64>,
    pub(super) dropped: Counter<u64>,
}

impl Instruments {
    pub(super) fn new(provider: &SdkMeterProvider) -> Self {
        let meter = provider.meter("bridge");
        Self {
            lag: histogram(&meter, &metric::LAG, &LAG_BUCKETS),
            events: counter(&meter, &metric::EVENTS),
            apply_duration: histogram(&meter, &metric::APPLY_DURATION, &DURATION_BUCKETS),
            forward_duration: histogram(&meter, &metric::FORWARD_DURATION, &DURATION_BUCKETS),
            dead_letters: counter(&meter, &metric::DEAD_LETTERS),
            backlog: Known::new(&meter, &metric::BACKLOG),
            messages: Known::new(&meter, &metric::MESSAGES),
            oldest_age: amount(&meter, &metric::OLDEST_AGE),
            circuit: count(&meter, &metric::CIRCUIT),
            clock_skew: amount(&meter, &metric::CLOCK_SKEW),
            conflicts: counter(&meter, &metric::CONFLICTS),
            halted: count(&meter, &metric::HALTED),
            store_away: count(&meter, &metric::STORE_AWAY),
            heartbeat: amount(&meter, &metric::HEARTBEAT),
            dropped: counter(&meter, &metric::DROPPED),
        }
    }
}

fn counter(meter: &Meter, metric: &Metric) -> Counter<u64> {
    meter.u64_counter(metric.name).with_unit(metric.unit).with_description(metric.help).build()
}

fn count(meter: &Meter, metric: &Metric) -> Gauge<u64> {
    meter.u64_gauge(metric.name).with_unit(metric.unit).with_description(metric.help).build()
}

fn amount(meter: &Meter, metric: &Metric) -> Gauge<f64> {
    meter.f64_gauge(metric.name).with_unit(metric.unit).with_description(metric.help).build()
}

fn histogram(meter: &Meter, metric: &Metric, buckets: &[f64]) -> Histogram<f64> {
    let builder = meter.f64_histogram(metric.name).with_unit(metric.unit).with_description(metric.help);
    builder.with_boundaries(buckets.to_vec()).build()
}

/// A gauge of values that may be unknown: such a one is absent. The SDK's own gauge keeps the last value, and takes no NaN.
#[derive(Clone, Debug, Default)]
pub(super) struct Known(Arc<Mutex<Vec<Point>>>);

type Point = (Vec<KeyValue>, f64);

impl Known {
    fn new(meter: &Meter, metric: &Metric) -> Self {
        let known = Self::default();
        let told = known.clone();
        let gauge = meter.f64_observable_gauge(metric.name).with_unit(metric.unit).with_description(metric.help);
        // The meter keeps the callback.
        let _gauge = gauge
            .with_callback(move |gauge| {
                told.points().iter().for_each(|(labels, value)| gauge.observe(*value, labels));
            })
            .build();
        known
    }

    /// What is known from now on of the series with these labels.
    pub(super) fn record(&self, value: Option<f64>, labels: &[KeyValue]) {
        let mut points = self.points();
        points.retain(|(of_point, _)| of_point != labels);
        points.extend(value.map(|value| (labels.to_vec(), value)));
    }

    fn points(&self) -> MutexGuard<'_, Vec<Point>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes the values when it is asked to. Clones are the same reader.
#[derive(Clone, Debug)]
pub(super) struct Reader(Arc<ManualReader>);

impl Reader {
    pub(super) fn new(temporality: Temporality) -> Self {
        Self(Arc::new(ManualReader::builder().with_temporality(temporality).build()))
    }

    pub(super) fn cumulative() -> Self {
        Self::new(Temporality::Cumulative)
    }
}

impl MetricReader for Reader {
    fn register_pipeline(&self, pipeline: Weak<Pipeline>) {
        self.0.register_pipeline(pipeline);
    }

    fn collect(&self, metrics: &mut ResourceMetrics) -> OTelSdkResult {
        self.0.collect(metrics)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.0.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.0.shutdown_with_timeout(timeout)
    }

    fn temporality(&self, kind: InstrumentKind) -> Temporality {
        self.0.temporality(kind)
    }
}
