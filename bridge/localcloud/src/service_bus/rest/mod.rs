//! The HTTP side: sending, receiving with a lock, and the ATOM management of queues.
//!
//! Every request is authorized first (401), then its queue looked up (404), then its body judged (413, 400).
//! Messages sent here are encoded as AMQP and take the same way into a queue as any other.

mod atom;
mod duration;
pub(super) mod fuzzing;
mod manage;
mod properties;
mod receive;
mod send;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use percent_encoding::percent_decode_str;

use super::auth::Key;
use super::broker::Broker;
use super::problem;
use crate::http::{self, Call, Connection, Refusal};

/// A description of a queue takes about two kilobytes.
const DESCRIPTION_BYTES_MAX: usize = 64 * 1024;
/// What is read beyond a limit to be thrown away; a sender of more sees its connection closed.
const DISCARDED_BYTES_MAX: usize = 8 * 1024 * 1024;

#[derive(Clone)]
struct App {
    broker: Arc<Broker>,
    key: Arc<Key>,
}

/// An answer other than success.
#[derive(Debug)]
struct Failed {
    status: StatusCode,
    detail: String,
}

impl Failed {
    fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into() }
    }

    fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    fn no_entity(path: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, format!("40400: The messaging entity '{path}' could not be found."))
    }
}

/// Queues refuse in AMQP's words; this is what they are in HTTP's.
impl From<fe2o3_amqp_types::definitions::Error> for Failed {
    fn from(error: fe2o3_amqp_types::definitions::Error) -> Self {
        let status = match problem::name(&error).as_str() {
            "amqp:resource-limit-exceeded" => StatusCode::FORBIDDEN,
            "amqp:not-found" => StatusCode::NOT_FOUND,
            "amqp:link:message-size-exceeded" => StatusCode::PAYLOAD_TOO_LARGE,
            _ => StatusCode::BAD_REQUEST,
        };
        Self::new(status, error.description.unwrap_or_default())
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        let body = format!(
            "<Error><Code>{}</Code><Detail>{}</Detail></Error>",
            self.status.as_u16(),
            atom::escape(&self.detail)
        );
        let mut response =
            (self.status, [(header::CONTENT_TYPE, "application/xml; charset=utf-8")], body).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            let challenge = header::HeaderValue::from_static("Bearer");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

pub(super) fn router(broker: Arc<Broker>, key: Arc<Key>) -> Router {
    Router::new().fallback(answer).with_state(App { broker, key })
}

async fn answer(State(app): State<App>, connection: Connection, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let path = percent_decode_str(parts.uri.path()).decode_utf8_lossy().trim_matches('/').to_owned();
    let segments: Vec<&str> = path.split('/').collect();
    let target = Target::new(&parts.method, &segments);
    let body = read_body(body, app.body_bytes_max(&target)).await;
    let call = Call { faults: &app.broker.faults, operation: target.operation(), connection: &connection };
    let effect = async {
        let outcome = async {
            app.authorize(&parts, target.entity())?;
            app.carry_out(&target, &parts, body).await
        };
        outcome.await.unwrap_or_else(IntoResponse::into_response)
    };
    http::suffer(call, refuse, effect).await
}

fn refuse(refusal: Refusal) -> Response {
    match refusal {
        Refusal::Throttle { retry_after } => {
            let detail = "50009: The server is busy. Please wait and try again.";
            let mut response = Failed::new(StatusCode::SERVICE_UNAVAILABLE, detail).into_response();
            let seconds = retry_after.as_secs().max(1).into();
            response.headers_mut().insert(header::RETRY_AFTER, seconds);
            response
        }
        // "Service Bus REST: status and error codes", read 2026-11.
        Refusal::Denied => {
            let detail = "40100: Unauthorized: the claims of the token do not allow this.";
            Failed::new(StatusCode::UNAUTHORIZED, detail).into_response()
        }
        Refusal::Error { .. } => {
            let detail = "50000: The service was unable to process the request.";
            Failed::new(StatusCode::INTERNAL_SERVER_ERROR, detail).into_response()
        }
    }
}

/// What a request is about.
enum Target {
    Send {
        path: String,
    },
    /// The first message of a queue; `DELETE` removes it, `POST` locks it.
    Head {
        path: String,
        delete: bool,
    },
    Locked {
        path: String,
        token: String,
    },
    List,
    Namespace,
    Entity {
        path: String,
    },
}

impl Target {
    fn new(method: &Method, segments: &[&str]) -> Self {
        let joined = |segments: &[&str]| segments.join("/");
        match segments {
            ["$Resources", kind] if kind.eq_ignore_ascii_case("queues") => Self::List,
            [name] if name.eq_ignore_ascii_case("$namespaceinfo") => Self::Namespace,
            [path @ .., messages] if !path.is_empty() && is_messages(messages) && method == Method::POST => {
                Self::Send { path: joined(path) }
            }
            [path @ .., messages, head]
                if !path.is_empty() && is_messages(messages) && head.eq_ignore_ascii_case("head") =>
            {
                Self::Head { path: joined(path), delete: method == Method::DELETE }
            }
            [path @ .., messages, _, token] if !path.is_empty() && is_messages(messages) => {
                Self::Locked { path: joined(path), token: (*token).to_owned() }
            }
            path => Self::Entity { path: joined(path) },
        }
    }

    /// The name under which it can be made to fail.
    fn operation(&self) -> &'static str {
        match self {
            Self::Send { .. } => "rest-send",
            Self::Head { .. } => "rest-receive",
            Self::Locked { .. } => "rest-settle",
            Self::List | Self::Namespace | Self::Entity { .. } => "rest-manage",
        }
    }

    fn entity(&self) -> &str {
        match self {
            Self::Send { path } | Self::Head { path, .. } | Self::Locked { path, .. } | Self::Entity { path } => path,
            Self::List | Self::Namespace => "",
        }
    }
}

fn is_messages(segment: &str) -> bool {
    segment.eq_ignore_ascii_case("messages")
}

impl App {
    fn body_bytes_max(&self, target: &Target) -> usize {
        let cell = match target {
            Target::Send { path } => self.broker.find(path),
            _ => None,
        };
        cell.map_or(DESCRIPTION_BYTES_MAX, |cell| self.broker.message_bytes_max(&cell))
    }

