//! What OpenTelemetry's own variables say. They are standard, so that a bridge is told as everything beside it is.

use std::{collections::BTreeMap, time::Duration};

use anyhow::Context;
use opentelemetry::KeyValue;
use opentelemetry_sdk::{Resource, metrics::Temporality};
use url::Url;

use crate::{config::masked::masked, exit::Misuse};

/// Where telemetry goes, and as whose.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Where traces are sent, if anywhere.
    pub(crate) traces: Option<Url>,
    /// Where metrics are sent, if anywhere.
    pub(crate) metrics: Option<Url>,
    /// How metrics add up from one sending to the next.
    pub(crate) temporality: Temporality,
    /// Between two sendings in the background.
    pub(crate) interval: Duration,
    /// Who sends.
    pub(crate) resource: Resource,
}

/// Between two sendings in the background, unless told otherwise. Ours: OpenTelemetry's 60 s are long for an alert.
const INTERVAL: Duration = Duration::from_secs(10);

impl Settings {
    /// Reads the variables.
    ///
    /// # Errors
    /// An endpoint that is no address, or would carry the headers' secrets in the clear.
    pub(crate) fn read(variables: &BTreeMap<String, String>) -> anyhow::Result<Self> {
        let variable = |name: &str| variables.get(name).map(String::as_str).filter(|value| !value.is_empty());
        let disabled = variable("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"));
        let endpoint = |own: &str, path: &str| {
            if disabled {
                return Ok(None);
            }
            match (variable(own), variable("OTEL_EXPORTER_OTLP_ENDPOINT")) {
                (Some(url), _) => address(own, url).map(Some),
                (None, Some(base)) => {
                    address("OTEL_EXPORTER_OTLP_ENDPOINT", &format!("{}{path}", base.trim_end_matches('/'))).map(Some)
                }
                (None, None) => Ok(None),
            }
        };
        let interval = variable("OTEL_METRIC_EXPORT_INTERVAL").and_then(|text| text.parse().ok());
        let temporality = match variable("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE") {
            Some(text) if text.eq_ignore_ascii_case("delta") => Temporality::Delta,
            Some(text) if text.eq_ignore_ascii_case("lowmemory") => Temporality::LowMemory,
            _ => Temporality::Cumulative,
        };
        Ok(Self {
            traces: endpoint("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "/v1/traces")?,
            metrics: endpoint("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "/v1/metrics")?,
            temporality,
            interval: interval.map_or(INTERVAL, Duration::from_millis).max(Duration::from_millis(50)),
            resource: resource(),
        })
    }

    /// Those of this process.
    pub(crate) fn of_process() -> anyhow::Result<Self> {
        let variables =
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        let read = Self::read(&variables.filter(|(name, _)| name.starts_with("OTEL_")).collect());
        read.map_err(|error| Misuse(format!("{error:#}; docs/observability.md has every variable")).into())
    }
}

fn address(variable: &str, text: &str) -> anyhow::Result<Url> {
    let url: Url = text.parse().with_context(|| format!("{variable}: {:?} is no address", masked(text)))?;
    bridge_adapters::endpoint::check(&url).with_context(|| variable.to_owned())?;
    Ok(url)
}

/// Who sends. `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` come on top; the SDK reads them. Many instances of one
/// function send at the same time, so each has a name of its own: metrics would overwrite one another.
fn resource() -> Resource {
    let own = [
        KeyValue::new("service.name", "bridge"),
        KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        KeyValue::new("service.instance.id", uuid::Uuid::new_v4().to_string()),
    ];
    let told = Resource::builder().build();
    let named = |key: &opentelemetry::Key| {
        told.get_ref(key).is_some_and(|value| !value.as_str().starts_with("unknown_service"))
    };
    let missing = own.into_iter().filter(|attribute| !named(&attribute.key));
    Resource::builder().with_attributes(missing).build()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> anyhow::Result<Settings> {
        Settings::read(&variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn nothing_is_sent_unless_an_endpoint_is_named() {
        let silent = read(&[("OTEL_SERVICE_NAME", "orders")]).unwrap();
        assert_eq!((silent.traces, silent.metrics), (None, None));
        let base = ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://collector.example/otlp/");
        let both = read(&[base]).unwrap();
        assert_eq!(both.traces.unwrap().as_str(), "https://collector.example/otlp/v1/traces");
        assert_eq!(both.metrics.unwrap().as_str(), "https://collector.example/otlp/v1/metrics");
        let disabled = read(&[base, ("OTEL_SDK_DISABLED", "TRUE")]).unwrap();
        assert_eq!((disabled.traces, disabled.metrics), (None, None));
    }

    #[test]
    fn a_signal_may_have_an_endpoint_of_its_own() {
        let one = read(&[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://127.0.0.1:4318/x")]).unwrap();
        assert_eq!(one.traces.unwrap().as_str(), "http://127.0.0.1:4318/x");
        assert_eq!(one.metrics, None);
    }

    #[test]
    fn an_endpoint_in_the_clear_is_refused() {
        let error = read(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector.example:4318")]).unwrap_err();
        assert!(format!("{error:#}").contains("plain http is for loopback only"), "{error:#}");
        let error = read(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "collector")]).unwrap_err();
        assert!(format!("{error:#}").contains("OTEL_EXPORTER_OTLP_ENDPOINT"), "{error:#}");
    }

    #[test]
    fn every_instance_has_a_name_of_its_own() {
        let instance = || resource().get(&"service.instance.id".into());
        assert!(instance().is_some() && instance() != instance());
    }
}
