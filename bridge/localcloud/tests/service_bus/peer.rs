//! An AMQP peer that does what it is told, and nothing by itself.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use fe2o3_amqp_types::definitions::{Error, Handle, ReceiverSettleMode, Role, SenderSettleMode};
use fe2o3_amqp_types::messaging::{Accepted, DeliveryState, Source, Target, TargetArchetype};
use fe2o3_amqp_types::performatives::{
    Attach, Begin, ChannelMax, Close, Detach, Disposition, End, Flow, Open, Performative, Transfer,
};
use fe2o3_amqp_types::sasl::{SaslCode, SaslInit, SaslOutcome};
use serde::Deserialize;
use serde_amqp::de::Deserializer;
use serde_amqp::primitives::{Binary, Symbol};
use serde_amqp::read::IoReader;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{KEY, KEY_NAME};

/// How long an answer may take before a test gives up.
const PATIENCE: Duration = Duration::from_secs(10);
pub(crate) const AMQP: [u8; 8] = *b"AMQP\x00\x01\x00\x00";
const SASL: [u8; 8] = *b"AMQP\x03\x01\x00\x00";

pub(crate) struct Peer {
    pub(crate) stream: TcpStream,
    buffer: BytesMut,
    next_delivery: u32,
}

impl Peer {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        Self { stream, buffer: BytesMut::new(), next_delivery: 0 }
    }

    /// Past the protocol header, without credentials.
    pub(crate) async fn greeted(address: SocketAddr) -> Self {
        let mut peer = Self::connect(address).await;
        peer.raw(&AMQP).await;
        assert_eq!(peer.bytes(8).await, AMQP);
        peer
    }

    /// Opened, with a session on channel 0, without credentials.
    pub(crate) async fn anonymous(address: SocketAddr) -> Self {
        let mut peer = Self::greeted(address).await;
        peer.open(None).await;
        peer.begin(0, 1_000).await;
        peer
    }

    /// Opened, with a session on channel 0, and with the key.
    pub(crate) async fn trusted(address: SocketAddr) -> Self {
        let mut peer = Self::connect(address).await;
        assert_eq!(peer.sasl("PLAIN", format!("\0{KEY_NAME}\0{KEY}").as_bytes()).await, SaslCode::Ok);
        peer.raw(&AMQP).await;
        assert_eq!(peer.bytes(8).await, AMQP);
        peer.open(None).await;
        peer.begin(0, 1_000).await;
        peer
    }

    pub(crate) async fn sasl(&mut self, mechanism: &str, response: &[u8]) -> SaslCode {
        self.raw(&SASL).await;
        assert_eq!(self.bytes(8).await, SASL);
        self.raw_frame().await.unwrap();
        let init = SaslInit {
            mechanism: Symbol::from(mechanism),
            initial_response: Some(Binary::from(response.to_vec())),
            hostname: None,
        };
        let body = serde_amqp::to_vec(&init).unwrap();
        self.raw(&frame(1, 0, &body, &[])).await;
        let (_, outcome) = self.raw_frame().await.unwrap();
        serde_amqp::from_slice::<SaslOutcome>(&outcome).unwrap().code
    }

    pub(crate) async fn raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    pub(crate) async fn bytes(&mut self, count: usize) -> Vec<u8> {
        while self.buffer.len() < count {
            assert!(self.fill().await, "the connection ended");
        }
        self.buffer.split_to(count).to_vec()
    }

    async fn fill(&mut self) -> bool {
        let read = tokio::time::timeout(PATIENCE, self.stream.read_buf(&mut self.buffer));
        read.await.expect("an answer in time").is_ok_and(|count| count > 0)
    }

    /// Channel and body of the next frame; `None` at the end of the connection.
    async fn raw_frame(&mut self) -> Option<(u16, Bytes)> {
        loop {
            if self.buffer.len() >= 4 {
                let size = u32::from_be_bytes(self.buffer[..4].try_into().unwrap()) as usize;
                if self.buffer.len() >= size {
                    let mut frame = self.buffer.split_to(size).freeze();
                    let channel = u16::from_be_bytes([frame[6], frame[7]]);
                    frame.advance(8);
                    return Some((channel, frame));
                }
            }
            if !self.fill().await {
                return None;
            }
        }
    }

    /// The next frame, heartbeats (`None`) included, or the end of the connection.
    pub(crate) async fn frame(&mut self) -> Option<(u16, Option<Performative>, Bytes)> {
        let (channel, body) = self.raw_frame().await?;
        if body.is_empty() {
            return Some((channel, None, body));
        }
        let mut rest = &body[..];
        let performative = Performative::deserialize(&mut Deserializer::new(IoReader::new(&mut rest))).unwrap();
        let payload = body.slice(body.len() - rest.len()..);
        Some((channel, Some(performative), payload))
    }

    /// The next performative that is not a flow.
    pub(crate) async fn next(&mut self) -> (Performative, Bytes) {
        loop {
            match self.frame().await.expect("a frame, not the end of the connection") {
                (_, Some(Performative::Flow(_)) | None, _) => {}
                (_, Some(performative), payload) => return (performative, payload),
            }
        }
    }

    pub(crate) async fn send(&mut self, channel: u16, performative: Performative) {
        let body = serde_amqp::to_vec(&performative).unwrap();
        self.raw(&frame(0, channel, &body, &[])).await;
    }

    pub(crate) async fn open(&mut self, idle_time_out: Option<u32>) {
        self.send(0, Performative::Open(open(idle_time_out))).await;
        assert!(matches!(self.next().await.0, Performative::Open(_)));
    }

    pub(crate) async fn begin(&mut self, channel: u16, incoming_window: u32) {
        self.send(channel, Performative::Begin(begin(incoming_window))).await;
        assert!(matches!(self.next().await.0, Performative::Begin(_)));
    }

    /// Attaches and returns `None`, or the error with which the link was refused.
    pub(crate) async fn attach(&mut self, attach: Attach) -> Option<Error> {
        self.send(0, Performative::Attach(attach)).await;
        let (Performative::Attach(reply), _) = self.next().await else { panic!("an attach must be answered by one") };
        let refused = match reply.role {
            Role::Receiver => reply.target.is_none(),
            Role::Sender => reply.source.is_none(),
        };
        if !refused {
            return None;
        }
        let (Performative::Detach(detach), _) = self.next().await else { panic!("a refused link must be detached") };
        detach.error
    }

    pub(crate) async fn sender(&mut self, handle: u32, queue: &str) {
        assert_eq!(self.attach(sender(handle, queue)).await, None);
    }

    pub(crate) async fn receiver(&mut self, handle: u32, queue: &str, credit: u32) {
        assert_eq!(self.attach(receiver(handle, queue)).await, None);
        self.credit(handle, credit).await;
    }

    pub(crate) async fn credit(&mut self, handle: u32, credit: u32) {
        self.send(0, Performative::Flow(flow(Some(handle), credit))).await;
    }

    /// Sends one delivery, cut into `pieces`, and returns its id.
    pub(crate) async fn transfer(&mut self, handle: u32, message: &[u8], pieces: usize) -> u32 {
        let id = self.next_delivery;
        self.next_delivery += 1;
        let size = message.len().div_ceil(pieces).max(1);
        let chunks: Vec<&[u8]> = message.chunks(size).collect();
        for (index, chunk) in chunks.iter().enumerate() {
            let transfer = Transfer { more: index + 1 < chunks.len(), ..transfer(handle, id) };
            let body = serde_amqp::to_vec(&Performative::Transfer(transfer)).unwrap();
            self.raw(&frame(0, 0, &body, chunk)).await;
        }
        id
    }

    /// Sends a message and returns what became of it.
    pub(crate) async fn put(&mut self, handle: u32, message: &[u8]) -> DeliveryState {
        let pieces = message.len().div_ceil(60_000).max(1);
        let id = self.transfer(handle, message, pieces).await;
        let (Performative::Disposition(disposition), _) = self.next().await else {
            panic!("a transfer wants an outcome")
        };
        assert_eq!((disposition.first, disposition.settled), (id, true));
        disposition.state.unwrap()
    }

    /// The next delivery: its id and its bytes.
    pub(crate) async fn delivery(&mut self) -> (u32, Vec<u8>) {
        let (mut id, mut bytes) = (None, Vec::new());
        loop {
            let (Performative::Transfer(transfer), payload) = self.next().await else { panic!("expected a transfer") };
            id = id.or(transfer.delivery_id);
            bytes.extend_from_slice(&payload);
            if !transfer.more {
                return (id.unwrap(), bytes);
            }
        }
    }

    /// Settles a delivery and returns the answer.
    pub(crate) async fn settle(&mut self, id: u32, state: DeliveryState) -> DeliveryState {
        self.send(0, Performative::Disposition(disposition(id, state))).await;
        let (Performative::Disposition(answer), _) = self.next().await else { panic!("a settlement wants an answer") };
        assert_eq!((answer.first, answer.settled), (id, true));
        answer.state.unwrap()
    }

    pub(crate) async fn complete(&mut self, id: u32) {
        assert_eq!(self.settle(id, DeliveryState::Accepted(Accepted {})).await, DeliveryState::Accepted(Accepted {}));
    }

    /// The error of the close that ends the connection.
    pub(crate) async fn closed(&mut self) -> Error {
        loop {
            if let (Performative::Close(Close { error }), _) = self.next().await {
                return error.expect("the close has an error");
            }
        }
    }

    /// The error of the end of a session, which is then answered.
    pub(crate) async fn ended(&mut self, channel: u16) -> Error {
        let (Performative::End(End { error }), _) = self.next().await else { panic!("expected an end") };
        self.send(channel, Performative::End(End { error: None })).await;
        error.expect("the end has an error")
    }

    /// The error of the detach of a link.
    pub(crate) async fn detached(&mut self) -> Error {
        let (Performative::Detach(Detach { error, .. }), _) = self.next().await else { panic!("expected a detach") };
        error.expect("the detach has an error")
    }

    /// Reads to the end of the connection; false if it does not come.
    pub(crate) async fn is_cut(&mut self) -> bool {
        while self.fill().await {
            self.buffer.clear();
        }
        true
    }
}

