//! What one client does to the others: nothing.

use std::time::{Duration, Instant};

use fe2o3_amqp_types::messaging::{Accepted, DeliveryState};
use fe2o3_amqp_types::performatives::{Flow, Performative};
use localcloud::usage::Usage;

use super::peer::{self, Peer, message};
use super::protocol::assert_well;
use super::start;

#[tokio::test]
async fn half_a_frame_holds_nobody_up() {
    let service = start().await;
    let mut stuck = Vec::new();
    for round in 0..50 {
        let mut peer = Peer::connect(service.amqp_address()).await;
        peer.raw(&b"AMQP\x00\x01\x00\x00\x00\x00\xff\xff\x02\x00"[..round % 15]).await;
        stuck.push(peer);
    }
    assert_well(service.amqp_address()).await;
}

#[tokio::test]
async fn a_receiver_that_does_not_read_keeps_only_what_it_was_sent() {
    let service = start().await;
    let mut sender = Peer::trusted(service.amqp_address()).await;
    sender.sender(0, "orders").await;
    // Far more than all buffers between two peers hold waits for it, and goes on coming.
    for _ in 0..190 {
        assert_eq!(sender.put(0, &message(&vec![1; 200_000])).await, DeliveryState::Accepted(Accepted {}));
    }
    let mut stuck = Peer::trusted(service.amqp_address()).await;
    assert_eq!(stuck.attach(peer::receiver(0, "orders")).await, None);
    let flow = Flow { incoming_window: 1_000_000, ..peer::flow(Some(0), 1_000_000) };
    stuck.send(0, Performative::Flow(flow)).await;
    // It never reads from here on.
    for _ in 0..10 {
        assert_eq!(sender.put(0, &message(&vec![1; 200_000])).await, DeliveryState::Accepted(Accepted {}));
    }
    let held = service.counts("orders").unwrap();
    assert!(held.locked < 150, "{held:?}");
    // The others get the rest, and, as the locks run out, also what the stuck one was sent.
    let mut worker = Peer::trusted(service.amqp_address()).await;
    assert_eq!(worker.attach(peer::receiver(0, "orders")).await, None);
    let flow = Flow { incoming_window: 1_000_000, ..peer::flow(Some(0), 100_000) };
    worker.send(0, Performative::Flow(flow)).await;
    let started = Instant::now();
    let mut done = 0;
    while service.counts("orders").unwrap().active > 0 {
        assert!(started.elapsed() < Duration::from_secs(30), "{:?} left after {done}", service.counts("orders"));
        if let Ok((id, _)) = tokio::time::timeout(Duration::from_millis(100), worker.delivery()).await {
            let disposition = peer::disposition(id, DeliveryState::Accepted(Accepted {}));
            let settled = fe2o3_amqp_types::performatives::Disposition { settled: true, ..disposition };
            worker.send(0, Performative::Disposition(settled)).await;
            done += 1;
        }
    }
    drop(stuck);
}

#[tokio::test]
async fn a_dead_connection_gives_its_locks_back_when_they_run_out() {
    let service = start().await;
    let mut peer = Peer::trusted(service.amqp_address()).await;
    peer.sender(0, "orders").await;
    peer.put(0, &message(b"x")).await;
    peer.receiver(1, "orders", 1).await;
    peer.delivery().await;
    drop(peer);
    let mut next = Peer::trusted(service.amqp_address()).await;
    let started = Instant::now();
    next.receiver(1, "orders", 1).await;
    let (id, _) = next.delivery().await;
    assert!(started.elapsed() > Duration::from_millis(100), "not before its lock ran out");
    next.complete(id).await;
}

#[tokio::test]
async fn a_message_goes_past_waiting_receivers_that_have_gone() {
    let service = start().await;
    for _ in 0..20 {
        let mut gone = Peer::trusted(service.amqp_address()).await;
        gone.receiver(0, "orders", 1).await;
        drop(gone);
    }
    let mut waiting = Peer::trusted(service.amqp_address()).await;
    waiting.receiver(0, "orders", 1).await;
    let mut sender = Peer::trusted(service.amqp_address()).await;
    sender.sender(0, "orders").await;
    sender.put(0, &message(b"x")).await;
    // Some may not have been noticed as gone yet: then the lock runs out first.
    let (id, _) = waiting.delivery().await;
    waiting.complete(id).await;
}

