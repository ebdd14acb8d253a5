//! The contract of [`Queue`], clause by clause.

mod goodbye;
mod receivers;
mod retries;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use bridge_core::{
    failure::{FailureKind, PortError},
    limits,
    port::{Clock, Delivery, Message, Place, Queue, Receipt, Use},
    reason::{Reason, Refusal},
};
use bridge_tests::{at, message, properties, seconds};
use chrono::TimeDelta;
pub(crate) use goodbye::*;
pub(crate) use receivers::*;
pub(crate) use retries::*;

/// A queue that nobody else uses, and what its backend is like.
pub(crate) struct QueueUnderTest {
    pub(crate) queue: Arc<dyn Queue>,
    /// Another consumer of it.
    pub(crate) other: Arc<dyn Queue>,
    /// The time that the backend lives in: virtual or real.
    pub(crate) clock: Arc<dyn Clock>,
    /// Whether a body may be any bytes, or has to be a text that is not empty.
    pub(crate) any_bytes: bool,
    /// Bytes of a body without properties that the backend takes, and that it refuses.
    pub(crate) body_bytes: (usize, usize),
}

/// Runs every clause against a backend.
macro_rules! contract {
    ($backend:ident) => {
        crate::tests! { queue, $backend:
            a_message_arrives_byte_for_byte
            properties_arrive_beside_the_body
            an_empty_queue_gives_none_in_time
            max_is_never_exceeded
            a_delivered_message_is_hidden
            receivers_at_the_same_time_get_different_messages
            every_receiver_that_waits_is_served
            an_unacked_message_returns_after_its_lease
            an_acked_message_is_gone
            acking_twice_is_no_error
            acking_with_a_stale_receipt_changes_nothing
            a_bad_receipt_does_not_harm_its_neighbours
            extending_moves_the_end_of_the_lease
            extending_says_for_how_long_the_lease_holds
            extending_a_lapsed_lease_regains_it_or_says_that_it_is_lost
            extending_with_a_stale_receipt_says_that_the_lease_is_lost
            a_retry_hides_the_message_for_so_long
            a_retry_at_once_counts_as_an_attempt
            a_retry_keeps_body_properties_and_first_sight
            a_retry_with_a_stale_receipt_says_that_the_lease_is_lost
            what_a_sender_says_of_tries_and_first_sight_is_not_believed
            more_than_a_batch_goes_through_in_one_call
            calls_on_nothing_do_nothing
            one_bad_message_does_not_harm_its_neighbours
            too_large_is_told_with_both_figures
            the_largest_message_passes
            bodies_that_are_no_text_arrive_or_are_refused
            the_same_body_twice_is_two_messages
            a_look_shows_everything_and_takes_nothing
            a_look_at_nothing_shows_nothing
            a_released_message_is_back_at_once
            releasing_with_a_stale_receipt_changes_nothing
            many_are_released_in_one_call
            many_are_retried_in_one_call_each_after_its_own_time
            a_retry_that_leaves_no_room_for_what_the_message_came_with_comes_again
            a_buried_message_is_gone_and_one_that_was_not_stays
            a_probe_takes_and_sends_nothing
            a_closed_queue_can_be_used_again
            closing_gives_back_what_no_caller_took
            what_was_not_asked_for_is_left_to_others
            what_came_ahead_is_handed_out_with_a_lease_that_holds
            a_lease_that_is_extended_again_and_again_holds
        }
    };
}
pub(crate) use contract;

/// A queue that is not there, and one whose credentials are refused.
pub(crate) struct BrokenQueues {
    pub(crate) missing: Arc<dyn Queue>,
    pub(crate) forbidden: Arc<dyn Queue>,
}

/// Runs the clauses about broken deployments against a backend that can be deployed.
macro_rules! cloud_contract {
    ($backend:ident) => {
        crate::tests! { queue, $backend:
            a_queue_that_is_not_there_is_missing
            refused_credentials_are_unauthorized
        }
    };
}
pub(crate) use cloud_contract;

impl QueueUnderTest {
    async fn take(&self, count: usize) -> Vec<Delivery> {
        take_from(&*self.queue, count).await
    }

    async fn take_one(&self) -> Delivery {
        self.take(1).await.remove(0)
    }

    /// Fails if a message comes within a second.
    async fn assert_nothing(&self, why: &str) {
        let deliveries = self.queue.receive(10, seconds(1)).await.unwrap();
        assert!(deliveries.is_empty(), "{why}, but came {deliveries:?}");
    }

