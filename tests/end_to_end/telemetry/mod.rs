//! What a worker sends by OTLP, as a receiver sees it that knows nothing of our code but the protocol.

mod harm;
mod receiver;

use std::time::{Duration, Instant};

use bridge_core::metric;
use opentelemetry_proto::tonic::{
    metrics::v1::metric::Data,
    trace::v1::{Span, span::SpanKind},
};
use serde_json::json;

use crate::{
    doctor::send_to_sqs,
    functions::Host,
    program::{Clouds, Running, bridge, must, python},
};
use receiver::Receiver;

/// For what depends on a sending: those of the tests are 200 ms apart.
const PATIENCE: Duration = Duration::from_secs(30);

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PRODUCER: &str = "00f067aa0b4902b7";

fn clouds(receiver: &Receiver) -> Clouds {
    let variables = [("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.address()), ("OTEL_METRIC_EXPORT_INTERVAL", "200")];
    Clouds::start_with(&[], &variables)
}

pub(crate) fn event(site: &str, id: &str, traceparent: Option<&str>) -> String {
    let mut event = json!({
        "event_id": uuid::Uuid::new_v4().to_string(),
        "source_region": site,
        "op_type": "upsert",
        "payload": { "id": id, "secret": "hush" },
        "timestamp": chrono::DateTime::<chrono::Utc>::from(std::time::SystemTime::now()).to_rfc3339(),
    });
    if let Some(traceparent) = traceparent {
        event["traceparent"] = traceparent.into();
    }
    event.to_string()
}

/// Waits until `found` finds what it looks for in what has come so far.
fn wait<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

fn attribute(span: &Span, name: &str) -> String {
    let found = span.attributes.iter().find(|attribute| attribute.key == name);
    found.map_or_else(String::new, |attribute| receiver::text(attribute.value.as_ref()))
}

/// The one span of this trace with this name at this site.
fn span(spans: &[Span], name: &str, site: &str) -> Option<Span> {
    let mut found = spans.iter().filter(|span| span.name == name && attribute(span, "bridge.site") == site);
    let first = found.next()?.clone();
    assert_eq!(found.next(), None, "one {name} at {site}");
    Some(first)
}

/// From the producer's context to the write in the far store: five spans at two sites, in one trace.
#[track_caller]
fn assert_one_trace(receiver: &Receiver, trace: &str, from: &str, to: &str) {
    let spans = wait("the far store's span", || {
        let spans = receiver.spans(trace);
        span(&spans, "bridge.apply", to).map(|_| spans)
    });
    let one =
        |name: &str, site: &str| span(&spans, name, site).unwrap_or_else(|| panic!("{name} at {site}: {spans:#?}"));
    let (near, near_apply, forward) =
        (one("bridge.replicate", from), one("bridge.apply", from), one("bridge.forward", from));
    let (far, far_apply) = (one("bridge.replicate", to), one("bridge.apply", to));
    assert_eq!(spans.len(), 5, "{spans:#?}");

    assert_eq!(hex(&near.parent_span_id), PRODUCER, "whoever sent the event");
    assert_eq!(near_apply.parent_span_id, near.span_id);
    assert_eq!(forward.parent_span_id, near.span_id);
    assert_eq!(far.parent_span_id, forward.span_id, "the far site hangs below the send");
    assert_eq!(far_apply.parent_span_id, far.span_id);

    let kinds = [&near, &near_apply, &forward, &far, &far_apply].map(Span::kind);
    assert_eq!(kinds, [SpanKind::Consumer, SpanKind::Client, SpanKind::Producer, SpanKind::Consumer, SpanKind::Client]);
    assert_eq!(attribute(&forward, "bridge.to"), to);
    assert_eq!(attribute(&far, "bridge.origin"), from);
    assert_eq!(attribute(&far, "bridge.write"), "applied");
    for (outer, inner) in [(&near, &near_apply), (&near, &forward), (&far, &far_apply)] {
        assert!(outer.start_time_unix_nano <= inner.start_time_unix_nano, "{outer:?} {inner:?}");
        assert!(inner.end_time_unix_nano <= outer.end_time_unix_nano, "{outer:?} {inner:?}");
    }
    assert!(!format!("{spans:?}").contains("hush"), "a span tells nothing of a payload");
}

#[test]
fn one_trace_from_an_event_in_aws_to_the_store_in_azure() {
    let receiver = Receiver::start();
    let clouds = clouds(&receiver);
    send_to_sqs(&clouds, &event("aws:us-east-1", "a", Some(&format!("00-{TRACE}-{PRODUCER}-01"))));
    assert_one_trace(&receiver, TRACE, "aws:us-east-1", "azure:westeurope");
    let resource = receiver.resource();
    assert_eq!(resource["service.name"], "bridge");
    assert_ne!(resource["service.instance.id"], "");
}

/// The official clients of both clouds put the context beside the body. An event that is not sampled leaves no span.
#[test]
fn the_context_may_stand_beside_the_body() {
    let receiver = Receiver::start();
    let clouds = clouds(&receiver);
    let mut script = python("telemetry/send_traced.py");
    script.arg(clouds.ready_file());
    let (azure, aws, unsampled) = ("1".repeat(32), "2".repeat(32), "3".repeat(32));
    let sends = [
        ("azure:westeurope", "Diagnostic-Id", &azure, "01"),
        ("aws:us-east-1", "traceparent", &aws, "01"),
        ("aws:us-east-1", "traceparent", &unsampled, "00"),
    ];
    for (site, property, trace, flags) in sends {
        let traceparent = format!("00-{trace}-{PRODUCER}-{flags}");
        script.args([site, property, &traceparent, &event(site, trace, None)]);
    }
    must(&mut script);
    assert_one_trace(&receiver, &azure, "azure:westeurope", "aws:us-east-1");
    assert_one_trace(&receiver, &aws, "aws:us-east-1", "azure:westeurope");
    assert_eq!(receiver.spans(&unsampled), [], "whoever sent it does not record it");
}

/// A function's process may be frozen or killed once it has answered: what it has to tell is told before.
#[test]
fn one_trace_through_both_functions() {
    let receiver = Receiver::start();
    let clouds = Clouds::start(&["--without-workers"]);
    let set = format!("OTEL_EXPORTER_OTLP_ENDPOINT={}", receiver.address());
    let _lambda = Host::start(&clouds, "lambda_host.py", "lambda", &["--set", &set]);
    let _function = Host::start(&clouds, "function_host.py", "function", &["--set", &set]);
    send_to_sqs(&clouds, &event("aws:us-east-1", "a", Some(&format!("00-{TRACE}-{PRODUCER}-01"))));
    assert_one_trace(&receiver, TRACE, "aws:us-east-1", "azure:westeurope");
}

/// An invocation that fails tells why before it answers, too: nobody else would.
#[test]
fn a_halted_function_says_so() {
    let receiver = Receiver::start();
    let clouds = Clouds::start(&["--without-workers"]);
    clouds.fault("dynamodb:PutItem:denied");
    let set = format!("OTEL_EXPORTER_OTLP_ENDPOINT={}", receiver.address());
    let lambda = ["--set", &set, "--environments", "1", "--timeout", "6"];
    let _lambda = Host::start(&clouds, "lambda_host.py", "lambda", &lambda);
    send_to_sqs(&clouds, &event("aws:us-east-1", "a", None));
    let halted = || receiver.metric(metric::HALTED.name).map(|metric| receiver::number(&metric));
    wait("the halt", || (halted() == Some(1.0)).then_some(()));
    clouds.clear_faults();
    send_to_sqs(&clouds, &event("aws:us-east-1", "b", None));
    wait("the end of the halt", || (halted() == Some(0.0)).then_some(()));
}

/// What is set aside says why, in its span too.
#[test]
fn a_trace_that_ends_in_the_dead_letters_says_so() {
    let receiver = Receiver::start();
    let clouds = clouds(&receiver);
    let late = event("aws:us-east-1", "a", Some(&format!("00-{TRACE}-{PRODUCER}-01")));
    clouds.fault("azure:*:dark");
    send_to_sqs(&clouds, &late);
    let spans = wait("the span of the delivery", || {
        let spans = receiver.spans(TRACE);
        span(&spans, "bridge.replicate", "aws:us-east-1").map(|_| spans)
    });
    let delivery = span(&spans, "bridge.replicate", "aws:us-east-1").unwrap();
    assert_eq!(attribute(&delivery, "bridge.reason"), "peer_unavailable");
    let forward = span(&spans, "bridge.forward", "aws:us-east-1").unwrap();
    let status = forward.status.unwrap();
    assert!(status.code == 2 && !status.message.is_empty(), "{status:?}");
}

/// A line about a message leads to its span, and tells nothing of what is in it.
#[test]
fn lines_have_the_trace_and_no_payload() {
    let receiver = Receiver::start();
    let clouds = Clouds::start(&["--without-workers"]);
    let lines = clouds.file("lines.jsonl");
    let mut command = bridge();
    command.args(["run", "--site", "aws:us-east-1", "--log", "debug", "--log-format", "json", "--config"]);
    command.arg(clouds.config()).env("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.address());
    command.env("OTEL_METRIC_EXPORT_INTERVAL", "200").stderr(std::fs::File::create(&lines).unwrap());
    let _worker = Running::start(&mut command);
    let other = "5".repeat(32);
    send_to_sqs(&clouds, &event("aws:us-east-1", "a", Some(&format!("00-{TRACE}-{PRODUCER}-01"))));
    let mut late: serde_json::Value =
        serde_json::from_str(&event("aws:us-east-1", "b", Some(&format!("00-{other}-{PRODUCER}-01")))).unwrap();
    late["timestamp"] = "2099-01-01T00:00:00Z".into();
    send_to_sqs(&clouds, &late.to_string());

    let line = |message: &str, trace: &str| {
        wait(message, || {
            let text = std::fs::read_to_string(&lines).unwrap();
            let parsed = text.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
            parsed.into_iter().find(|line| {
                line["message"].as_str().is_some_and(|text| text.starts_with(message)) && line["trace_id"] == trace
            })
        })
    };
    let done = line("concluded", TRACE);
    let span = wait("its span", || span(&receiver.spans(TRACE), "bridge.replicate", "aws:us-east-1"));
    assert_eq!((&done["span_id"], &done["outcome"]), (&hex(&span.span_id).into(), &"applied".into()), "{done}");
    let aside = line("set aside", &other);
    assert_eq!((&aside["level"], &aside["reason"]), (&"WARN".into(), &"clock_skew".into()), "{aside}");
    let text = std::fs::read_to_string(&lines).unwrap();
    assert!(!text.contains("hush"), "no line tells of a payload");
    assert!(text.lines().all(|line| line.starts_with('{')), "one object a line");
}

#[test]
fn a_receiver_beyond_this_machine_must_be_encrypted() {
    let clouds = Clouds::start(&["--without-workers"]);
    let mut command = bridge();
    command.args(["run", "--site", "aws:us-east-1", "--config"]).arg(clouds.config());
    let output = command.env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector.example:4318").output().unwrap();
    assert_eq!(output.status.code(), Some(64));
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains("OTEL_EXPORTER_OTLP_ENDPOINT") && error.contains("loopback only"), "{error}");
}

#[test]
fn every_metric_arrives_with_its_unit() {
    let receiver = Receiver::start();
    let clouds = clouds(&receiver);
    send_to_sqs(&clouds, &event("aws:us-east-1", "a", None));
    for wanted in metric::ALL {
        let metric = wait(wanted.name, || receiver.metric(wanted.name));
        let kind = match metric.data.as_ref().unwrap() {
            Data::Gauge(_) => metric::Kind::Gauge,
            Data::Sum(sum) if sum.is_monotonic => metric::Kind::Counter,
            Data::Histogram(_) => metric::Kind::Histogram,
            other => panic!("{}: {other:?}", wanted.name),
        };
        assert_eq!((kind, metric.unit.as_str(), metric.description.as_str()), (wanted.kind, wanted.unit, wanted.help));
        let labels = receiver::labels(&metric);
        assert!(!labels.is_empty(), "{} has no value", wanted.name);
        let wanted_labels: Vec<String> = wanted.labels.iter().map(|label| (*label).to_owned()).collect();
        assert!(
            labels.iter().all(|of_point| {
                let mut sorted = wanted_labels.clone();
                sorted.sort();
                *of_point == sorted
            }),
            "{}: {labels:?}",
            wanted.name
        );
    }
    let others: Vec<String> = receiver.metric_names();
    assert!(others.iter().all(|name| metric::ALL.iter().any(|metric| metric.name == name)), "{others:?}");
}
