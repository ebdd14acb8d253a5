//! What leaves its source though no site gets it: by an operator's word alone.

use bridge_ops::replay::{filter::Filter, find::find};

use super::*;

const GONE: &str = "gcp:x";

/// Two letters that only a site which is not there any more is owed, one that the peer is owed too, one whose list of sites cannot be
/// read, and one that is no event.
fn with_debts() -> World {
    let world = world();
    let owed = [GONE, GONE, "azure:westeurope,gcp:x", "no site at all"];
    let letters = owed
        .iter()
        .zip(0..)
        .map(|(owed, n)| letter(n, &body(n.into(), HERE, &format!("k{n}"), 1), "peer_unavailable", owed));
    let letters: Vec<_> = letters.chain([letter(9, "not an event", "not_json", "")]).collect();
    assert!(world.clock.drive(world.site(HERE).letters.send(&letters)).iter().all(Result::is_ok));
    world
}

fn count(entries: &[Entry], effect: Effect) -> usize {
    entries.iter().filter(|entry| entry.effect() == effect).count()
}

#[test]
fn what_a_site_was_owed_that_is_gone_stays_until_it_is_given_up() {
    let world = with_debts();
    let kept = setting(&world, "aws:us-east-1/dlq", "owed");
    let entries = world.clock.drive(plan(&kept));
    let unpaid = entries.iter().filter(|entry| entry.unpaid == [GONE]).count();
    assert_eq!((unpaid, count(&entries, Effect::Dropped)), (3, 0), "{entries:?}");
    world.clock.drive(run(&kept, &entries, &Kept::default()));
    assert_eq!(
        (world.site(HERE).letters.len(), world.site(THERE).queue.len()),
        (4, 2),
        "brought, and kept for the other; where nobody can read who is owed, everybody is"
    );

    let forget_sites = [GONE.parse().unwrap()].into();
    let given_up = Setting { forget_sites, ..setting(&world, "aws:us-east-1/dlq", "owed") };
    let entries = world.clock.drive(plan(&given_up));
    assert_eq!((count(&entries, Effect::Dropped), count(&entries, Effect::Invalid)), (2, 1), "{entries:?}");
    let (end, tallies) = world.clock.drive(run(&given_up, &entries, &Kept::default()));
    assert!(matches!(end, End::Finished), "{end:?}");
    let tally = &tallies["peer_unavailable"];
    assert_eq!((tally.removed, tally.left, tally.unremoved), (3, 0, 0), "{tally:?}");
    assert_eq!(
        (world.site(HERE).letters.len(), world.site(THERE).queue.len()),
        (1, 3),
        "whom it names beside the site is paid"
    );
}

#[test]
fn a_renamed_site_gets_what_it_was_owed_under_its_old_name() {
    let world = with_debts();
    let forget_sites = [GONE.parse().unwrap()].into();
    let setting = Setting { forget_sites, ..setting(&world, "aws:us-east-1/dlq", "azure:westeurope/queue") };
    let entries = world.clock.drive(plan(&setting));
    let (_, tallies) = world.clock.drive(run(&setting, &entries, &Kept::default()));
    assert_eq!(tallies["peer_unavailable"].removed, 3, "{tallies:?}");
    assert_eq!(
        (world.site(HERE).letters.len(), world.site(THERE).queue.len()),
        (2, 4),
        "one may be owed to this site too"
    );
}

/// Killed at every await in turn, and run again with the same journal: what was named is gone, and nothing else.
#[test]
fn a_letter_that_is_dropped_leaves_alone_wherever_the_run_was_killed() {
    for awaits in 0..20 {
        let world = with_debts();
        let nowhere = setting(&world, "aws:us-east-1/dlq", "nowhere");
        let named = |world: &World| {
            let all = world.clock.drive(plan(&setting(world, "aws:us-east-1/dlq", "owed")));
            let ids = all.into_iter().filter(|entry| entry.reason == "not_json").map(|entry| entry.message_id);
            Filter { message_ids: ids.collect(), ..Filter::default() }
        };
        let filter = named(&world);
        let entries = world.clock.drive(operator::plan_some(&nowhere, &filter, u64::MAX)).unwrap();
        assert!(entries.len() == 1 && entries[0].dropped && entries[0].refused.is_none(), "{entries:?}");
        let journal = Kept::default();
        let life = operator::run(&nowhere, &entries, &journal, Pace::new(None));
        world.clock.drive(Mortal::new(life, awaits));
        world.clock.advance(Duration::from_mins(1));
        let (end, tallies) = world.clock.drive(run(&nowhere, &entries, &journal));
        assert!(matches!(end, End::Finished), "{end:?} after {awaits}");
        let left = world.site(HERE).letters.snapshot();
        assert_eq!(left.len(), 4, "after {awaits}: {tallies:?}");
        assert!(left.iter().all(|(_, properties)| properties["bridge_reason"] == "peer_unavailable"), "after {awaits}");
        assert!(world.sites.values().all(|site| site.queue.is_empty()), "nobody gets it");
    }
}