    /// Looks through the whole queue in portions, and gives back what was shown.
    async fn look(&self, portion: usize) -> Vec<Delivery> {
        let (mut place, mut shown) = (Place::default(), Vec::new());
        for _ in 0..100 {
            let deliveries = self.queue.browse(&mut place, portion).await.unwrap();
            assert!(deliveries.len() <= portion, "{} shown", deliveries.len());
            if deliveries.is_empty() {
                self.release(&shown).await;
                return shown;
            }
            shown.extend(deliveries);
        }
        panic!("a look without an end");
    }

    async fn release(&self, deliveries: &[Delivery]) {
        for result in self.queue.release(&receipts(deliveries)).await {
            result.unwrap();
        }
    }

    async fn send(&self, messages: &[Message]) {
        for result in self.queue.send(messages).await {
            result.unwrap();
        }
    }

    async fn ack(&self, deliveries: &[Delivery]) {
        for result in self.queue.ack(&receipts(deliveries)).await {
            result.unwrap();
        }
    }

    /// Waits until every lease that runs now has ended, and a little more.
    async fn outlast_lease(&self) {
        self.clock.sleep(self.queue.lease() + Duration::from_millis(200)).await;
    }
}

/// Receives until there are `count` messages; fails if they do not come.
async fn take_from(queue: &dyn Queue, count: usize) -> Vec<Delivery> {
    let mut taken = Vec::new();
    for _ in 0..20 {
        taken.extend(queue.receive(count - taken.len(), seconds(1)).await.unwrap());
        if taken.len() == count {
            return taken;
        }
    }
    panic!("{count} messages expected, {} came", taken.len());
}

fn receipts(deliveries: &[Delivery]) -> Vec<Receipt> {
    deliveries.iter().map(|delivery| delivery.receipt.clone()).collect()
}

fn bodies(deliveries: &[Delivery]) -> BTreeSet<Vec<u8>> {
    deliveries.iter().map(|delivery| delivery.body.to_vec()).collect()
}

fn kind<T: std::fmt::Debug>(result: Result<T, PortError>) -> FailureKind {
    result.expect_err("it should have failed").kind
}

pub(crate) async fn a_message_arrives_byte_for_byte(on: &QueueUnderTest) {
    let bodies: Vec<Vec<u8>> = vec![
        b"x".to_vec(),
        br#"{"total": 1.0, "note":"a \"b\" \\ \u00e9"}"#.to_vec(),
        "Grüße, 日本語, עברית, 🦀, e\u{301}, \u{FFFD}, \u{10FFFF}".into(),
        "\t line \r\n after line \n ".into(),
        "<xml attr='&amp;'>]]></xml>".into(),
        "é".repeat(100_000).into(),
    ];
    on.send(&bodies.iter().map(|body| message(body.clone())).collect::<Vec<_>>()).await;
    let received = on.take(bodies.len()).await;
    let sent: BTreeSet<Vec<u8>> = bodies.into_iter().collect();
    assert!(self::bodies(&received) == sent, "bodies differ");
    for delivery in &received {
        assert_eq!(delivery.attempt, 1);
        let age = on.clock.now() - delivery.first_seen.expect("brokers say when a message came");
        assert!(age.abs() < TimeDelta::minutes(1), "first seen {age} ago");
        assert!(!delivery.message_id.is_empty());
    }
}

pub(crate) async fn properties_arrive_beside_the_body(on: &QueueUnderTest) {
    let mut sent = message("body");
    sent.properties = properties([
        ("bridge_reason", "not_portable"),
        ("bridge_detail", "/payload/größe: 9007199254740993 \"würde\" 9007199254740992, 日本語 🦀 \\ %41 \t \n end"),
        ("bridge_owed", "aws:us-east-1,azure:westeurope"),
        ("bridge_event_id", "01936d6e-8a3c-7c61-9d0b-0f3a5a3c9e11"),
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        ("number", "17"),
        ("boolean", "true"),
        ("null", "null"),
        ("quoted", "\"quoted\""),
        ("blanks", "  both ends  "),
    ]);
    assert_eq!(sent.properties.len(), limits::PROPERTIES_MAX);
    on.send(&[sent.clone(), message("none")]).await;
    for delivery in on.take(2).await {
        let expected = if &*delivery.body == b"body" { sent.properties.clone() } else { properties([]) };
        assert_eq!(delivery.properties, expected);
    }
}

