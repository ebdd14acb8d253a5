//! Requests over a pair of links: `$cbs`, where tokens are put, and the way of every answer back to the link that asked.

use bytes::Bytes;
use fe2o3_amqp_types::definitions::AmqpError;
use fe2o3_amqp_types::messaging::message::__private::{Deserializable, Serializable};
use fe2o3_amqp_types::messaging::{AmqpValue, ApplicationProperties, Body, Message, Properties};
use fe2o3_amqp_types::primitives::SimpleValue;
use serde_amqp::Value;

use super::auth;
use super::connection::Connection;
use super::encoding;
use super::management::{self, Denial, Map};
use super::problem::{Trouble, problem};
use super::session::{Link, Node};
use super::transfer::Late;
use super::wire::bad;
use crate::fault::{Failure, Verdict};

/// Of answers that wait for a peer who gives no credit for them; its link ends then.
const REPLY_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Tokens of one connection; those that have expired make room first.
const GRANTS_MAX: usize = 1_000;

pub(super) type Content = Message<Body<Value>>;

pub(super) struct Request {
    node: Node,
    path: String,
    content: Content,
}

impl Connection {
    pub(super) fn on_request(&mut self, node: Node, address: &str, bytes: &[u8]) -> Result<(), Trouble> {
        encoding::check(bytes).map_err(bad)?;
        let content = serde_amqp::from_slice::<Deserializable<Content>>(bytes).map_err(bad)?.0;
        let request = Request { node, path: auth::path(address), content };
        let verdict = match management::fault_name(operation(&request.content)) {
            Some(name) => self.broker.faults.judge(name),
            None => Verdict::default(),
        };
        if verdict.delay.is_zero() {
            return self.answer(&request, verdict);
        }
        self.hold_back(verdict.delay, Late::Request { request: Box::new(request), verdict });
        Ok(())
    }

    pub(super) fn answer(&mut self, request: &Request, verdict: Verdict) -> Result<(), Trouble> {
        self.drip = self.drip.max(verdict.drip);
        let name = management::fault_name(operation(&request.content));
        let outcome = match verdict.before {
            Some(failure) => Err(self.denial(name, failure)?),
            None => match &request.node {
                Node::Cbs => self.put_token(&request.content),
                Node::Management(place) | Node::Queue(place) => {
                    management::manage(&self.broker, place, operation(&request.content), &request.content)
                }
            },
        };
        let outcome = match verdict.after {
            Some(failure) => Err(self.denial(name, failure)?),
            None => outcome,
        };
        if let Some(name) = name {
            let status = outcome.as_ref().map_or_else(|denial| denial.code, |(code, _)| *code).to_string();
            self.broker.faults.record(name, &status);
        }
        self.reply(request, outcome)
    }

    fn denial(&self, name: Option<&'static str>, failure: Failure) -> Result<Denial, Trouble> {
        let error = self.fail(name.unwrap_or("request"), failure)?;
        Ok(Denial {
            code: match failure {
                Failure::Throttle { .. } => 503,
                Failure::Denied => 401,
                Failure::Error | Failure::Drop | Failure::Dark => 500,
            },
            condition: super::problem::name(&error),
            description: error.description.unwrap_or_default(),
        })
    }

