//! What a worker does around its work: it keeps the leases while it lasts, and books how each delivery was ended.

use std::time::Duration;

use bridge_adapters::layer::{Fault, Operation, Rule};
use bridge_core::{
    carry_out::{Carried, work_off},
    failure::FailureKind,
    port::Queue,
};
use bridge_simulation::books::{Actor, Kind};

use crate::world::{Reported, World, event, policy};

const HERE: &str = "aws:us-east-1";
const THERE: &str = "azure:westeurope";

fn world() -> World {
    World::by_hand(7, &[HERE, THERE], &policy())
}

/// Works off what waits at the first site, where the ways to its queue and to the letters may be disturbed.
fn work(world: &World) -> Carried {
    let site = world.site(HERE);
    let way = |kind| world.queue(site, kind, Actor::Worker(site.number), "by hand");
    let (queue, letters) = (way(Kind::Queue), way(Kind::Letters));
    world.clock.drive(async {
        let batch = queue.receive(10, Duration::ZERO).await.unwrap();
        work_off(world.worker(HERE), &*queue, &*letters, &batch).await.1
    })
}

/// The queue of memory takes no receipt whose lease has ended.
#[test]
fn leases_are_kept_for_as_long_as_the_work_takes() {
    let world = world();
    let slow = Fault::Late(world.site(HERE).queue.lease() * 5);
    world.site(HERE).writes.add(Rule::once(Operation::PutIfNewer, slow));
    world.send(HERE, &[event(1, HERE, "update", "k", 0).to_string()]);
    let carried = work(&world);
    assert_eq!((carried.books.acked, carried.unsettled.len()), (1, 0), "{carried:?}");
    assert!(world.site(HERE).queue.is_empty());
}

/// A store that answers after five leases, while these extensions fail one after the other.
fn with_failed_extensions(failures: &[FailureKind]) -> (Carried, Vec<String>) {
    let mut world = world();
    let reported = Reported::of(&mut world, HERE);
    let site = world.site(HERE);
    site.writes.add(Rule::once(Operation::PutIfNewer, Fault::Late(site.queue.lease() * 5)));
    for kind in failures {
        site.reads.add(Rule::once(Operation::Extend, Fault::Before(kind.clone())));
    }
    world.send(HERE, &[event(1, HERE, "update", "k", 0).to_string()]);
    (work(&world), reported.lines())
}

/// It is tried again at half of what is left of the lease.
#[test]
fn an_extension_that_fails_is_made_again_before_the_lease_ends() {
    let (carried, reported) = with_failed_extensions(&[FailureKind::Unavailable, FailureKind::TimedOut]);
    assert_eq!((carried.books.acked, carried.books.leases_lost), (1, 0), "{carried:?}");
    assert_eq!(reported, ["leases not extended, 0 lost: unavailable", "leases not extended, 0 lost: timed out"]);
}

#[test]
fn a_lost_lease_is_reported_and_kept_no_longer() {
    let (carried, reported) = with_failed_extensions(&[FailureKind::LeaseLost]);
    assert_eq!((carried.books.acked, carried.books.leases_lost), (0, 1), "{carried:?}");
    assert_eq!(reported, ["leases not extended, 1 lost: the lease on the message was lost"]);
}

/// Until when a lease holds is known, so its end needs no answer.
#[test]
fn a_lease_that_could_not_be_extended_for_its_whole_time_counts_as_lost() {
    let away = vec![FailureKind::Unavailable; 100];
    let (carried, reported) = with_failed_extensions(&away);
    assert_eq!((carried.books.acked, carried.books.leases_lost), (0, 1), "{carried:?}");
    let (last, before) = reported.split_last().unwrap();
    assert_eq!(last, "leases not extended, 1 lost: unavailable");
    assert_eq!(before, vec!["leases not extended, 0 lost: unavailable"; before.len()]);
    assert!((3..6).contains(&before.len()), "{reported:?}");
}

#[test]
fn what_is_not_set_aside_is_reported_once_for_a_batch() {
    let mut world = world();
    let reported = Reported::of(&mut world, HERE);
    world.site(HERE).asides.add(Rule::always(Fault::Before(FailureKind::Unavailable)));
    world.send(HERE, &["no event".to_owned(), "no event either".to_owned(), "none".to_owned()]);
    assert_eq!(work(&world).books.retried, 3);
    let [line] = &reported.lines()[..] else { panic!("{:?}", reported.lines()) };
    assert!(line.ends_with(" and 2 more not set aside: unavailable"), "{line}");
}

#[test]
fn what_is_not_given_back_is_reported() {
    let mut world = world();
    let reported = Reported::of(&mut world, HERE);
    let site = world.site(HERE);
    site.writes.add(Rule::always(Fault::Before(FailureKind::Missing)));
    site.reads.add(Rule::once(Operation::Release, Fault::Before(FailureKind::Unavailable)));
    world.send(HERE, &[event(1, HERE, "update", "k", 0).to_string()]);
    assert_eq!(work(&world).books.left, 1);
    assert_eq!(reported.lines(), ["not given back: unavailable"]);
}

#[test]
fn the_books_tell_what_was_done_from_what_was_set_aside() {
    let world = world();
    let good = |number| event(number, HERE, "update", &number.to_string(), 0).to_string();
    world.send(HERE, &[good(1), good(2), "no event".to_owned()]);
    let books = work(&world).books;
    assert_eq!((books.delivered, books.acked, books.dead_lettered, books.retried), (3, 2, 1, 0));
}

#[test]
fn only_what_an_operator_must_mend_halts_a_worker_that_cannot_set_aside() {
    for (failure, halts) in [(FailureKind::Unauthorized, true), (FailureKind::Unavailable, false)] {
        let world = world();
        world.site(HERE).asides.add(Rule::always(Fault::Before(failure)));
        world.send(HERE, &["no event".to_owned()]);
        let carried = work(&world);
        let (left, retried) = if halts { (1, 0) } else { (0, 1) };
        assert_eq!((carried.halt.is_some(), carried.books.left, carried.books.retried), (halts, left, retried));
        assert_eq!(world.site(HERE).queue.len(), 1, "it comes again");
    }
}
