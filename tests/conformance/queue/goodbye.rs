//! Clauses of goodbye and of leases: who else may have a message, and from when on.

use super::*;

/// What a broker may take to send ahead of the next receive what the last one asked for.
const AHEAD: Duration = Duration::from_millis(500);

/// A message in the consumer's hands, of ten that it asked for; and three that came since, which a broker that sends by itself has sent.
async fn with_messages_ahead(on: &QueueUnderTest) -> Delivery {
    on.send(&[message("held")]).await;
    let mut held = Vec::new();
    for _ in 0..20 {
        if held.is_empty() {
            held = on.queue.receive(10, seconds(1)).await.unwrap();
        }
    }
    on.send(&["a", "b", "c"].map(message)).await;
    on.clock.sleep(AHEAD).await;
    held.remove(0)
}

/// Takes these many from the other consumer, and fails if that had to wait for a lease to end.
async fn others_have_at_once(on: &QueueUnderTest, count: usize, why: &str) {
    let start = on.clock.now();
    let taken = take_from(&*on.other, count).await;
    // What was sent ahead is leased since then.
    let ahead_and_waited = TimeDelta::from_std(AHEAD * 2).unwrap() + (on.clock.now() - start);
    assert!(ahead_and_waited < TimeDelta::from_std(on.queue.lease()).unwrap(), "{why}: after {ahead_and_waited}");
    assert_eq!(bodies(&taken).len(), count);
}

pub(crate) async fn closing_gives_back_what_no_caller_took(on: &QueueUnderTest) {
    let held = with_messages_ahead(on).await;
    on.queue.close().await;
    others_have_at_once(on, 3, "a successor must not wait for a lease").await;
    on.ack(&[held]).await;
}

pub(crate) async fn what_was_not_asked_for_is_left_to_others(on: &QueueUnderTest) {
    on.send(&["a", "b", "c", "d", "e"].map(message)).await;
    let _held = on.take_one().await;
    others_have_at_once(on, 4, "one was asked for").await;
}

pub(crate) async fn what_came_ahead_is_handed_out_with_a_lease_that_holds(on: &QueueUnderTest) {
    let held = with_messages_ahead(on).await;
    on.outlast_lease().await;
    let taken = on.take(4).await;
    for extended in on.queue.extend(&receipts(&taken)).await {
        extended.unwrap();
    }
    on.ack(&taken).await;
    on.outlast_lease().await;
    on.assert_nothing("all were acked, with leases that held").await;
    assert_eq!(&*held.body, b"held");
}

pub(crate) async fn a_lease_that_is_extended_again_and_again_holds(on: &QueueUnderTest) {
    on.send(&[message("a")]).await;
    let held = on.take_one().await;
    for _ in 0..4 {
        on.clock.sleep(on.queue.lease().mul_f64(0.6)).await;
        on.queue.extend(std::slice::from_ref(&held.receipt)).await.remove(0).unwrap();
        assert!(on.queue.receive(10, Duration::ZERO).await.unwrap().is_empty(), "it is leased");
    }
    on.ack(&[held]).await;
    on.outlast_lease().await;
    on.assert_nothing("the receipt was good to the end").await;
}
