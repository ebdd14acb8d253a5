//! What a worker does around its work: it keeps the leases while it lasts, and books how each delivery was ended.

use std::time::Duration;

use bridge_adapters::layer::{Fault, Operation, Rule};
use bridge_core::{
    carry_out::{Carried, work_off},
    failure::FailureKind,
    port::Queue,
};
use bridge_simulation::books::{Actor, Kind};

use crate::world::{World, event, policy};

const HERE: &str = "aws:us-east-1";
const THERE: &str = "azure:westeurope";

fn world() -> World {
    World::by_hand(7, &[HERE, THERE], &policy())
}

/// Works off what waits at the first site, where the way to the letters may be disturbed.
fn work(world: &World) -> Carried {
    let site = world.site(HERE);
    let letters = world.queue(site, Kind::Letters, Actor::Worker(site.number), "by hand");
    world.clock.drive(async {
        let batch = site.queue.receive(10, Duration::ZERO).await.unwrap();
        work_off(world.worker(HERE), &*site.queue, &*letters, &batch).await.1
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
