//! Clauses of the queue's state machine, with time as a number.

#[path = "queue_model.rs"]
mod model;

use uuid::Uuid;

use super::super::message::Message;
use super::*;

const RETENTION: Duration = Duration::from_secs(345_600);
const LEASE: Duration = Duration::from_secs(30);

fn at(seconds: u64) -> Now {
    Now { elapsed: Duration::from_secs(seconds), wall_ms: 1_000_000 + seconds * 1_000 }
}

fn message(body: &str, group: Option<&str>) -> Message {
    Message {
        id: Uuid::nil(),
        body: body.into(),
        body_md5: [0; 16],
        attributes: [].into(),
        trace_header: None,
        group: group.map(Into::into),
        deduplication: None,
        sequence: None,
        sent_ms: 0,
    }
}

fn push(queue: &mut Queue, seconds: u64, body: &str, delay_seconds: u64) {
    let now = at(seconds).elapsed;
    queue.push(now, Stored::new(message(body, None), now), Duration::from_secs(delay_seconds));
}

fn push_grouped(queue: &mut Queue, seconds: u64, group: &str, body: &str) {
    let now = at(seconds).elapsed;
    queue.push(now, Stored::new(message(body, Some(group)), now), Duration::ZERO);
}

fn take(max: usize) -> Take<'static> {
    Take { max, visibility: LEASE, max_receive_count: None, attempt: None }
}

fn receive(queue: &mut Queue, seconds: u64, max: usize) -> Vec<Delivery> {
    queue.receive(at(seconds), take(max)).deliveries
}

fn bodies(deliveries: &[Delivery]) -> Vec<&str> {
    deliveries.iter().map(|delivery| &*delivery.stored.message.body).collect()
}

fn receipt(delivery: &Delivery) -> Receipt {
    Receipt { queue: 1, key: delivery.key.0, delivery: delivery.number, received: delivery.received }
}

fn standard(bodies: &[&str]) -> Queue {
    let mut queue = Queue::new(false, RETENTION);
    for body in bodies {
        push(&mut queue, 0, body, 0);
    }
    queue
}

fn fifo(messages: &[(&str, &str)]) -> Queue {
    let mut queue = Queue::new(true, RETENTION);
    for (group, body) in messages {
        push_grouped(&mut queue, 0, group, body);
    }
    queue
}

fn counts(visible: usize, in_flight: usize, delayed: usize) -> Counts {
    Counts { visible, in_flight, delayed }
}

#[test]
fn a_received_message_is_hidden_until_its_lease_ends() {
    let mut queue = standard(&["a"]);
    let first = receive(&mut queue, 0, 10);
    assert_eq!(bodies(&first), ["a"]);
    assert_eq!(bodies(&receive(&mut queue, 29, 10)), [""; 0]);
    assert_eq!(queue.counts(), counts(0, 1, 0));
    assert_eq!(queue.next_wake(), Some(LEASE));
    let second = receive(&mut queue, 30, 10);
    assert_eq!(second[0].stored.receive_count, 2);
    assert_eq!(second[0].stored.first_received_ms, Some(at(0).wall_ms));
    assert_ne!(second[0].number, first[0].number);
}

#[test]
fn a_message_that_came_back_stands_behind_those_that_waited() {
    let mut queue = standard(&["a", "b", "c"]);
    receive(&mut queue, 0, 1);
    assert_eq!(bodies(&receive(&mut queue, 30, 10)), ["b", "c", "a"]);
}

#[test]
fn a_delayed_message_comes_when_its_delay_is_over() {
    let mut queue = standard(&[]);
    push(&mut queue, 0, "late", 900);
    assert_eq!(queue.counts(), counts(0, 0, 1));
    assert_eq!(bodies(&receive(&mut queue, 899, 1)), [""; 0]);
    assert_eq!(bodies(&receive(&mut queue, 900, 1)), ["late"]);
}

#[test]
fn deleting_is_idempotent() {
    let mut queue = standard(&["a"]);
    let delivery = receive(&mut queue, 0, 1).remove(0);
    for seconds in [1, 2, 100] {
        assert_eq!(queue.delete(at(seconds).elapsed, &receipt(&delivery)), Ok(()));
    }
    assert_eq!(queue.counts(), counts(0, 0, 0));
    assert_eq!(receive(&mut queue, 200, 1).len(), 0);
}

