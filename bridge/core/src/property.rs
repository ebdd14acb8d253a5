//! Names of the properties that the bridge writes: on every message, on a copy that it gives back, on a letter.

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat, Utc};

/// Named texts beside a body: message attributes in SQS, application properties in Service Bus.
pub type Properties = BTreeMap<String, String>;

/// What every name of the bridge's own begins with. A producer's property has another.
pub const PREFIX: &str = "bridge_";
/// The site that forwarded the event. A mark: [`Marks`](crate::marks::Marks).
pub const FORWARDED_BY: &str = "bridge_forwarded_by";
/// Who decided that the event may be older than deletes are remembered: `import` or `replay`. A mark.
pub const ACCEPT_OLD: &str = "bridge_accept_old";
/// On an event of the bridge's own, whose key is reserved: `heartbeat`, `state` or `drill`. A mark.
pub const OWN_EVENT: &str = "bridge_own_event";
/// On a copy that stands in for a message which is to come later: the message's id. [`ATTEMPT`] and [`FIRST_SEEN`] are
/// believed beside it, and in letters.
pub const COPY_OF: &str = "bridge_copy_of";
/// What the adapter of a queue notes on a message that the broker moved here by itself: nobody but its producer wrote its properties.
pub const MOVED_BY_BROKER: &str = "bridge_moved_by_broker";
/// The code of `schema/dead-letter-reasons.json`.
pub const REASON: &str = "bridge_reason";
/// What is wrong, in words.
pub const DETAIL: &str = "bridge_detail";
/// The queue that the message was taken from.
pub const SOURCE_QUEUE: &str = "bridge_source_queue";
/// How often the message was delivered.
pub const ATTEMPT: &str = "bridge_attempt";
/// When the message first came into its queue, RFC 3339.
pub const FIRST_SEEN: &str = "bridge_first_seen";
/// The sites that have not confirmed the event, separated by commas.
pub const OWED: &str = "bridge_owed";
/// On a letter that holds an excerpt in place of the body: how many bytes the body has.
pub const BODY_BYTES: &str = "bridge_body_bytes";
/// On such a letter: the SHA-256 of the body, in hexadecimal digits.
pub const BODY_SHA256: &str = "bridge_body_sha256";
/// The event's name, on forwarded messages: for people who look into a queue.
pub const EVENT_ID: &str = "bridge_event_id";
/// W3C trace context.
pub const TRACEPARENT: &str = "traceparent";
/// What the tracing systems on the way note beside it; passed on as it came.
pub const TRACESTATE: &str = "tracestate";
/// The older name of the trace context in Azure's clients.
pub const DIAGNOSTIC_ID: &str = "Diagnostic-Id";

/// Whether the name is one of the bridge's own, known to this version or not.
pub fn is_own(name: &str) -> bool {
    name.starts_with(PREFIX)
}

/// The form of times in properties, in records' `applied_at` and in reports.
pub fn rfc3339(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}
