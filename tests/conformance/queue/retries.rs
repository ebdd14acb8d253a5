//! Clauses of [`Queue::retry`].

use super::*;

pub(crate) async fn a_retry_hides_the_message_for_so_long(on: &QueueUnderTest) {
    on.send(&[message("a")]).await;
    let first = on.take_one().await;
    let start = on.clock.now();
    on.queue.retry(&[(&first, Duration::from_millis(2_500))]).await.remove(0).unwrap();
    let second = on.take_one().await;
    let hidden = on.clock.now() - start;
    // Brokers stamp times in milliseconds, and their clock is not this one.
    assert!(hidden >= TimeDelta::milliseconds(2_490), "back after {hidden}");
    assert!(hidden < TimeDelta::seconds(8), "back only after {hidden}");
    on.ack(&[second]).await;
    on.outlast_lease().await;
    on.assert_nothing("there was only one message").await;
}

pub(crate) async fn a_retry_at_once_counts_as_an_attempt(on: &QueueUnderTest) {
    on.send(&[message("a")]).await;
    for attempt in 1..=3 {
        let delivery = on.take_one().await;
        assert_eq!(delivery.attempt, attempt);
        on.queue.retry(&[(&delivery, Duration::ZERO)]).await.remove(0).unwrap();
    }
}

pub(crate) async fn a_retry_keeps_body_properties_and_first_sight(on: &QueueUnderTest) {
    let mut sent = message("{\"größe\": \"日本語 🦀\"}");
    sent.properties = properties([
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        ("bridge_forwarded_by", "aws:us-east-1"),
        ("detail", "größe 🦀"),
    ]);
    on.send(&[sent.clone()]).await;
    let first = on.take_one().await;
    on.clock.sleep(seconds(1)).await;
    on.queue.retry(&[(&first, Duration::ZERO)]).await.remove(0).unwrap();
    let second = on.take_one().await;
    assert_eq!(second.body, sent.body);
    assert_eq!(second.properties, sent.properties, "where a copy is sent, what it adds is not shown");
    let (seen, again) = (first.first_seen.unwrap(), second.first_seen.unwrap());
    assert!((seen - again).abs() < TimeDelta::milliseconds(2), "{seen} became {again}");
}

pub(crate) async fn a_retry_with_a_stale_receipt_says_that_the_lease_is_lost(on: &QueueUnderTest) {
    on.send(&[message("a")]).await;
    let stale = on.take_one().await;
    on.ack(std::slice::from_ref(&stale)).await;
    on.send(&[message("b")]).await;
    assert_eq!(kind(on.queue.retry(&[(&stale, seconds(1))]).await.remove(0)), FailureKind::LeaseLost);
}

pub(crate) async fn many_are_retried_in_one_call_each_after_its_own_time(on: &QueueUnderTest) {
    let sent: Vec<Message> = (0..25).map(|n| message(format!("{n}"))).collect();
    on.send(&sent).await;
    let held = on.take(25).await;
    let after = |at: usize| if at == 7 { seconds(60) } else { Duration::ZERO };
    let later: Vec<(&Delivery, Duration)> = held.iter().enumerate().map(|(at, one)| (one, after(at))).collect();
    for result in on.queue.retry(&later).await {
        result.unwrap();
    }
    let again = on.take(24).await;
    assert!(again.iter().all(|delivery| delivery.attempt == 2 && delivery.body != held[7].body));
    on.ack(&again).await;
}

/// Service Bus sends a copy, which notes more than the message did.
pub(crate) async fn a_retry_that_leaves_no_room_for_what_the_message_came_with_comes_again(on: &QueueUnderTest) {
    let (_, refused) = on.body_bytes;
    let own = "v".repeat(3 * 1024);
    // What a queue may count beside body and property comes to less than 200 bytes, and a copy notes more than is left of them.
    let body = vec![b'x'; refused - 1 - own.len() - 200];
    let full = Message { properties: properties([("own", own.as_str())]), ..message(body) };
    on.send(std::slice::from_ref(&full)).await;
    let first = on.take_one().await;
    on.queue.retry(&[(&first, Duration::ZERO)]).await.remove(0).unwrap();
    let second = on.take_one().await;
    assert!(second.attempt == 2 && second.body == full.body, "attempt {}", second.attempt);
    on.ack(&[second]).await;
}
