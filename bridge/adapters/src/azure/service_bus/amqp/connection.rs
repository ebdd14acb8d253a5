//! One AMQP connection with one session, let in by a token that is kept fresh, and built again when it is gone.
//!
//! Building it takes eleven round trips, so it is shared by all that this queue does over AMQP, and opened when first
//! needed. A connection on which anything timed out is cut: its peer may be gone without a word.

use std::{
    io,
    sync::{Arc, Mutex as SyncMutex},
    time::{Duration, SystemTime},
};

use bridge_core::failure::FailureKind;
use fe2o3_amqp::{
    Connection, Session, connection::ConnectionHandle, sasl_profile::SaslProfile, session::SessionHandle,
};
use reqwest::{ClientBuilder, Url};
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    net::TcpStream,
    sync::Mutex,
    task::AbortHandle,
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_rustls::TlsConnector;

use super::{
    failure::Failure,
    frames::{FRAME_BYTES_MAX, WRAPPING_BYTES},
    management::RequestLink,
    wire::{Io, Line, Tap},
};
use crate::azure::service_bus::{ServiceBusConnection, Timeouts, sas};
use crate::azure::tls;

/// Silence after which either side gives the connection up; empty frames are sent at half of it. Ours: a cloud that
/// went dark is noticed within one lease, and a heartbeat every 15 s costs nothing.
const IDLE: Duration = Duration::from_secs(30);

/// First and longest pause between attempts to connect. Ours: short enough not to add to a blip, long enough not to
/// hammer a service that is down.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// A token is renewed this long before its end, or at half of its life if that is sooner. Ours: room for several tries.
const RENEW_AHEAD: Duration = Duration::from_mins(5);
/// First and longest pause between tries to renew a token.
const RENEW_PAUSE_MIN: Duration = Duration::from_millis(500);
const RENEW_PAUSE_MAX: Duration = Duration::from_secs(30);

/// Opens the connection of one queue and keeps it.
#[derive(Debug)]
pub(crate) struct Connector {
    target: ServiceBusConnection,
    queue: String,
    timeouts: Timeouts,
    slot: Mutex<Slot>,
}

#[derive(Debug, Default)]
struct Slot {
    live: Option<Arc<Live>>,
    opened: u64,
    /// Attempts that failed in a row, and when the next one may start.
    failed: u32,
    next_attempt: Option<Instant>,
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Live {
    /// Tells this connection from those before it.
    pub(crate) number: u64,
    pub(crate) line: Arc<Line>,
    pub(crate) session: Mutex<SessionHandle<()>>,
    connection: Mutex<ConnectionHandle<()>>,
    management: Mutex<Option<RequestLink>>,
    renewal: SyncMutex<Option<AbortHandle>>,
}

impl Connector {
    pub(crate) fn new(target: ServiceBusConnection, queue: String, timeouts: Timeouts) -> Self {
        Self { target, queue, timeouts, slot: Mutex::default() }
    }

    /// The connection, let in to the queue: the one that is there, or a new one. Callers share one attempt at a time.
    pub(crate) async fn live(&self) -> Result<Arc<Live>, Failure> {
        let mut slot = self.slot.lock().await;
        if let Some(live) = slot.live.take_if(|live| live.line.is_ended()) {
            live.cut();
        }
        if let Some(live) = &slot.live {
            return Ok(Arc::clone(live));
        }
        if let Some(at) = slot.next_attempt {
            sleep_until(at).await;
        }
        slot.opened += 1;
        let attempt = timeout(self.timeouts.connect, self.open(slot.opened)).await;
        match attempt.unwrap_or_else(|_| Err(Failure::new(FailureKind::Unavailable, "connect: no answer in time"))) {
            Ok(live) => {
                slot.failed = 0;
                slot.next_attempt = None;
                Ok(Arc::clone(slot.live.insert(live)))
            }
            Err(failure) => {
                let pause = PAUSE_MIN.saturating_mul(1 << slot.failed.min(10)).min(PAUSE_MAX);
                slot.failed = slot.failed.saturating_add(1);
                slot.next_attempt = Some(Instant::now() + pause);
                Err(failure)
            }
        }
    }

    /// Gives up a connection on which something has failed.
    pub(crate) async fn discard(&self, number: u64) {
        let mut slot = self.slot.lock().await;
        if let Some(live) = slot.live.take_if(|live| live.number == number) {
            live.cut();
        }
    }

    /// Ends the connection in good order, if there is one.
    pub(crate) async fn close(&self) {
        let live = self.slot.lock().await.live.take();
        if let Some(live) = live {
            let goodbye = async {
                // What they answer changes nothing: the connection goes in any case.
                let _ = live.session.lock().await.end().await;
                let _ = live.connection.lock().await.close().await;
            };
            let _ = timeout(self.timeouts.close, goodbye).await;
            live.cut();
        }
    }

    /// The request link of the queue's management node.
    pub(crate) async fn management(&self, live: &Live) -> Result<RequestLink, Failure> {
        let mut management = live.management.lock().await;
        if let Some(link) = management.as_ref().filter(|link| !link.is_ended()) {
            return Ok(link.clone());
        }
        let node = format!("{}/$management", self.queue);
        let attach = async {
            RequestLink::attach(&mut *live.session.lock().await, &live.line, &node, self.timeouts.operation).await
        };
        let link = live.line.race(self.timeouts.operation, "attach", attach).await?;
        Ok(management.insert(link).clone())
    }

