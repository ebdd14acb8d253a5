//! Whose word counts, and for how long: forwards, reserved keys, and the fences against times that are too far away.

use std::{collections::BTreeSet, time::Duration};

use bridge_adapters::layer::{Fault, Rule};
use bridge_core::{
    failure::FailureKind,
    heartbeat::{self, Status},
    limits,
    marks::{AcceptOld, Accepted, Marks, Own},
    port::{Clock, Message, Properties, Queue},
    reason::Reason,
    settlement::Settlement,
    worker::Verdict,
};
use bridge_tests::properties;
use chrono::TimeDelta;

use crate::world::{Picky, World, event, message, policy};

const HERE: &str = "aws:us-east-1";
const THERE: &str = "azure:westeurope";
const OLD: i64 = -60 * 86_400;

fn world() -> World {
    World::by_hand(7, &[HERE, THERE], &policy())
}

/// The marks of what was accepted just now.
fn accepted(world: &World, by: AcceptOld) -> Marks {
    Marks { accept_old: Some(Accepted { by, at: world.clock.now() }), ..Marks::default() }
}

/// What became of the only message in the site's queue.
fn work_one(world: &World, site: &str) -> Verdict {
    let mut verdicts = world.work(site, 10);
    assert_eq!(verdicts.len(), 1);
    verdicts.remove(0).1
}

/// The reason of its letter, and who is owed it.
fn set_aside(world: &World, site: &str) -> (Reason, BTreeSet<String>) {
    match work_one(world, site).settlement {
        Settlement::DeadLetter(letter) => {
            (letter.refusal.reason, letter.owed.iter().map(ToString::to_string).collect())
        }
        other => panic!("{other:?} is no dead letter"),
    }
}

fn nowhere(world: &World) -> bool {
    world.sites.values().all(|site| site.store.snapshot().is_empty() && site.queue.is_empty())
}

fn send(world: &World, site: &str, body: &str, properties: Properties) {
    let message = Message { properties, ..message(1, body) };
    assert!(world.clock.drive(world.site(site).queue.send(&[message])).iter().all(Result::is_ok));
}

/// The properties of the message that waits at a site.
fn waiting(world: &World, site: &str) -> Properties {
    let waiting = world.site(site).queue.snapshot();
    assert_eq!(waiting.len(), 1);
    waiting[0].1.clone()
}

fn beat(world: &World, site: &str, shift: TimeDelta) -> Message {
    let at = world.clock.now() + shift;
    heartbeat::message(&site.parse().unwrap(), uuid::Uuid::nil(), "beat".to_owned(), at, &Status::default())
}

#[test]
fn a_producer_that_names_a_peer_as_its_origin_gets_a_letter_and_writes_nothing() {
    for second in [0, 86_400 * 365 * 70] {
        let world = world();
        world.send(HERE, &[event(1, THERE, "update", "k", second).to_string()]);
        assert_eq!(set_aside(&world, HERE), (Reason::NotForwarded, BTreeSet::new()), "{second}");
        assert!(nowhere(&world));
    }
}

#[test]
fn every_forward_names_its_origin_and_takes_nothing_along_that_a_producer_wrote() {
    let world = world();
    let forged = properties([
        ("bridge_attempt", "4"),
        ("bridge_event_id", "nonsense"),
        ("bridge_first_seen", "2020-01-01T00:00:00Z"),
        ("bridge_forwarded_by", THERE),
        ("bridge_owed", THERE),
        ("own", "x"),
    ]);
    send(&world, HERE, &event(1, HERE, "update", "k", 0).to_string(), forged);
    assert_eq!(work_one(&world, HERE).settlement, Settlement::Ack);
    let id = uuid::Uuid::from_u128(1).to_string();
    assert_eq!(waiting(&world, THERE), properties([("bridge_event_id", &id), ("bridge_forwarded_by", HERE)]));
    assert_eq!(work_one(&world, THERE).settlement, Settlement::Ack);
}

#[test]
fn tries_are_the_brokers_count_and_no_producers() {
    let mut world = world();
    let used_up = properties([("bridge_attempt", "25"), ("bridge_first_seen", "2020-01-01T00:00:00Z")]);
    send(&world, HERE, &event(1, HERE, "update", "k", 0).to_string(), used_up);
    Picky::at(&mut world, HERE, FailureKind::Unavailable);
    assert!(matches!(work_one(&world, HERE).settlement, Settlement::Retry { .. }), "it is the first of its tries");
}

