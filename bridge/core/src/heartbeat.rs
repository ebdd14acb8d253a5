//! Heartbeats: events of a site's own, under a reserved key, that take the way of all others. How long one takes to
//! another site's store is the lag, and its absence is silence. Each carries what its worker knows of itself.

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use crate::{
    event::SiteId,
    marks::{Marks, Own},
    port::{Message, Properties},
    record::Record,
    reserved,
};

/// What a worker says of itself with each heartbeat.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Status {
    /// Names the process: its counts begin with it.
    pub instance: String,
    /// Milliseconds from one heartbeat of the site to the next.
    pub every_ms: u32,
    /// How far the worker's clock is ahead of its cloud's, in milliseconds; none where that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clock_skew_ms: Option<i64>,
    /// Whether the heartbeat is stamped by its cloud's clock. One that is stamped ahead would hide those that come once the clock is right.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub stamped_by_cloud: bool,
    /// The state of the circuit to each peer.
    pub circuits: BTreeMap<String, String>,
    /// Deliveries by outcome since the process began.
    pub events: BTreeMap<String, u64>,
    /// Conflicts of all kinds since the process began.
    pub conflicts: u64,
}

impl Status {
    /// How far the worker's clock is ahead of its cloud's, as far as it knows.
    pub fn ahead(&self) -> TimeDelta {
        self.clock_skew_ms.and_then(TimeDelta::try_milliseconds).unwrap_or_default()
    }
}

/// The event, as bytes for the site's own queue. `at` makes each one newer than the last.
pub fn event(site: &SiteId, event_id: Uuid, at: DateTime<Utc>, status: &Status) -> Vec<u8> {
    let event = json!({
        "event_id": event_id.to_string(),
        "source_region": site.as_str(),
        "op_type": "upsert",
        "key": reserved::heartbeat(site).as_str(),
        "payload": { "heartbeat": site.as_str(), "worker": status },
        "timestamp": at.to_rfc3339_opts(SecondsFormat::Nanos, true),
    });
    event.to_string().into_bytes()
}

/// The message that carries a heartbeat to the queue of `site`, under the name `id` of its send. `now` is the worker's time; it is
/// corrected by what the status knows of the worker's clock.
pub fn message(site: &SiteId, event_id: Uuid, id: String, now: DateTime<Utc>, status: &Status) -> Message {
    let corrected = status.clock_skew_ms.and_then(|_| now.checked_sub_signed(status.ahead()));
    let status = &Status { stamped_by_cloud: corrected.is_some(), ..status.clone() };
    let at = corrected.unwrap_or(now);
    let mut properties = Properties::new();
    Marks::of(Own::Heartbeat).write(&mut properties);
    Message { id, body: event(site, event_id, at, status).into(), properties }
}

/// A heartbeat that arrived in a store.
#[derive(Clone, Debug, PartialEq)]
pub struct Heard {
    /// When it was sent, by its cloud's clock as far as its worker knew it.
    pub sent: DateTime<Utc>,
    /// When it was written, by the clock of the worker that wrote it.
    pub written: DateTime<Utc>,
    /// What its worker said of itself; none in a heartbeat from before it did.
    pub status: Option<Status>,
}

impl Heard {
    /// Reads it from the record that it left.
    pub fn read(record: &Record) -> Option<Self> {
        let status = record.payload.as_ref()?.get("worker");
        let status: Option<Status> = status.and_then(|status| serde_json::from_str(status).ok());
        let stamp = record.version.timestamp();
        let ahead = status.as_ref().filter(|status| !status.stamped_by_cloud).map(Status::ahead).unwrap_or_default();
        let sent = stamp.checked_sub_signed(ahead).unwrap_or(stamp);
        Some(Self { sent, written: record.applied_at.parse().ok()?, status })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{envelope, event::Event};

    #[test]
    fn a_heartbeat_is_an_event_like_any_other() {
        let site: SiteId = "azure:westeurope".parse().unwrap();
        let at: DateTime<Utc> = "2026-11-21T01:02:03.000000004Z".parse().unwrap();
        let status = Status {
            instance: "i".to_owned(),
            every_ms: 30_000,
            clock_skew_ms: Some(0),
            stamped_by_cloud: true,
            circuits: BTreeMap::from([("aws:us-east-1".to_owned(), "open".to_owned())]),
            events: BTreeMap::from([("applied".to_owned(), 3)]),
            conflicts: 1,
        };
        let message = message(&site, Uuid::nil(), "id".to_owned(), at, &status);
        let event = envelope::decode_marked(&message.body, "/nowhere", &Marks::read(&message.properties)).unwrap();
        assert_eq!(event.key.as_str(), "_bridge/heartbeat/azure:westeurope");
        assert!(event.origin == site && reserved::is_heartbeat(&event.key, &event.origin));
        assert!(!reserved::is_heartbeat(&event.key, &"aws:us-east-1".parse().unwrap()), "another site's");
        assert_eq!(event.timestamp.utc, at, "nanoseconds and all");

        let written = at + TimeDelta::milliseconds(40);
        let record = Record::new(&event, &"aws:us-east-1".parse().unwrap(), written, Duration::ZERO);
        let heard = Heard::read(&record).unwrap();
        assert_eq!((heard.sent, heard.status), (at, Some(status)));
        assert_eq!((heard.written - written).num_milliseconds(), 0);
    }

    /// Whichever way the stamp came about: one of before the update, from a clock that is not known, or corrected.
    #[test]
    fn a_wrong_clock_neither_hides_later_heartbeats_nor_shifts_when_they_were_sent() {
        let site: SiteId = "azure:westeurope".parse().unwrap();
        let right: DateTime<Utc> = "2026-11-21T01:02:03Z".parse().unwrap();
        let read = |event: &Event| Heard::read(&Record::new(event, &site, right, Duration::ZERO)).unwrap();
        for (ahead_ms, stamped) in [(Some(7_200_000), right), (Some(-7_200_000), right), (None, right)] {
            let status = Status { clock_skew_ms: ahead_ms, ..Status::default() };
            let sent = message(&site, Uuid::nil(), String::new(), right + status.ahead(), &status);
            let event = envelope::decode_marked(&sent.body, "/nowhere", &Marks::read(&sent.properties)).unwrap();
            let heard = read(&event);
            assert_eq!((event.timestamp.utc, heard.sent), (stamped, right), "{ahead_ms:?}");
            assert_eq!(heard.status.unwrap().clock_skew_ms, ahead_ms);

            let raw = super::event(&site, Uuid::nil(), right + status.ahead(), &status);
            let old = envelope::decode_marked(&raw, "/nowhere", &Marks::of(Own::Heartbeat)).unwrap();
            assert_eq!(read(&old).sent, right, "of before the update");
        }
    }
}