    fn put_token(&mut self, content: &Content) -> Result<(i32, Map), Denial> {
        let property = |name: &str| text_property(content, name);
        if property("operation") != Some("put-token") {
            return Err(Denial::new(501, "amqp:not-implemented", "$cbs knows put-token only"));
        }
        let Some(audience) = property("name") else {
            return Err(Denial::new(400, "amqp:invalid-field", "the property 'name' is missing"));
        };
        let token = match &content.body {
            Body::Value(AmqpValue(Value::String(token))) => token.as_str(),
            _ => return Err(Denial::new(400, "amqp:invalid-field", "the token must be a string")),
        };
        let now = self.broker.faults.now();
        // What kind of token it is shows in the token: the Python client says "jwt" of its SAS tokens, too.
        if !matches!(property("type"), Some("servicebus.windows.net:sastoken" | "jwt")) {
            return Err(Denial::new(400, "amqp:invalid-field", "tokens must be SAS tokens or jwt"));
        }
        let grant = self.key.check(token, audience, now);
        let grant = grant.map_err(|refusal| Denial::new(401, "amqp:unauthorized-access", refusal.to_string()))?;
        self.grants.retain(|old| old.scope() != grant.scope());
        if self.grants.len() >= GRANTS_MAX {
            self.grants.retain(|old| old.expires > now);
        }
        if self.grants.len() >= GRANTS_MAX {
            return Err(Denial::new(403, "amqp:resource-limit-exceeded", "too many tokens on one connection"));
        }
        self.grants.push(grant);
        Ok((202, Map::new()))
    }

    /// The reply link may be on another session of this connection than the request link.
    fn reply(&mut self, request: &Request, outcome: Result<(i32, Map), Denial>) -> Result<(), Trouble> {
        let wanted = request.content.properties.as_ref().and_then(|properties| properties.reply_to.clone());
        let mut best: Option<(u16, u32, bool)> = None;
        for (channel, session) in &self.sessions {
            for (handle, link) in session.iter().flat_map(|session| &session.links) {
                if let Link::Outbound(link) = link
                    && link.path == request.path
                {
                    let exact = link.reply_address == wanted;
                    if best.is_none_or(|(.., found)| exact && !found) {
                        best = Some((*channel, *handle, exact));
                    }
                }
            }
        }
        // Without a reply link nobody waits for the answer.
        let Some((channel, handle, _)) = best else { return Ok(()) };
        let bytes = encode_reply(&request.content, outcome)?;
        let Some(Some(session)) = self.sessions.get_mut(&channel) else { return Ok(()) };
        let Some(Link::Outbound(link)) = session.links.get_mut(&handle) else { return Ok(()) };
        link.replies.push_back(bytes);
        if link.replies.iter().map(Bytes::len).sum::<usize>() > REPLY_BYTES_MAX {
            let error = problem(AmqpError::ResourceLimitExceeded, "too many answers wait for credit");
            return self.detach(channel, handle, error);
        }
        Ok(())
    }
}

fn encode_reply(request: &Content, outcome: Result<(i32, Map), Denial>) -> Result<Bytes, Trouble> {
    let (code, description, condition, body) = match outcome {
        Ok((code, body)) => (code, "OK".to_owned(), None, body),
        Err(denial) => (denial.code, denial.description, Some(denial.condition), Map::new()),
    };
    // $cbs clients look for the dashed names, $management clients for the others.
    let mut properties = ApplicationProperties::builder()
        .insert("statusCode", code)
        .insert("status-code", code)
        .insert("statusDescription", description.clone())
        .insert("status-description", description);
    if let Some(condition) = condition {
        properties = properties.insert("errorCondition", condition);
    }
    let asked = request.properties.clone().unwrap_or_default();
    let content: Content = Message {
        header: None,
        delivery_annotations: None,
        message_annotations: None,
        properties: Some(Properties {
            correlation_id: asked.message_id.or(asked.correlation_id),
            to: asked.reply_to,
            ..Properties::default()
        }),
        application_properties: Some(properties.build()),
        body: Body::Value(AmqpValue(Value::Map(body))),
        footer: None,
    };
    Ok(serde_amqp::to_vec(&Serializable(content)).map_err(bad)?.into())
}

fn operation(content: &Content) -> &str {
    text_property(content, "operation").unwrap_or("")
}

fn text_property<'a>(content: &'a Content, name: &str) -> Option<&'a str> {
    match content.application_properties.as_ref()?.0.get(name)? {
        SimpleValue::String(text) => Some(text),
        SimpleValue::Symbol(symbol) => Some(symbol.as_str()),
        _ => None,
    }
}
