//! How each kind of delivery ends.

use std::{collections::BTreeSet, time::Duration};

use bridge_adapters::layer::{Fault, Operation, Rule};
use bridge_core::{
    circuit::CircuitState,
    conflict::{Conflict, ConflictKind},
    failure::FailureKind,
    port::Queue,
    port::Write,
    reason::Reason,
    settlement::Settlement,
};
use serde_json::json;

use crate::world::{Picky, World, event, policy};

const HERE: &str = "aws:us-east-1";
const THERE: &str = "azure:westeurope";

fn world() -> World {
    World::by_hand(7, &[HERE, THERE], &policy())
}

/// The settlement of the only message in the site's queue.
fn settle_one(world: &World, site: &str) -> Settlement {
    let mut verdicts = world.work(site, 10);
    assert_eq!(verdicts.len(), 1);
    verdicts.remove(0).1.settlement
}

fn reason(settlement: &Settlement) -> (Reason, String, BTreeSet<String>) {
    match settlement {
        Settlement::DeadLetter(letter) => {
            let owed = letter.owed.iter().map(ToString::to_string).collect();
            (letter.refusal.reason, letter.refusal.detail.clone(), owed)
        }
        other => panic!("{other:?} is no dead letter"),
    }
}

#[test]
fn a_letter_keeps_the_body_and_says_why() {
    let world = world();
    let body = r#"{"event_id": "nonsense"}  "#.to_owned();
    world.send(HERE, std::slice::from_ref(&body));
    settle_one(&world, HERE);
    let letters = world.site(HERE).letters.snapshot();
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].0, body.as_bytes());
    let properties: Vec<_> = letters[0].1.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(
        properties,
        [
            ("bridge_attempt", "1"),
            ("bridge_detail", "/event_id: \"nonsense\" is not a UUID in hyphenated form"),
            ("bridge_first_seen", "2026-11-21T01:02:03.000Z"),
            ("bridge_reason", "invalid_event"),
            ("bridge_source_queue", "memory aws:us-east-1/queue"),
        ]
    );
    assert!(world.site(HERE).queue.is_empty());
}

#[test]
fn refused_at_the_origin_means_refused_everywhere() {
    let cases = [
        (event(1, HERE, "update", "k", 3600), Reason::ClockSkew),
        (event(1, "aws:mars-1", "update", "k", 0), Reason::UnknownOrigin),
        (
            {
                let mut event = event(1, HERE, "update", "k", 0);
                event["payload"]["x"] = "x".repeat(255 * 1024).into();
                event
            },
            Reason::TooLarge,
        ),
        (
            {
                let mut event = event(1, HERE, "update", "k", 0);
                event["payload"]["x"] = json!(9_007_199_254_740_993_u64);
                event
            },
            Reason::NotPortable,
        ),
    ];
    for (event, expected) in cases {
        let world = world();
        world.send(HERE, &[event.to_string()]);
        assert_eq!(reason(&settle_one(&world, HERE)).0, expected);
        assert!(world.site(HERE).store.snapshot().is_empty(), "{expected}: not applied");
        assert!(world.site(THERE).queue.is_empty(), "{expected}: not forwarded");
    }
}

#[test]
fn what_the_origin_let_through_is_let_through_everywhere() {
    let world = world();
    world.forward(THERE, HERE, &[event(1, THERE, "update", "k", 3600).to_string()]);
    assert_eq!(settle_one(&world, HERE), Settlement::Ack, "a peer's event from a fast clock");
    assert_eq!(world.site(HERE).store.snapshot().len(), 1);
}

#[test]
fn of_one_batch_only_the_greatest_version_of_a_key_is_written() {
    let world = world();
    let events: Vec<_> = (1..=5).map(|n| event(n, HERE, "update", "k", -1).to_string()).collect();
    world.send(HERE, &events);
    world.send(HERE, &events[4..]);
    let mut writes: Vec<_> = world.work(HERE, 10).into_iter().map(|(_, verdict)| verdict.write.unwrap()).collect();
    writes.sort_by_key(Write::as_str);
    let stored = world.site(HERE).store.snapshot().into_values().next().unwrap();
    let superseded = Write::Superseded { by: stored.version };
    assert_eq!(writes[..2], [Write::Applied { replaced: None }, Write::Duplicate]);
    assert_eq!(writes[2..], [(); 4].map(|()| superseded.clone()));
    assert_eq!(world.site(THERE).queue.len(), 6, "all are forwarded nevertheless");
}

#[test]
fn the_same_write_again_is_a_duplicate_and_an_older_one_is_superseded() {
    let world = world();
    let write = |number| {
        world.send(HERE, &[event(number, HERE, "update", "k", 0).to_string()]);
        world.work(HERE, 1).remove(0).1.write.unwrap()
    };
    assert_eq!(write(2), Write::Applied { replaced: None });
    let by = world.site(HERE).store.snapshot().into_values().next().unwrap().version;
    assert_eq!(write(2), Write::Duplicate);
    assert_eq!(write(1), Write::Superseded { by });
}

