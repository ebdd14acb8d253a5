//! Replicas of a global table: noted by `UpdateTable`, shown by `DescribeTable`. Nothing is replicated, as there is one region here.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};

use dynoxide::DynoxideError;
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::Failed;

/// The version that `UpdateTable` makes.
///
/// # Source
/// DynamoDB API reference, `TableDescription`, `GlobalTableVersion`, read 2026-11.
const VERSION: &str = "2019.11.21";

/// What an `UpdateTable` asks for.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Update {
    pub(super) table_name: String,
    replica_updates: Vec<Change>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
enum Change {
    Create(Region),
    Update(Region),
    Delete(Region),
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Region {
    region_name: String,
}

impl Update {
    /// `None` if the request changes no replicas: then it is the engine's.
    pub(super) fn of(body: &[u8]) -> Option<Self> {
        serde_json::from_slice(body).ok()
    }
}

pub(super) struct Replicas {
    own: String,
    tables: Mutex<HashMap<String, BTreeSet<String>>>,
}

impl Replicas {
    pub(super) fn new(own: &str) -> Self {
        Self { own: own.to_owned(), tables: Mutex::default() }
    }

    /// Notes the replicas of a table that is there.
    pub(super) fn change(&self, update: &Update) -> Result<(), Failed> {
        let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        let mut regions = tables.get(&update.table_name).cloned().unwrap_or_default();
        for change in &update.replica_updates {
            let (Change::Create(region) | Change::Update(region) | Change::Delete(region)) = change;
            let name = &region.region_name;
            if *name == self.own {
                return Err(invalid("Cannot add, delete, or update the local region through ReplicaUpdates."));
            }
            let known = regions.contains(name);
            match change {
                Change::Create(_) => drop(regions.insert(name.clone())),
                Change::Delete(_) if known => drop(regions.remove(name)),
                Change::Update(_) if known => {}
                Change::Delete(_) | Change::Update(_) => {
                    return Err(invalid("One or more replicas were not part of the global table."));
                }
            }
        }
        tables.insert(update.table_name.clone(), regions);
        Ok(())
    }

    pub(super) fn forget(&self, table: &str) {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner).remove(table);
    }

    /// Adds a table's replicas to its description.
    pub(super) fn describe(&self, table: &mut Value) {
        let tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        let regions = table["TableName"].as_str().and_then(|name| tables.get(name));
        let Some(regions) = regions.filter(|regions| !regions.is_empty()) else { return };
        let replica = |region: &String| json!({ "RegionName": region, "ReplicaStatus": "ACTIVE" });
        table["GlobalTableVersion"] = VERSION.into();
        table["Replicas"] = regions.iter().map(replica).collect();
    }
}

fn invalid(message: &str) -> Failed {
    DynoxideError::ValidationException(message.to_owned()).into()
}
