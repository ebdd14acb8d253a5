//! What there is to be seen of a site, in words common to all clouds.

use std::{collections::BTreeSet, fmt, time::Duration};

use async_trait::async_trait;
use chrono::TimeDelta;

use bridge_core::{event::SiteId, failure::PortError};

/// Looks at a site's settings, and changes nothing. It looks at everything at the same time, for `limit` at most. What cannot be
/// seen is a fact, too.
#[async_trait]
pub trait Inspect: fmt::Debug + Send + Sync {
    /// Looks at the queues and the store.
    async fn look(&self, limit: Duration) -> Looks;

    /// Looks at each service's clock: how far it is ahead of this machine's, by the `Date` of an answer, good to a second.
    async fn clocks(&self, limit: Duration) -> Vec<Look<TimeDelta>>;
}

/// One look: where, and what was seen.
#[derive(Debug)]
pub struct Look<T> {
    /// For example `SQS queue bridge-events`.
    pub at: String,
    /// What was seen, or why nothing was.
    pub seen: Result<T, PortError>,
}

/// All that was seen of a site's settings.
#[derive(Debug)]
pub struct Looks {
    /// The site's queue.
    pub queue: Look<QueueFacts>,
    /// Its dead-letter queue.
    pub dead_letter_queue: Look<QueueFacts>,
    /// Its store.
    pub store: Look<StoreFacts>,
}

/// A site, with what is configured of it.
#[derive(Debug)]
pub struct SiteFacts {
    /// The site.
    pub site: SiteId,
    /// Its configured `message_bytes_max`.
    pub message_bytes_max: u64,
    /// Its configured lease.
    pub lease: Duration,
    /// Checks whose bad finding its configuration allows: some of [`ALLOWABLE`](super::ALLOWABLE).
    pub allowed: BTreeSet<&'static str>,
    /// What was seen.
    pub looks: Looks,
    /// The clocks of its services; none where nobody looked.
    pub clocks: Vec<Look<TimeDelta>>,
    /// What came of trying; none where nothing was tried.
    pub tries: Option<Tries>,
}

impl SiteFacts {
    /// Whether anything at all was seen.
    pub fn any(&self) -> bool {
        let Looks { queue, dead_letter_queue, store } = &self.looks;
        queue.seen.is_ok()
            || dead_letter_queue.seen.is_ok()
            || store.seen.is_ok()
            || self.clocks.iter().any(|clock| clock.seen.is_ok())
    }
}

/// What came of doing what a worker does.
#[derive(Debug)]
pub struct Tries {
    /// Reading a reserved key.
    pub read: Result<(), PortError>,
    /// Writing it.
    pub write: Result<(), PortError>,
    /// Sending a heartbeat into the site's queue.
    pub send: Result<(), PortError>,
}

/// A queue's settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueFacts {
    /// How long it keeps a message; none for ever.
    pub retention: Option<Duration>,
    /// The lease that the broker sets; none where each receive sets its own.
    pub lease: Option<Duration>,
    /// When the broker itself sets a message aside; none if never.
    pub redrive: Option<Redrive>,
    /// Whether each retry of a worker counts as a delivery at the broker. Where a retry is a new message, only what a
    /// crash or a lost lease gives back is counted.
    pub retries_count: bool,
    /// Bytes of a message.
    pub message_bytes_max: u64,
    /// For how long message ids are remembered; none where they are not.
    pub duplicate_detection: Option<Duration>,
    /// Whether it serves messages in sessions, which no worker asks for.
    pub sessions: bool,
    /// The queue that it hands every message on to by itself, if so.
    pub forwards_to: Option<String>,
    /// How long it may be out of use before it deletes itself, with what is in it; none if it never does.
    pub idle_life: Option<Duration>,
}

/// When the broker itself sets a message aside, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redrive {
    /// Deliveries of a message before it is set aside.
    pub deliveries_max: u32,
    /// The queue's name.
    pub target: String,
}

/// A store's settings. Some have a request and a permission of their own, and may fail to be seen alone.
#[derive(Debug)]
pub struct StoreFacts {
    /// How records are found.
    pub partition_key: PartitionKey,
    /// Bytes of a key that it takes.
    pub key_bytes_max: usize,
    /// How records expire.
    pub expiry: Result<Expiry, PortError>,
    /// The regions in which it can be written.
    pub write_regions: Result<BTreeSet<String>, PortError>,
}

/// How records are found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PartitionKey {
    /// As the bridge needs it.
    Fits,
    /// In another way, in words: what it is, and what it has to be.
    Other {
        /// What it is.
        is: String,
        /// What it has to be.
        must_be: &'static str,
    },
}

/// How records expire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// Those that name a time to live, and no other.
    ByRecord,
    /// None does, whatever it names.
    Off,
    /// By an attribute that is not the bridge's, so that none does.
    OtherAttribute(String),
    /// Every record, so long after its last write, unless it names a time of its own.
    Every(Duration),
}