#[test]
fn a_receipt_whose_lease_ran_out_still_deletes_from_a_standard_queue() {
    let mut queue = standard(&["a"]);
    let delivery = receive(&mut queue, 0, 1).remove(0);
    assert_eq!(queue.delete(at(31).elapsed, &receipt(&delivery)), Ok(()));
    assert_eq!(receive(&mut queue, 31, 1).len(), 0);
}

#[test]
fn a_receipt_older_than_the_last_delivery_deletes_nothing() {
    let mut queue = standard(&["a"]);
    let first = receive(&mut queue, 0, 1).remove(0);
    let second = receive(&mut queue, 30, 1).remove(0);
    assert_eq!(queue.delete(at(31).elapsed, &receipt(&first)), Ok(()));
    assert_eq!(queue.counts(), counts(0, 1, 0));
    assert_eq!(queue.delete(at(31).elapsed, &receipt(&second)), Ok(()));
    assert_eq!(queue.counts(), counts(0, 0, 0));
}

#[test]
fn a_receipt_is_good_for_twelve_hours() {
    let mut queue = standard(&["a"]);
    let delivery = receive(&mut queue, 0, 1).remove(0);
    assert_eq!(queue.delete(at(43_200).elapsed, &receipt(&delivery)), Err(Stale::Expired));
    assert_eq!(queue.counts(), counts(1, 0, 0));
}

#[test]
fn visibility_counts_from_the_change_on() {
    let mut queue = standard(&["a"]);
    let delivery = receive(&mut queue, 0, 1).remove(0);
    let change = |queue: &mut Queue, seconds, visibility| {
        queue.change_visibility(at(seconds).elapsed, &receipt(&delivery), Duration::from_secs(visibility))
    };
    assert_eq!(change(&mut queue, 20, 60), Ok(()));
    assert_eq!(receive(&mut queue, 79, 1).len(), 0);
    assert_eq!(change(&mut queue, 79, 5), Ok(()));
    assert_eq!(change(&mut queue, 80, 43_121), Err(Stale::TooLong));
    assert_eq!(change(&mut queue, 80, 43_120), Ok(()));
    assert_eq!(change(&mut queue, 81, 0), Ok(()));
    assert_eq!(receive(&mut queue, 81, 1)[0].stored.receive_count, 2);
    assert_eq!(change(&mut queue, 82, 1), Err(Stale::Gone), "received again");
}

#[test]
fn a_message_whose_lease_ran_out_can_be_hidden_again_but_not_shown() {
    let mut queue = standard(&["a", "b"]);
    let delivery = receive(&mut queue, 0, 1).remove(0);
    queue.advance(at(40).elapsed);
    assert_eq!(queue.counts(), counts(2, 0, 0));
    assert_eq!(queue.change_visibility(at(40).elapsed, &receipt(&delivery), Duration::ZERO), Ok(()));
    assert_eq!(queue.counts(), counts(2, 0, 0));
    assert_eq!(queue.change_visibility(at(40).elapsed, &receipt(&delivery), Duration::from_secs(5)), Ok(()));
    assert_eq!(queue.counts(), counts(1, 1, 0));
    assert_eq!(bodies(&receive(&mut queue, 44, 10)), ["b"]);
    assert_eq!(bodies(&receive(&mut queue, 45, 10)), ["a"]);
}

#[test]
fn changing_the_visibility_of_a_deleted_message_fails() {
    let mut queue = standard(&["a"]);
    let delivery = receive(&mut queue, 0, 1).remove(0);
    queue.delete(at(1).elapsed, &receipt(&delivery)).unwrap();
    assert_eq!(queue.change_visibility(at(1).elapsed, &receipt(&delivery), LEASE), Err(Stale::Gone));
}

#[test]
fn a_lease_of_nothing_shows_the_message_to_the_next_call() {
    let mut queue = standard(&["a", "b"]);
    let no_lease = Take { visibility: Duration::ZERO, ..take(10) };
    assert_eq!(bodies(&queue.receive(at(0), no_lease).deliveries), ["a", "b"]);
    assert_eq!(queue.counts(), counts(2, 0, 0));
}

