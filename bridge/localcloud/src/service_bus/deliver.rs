//! Messages going out: as many as credit, windows and buffers allow, one from each link in turn.

use std::collections::BTreeMap;

use fe2o3_amqp_types::definitions::AmqpError;

use super::broker::Place;
use super::connection::{Connection, WRITE_LIMIT};
use super::message::Changes;
use super::problem::{self, Trouble, problem};
use super::queue::{Delivery, Mode, Verdict};
use super::session::{Link, Node, Outbound, Session, Unsettled};
use super::transfer::Late;
use crate::fault::Failure;

impl Connection {
    /// Takes messages until nothing more can be taken, or enough waits to be written.
    pub(super) fn pump(&mut self) -> Result<(), Trouble> {
        let links: Vec<(u16, u32)> = self
            .sessions
            .iter()
            .filter_map(|(channel, session)| Some((*channel, session.as_ref()?)))
            .flat_map(|(channel, session)| {
                let outbound = session.links.iter().filter(|(_, link)| matches!(link, Link::Outbound(_)));
                outbound.map(move |(handle, _)| (channel, *handle))
            })
            .collect();
        let mut progress = true;
        while progress {
            progress = false;
            for (channel, handle) in &links {
                if self.out.len() >= WRITE_LIMIT {
                    return Ok(());
                }
                progress |= self.pump_link(*channel, *handle)?;
            }
        }
        let held_back = self.late.iter().any(|(_, late)| matches!(late, Late::Deliver { .. }));
        let Self { sessions, out, .. } = self;
        for (channel, handle) in links.into_iter().filter(|_| !held_back) {
            if let Some(Some(session)) = sessions.get_mut(&channel) {
                session.finish_drain(channel, handle, out)?;
            }
        }
        Ok(())
    }

    /// True if a message was put on its way.
    fn pump_link(&mut self, channel: u16, handle: u32) -> Result<bool, Trouble> {
        let Self { sessions, out, broker, wake, max_frame, .. } = self;
        let Some(Some(session)) = sessions.get_mut(&channel) else { return Ok(false) };
        session.empty_outbox(channel, out)?;
        if !session.is_clear() {
            return Ok(false);
        }
        let Some(Link::Outbound(link)) = session.links.get_mut(&handle) else { return Ok(false) };
        if link.credit <= link.held {
            return Ok(false);
        }
        if let Some(reply) = link.replies.pop_front() {
            session.deliver(handle, None, true, (reply, bytes::Bytes::new()), *max_frame);
            session.empty_outbox(channel, out)?;
            return Ok(true);
        }
        let Node::Queue(place) = link.node.clone() else { return Ok(false) };
        let presettled = link.presettled;
        let mode = if presettled { Mode::ReceiveAndDelete } else { Mode::PeekLock };
        // What is deleted as it is taken must be judged before.
        let early = (presettled && place.has_ready()).then(|| broker.faults.judge("receive"));
        if let Some(failure) = early.and_then(|verdict| verdict.before) {
            self.fail_link(channel, handle, failure)?;
            return Ok(false);
        }
        let Some(delivery) = broker.take(&place, mode, wake) else {
            if place.cell.is_removed() {
                let error = problem(AmqpError::ResourceDeleted, "The messaging entity has been deleted.");
                self.detach(channel, handle, error)?;
            } else if !self.waiting.iter().any(|known| known.is(&place)) {
                self.waiting.push(place);
            }
            return Ok(false);
        };
        let verdict = early.unwrap_or_else(|| broker.faults.judge("receive"));
        self.drip = self.drip.max(verdict.drip);
        if let Some(failure) = verdict.before.or(verdict.after) {
            // Without effect the message is given back as it was; with effect its lock stays until it runs out.
            if verdict.before.is_some() {
                let back = Verdict::Return { failed: false, changes: Changes::new() };
                let _ = broker.with(&place.cell, |queue, now| queue.settle(now, place.part, delivery.token, back));
            }
            self.fail_link(channel, handle, failure)?;
            return Ok(false);
        }
        if verdict.delay.is_zero() {
            self.deliver(channel, handle, &place, delivery, presettled)?;
        } else {
            if let Some(link) = link_at(&mut self.sessions, channel, handle) {
                link.held += 1;
            }
            self.hold_back(verdict.delay, Late::Deliver { channel, handle, place, delivery, presettled });
        }
        Ok(true)
    }

    fn fail_link(&mut self, channel: u16, handle: u32, failure: Failure) -> Result<(), Trouble> {
        let error = self.fail("receive", failure)?;
        self.broker.faults.record("receive", &problem::name(&error));
        self.detach(channel, handle, error)
    }

    /// Puts a message on its way that latency held back.
    pub(super) fn deliver_late(
        &mut self,
        channel: u16,
        handle: u32,
        place: &Place,
        delivery: Delivery,
        presettled: bool,
    ) -> Result<(), Trouble> {
        if let Some(link) = link_at(&mut self.sessions, channel, handle) {
            link.held = link.held.saturating_sub(1);
        }
        self.deliver(channel, handle, place, delivery, presettled)
    }

    /// Puts a message on its way; one whose link has gone meanwhile stays locked until its lock runs out.
    fn deliver(
        &mut self,
        channel: u16,
        handle: u32,
        place: &Place,
        delivery: Delivery,
        presettled: bool,
    ) -> Result<(), Trouble> {
        let Self { sessions, out, max_frame, broker, .. } = self;
        let Some(Some(session)) = sessions.get_mut(&channel) else { return Ok(()) };
        let token = delivery.token;
        let tag = (!presettled).then_some(token);
        if let Some(id) = session.deliver(handle, tag, presettled, delivery.bytes, *max_frame) {
            if !presettled {
                session.unsettled.insert(id, Unsettled { handle, place: place.clone(), token });
            }
            session.empty_outbox(channel, out)?;
            broker.faults.record("receive", "ok");
        }
        Ok(())
    }
}

fn link_at(sessions: &mut BTreeMap<u16, Option<Session>>, channel: u16, handle: u32) -> Option<&mut Outbound> {
    match sessions.get_mut(&channel)?.as_mut()?.links.get_mut(&handle)? {
        Link::Outbound(link) => Some(link),
        Link::Inbound(_) | Link::Detached => None,
    }
}
