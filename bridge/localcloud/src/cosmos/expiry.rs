//! When items expire, noted from the writes that pass by; the gateway itself keeps them for ever.
//!
//! The notes are exact, because the caller holds the lock on writes from the write to the note.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::UNIX_EPOCH;

use serde_json::Value;

use super::gateway::{self, Message};
use super::operation::Target;
use crate::fault::ServiceFaults;

pub(super) struct Expiry {
    faults: ServiceFaults,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Containers by (database, container).
    containers: HashMap<(String, String), Container>,
    /// When each item that will expire does, in seconds of Unix time by the service's clock.
    ends: HashMap<Arc<Item>, u64>,
    /// The same, in order of time.
    order: BTreeSet<(u64, Arc<Item>)>,
}

struct Container {
    /// Seconds; -1 for "only items that say so"; `None` if time to live is off.
    default_ttl: Option<i64>,
    key_paths: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Item {
    database: String,
    container: String,
    /// The partition key as the header has it, in one spelling.
    key: String,
    id: String,
}

impl Expiry {
    pub(super) fn new(faults: ServiceFaults) -> Self {
        Self { faults, state: Mutex::default() }
    }

    pub(super) fn note_container(&self, target: &Target, properties: &Value) {
        let name = properties["id"].as_str().unwrap_or(&target.container).to_owned();
        let paths = properties["partitionKey"]["paths"].as_array().into_iter().flatten();
        let container = Container {
            default_ttl: properties["defaultTtl"].as_i64(),
            key_paths: paths.filter_map(|path| path.as_str().map(str::to_owned)).collect(),
        };
        self.state().containers.insert((target.database.clone(), name), container);
    }

    /// Forgets a container, or a database with all of its containers.
    pub(super) fn forget(&self, target: &Target) {
        let gone = |database: &str, container: &str| {
            database == target.database && (target.container.is_empty() || container == target.container)
        };
        let mut state = self.state();
        state.containers.retain(|(database, container), _| !gone(database, container));
        state.ends.retain(|item, _| !gone(&item.database, &item.container));
        state.order.retain(|(_, item)| !gone(&item.database, &item.container));
    }

    /// Whether items of this container can expire at all.
    pub(super) fn is_on(&self, target: &Target) -> bool {
        let name = (target.database.clone(), target.container.clone());
        self.state().containers.get(&name).is_some_and(|container| container.default_ttl.is_some())
    }

    pub(super) fn note_item(&self, target: &Target, key: Option<&str>, item: &Value) {
        let name = (target.database.clone(), target.container.clone());
        let now = self.now();
        let mut state = self.state();
        let Some(container) = state.containers.get(&name) else { return };
        let Some(default_ttl) = container.default_ttl else { return };
        let key = key.map_or_else(|| key_of(item, &container.key_paths), canonical);
        let id = item["id"].as_str().unwrap_or(&target.item).to_owned();
        let item_name = Arc::new(Item { database: name.0, container: name.1, key, id });
        let ttl = item["ttl"].as_i64().unwrap_or(default_ttl);
        state.set(item_name, u64::try_from(ttl).ok().filter(|ttl| *ttl > 0).map(|ttl| now + ttl));
    }

    pub(super) fn forget_item(&self, target: &Target, key: Option<&str>) {
        let Some(key) = key.map(canonical) else { return };
        let (database, container, id) = (target.database.clone(), target.container.clone(), target.item.clone());
        self.state().set(Arc::new(Item { database, container, key, id }), None);
    }

    pub(super) fn note_batch(&self, target: &Target, key: Option<&str>, operations: &Value) {
        for operation in operations.as_array().into_iter().flatten() {
            match operation["operationType"].as_str().unwrap_or_default() {
                "Create" | "Upsert" | "Replace" => self.note_item(target, key, &operation["resourceBody"]),
                "Delete" => {
                    let id = operation["id"].as_str().unwrap_or_default().to_owned();
                    let (database, container) = (target.database.clone(), target.container.clone());
                    self.forget_item(&Target { operation: target.operation, database, container, item: id }, key);
                }
                _ => {}
            }
        }
    }

    pub(super) fn has_due(&self) -> bool {
        let now = self.now();
        self.state().order.first().is_some_and(|(end, _)| *end <= now)
    }

    /// Takes the next expired item off the list, as the request that deletes it.
    pub(super) fn next_due(&self) -> Option<Message> {
        let now = self.now();
        let mut state = self.state();
        let (end, item) = state.order.pop_first()?;
        if end > now {
            state.order.insert((end, item));
            return None;
        }
        state.ends.remove(&item);
        let [database, container, id] = [&item.database, &item.container, &item.id].map(|name| gateway::encode(name));
        Some(Message::delete(format!("/dbs/{database}/colls/{container}/docs/{id}"), &item.key))
    }

    fn now(&self) -> u64 {
        self.faults.now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn set(&mut self, item: Arc<Item>, end: Option<u64>) {
        let before = match end {
            Some(end) => self.ends.insert(Arc::clone(&item), end),
            None => self.ends.remove(&item),
        };
        if let Some(before) = before {
            self.order.remove(&(before, Arc::clone(&item)));
        }
        if let Some(end) = end {
            self.order.insert((end, item));
        }
    }
}

/// One spelling for a partition key header, whatever spaces or escapes its client writes; ASCII, as a header must be.
fn canonical(header: &str) -> String {
    let Ok(key) = serde_json::from_str::<Value>(header) else { return header.to_owned() };
    ascii(&key.to_string())
}

/// The partition key of an item whose request did not name it.
fn key_of(item: &Value, paths: &[String]) -> String {
    let part = |path: &String| item.pointer(path).cloned().unwrap_or_else(|| Value::Object(serde_json::Map::new()));
    ascii(&Value::Array(paths.iter().map(part).collect()).to_string())
}

fn ascii(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for character in json.chars() {
        if character.is_ascii() {
            text.push(character);
        } else {
            let mut units = [0; 2];
            for unit in character.encode_utf16(&mut units) {
                write!(text, "\\u{unit:04x}").expect("a string takes all that is written");
            }
        }
    }
    text
}