#[test]
fn a_message_is_set_aside_by_the_receive_that_would_exceed_its_count() {
    let mut queue = standard(&["poison", "good"]);
    let redriven = Take { visibility: Duration::from_secs(1), max_receive_count: Some(2), ..take(1) };
    assert_eq!(bodies(&queue.receive(at(0), redriven).deliveries), ["poison"]);
    assert_eq!(bodies(&queue.receive(at(0), redriven).deliveries), ["good"]);
    assert_eq!(bodies(&queue.receive(at(1), Take { max: 10, ..redriven }).deliveries), ["poison", "good"]);
    let taken = queue.receive(at(2), Take { max: 1, ..redriven });
    assert_eq!(bodies(&taken.deliveries), [""; 0]);
    let letters: Vec<(&str, u32)> =
        taken.dead_letters.iter().map(|letter| (&*letter.message.body, letter.receive_count)).collect();
    assert_eq!(letters, [("poison", 2), ("good", 2)]);
    assert_eq!(queue.counts(), counts(0, 0, 0));
}

#[test]
fn one_receive_sets_a_bounded_number_aside() {
    let mut queue = standard(&[]);
    for _ in 0..2_500 {
        push(&mut queue, 0, "poison", 0);
    }
    for entry in queue.entries.values_mut() {
        entry.stored.receive_count = 1;
    }
    let redriven = Take { max_receive_count: Some(1), ..take(10) };
    let aside: Vec<usize> = (0..4).map(|_| queue.receive(at(0), redriven).dead_letters.len()).collect();
    assert_eq!(aside, [1_000, 1_000, 500, 0]);
}

#[test]
fn a_message_past_its_retention_is_gone_wherever_it_was() {
    let mut queue = standard(&["in flight", "waiting"]);
    push(&mut queue, 0, "delayed", 900);
    queue.retention = Duration::from_secs(60);
    let delivery = queue.receive(at(50), Take { visibility: Duration::from_secs(600), ..take(1) }).deliveries.remove(0);
    push(&mut queue, 59, "young", 0);
    assert_eq!(bodies(&receive(&mut queue, 60, 10)), ["young"]);
    assert_eq!(queue.counts(), counts(0, 1, 0));
    assert_eq!(queue.delete(at(61).elapsed, &receipt(&delivery)), Ok(()));
}

#[test]
fn retention_counts_from_the_first_enqueuing() {
    let mut queue = standard(&[]);
    queue.retention = Duration::from_secs(60);
    let old = Stored::new(message("moved", None), at(0).elapsed);
    queue.push(at(50).elapsed, old, Duration::ZERO);
    queue.advance(at(60).elapsed);
    assert_eq!(queue.counts(), counts(0, 0, 0));
}

#[test]
fn no_more_than_the_limit_are_in_flight() {
    let mut queue = standard(&[]);
    for _ in 0..limits::IN_FLIGHT_MAX + 5 {
        push(&mut queue, 0, "m", 0);
    }
    let taken = receive(&mut queue, 0, limits::IN_FLIGHT_MAX + 5);
    assert_eq!(taken.len(), limits::IN_FLIGHT_MAX);
    assert_eq!(receive(&mut queue, 0, 10).len(), 0);
    queue.delete(at(1).elapsed, &receipt(&taken[7])).unwrap();
    assert_eq!(receive(&mut queue, 1, 10).len(), 1);
}

#[test]
fn purging_leaves_nothing_and_old_receipts_fit_nothing_new() {
    let mut queue = standard(&["a", "b"]);
    let delivery = receive(&mut queue, 0, 1).remove(0);
    queue.purge();
    assert_eq!(queue.counts(), counts(0, 0, 0));
    push(&mut queue, 1, "c", 0);
    receive(&mut queue, 1, 1);
    assert_eq!(queue.delete(at(2).elapsed, &receipt(&delivery)), Ok(()));
    assert_eq!(queue.counts(), counts(0, 1, 0));
}

