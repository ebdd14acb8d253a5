//! From a verdict's spans to OpenTelemetry's.

use bridge_core::{
    event::SiteId,
    port::Delivery,
    settlement::Settlement,
    trace::{StepKind, Trace, TraceParent},
    worker::Verdict,
};
use opentelemetry::{
    InstrumentationScope, KeyValue, SpanId, TraceFlags, TraceId,
    trace::{SpanContext, SpanKind, Status, TraceState},
};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};

/// Adds the span of a delivery and those of its steps. They name the event and never what is in it.
pub(super) fn push(spans: &mut Vec<SpanData>, trace: &Trace, site: &SiteId, delivery: &Delivery, verdict: &Verdict) {
    let context = trace.context;
    let at_site = KeyValue::new("bridge.site", site.to_string());
    let mut attributes = vec![at_site.clone(), KeyValue::new("messaging.message.id", delivery.message_id.clone())];
    attributes.push(KeyValue::new("bridge.attempt", i64::from(delivery.attempt)));
    if let Some((_, version)) = &verdict.event {
        attributes.push(KeyValue::new("bridge.event_id", version.event_id().to_string()));
        attributes.push(KeyValue::new("bridge.origin", version.origin().to_string()));
    }
    if let Some(write) = &verdict.write {
        attributes.push(KeyValue::new("bridge.write", write.as_str()));
    }
    let failed = match &verdict.settlement {
        Settlement::Ack => None,
        Settlement::Retry { after } => Some(format!("to be delivered again after {after:?}")),
        Settlement::DeadLetter(letter) => {
            attributes.push(KeyValue::new("bridge.reason", letter.refusal.reason.as_str()));
            Some(letter.refusal.detail.clone())
        }
        Settlement::Halt { detail } => Some(format!("halted: {detail}")),
        Settlement::Wait { detail } => Some(format!("the store is away: {detail}")),
    };
    spans.push(SpanData {
        span_context: at(context, context.span),
        parent_span_id: trace.parent.map_or(SpanId::INVALID, SpanId::from),
        parent_span_is_remote: trace.parent.is_some(),
        span_kind: SpanKind::Consumer,
        name: "bridge.replicate".into(),
        start_time: trace.start.into(),
        end_time: trace.end.into(),
        attributes,
        status: status(failed),
        ..blank()
    });
    for step in &trace.steps {
        let (name, span_kind, attributes) = match &step.kind {
            StepKind::Apply => ("bridge.apply", SpanKind::Client, vec![at_site.clone()]),
            StepKind::Forward(peer) => (
                "bridge.forward",
                SpanKind::Producer,
                vec![at_site.clone(), KeyValue::new("bridge.to", peer.to_string())],
            ),
        };
        spans.push(SpanData {
            span_context: at(context, step.span),
            parent_span_id: SpanId::from(context.span),
            span_kind,
            name: name.into(),
            start_time: step.start.into(),
            end_time: step.end.into(),
            attributes,
            status: status(step.failed.clone()),
            ..blank()
        });
    }
}

fn at(context: TraceParent, span: u64) -> SpanContext {
    let flags = TraceFlags::new(context.flags);
    SpanContext::new(TraceId::from(context.trace), SpanId::from(span), flags, false, TraceState::default())
}

fn status(failed: Option<String>) -> Status {
    failed.map_or(Status::Ok, |description| Status::Error { description: description.into() })
}

/// What every span has in common.
fn blank() -> SpanData {
    SpanData {
        span_context: SpanContext::empty_context(),
        parent_span_id: SpanId::INVALID,
        parent_span_is_remote: false,
        span_kind: SpanKind::Internal,
        name: "".into(),
        start_time: std::time::UNIX_EPOCH,
        end_time: std::time::UNIX_EPOCH,
        attributes: Vec::new(),
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: Status::Unset,
        instrumentation_scope: InstrumentationScope::builder("bridge").with_version(env!("CARGO_PKG_VERSION")).build(),
    }
}
