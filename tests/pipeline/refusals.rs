//! A store that refuses one key after the other: a halt where the store is what is wrong, letters where the messages are.

use bridge_adapters::layer::{Fault, Rule};
use bridge_core::{
    failure::FailureKind, limits::REFUSED_KEYS_MAX, port::Queue, reason::Reason, settlement::Settlement,
};

use crate::world::{Picky, World, event, policy};

const HERE: &str = "aws:us-east-1";

fn world(events: usize) -> World {
    let world = World::by_hand(5, &[HERE], &policy());
    let bodies = (0..events).map(|n| event(n as u128, HERE, "upsert", &format!("k{n}"), 1).to_string());
    world.send(HERE, &bodies.collect::<Vec<_>>());
    world
}

/// How many deliveries of a batch end as a letter of the store, and how many halt the site.
fn ended(world: &World) -> (usize, usize) {
    let batch = world.clock.drive(world.site(HERE).queue.receive(100, std::time::Duration::ZERO)).unwrap();
    let verdicts = world.clock.drive(world.worker(HERE).replicate(&batch));
    let count = |of: fn(&Settlement) -> bool| verdicts.iter().filter(|verdict| of(&verdict.settlement)).count();
    let letter = |settlement: &Settlement| matches!(settlement, Settlement::DeadLetter(letter) if letter.refusal.reason == Reason::StoreRejected);
    (count(letter), count(|settlement| matches!(settlement, Settlement::Halt { .. })))
}

fn refused() -> Rule {
    Rule::always(Fault::Before(FailureKind::Rejected { detail: "no record fits in".to_owned() }))
}

#[test]
fn a_store_that_takes_nothing_halts_its_site_after_some_letters() {
    let world = world(40);
    world.site(HERE).writes.add(refused());
    let (letters, halts) = ended(&world);
    assert!(letters < REFUSED_KEYS_MAX && letters + halts == 40, "{letters} letters, {halts} halts");
    // Whatever comes next halts too, until the store takes something.
    world.send(HERE, &[event(99, HERE, "upsert", "late", 1).to_string()]);
    assert_eq!(ended(&world), (0, 1));
    world.site(HERE).writes.clear();
    world.clock.drive(world.worker(HERE).probe_store()).unwrap();
    world.site(HERE).writes.add(refused());
    world.send(HERE, &[event(100, HERE, "upsert", "later", 1).to_string()]);
    assert_eq!(ended(&world), (1, 0), "the row begins anew");
}

#[test]
fn few_refusals_or_a_success_between_them_are_the_messages_fault() {
    let world = world(REFUSED_KEYS_MAX - 1);
    world.site(HERE).writes.add(refused());
    assert_eq!(ended(&world), (REFUSED_KEYS_MAX - 1, 0));
    world.site(HERE).writes.clear();
    world.send(HERE, &[event(50, HERE, "upsert", "good", 1).to_string()]);
    assert_eq!(ended(&world), (0, 0));
    world.site(HERE).writes.add(refused());
    let more =
        (60..60 + REFUSED_KEYS_MAX as u128 - 1).map(|n| event(n, HERE, "upsert", &format!("k{n}"), 1).to_string());
    world.send(HERE, &more.collect::<Vec<_>>());
    assert_eq!(ended(&world), (REFUSED_KEYS_MAX - 1, 0));
}

/// However many messages are wrong, each ends as a letter: a site that halted for them would never get past them.
#[test]
fn a_store_that_takes_the_bridges_own_record_is_right() {
    let mut world = world(40);
    Picky::at(&mut world, HERE, FailureKind::Rejected { detail: "not this one".to_owned() });
    assert_eq!(ended(&world), (40, 0));
}