    fn authorize(&self, parts: &Parts, entity: &str) -> Result<(), Failed> {
        let refused = |detail: String| Failed::new(StatusCode::UNAUTHORIZED, detail);
        let Some(token) = text(&parts.headers, "authorization") else {
            return Err(refused("MissingToken: the request has no Authorization header.".into()));
        };
        let now = self.broker.faults.now();
        match self.key.check(token, entity, now) {
            Ok(_) => Ok(()),
            Err(refusal) => Err(refused(refusal.to_string())),
        }
    }

    async fn carry_out(&self, target: &Target, parts: &Parts, body: Result<Bytes, Failed>) -> Result<Response, Failed> {
        match target {
            Target::Send { path } => send::send(self, path, parts, body),
            Target::Head { path, delete } => receive::receive(self, path, parts, *delete).await,
            Target::Locked { path, token } => receive::settle(self, path, parts, token),
            Target::List => manage::list(self, parts),
            Target::Namespace => manage::namespace(self, parts),
            Target::Entity { path } => manage::entity(self, path, parts, &body?),
        }
    }
}

/// Reads a body to its end also where it is not wanted: a connection that is closed with bytes unread loses the answer.
async fn read_body(body: Body, limit: usize) -> Result<Bytes, Failed> {
    let mut stream = body.into_data_stream();
    let (mut whole, mut size) = (BytesMut::new(), 0);
    while let Some(piece) = stream.next().await {
        let piece = piece.map_err(|_| Failed::bad_request("the body ended early"))?;
        size += piece.len();
        if size <= limit {
            whole.extend_from_slice(&piece);
        } else if size <= limit + DISCARDED_BYTES_MAX {
            whole = BytesMut::new();
        } else {
            break;
        }
    }
    if size > limit {
        let detail = format!("the request body exceeds the limit of {limit} bytes");
        return Err(Failed::new(StatusCode::PAYLOAD_TOO_LARGE, detail));
    }
    Ok(whole.freeze())
}

/// A header's value, if it is text.
fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// A parameter of the query; names compare without case.
fn query(parts: &Parts, name: &str) -> Option<String> {
    let pairs = url::form_urlencoded::parse(parts.uri.query().unwrap_or("").as_bytes());
    pairs.into_iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.into_owned())
}