    async fn open(&self, number: u64) -> Result<Arc<Live>, Failure> {
        let (tap, line) = Tap::new(self.dial().await?);
        let mut connection = Connection::builder()
            .container_id(uuid::Uuid::new_v4().to_string())
            .hostname(self.target.host.as_str())
            .scheme("amqp") // The stream is already what it should be, TLS included.
            .sasl_profile(SaslProfile::Anonymous)
            .max_frame_size(FRAME_BYTES_MAX + WRAPPING_BYTES)
            .idle_time_out(u32::try_from(IDLE.as_millis()).unwrap_or(u32::MAX))
            .open_with_stream(tap)
            .await?;
        let begin = async {
            let mut session = Session::begin(&mut connection).await.map_err(Failure::unavailable)?;
            let cbs = RequestLink::attach(&mut session, &line, "$cbs", self.timeouts.operation).await?;
            Ok((session, cbs))
        };
        let (session, cbs) = line.race(self.timeouts.connect, "begin", begin).await?;
        let pass = Pass {
            target: self.target.clone(),
            // The audience is the queue's, whichever of its sub-queues is read.
            audience: format!("amqps://{}/{}", self.target.host, self.queue.split("/$").next().unwrap_or_default()),
            cbs,
        };
        let renew_at = pass.show().await?;
        let renewal = tokio::spawn(pass.keep_fresh(renew_at, Arc::clone(&line))).abort_handle();
        Ok(Arc::new(Live {
            number,
            line,
            session: Mutex::new(session),
            connection: Mutex::new(connection),
            management: Mutex::default(),
            renewal: SyncMutex::new(Some(renewal)),
        }))
    }

    async fn dial(&self) -> Result<Box<dyn Io>, Failure> {
        let ServiceBusConnection { host, port, encrypted, .. } = &self.target;
        let socket = TcpStream::connect((host.as_str(), *port)).await;
        let unreachable = |error| {
            let detail = format!("{}:{port}: {error}", self.target.authority());
            Failure::in_words(FailureKind::Unavailable, detail, error)
        };
        let socket = socket.map_err(unreachable)?;
        socket.set_nodelay(true).map_err(Failure::unavailable)?;
        if !encrypted {
            return Ok(Box::new(socket));
        }
        let name = ServerName::try_from(host.clone()).map_err(Failure::unavailable)?;
        let stream = TlsConnector::from(tls()?).connect(name, socket).await;
        Ok(Box::new(stream.map_err(|error| tls_failure(host, error))?))
    }
}

impl Live {
    /// Ends the connection from this side without a word to the other.
    fn cut(&self) {
        self.line.cut();
        if let Some(renewal) = self.renewal.lock().expect("nothing panics while it holds the lock").take() {
            renewal.abort();
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.cut();
    }
}

/// The right to use the queue, shown to the service and shown again before it ends.
struct Pass {
    target: ServiceBusConnection,
    audience: String,
    cbs: RequestLink,
}

impl Pass {
    /// Puts a token, and returns when to do so again.
    async fn show(&self) -> Result<Instant, Failure> {
        let token = sas::token(&self.target.credential, &self.audience).await?;
        self.cbs.put_token(&self.audience, &token).await.map_err(sas::of_refusal)?;
        let left = token.expires.duration_since(SystemTime::now()).unwrap_or_default();
        Ok(Instant::now() + left.saturating_sub(RENEW_AHEAD).max(left / 2))
    }

    async fn keep_fresh(self, mut renew_at: Instant, line: Arc<Line>) {
        let mut pause = RENEW_PAUSE_MIN;
        while !line.is_ended() {
            sleep_until(renew_at).await;
            match self.show().await {
                Ok(at) => {
                    renew_at = at.max(Instant::now() + RENEW_PAUSE_MIN);
                    pause = RENEW_PAUSE_MIN;
                }
                // Should none of the tries succeed, the service ends the links, and the next use builds a connection.
                Err(failure) => {
                    tracing::warn!(error = failure.detail(), "the Service Bus token was not renewed");
                    sleep(pause).await;
                    pause = (pause * 2).min(RENEW_PAUSE_MAX);
                }
            }
        }
    }
}

fn tls() -> Result<Arc<ClientConfig>, Failure> {
    tls::config().map_err(Failure::unavailable)
}

/// A client of the namespace's REST interface.
pub(crate) fn http_client(at: &Url) -> Result<ClientBuilder, Failure> {
    tls::http_client(at).map_err(Failure::unavailable)
}

/// rustls reports as invalid data what another try cannot cure, such as a certificate that is not trusted.
fn tls_failure(host: &str, error: io::Error) -> Failure {
    let kind =
        if error.kind() == io::ErrorKind::InvalidData { FailureKind::Unauthorized } else { FailureKind::Unavailable };
    Failure::in_words(kind, format!("TLS with {host}: {error}"), error)
}
