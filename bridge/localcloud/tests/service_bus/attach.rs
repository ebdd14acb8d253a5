//! Who may attach where: tokens, unknown queues, and links that are not to be had.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use fe2o3_amqp_types::messaging::message::__private::{Deserializable, Serializable};
use fe2o3_amqp_types::messaging::{
    Accepted, AmqpValue, ApplicationProperties, Body, DeliveryState, Message, Properties, Source,
};
use fe2o3_amqp_types::performatives::{Attach, Performative};
use fe2o3_amqp_types::primitives::SimpleValue;
use hmac::{Hmac, Mac};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_amqp::Value;
use serde_amqp::described::Described;
use serde_amqp::descriptor::Descriptor;
use serde_amqp::primitives::{OrderedMap, Symbol};

use super::peer::{self, Peer, condition, message};
use super::{KEY, KEY_NAME, start};

fn from_now(seconds: i64) -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    i64::try_from(now).unwrap() + seconds
}

pub(crate) fn signature(resource: &str, key: &str, seconds: i64) -> String {
    let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let (resource, expiry) = (encode(resource), from_now(seconds));
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(key.as_bytes()).unwrap();
    mac.update(format!("{resource}\n{expiry}").as_bytes());
    let signature = encode(&STANDARD.encode(mac.finalize().into_bytes()));
    format!("SharedAccessSignature sr={resource}&sig={signature}&se={expiry}&skn={KEY_NAME}")
}

pub(crate) fn bearer(seconds: i64) -> String {
    let claims = format!(r#"{{"exp":{}}}"#, from_now(seconds));
    format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims))
}

/// Puts a token over the links 250 and 251 of channel 0, which stay; returns the status.
async fn put_token(peer: &mut Peer, audience: &str, token: &str, first: bool) -> i32 {
    if first {
        peer.sender(250, "$cbs").await;
        peer.receiver(251, "$cbs", 100).await;
    }
    let properties = ApplicationProperties::builder()
        .insert("operation", "put-token")
        .insert("type", "servicebus.windows.net:sastoken")
        .insert("name", audience)
        .build();
    let request: Message<AmqpValue<Value>> = Message::builder()
        .properties(Properties::builder().message_id("1".to_owned()).reply_to("test").build())
        .application_properties(properties)
        .value(Value::String(token.into()))
        .build();
    let bytes = serde_amqp::to_vec(&Serializable(request)).unwrap();
    assert_eq!(peer.put(250, &bytes).await, DeliveryState::Accepted(Accepted {}));
    let (_, answer) = peer.delivery().await;
    let answer = serde_amqp::from_slice::<Deserializable<Message<Body<Value>>>>(&answer).unwrap().0;
    match answer.application_properties.unwrap().0.get("status-code") {
        Some(SimpleValue::Int(status)) => *status,
        other => panic!("{other:?}"),
    }
}

async fn refusal(peer: &mut Peer, attach: Attach) -> String {
    condition(&peer.attach(attach).await.expect("the link is refused"))
}

#[tokio::test]
async fn an_unknown_queue_is_not_found() {
    let service = start().await;
    let mut peer = Peer::trusted(service.amqp_address()).await;
    for (handle, path) in
        ["nosuch", "nosuch/$management", "nosuch/$deadletterqueue", "orders/x", "$management", ""].iter().enumerate()
    {
        let handle = u32::try_from(handle).unwrap();
        assert_eq!(refusal(&mut peer, peer::receiver(handle, path)).await, "amqp:not-found", "{path}");
    }
    for (handle, path) in (100..).zip([
        "orders",
        "ORDERS",
        "/Orders",
        "amqp://host/orders",
        "orders/$DeadLetterQueue",
        "orders/$deadletterqueue/$management",
    ]) {
        assert_eq!(peer.attach(peer::receiver(handle, path)).await, None, "{path}");
    }
}

#[tokio::test]
async fn without_a_token_nothing_is_to_be_had() {
    let service = start().await;
    let mut peer = Peer::anonymous(service.amqp_address()).await;
    for (handle, path) in (0..).zip(["orders", "orders/$management", "nosuch"]) {
        assert_eq!(refusal(&mut peer, peer::sender(handle, path)).await, "amqp:unauthorized-access", "{path}");
    }
}

