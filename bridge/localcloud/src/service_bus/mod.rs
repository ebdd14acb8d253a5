//! Azure Service Bus: queues over AMQP 1.0 at frame level, and sending and management over HTTP.
//!
//! The official clients run against it unchanged, with `UseDevelopmentEmulator=true` in their connection string. They take an
//! emulator's address without its port, so the AMQP side should listen on 5672 of some loopback address. Messages live in
//! memory and are gone with the process. Not there: topics, message sessions, transactions, TLS, `WebSockets`.
//!
//! Read `queue` first: it is what the service does with a message; all else brings messages to it and away.

mod attach;
mod auth;
mod broker;
mod connection;
mod deliver;
mod encoding;
mod entries;
#[doc(hidden)]
pub mod fuzzing;
mod history;
mod management;
mod message;
mod pages;
mod problem;
mod queue;
mod requests;
mod rest;
mod session;
mod settings;
mod settle;
mod store;
mod transfer;
mod wire;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::fault::{Faults, Service};
use crate::http;
use crate::usage::{Gauge, Usage};
use auth::Key;
use broker::Broker;

pub use settings::{Counts, QueueSettings, Tier};

/// How long a stopping service waits for its connections to take leave.
const STOP_GRACE: Duration = Duration::from_millis(500);
/// Pause after a failed accept (too many open files, say), which would otherwise fail again at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

pub struct ServiceBusOptions {
    /// Where the namespace claims to be, as `westeurope`: the name that faults and counts have for it.
    pub region: String,
    /// Where AMQP is spoken; official clients insist on port 5672. Port 0 lets the system choose.
    pub address: SocketAddr,
    /// Where HTTP is spoken.
    pub http_address: SocketAddr,
    /// The name and the key of the namespace's one shared access rule.
    pub key_name: String,
    pub key: String,
    pub tier: Tier,
    pub faults: Arc<Faults>,
}

/// A running namespace; dropping it ends it at once, [`ServiceBus::stop`] takes leave first.
pub struct ServiceBus {
    address: SocketAddr,
    http: http::Server,
    broker: Arc<Broker>,
    key: Arc<Key>,
    connections: TaskTracker,
    stopping: DropGuard,
}

impl ServiceBus {
    /// Listens and serves.
    ///
    /// # Errors
    /// An address is not loopback (`InvalidInput`), or cannot be bound.
    pub async fn start(options: ServiceBusOptions, queues: Vec<(String, QueueSettings)>) -> io::Result<Self> {
        let listener = http::bind(options.address).await?;
        let address = listener.local_addr()?;
        let broker = Broker::new(options.tier, options.faults.service(Service::ServiceBus, &options.region));
        let key = Arc::new(Key { name: options.key_name, key: options.key });
        for (name, settings) in queues {
            broker.create(&name, settings);
        }
        let router = rest::router(Arc::clone(&broker), Arc::clone(&key));
        let http = http::Server::start(options.http_address, broker.faults.clone(), router).await?;
        let (connections, stopping) = (TaskTracker::new(), CancellationToken::new());
        tokio::spawn({
            let (broker, stopping) = (Arc::clone(&broker), stopping.clone());
            async move {
                tokio::select! {
                    () = broker.run_janitor() => {}
                    () = stopping.cancelled() => {}
                }
            }
        });
        tokio::spawn(accept(listener, Arc::clone(&broker), Arc::clone(&key), connections.clone(), stopping.clone()));
        Ok(Self { address, http, broker, key, connections, stopping: stopping.drop_guard() })
    }

    pub fn amqp_address(&self) -> SocketAddr {
        self.address
    }

    pub fn http_address(&self) -> SocketAddr {
        self.http.address()
    }

    /// What official clients take. The port is named only if it is not the one that they assume.
    pub fn connection_string(&self) -> String {
        let host = match self.address.port() {
            5672 => self.address.ip().to_string(),
            _ => self.address.to_string(),
        };
        let Key { name, key } = &*self.key;
        format!("Endpoint=sb://{host};SharedAccessKeyName={name};SharedAccessKey={key};UseDevelopmentEmulator=true;")
    }

    /// Makes a queue; one that is there already stays as it is.
    pub fn create_queue(&self, name: &str, settings: QueueSettings) {
        self.broker.create(name, settings);
    }

    pub fn counts(&self, name: &str) -> Option<Counts> {
        self.broker.counts(name)
    }

    pub fn gauge(&self) -> Gauge {
        let (http, amqp, broker) = (self.http.connections(), self.connections.clone(), Arc::clone(&self.broker));
        Box::new(move || Usage {
            connections: http() + amqp.len(),
            links: Some(broker.links()),
            waiting: Some(broker.waiting()),
            messages: Some(broker.messages()),
            sent: Some(broker.sent()),
        })
    }

    /// Takes leave of every client and stops.
    pub async fn stop(self) {
        let Self { http, connections, stopping, .. } = self;
        drop(stopping);
        connections.close();
        let goodbye = tokio::time::timeout(STOP_GRACE, connections.wait());
        let _ = tokio::join!(goodbye, http.stop());
    }
}

async fn accept(
    listener: TcpListener,
    broker: Arc<Broker>,
    key: Arc<Key>,
    connections: TaskTracker,
    stopping: CancellationToken,
) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stopping.cancelled() => return,
        };
        match accepted {
            // Dark: the peer is reset, as by a host without a listener.
            Ok((stream, _)) if broker.faults.is_dark() => drop(stream.set_zero_linger()),
            Ok((stream, _)) => {
                let (broker, key, stopping) = (Arc::clone(&broker), Arc::clone(&key), stopping.clone());
                connections.spawn(connection::serve(stream, broker, key, stopping));
            }
            Err(error) => {
                tracing::warn!(%error, "a Service Bus connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
