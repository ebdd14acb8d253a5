//! One session: its windows, its links with their credit, and what is on its way to the peer. Decides nothing about messages.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use fe2o3_amqp_types::definitions::Error;
use fe2o3_amqp_types::definitions::{Handle, Role};
use fe2o3_amqp_types::messaging::DeliveryState;
use fe2o3_amqp_types::performatives::{Begin, Detach, Disposition, Flow, Performative, Transfer};
use serde_amqp::primitives::Binary;
use uuid::Uuid;

use super::broker::Place;
use super::wire;

/// Transfer frames that the peer may send before it hears from us.
/// Source: AMQP 1.0 in Azure Service Bus protocol guide, read 2026-11: the service's own window is 5,000.
pub(super) const WINDOW: u32 = 5_000;
/// Messages that the peer may send on a link before it hears from us. Source: as above: 1,000.
pub(super) const CREDIT: u32 = 1_000;

#[derive(Default)]
pub(super) struct Session {
    next_incoming_id: u32,
    /// Transfer frames received since the peer last heard of our window.
    unreported: u32,
    next_outgoing_id: u32,
    remote_window: u32,
    next_delivery_id: u32,
    /// By handle; both directions use the handle that the peer chose.
    pub(super) links: BTreeMap<u32, Link>,
    /// Deliveries that the peer has yet to settle.
    pub(super) unsettled: BTreeMap<u32, Unsettled>,
    outbox: VecDeque<(Transfer, Bytes)>,
}

pub(super) enum Link {
    Inbound(Inbound),
    Outbound(Outbound),
    /// We ended it; what the peer sent before it heard of that is passed over.
    Detached,
}

/// What a link leads to.
#[derive(Clone)]
pub(super) enum Node {
    /// Where tokens are put.
    Cbs,
    /// The request-response node of a queue or its dead-letter queue.
    Management(Place),
    Queue(Place),
}

/// A link on which the peer sends.
pub(super) struct Inbound {
    pub(super) node: Node,
    /// In lower case, as tokens name it.
    pub(super) path: String,
    /// The address as the peer wrote it, for its answers.
    pub(super) address: String,
    pub(super) message_bytes_max: usize,
    pub(super) delivery_count: u32,
    pub(super) credit: u32,
    pub(super) partial: Option<Partial>,
    pub(super) _counted: Arc<()>,
}

/// A delivery of which more frames are to come.
pub(super) struct Partial {
    pub(super) first: Transfer,
    pub(super) bytes: BytesMut,
    /// Nothing more is kept of it then; it will be refused at its end.
    pub(super) too_large: bool,
}

/// A link on which the peer receives.
pub(super) struct Outbound {
    pub(super) node: Node,
    pub(super) path: String,
    /// What the peer calls its own end; requests name it as the place for answers.
    pub(super) reply_address: Option<String>,
    /// Messages are sent settled, and are gone from the queue then.
    pub(super) presettled: bool,
    pub(super) delivery_count: u32,
    pub(super) credit: u32,
    /// Messages that an injected latency holds back; each will use a credit.
    pub(super) held: u32,
    pub(super) drain: bool,
    pub(super) replies: VecDeque<Bytes>,
    pub(super) _counted: Arc<()>,
}

pub(super) struct Unsettled {
    pub(super) handle: u32,
    pub(super) place: Place,
    pub(super) token: Uuid,
}

impl Link {
    /// The path that a token must cover, if the link needs one.
    pub(super) fn guarded_path(&self) -> Option<&str> {
        match self {
            Self::Inbound(Inbound { node: Node::Management(_) | Node::Queue(_), path, .. })
            | Self::Outbound(Outbound { node: Node::Management(_) | Node::Queue(_), path, .. }) => Some(path),
            _ => None,
        }
    }
}

impl Session {
    pub(super) fn new(begin: &Begin) -> Self {
        Self { next_incoming_id: begin.next_outgoing_id, remote_window: begin.incoming_window, ..Self::default() }
    }

    /// Counts a transfer frame; false if the peer sent more than it may.
    pub(super) fn count_incoming(&mut self) -> bool {
        self.next_incoming_id = self.next_incoming_id.wrapping_add(1);
        self.unreported += 1;
        self.unreported <= WINDOW
    }

    /// Whether the peer is to hear of our window before it runs out of it.
    pub(super) fn window_runs_low(&self) -> bool {
        self.unreported > WINDOW / 2
    }

    pub(super) fn set_remote_window(&mut self, flow: &Flow) {
        let seen = flow.next_incoming_id.unwrap_or(0);
        let left = seen.wrapping_add(flow.incoming_window).wrapping_sub(self.next_outgoing_id);
        // Negative when the peer took back a window that was already used.
        let negative = left.cast_signed() < 0 && flow.incoming_window.cast_signed() >= 0;
        self.remote_window = if negative { 0 } else { left };
    }

    /// Whether a whole delivery can be put on its way now.
    pub(super) fn is_clear(&self) -> bool {
        self.outbox.is_empty() && self.remote_window > 0
    }

