//! The HTTP side that SQS, DynamoDB, Cosmos DB and Service Bus's REST door share.
//!
//! [`Server`] accepts HTTP/1.1 and HTTP/2 with prior knowledge on one loopback port, stops within a bound, and refuses connections while
//! its service is dark. [`suffer`] stands around each call: it asks [`ServiceFaults`] for the verdict and carries it out, so that
//! a service only says what its own refusals look like. Nothing here knows a service's protocol.

mod connection;

use std::future::{Future, IntoFuture};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::http::header::{CONTENT_LENGTH, DATE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use chrono::{DateTime, Utc};
use futures_util::{StreamExt, stream};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::fault::{Failure, ServiceFaults, Verdict};

pub use connection::Connection;
use connection::{Connections, Listener};

/// How long a stopping server lets calls finish. Long polls wait for up to 20 s, so it cannot wait for all of them.
const STOP_GRACE: Duration = Duration::from_millis(300);

/// Size of one piece of a dripping answer: small enough that any answer comes in several.
const DRIP_BYTES: usize = 64;

/// A listening HTTP server; dropping it ends it at once, [`Server::stop`] lets calls finish first.
pub struct Server {
    address: SocketAddr,
    stopping: CancellationToken,
    connections: Arc<Connections>,
    serving: JoinHandle<io::Result<()>>,
    watching: Option<JoinHandle<()>>,
}

impl Server {
    /// Listens on a loopback address and serves `router`, whose handlers may take a [`Connection`] as an extractor.
    ///
    /// While the service is dark, connections are reset as they are opened, and those that are open are reset at once.
    ///
    /// # Errors
    /// The address is not loopback (`InvalidInput`), or cannot be bound.
    pub async fn start(address: SocketAddr, faults: ServiceFaults, router: Router) -> io::Result<Self> {
        Self::on(bind(address).await?, faults, router)
    }

    /// As [`Server::start`], on a listener of [`bind`]: for a service that must know its port before it can serve.
    ///
    /// # Errors
    /// The listener's address cannot be read.
    pub fn on(listener: TcpListener, faults: ServiceFaults, router: Router) -> io::Result<Self> {
        let connections = Arc::new(Connections::default());
        let watching = tokio::spawn({
            let (faults, connections) = (faults.clone(), Arc::clone(&connections));
            let mut cuts = faults.cuts();
            async move {
                loop {
                    tokio::select! {
                        () = cuts.next() => connections.cut_all(),
                        () = faults.darkness() => {
                            connections.cut_all();
                            faults.daylight().await;
                        }
                    }
                }
            }
        });
        Self::serve(listener, Some(faults), connections, router, Some(watching))
    }

    /// Serves something that no fault can befall: the way to the faults themselves.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub async fn without_faults(address: SocketAddr, router: Router) -> io::Result<Self> {
        Self::serve(bind(address).await?, None, Arc::default(), router, None)
    }

    fn serve(
        listener: TcpListener,
        faults: Option<ServiceFaults>,
        connections: Arc<Connections>,
        router: Router,
        watching: Option<JoinHandle<()>>,
    ) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let stopping = CancellationToken::new();
        let listener = Listener::new(listener, faults, Arc::clone(&connections));
        let app = router.into_make_service_with_connect_info::<Connection>();
        let serve = axum::serve(listener, app).with_graceful_shutdown(stopping.clone().cancelled_owned());
        let serving = tokio::spawn(serve.into_future());
        Ok(Self { address, stopping, connections, serving, watching })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Counts the open connections, whenever it is asked.
    pub fn connections(&self) -> impl Fn() -> usize + Send + Sync + 'static {
        let connections = Arc::clone(&self.connections);
        move || connections.count()
    }

    /// Takes no more connections, lets calls finish for a moment, and resets what is then still open.
    pub async fn stop(mut self) {
        self.stopping.cancel();
        if tokio::time::timeout(STOP_GRACE, &mut self.serving).await.is_err() {
            self.connections.cut_all();
            // Each connection ends at its next look at the socket, which the cut wakes; the bound is for a handler that
            // computes without a pause.
            let _ = tokio::time::timeout(STOP_GRACE, &mut self.serving).await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stopping.cancel();
        if let Some(watching) = &self.watching {
            watching.abort();
        }
        self.serving.abort();
        self.connections.cut_all();
    }
}

/// Binds a loopback address, and nothing else: what is served here trusts every caller with a well-known key.
///
/// # Errors
/// `InvalidInput` for an address that is not loopback; else what the system says.
pub async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    if !address.ip().is_loopback() {
        let message = format!("{address} is not a loopback address; use one of 127.0.0.0/8, or ::1");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    TcpListener::bind(address).await
}

/// One call, as its faults are judged and counted.
#[derive(Clone, Copy)]
pub struct Call<'a> {
    pub faults: &'a ServiceFaults,
    pub operation: &'a str,
    pub connection: &'a Connection,
}

