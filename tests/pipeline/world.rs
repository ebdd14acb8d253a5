//! A few sites on memory, driven by hand: the simulation's own world, without its faults and waits.

pub(crate) use bridge_simulation::{
    site::Site,
    world::{START, World, message, policy},
};
use std::sync::{Arc, Mutex};

use bridge_core::incident::{Incident, Incidents};
use serde_json::{Value, json};

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
            Incident::StillHalted(error) => format!("still halted: {}", error.kind),
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
