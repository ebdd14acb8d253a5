//! Injected faults as a client sees them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fe2o3_amqp_types::messaging::{Accepted, DeliveryState};
use fe2o3_amqp_types::performatives::Performative;
use localcloud::fault::Faults;
use localcloud::service_bus::{ServiceBus, Tier};

use super::http::{authorization, call};
use super::peer::{self, Peer, condition, encoded, message, rejection};
use super::start_with;

const ACCEPTED: DeliveryState = DeliveryState::Accepted(Accepted {});

async fn start(fault: &str) -> (ServiceBus, Arc<Faults>) {
    let faults = Faults::new(1);
    let service = start_with(Tier::Standard, Arc::clone(&faults)).await;
    if !fault.is_empty() {
        faults.add(fault.parse().unwrap());
    }
    (service, faults)
}

fn active(service: &ServiceBus) -> usize {
    service.counts("orders").unwrap().active
}

#[tokio::test]
async fn a_throttled_send_is_refused_without_effect() {
    let (service, _) = start("service-bus:send:throttle,count=1").await;
    let mut peer = Peer::trusted(service.amqp_address()).await;
    peer.sender(0, "orders").await;
    assert_eq!(rejection(peer.put(0, &message(b"x")).await), "com.microsoft:server-busy");
    assert_eq!(active(&service), 0);
    assert_eq!(peer.put(0, &message(b"x")).await, ACCEPTED);
}

#[tokio::test]
async fn an_answer_can_be_lost_after_the_effect() {
    for (fault, count) in [("service-bus:send:drop,when=after,count=1", 1), ("service-bus:send:drop,count=1", 0)] {
        let (service, _) = start(fault).await;
        let mut peer = Peer::trusted(service.amqp_address()).await;
        peer.sender(0, "orders").await;
        peer.transfer(0, &message(b"x"), 1).await;
        assert!(peer.is_cut().await);
        assert_eq!(active(&service), count, "{fault}");
    }
    let (service, _) = start("service-bus:send:error,when=after,count=1").await;
    let mut peer = Peer::trusted(service.amqp_address()).await;
    peer.sender(0, "orders").await;
    assert_eq!(rejection(peer.put(0, &message(b"x")).await), "amqp:internal-error");
    assert_eq!(active(&service), 1);
}

#[tokio::test]
async fn latency_delays_every_answer_and_loses_none() {
    let (service, _) = start("service-bus:*:latency,fixed=100ms").await;
    let mut peer = Peer::trusted(service.amqp_address()).await;
    let started = Instant::now();
    // The flow is sent without waiting for the answer to the attach, as clients do.
    peer.raw(&encoded(0, &Performative::Attach(peer::receiver(1, "orders")), &[])).await;
    peer.credit(1, 10).await;
    assert!(matches!(peer.next().await.0, Performative::Attach(_)));
    assert!(started.elapsed() >= Duration::from_millis(100));
    peer.sender(0, "orders").await;
    let started = Instant::now();
    for _ in 0..5 {
        peer.transfer(0, &message(b"x"), 1).await;
    }
    let (mut accepted, mut delivered) = (0, Vec::new());
    while accepted < 5 || delivered.len() < 5 {
        match peer.next().await.0 {
            Performative::Disposition(disposition) if disposition.state == Some(ACCEPTED) => accepted += 1,
            Performative::Transfer(transfer) => delivered.push(transfer.delivery_id.unwrap()),
            other => panic!("{other:?}"),
        }
    }
    let taken = started.elapsed();
    // All at once, not one after the other: 100 ms for the sends, 100 ms for the deliveries.
    assert!((Duration::from_millis(200)..Duration::from_millis(450)).contains(&taken), "{taken:?}");
    let started = Instant::now();
    assert_eq!(peer.settle(delivered[0], ACCEPTED).await, ACCEPTED);
    assert!(started.elapsed() >= Duration::from_millis(100));
}

#[tokio::test]
async fn a_failed_receive_costs_the_link_and_no_message() {
    let (service, faults) = start("service-bus:receive:error,count=1").await;
    let mut peer = Peer::trusted(service.amqp_address()).await;
    peer.sender(0, "orders").await;
    peer.put(0, &message(b"x")).await;
    peer.receiver(1, "orders", 1).await;
    assert_eq!(condition(&peer.detached().await), "amqp:internal-error");
    let counts = service.counts("orders").unwrap();
    assert_eq!((counts.active, counts.locked), (1, 0));
    // With "after" its lock is lost with the answer.
    faults.add("service-bus:receive:drop,when=after,count=1".parse().unwrap());
    peer.receiver(2, "orders", 1).await;
    assert!(peer.is_cut().await);
    assert_eq!(service.counts("orders").unwrap().locked, 1);
}

#[tokio::test]
async fn a_refused_connect_is_told_after_open() {
    let (service, _) = start("service-bus:connect:throttle,count=1").await;
    let mut peer = Peer::greeted(service.amqp_address()).await;
    peer.open(None).await;
    assert_eq!(condition(&peer.closed().await), "com.microsoft:server-busy");
    Peer::trusted(service.amqp_address()).await;
}

#[tokio::test]
async fn in_the_dark_nobody_is_served_and_afterwards_everybody() {
    let (service, faults) = start("").await;
    let mut peer = Peer::trusted(service.amqp_address()).await;
    peer.sender(0, "orders").await;
    peer.put(0, &message(b"x")).await;
    let dark = faults.add("service-bus:*:dark".parse().unwrap());
    assert!(peer.is_cut().await);
    let mut refused = Peer::connect(service.amqp_address()).await;
    assert!(refused.is_cut().await);
    faults.remove(dark);
    let mut peer = Peer::trusted(service.amqp_address()).await;
    peer.receiver(0, "orders", 1).await;
    peer.delivery().await;
}

#[tokio::test]
async fn calls_are_counted_by_what_became_of_them() {
    let (service, faults) = start("service-bus:settle:error,count=1").await;
    let mut peer = Peer::trusted(service.amqp_address()).await;
    peer.sender(0, "orders").await;
    peer.put(0, &message(b"x")).await;
    peer.receiver(1, "orders", 1).await;
    let (id, _) = peer.delivery().await;
    assert_eq!(rejection(peer.settle(id, ACCEPTED).await), "amqp:internal-error");
    let counts: Vec<_> =
        faults.counts().into_iter().map(|count| (count.operation, count.status, count.count)).collect();
    let expected = [
        ("attach", "ok", 2),
        ("connect", "ok", 1),
        ("receive", "ok", 1),
        ("send", "ok", 1),
        ("settle", "amqp:internal-error", 1),
    ];
    assert_eq!(counts, expected.map(|(operation, status, count)| (operation.to_owned(), status.to_owned(), count)));
}

#[tokio::test]
async fn a_permission_can_be_missing() {
    let (service, faults) = start("service-bus:send:denied,count=1").await;
    let mut peer = Peer::trusted(service.amqp_address()).await;
    peer.sender(0, "orders").await;
    assert_eq!(rejection(peer.put(0, &message(b"x")).await), "amqp:unauthorized-access");
    faults.add("service-bus:rest-send:denied,count=1".parse().unwrap());
    let authorization = authorization();
    let headers = [("Authorization", authorization.as_str())];
    let (status, _) = call(service.http_address(), "POST", "/orders/messages", &headers, b"x").await;
    assert_eq!(status, 401);
    assert_eq!(active(&service), 0);
    let (status, _) = call(service.http_address(), "POST", "/orders/messages", &headers, b"x").await;
    assert_eq!((status, active(&service)), (201, 1));
}
