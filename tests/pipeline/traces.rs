//! The trace that an event is part of, over two sites: its spans, and what it takes along.

use std::time::Duration;

use bridge_adapters::layer::{Fault, Rule};
use bridge_core::{
    failure::FailureKind,
    port::{Message, Queue},
    settlement::Settlement,
    trace::{Step, StepKind, Trace, TraceParent},
    worker::{Policy, Verdict},
};
use bridge_tests::properties;

use crate::world::{World, event, policy};

const HERE: &str = "aws:us-east-1";
const THERE: &str = "azure:westeurope";
const SAMPLED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0b4902b7-01";
const OTHER: &str = "00-11111111111111111111111111111111-2222222222222222-01";
const UNSAMPLED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0b4902b7-00";

fn world(trace_ratio: Option<f64>) -> World {
    World::by_hand(7, &[HERE, THERE], &Policy { trace_ratio, ..policy() })
}

/// Sends an event with this member and these properties, and works it off at its origin.
fn send<const N: usize>(world: &World, member: Option<&str>, beside: [(&str, &str); N]) -> Verdict {
    let mut body = event(1, HERE, "upsert", "k", 0);
    if let Some(member) = member {
        body["traceparent"] = member.into();
    }
    let message = Message { id: "1".to_owned(), body: body.to_string().into(), properties: properties(beside) };
    let sent = world.clock.drive(world.site(HERE).queue.send(&[message]));
    assert!(sent.iter().all(Result::is_ok));
    world.work(HERE, 10).remove(0).1
}

/// The property of the message that waits for the peer.
fn forwarded(world: &World, name: &str) -> Option<String> {
    let waiting = world.site(THERE).queue.snapshot();
    assert_eq!(waiting.len(), 1);
    waiting[0].1.get(name).cloned()
}

fn step<'a>(trace: &'a Trace, kind: &StepKind) -> &'a Step {
    trace.steps.iter().find(|step| step.kind == *kind).unwrap()
}

#[test]
fn the_far_sites_span_hangs_below_the_send() {
    let world = world(Some(0.0));
    let near = send(&world, Some(SAMPLED), []).trace.unwrap();
    let producer: TraceParent = SAMPLED.parse().unwrap();
    assert_eq!((near.context.trace, near.parent), (producer.trace, Some(producer.span)));
    assert_eq!(near.steps.len(), 2);
    let forward = step(&near, &StepKind::Forward(THERE.parse().unwrap()));

    // The body still has the producer's context; the property is closer.
    let property: TraceParent = forwarded(&world, "traceparent").unwrap().parse().unwrap();
    assert_eq!((property.trace, property.span), (producer.trace, forward.span));
    let far = world.work(THERE, 10).remove(0).1.trace.unwrap();
    assert_eq!((far.context.trace, far.parent), (producer.trace, Some(forward.span)));
    assert_eq!(far.steps.len(), 1);
    assert_eq!(step(&far, &StepKind::Apply).failed, None);

    let mut spans = [near.context.span, far.context.span].to_vec();
    spans.extend(near.steps.iter().chain(&far.steps).map(|step| step.span));
    spans.sort_unstable();
    spans.dedup();
    assert_eq!(spans.len(), 5, "every span has an id of its own");
}

#[test]
fn what_is_not_recorded_is_passed_on_as_it_came() {
    for (ratio, member, beside, expected) in [
        (None, Some(SAMPLED), None, Some(SAMPLED)),
        (None, Some(OTHER), Some(SAMPLED), Some(SAMPLED)),
        (Some(1.0), Some(UNSAMPLED), None, Some(UNSAMPLED)),
        (Some(0.0), None, None, None),
        (Some(0.0), Some("nonsense"), None, None),
    ] {
        let world = world(ratio);
        let verdict = match beside {
            Some(beside) => send(&world, member, [("traceparent", beside)]),
            None => send(&world, member, []),
        };
        assert_eq!(verdict.trace, None);
        assert_eq!(forwarded(&world, "traceparent").as_deref(), expected, "{ratio:?} {member:?} {beside:?}");
    }
}

#[test]
fn an_event_without_a_trace_may_begin_one_that_the_peer_goes_on_with() {
    let world = world(Some(1.0));
    let near = send(&world, None, []).trace.unwrap();
    assert_eq!(near.parent, None);
    let far = world.work(THERE, 10).remove(0).1.trace.unwrap();
    assert_eq!(far.context.trace, near.context.trace);
}

#[test]
fn tracestate_goes_along_within_bounds() {
    let long = format!("a={},b={}", "x".repeat(254), "x".repeat(255));
    let beside = |state| [("traceparent", SAMPLED), ("tracestate", state)];
    for (state, expected) in [("vendor=1", Some("vendor=1")), (long.as_str(), None), ("vendor", None)] {
        let world = world(Some(0.0));
        send(&world, Some(SAMPLED), beside(state));
        assert_eq!(forwarded(&world, "tracestate").as_deref(), expected, "{state}");
    }
    let world = world(Some(0.0));
    send(&world, Some(SAMPLED), [("tracestate", "vendor=1")]);
    assert_eq!(forwarded(&world, "tracestate"), None, "it belongs to another trace than the body's");
}

#[test]
fn what_fails_says_so_in_its_step() {
    let world = world(Some(0.0));
    let down = Fault::Before(FailureKind::Unavailable);
    world.site(THERE).inbound.add(Rule::always(down));
    let verdict = send(&world, Some(SAMPLED), []);
    assert!(matches!(verdict.settlement, Settlement::DeadLetter(_)));
    let trace = verdict.trace.unwrap();
    assert_eq!(step(&trace, &StepKind::Apply).failed, None);
    let forward = step(&trace, &StepKind::Forward(THERE.parse().unwrap()));
    assert!(forward.failed.as_ref().unwrap().contains("unavailable"), "{forward:?}");
    let tries = (forward.end - forward.start).to_std().unwrap();
    assert!(tries > Duration::ZERO, "the pauses between the tries are part of it");
}

#[test]
fn what_the_store_refuses_says_so_in_its_step() {
    let world = world(Some(0.0));
    world.site(HERE).writes.add(Rule::always(Fault::Before(FailureKind::Unavailable)));
    let trace = send(&world, Some(SAMPLED), []).trace.unwrap();
    let apply = step(&trace, &StepKind::Apply);
    assert!(apply.failed.as_ref().unwrap().contains("unavailable"), "{apply:?}");
}

#[test]
fn what_is_refused_is_traced_too() {
    let world = world(Some(0.0));
    let mut body = event(1, HERE, "upsert", "k", 3_600);
    body["traceparent"] = SAMPLED.into();
    world.send(HERE, &[body.to_string()]);
    let (_, verdict) = world.work(HERE, 10).remove(0);
    assert!(matches!(verdict.settlement, Settlement::DeadLetter(_)), "an hour ahead");
    assert!(verdict.trace.unwrap().steps.is_empty());
}

#[test]
fn what_cannot_be_read_is_traced_by_its_property() {
    let world = world(Some(0.0));
    let message =
        Message { id: "1".to_owned(), body: "no event".into(), properties: properties([("traceparent", SAMPLED)]) };
    world.clock.drive(world.site(HERE).queue.send(&[message]));
    let trace = world.work(HERE, 10).remove(0).1.trace.unwrap();
    assert!(trace.steps.is_empty() && trace.parent.is_some());
}