#[test]
fn what_a_wrong_clock_let_through_is_owed_where_it_is_refused_and_taken_once_its_time_has_come() {
    let world = world();
    let ahead = event(1, HERE, "update", "k", 2 * 3600).to_string();
    world.site(HERE).clock.set(TimeDelta::hours(2));
    world.send(HERE, std::slice::from_ref(&ahead));
    assert_eq!(work_one(&world, HERE).settlement, Settlement::Ack, "its origin's clock is as wrong");
    assert_eq!(set_aside(&world, THERE), (Reason::ClockSkew, BTreeSet::from([THERE.to_owned()])));
    assert!(world.site(THERE).store.snapshot().is_empty());
    world.clock.advance(Duration::from_hours(1));
    world.forward(HERE, THERE, &[ahead]);
    assert_eq!(work_one(&world, THERE).settlement, Settlement::Ack, "an hour ahead is allowed");
}

#[test]
fn what_is_older_than_deletes_are_remembered_is_refused_at_every_site() {
    let world = world();
    let old = event(1, HERE, "update", "k", OLD).to_string();
    world.send(HERE, std::slice::from_ref(&old));
    assert_eq!(set_aside(&world, HERE), (Reason::TooOld, BTreeSet::new()), "nobody has it");
    world.forward(HERE, THERE, &[old]);
    assert_eq!(set_aside(&world, THERE), (Reason::TooOld, BTreeSet::from([THERE.to_owned()])));
    assert!(nowhere(&world));
}

#[test]
fn an_old_event_that_is_meant_reaches_all_sites() {
    for by in [AcceptOld::Import, AcceptOld::Replay] {
        let world = world();
        let marks = accepted(&world, by);
        world.send_marked(HERE, &[event(1, HERE, "update", "k", OLD).to_string()], &marks);
        world.drain(10);
        assert!(world.sites.values().all(|site| site.store.snapshot().len() == 1 && site.letters.is_empty()));
    }
}

/// A letter keeps what was decided, so a replay to the peer that was dark is no surprise.
#[test]
fn an_import_that_a_peer_was_dark_for_is_brought_to_it() {
    let world = world();
    world.site(THERE).inbound.add(Rule::always(Fault::Before(FailureKind::Unavailable)));
    let marks = accepted(&world, AcceptOld::Import);
    world.send_marked(HERE, &[event(1, HERE, "update", "k", OLD).to_string()], &marks);
    assert_eq!(set_aside(&world, HERE).0, Reason::PeerUnavailable);
    let (_, letter) = world.site(HERE).letters.snapshot().remove(0);
    assert_eq!(letter["bridge_accept_old"], "import 2026-11-21T01:02:03.000Z");
}

/// Brought to all sites, and under way to one of them for so long that a delete which came after it is forgotten.
#[test]
fn what_was_accepted_and_waits_for_too_long_is_old_again() {
    let world = world();
    let marks = accepted(&world, AcceptOld::Replay);
    let old = event(1, HERE, "update", "k", OLD).to_string();
    let wait = |days: u64| world.clock.advance(Duration::from_hours(24 * days));
    wait(59);
    world.send_marked(THERE, std::slice::from_ref(&old), &marks.forwarded(&HERE.parse().unwrap()));
    assert_eq!(world.work(THERE, 10)[0].1.settlement, Settlement::Ack, "as young as any event may be");
    wait(1);
    world.send_marked(
        THERE,
        &[event(2, HERE, "update", "k", OLD).to_string()],
        &marks.forwarded(&HERE.parse().unwrap()),
    );
    assert_eq!(set_aside(&world, THERE), (Reason::TooOld, BTreeSet::from([THERE.to_owned()])));
}

/// Moved back by hand, by a broker's own redrive: it is the same forward once more, with all of its tries.
#[test]
fn a_letter_that_is_moved_back_into_its_queue_is_the_same_forward_once_more() {
    let world = world();
    world.forward(HERE, THERE, &[event(1, HERE, "update", "k", 0).to_string()]);
    world.site(THERE).writes.add(Rule::once(
        bridge_adapters::layer::Operation::PutIfNewer,
        Fault::Before(FailureKind::Rejected { detail: "no".into() }),
    ));
    assert_eq!(set_aside(&world, THERE).0, Reason::StoreRejected);
    let (body, letter) = world.site(THERE).letters.snapshot().remove(0);
    send(&world, THERE, std::str::from_utf8(&body).unwrap(), letter);
    assert_eq!(work_one(&world, THERE).settlement, Settlement::Ack);
}

