//! Amazon SQS on loopback: standard and FIFO queues over the service's own JSON protocol, in memory, in this process.
//!
//! Official SDKs speak to it unchanged, and it answers as the service does, also where it refuses. What it leaves out
//! on purpose: signatures are not verified (see `auth.rs`), policies keep nobody out, nothing is encrypted, there are
//! no throughput quotas, changes apply at once where the service may take a minute, and standard queues deliver in
//! order and only once a lease; the loss and delay that the service allows itself come from [`crate::fault`] when asked
//! for.
//!
//! Where the service's pages and its behaviour differ, its behaviour was followed, as recorded from it by others' test
//! suites.

mod limits;

mod attributes;
mod fifo;
#[doc(hidden)]
pub mod fuzzing;
mod message;
mod queue;
mod receipt;
mod redrive;
mod registry;
mod settings;

mod auth;
mod batch;
mod protocol;
mod service;

mod move_task;
mod permission_api;
mod queue_api;
mod receive_api;
mod send_api;
mod settle_api;
mod tag_api;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::time::sleep_until;
use tokio_util::sync::DropGuard;

use crate::fault::Faults;
use crate::http::Server;
use crate::usage::{Gauge, Usage};

pub use protocol::{Code, SqsError};
pub use queue::Counts;

/// How often the timekeeper looks when no message is due, so that what is past its retention gives its memory back.
const TIDY_INTERVAL: Duration = Duration::from_mins(1);

/// Where and as what the queues are served.
pub struct SqsOptions {
    /// A loopback address; port 0 lets the system choose one.
    pub address: SocketAddr,
    /// The region that requests must be signed for, and that ARNs name.
    pub region: String,
    /// The account in addresses and ARNs: twelve digits.
    pub account: String,
    /// The only access key that is let in.
    pub access_key_id: String,
    pub faults: Arc<Faults>,
}

/// A running SQS. Dropping it ends it and forgets its messages.
pub struct Sqs {
    server: Server,
    service: Arc<service::Service>,
    /// Ends the timekeeper and the long polls when dropped.
    _stopping: DropGuard,
}

impl Sqs {
    /// Starts serving.
    ///
    /// # Errors
    /// The address is not loopback, or cannot be bound.
    pub async fn start(options: SqsOptions) -> io::Result<Self> {
        let service = Arc::new(service::Service::new(&options));
        let router = Router::new().fallback(service::handle).with_state(Arc::clone(&service));
        let server = Server::start(options.address, service.faults.clone(), router).await?;
        // The port may be the system's choice, so it is known only now; nobody else knows it before this.
        service.registry().place.endpoint = format!("http://{}", server.address());
        tokio::spawn(keep_time(Arc::clone(&service)));
        let stopping = service.stopping.clone().drop_guard();
        Ok(Self { server, service, _stopping: stopping })
    }

    /// Where clients connect to, such as `http://127.0.0.1:9324`.
    pub fn endpoint(&self) -> String {
        self.service.registry().place.endpoint.clone()
    }

    /// Creates a queue, or finds it as wanted; returns its address.
    ///
    /// # Errors
    /// As the action `CreateQueue`: for a name or attribute that is not valid, or that differs from the existing
    /// queue's.
    pub fn create_queue(&self, name: &str, attributes: &[(&str, &str)]) -> Result<String, SqsError> {
        self.service.create_queue(name, attributes)
    }

    /// How many messages a queue holds; `None` if there is no such queue. Exact, unlike the attributes that clients see
    /// of the real service.
    pub fn counts(&self, name: &str) -> Option<Counts> {
        let now = self.service.now().elapsed;
        self.service.registry().counts(now, name)
    }

    pub fn gauge(&self) -> Gauge {
        let (connections, service) = (self.server.connections(), Arc::clone(&self.service));
        Box::new(move || {
            let mut registry = service.registry();
            let messages = Some(registry.messages(service.now().elapsed));
            Usage { connections: connections(), messages, sent: Some(registry.sent()), ..Usage::default() }
        })
    }

    /// Ends long polls at once and lets other calls finish.
    pub async fn stop(self) {
        self.service.stopping.cancel();
        self.server.stop().await;
    }
}

/// Wakes receivers when hidden messages come back, and lets old messages go. One task for all queues; it sleeps until
/// the next message is due.
async fn keep_time(service: Arc<service::Service>) {
    let moved = service.registry().alarm_moved();
    loop {
        let now = service.now().elapsed;
        let tidy = now + TIDY_INTERVAL;
        let next = service.registry().advance(now).map_or(tidy, |next| next.min(tidy));
        tokio::select! {
            () = sleep_until(service.instant(next)) => {}
            () = moved.notified() => {}
            () = service.stopping.cancelled() => return,
        }
    }
}