#[tokio::test]
async fn two_hundred_connections_get_a_message_each() {
    let service = start().await;
    let mut receivers = Vec::new();
    for _ in 0..200 {
        let mut peer = Peer::trusted(service.amqp_address()).await;
        peer.receiver(0, "orders", 1).await;
        receivers.push(peer);
    }
    let mut sender = Peer::trusted(service.amqp_address()).await;
    sender.sender(0, "orders").await;
    for _ in 0..200 {
        sender.put(0, &message(b"x")).await;
    }
    for receiver in &mut receivers {
        let (id, _) = receiver.delivery().await;
        // Not awaited: locks are short here, and the answer is not what this test is about.
        let disposition = peer::disposition(id, DeliveryState::Accepted(Accepted {}));
        let settled = fe2o3_amqp_types::performatives::Disposition { settled: true, ..disposition };
        receiver.send(0, Performative::Disposition(settled)).await;
    }
}

#[tokio::test]
async fn stopping_takes_leave_of_everybody() {
    let service = start().await;
    let address = service.amqp_address();
    let mut peer = Peer::trusted(address).await;
    let stop = tokio::spawn(service.stop());
    assert_eq!(peer::condition(&peer.closed().await), "amqp:connection:forced");
    drop(peer);
    stop.await.unwrap();
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_deleted_queue_ends_its_links_and_keeps_nothing() {
    let service = start().await;
    service.create_queue("short-lived", localcloud::service_bus::QueueSettings::default());
    let mut peer = Peer::trusted(service.amqp_address()).await;
    peer.sender(0, "short-lived").await;
    peer.put(0, &message(b"x")).await;
    peer.receiver(1, "short-lived", 1).await;
    peer.delivery().await;
    peer.credit(1, 5).await;
    let headers = [("Authorization", &*super::http::authorization())];
    let (status, _) = super::http::call(service.http_address(), "DELETE", "/short-lived", &headers, &[]).await;
    assert_eq!(status, 200);
    assert_eq!(peer::condition(&peer.detached().await), "amqp:resource-deleted");
    assert_eq!(peer::rejection(peer.put(0, &message(b"y")).await), "amqp:not-found");
    service.create_queue("short-lived", localcloud::service_bus::QueueSettings::default());
    assert_eq!(service.counts("short-lived").unwrap().active, 0);
}

#[tokio::test]
async fn a_message_for_a_stuck_receiver_goes_to_the_next_who_waits() {
    let service = start().await;
    let mut sender = Peer::trusted(service.amqp_address()).await;
    sender.sender(0, "orders").await;
    for _ in 0..100 {
        sender.put(0, &message(&vec![1; 200_000])).await;
    }
    // It waits for "others" first, and then is stuck with what it gets from "orders".
    let mut stuck = Peer::trusted(service.amqp_address()).await;
    stuck.receiver(0, "others", 1).await;
    assert_eq!(stuck.attach(peer::receiver(1, "orders")).await, None);
    let flow = Flow { incoming_window: 1_000_000, ..peer::flow(Some(1), 1_000_000) };
    stuck.send(0, Performative::Flow(flow)).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let mut next = Peer::trusted(service.amqp_address()).await;
    next.receiver(0, "others", 1).await;
    sender.sender(1, "others").await;
    sender.put(1, &message(b"x")).await;
    let (id, _) = next.delivery().await;
    next.complete(id).await;
    drop(stuck);
}

#[tokio::test]
async fn whoever_is_gone_leaves_no_connection_link_or_place_in_a_line() {
    let service = start().await;
    let full = service.gauge();
    // What has come since the start says nothing of what is left.
    let gauge = || Usage { sent: None, ..full() };
    let until = async |wanted: Usage| {
        let started = Instant::now();
        while gauge() != wanted {
            assert!(started.elapsed() < Duration::from_secs(5), "{:?} instead of {wanted:?}", gauge());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let usage = |connections, links, waiting, messages| Usage {
        connections,
        links: Some(links),
        waiting: Some(waiting),
        messages: Some(messages),
        sent: None,
    };
    let mut sender = Peer::trusted(service.amqp_address()).await;
    sender.sender(0, "orders").await;
    let mut waiting = Vec::new();
    for _ in 0..20 {
        let mut peer = Peer::trusted(service.amqp_address()).await;
        peer.receiver(0, "orders", 1).await;
        peer.receiver(1, "others/$deadletterqueue", 1).await;
        waiting.push(peer);
    }
    until(usage(21, 41, 40, 0)).await;
    drop(waiting);
    until(usage(1, 1, 0, 0)).await;
    let mut holder = Peer::trusted(service.amqp_address()).await;
    holder.receiver(0, "orders", 1).await;
    assert_eq!(sender.put(0, &message(b"held")).await, DeliveryState::Accepted(Accepted {}));
    holder.delivery().await;
    drop((sender, holder));
    until(usage(0, 0, 0, 1)).await;
}
