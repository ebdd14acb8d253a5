//! Rules of AMQP itself, broken one by one. Source of the answers: AMQP 1.0, part 2.

use fe2o3_amqp_types::messaging::{Accepted, DeliveryState};
use fe2o3_amqp_types::performatives::{End, Performative};
use fe2o3_amqp_types::sasl::SaslCode;

use super::peer::{self, AMQP, Peer, condition, encoded, message};
use super::start;

/// A message goes in and comes out: the service is well.
pub(crate) async fn assert_well(address: std::net::SocketAddr) {
    let mut peer = Peer::trusted(address).await;
    peer.sender(0, "others").await;
    assert_eq!(peer.put(0, &message(b"well")).await, DeliveryState::Accepted(Accepted {}));
    peer.receiver(1, "others", 1).await;
    let (id, bytes) = peer.delivery().await;
    assert!(bytes.ends_with(b"well"));
    peer.complete(id).await;
}

#[tokio::test]
async fn another_protocol_is_answered_with_ours_and_the_end() {
    let service = start().await;
    for greeting in
        [&b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..], b"AMQP\x02\x01\x00\x00", b"AMQP\x00\x00\x09\x01", &[0; 100]]
    {
        let mut peer = Peer::connect(service.amqp_address()).await;
        peer.raw(greeting).await;
        assert_eq!(peer.bytes(8).await, AMQP);
        assert!(peer.is_cut().await);
    }
    assert_well(service.amqp_address()).await;
}

#[tokio::test]
async fn sasl_takes_what_clients_use_and_refuses_the_rest() {
    let service = start().await;
    let plain = |key: &str| format!("\0{}\0{key}", super::KEY_NAME).into_bytes();
    for (mechanism, response, code) in [
        ("ANONYMOUS", Vec::new(), SaslCode::Ok),
        ("MSSBCBS", Vec::new(), SaslCode::Ok),
        ("PLAIN", plain(super::KEY), SaslCode::Ok),
        ("PLAIN", plain("wrong"), SaslCode::Auth),
        ("PLAIN", Vec::new(), SaslCode::Auth),
        ("EXTERNAL", Vec::new(), SaslCode::Auth),
        ("SCRAM-SHA-1", Vec::new(), SaslCode::Auth),
    ] {
        let mut peer = Peer::connect(service.amqp_address()).await;
        assert_eq!(peer.sasl(mechanism, &response).await, code, "{mechanism}");
        if code != SaslCode::Ok {
            assert!(peer.is_cut().await);
        }
    }
}

#[tokio::test]
async fn a_frame_before_open_is_answered_by_open_and_close() {
    let service = start().await;
    let mut peer = Peer::greeted(service.amqp_address()).await;
    peer.send(0, Performative::Begin(peer::begin(1))).await;
    assert!(matches!(peer.next().await.0, Performative::Open(_)));
    assert_eq!(condition(&peer.closed().await), "amqp:illegal-state");
    assert!(peer.is_cut().await);
}

#[tokio::test]
async fn a_second_open_closes_the_connection() {
    let service = start().await;
    let mut peer = Peer::anonymous(service.amqp_address()).await;
    peer.send(0, Performative::Open(peer::open(None))).await;
    assert_eq!(condition(&peer.closed().await), "amqp:illegal-state");
}

#[tokio::test]
async fn channels_and_handles_out_of_bounds_close_the_connection() {
    let service = start().await;
    let flow = Performative::Flow(peer::flow(None, 0));
    for (channel, performative, expected) in [
        (999, Performative::Begin(peer::begin(1)), "amqp:connection:framing-error"),
        (0, Performative::Begin(peer::begin(1)), "amqp:illegal-state"),
        (7, flow, "amqp:connection:framing-error"),
        (0, Performative::Attach(peer::sender(256, "orders")), "amqp:connection:framing-error"),
    ] {
        let mut peer = Peer::trusted(service.amqp_address()).await;
        peer.send(channel, performative).await;
        assert_eq!(condition(&peer.closed().await), expected);
    }
}

#[tokio::test]
async fn wrong_handles_end_the_session_and_the_connection_goes_on() {
    let service = start().await;
    let mut peer = Peer::trusted(service.amqp_address()).await;
    for round in 0..3 {
        peer.sender(0, "orders").await;
        let (performative, expected) = match round {
            0 => (Performative::Attach(peer::receiver(0, "orders")), "amqp:session:handle-in-use"),
            1 => (Performative::Transfer(peer::transfer(9, 0)), "amqp:session:unattached-handle"),
            _ => (Performative::Flow(peer::flow(Some(9), 1)), "amqp:session:unattached-handle"),
        };
        peer.send(0, performative).await;
        // What is on its way when the session ends is passed over.
        peer.send(0, Performative::Flow(peer::flow(Some(0), 1))).await;
        assert_eq!(condition(&peer.ended(0).await), expected);
        peer.begin(0, 1_000).await;
    }
    peer.sender(0, "orders").await;
    assert_eq!(peer.put(0, &message(b"after")).await, DeliveryState::Accepted(Accepted {}));
}