pub(crate) fn frame(kind: u8, channel: u16, body: &[u8], payload: &[u8]) -> Vec<u8> {
    let size = u32::try_from(8 + body.len() + payload.len()).unwrap();
    let [high, low] = channel.to_be_bytes();
    [&size.to_be_bytes()[..], &[2, kind, high, low], body, payload].concat()
}

pub(crate) fn encoded(channel: u16, performative: &Performative, payload: &[u8]) -> Vec<u8> {
    frame(0, channel, &serde_amqp::to_vec(performative).unwrap(), payload)
}

pub(crate) fn open(idle_time_out: Option<u32>) -> Open {
    Open {
        container_id: "test".into(),
        hostname: None,
        max_frame_size: 65_536.into(),
        channel_max: ChannelMax(10),
        idle_time_out,
        outgoing_locales: None,
        incoming_locales: None,
        offered_capabilities: None,
        desired_capabilities: None,
        properties: None,
    }
}

pub(crate) fn begin(incoming_window: u32) -> Begin {
    Begin {
        remote_channel: None,
        next_outgoing_id: 0,
        incoming_window,
        outgoing_window: 1_000,
        handle_max: Handle(255),
        offered_capabilities: None,
        desired_capabilities: None,
        properties: None,
    }
}

pub(crate) fn sender(handle: u32, queue: &str) -> Attach {
    Attach {
        name: format!("link-{handle}"),
        handle: Handle(handle),
        role: Role::Sender,
        snd_settle_mode: SenderSettleMode::Mixed,
        rcv_settle_mode: ReceiverSettleMode::First,
        source: Some(Box::new(Source { address: Some("test".into()), ..Source::default() })),
        target: Some(Box::new(TargetArchetype::Target(Target { address: Some(queue.into()), ..Target::default() }))),
        unsettled: None,
        incomplete_unsettled: false,
        initial_delivery_count: Some(0),
        max_message_size: None,
        offered_capabilities: None,
        desired_capabilities: None,
        properties: None,
    }
}

