//! Any delivery order, with any repeats, of any set of events ends in one state: that of the greatest version.

use std::{collections::BTreeMap, time::Duration};

use bridge_adapters::layer::{Fault, Operation, Rule};
use bridge_core::{
    envelope,
    event::{Event, Key},
    failure::FailureKind,
    reserved::RESERVED,
    worker::Forward,
};
use proptest::prelude::*;
use serde_json::Value;

use crate::world::{World, event, policy};

const SITES: [&str; 3] = ["aws:us-east-1", "azure:westeurope", "aws:eu-west-1"];

/// Few keys, few seconds and all sites, so that conflicts and ties are the rule. A third of the events is sent with two or
/// three contents, as by a producer that renders its row at each try.
fn events() -> impl Strategy<Value = Vec<Value>> {
    let op = || prop::sample::select(vec!["create", "update", "upsert", "delete"]);
    let tries = prop_oneof![2 => prop::collection::vec(op(), 1), 1 => prop::collection::vec(op(), 2..4)];
    let one = (0..3_usize, tries, 0..4_u8, -3..3_i64);
    prop::collection::vec(one, 1..40).prop_map(|events| {
        let rendered = |(n, (site, tries, key, second)): (usize, (usize, Vec<&'static str>, u8, i64))| {
            tries.into_iter().enumerate().map(move |(attempt, op)| {
                let mut event = event(n as u128 + 1, SITES[site], op, &format!("key-{key}"), second);
                event["payload"]["attempt"] = attempt.into();
                event
            })
        };
        events.into_iter().enumerate().flat_map(rendered).collect()
    })
}

fn origin(event: &Value) -> &str {
    event["source_region"].as_str().unwrap()
}

/// The one definition of what must come out.
fn winners(events: &[Value]) -> BTreeMap<Key, Event> {
    let mut winners: BTreeMap<Key, Event> = BTreeMap::new();
    for event in events {
        let event = envelope::decode(event.to_string().as_bytes(), "/id").unwrap();
        let loses = |held: &Event| {
            let rank = |event: &Event| {
                (event.timestamp.utc, event.origin.clone(), event.id.to_string(), event.version().content())
            };
            rank(held) > rank(&event)
        };
        if !winners.get(&event.key).is_some_and(loses) {
            winners.insert(event.key.clone(), event);
        }
    }
    winners
}

fn assert_converged(world: &World, events: &[Value]) {
    let winners = winners(events);
    for (id, site) in &world.sites {
        let mut held = site.store.snapshot();
        // A worker whose write failed may have asked the store to take a record of the bridge's own.
        held.retain(|key, _| !key.as_str().starts_with(RESERVED));
        assert_eq!(held.keys().collect::<Vec<_>>(), winners.keys().collect::<Vec<_>>(), "{id}");
        for (key, winner) in &winners {
            let record = &held[key];
            assert_eq!(&record.version, winner.version(), "{id} {key}");
            assert_eq!(record.op, winner.op, "{id} {key}");
            assert_eq!(record.payload.as_ref(), (!record.deleted()).then_some(&winner.payload), "{id} {key}");
            assert_eq!(record.expires_after.is_some(), record.deleted(), "{id} {key}: only tombstones expire");
        }
        assert!(site.letters.is_empty(), "{id}: {:?}", site.letters.snapshot());
    }
}

fn run(world: &World, events: &[Value], repeats: &[(usize, usize)], batch: usize) {
    for event in events {
        world.send(origin(event), &[event.to_string()]);
    }
    // Repeats come to any site: a peer's queue may hold the event more than once, too.
    for (which, site) in repeats {
        let event = &events[which % events.len()];
        world.forward(origin(event), SITES[site % SITES.len()], &[event.to_string()]);
    }
    world.drain(batch);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn any_order_with_any_repeats_ends_in_one_state(
        events in events(),
        repeats in prop::collection::vec((0..40_usize, 0..3_usize), 0..20),
        batch in 1..12_usize,
        seed in any::<u64>(),
        latest in any::<bool>(),
    ) {
        let forward = if latest { Forward::Latest } else { Forward::All };
        let world = World::by_hand(seed, &SITES, &bridge_core::worker::Policy { forward, ..policy() });
        run(&world, &events, &repeats, batch);
        assert_converged(&world, &events);
    }

    #[test]
    fn so_it_does_when_stores_and_sends_fail_before_and_after_their_effect(
        events in events(),
        batch in 1..12_usize,
        seed in any::<u64>(),
    ) {
        let patient = bridge_core::worker::Policy { attempts_max: 1000, peer_attempts_max: 1000, peer_time: Duration::from_hours(24), ..policy() };
        let world = World::by_hand(seed, &SITES, &patient);
        for site in world.sites.values() {
            let rule = |operation, fault| Rule { operation: Some(operation), fault, probability: 0.3, count: None };
            site.writes.add(rule(Operation::PutIfNewer, Fault::Before(FailureKind::Throttled { retry_after: None })));
            site.writes.add(rule(Operation::PutIfNewer, Fault::After(FailureKind::TimedOut)));
            site.inbound.add(rule(Operation::Send, Fault::Before(FailureKind::Unavailable)));
            site.inbound.add(rule(Operation::Send, Fault::After(FailureKind::TimedOut)));
        }
        run(&world, &events, &[], batch);
        assert_converged(&world, &events);
    }
}

#[test]
fn an_event_crosses_each_link_once() {
    let world = World::by_hand(1, &SITES, &policy());
    let event = event(1, SITES[0], "create", "a", 0).to_string();
    world.send(SITES[0], &[event]);
    assert_eq!(world.work(SITES[0], 10).len(), 1);
    for peer in &SITES[1..] {
        assert_eq!(world.work(peer, 10).len(), 1, "{peer} gets it once");
    }
    for site in SITES {
        assert_eq!(world.work(site, 10).len(), 0, "{site} gets nothing back");
    }
}