/// Two rows, a delete and another operation under one name and time: in a batch of their own, in one batch, in any order. One
/// of them is stored, and nothing but the very same content is a duplicate; whoever is lost is told, once for each delivery.
#[test]
fn two_contents_of_one_event_are_two_writes_and_are_told() {
    let upsert = event(1, HERE, "upsert", "k", 0);
    let contents = [("upsert", "9"), ("delete", "1"), ("update", "1")].map(|(op, number)| {
        let mut other = upsert.clone();
        (other["op_type"], other["payload"]["number"]) = (op.into(), number.into());
        other.to_string()
    });
    let mut stored = BTreeSet::new();
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        for batch in [1, 2, 3] {
            let world = world();
            let mut told = 0;
            for at in order {
                world.send(HERE, std::slice::from_ref(&contents[at]));
            }
            while !world.site(HERE).queue.is_empty() {
                for (_, verdict) in world.work(HERE, batch) {
                    assert_ne!(verdict.write, Some(Write::Duplicate));
                    assert_eq!(verdict.settlement, Settlement::Ack);
                    let conflict = Conflict::of(&verdict);
                    assert!(
                        conflict.as_ref().is_none_or(|one| one.kind == ConflictKind::TwoContents && one.lost < one.won)
                    );
                    told += usize::from(conflict.is_some());
                }
            }
            assert!((2..=3).contains(&told), "{told} told of two that are lost, {order:?} by {batch}");
            stored.extend(world.site(HERE).store.snapshot().into_values().map(|record| record.version.to_string()));
            world.send(HERE, &contents);
            let again: Vec<_> = world.work(HERE, 3).into_iter().filter_map(|(_, verdict)| verdict.write).collect();
            assert_eq!(again.iter().filter(|write| **write == Write::Duplicate).count(), 1, "{again:?}");
        }
    }
    assert_eq!(stored.len(), 1, "{stored:?}");
}

#[test]
fn a_record_that_the_store_refuses_does_not_take_older_ones_along() {
    let world = world();
    let refused = Fault::Before(FailureKind::Rejected { detail: "no".into() });
    world.site(HERE).writes.add(Rule::once(Operation::PutIfNewer, refused));
    world.send(HERE, &[1, 2].map(|n| event(n, HERE, "update", "k", -1).to_string()));
    let verdicts = world.work(HERE, 10);
    let of = |number: u8| {
        let id = format!("0000000000{number:02}");
        &verdicts.iter().find(|(body, _)| body.contains(&id)).unwrap().1
    };
    let (reason, detail, owed) = reason(&of(2).settlement);
    assert_eq!((reason, owed), (Reason::StoreRejected, BTreeSet::from([HERE.to_owned()])));
    assert!(detail.contains("refused: no"), "{detail}");
    assert_eq!(of(1).write, Some(Write::Applied { replaced: None }));
}

#[test]
fn a_key_that_fails_is_tried_again_and_at_last_given_up() {
    let mut world = world();
    Picky::at(&mut world, HERE, FailureKind::Unavailable);
    world.send(HERE, &[event(1, HERE, "update", "k", 0).to_string()]);
    for attempt in 1..policy().attempts_max {
        assert!(matches!(settle_one(&world, HERE), Settlement::Retry { .. }), "attempt {attempt}");
        world.clock.advance(Duration::from_mins(1));
    }
    let (reason, detail, owed) = reason(&settle_one(&world, HERE));
    assert_eq!((reason, owed), (Reason::RetriesExhausted, BTreeSet::from([HERE.to_owned()])));
    assert!(detail.starts_with("given up after 5 deliveries; "), "{detail}");
    assert!(!world.site(THERE).queue.is_empty(), "the peer has it all the same");
}

#[test]
fn a_key_that_fails_for_long_does_not_flood_the_peers() {
    let mut world = world();
    Picky::at(&mut world, HERE, FailureKind::Unavailable);
    world.send(HERE, &[event(1, HERE, "update", "k", 0).to_string()]);
    settle_one(&world, HERE);
    assert_eq!(world.site(THERE).queue.len(), 1, "forwarded at once");
    for attempt in 2..policy().attempts_max {
        world.clock.advance(Duration::from_mins(1));
        assert!(matches!(settle_one(&world, HERE), Settlement::Retry { .. }), "attempt {attempt}");
        assert_eq!(world.site(THERE).queue.len(), 1, "attempt {attempt}");
    }
    world.clock.advance(Duration::from_mins(1));
    let (_, _, owed) = reason(&settle_one(&world, HERE));
    assert_eq!(owed, BTreeSet::from([HERE.to_owned()]), "the peer was asked once more, so it is known to owe nothing");
}

