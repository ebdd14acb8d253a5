//! A few sites on memory, driven by hand: the simulation's own world, without its faults and waits.

pub(crate) use bridge_simulation::{
    site::Site,
    world::{START, World, message, policy},
};
use std::{
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use bridge_core::{
    event::Key,
    failure::{FailureKind, PortError},
    incident::{Incident, Incidents},
    invocation::{partial, whole},
    port::{Store, Write},
    receive::Pace,
    record::Record,
    retry::Backoff,
};
use bridge_simulation::books::{Kind, Place};
use serde_json::{Value, json};

/// How a container takes its messages.
pub(crate) const PACE: Pace = Pace {
    batch_messages_max: 10,
    concurrent_batches: 2,
    receive_wait: Duration::from_secs(20),
    pause: Backoff { base: Duration::from_millis(200), max: Duration::from_secs(3) },
    rest: Backoff { base: Duration::from_secs(5), max: Duration::from_mins(5) },
    probe: Backoff { base: Duration::from_millis(250), max: Duration::from_secs(2) },
};

/// What an invocation of a Lambda may take.
pub(crate) const PARTIAL: partial::Budget =
    partial::Budget { work: Duration::from_secs(28), give_back: Duration::from_secs(1), portion: 32 };

/// What an invocation of an Azure Function may take.
pub(crate) const WHOLE: whole::Budget =
    whole::Budget { attempt: Duration::from_secs(45), hold: Duration::from_secs(10), halt: Duration::from_secs(120) };

/// Messages of a site's queue, or of its letters, that anybody took so far.
pub(crate) fn taken(world: &World, site: &str, kind: Kind) -> u64 {
    let place = Place { site: world.site(site).number, kind };
    world.books.open().delivered.get(&place).copied().unwrap_or_default()
}

/// A store that takes the bridge's own record, and nothing that an application wrote: its keys are to blame, and not the store.
#[derive(Debug)]
pub(crate) struct Picky {
    store: Arc<dyn Store>,
    kind: FailureKind,
}

impl Picky {
    /// Puts it in the place of a site's own store, as its worker sees that.
    pub(crate) fn at(world: &mut World, site: &str, kind: FailureKind) {
        let worker = world.workers.get_mut(&site.parse().unwrap()).unwrap();
        worker.store = Arc::new(Self { store: Arc::clone(&worker.store), kind });
    }
}

impl fmt::Display for Picky {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("picky store")
    }
}

#[async_trait]
impl Store for Picky {
    async fn put_if_newer(&self, record: &Record) -> Result<Write, PortError> {
        if record.key.as_str().starts_with("_bridge/") {
            return self.store.put_if_newer(record).await;
        }
        Err(PortError::new(self.to_string(), "put_if_newer", self.kind.clone()))
    }

    async fn get(&self, key: &Key) -> Result<Option<Record>, PortError> {
        self.store.get(key).await
    }
}

/// Writes down what is reported to it.
#[derive(Debug, Default)]
pub(crate) struct Reported(Mutex<Vec<String>>);

impl Incidents for Reported {
    fn report(&self, incident: Incident<'_>) {
        let line = match incident {
            Incident::LetterShortened { error, .. } => format!("letter shortened: {}", error.kind),
            Incident::LetterExcerpted { reason, body_bytes, .. } => {
                format!("{reason} excerpted from {body_bytes} bytes")
            }
            Incident::NotSetAside { message_id, more, error } => {
                format!("{message_id} and {more} more not set aside: {}", error.kind)
            }
            Incident::LeasesNotExtended { lost, error } => format!("leases not extended, {lost} lost: {}", error.kind),
            Incident::NotGivenBack(error) => format!("not given back: {}", error.kind),
            Incident::NotHidden(error) => format!("not hidden: {}", error.kind),
            Incident::Halted { .. } => "halted".to_owned(),
            Incident::NotCounted(error) => format!("not counted: {}", error.kind),
        };
        self.0.lock().unwrap().push(line);
    }
}

impl Reported {
    /// What the worker of this site reports from now on.
    pub(crate) fn of(world: &mut World, site: &str) -> Arc<Self> {
        let reported = Arc::new(Self::default());
        world.workers.get_mut(&site.parse().unwrap()).unwrap().incidents = reported.clone();
        reported
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

/// The body of an event: `second` is after the world's beginning.
pub(crate) fn event(id: u128, origin: &str, op: &str, key: &str, second: i64) -> Value {
    let timestamp = START.parse::<chrono::DateTime<chrono::Utc>>().unwrap() + chrono::TimeDelta::seconds(second);
    json!({
        "event_id": uuid::Uuid::from_u128(id).to_string(),
        "source_region": origin,
        "op_type": op,
        "payload": { "id": key, "from": origin, "number": id.to_string() },
        "timestamp": timestamp.to_rfc3339(),
    })
}
