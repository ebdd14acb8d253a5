//! Messages: sizes, shapes, settlement, windows, credit.

use std::time::Duration;

use fe2o3_amqp_types::messaging::{Accepted, DeliveryState, Modified, Rejected, Released};
use fe2o3_amqp_types::performatives::{Flow, Performative, Transfer};
use localcloud::fault::Faults;
use localcloud::service_bus::Tier;

use super::peer::{self, Peer, encoded, message, rejection};
use super::{start, start_with};

const ACCEPTED: DeliveryState = DeliveryState::Accepted(Accepted {});
const BATCH_FORMAT: u32 = 0x8001_3700;

#[tokio::test]
async fn messages_up_to_the_limit_pass_and_one_byte_more_is_refused() {
    for (tier, limit) in [(Tier::Standard, 262_144), (Tier::premium(), 1_048_576)] {
        let service = start_with(tier, Faults::new(1)).await;
        let mut peer = Peer::trusted(service.amqp_address()).await;
        peer.sender(0, "orders").await;
        // A data section of that size has eight bytes besides its body.
        assert_eq!(peer.put(0, &message(&vec![7; limit - 8])).await, ACCEPTED);
        assert_eq!(rejection(peer.put(0, &message(&vec![7; limit - 7])).await), "amqp:link:message-size-exceeded");
        assert_eq!(rejection(peer.put(0, &message(&vec![7; 4 * limit])).await), "amqp:link:message-size-exceeded");
        peer.receiver(1, "orders", 10).await;
        let (id, bytes) = peer.delivery().await;
        assert!(bytes.ends_with(&message(&vec![7; limit - 8])));
        peer.complete(id).await;
        assert_eq!(service.counts("orders").unwrap().active, 0);
    }
}

#[tokio::test]
async fn broken_messages_are_rejected_and_the_link_goes_on() {
    let service = start().await;
    let mut peer = Peer::trusted(service.amqp_address()).await;
    peer.sender(0, "orders").await;
    for broken in [
        &b"plain text"[..],
        &[0x00, 0x53, 0x75, 0xb0, 0xff, 0xff, 0xff, 0xff],
        &vec![0x00; 50_000],
        &[0x00, 0x53, 0x99, 0x45],
        &[0x00, 0x53, 0x75, 0xa0, 0x00, 0x00, 0x53, 0x73, 0x45],
    ] {
        assert_eq!(rejection(peer.put(0, broken).await), "amqp:decode-error");
    }
    assert_eq!(peer.put(0, &message(b"good")).await, ACCEPTED);
    assert_eq!(service.counts("orders").unwrap().active, 1);
}

#[tokio::test]
async fn a_batch_is_taken_as_a_whole_or_not_at_all() {
    let service = start().await;
    let mut peer = Peer::trusted(service.amqp_address()).await;
    peer.sender(0, "orders").await;
    for (id, parts, taken) in [
        (0, vec![message(b"1"), b"broken".to_vec()], 0),
        (1, vec![], 0),
        (2, vec![message(b"1"), message(b"2"), message(b"3")], 3),
    ] {
        let batch: Vec<u8> = parts.iter().flat_map(|part| message(part)).collect();
        let transfer = Transfer { message_format: Some(BATCH_FORMAT), ..peer::transfer(0, id) };
        peer.raw(&encoded(0, &Performative::Transfer(transfer), &batch)).await;
        let (Performative::Disposition(disposition), _) = peer.next().await else { panic!() };
        assert_eq!(disposition.state == Some(ACCEPTED), taken > 0);
        assert_eq!(service.counts("orders").unwrap().active, taken);
    }
}

#[tokio::test]
async fn an_aborted_delivery_leaves_nothing() {
    let service = start().await;
    let mut peer = Peer::trusted(service.amqp_address()).await;
    peer.sender(0, "orders").await;
    let start = Transfer { more: true, ..peer::transfer(0, 0) };
    peer.raw(&encoded(0, &Performative::Transfer(start), b"half")).await;
    let end = Transfer { aborted: true, ..peer::transfer(0, 0) };
    peer.raw(&encoded(0, &Performative::Transfer(end), &[])).await;
    peer.raw(&encoded(0, &Performative::Transfer(peer::transfer(0, 1)), &message(b"whole"))).await;
    let (Performative::Disposition(disposition), _) = peer.next().await else { panic!() };
    assert_eq!((disposition.first, disposition.state), (1, Some(ACCEPTED)));
    assert_eq!(service.counts("orders").unwrap().active, 1);
}

