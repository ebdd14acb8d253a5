//! Removes items whose time to live is over, without looking at tables in which nothing can have expired.
//!
//! The engine can sweep a table, at the price of reading all of it. So this notes, from the writes that pass by, at which
//! times of day something may expire, and sweeps only then. A missed or wrong note costs a late or a useless sweep, never
//! a wrong removal: what has expired is decided by the engine, item by item.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use dynoxide::Database;
use dynoxide::storage_backend::Clock;
use serde_json::Value;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::fault::ServiceFaults;

/// Sweeps no more often than this, however much expires.
const SWEEP_PAUSE: Duration = Duration::from_secs(1);

/// Share of the time that may go into sweeping, as one in so many: a large table is swept more rarely.
const SWEEP_SHARE: u32 = 20;

/// The engine's clock: the time of day as the service sees it, so that a shifted clock also expires items.
pub(super) struct ServiceClock(pub(super) ServiceFaults);

impl Clock for ServiceClock {
    fn now_unix_secs(&self) -> u64 {
        unix_time(self.0.now()).as_secs()
    }

    fn now_unix_secs_f64(&self) -> f64 {
        unix_time(self.0.now()).as_secs_f64()
    }
}

fn unix_time(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// The notes: which attribute each table expires by, and when something may.
pub(super) struct Expiry {
    faults: ServiceFaults,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    /// TTL attribute by table name; tables without one are not here.
    attributes: HashMap<String, String>,
    /// Times at which to sweep, in seconds of Unix time.
    due: BTreeSet<u64>,
}

impl Expiry {
    pub(super) fn new(faults: ServiceFaults) -> Self {
        Self { faults, state: Mutex::default(), changed: Notify::new() }
    }

    /// Looks at an operation that succeeded.
    pub(super) fn note(&self, operation: &str, body: &[u8]) {
        match operation {
            "UpdateTimeToLive" => self.note_setting(body),
            "PutItem"
            | "UpdateItem"
            | "BatchWriteItem"
            | "TransactWriteItems"
            | "ExecuteStatement"
            | "BatchExecuteStatement"
            | "ExecuteTransaction" => self.note_write(body),
            _ => {}
        }
    }

    fn note_setting(&self, body: &[u8]) {
        let Ok(request) = serde_json::from_slice::<Value>(body) else { return };
        let table = request["TableName"].as_str().unwrap_or_default();
        let setting = &request["TimeToLiveSpecification"];
        let mut state = self.state();
        match (setting["Enabled"].as_bool(), setting["AttributeName"].as_str()) {
            (Some(true), Some(attribute)) => {
                state.attributes.insert(table.to_owned(), attribute.to_owned());
                // What is already in the table may have expired long ago.
                state.due.insert(self.now());
                drop(state);
                self.changed.notify_one();
            }
            _ => {
                state.attributes.remove(table);
            }
        }
    }

    fn note_write(&self, body: &[u8]) {
        let now = self.now();
        let mut state = self.state();
        let attributes: Vec<String> = state.attributes.values().cloned().collect();
        // Most writes name no TTL attribute at all; those are not parsed a second time.
        let text = std::str::from_utf8(body).unwrap_or_default();
        if !attributes.iter().any(|name| text.contains(name.as_str())) {
            return;
        }
        let mut times = Vec::new();
        match serde_json::from_str(text) {
            Ok(request) => find_times(&request, &attributes, false, &mut times),
            Err(_) => return,
        }
        if times.is_empty() {
            // Named, but its value is elsewhere, as in a statement's text: look once soon.
            times.push(now);
        }
        let before = state.due.first().copied();
        state.due.extend(times.into_iter().map(|time| coarsen(time, now)));
        let sooner = state.due.first() != before.as_ref();
        drop(state);
        if sooner {
            self.changed.notify_one();
        }
    }

    /// Waits until something may have expired, and takes that time (and all before it) off the list.
    async fn due(&self) {
        let mut clock = self.faults.subscribe();
        loop {
            let now = self.now();
            let next = {
                let mut state = self.state();
                let later = state.due.split_off(&now);
                let passed = std::mem::replace(&mut state.due, later);
                if !passed.is_empty() {
                    return;
                }
                state.due.first().copied()
            };
            // An item expires when its second is over, not when it begins.
            let wait = next.map(|next| Duration::from_secs((next - now).saturating_add(1)));
            tokio::select! {
                () = self.changed.notified() => {}
                _ = clock.changed() => {}
                () = sleep(wait) => {}
            }
        }
    }

    fn now(&self) -> u64 {
        unix_time(self.faults.now()).as_secs()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn sleep(wait: Option<Duration>) {
    match wait {
        Some(wait) => tokio::time::sleep(wait).await,
        None => std::future::pending().await,
    }
}

/// Rounds a time up, the more the further away it is, so that a million tombstones leave a few hundred notes.
///
/// The service itself promises removal "within a few days of expiry" (developer guide, "Time to live", read 2026-11); one
/// part in 64 keeps a test's two seconds exact and a tombstone's 60 days within about a day.
fn coarsen(time: u64, now: u64) -> u64 {
    let step = (time.saturating_sub(now) / 64).next_power_of_two();
    time.checked_next_multiple_of(step).unwrap_or(time)
}

/// Finds the numbers that an item or an expression may give to a TTL attribute.
fn find_times(value: &Value, attributes: &[String], named: bool, times: &mut Vec<u64>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                if named && name == "N" {
                    times.extend(member.as_str().and_then(|text| text.parse::<u64>().ok()));
                    continue;
                }
                // A value of an expression or a parameter may be for any attribute.
                let any = matches!(name.as_str(), "ExpressionAttributeValues" | "Parameters");
                let named = any || attributes.contains(name) || (named && name.starts_with(':'));
                find_times(member, attributes, named, times);
            }
        }
        Value::Array(members) => members.iter().for_each(|member| find_times(member, attributes, named, times)),
        _ => {}
    }
}

