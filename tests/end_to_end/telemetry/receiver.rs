//! A receiver of OTLP over HTTP, with the protocol's own definitions, that keeps all it is sent.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use axum::{Router, body::Bytes, extract::State, http::HeaderMap, routing::post};
use bridge_tests::cloud::runtime;
use opentelemetry_proto::tonic::{
    collector::{
        metrics::v1::{ExportMetricsServiceRequest, ExportMetricsServiceResponse},
        trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse},
    },
    common::v1::{AnyValue, KeyValue, any_value::Value},
    metrics::v1::{Metric, metric::Data, number_data_point},
    trace::v1::Span,
};
use prost::Message;
use tokio::task::JoinHandle;

#[derive(Debug, Default)]
struct Kept {
    spans: Vec<Span>,
    metrics: BTreeMap<String, Metric>,
    resource: BTreeMap<String, String>,
}

/// A receiver on loopback; ended when dropped.
pub(crate) struct Receiver {
    address: String,
    kept: Arc<Mutex<Kept>>,
    serving: JoinHandle<()>,
}

impl Receiver {
    pub(crate) fn start() -> Self {
        let kept: Arc<Mutex<Kept>> = Arc::default();
        let router = Router::new()
            .route("/v1/traces", post(traces))
            .route("/v1/metrics", post(metrics))
            .with_state(Arc::clone(&kept));
        let listener = runtime().block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let serving = runtime().spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, kept, serving }
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// The spans of this trace.
    pub(crate) fn spans(&self, trace: &str) -> Vec<Span> {
        let kept = self.kept.lock().unwrap();
        kept.spans.iter().filter(|span| super::hex(&span.trace_id) == trace).cloned().collect()
    }

    /// Every span.
    pub(crate) fn span_count(&self) -> usize {
        self.kept.lock().unwrap().spans.len()
    }

    /// The last that came of this metric.
    pub(crate) fn metric(&self, name: &str) -> Option<Metric> {
        self.kept.lock().unwrap().metrics.get(name).cloned()
    }

    pub(crate) fn metric_names(&self) -> Vec<String> {
        self.kept.lock().unwrap().metrics.keys().cloned().collect()
    }

    /// Who sent.
    pub(crate) fn resource(&self) -> BTreeMap<String, String> {
        self.kept.lock().unwrap().resource.clone()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

type Keep = State<Arc<Mutex<Kept>>>;

async fn traces(State(kept): Keep, headers: HeaderMap, body: Bytes) -> Vec<u8> {
    assert_eq!(headers["content-type"], "application/x-protobuf");
    let request = ExportTraceServiceRequest::decode(body).unwrap();
    let mut kept = kept.lock().unwrap();
    for of_resource in request.resource_spans {
        let attributes = of_resource.resource.into_iter().flat_map(|resource| resource.attributes);
        kept.resource.extend(attributes.map(|KeyValue { key, value, .. }| (key, text(value.as_ref()))));
        kept.spans.extend(of_resource.scope_spans.into_iter().flat_map(|scope| scope.spans));
    }
    ExportTraceServiceResponse::default().encode_to_vec()
}

async fn metrics(State(kept): Keep, headers: HeaderMap, body: Bytes) -> Vec<u8> {
    assert_eq!(headers["content-type"], "application/x-protobuf");
    let request = ExportMetricsServiceRequest::decode(body).unwrap();
    let scopes = request.resource_metrics.into_iter().flat_map(|of_resource| of_resource.scope_metrics);
    let metrics = scopes.flat_map(|scope| scope.metrics).map(|metric| (metric.name.clone(), metric));
    kept.lock().unwrap().metrics.extend(metrics);
    ExportMetricsServiceResponse::default().encode_to_vec()
}

/// A value as text.
pub(crate) fn text(value: Option<&AnyValue>) -> String {
    match value.and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        other => format!("{other:?}"),
    }
}

/// The value of a gauge's one point.
pub(crate) fn number(metric: &Metric) -> f64 {
    let Some(Data::Gauge(gauge)) = metric.data.as_ref() else { panic!("{metric:?} is no gauge") };
    assert_eq!(gauge.data_points.len(), 1);
    match gauge.data_points[0].value {
        Some(number_data_point::Value::AsDouble(value)) => value,
        #[allow(clippy::cast_precision_loss, reason = "states are small")]
        Some(number_data_point::Value::AsInt(value)) => value as f64,
        None => f64::NAN,
    }
}

/// The names of the labels of each point, sorted.
pub(crate) fn labels(metric: &Metric) -> Vec<Vec<String>> {
    let of_points: Vec<&Vec<KeyValue>> = match metric.data.as_ref().unwrap() {
        Data::Gauge(gauge) => gauge.data_points.iter().map(|point| &point.attributes).collect(),
        Data::Sum(sum) => sum.data_points.iter().map(|point| &point.attributes).collect(),
        Data::Histogram(histogram) => histogram.data_points.iter().map(|point| &point.attributes).collect(),
        other => panic!("{other:?}"),
    };
    let names = |attributes: &Vec<KeyValue>| {
        let mut names: Vec<String> = attributes.iter().map(|attribute| attribute.key.clone()).collect();
        names.sort();
        names
    };
    of_points.into_iter().map(names).collect()
}