pub(crate) async fn an_empty_queue_gives_none_in_time(on: &QueueUnderTest) {
    let start = on.clock.now();
    on.assert_nothing("the queue is empty").await;
    let waited = on.clock.now() - start;
    assert!(waited < TimeDelta::seconds(5), "waited {waited} instead of a second");
}

pub(crate) async fn max_is_never_exceeded(on: &QueueUnderTest) {
    on.send(&["a", "b", "c", "d", "e"].map(message)).await;
    let first = on.queue.receive(2, seconds(1)).await.unwrap();
    assert!((1..=2).contains(&first.len()), "{} messages", first.len());
    let rest = on.take(5 - first.len()).await;
    assert_eq!(bodies(&[first, rest].concat()).len(), 5);
}

pub(crate) async fn a_delivered_message_is_hidden(on: &QueueUnderTest) {
    on.send(&[message("a")]).await;
    let _held = on.take_one().await;
    assert!(on.queue.receive(10, Duration::ZERO).await.unwrap().is_empty(), "it is leased");
}

pub(crate) async fn an_unacked_message_returns_after_its_lease(on: &QueueUnderTest) {
    on.send(&[message("a")]).await;
    let first = on.take_one().await;
    on.outlast_lease().await;
    let second = on.take_one().await;
    assert_eq!(second.body, first.body);
    assert_eq!(second.attempt, 2);
    assert_eq!(second.first_seen, first.first_seen);
    assert_ne!(second.receipt, first.receipt);
}

pub(crate) async fn an_acked_message_is_gone(on: &QueueUnderTest) {
    on.send(&[message("a")]).await;
    let delivery = on.take_one().await;
    on.ack(&[delivery]).await;
    on.outlast_lease().await;
    on.assert_nothing("it was acked").await;
}

pub(crate) async fn acking_twice_is_no_error(on: &QueueUnderTest) {
    on.send(&[message("a")]).await;
    let delivery = on.take_one().await;
    on.ack(std::slice::from_ref(&delivery)).await;
    on.ack(&[delivery]).await;
}

pub(crate) async fn acking_with_a_stale_receipt_changes_nothing(on: &QueueUnderTest) {
    on.send(&[message("a")]).await;
    let stale = on.take_one().await;
    on.outlast_lease().await;
    let _current = on.take_one().await;
    for result in on.queue.ack(&[stale.receipt]).await {
        assert!(matches!(result.map_err(|error| error.kind), Ok(()) | Err(FailureKind::LeaseLost)));
    }
    assert!(on.queue.receive(10, Duration::ZERO).await.unwrap().is_empty(), "the second lease still runs");
    on.outlast_lease().await;
    assert_eq!(on.take_one().await.attempt, 3, "it was not acked by those who held it");
}

pub(crate) async fn a_bad_receipt_does_not_harm_its_neighbours(on: &QueueUnderTest) {
    on.send(&["a", "b"].map(message)).await;
    let held = on.take(2).await;
    let [a, b] = [&held[0].receipt, &held[1].receipt].map(Clone::clone);
    let bad = Receipt("no-such-receipt".to_owned());
    let mut extended = on.queue.extend(&[a.clone(), bad.clone(), b.clone()]).await;
    assert_eq!(extended.len(), 3);
    extended.pop().unwrap().unwrap();
    assert_eq!(kind(extended.pop().unwrap()), FailureKind::LeaseLost);
    extended.pop().unwrap().unwrap();
    let mut acked = on.queue.ack(&[a, bad, b]).await;
    assert_eq!(acked.len(), 3);
    acked.pop().unwrap().unwrap();
    assert!(matches!(acked.pop().unwrap().map_err(|error| error.kind), Ok(()) | Err(FailureKind::LeaseLost)));
    acked.pop().unwrap().unwrap();
    on.outlast_lease().await;
    on.assert_nothing("both good ones were acked").await;
}

pub(crate) async fn extending_moves_the_end_of_the_lease(on: &QueueUnderTest) {
    on.send(&["a", "b"].map(message)).await;
    let held = on.take(2).await;
    let lease = on.queue.lease();
    on.clock.sleep(lease.mul_f64(0.6)).await;
    let extended = held.iter().find(|delivery| &*delivery.body == b"a").unwrap();
    on.queue.extend(std::slice::from_ref(&extended.receipt)).await.remove(0).unwrap();
    on.clock.sleep(lease.mul_f64(0.6)).await;
    let returned = on.take_one().await;
    assert_eq!(&*returned.body, b"b", "the one that was not extended returns");
    assert!(on.queue.receive(10, Duration::ZERO).await.unwrap().is_empty(), "the other is still leased");
    on.ack(&[extended.clone(), returned]).await;
    on.outlast_lease().await;
    on.assert_nothing("the receipt of the extended lease was still good").await;
}

