//! What a plan and a run work with: where messages are, where they go, by which rules.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;

use super::{
    edit,
    errand::{self, Errands},
    portions::Portions,
    route::{Source, Target},
    subject::{Holds, Subject, is_excerpt},
};
use bridge_core::{
    decision::Rules,
    event::SiteId,
    incident::{Incident, Incidents},
    port::{Clock, Delivery, Depth, Queue, Store},
    reason::Refusal,
    retry::Backoff,
};

/// Where a site gets events.
#[derive(Clone, Debug)]
pub struct Place {
    /// Its queue.
    pub queue: Arc<dyn Queue>,
    /// Its store.
    pub store: Arc<dyn Store>,
}

/// A queue that messages are taken from.
#[derive(Clone, Debug)]
pub struct SourceQueue {
    /// The queue.
    pub queue: Arc<dyn Queue>,
    /// What lies in it.
    pub holds: Holds,
    /// Counts what lies there, where a look does not show what is in somebody's hands.
    pub hides: Option<Arc<dyn Depth>>,
    /// Bytes that a message in it may have.
    pub message_bytes_max: usize,
}

impl SourceQueue {
    /// How many messages a look would miss, because somebody has them in hand. None also where they cannot be counted: that needs
    /// a permission which a replay can do without.
    pub async fn hidden(&self, incidents: &dyn Incidents) -> u64 {
        let Some(depth) = &self.hides else { return 0 };
        match depth.depth().await {
            Ok(depth) => depth.in_flight.unwrap_or_default(),
            Err(error) => {
                incidents.report(Incident::NotCounted(&error));
                0
            }
        }
    }
}

/// Changes a body on its way.
#[async_trait]
pub trait Editor: Send + Sync {
    /// The body to send instead.
    ///
    /// # Errors
    /// The message stays where it is, for this reason.
    async fn edit(&self, body: &Bytes) -> Result<Bytes, Refusal>;
}

/// All that a plan and a run work with.
pub struct Setting<'a> {
    /// Where messages come from, as written.
    pub source: Source,
    /// Where they go, as written.
    pub target: Target,
    /// The queues of the source, in the order of the plan.
    pub sources: Vec<SourceQueue>,
    /// Every configured site.
    pub places: BTreeMap<SiteId, Place>,
    /// What the sites accept; of any site.
    pub rules: Rules,
    /// JSON pointer of the key in a payload.
    pub key_pointer: String,
    /// How long a tombstone lives.
    pub tombstone_life: Duration,
    /// Tries of one errand, and of one reading of a source.
    pub attempts_max: u32,
    /// Delays between them.
    pub backoff: Backoff,
    /// What bodies are piped through: those of messages that no site would take.
    pub editor: Option<&'a dyn Editor>,
    /// Whether those of the others are, too.
    pub edit_valid: bool,
    /// Whether events are brought that are older than deletes are remembered.
    pub accept_old: bool,
    /// Sites that are not configured and that no letter counts as owed to.
    pub forget_sites: BTreeSet<SiteId>,
    /// Bytes of messages in hand, about.
    pub inflight_bytes_max: usize,
    /// Who is told of what no result says.
    pub incidents: Arc<dyn Incidents>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Jitter, and names of sends.
    pub rng: Mutex<fastrand::Rng>,
}

impl fmt::Debug for Setting<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "replay from {} to {}", self.source, self.target)
    }
}

impl Setting<'_> {
    /// Reads a message of the queue that stands at `from`, edited if it is to be: where no site would take it as it lies there,
    /// or all are. An excerpt never is: the rest of it lies elsewhere.
    pub async fn read(&self, from: usize, delivery: &Delivery) -> Subject {
        let is_excerpt = is_excerpt(&delivery.properties, self.sources[from].holds);
        let lies = self.subject(from, delivery, Ok(delivery.body.clone())).whole(is_excerpt);
        let subject = match self.editor.filter(|_| (self.edit_valid || lies.event.is_err()) && !is_excerpt) {
            None => lies,
            Some(editor) => match editor.edit(&delivery.body).await {
                Ok(body) if body == delivery.body => lies,
                body => edit::admit(&lies, self.subject(from, delivery, body)),
            },
        };
        subject.all_sites_or_none(&self.target)
    }

    /// What has to be done for a message; nothing for one that no site takes, unless it is dropped.
    pub fn errands(&self, subject: &Subject) -> Errands {
        match &subject.event {
            _ if self.target == Target::Nowhere => Errands::dropped(),
            Ok(event) => errand::errands(&self.source, &self.target, subject, event, self.sites()),
            Err(_) => Errands::default(),
        }
    }

    /// The portions of the queue that stands at `from`, where so many are in hand at once.
    pub fn portions(&self, from: usize, at_once: usize) -> Portions {
        Portions::new(self.inflight_bytes_max / at_once.max(1), self.sources[from].message_bytes_max)
    }

    fn subject(&self, from: usize, delivery: &Delivery, body: Result<Bytes, Refusal>) -> Subject {
        let holds = self.sources[from].holds;
        Subject::read(delivery, body, holds, self.accept_old, &self.rules, &self.key_pointer, self.clock.now())
            .without(&self.forget_sites)
    }

    /// The sites that are configured.
    pub fn sites(&self) -> &BTreeSet<SiteId> {
        &self.rules.sites
    }

    /// How long to wait after so many tries. `hint`: what the service asked for.
    pub fn pause(&self, attempts: u32, hint: Option<Duration>) -> Duration {
        self.with_rng(|rng| self.backoff.delay(attempts, hint, rng))
    }

    pub(super) fn with_rng<T>(&self, draw: impl FnOnce(&mut fastrand::Rng) -> T) -> T {
        draw(&mut self.rng.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
