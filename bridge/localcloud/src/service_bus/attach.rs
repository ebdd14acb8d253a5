//! Links coming and going: who may attach where, and what a refusal looks like.

use std::collections::VecDeque;
use std::time::{Duration, SystemTime};

use fe2o3_amqp_types::definitions::{AmqpError, Error, Fields, Role, SenderSettleMode, SessionError};
use fe2o3_amqp_types::messaging::TargetArchetype;
use fe2o3_amqp_types::performatives::{Attach, Detach, Performative};
use serde_amqp::Value;
use serde_amqp::primitives::Symbol;
use tokio::time::Instant;

use super::auth;
use super::connection::Connection;
use super::problem::{self, Trouble, problem};
use super::queue::Part;
use super::session::{Inbound, Link, Node, Outbound};
use super::settings::Tier;
use crate::fault::Failure;

const CBS: &str = "$cbs";
const MANAGEMENT_SUFFIX: &str = "/$management";
const SESSION_FILTER: &str = "com.microsoft:session-filter";
/// The size of a batch, which large messages do not raise.
/// Source: Service Bus quotas, "message size" (batches of 1 MB), read 2026-11; the name is what the Python client reads.
const BATCH_BYTES_PROPERTY: &str = "com.microsoft:max-message-batch-size";
/// What a request may be larger than the message that it carries.
const REQUEST_BYTES: usize = 64 * 1024;

impl Connection {
    pub(super) fn on_attach(&mut self, channel: u16, attach: Attach) -> Result<(), Trouble> {
        let handle = attach.handle.0;
        Self::check_handle(handle)?;
        let Some(session) = self.session(channel)? else { return Ok(()) };
        if matches!(session.links.get(&handle), Some(Link::Inbound(_) | Link::Outbound(_))) {
            let text = format!("the handle {handle} is in use");
            return Err(Trouble::end(channel, SessionError::HandleInUse, text));
        }
        let verdict = self.broker.faults.judge("attach");
        if verdict.delay.is_zero() {
            return self.attach(channel, attach, verdict.before.or(verdict.after));
        }
        // Nothing more is read meanwhile: clients send the link's first flow without waiting for our attach.
        self.stall =
            Some((Instant::now() + verdict.delay, channel, Box::new(attach), verdict.before.or(verdict.after)));
        Ok(())
    }

    /// Attaches what an injected latency held back, if it is time.
    pub(super) fn end_stall(&mut self) -> Result<(), Trouble> {
        match self.stall.take() {
            Some((at, channel, attach, failure)) if at <= Instant::now() => self.attach(channel, *attach, failure),
            stall => {
                self.stall = stall;
                Ok(())
            }
        }
    }

    pub(super) fn attach(&mut self, channel: u16, attach: Attach, failure: Option<Failure>) -> Result<(), Trouble> {
        if !matches!(self.sessions.get(&channel), Some(Some(_))) {
            return Ok(());
        }
        let answer = match failure {
            Some(failure) => Err(self.fail("attach", failure)?),
            None => self.link_for(&attach),
        };
        match answer {
            Ok(link) => {
                self.broker.faults.record("attach", "ok");
                self.accept_link(channel, attach, link)
            }
            Err(error) => {
                self.broker.faults.record("attach", &problem::name(&error));
                self.refuse(channel, attach, error)
            }
        }
    }

    /// The error that an injected failure gives to the peer; the connection is cut for those that give none.
    pub(super) fn fail(&self, operation: &str, failure: Failure) -> Result<Error, Trouble> {
        problem::injected(failure).ok_or_else(|| {
            self.broker.faults.record(operation, "dropped");
            Trouble::Cut
        })
    }

    /// The link that is asked for, or why it cannot be had.
    fn link_for(&self, attach: &Attach) -> Result<Link, Error> {
        let source = attach.source.as_ref().and_then(|source| source.address.as_deref());
        let target = match attach.target.as_deref() {
            Some(TargetArchetype::Target(target)) => target.address.as_deref(),
            None => None,
        };
        let peer_sends = attach.role == Role::Sender;
        let Some(address) = (if peer_sends { target } else { source }) else {
            let text =
                "A link needs the address of a queue; links to a transaction coordinator are not available here.";
            return Err(problem(AmqpError::NotImplemented, text));
        };
        let path = auth::path(address);
        let node = self.node(&path)?;
        let filter = attach.source.as_ref().and_then(|source| source.filter.as_ref());
        if filter.is_some_and(|filter| filter.keys().any(|key| key.as_str() == SESSION_FILTER)) {
            return Err(problem(AmqpError::NotImplemented, "Message sessions are not available here."));
        }
        if !peer_sends {
            if let Node::Queue(place) = &node
                && let Some(text) = place.cell.refuses_receivers()
            {
                return Err(problem(AmqpError::NotAllowed, text));
            }
            return Ok(Link::Outbound(Outbound {
                node,
                path,
                reply_address: target.map(str::to_owned),
                presettled: attach.snd_settle_mode == SenderSettleMode::Settled,
                delivery_count: 0,
                credit: 0,
                held: 0,
                drain: false,
                replies: VecDeque::new(),
                _counted: self.broker.count_link(),
            }));
        }
        let message_bytes_max = match &node {
            Node::Queue(place) if place.part == Part::DeadLetter => {
                let text = "Messages cannot be sent to a dead-letter queue; send to the queue itself.";
                return Err(problem(AmqpError::NotAllowed, text));
            }
            Node::Queue(place) => self.broker.message_bytes_max(&place.cell),
            Node::Management(place) => self.broker.message_bytes_max(&place.cell) + REQUEST_BYTES,
            Node::Cbs => REQUEST_BYTES,
        };
        Ok(Link::Inbound(Inbound {
            node,
            path,
            address: address.to_owned(),
            message_bytes_max,
            delivery_count: attach.initial_delivery_count.unwrap_or(0),
            credit: 0,
            partial: None,
            _counted: self.broker.count_link(),
        }))
    }

