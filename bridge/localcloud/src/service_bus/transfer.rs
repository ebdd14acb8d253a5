//! Messages coming in: frames put together, sizes held, sends and requests carried out, and what an injected latency holds back.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use fe2o3_amqp_types::definitions::{AmqpError, Error, LinkError, Role, SessionError};
use fe2o3_amqp_types::messaging::{Accepted, DeliveryState, Rejected};
use fe2o3_amqp_types::performatives::Transfer;
use tokio::time::Instant;

use super::broker::{Broker, Place};
use super::connection::Connection;
use super::encoding::{self, Item};
use super::message::{DATA, MessageError, Parsed};
use super::problem::{self, Trouble, custom, problem};
use super::queue::Delivery;
use super::requests::Request;
use super::session::{CREDIT, Inbound, Link, Node, Partial, put_settled};
use super::settle::Settlement;
use crate::fault::Verdict;

/// Message format of a batch: every data section of the body is an encoded message.
/// Source: AMQP 1.0 in Azure Service Bus protocol guide, "message batching", read 2026-11.
const BATCH_FORMAT: u32 = 0x8001_3700;
/// How far a batch may be over the limit of a message. Clients fill a batch up to the limit by counting what they put in,
/// and count its own sections short: azure-servicebus 7.15 for Python sends up to 30 bytes more.
const BATCH_ENVELOPE_BYTES: usize = 1024;
/// Of one connection, in deliveries that are not yet complete: two of the largest messages there are, and some.
const PARTIAL_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Answers held back by latency, above which a sender gets no new credit.
const LATE_MAX: usize = 1_000;

/// What an injected latency holds back.
pub(super) enum Late {
    Send { incoming: Incoming, verdict: Verdict },
    Settle { settlement: Box<Settlement>, verdict: Verdict },
    Deliver { channel: u16, handle: u32, place: Place, delivery: Delivery, presettled: bool },
    Request { request: Box<Request>, verdict: Verdict },
}

/// One complete delivery from the peer.
pub(super) struct Incoming {
    channel: u16,
    handle: u32,
    place: Place,
    /// `None` if the peer wants no outcome.
    id: Option<u32>,
    format: u32,
    bytes: Bytes,
    too_large: Option<usize>,
}