#[test]
fn reserved_keys_are_refused_at_their_origin_and_from_a_peer() {
    for key in ["_bridge/", "_bridge/order-42", "_bridge/heartbeat/aws:us-east-1", "_bridge/drill/1/k"] {
        let world = world();
        let foreign = event(1, HERE, "update", key, 0).to_string();
        world.send(HERE, std::slice::from_ref(&foreign));
        assert_eq!(set_aside(&world, HERE), (Reason::InvalidKey, BTreeSet::new()), "{key}");
        world.forward(HERE, THERE, &[foreign]);
        assert_eq!(set_aside(&world, THERE), (Reason::InvalidKey, BTreeSet::new()), "{key}");
        assert!(nowhere(&world));
    }
}

#[test]
fn the_bridges_own_events_pass_with_their_mark() {
    let world = world();
    world.clock.drive(world.site(HERE).queue.send(&[beat(&world, HERE, TimeDelta::zero())]));
    world.send_marked(HERE, &[event(1, HERE, "update", "_bridge/drill/1/k", 0).to_string()], &Marks::of(Own::Drill));
    world.drain(10);
    assert!(world.sites.values().all(|site| site.store.snapshot().len() == 2 && site.letters.is_empty()));
}

/// Two workers of one site with clocks a minute and a half apart, and a site that the others do not know any more.
#[test]
fn a_heartbeat_is_never_set_aside_whatever_is_wrong_with_it() {
    let world = world();
    let fast = beat(&world, HERE, TimeDelta::seconds(90));
    let far = beat(&world, THERE, TimeDelta::hours(2));
    let gone = beat(&world, "gcp:nowhere", TimeDelta::zero());
    let old = beat(&world, HERE, TimeDelta::days(-70));
    world.clock.drive(world.site(HERE).queue.send(&[fast, far, gone, old]));
    let verdicts = world.work(HERE, 10);
    assert_eq!(verdicts.len(), 4);
    for (body, verdict) in verdicts {
        assert_eq!((&verdict.settlement, &verdict.write), (&Settlement::Ack, &None), "{body}");
    }
    world.site(THERE).inbound.add(Rule::always(Fault::Before(FailureKind::Unavailable)));
    world.clock.drive(world.site(HERE).queue.send(&[beat(&world, HERE, TimeDelta::zero())]));
    assert_eq!(work_one(&world, HERE).settlement, Settlement::Ack, "nobody is owed it");
    assert!(world.sites.values().all(|site| site.letters.is_empty()));
}

#[test]
fn a_trace_is_never_worth_an_event() {
    let world = world();
    let (good, bad) = ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0b4902b7-00", "vendor=\u{1}");
    let beside = |parent: &str, state: &str| properties([("traceparent", parent), ("tracestate", state)]);
    for (parent, state, kept) in [(good, bad, Some(good)), ("\u{1}", "vendor=1", None)] {
        send(&world, HERE, &event(1, HERE, "update", "k", 0).to_string(), beside(parent, state));
        world.work(HERE, 10);
        let forwarded = waiting(&world, THERE);
        assert_eq!(forwarded.get("traceparent").map(String::as_str), kept);
        assert_eq!(forwarded.get("tracestate"), None);
        world.work(THERE, 10);
        send(&world, HERE, "no event", beside(parent, state));
        world.work(HERE, 10);
        let (_, letter) = world.site(HERE).letters.snapshot().pop().unwrap();
        assert_eq!(letter.get("traceparent").map(String::as_str), kept);
        assert_eq!(letter.get("tracestate"), None);
    }
}

/// Whichever of the two comes later ends it: the write's own time, or the time that it was applied at.
#[test]
fn a_tombstone_lives_from_the_later_of_its_stamp_and_its_writing() {
    for (second, lives) in [(0, 0), (-3600, 0), (1800, 1800)] {
        let world = world();
        world.forward(THERE, HERE, &[event(1, THERE, "delete", "k", second).to_string()]);
        assert_eq!(work_one(&world, HERE).settlement, Settlement::Ack);
        let tombstone = world.site(HERE).store.snapshot().into_values().next().unwrap();
        assert_eq!(tombstone.expires_after, Some(limits::TOMBSTONE_LIFE + Duration::from_secs(lives)), "{second}");
    }
}