/// What a service must put into words of its own protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Slow down; try again after this time.
    Throttle { retry_after: Duration },
    /// The service's fault, not the caller's: 500 or 503. Some answers would be a lie once the effect has happened.
    Error { after_effect: bool },
    /// The caller lacks a permission.
    Denied,
}

/// Runs `effect` under the call's verdict: waits, fails before or after it, drops the connection, or drips the answer.
///
/// `effect` is what changes state; it is not run when the verdict says "before". The call is counted under its HTTP status,
/// or `dropped`.
pub async fn suffer(
    call: Call<'_>,
    refuse: impl Fn(Refusal) -> Response + Send + Sync,
    effect: impl Future<Output = Response> + Send,
) -> Response {
    let verdict = call.faults.judge(call.operation);
    let answer = obey(verdict, &refuse, effect).await;
    let Some(mut response) = answer else {
        call.connection.cut();
        call.faults.record(call.operation, "dropped");
        // Never sent: nothing can be written to a connection that was cut.
        return status(StatusCode::SERVICE_UNAVAILABLE);
    };
    call.faults.record(call.operation, response.status().as_str());
    if call.faults.clock_offset_ms() != 0 {
        let date = HeaderValue::try_from(http_date(call.faults.now())).expect("a date is ASCII");
        response.headers_mut().insert(DATE, date);
    }
    match verdict.drip {
        Some(pause) => drip(response, pause).await,
        None => response,
    }
}

/// The answer, or `None` if the caller gets none.
async fn obey(
    verdict: Verdict,
    refuse: impl Fn(Refusal) -> Response + Send + Sync,
    effect: impl Future<Output = Response> + Send,
) -> Option<Response> {
    let put = |failure, after_effect| match failure {
        Failure::Throttle { retry_after } => Some(refuse(Refusal::Throttle { retry_after })),
        Failure::Error => Some(refuse(Refusal::Error { after_effect })),
        Failure::Denied => Some(refuse(Refusal::Denied)),
        Failure::Drop | Failure::Dark => None,
    };
    if !verdict.delay.is_zero() {
        tokio::time::sleep(verdict.delay).await;
    }
    if let Some(failure) = verdict.before {
        return put(failure, false);
    }
    let response = effect.await;
    verdict.after.map_or(Some(response), |failure| put(failure, true))
}

async fn drip(response: Response, pause: Duration) -> Response {
    let (mut head, body) = response.into_parts();
    let Ok(bytes) = to_bytes(body, usize::MAX).await else {
        return status(StatusCode::INTERNAL_SERVER_ERROR);
    };
    head.headers.insert(CONTENT_LENGTH, bytes.len().into());
    let pieces = stream::unfold((bytes, Duration::ZERO), move |(mut rest, wait)| async move {
        if rest.is_empty() {
            return None;
        }
        tokio::time::sleep(wait).await;
        let piece = rest.split_to(rest.len().min(DRIP_BYTES));
        Some((Ok::<Bytes, io::Error>(piece), (rest, pause)))
    });
    Response::from_parts(head, Body::from_stream(pieces))
}

/// Why a request's body was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    #[error("the body is larger than {limit_bytes} bytes")]
    TooLarge { limit_bytes: usize },
    #[error("the body ended early")]
    Broken,
}

/// Reads a request's body, and stops at the limit: what is only declared is never allocated.
///
/// # Errors
/// [`BodyError::TooLarge`] as soon as it is known, from the declared length if there is one.
pub async fn read_body(headers: &HeaderMap, body: Body, limit_bytes: usize) -> Result<Bytes, BodyError> {
    let too_large = BodyError::TooLarge { limit_bytes };
    let declared = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if declared.is_some_and(|declared| declared > limit_bytes as u64) {
        return Err(too_large);
    }
    let mut stream = body.into_data_stream();
    let Some(first) = stream.next().await else { return Ok(Bytes::new()) };
    let first = first.map_err(|_| BodyError::Broken)?;
    // Most bodies come in one piece, and then need no copy.
    let Some(second) = stream.next().await else {
        return if first.len() > limit_bytes { Err(too_large) } else { Ok(first) };
    };
    let mut whole = Vec::from(first);
    let mut next = Some(second);
    while let Some(piece) = next {
        whole.extend_from_slice(&piece.map_err(|_| BodyError::Broken)?);
        if whole.len() > limit_bytes {
            return Err(too_large);
        }
        next = stream.next().await;
    }
    Ok(whole.into())
}

/// A time as HTTP writes it.
///
/// # Source
/// RFC 9110, section 5.6.7, IMF-fixdate.
pub fn http_date(time: SystemTime) -> String {
    DateTime::<Utc>::from(time).format("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

fn status(code: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = code;
    response
}