impl Connection {
    pub(super) fn on_transfer(&mut self, channel: u16, transfer: Transfer, payload: Bytes) -> Result<(), Trouble> {
        let partial_bytes = self.partial_bytes;
        let Some(session) = self.session(channel)? else { return Ok(()) };
        if !session.count_incoming() {
            return Err(Trouble::end(channel, SessionError::WindowViolation, "more transfers than the window allows"));
        }
        let handle = transfer.handle.0;
        let runs_low = session.window_runs_low();
        let link = match session.links.get_mut(&handle) {
            Some(Link::Inbound(link)) => link,
            Some(Link::Detached) => return Ok(()),
            Some(Link::Outbound(_)) => {
                return Err(Trouble::end(channel, AmqpError::NotAllowed, "a transfer on a link whose peer receives"));
            }
            None => {
                let text = format!("there is no link with the handle {handle}");
                return Err(Trouble::end(channel, SessionError::UnattachedHandle, text));
            }
        };
        if link.partial.is_none() && link.credit == 0 {
            let error = problem(LinkError::TransferLimitExceeded, "a message was sent without credit");
            return self.detach(channel, handle, error);
        }
        let (more, aborted) = (transfer.more, transfer.aborted);
        let before = link.partial.as_ref().map_or(0, |partial| partial.bytes.len());
        let whole = link.collect(transfer, payload);
        let after = link.partial.as_ref().map_or(0, |partial| partial.bytes.len());
        self.partial_bytes = partial_bytes - before + after;
        if self.partial_bytes > PARTIAL_BYTES_MAX {
            return Err(Trouble::close(AmqpError::ResourceLimitExceeded, "too many unfinished deliveries"));
        }
        if let Some((first, bytes, too_large)) = whole
            && !aborted
        {
            if first.settled != Some(true) && first.delivery_id.is_none() {
                return Err(Trouble::end(channel, AmqpError::InvalidField, "a delivery without an id"));
            }
            self.receive(channel, handle, &first, bytes, too_large)?;
        }
        let backlog = self.late.len();
        let Self { sessions, out, .. } = self;
        if let Some(Some(session)) = sessions.get_mut(&channel) {
            match session.links.get(&handle) {
                Some(Link::Inbound(link)) if !more && link.credit < CREDIT / 2 && backlog < LATE_MAX => {
                    session.grant_credit(channel, handle, out)?;
                }
                _ if runs_low => session.report(channel, None, out)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Takes a complete delivery to where its link leads.
    fn receive(
        &mut self,
        channel: u16,
        handle: u32,
        first: &Transfer,
        bytes: Bytes,
        too_large: Option<usize>,
    ) -> Result<(), Trouble> {
        let Some(Some(session)) = self.sessions.get(&channel) else { return Ok(()) };
        let Some(Link::Inbound(link)) = session.links.get(&handle) else { return Ok(()) };
        let id = if first.settled == Some(true) { None } else { first.delivery_id };
        match link.node.clone() {
            Node::Queue(place) => {
                let format = first.message_format.unwrap_or(0);
                let incoming = Incoming { channel, handle, place, id, format, bytes, too_large };
                let verdict = self.broker.faults.judge("send");
                if verdict.delay.is_zero() {
                    return self.carry_out(&incoming, verdict);
                }
                self.hold_back(verdict.delay, Late::Send { incoming, verdict });
                Ok(())
            }
            node => {
                let (address, limit) = (link.address.clone(), link.message_bytes_max);
                let state = match too_large {
                    Some(size) => rejected(size_exceeded(size, limit)),
                    None => DeliveryState::Accepted(Accepted {}),
                };
                if let Some(id) = id {
                    put_settled(&mut self.out, channel, Role::Receiver, id, state)?;
                }
                if too_large.is_none() { self.on_request(node, &address, &bytes) } else { Ok(()) }
            }
        }
    }

    fn carry_out(&mut self, incoming: &Incoming, verdict: Verdict) -> Result<(), Trouble> {
        self.drip = self.drip.max(verdict.drip);
        let refused = match verdict.before {
            Some(failure) => Err(self.fail("send", failure)?),
            None => publish(&self.broker, incoming),
        };
        let outcome = match verdict.after {
            Some(failure) => Err(self.fail("send", failure)?),
            None => refused,
        };
        let status = outcome.as_ref().map_or_else(problem::name, |()| "ok".to_owned());
        self.broker.faults.record("send", &status);
        let Some(id) = incoming.id else { return Ok(()) };
        // A session that has ended meanwhile hears nothing.
        if matches!(self.sessions.get(&incoming.channel), Some(Some(_))) {
            let state = outcome.map_or_else(rejected, |()| DeliveryState::Accepted(Accepted {}));
            put_settled(&mut self.out, incoming.channel, Role::Receiver, id, state)?;
        }
        Ok(())
    }

    /// Latency keeps the order of what it holds back, as a long line would.
    pub(super) fn hold_back(&mut self, delay: Duration, late: Late) {
        let due = Instant::now() + delay;
        let due = self.late.back().map_or(due, |(last, _)| due.max(*last));
        self.late.push_back((due, late));
    }

    /// Does what was held back and is due.
    pub(super) fn do_late(&mut self) -> Result<(), Trouble> {
        let now = Instant::now();
        while let Some((_, late)) = self.late.pop_front_if(|(at, _)| *at <= now) {
            match late {
                Late::Send { incoming, verdict } => {
                    self.carry_out(&incoming, verdict)?;
                    self.refill_credit(incoming.channel, incoming.handle)?;
                }
                Late::Settle { settlement, verdict } => self.settle(*settlement, verdict)?,
                Late::Deliver { channel, handle, place, delivery, presettled } => {
                    self.deliver_late(channel, handle, &place, delivery, presettled)?;
                }
                Late::Request { request, verdict } => self.answer(&request, verdict)?,
            }
        }
        Ok(())
    }

    fn refill_credit(&mut self, channel: u16, handle: u32) -> Result<(), Trouble> {
        let backlog = self.late.len();
        let Self { sessions, out, .. } = self;
        if let Some(Some(session)) = sessions.get_mut(&channel)
            && let Some(Link::Inbound(link)) = session.links.get(&handle)
            && link.credit < CREDIT / 2
            && backlog < LATE_MAX
        {
            session.grant_credit(channel, handle, out)?;
        }
        Ok(())
    }
}

type Whole = (Transfer, Bytes, Option<usize>);

impl Inbound {
    /// Adds a frame; returns the delivery (its size, if that is too large, instead of its bytes) once it is complete.
    fn collect(&mut self, transfer: Transfer, payload: Bytes) -> Option<Whole> {
        let (more, aborted) = (transfer.more, transfer.aborted);
        let format = self.partial.as_ref().map_or(transfer.message_format, |partial| partial.first.message_format);
        let batch = format == Some(BATCH_FORMAT);
        let limit = self.message_bytes_max + if batch { BATCH_ENVELOPE_BYTES } else { 0 };
        let whole = match self.partial.take() {
            // Most deliveries are one frame, and need no copy here.
            None if !more || aborted => {
                let too_large = (payload.len() > limit).then_some(payload.len());
                (transfer, payload, too_large)
            }
            partial => {
                let mut partial =
                    partial.unwrap_or_else(|| Partial { first: transfer, bytes: BytesMut::new(), too_large: false });
                let size = partial.bytes.len() + payload.len();
                if size > limit || partial.too_large {
                    partial.too_large = true;
                    partial.bytes = BytesMut::new();
                } else {
                    partial.bytes.extend_from_slice(&payload);
                }
                if more && !aborted {
                    self.partial = Some(partial);
                    return None;
                }
                let too_large = partial.too_large.then_some(size.max(limit + 1));
                (partial.first, partial.bytes.freeze(), too_large)
            }
        };
        self.delivery_count = self.delivery_count.wrapping_add(1);
        self.credit = self.credit.saturating_sub(1);
        Some(whole)
    }
}

/// Takes a message, or all messages of a batch, into the queue.
fn publish(broker: &Broker, incoming: &Incoming) -> Result<(), Error> {
    let limit = broker.message_bytes_max(&incoming.place.cell);
    if let Some(size) = incoming.too_large {
        return Err(size_exceeded(size, limit));
    }
    let bytes = &incoming.bytes;
    let batch = if incoming.format == BATCH_FORMAT {
        batch_parts(bytes).and_then(|parts| parts.into_iter().map(Parsed::new).collect())
    } else {
        Parsed::new(bytes).map(|message| vec![message])
    };
    publish_parsed(broker, &incoming.place, &batch.map_err(message_problem)?).map(drop)
}

/// Takes in all messages or none; the answer has the sequence number of each, and 0 for a duplicate.
pub(super) fn publish_parsed(broker: &Broker, place: &Place, batch: &[Parsed<'_>]) -> Result<Vec<i64>, Error> {
    if place.cell.is_removed() {
        return Err(problem(AmqpError::NotFound, "The messaging entity has been deleted."));
    }
    let sequences = broker.with(&place.cell, |queue, now| queue.publish(now, batch));
    match sequences {
        Ok(sequences) => Ok(sequences.into_iter().map(|sequence| sequence.unwrap_or(0)).collect()),
        Err(full) => Err(problem(AmqpError::ResourceLimitExceeded, full.to_string())),
    }
}

fn batch_parts(bytes: &[u8]) -> Result<Vec<&[u8]>, MessageError> {
    let mut rest = bytes;
    let mut parts = Vec::new();
    while !rest.is_empty() {
        let (descriptor, value) = encoding::described(encoding::split(&mut rest)?)?;
        if matches!(descriptor, Item::Unsigned(code) if code == u64::from(DATA)) {
            let Item::Binary(part) = encoding::read(value)? else {
                return Err(encoding::EncodingError::Unexpected("binary data").into());
            };
            parts.push(part);
        }
    }
    if parts.is_empty() {
        return Err(encoding::EncodingError::Unexpected("the messages of a batch").into());
    }
    Ok(parts)
}

#[allow(clippy::needless_pass_by_value, reason = "made for `map_err`")]
pub(super) fn message_problem(error: MessageError) -> Error {
    match error {
        MessageError::Malformed(_) | MessageError::SectionOrder => problem(AmqpError::DecodeError, error.to_string()),
        MessageError::IdTooLong { .. }
        | MessageError::PropertyTooLarge { .. }
        | MessageError::PropertiesTooLarge { .. } => problem(custom(problem::ARGUMENT_ERROR), error.to_string()),
    }
}

pub(super) fn size_exceeded(size: usize, limit: usize) -> Error {
    let text =
        format!("The received message ({size} bytes) exceeds the limit ({limit} bytes) currently allowed on the link.");
    problem(LinkError::MessageSizeExceeded, text)
}

fn rejected(error: Error) -> DeliveryState {
    DeliveryState::Rejected(Rejected { error: Some(error) })
}