#[tokio::test]
async fn an_end_and_a_detach_too_many_do_no_harm() {
    let service = start().await;
    let mut peer = Peer::trusted(service.amqp_address()).await;
    peer.send(0, Performative::End(End { error: None })).await;
    assert!(matches!(peer.next().await.0, Performative::End(_)));
    let detach = fe2o3_amqp_types::performatives::Detach {
        handle: fe2o3_amqp_types::definitions::Handle(3),
        closed: true,
        error: None,
    };
    peer.send(0, Performative::Detach(detach)).await;
    peer.send(0, Performative::End(End { error: None })).await;
    peer.begin(0, 10).await;
}

#[tokio::test]
async fn impossible_frames_are_refused_before_they_arrive() {
    let service = start().await;
    for header in [
        [0xff; 8],
        [0, 1, 0, 1, 2, 0, 0, 0],
        [0, 0, 0, 4, 2, 0, 0, 0],
        [0, 0, 0, 8, 9, 0, 0, 0],
        [0, 0, 0, 8, 2, 1, 0, 0],
    ] {
        let mut peer = Peer::anonymous(service.amqp_address()).await;
        peer.raw(&header).await;
        assert_eq!(condition(&peer.closed().await), "amqp:decode-error", "{header:?}");
    }
    assert_well(service.amqp_address()).await;
}

#[tokio::test]
async fn deep_and_declared_sizes_in_a_frame_are_refused() {
    let service = start().await;
    let attach = |inside: &[u8]| {
        let size = u32::try_from(inside.len() + 4).unwrap();
        [&[0x00, 0x53, 0x12, 0xd0][..], &size.to_be_bytes(), &1_u32.to_be_bytes(), inside].concat()
    };
    let deep = attach(&vec![0x00; 60_000]);
    let lists: Vec<u8> = (0..7_000_u32)
        .rev()
        .flat_map(|left| [[0xd0, 0, 0], [0, 0, 0]].concat().into_iter().chain((left * 9).to_be_bytes()).take(9))
        .collect();
    for body in [
        deep,
        attach(&lists),
        // An array of four billion times "true".
        attach(&[0xf0, 0, 0, 0, 5, 0xff, 0xff, 0xff, 0xff, 0x41]),
        // A string and a list longer than their frame.
        attach(&[0xb1, 0xff, 0xff, 0xff, 0xff]),
        attach(&[0xd0, 0x7f, 0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff]),
        vec![0x00],
        vec![0x00, 0x53, 0x99, 0x45],
        vec![0x40],
    ] {
        let mut peer = Peer::anonymous(service.amqp_address()).await;
        peer.raw(&peer::frame(0, 0, &body, &[])).await;
        assert_eq!(condition(&peer.closed().await), "amqp:decode-error");
    }
    assert_well(service.amqp_address()).await;
}

#[tokio::test]
async fn silence_is_filled_with_heartbeats() {
    let service = start().await;
    let mut peer = Peer::greeted(service.amqp_address()).await;
    peer.open(Some(200)).await;
    for _ in 0..3 {
        assert!(matches!(peer.frame().await, Some((0, None, _))));
    }
}

/// A seeded storm: random bytes at every stage of a connection, and damaged copies of valid frames.
#[tokio::test]
async fn no_bytes_whatever_stop_the_service() {
    let service = start().await;
    let mut random = fastrand::Rng::with_seed(11);
    let good = [
        encoded(0, &Performative::Open(peer::open(None)), &[]),
        encoded(0, &Performative::Begin(peer::begin(100)), &[]),
        encoded(0, &Performative::Attach(peer::sender(0, "orders")), &[]),
        encoded(0, &Performative::Attach(peer::receiver(1, "orders/$management")), &[]),
        encoded(0, &Performative::Flow(peer::flow(Some(1), 10)), &[]),
        encoded(0, &Performative::Transfer(peer::transfer(0, 0)), &message(b"body")),
        encoded(0, &Performative::Disposition(peer::disposition(0, DeliveryState::Accepted(Accepted {}))), &[]),
    ];
    for round in 0..400 {
        let mut peer = if round % 2 == 0 {
            Peer::trusted(service.amqp_address()).await
        } else {
            Peer::connect(service.amqp_address()).await
        };
        let mut bytes = Vec::new();
        for _ in 0..random.usize(1..12) {
            let mut piece = random.choice(&good).unwrap().clone();
            match random.u8(..4) {
                0 => piece = (0..random.usize(1..200)).map(|_| random.u8(..)).collect(),
                1 => {
                    for _ in 0..random.usize(1..4) {
                        // The size stays right, so that the damage gets past the framing.
                        let at = random.usize(4..piece.len());
                        piece[at] = random.u8(..);
                    }
                }
                2 => piece.truncate(random.usize(1..piece.len())),
                _ => {}
            }
            bytes.extend(piece);
        }
        // The service may have closed before all was written.
        let _ = tokio::io::AsyncWriteExt::write_all(&mut peer.stream, &bytes).await;
    }
    assert_well(service.amqp_address()).await;
}