#[test]
fn what_comes_again_is_forwarded_before_it_is_settled() {
    let rejected = || Fault::Before(FailureKind::Rejected { detail: "no".into() });
    for (write, owed) in [(None, vec![THERE]), (Some(rejected()), vec![HERE, THERE])] {
        let world = world();
        world.send(HERE, &[event(1, HERE, "update", "k", 0).to_string()]);
        // A worker took the message and was lost before it did anything.
        world.clock.drive(world.site(HERE).queue.receive(1, Duration::ZERO)).unwrap();
        world.clock.advance(Duration::from_mins(1));
        if let Some(fault) = write {
            world.site(HERE).writes.add(Rule::once(Operation::PutIfNewer, fault));
        }
        world.site(THERE).inbound.add(Rule::always(Fault::Before(FailureKind::Unavailable)));
        let (_, _, told) = reason(&settle_one(&world, HERE));
        assert_eq!(told, owed.into_iter().map(ToOwned::to_owned).collect());
    }
}

#[test]
fn a_hint_of_the_store_is_honoured() {
    let world = world();
    let hint = Duration::from_secs(77);
    let throttled = Fault::Before(FailureKind::Throttled { retry_after: Some(hint) });
    world.site(HERE).writes.add(Rule::once(Operation::PutIfNewer, throttled));
    world.send(HERE, &[event(1, HERE, "update", "k", 0).to_string()]);
    assert_eq!(settle_one(&world, HERE), Settlement::Retry { after: hint });
}

#[test]
fn a_dark_peer_is_owed_and_delays_nothing() {
    let world = world();
    world.site(THERE).inbound.add(Rule::always(Fault::Before(FailureKind::Unavailable)));
    for number in 1..=3 {
        world.send(HERE, &[event(number, HERE, "update", "k", 0).to_string()]);
        let (reason, _, owed) = reason(&settle_one(&world, HERE));
        assert_eq!((reason, owed), (Reason::PeerUnavailable, BTreeSet::from([THERE.to_owned()])));
    }
    assert_eq!(world.worker(HERE).peers[0].circuit(), CircuitState::Open);
    assert_eq!(world.site(HERE).store.snapshot().len(), 1, "applied here");
    let before = world.clock.elapsed();
    world.send(HERE, &[event(4, HERE, "update", "k", 0).to_string()]);
    settle_one(&world, HERE);
    assert_eq!(world.clock.elapsed(), before, "an open circuit costs no time");

    world.site(THERE).inbound.clear();
    world.clock.advance(policy().circuit.pause);
    world.send(HERE, &[event(5, HERE, "update", "k", 0).to_string()]);
    assert_eq!(settle_one(&world, HERE), Settlement::Ack, "the probe finds it back");
    assert_eq!(world.worker(HERE).peers[0].circuit(), CircuitState::Closed);
}

#[test]
fn lost_permissions_at_the_store_halt_and_keep_the_message() {
    let world = world();
    world.site(HERE).writes.add(Rule::once(Operation::PutIfNewer, Fault::Before(FailureKind::Unauthorized)));
    world.send(HERE, &[event(1, HERE, "update", "k", 0).to_string()]);
    assert!(matches!(settle_one(&world, HERE), Settlement::Halt { .. }));
    assert!(world.site(HERE).letters.is_empty());
    world.clock.advance(Duration::from_secs(31));
    assert_eq!(settle_one(&world, HERE), Settlement::Ack, "once mended");
}

#[test]
fn lost_permissions_at_a_peer_do_not_stop_this_site() {
    let world = world();
    world.site(THERE).inbound.add(Rule::always(Fault::Before(FailureKind::Unauthorized)));
    world.send(HERE, &[event(1, HERE, "update", "k", 0).to_string()]);
    let (reason, detail, _) = reason(&settle_one(&world, HERE));
    assert_eq!(reason, Reason::PeerUnavailable);
    assert!(detail.contains("access denied"), "{detail}");
    assert_eq!(world.site(HERE).store.snapshot().len(), 1);
}

#[test]
fn of_a_batch_that_a_peer_took_in_part_only_the_rest_is_owed() {
    let world = world();
    let partial = Fault::Items { share: 0.5, kind: FailureKind::Rejected { detail: "no".into() }, after: false };
    world.site(THERE).inbound.add(Rule::once(Operation::Send, partial));
    let events: Vec<_> = (1..=20).map(|n| event(n, HERE, "update", &format!("k{n}"), 0).to_string()).collect();
    world.send(HERE, &events);
    let verdicts = world.work(HERE, 100);
    let acked = verdicts.iter().filter(|(_, verdict)| verdict.settlement == Settlement::Ack).count();
    assert_eq!(acked, world.site(THERE).queue.len());
    assert_eq!(verdicts.len() - acked, world.site(HERE).letters.len());
    assert!(acked > 0 && acked < 20, "{acked}");
}