/// The task that sweeps when something is due.
pub(super) struct Sweeper(JoinHandle<()>);

impl Sweeper {
    pub(super) fn start(database: Database, expiry: Arc<Expiry>) -> Self {
        Self(tokio::spawn(async move {
            loop {
                expiry.due().await;
                let database = database.clone();
                let begun = Instant::now();
                match tokio::task::spawn_blocking(move || database.sweep_ttl()).await {
                    Ok(Ok(removed)) => tracing::debug!(removed, "expired items removed"),
                    Ok(Err(error)) => tracing::warn!(%error, "expired items could not be removed"),
                    Err(error) => tracing::warn!(%error, "the removal of expired items was broken off"),
                }
                tokio::time::sleep(SWEEP_PAUSE.max(begun.elapsed() * SWEEP_SHARE)).await;
            }
        }))
    }
}

impl Drop for Sweeper {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fault::{Faults, Service};

    fn times(request: &Value) -> Vec<u64> {
        let mut times = Vec::new();
        find_times(request, &["expires_at".to_owned()], false, &mut times);
        times.sort_unstable();
        times
    }

    #[test]
    fn times_are_found_in_items_batches_and_expressions() {
        let item = json!({ "pk": { "S": "a" }, "n": { "N": "1" }, "expires_at": { "N": "77" } });
        assert_eq!(times(&json!({ "TableName": "t", "Item": item })), [77]);
        assert_eq!(times(&json!({ "RequestItems": { "t": [{ "PutRequest": { "Item": item } }] } })), [77]);
        let update = json!({
            "UpdateExpression": "SET #e = :e",
            "ExpressionAttributeNames": { "#e": "expires_at" },
            "ExpressionAttributeValues": { ":e": { "N": "88" }, ":s": { "S": "99" } },
        });
        assert_eq!(times(&json!({ "TransactItems": [{ "Update": update }] })), [88]);
        assert_eq!(times(&json!({ "Item": { "expires_at": { "S": "77" }, "n": { "N": "1" } } })), Vec::<u64>::new());
    }

    #[tokio::test]
    async fn a_shifted_clock_makes_far_times_due() {
        let faults = Faults::new(1).service(Service::Dynamodb, "us-east-1");
        let expiry = Arc::new(Expiry::new(faults.clone()));
        expiry.state().attributes.insert("t".to_owned(), "expires_at".to_owned());
        let body = json!({ "Item": { "expires_at": { "N": (expiry.now() + 86_400).to_string() } } }).to_string();
        expiry.note("PutItem", body.as_bytes());
        let waiting = tokio::spawn({
            let expiry = Arc::clone(&expiry);
            async move { expiry.due().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        faults.set_clock_offset(2 * 86_400_000);
        tokio::time::timeout(Duration::from_secs(5), waiting).await.expect("the shift went unseen").unwrap();
    }

    #[test]
    fn near_times_stay_exact_and_far_ones_become_few() {
        assert_eq!(coarsen(1_000_063, 1_000_000), 1_000_063);
        let days = |days: u64| days * 86_400;
        let far: BTreeSet<u64> =
            (0..100_000).map(|second| coarsen(1_700_000_000 + days(35) + second, 1_700_000_000)).collect();
        assert!(far.len() < 10, "{}", far.len());
        assert!(*far.first().unwrap() >= 1_700_000_000 + days(35));
        assert_eq!(coarsen(5, 1_000_000), 5);
        assert_eq!(coarsen(u64::MAX, 0), u64::MAX);
    }
}