pub(crate) async fn extending_says_for_how_long_the_lease_holds(on: &QueueUnderTest) {
    on.send(&[message("a")]).await;
    let held = on.take_one().await;
    let lease = on.queue.lease();
    on.clock.sleep(lease / 4).await;
    let asked = on.clock.now();
    let holds = on.queue.extend(std::slice::from_ref(&held.receipt)).await.remove(0).unwrap();
    assert!(holds > lease / 2 && holds <= lease, "{holds:?} of {lease:?}");
    let left = |share| (holds.mul_f64(share)).saturating_sub((on.clock.now() - asked).to_std().unwrap_or_default());
    on.clock.sleep(left(0.85)).await;
    assert!(on.queue.receive(10, Duration::ZERO).await.unwrap().is_empty(), "it holds for so long");
    on.clock.sleep(left(1.0) + Duration::from_millis(200)).await;
    assert_ne!(on.take_one().await.receipt, held.receipt, "and no longer");
}

pub(crate) async fn extending_a_lapsed_lease_regains_it_or_says_that_it_is_lost(on: &QueueUnderTest) {
    on.send(&[message("a")]).await;
    let stale = on.take_one().await;
    on.outlast_lease().await;
    match on.queue.extend(std::slice::from_ref(&stale.receipt)).await.remove(0) {
        Ok(_) => {
            assert!(on.queue.receive(10, Duration::ZERO).await.unwrap().is_empty(), "it is leased again");
            on.ack(&[stale]).await;
            on.outlast_lease().await;
            on.assert_nothing("the receipt was as good as new").await;
        }
        Err(error) => {
            assert_eq!(error.kind, FailureKind::LeaseLost);
            assert_eq!(on.take_one().await.attempt, 2, "it can be received by anybody");
        }
    }
}

pub(crate) async fn extending_with_a_stale_receipt_says_that_the_lease_is_lost(on: &QueueUnderTest) {
    on.send(&[message("a")]).await;
    let stale = on.take_one().await;
    on.outlast_lease().await;
    let current = on.take_one().await;
    assert_eq!(kind(on.queue.extend(&[stale.receipt]).await.remove(0)), FailureKind::LeaseLost);
    on.queue.extend(&[current.receipt]).await.remove(0).unwrap();
}

pub(crate) async fn what_a_sender_says_of_tries_and_first_sight_is_not_believed(on: &QueueUnderTest) {
    let mut sent = message("sent");
    sent.properties = properties([("bridge_attempt", "4"), ("bridge_first_seen", "2020-01-01T00:00:00Z")]);
    on.send(&[sent.clone()]).await;
    let delivery = on.take_one().await;
    assert_eq!(delivery.attempt, 1);
    assert!(delivery.first_seen.unwrap() > at(-3600), "{:?}", delivery.first_seen);
    assert_eq!(delivery.properties, sent.properties, "it is shown as it came");
}

pub(crate) async fn more_than_a_batch_goes_through_in_one_call(on: &QueueUnderTest) {
    let sent: Vec<Message> = (0..137).map(|n| message(format!("message {n}"))).collect();
    let results = on.queue.send(&sent).await;
    assert_eq!(results.len(), sent.len());
    for result in results {
        result.unwrap();
    }
    let received = on.take(sent.len()).await;
    assert_eq!(bodies(&received).len(), sent.len());
    let extended = on.queue.extend(&receipts(&received)).await;
    assert_eq!(extended.len(), sent.len());
    for result in extended {
        result.unwrap();
    }
    let acked = on.queue.ack(&receipts(&received)).await;
    assert_eq!(acked.len(), sent.len());
    for result in acked {
        result.unwrap();
    }
    on.outlast_lease().await;
    on.assert_nothing("all were acked").await;
}

pub(crate) async fn calls_on_nothing_do_nothing(on: &QueueUnderTest) {
    on.send(&[message("a")]).await;
    assert!(on.queue.send(&[]).await.is_empty());
    assert!(on.queue.ack(&[]).await.is_empty());
    assert!(on.queue.extend(&[]).await.is_empty());
    assert!(on.queue.receive(0, seconds(1)).await.unwrap().is_empty());
    assert_eq!(on.take(1).await.len(), 1);
}