#[test]
fn a_group_waits_for_its_first_message_in_flight() {
    let mut queue = fifo(&[("a", "a1"), ("b", "b1"), ("a", "a2"), ("a", "a3")]);
    let first = receive(&mut queue, 0, 2);
    assert_eq!(bodies(&first), ["a1", "a2"]);
    assert_eq!(queue.counts(), counts(2, 2, 0));
    assert_eq!(bodies(&receive(&mut queue, 1, 10)), ["b1"]);
    queue.delete(at(2).elapsed, &receipt(&first[0])).unwrap();
    assert_eq!(bodies(&receive(&mut queue, 2, 10)), [""; 0], "a2 is still in flight");
    queue.delete(at(3).elapsed, &receipt(&first[1])).unwrap();
    assert_eq!(bodies(&receive(&mut queue, 3, 10)), ["a3"]);
}

#[test]
fn a_group_comes_back_in_order_up_to_the_first_that_is_still_hidden() {
    for (extended, expected) in [(0, vec![]), (1, vec!["m0"]), (2, vec!["m0", "m1"])] {
        let mut queue = fifo(&[("g", "m0"), ("g", "m1"), ("g", "m2")]);
        let deliveries = receive(&mut queue, 0, 10);
        queue.change_visibility(at(1).elapsed, &receipt(&deliveries[extended]), Duration::from_secs(100)).unwrap();
        assert_eq!(bodies(&receive(&mut queue, 30, 10)), expected);
    }
}

#[test]
fn on_a_fifo_queue_a_receipt_ends_with_its_lease() {
    let mut queue = fifo(&[("g", "m")]);
    let delivery = receive(&mut queue, 0, 1).remove(0);
    assert_eq!(queue.delete(at(30).elapsed, &receipt(&delivery)), Err(Stale::Expired));
    assert_eq!(queue.change_visibility(at(30).elapsed, &receipt(&delivery), LEASE), Err(Stale::Expired));
    let again = receive(&mut queue, 30, 1).remove(0);
    assert_eq!(queue.delete(at(31).elapsed, &receipt(&delivery)), Err(Stale::Expired));
    assert_eq!(queue.delete(at(31).elapsed, &receipt(&again)), Ok(()));
    assert_eq!(queue.delete(at(32).elapsed, &receipt(&again)), Ok(()));
}

#[test]
fn a_dead_letter_frees_its_group() {
    let mut queue = fifo(&[("g", "poison"), ("g", "good")]);
    let redriven = Take { visibility: Duration::from_secs(1), max_receive_count: Some(1), ..take(1) };
    assert_eq!(bodies(&queue.receive(at(0), redriven).deliveries), ["poison"]);
    let taken = queue.receive(at(1), redriven);
    assert_eq!(bodies(&taken.deliveries), ["good"]);
    assert_eq!(taken.dead_letters.len(), 1);
}

#[test]
fn a_named_receive_is_answered_alike_when_repeated() {
    let mut queue = fifo(&[("g", "m0"), ("g", "m1"), ("h", "n")]);
    let named = Take { attempt: Some("first"), ..take(2) };
    let first = queue.receive(at(0), named).deliveries;
    let repeated = queue.receive(at(20), named).deliveries;
    assert_eq!(bodies(&repeated), ["m0", "m1"]);
    assert_eq!(repeated[0].number, first[0].number);
    assert_eq!(repeated[0].stored.receive_count, 1);
    assert_eq!(queue.delete(at(49).elapsed, &receipt(&first[0])), Ok(()), "the lease was renewed");
    assert_eq!(bodies(&queue.receive(at(49), named).deliveries), ["n"], "one of them was deleted: a new receive");
}

#[test]
fn memory_is_given_back_when_the_queue_is_drained() {
    let mut queue = fifo(&[]);
    for number in 0..1_000 {
        push_grouped(&mut queue, 0, &format!("g{}", number % 7), "m");
    }
    while let Some(delivery) = queue.receive(at(0), Take { attempt: Some("x"), ..take(1) }).deliveries.pop() {
        queue.delete(at(0).elapsed, &receipt(&delivery)).unwrap();
    }
    queue.advance(at(0).elapsed);
    assert_eq!(queue.counts(), counts(0, 0, 0));
    assert!(queue.entries.is_empty() && queue.wakes.is_empty() && queue.ages.is_empty() && queue.attempts.is_empty());
}
