//! Heartbeats: events of a site's own, under a reserved key, that take the way of all others. Their age in another
//! site's store is the lag, and their absence is silence.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::json;
use uuid::Uuid;

use crate::event::SiteId;

/// What every reserved key begins with. An application that uses it writes over the bridge's own records.
pub const RESERVED: &str = "_bridge/";

/// The key of a site's heartbeat.
pub fn key(site: &SiteId) -> String {
    format!("{RESERVED}heartbeat/{site}")
}

/// The event, as bytes for the site's own queue. `at` is the site's time now, which makes each one newer than the last.
pub fn event(site: &SiteId, event_id: Uuid, at: DateTime<Utc>) -> Vec<u8> {
    let event = json!({
        "event_id": event_id.to_string(),
        "source_region": site.as_str(),
        "op_type": "upsert",
        "key": key(site),
        "payload": { "heartbeat": site.as_str() },
        "timestamp": at.to_rfc3339_opts(SecondsFormat::Nanos, true),
    });
    event.to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope;

    #[test]
    fn a_heartbeat_is_an_event_like_any_other() {
        let site: SiteId = "azure:westeurope".parse().unwrap();
        let at: DateTime<Utc> = "2026-11-21T01:02:03.000000004Z".parse().unwrap();
        let bytes = event(&site, Uuid::nil(), at);
        let event = envelope::decode(&bytes, "/nowhere").unwrap();
        assert_eq!(event.key.as_str(), "_bridge/heartbeat/azure:westeurope");
        assert_eq!(event.origin, site);
        assert_eq!(event.timestamp.utc, at, "nanoseconds and all");
    }
}