    fn node(&self, path: &str) -> Result<Node, Error> {
        if path == CBS {
            return Ok(Node::Cbs);
        }
        if !self.is_authorized(path, self.broker.faults.now()) {
            let text = format!("Unauthorized access. No valid token for '{path}' was put into $cbs.");
            return Err(problem(AmqpError::UnauthorizedAccess, text));
        }
        let missing = || {
            let text = format!("The messaging entity '{path}' could not be found.");
            problem(AmqpError::NotFound, text)
        };
        match path.strip_suffix(MANAGEMENT_SUFFIX) {
            Some(path) => self.broker.place(path).map(Node::Management).ok_or_else(missing),
            None => self.broker.place(path).map(Node::Queue).ok_or_else(missing),
        }
    }

    fn accept_link(&mut self, channel: u16, attach: Attach, link: Link) -> Result<(), Trouble> {
        let handle = attach.handle.0;
        let peer_sends = matches!(link, Link::Inbound(_));
        let message_bytes_max = match &link {
            Link::Inbound(link) => Some(link.message_bytes_max as u64),
            Link::Outbound(_) | Link::Detached => None,
        };
        let is_queue = matches!(&link, Link::Inbound(Inbound { node: Node::Queue(_), .. }));
        let reply = Attach {
            role: if peer_sends { Role::Receiver } else { Role::Sender },
            initial_delivery_count: (!peer_sends).then_some(0),
            max_message_size: message_bytes_max,
            unsettled: None,
            offered_capabilities: None,
            desired_capabilities: None,
            properties: message_bytes_max.filter(|_| is_queue).map(|limit| {
                let batch = limit.min(Tier::PREMIUM_MESSAGE_BYTES as u64);
                Fields::from_iter([(Symbol::from(BATCH_BYTES_PROPERTY), Value::Ulong(batch))])
            }),
            ..attach
        };
        self.send(channel, &Performative::Attach(reply))?;
        let Self { sessions, out, .. } = self;
        if let Some(Some(session)) = sessions.get_mut(&channel) {
            session.links.insert(handle, link);
            session.grant_credit(channel, handle, out)?;
        }
        Ok(())
    }

    /// A link is refused by attaching it without a terminus and detaching it at once.
    fn refuse(&mut self, channel: u16, attach: Attach, error: Error) -> Result<(), Trouble> {
        let handle = attach.handle.0;
        let peer_sends = attach.role == Role::Sender;
        let reply = Attach {
            role: if peer_sends { Role::Receiver } else { Role::Sender },
            source: attach.source.filter(|_| peer_sends),
            target: attach.target.filter(|_| !peer_sends),
            initial_delivery_count: (!peer_sends).then_some(0),
            unsettled: None,
            offered_capabilities: None,
            desired_capabilities: None,
            properties: None,
            ..attach
        };
        self.send(channel, &Performative::Attach(reply))?;
        self.detach(channel, handle, error)
    }

    pub(super) fn detach(&mut self, channel: u16, handle: u32, error: Error) -> Result<(), Trouble> {
        let Self { sessions, out, .. } = self;
        let Some(Some(session)) = sessions.get_mut(&channel) else { return Ok(()) };
        let link = session.links.remove(&handle);
        session.detach(channel, handle, error, out)?;
        if let Some(link) = link {
            self.forget_partial(&link);
        }
        Ok(())
    }

    pub(super) fn on_detach(&mut self, channel: u16, detach: Detach) -> Result<(), Trouble> {
        // The Python client ends the session first and then still detaches a link.
        let Some(Some(session)) = self.sessions.get_mut(&channel) else { return Ok(()) };
        match session.forget_link(detach.handle.0) {
            // The answer to our own detach, or one too many.
            None | Some(Link::Detached) => Ok(()),
            Some(link) => {
                self.forget_partial(&link);
                self.send(channel, &Performative::Detach(Detach { error: None, ..detach }))
            }
        }
    }

    pub(super) fn is_authorized(&self, path: &str, now: SystemTime) -> bool {
        self.grants.iter().any(|grant| grant.expires > now && grant.covers(path))
    }

    /// Ends the links whose token has expired without a new one.
    pub(super) fn detach_unauthorized(&mut self) -> Result<(), Trouble> {
        let now = self.broker.faults.now();
        if self.grants.iter().all(|grant| grant.expires > now) {
            return Ok(());
        }
        self.grants.retain(|grant| grant.expires > now);
        let mut expired = Vec::new();
        for (channel, session) in &self.sessions {
            for (handle, link) in session.iter().flat_map(|session| &session.links) {
                if link.guarded_path().is_some_and(|path| !self.is_authorized(path, now)) {
                    expired.push((*channel, *handle));
                }
            }
        }
        for (channel, handle) in expired {
            let text = "ExpiredToken: the token is expired, and no new one was put into $cbs.";
            self.detach(channel, handle, problem(AmqpError::UnauthorizedAccess, text))?;
        }
        Ok(())
    }

    /// When the first token ends; a little later, so that it has ended for certain.
    pub(super) fn next_token_end(&self) -> Option<Instant> {
        let ends = self.grants.iter().map(|grant| grant.expires).min()?;
        let now = self.broker.faults.now();
        let left = ends.duration_since(now).unwrap_or_default() + Duration::from_millis(10);
        // Far ends are looked at again tomorrow, which keeps arithmetic far from overflow.
        Some(Instant::now() + left.min(Duration::from_hours(24)))
    }
}
