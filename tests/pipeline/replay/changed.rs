//! A plan that is run after a site was added: whom a message is owed to is what the run finds, and not what the plan says.

use super::*;

const NORTH: &str = "azure:northeurope";

/// The plan of `from` as it is made while one site is not configured yet, and the setting once it is.
fn planned_before(world: &World, from: &str) -> (Setting<'static>, Vec<Entry>) {
    let mut before = setting(world, from, "owed");
    before.rules.sites.remove(&NORTH.parse().unwrap());
    let entries = world.clock.drive(plan(&before));
    (setting(world, from, "owed"), entries)
}

#[test]
fn a_message_leaves_only_when_the_site_that_was_added_has_it_too() {
    let world = World::by_hand(5, &[HERE, THERE, NORTH], &policy());
    let bodies: Vec<String> = (0..8).map(|n| body(n, HERE, &format!("k{n}"), 1)).collect();
    world.send(HERE, &bodies);
    let (setting, entries) = planned_before(&world, "aws:us-east-1/queue");
    assert!(entries.iter().all(|entry| entry.errands.len() == 2 && entry.unpaid.is_empty()), "{entries:?}");
    world.site(NORTH).inbound.add(Rule::always(Fault::Before(FailureKind::Missing)));
    let journal = Kept::default();
    let (end, tallies) = world.clock.drive(run(&setting, &entries, &journal));
    assert!(matches!(end, End::Finished), "{end:?}");
    let tally = &tallies["waiting"];
    assert_eq!((tally.removed, tally.kept, tally.left), (0, 0, 8), "{tally:?}");
    assert_eq!((world.site(HERE).queue.len(), world.site(THERE).queue.len()), (8, 8));
    // Once it can be reached it gets them, and it alone.
    world.site(NORTH).inbound.clear();
    let (_, tallies) = world.clock.drive(run(&setting, &entries, &journal));
    assert_eq!((tallies["waiting"].removed, tallies["waiting"].left), (8, 0));
    assert_eq!([HERE, THERE, NORTH].map(|site| world.site(site).queue.len()), [0, 8, 8]);
    world.drain(10);
    for n in 0..8 {
        let versions = [HERE, THERE, NORTH].map(|site| version(&world, site, &format!("k{n}")));
        assert!(versions[0].is_some() && versions.iter().all(|one| *one == versions[0]), "k{n}: {versions:?}");
    }
}

/// All that the plan knows of have confirmed, and the run that did it died before it removed anything.
#[test]
fn a_journal_that_has_all_of_the_plan_is_not_all() {
    let world = World::by_hand(5, &[HERE, THERE, NORTH], &policy());
    world.send(HERE, &[body(1, HERE, "k", 1)]);
    let mut before = setting(&world, "aws:us-east-1/queue", "owed");
    before.rules.sites.remove(&NORTH.parse().unwrap());
    let entries = world.clock.drive(plan(&before));
    let acks = Rule { operation: Some(Operation::Ack), ..Rule::always(Fault::Before(FailureKind::Unauthorized)) };
    let queue = Arc::clone(&before.sources[0].queue);
    let clock = Arc::clone(&world.clock) as Arc<dyn Clock>;
    before.sources[0].queue =
        Arc::new(LayeredQueue::new(queue, Faults::new(Arc::new(FaultPlan::new(1, vec![acks])), clock)));
    let journal = Kept::default();
    let (_, tallies) = world.clock.drive(run(&before, &entries, &journal));
    assert_eq!(tallies["waiting"].unremoved, 1);
    let (_, tallies) = world.clock.drive(run(&setting(&world, "aws:us-east-1/queue", "owed"), &entries, &journal));
    assert_eq!((tallies["waiting"].removed, tallies["waiting"].done.get(&Outcome::Sent)), (1, Some(&1)));
    assert_eq!(
        [THERE, NORTH].map(|site| world.site(site).queue.len()),
        [1, 1],
        "the third got it, nobody got it twice"
    );
}

/// A site that is configured no more keeps its messages, and says whom they are for.
#[test]
fn a_message_for_a_site_that_is_gone_stays() {
    let world = World::by_hand(5, &[HERE, THERE, NORTH], &policy());
    let owed = letter(1, &body(1, HERE, "k", 1), "peer_unavailable", &format!("{THERE},{NORTH}"));
    world.clock.drive(world.site(HERE).letters.send(&[owed]));
    let entries = world.clock.drive(plan(&setting(&world, "aws:us-east-1/dlq", "owed")));
    let mut after = setting(&world, "aws:us-east-1/dlq", "owed");
    after.rules.sites.remove(&NORTH.parse().unwrap());
    after.places.remove(&NORTH.parse::<SiteId>().unwrap());
    let (_, tallies) = world.clock.drive(run(&after, &entries, &Kept::default()));
    assert_eq!((tallies["peer_unavailable"].kept, tallies["peer_unavailable"].removed), (1, 0));
    assert_eq!((world.site(HERE).letters.len(), world.site(THERE).queue.len()), (1, 1));
}