/// Another consumer has it in hand: it is not told as dropped.
#[test]
fn a_letter_that_does_not_come_is_not_dropped() {
    let world = with_debts();
    let nowhere = setting(&world, "aws:us-east-1/dlq", "nowhere");
    let entries = world.clock.drive(plan(&nowhere));
    assert_eq!(count(&entries, Effect::Dropped), 5, "whatever it is");
    let letters = &world.site(HERE).letters;
    world.clock.drive(async {
        let taken = letters.receive(10, Duration::ZERO).await.unwrap();
        let receipts: Vec<_> = taken.iter().map(|one| one.receipt.clone()).collect();
        letters.ack(&receipts).await;
    });
    let (_, tallies) = world.clock.drive(run(&nowhere, &entries, &Kept::default()));
    let sum = |of: fn(&Tally) -> u64| tallies.values().map(of).sum::<u64>();
    assert_eq!((sum(|tally| tally.unseen), sum(|tally| tally.removed), sum(|tally| tally.unremoved)), (5, 0, 0));
}

#[test]
fn a_letter_is_found_by_its_id_and_given_back() {
    let world = with_debts();
    let setting = setting(&world, "aws:us-east-1/dlq", "owed");
    let entries = world.clock.drive(plan(&setting));
    let found =
        world.clock.drive(find(&setting.sources, &entries[4].message_id, 1, world.clock.now(), &Untold)).unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!((&found[0].delivery.body[..], found[0].message), (&b"not an event"[..], entries[4].message));
    let depth = world.clock.drive(world.site(HERE).letters.depth()).unwrap();
    assert_eq!(depth.waiting, 5, "all that it had to take");
    assert!(world.clock.drive(find(&setting.sources, "none", 1, world.clock.now(), &Untold)).unwrap().is_empty());
}

/// Of an event that no site takes the plan tells what can be read.
#[test]
fn a_plan_names_the_event_of_an_invalid_letter() {
    let world = world();
    let good = body(1, HERE, "k", 1);
    let cases = [
        ("not_portable", good.replace("\"payload\":{", "\"payload\":{\"n\":9007199254740993,"), [true, true, true]),
        ("duplicate_member", good.replace("\"payload\":{", "\"payload\":{\"n\":1,\"n\":2,"), [true, true, true]),
        ("invalid_key", good.replace("\"id\":\"k\"", "\"id\":\"\""), [true, false, true]),
        ("invalid_event", good.replace("aws:us-east-1", "AWS"), [true, true, false]),
        ("invalid_event", good.replace("00000000-0000", "xxxxxxxx-0000"), [false, true, true]),
        ("not_json", good.replace('}', ""), [false, false, false]),
    ];
    let letters = cases.iter().zip(0..).map(|((reason, body, _), n)| letter(n, body, reason, "")).collect::<Vec<_>>();
    world.clock.drive(world.site(HERE).letters.send(&letters));
    let setting = setting(&world, "aws:us-east-1/dlq", "owed");
    for entry in world.clock.drive(plan(&setting)) {
        let refused = entry.refused.as_ref().unwrap();
        assert_eq!(refused.reason, entry.reason, "{entry:?}");
        let told = [&entry.event_id, &entry.key, &entry.source_region].map(Option::is_some);
        let expected: Vec<_> = cases.iter().filter(|(reason, ..)| *reason == entry.reason).map(|case| case.2).collect();
        assert!(expected.contains(&told), "{entry:?}");
    }
}