#[tokio::test]
async fn a_settlement_is_confirmed_by_the_same_outcome_without_its_error() {
    let service = start().await;
    let mut peer = Peer::trusted(service.amqp_address()).await;
    peer.sender(0, "orders").await;
    peer.receiver(1, "orders", 100).await;
    let modified = |undeliverable_here| {
        DeliveryState::Modified(Modified { delivery_failed: Some(true), undeliverable_here, message_annotations: None })
    };
    let error =
        fe2o3_amqp_types::definitions::Error::new(fe2o3_amqp_types::definitions::AmqpError::InternalError, None, None);
    let rejected = |error| DeliveryState::Rejected(Rejected { error });
    for (state, answer) in [
        (DeliveryState::Released(Released {}), DeliveryState::Released(Released {})),
        (modified(None), modified(None)),
        (rejected(Some(error)), rejected(None)),
        (modified(Some(true)), modified(Some(true))),
    ] {
        assert_eq!(peer.put(0, &message(b"x")).await, ACCEPTED);
        let (id, _) = peer.delivery().await;
        assert_eq!(peer.settle(id, state.clone()).await, answer);
        // Those that came back are delivered again at once, and completed.
        if matches!(state, DeliveryState::Released(_)) || state == modified(None) {
            let (id, _) = peer.delivery().await;
            peer.complete(id).await;
        }
    }
    let counts = service.counts("orders").unwrap();
    assert_eq!((counts.active, counts.dead_letter, counts.deferred), (0, 1, 1));
}

#[tokio::test]
async fn a_settlement_after_the_lock_is_told_so() {
    let service = start().await;
    let mut peer = Peer::trusted(service.amqp_address()).await;
    peer.sender(0, "orders").await;
    peer.put(0, &message(b"x")).await;
    peer.receiver(1, "orders", 1).await;
    let (id, _) = peer.delivery().await;
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert_eq!(rejection(peer.settle(id, ACCEPTED).await), "com.microsoft:message-lock-lost");
    assert_eq!(service.counts("orders").unwrap().active, 1);
}

#[tokio::test]
async fn a_range_of_deliveries_is_settled_at_once() {
    let service = start().await;
    let mut peer = Peer::trusted(service.amqp_address()).await;
    peer.sender(0, "orders").await;
    for _ in 0..5 {
        peer.put(0, &message(b"x")).await;
    }
    peer.receiver(1, "orders", 5).await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(peer.delivery().await.0);
    }
    let disposition =
        fe2o3_amqp_types::performatives::Disposition { last: Some(u32::MAX), ..peer::disposition(ids[0], ACCEPTED) };
    peer.send(0, Performative::Disposition(disposition)).await;
    for _ in 0..5 {
        assert!(matches!(peer.next().await.0, Performative::Disposition(_)));
    }
    assert_eq!(service.counts("orders").unwrap().active, 0);
}

#[tokio::test]
async fn a_drained_link_gives_its_credit_back() {
    let service = start().await;
    let mut peer = Peer::trusted(service.amqp_address()).await;
    peer.sender(0, "orders").await;
    peer.put(0, &message(b"x")).await;
    assert_eq!(peer.attach(peer::receiver(1, "orders")).await, None);
    peer.send(0, Performative::Flow(Flow { drain: true, ..peer::flow(Some(1), 10) })).await;
    peer.delivery().await;
    loop {
        if let Some((_, Some(Performative::Flow(flow)), _)) = peer.frame().await
            && flow.drain
        {
            assert_eq!((flow.link_credit, flow.delivery_count), (Some(0), Some(10)));
            return;
        }
    }
}

#[tokio::test]
async fn a_session_window_is_never_exceeded() {
    let service = start().await;
    let mut peer = Peer::trusted(service.amqp_address()).await;
    peer.sender(0, "orders").await;
    for _ in 0..3 {
        peer.put(0, &message(&vec![1; 150_000])).await;
    }
    let mut narrow = Peer::trusted(service.amqp_address()).await;
    assert_eq!(narrow.attach(peer::receiver(1, "orders")).await, None);
    let mut seen = 0;
    let mut whole = 0;
    // Three messages of at least three frames each, through a window of two frames.
    while whole < 3 {
        let flow = Flow { next_incoming_id: Some(seen), incoming_window: 2, ..peer::flow(Some(1), 10) };
        narrow.send(0, Performative::Flow(flow)).await;
        for _ in 0..2 {
            let (Performative::Transfer(transfer), _) = narrow.next().await else { panic!() };
            seen += 1;
            whole += u32::from(!transfer.more);
            if whole == 3 {
                break;
            }
        }
        let more = tokio::time::timeout(Duration::from_millis(20), narrow.frame()).await;
        assert!(more.is_err(), "a frame beyond the window");
    }
    assert!(seen >= 9);
}
