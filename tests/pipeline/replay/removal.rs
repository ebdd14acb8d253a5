//! What is brought and cannot be removed: told, kept, and removed by the run that resumes; and what an end before the end counts.

use super::*;
use bridge_ops::replay::{journal::Receipt, run::Ended};

/// A setting whose source fails by `rule`, the plan of its letters, and the faults.
fn failing(world: &World, rule: Rule) -> (Setting<'static>, Vec<Entry>, Arc<FaultPlan>) {
    fill(world);
    let mut setting = setting(world, "aws:us-east-1/dlq", "owed");
    let entries = world.clock.drive(plan(&setting));
    let faults = Arc::new(FaultPlan::new(1, vec![rule]));
    let queue = Arc::clone(&setting.sources[0].queue);
    let clock = Arc::clone(&world.clock) as Arc<dyn Clock>;
    setting.sources[0].queue = Arc::new(LayeredQueue::new(queue, Faults::new(Arc::clone(&faults), clock)));
    (setting, entries, faults)
}

fn acks(failure: Fault, count: Option<u32>) -> Rule {
    Rule { operation: Some(Operation::Ack), fault: failure, probability: 1.0, count }
}

async fn work(setting: &Setting<'_>, entries: &[Entry], journal: &Kept) -> Ended {
    operator::run_until(setting, entries, journal, Pace::new(None), &|| false).await
}

/// What came of all messages: removed, unremoved, kept, left, unseen, untried.
fn sums(ended: &Ended) -> [u64; 6] {
    ended.ledger.tallies().values().fold([0; 6], |sums, tally| {
        let counts = [tally.removed, tally.unremoved, tally.kept, tally.left, tally.unseen, tally.untried];
        std::array::from_fn(|at| sums[at] + counts[at])
    })
}

#[test]
fn what_cannot_be_removed_is_told_and_goes_with_the_next_run() {
    let world = world();
    let (setting, entries, faults) = failing(&world, acks(Fault::Before(FailureKind::Unauthorized), None));
    let journal = Kept::default();
    let ended = world.clock.drive(work(&setting, &entries, &journal));
    assert!(matches!(ended.end, End::Finished), "{:?}", ended.end);
    assert_eq!((sums(&ended), ended.brought), ([0, 25, 0, 5, 0, 0], 25));
    assert_eq!(ended.failures.keys().collect::<Vec<_>>(), ["aws:us-east-1/dlq"]);
    assert!(ended.failures["aws:us-east-1/dlq"].contains("access denied"), "{:?}", ended.failures);
    let letters = &world.site(HERE).letters;
    assert_eq!(world.clock.drive(letters.depth()).unwrap().waiting, 30, "given back, not left to their leases");

    faults.clear();
    let start = world.clock.elapsed();
    let ended = world.clock.drive(work(&setting, &entries, &journal));
    assert_eq!((sums(&ended), ended.brought, ended.failures.len()), ([25, 0, 0, 5, 0, 0], 0, 0));
    assert_eq!((letters.len(), world.site(THERE).queue.len()), (5, 10), "sent once");
    assert_eq!(world.clock.elapsed(), start, "nothing had to be waited for");
}

#[test]
fn a_removal_that_fails_for_a_moment_is_tried_again() {
    for fault in [Fault::Before(FailureKind::Unavailable), Fault::After(FailureKind::TimedOut)] {
        let world = world();
        let (setting, entries, _) = failing(&world, acks(fault, Some(2)));
        let ended = world.clock.drive(work(&setting, &entries, &Kept::default()));
        assert_eq!((sums(&ended), world.site(HERE).letters.len()), ([25, 0, 0, 5, 0, 0], 5));
        assert!(ended.failures.is_empty(), "{:?}", ended.failures);
    }
}

/// The first try removed it, its answer was lost, and the second is told that nothing is in hand: it is waited for, as it may
/// come again, and counts as removed when it does not. A later run need not wait for it once more.
#[test]
fn what_was_removed_without_a_word_is_gone() {
    let world = world();
    let (setting, entries, faults) = failing(&world, acks(Fault::After(FailureKind::TimedOut), Some(1)));
    faults.add(acks(Fault::Before(FailureKind::LeaseLost), Some(1)));
    let journal = Kept::default();
    let start = world.clock.elapsed();
    let ended = world.clock.drive(work(&setting, &entries, &journal));
    assert_eq!((sums(&ended), world.site(HERE).letters.len()), ([25, 0, 0, 5, 0, 0], 5));
    assert!(world.clock.elapsed() >= start + Duration::from_secs(35), "a lease and five seconds");
    let gone = journal.receipts().iter().filter(|one| matches!(one, Receipt::Gone { .. })).count();
    assert!(gone > 0, "it is written down");
    let start = world.clock.elapsed();
    let ended = world.clock.drive(work(&setting, &entries, &journal));
    assert_eq!((sums(&ended), world.clock.elapsed()), ([25, 0, 0, 5, 0, 0], start));
}

/// A lease that ends before its message is removed: the message comes again in the same run, and is removed then.
#[test]
fn what_comes_again_is_removed_by_the_same_run() {
    let world = world();
    let (setting, entries, _) = failing(&world, acks(Fault::Before(FailureKind::LeaseLost), Some(1)));
    let ended = world.clock.drive(work(&setting, &entries, &Kept::default()));
    assert_eq!((sums(&ended), world.site(HERE).letters.len()), ([25, 0, 0, 5, 0, 0], 5));
    assert_eq!(world.site(THERE).queue.len(), 10, "sent once");
}

/// The last line of a journal is lost with the machine's power: one run waits for that message, the next does not.
#[test]
fn a_removal_that_was_not_written_down_is_waited_for_once() {
    let world = world();
    let (setting, entries, _) = failing(&world, acks(Fault::Late(Duration::ZERO), Some(0)));
    let journal = Kept::default();
    world.clock.drive(work(&setting, &entries, &journal));
    let last = journal.receipts().pop();
    assert!(matches!(last, Some(Receipt::Removed { .. })), "{last:?}");
    for waits in [true, false] {
        let start = world.clock.elapsed();
        let ended = world.clock.drive(work(&setting, &entries, &journal));
        assert_eq!(sums(&ended), [25, 0, 0, 5, 0, 0]);
        assert_eq!(world.clock.elapsed() > start, waits);
    }
}

/// Nobody has taken what a run that was stopped did not get to.
#[test]
fn what_was_not_tried_is_not_missing() {
    let world = world();
    let (setting, entries, _) = failing(&world, acks(Fault::Late(Duration::ZERO), Some(0)));
    let journal = Kept::default();
    let (begin, pace) = (world.clock.elapsed(), Pace::new(Some(1.0)));
    let stop = || world.clock.elapsed() >= begin + Duration::from_secs(3);
    let ended = world.clock.drive(operator::run_until(&setting, &entries, &journal, pace, &stop));
    assert!(matches!(ended.end, End::Stopped), "{:?}", ended.end);
    let [removed, unremoved, kept, left, unseen, untried] = sums(&ended);
    assert!((1..10).contains(&removed), "{removed}");
    assert_eq!((ended.brought, unremoved, kept, left, unseen, untried), (removed, 0, 0, 5, 0, 25 - removed));
}
