//! Several receivers of one queue at the same time.

use std::time::Duration;

use bridge_core::port::Message;
use bridge_tests::{message, seconds};
use futures_util::future::{join, join_all};

use super::{QueueUnderTest, bodies};

pub(crate) async fn receivers_at_the_same_time_get_different_messages(on: &QueueUnderTest) {
    let sent: Vec<Message> = (0..20).map(|n| message(format!("{n}"))).collect();
    on.send(&sent).await;
    // A receive may return fewer than asked for, so the rest comes with later ones, while all these leases hold.
    let mut received = Vec::new();
    for _ in 0..20 {
        if received.len() < sent.len() {
            received.extend(join_all((0..4).map(|_| on.take(5))).await.concat());
        }
    }
    assert_eq!(received.len(), 20, "some message did not come, or came twice");
    assert_eq!(bodies(&received).len(), 20, "some message was delivered twice");
}

/// Each takes two of sixteen at most, so none of eight has to go away empty, whoever is quick.
pub(crate) async fn every_receiver_that_waits_is_served(on: &QueueUnderTest) {
    let sent: Vec<Message> = (0..16).map(|n| message(format!("{n}"))).collect();
    let waiting = join_all((0..8).map(|_| on.queue.receive(2, seconds(20))));
    let sending = async {
        on.clock.sleep(Duration::from_millis(500)).await;
        on.send(&sent).await;
    };
    let (received, ()) = join(waiting, sending).await;
    for deliveries in received {
        assert!(!deliveries.unwrap().is_empty(), "a receiver got nothing, though messages were left for it");
    }
}