pub(crate) async fn one_bad_message_does_not_harm_its_neighbours(on: &QueueUnderTest) {
    let mut batch = ["first", "too many properties", "last"].map(message);
    let name = |n: usize| (format!("property{n}"), "x".to_owned());
    batch[1].properties = (0..=limits::PROPERTIES_MAX).map(name).collect();
    let mut results = on.queue.send(&batch).await.into_iter();
    results.next().unwrap().unwrap();
    assert!(matches!(kind(results.next().unwrap()), FailureKind::Rejected { .. }));
    results.next().unwrap().unwrap();
    assert!(results.next().is_none());
    assert_eq!(bodies(&on.take(2).await), [b"first".to_vec(), b"last".to_vec()].into());
    on.assert_nothing("only two were accepted").await;
}

pub(crate) async fn too_large_is_told_with_both_figures(on: &QueueUnderTest) {
    let (_, refused) = on.body_bytes;
    let batch = [message("small"), message(vec![b'x'; refused]), message("small too")];
    let mut results = on.queue.send(&batch).await.into_iter();
    results.next().unwrap().unwrap();
    match kind(results.next().unwrap()) {
        FailureKind::TooLarge { size_bytes, limit_bytes } => {
            assert!(size_bytes >= refused as u64, "{size_bytes} is less than the body alone");
            assert!(limit_bytes < size_bytes, "{size_bytes} bytes are within {limit_bytes}");
            assert!(limit_bytes >= on.body_bytes.0 as u64, "{limit_bytes} bytes, but larger ones pass");
        }
        other => panic!("{other:?}"),
    }
    results.next().unwrap().unwrap();
    assert_eq!(bodies(&on.take(2).await), [b"small".to_vec(), b"small too".to_vec()].into());
}

pub(crate) async fn the_largest_message_passes(on: &QueueUnderTest) {
    let (accepted, _) = on.body_bytes;
    let body = |byte| vec![byte; accepted];
    on.send(&[message(body(b'x')), message(body(b'y'))]).await;
    assert!(bodies(&on.take(2).await) == [body(b'x'), body(b'y')].into(), "bodies differ");
}

pub(crate) async fn bodies_that_are_no_text_arrive_or_are_refused(on: &QueueUnderTest) {
    for body in [b"".to_vec(), b"\xff\xfe\x00\x80".to_vec(), b"a\x00b\x01".to_vec(), "\u{FFFF}".into()] {
        let result = on.queue.send(&[message(body.clone()), message("neighbour")]).await.remove(0);
        if on.any_bytes {
            result.unwrap();
            let received = on.take(2).await;
            assert_eq!(bodies(&received), [body, b"neighbour".to_vec()].into());
            on.ack(&received).await;
        } else {
            assert!(matches!(kind(result), FailureKind::Rejected { .. }));
            let received = on.take(1).await;
            assert_eq!(bodies(&received), [b"neighbour".to_vec()].into());
            on.ack(&received).await;
        }
    }
}

pub(crate) async fn the_same_body_twice_is_two_messages(on: &QueueUnderTest) {
    on.send(&[message("a")]).await;
    on.send(&[message("a")]).await;
    let received = on.take(2).await;
    assert_ne!(received[0].receipt, received[1].receipt);
    assert_eq!(received[0].attempt, 1);
    assert_eq!(received[1].attempt, 1);
}

pub(crate) async fn a_look_shows_everything_and_takes_nothing(on: &QueueUnderTest) {
    let sent: Vec<Message> = (0..25)
        .map(|n| Message { properties: properties([("bridge_reason", "x")]), ..message(format!("message {n}")) })
        .collect();
    on.send(&sent).await;
    let shown = on.look(10).await;
    assert_eq!(bodies(&shown), sent.iter().map(|message| message.body.to_vec()).collect());
    for delivery in &shown {
        assert_eq!(delivery.properties, properties([("bridge_reason", "x")]));
        assert!(delivery.first_seen.is_some());
    }
    let received = on.take(sent.len()).await;
    let names = |deliveries: &[Delivery]| -> BTreeSet<(String, Vec<u8>)> {
        deliveries.iter().map(|delivery| (delivery.message_id.clone(), delivery.body.to_vec())).collect()
    };
    assert_eq!(names(&shown), names(&received), "a message has one name, however it is come by");
    on.ack(&received).await;
    on.outlast_lease().await;
    on.assert_nothing("all were acked").await;
}