    /// Puts a delivery on its way over the link at `handle`, which must have credit; returns its id.
    pub(super) fn deliver(
        &mut self,
        handle: u32,
        tag: Option<Uuid>,
        settled: bool,
        bytes: (Bytes, Bytes),
        max_frame: usize,
    ) -> Option<u32> {
        let Some(Link::Outbound(link)) = self.links.get_mut(&handle) else { return None };
        link.credit = link.credit.saturating_sub(1);
        link.delivery_count = link.delivery_count.wrapping_add(1);
        let id = self.next_delivery_id;
        self.next_delivery_id = id.wrapping_add(1);
        // The clients read the lock token from the tag, in the byte order of a .NET Guid.
        let tag = tag.map_or_else(|| id.to_be_bytes().to_vec(), |token| token.to_bytes_le().to_vec());
        let transfer = Transfer {
            handle: Handle(handle),
            delivery_id: Some(id),
            delivery_tag: Some(Binary::from(tag)),
            message_format: Some(0),
            settled: Some(settled),
            more: false,
            rcv_settle_mode: None,
            state: None,
            resume: false,
            aborted: false,
            batchable: true,
        };
        self.outbox.extend(wire::split_delivery(transfer, bytes, max_frame));
        Some(id)
    }

    /// Writes what the peer's window allows.
    pub(super) fn empty_outbox(&mut self, channel: u16, out: &mut BytesMut) -> io::Result<()> {
        while self.remote_window > 0 {
            let Some((transfer, payload)) = self.outbox.pop_front() else { break };
            wire::put_frame(out, channel, &Performative::Transfer(transfer), &payload)?;
            self.next_outgoing_id = self.next_outgoing_id.wrapping_add(1);
            self.remote_window -= 1;
        }
        Ok(())
    }

    /// A draining receiver waits until its credit is used up, so what the queue could not fill is given away.
    pub(super) fn finish_drain(&mut self, channel: u16, handle: u32, out: &mut BytesMut) -> io::Result<()> {
        let Some(Link::Outbound(link)) = self.links.get_mut(&handle) else { return Ok(()) };
        if !link.drain || !self.outbox.is_empty() {
            return Ok(());
        }
        link.delivery_count = link.delivery_count.wrapping_add(link.credit);
        (link.credit, link.drain) = (0, false);
        let state = (handle, link.delivery_count, 0, true);
        self.report(channel, Some(state), out)
    }

    /// Lets the peer send the full number of messages again.
    pub(super) fn grant_credit(&mut self, channel: u16, handle: u32, out: &mut BytesMut) -> io::Result<()> {
        let Some(Link::Inbound(link)) = self.links.get_mut(&handle) else { return Ok(()) };
        link.credit = CREDIT;
        let state = (handle, link.delivery_count, CREDIT, false);
        self.report(channel, Some(state), out)
    }

    /// Tells the peer how things stand, because it asked.
    pub(super) fn answer_echo(&mut self, channel: u16, handle: Option<u32>, out: &mut BytesMut) -> io::Result<()> {
        let state = handle.and_then(|handle| match self.links.get(&handle)? {
            Link::Inbound(link) => Some((handle, link.delivery_count, link.credit, false)),
            Link::Outbound(link) => Some((handle, link.delivery_count, link.credit, link.drain)),
            Link::Detached => None,
        });
        self.report(channel, state, out)
    }

    /// Tells the peer our window, and with `link` also (handle, delivery count, credit, drain) of one link.
    pub(super) fn report(
        &mut self,
        channel: u16,
        link: Option<(u32, u32, u32, bool)>,
        out: &mut BytesMut,
    ) -> io::Result<()> {
        self.unreported = 0;
        let flow = Flow {
            next_incoming_id: Some(self.next_incoming_id),
            incoming_window: WINDOW,
            next_outgoing_id: self.next_outgoing_id,
            outgoing_window: WINDOW,
            handle: link.map(|(handle, ..)| Handle(handle)),
            delivery_count: link.map(|(_, count, ..)| count),
            link_credit: link.map(|(_, _, credit, _)| credit),
            available: None,
            drain: link.is_some_and(|(.., drain)| drain),
            echo: false,
            properties: None,
        };
        wire::put_frame(out, channel, &Performative::Flow(flow), &[])
    }

    /// Ends a link from our side.
    pub(super) fn detach(&mut self, channel: u16, handle: u32, error: Error, out: &mut BytesMut) -> io::Result<()> {
        self.forget_link(handle);
        self.links.insert(handle, Link::Detached);
        let detach = Detach { handle: Handle(handle), closed: true, error: Some(error) };
        wire::put_frame(out, channel, &Performative::Detach(detach), &[])
    }

    /// Locks outlive their link, as in the service: they end by settlement over `$management` or by expiry.
    pub(super) fn forget_link(&mut self, handle: u32) -> Option<Link> {
        self.unsettled.retain(|_, delivery| delivery.handle != handle);
        self.outbox.retain(|(transfer, _)| transfer.handle.0 != handle);
        self.links.remove(&handle)
    }
}

pub(super) fn put_settled(
    out: &mut BytesMut,
    channel: u16,
    role: Role,
    id: u32,
    state: DeliveryState,
) -> io::Result<()> {
    let disposition =
        Disposition { role, first: id, last: Some(id), settled: true, state: Some(state), batchable: false };
    wire::put_frame(out, channel, &Performative::Disposition(disposition), &[])
}