#[tokio::test]
async fn a_token_opens_its_queue_and_no_other() {
    let service = start().await;
    let mut peer = Peer::anonymous(service.amqp_address()).await;
    let audience = "sb://localhost/orders";
    assert_eq!(put_token(&mut peer, audience, &signature(audience, "wrong", 60), true).await, 401);
    assert_eq!(put_token(&mut peer, audience, &signature(audience, KEY, -1), false).await, 401);
    assert_eq!(put_token(&mut peer, audience, &signature("sb://localhost/others", KEY, 60), false).await, 401);
    assert_eq!(put_token(&mut peer, audience, "nonsense", false).await, 401);
    assert_eq!(refusal(&mut peer, peer::sender(0, "orders")).await, "amqp:unauthorized-access");
    assert_eq!(put_token(&mut peer, audience, &signature(audience, KEY, 60), false).await, 202);
    peer.sender(1, "orders").await;
    peer.receiver(2, "orders/$management", 1).await;
    assert_eq!(refusal(&mut peer, peer::sender(3, "others")).await, "amqp:unauthorized-access");
    assert_eq!(put_token(&mut peer, "sb://localhost/others", &bearer(60), false).await, 202);
    peer.sender(4, "others").await;
}

#[tokio::test]
async fn a_link_ends_with_its_token() {
    let service = start().await;
    let mut peer = Peer::anonymous(service.amqp_address()).await;
    let audience = "sb://localhost/orders";
    assert_eq!(put_token(&mut peer, audience, &signature(audience, KEY, 3), true).await, 202);
    peer.sender(1, "orders").await;
    assert_eq!(peer.put(1, &message(b"in time")).await, DeliveryState::Accepted(Accepted {}));
    assert_eq!(condition(&peer.detached().await), "amqp:unauthorized-access");
}

#[tokio::test]
async fn a_renewed_token_keeps_its_links() {
    let service = start().await;
    let mut peer = Peer::anonymous(service.amqp_address()).await;
    let audience = "sb://localhost/orders";
    assert_eq!(put_token(&mut peer, audience, &signature(audience, KEY, 3), true).await, 202);
    peer.sender(1, "orders").await;
    assert_eq!(put_token(&mut peer, audience, &signature(audience, KEY, 60), false).await, 202);
    tokio::time::sleep(Duration::from_millis(3_100)).await;
    assert_eq!(peer.put(1, &message(b"later")).await, DeliveryState::Accepted(Accepted {}));
}

#[tokio::test]
async fn message_sessions_and_dead_letter_sends_are_refused() {
    let service = start().await;
    let mut peer = Peer::trusted(service.amqp_address()).await;
    let mut with_session = peer::receiver(0, "orders");
    let filter = Described { descriptor: Descriptor::Code(0x0000_0137_0000_000c), value: Value::String("s".into()) };
    let mut filters = OrderedMap::new();
    filters.insert(Symbol::from("com.microsoft:session-filter"), Value::Described(Box::new(filter)));
    with_session.source =
        Some(Box::new(Source { address: Some("orders".into()), filter: Some(filters), ..Source::default() }));
    assert_eq!(refusal(&mut peer, with_session).await, "amqp:not-implemented");
    assert_eq!(refusal(&mut peer, peer::sender(1, "orders/$deadletterqueue")).await, "amqp:not-allowed");
}

#[tokio::test]
async fn a_transaction_coordinator_costs_the_link_only() {
    let service = start().await;
    let mut peer = Peer::trusted(service.amqp_address()).await;
    // name "t", handle 0, role sender, modes, source (empty), target: a coordinator with one capability.
    let attach = [
        0x00, 0x53, 0x12, 0xc0, 0x22, 0x07, 0xa1, 0x01, b't', 0x43, 0x42, 0x50, 0x02, 0x50, 0x00, 0x00, 0x53, 0x28,
        0x45, 0x00, 0x53, 0x30, 0xc0, 0x0e, 0x01, 0xa3, 0x0b, b'a', b'm', b'q', b'p', b':', b'l', b'o', b'c', b'a',
        b'l', b'-',
    ];
    let mut attach = attach.to_vec();
    attach[4] = u8::try_from(attach.len() - 5).unwrap();
    attach[23] = u8::try_from(attach.len() - 24).unwrap();
    peer.raw(&peer::frame(0, 0, &attach, &[])).await;
    assert!(matches!(peer.next().await.0, Performative::Attach(_)));
    assert_eq!(condition(&peer.detached().await), "amqp:not-implemented");
    peer.sender(1, "orders").await;
}