pub(crate) fn receiver(handle: u32, queue: &str) -> Attach {
    Attach {
        role: Role::Receiver,
        rcv_settle_mode: ReceiverSettleMode::Second,
        source: Some(Box::new(Source { address: Some(queue.into()), ..Source::default() })),
        target: Some(Box::new(TargetArchetype::Target(Target { address: Some("test".into()), ..Target::default() }))),
        initial_delivery_count: None,
        ..sender(handle, queue)
    }
}

pub(crate) fn flow(handle: Option<u32>, credit: u32) -> Flow {
    Flow {
        next_incoming_id: Some(0),
        incoming_window: 100_000,
        next_outgoing_id: 0,
        outgoing_window: 1_000,
        handle: handle.map(Handle),
        delivery_count: handle.map(|_| 0),
        link_credit: handle.map(|_| credit),
        available: None,
        drain: false,
        echo: false,
        properties: None,
    }
}

pub(crate) fn transfer(handle: u32, id: u32) -> Transfer {
    Transfer {
        handle: Handle(handle),
        delivery_id: Some(id),
        delivery_tag: Some(Binary::from(id.to_be_bytes().to_vec())),
        message_format: Some(0),
        settled: Some(false),
        more: false,
        rcv_settle_mode: None,
        state: None,
        resume: false,
        aborted: false,
        batchable: false,
    }
}

pub(crate) fn disposition(id: u32, state: DeliveryState) -> Disposition {
    Disposition { role: Role::Receiver, first: id, last: None, settled: false, state: Some(state), batchable: false }
}

/// An encoded message with this body as its only section.
pub(crate) fn message(body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap();
    [&[0x00, 0x53, 0x75, 0xb0][..], &length.to_be_bytes(), body].concat()
}

/// The condition of an error as it is on the wire.
pub(crate) fn condition(error: &Error) -> String {
    match serde_amqp::to_value(&error.condition).unwrap() {
        serde_amqp::Value::Symbol(symbol) => symbol.as_str().to_owned(),
        other => panic!("{other:?}"),
    }
}

pub(crate) fn rejection(state: DeliveryState) -> String {
    match state {
        DeliveryState::Rejected(rejected) => condition(&rejected.error.expect("a rejection has an error")),
        other => panic!("expected a rejection: {other:?}"),
    }
}
