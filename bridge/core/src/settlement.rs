//! How a delivery ends, as data: the worker says it, the host carries it out.

use std::{collections::BTreeSet, time::Duration};

use chrono::{DateTime, SecondsFormat, Utc};

use crate::{event::SiteId, reason::Refusal};

/// How a delivery ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// Done: remove the message.
    Ack,
    /// Not now: deliver it again after this long.
    Retry {
        /// How long to hide the message.
        after: Duration,
    },
    /// Set it aside, where an operator finds it.
    DeadLetter(Letter),
    /// Take nothing more, and give this message back untouched: none can succeed until an operator acts.
    Halt {
        /// What is broken.
        detail: String,
    },
}

/// Why a message is set aside, and who has not confirmed its event yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// The code, and the words for it.
    pub refusal: Refusal,
    /// The sites that have not confirmed the event: `replay --to owed` sends it to just these.
    pub owed: BTreeSet<SiteId>,
}

/// Names of the properties that the bridge writes: on every message, on a copy that it gives back, on a letter.
pub mod property {
    /// What every name of the bridge's own begins with. A producer's property has another.
    pub const PREFIX: &str = "bridge_";
    /// The site that forwarded the event. A mark: [`Marks`](crate::marks::Marks).
    pub const FORWARDED_BY: &str = "bridge_forwarded_by";
    /// Who decided that the event may be older than deletes are remembered: `import` or `replay`. A mark.
    pub const ACCEPT_OLD: &str = "bridge_accept_old";
    /// On an event of the bridge's own, whose key is reserved: `heartbeat` or `drill`. A mark.
    pub const OWN_EVENT: &str = "bridge_own_event";
    /// On a copy that stands in for a message which is to come later: the message's id. [`ATTEMPT`] and [`FIRST_SEEN`] are
    /// believed beside it, and in letters.
    pub const COPY_OF: &str = "bridge_copy_of";
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
}

impl Letter {
    /// A letter of what nobody is owed: no site has it, or nobody knows who lacks it.
    pub fn owed_to_nobody(refusal: Refusal) -> Self {
        Self { refusal, owed: BTreeSet::new() }
    }
}

/// The form of times in properties, in records' `applied_at` and in reports.
pub fn rfc3339(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}
