//! The endpoint for Prometheus: the SDK's own aggregates in Prometheus' text format, version 0.0.4.
//!
//! Written here, as the format is a page and our metrics have four forms; the official exporter would bring a second
//! metrics library to hold the same numbers again.

use std::fmt::Write as _;

use axum::{Router, extract::State, http::header::CONTENT_TYPE, response::IntoResponse, routing::get};
use opentelemetry::KeyValue;
use opentelemetry_sdk::metrics::{
    data::{AggregatedMetrics, Histogram, Metric, MetricData, ResourceMetrics, ScopeMetrics},
    reader::MetricReader,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::metrics::Reader;
use crate::serve::{self, Bounds};

pub(super) async fn serve(listener: TcpListener, reader: Reader, stop: CancellationToken) -> anyhow::Result<()> {
    let router = Router::new()
        .route("/metrics", get(scrape))
        .route("/health", get(|| async { "ok\n" }))
        .fallback(|| async { (axum::http::StatusCode::NOT_FOUND, "here are /metrics and /health\n") })
        .with_state(reader);
    Ok(serve::serve(listener, router, stop, Bounds::default()).await?)
}

async fn scrape(State(reader): State<Reader>) -> impl IntoResponse {
    let mut metrics = ResourceMetrics::default();
    let text = match reader.collect(&mut metrics) {
        Ok(()) => render(&metrics),
        Err(error) => format!("# nothing is measured: {error}\n"),
    };
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text)
}

/// All metrics as Prometheus reads them.
///
/// # Source
/// "Exposition formats" in Prometheus' documentation, and "Prometheus and `OpenMetrics` Compatibility" in OpenTelemetry's
/// specification, both read 2026-11: dots become underscores, a unit of seconds and a counter get their suffixes, and
/// the resource is `target_info`.
pub(super) fn render(metrics: &ResourceMetrics) -> String {
    let mut text = String::new();
    let resource: Vec<KeyValue> =
        metrics.resource().iter().map(|(key, value)| KeyValue::new(key.clone(), value.clone())).collect();
    head(&mut text, "target_info", "gauge", "which bridge this is");
    line(&mut text, "target_info", &labels(resource.iter()), "1");
    for metric in metrics.scope_metrics().flat_map(ScopeMetrics::metrics) {
        match metric.data() {
            AggregatedMetrics::F64(data) => one(&mut text, metric, data),
            AggregatedMetrics::U64(data) => one(&mut text, metric, data),
            AggregatedMetrics::I64(data) => one(&mut text, metric, data),
        }
    }
    text
}

fn one<T: Copy + std::fmt::Display>(text: &mut String, metric: &Metric, data: &MetricData<T>) {
    let unit = if metric.unit() == "s" { "_seconds" } else { "" };
    let name = format!("{}{unit}", metric.name().replace('.', "_"));
    match data {
        MetricData::Gauge(gauge) => {
            head(text, &name, "gauge", metric.description());
            points(
                text,
                &name,
                gauge.data_points().map(|point| (labels(point.attributes()), point.value().to_string())),
            );
        }
        MetricData::Sum(sum) => {
            let name = format!("{name}_total");
            head(text, &name, "counter", metric.description());
            points(text, &name, sum.data_points().map(|point| (labels(point.attributes()), point.value().to_string())));
        }
        MetricData::Histogram(histogram) => {
            head(text, &name, "histogram", metric.description());
            buckets(text, &name, histogram);
        }
        // We ask for none.
        MetricData::ExponentialHistogram(_) => {}
    }
}

/// One line each, in a fixed order, so that a scrape looks like the one before.
fn points(text: &mut String, name: &str, points: impl Iterator<Item = (String, String)>) {
    let mut points: Vec<(String, String)> = points.collect();
    points.sort();
    for (labels, value) in points {
        line(text, name, &labels, &value);
    }
}

fn buckets<T: Copy + std::fmt::Display>(text: &mut String, name: &str, histogram: &Histogram<T>) {
    for point in histogram.data_points() {
        let labels = labels(point.attributes());
        let comma = if labels.is_empty() { "" } else { "," };
        let bounds = point.bounds().map(|bound| bound.to_string()).chain(["+Inf".to_owned()]);
        let mut below = 0;
        for (bound, count) in bounds.zip(point.bucket_counts()) {
            below += count;
            line(text, &format!("{name}_bucket"), &format!("{labels}{comma}le=\"{bound}\""), &below.to_string());
        }
        line(text, &format!("{name}_sum"), &labels, &point.sum().to_string());
        line(text, &format!("{name}_count"), &labels, &point.count().to_string());
    }
}

fn head(text: &mut String, name: &str, kind: &str, help: &str) {
    let help = help.replace('\\', "\\\\").replace('\n', "\\n");
    writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}").expect("a String takes all");
}

fn line(text: &mut String, name: &str, labels: &str, value: &str) {
    let labels = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
    writeln!(text, "{name}{labels} {value}").expect("a String takes all");
}

/// Labels in a fixed order.
fn labels<'a>(attributes: impl Iterator<Item = &'a KeyValue>) -> String {
    let mut labels: Vec<String> = attributes
        .map(|attribute| {
            let letter = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
            let name: String = attribute.key.as_str().chars().map(letter).collect();
            let value = attribute.value.as_str().replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            format!("{name}=\"{value}\"")
        })
        .collect();
    labels.sort();
    labels.join(",")
}

#[cfg(test)]
mod tests {
    use opentelemetry::metrics::MeterProvider;
    use opentelemetry_sdk::{Resource, metrics::SdkMeterProvider};

    use super::*;

    #[test]
    fn every_form_is_rendered_as_prometheus_reads_it() {
        let reader = Reader::cumulative();
        let resource = Resource::builder_empty().with_attribute(KeyValue::new("service.name", "a\"b")).build();
        let provider = SdkMeterProvider::builder().with_resource(resource).with_reader(reader.clone()).build();
        let meter = provider.meter("test");
        meter.u64_counter("a.counter").with_description("one\ntwo").build().add(3, &[KeyValue::new("site", "x\\y")]);
        meter.f64_gauge("a.gauge").with_unit("s").build().record(0.5, &[]);
        let histogram = meter.f64_histogram("a.histogram").with_unit("s").with_boundaries(vec![0.1, 1.0]).build();
        for value in [0.05, 0.5, 7.0] {
            histogram.record(value, &[KeyValue::new("to", "b"), KeyValue::new("from", "a")]);
        }
        let mut metrics = ResourceMetrics::default();
        reader.collect(&mut metrics).unwrap();
        let text = render(&metrics);
        for expected in [
            "target_info{service_name=\"a\\\"b\"} 1\n",
            "# HELP a_counter_total one\\ntwo\n# TYPE a_counter_total counter\na_counter_total{site=\"x\\\\y\"} 3\n",
            "# TYPE a_gauge_seconds gauge\na_gauge_seconds 0.5\n",
            "# TYPE a_histogram_seconds histogram\n\
             a_histogram_seconds_bucket{from=\"a\",to=\"b\",le=\"0.1\"} 1\n\
             a_histogram_seconds_bucket{from=\"a\",to=\"b\",le=\"1\"} 2\n\
             a_histogram_seconds_bucket{from=\"a\",to=\"b\",le=\"+Inf\"} 3\n\
             a_histogram_seconds_sum{from=\"a\",to=\"b\"} 7.55\n\
             a_histogram_seconds_count{from=\"a\",to=\"b\"} 3\n",
        ] {
            assert!(text.contains(expected), "{expected}\nis not in\n{text}");
        }
    }
}