pub(crate) async fn a_look_at_nothing_shows_nothing(on: &QueueUnderTest) {
    assert!(on.look(10).await.is_empty());
    assert!(on.queue.release(&[]).await.is_empty());
}

pub(crate) async fn a_released_message_is_back_at_once(on: &QueueUnderTest) {
    on.send(&[message("a")]).await;
    let first = on.take_one().await;
    on.release(std::slice::from_ref(&first)).await;
    let start = on.clock.now();
    let second = on.take_one().await;
    let waited = on.clock.now() - start;
    assert!(waited < TimeDelta::from_std(on.queue.lease()).unwrap(), "back only after {waited}");
    assert_eq!((&second.body, &second.message_id), (&first.body, &first.message_id), "no copy");
    on.ack(&[second]).await;
    on.outlast_lease().await;
    on.assert_nothing("there was only one message").await;
}

pub(crate) async fn releasing_with_a_stale_receipt_changes_nothing(on: &QueueUnderTest) {
    on.send(&[message("a")]).await;
    let stale = on.take_one().await;
    on.outlast_lease().await;
    let _current = on.take_one().await;
    for result in on.queue.release(&[stale.receipt, Receipt("no-such-receipt".to_owned())]).await {
        assert_eq!(kind(result), FailureKind::LeaseLost);
    }
    assert!(on.queue.receive(10, Duration::ZERO).await.unwrap().is_empty(), "the second lease still runs");
}

pub(crate) async fn many_are_released_in_one_call(on: &QueueUnderTest) {
    on.send(&(0..37).map(|n| message(format!("{n}"))).collect::<Vec<_>>()).await;
    let held = on.take(37).await;
    on.release(&held).await;
    assert_eq!(bodies(&on.take(37).await), bodies(&held));
}

pub(crate) async fn a_closed_queue_can_be_used_again(on: &QueueUnderTest) {
    on.send(&["a", "b"].map(message)).await;
    let held = on.take_one().await;
    on.queue.close().await;
    on.send(&[message("c")]).await;
    on.outlast_lease().await;
    let received = on.take(3).await;
    assert_eq!(bodies(&received), ["a", "b", "c"].map(|body| body.as_bytes().to_vec()).into(), "{held:?} was held");
    on.ack(&received).await;
}

pub(crate) async fn a_buried_message_is_gone_and_one_that_was_not_stays(on: &QueueUnderTest) {
    on.send(&[message("a")]).await;
    let held = on.take_one().await;
    let why = Refusal::new(Reason::NotJson, "what a test says");
    if on.queue.bury(&held, &why).await.unwrap() {
        on.outlast_lease().await;
        return on.assert_nothing("it was buried").await;
    }
    on.ack(&[held]).await;
    on.assert_nothing("its receipt was as good as before").await;
}

pub(crate) async fn a_probe_takes_and_sends_nothing(on: &QueueUnderTest) {
    for what in [Use::Send, Use::Settle] {
        on.queue.probe(what).await.unwrap();
    }
    on.assert_nothing("nothing was sent").await;
    on.send(&[message("a")]).await;
    on.queue.probe(Use::Settle).await.unwrap();
    assert_eq!(on.take_one().await.attempt, 1, "a probe takes nothing");
}

pub(crate) async fn a_queue_that_is_not_there_is_missing(on: &BrokenQueues) {
    for what in [Use::Send, Use::Settle] {
        assert_eq!(on.missing.probe(what).await.unwrap_err().kind, FailureKind::Missing, "{what:?}");
    }
    assert_eq!(on.missing.receive(1, seconds(1)).await.unwrap_err().kind, FailureKind::Missing);
    let results = on.missing.send(&["a", "b"].map(message)).await;
    assert_eq!(results.len(), 2);
    for result in results {
        assert_eq!(kind(result), FailureKind::Missing);
    }
}

pub(crate) async fn refused_credentials_are_unauthorized(on: &BrokenQueues) {
    for what in [Use::Send, Use::Settle] {
        assert_eq!(on.forbidden.probe(what).await.unwrap_err().kind, FailureKind::Unauthorized, "{what:?}");
    }
    let error = on.forbidden.receive(1, seconds(1)).await.unwrap_err();
    assert_eq!(error.kind, FailureKind::Unauthorized, "{}", error.chain());
    let results = on.forbidden.send(&["a", "b"].map(message)).await;
    assert_eq!(results.len(), 2);
    for result in results {
        assert_eq!(kind(result), FailureKind::Unauthorized);
    }
}
