//! Every metric: its name, unit, labels and stability, in one place. The host measures, this says what; the table of
//! `docs/observability.md` is held against it by a test.
//!
//! Names and units are OpenTelemetry's. Prometheus gets them as its conventions have it: dots become underscores, `s`
//! becomes `_seconds`, a counter ends in `_total`.

/// How a metric adds up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// The last value counts.
    Gauge,
    /// Counts by size.
    Histogram,
}

impl Kind {
    /// The word in documents.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// What may change about a metric, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stability {
    /// Name, unit, labels and meaning stay; a change stands under "breaking" in the changelog.
    Stable,
    /// It may change with any version; the changelog says so.
    Experimental,
}

impl Stability {
    /// The word in documents.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stable => "stable",
            Self::Experimental => "experimental",
        }
    }
}

/// One metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    /// Its name in OpenTelemetry.
    pub name: &'static str,
    /// How it adds up.
    pub kind: Kind,
    /// Its unit, in UCUM: `s`, or `{what}` that is counted.
    pub unit: &'static str,
    /// Its labels, in OpenTelemetry attributes.
    pub labels: &'static [&'static str],
    /// What may change about it.
    pub stability: Stability,
    /// What it says.
    pub help: &'static str,
}

impl Metric {
    /// Its name in Prometheus.
    pub fn prometheus(&self) -> String {
        let unit = if self.unit == "s" { "_seconds" } else { "" };
        let total = if self.kind == Kind::Counter { "_total" } else { "" };
        format!("{}{unit}{total}", self.name.replace('.', "_"))
    }
}

/// Names of labels.
pub mod label {
    /// The site whose worker measured, `cloud:region`.
    pub const SITE: &str = "site";
    /// The site that an event comes from.
    pub const FROM: &str = "from";
    /// The site that an event goes to.
    pub const TO: &str = "to";
    /// What became of it.
    pub const OUTCOME: &str = "outcome";
    /// Why it was set aside, a code of `schema/dead-letter-reasons.json`.
    pub const REASON: &str = "reason";
    /// Which queue of a site: `events` or `dead_letters`.
    pub const QUEUE: &str = "queue";
    /// The state of a message: `visible`, `leased`, `backing_off`, `scheduled` or `set_aside`.
    pub const STATE: &str = "state";
    /// Why a write was lost: `two_sites` or `two_contents`.
    pub const KIND: &str = "kind";
}

const fn metric(
    name: &'static str,
    kind: Kind,
    unit: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
) -> Metric {
    Metric { name, kind, unit, labels, stability: Stability::Stable, help }
}

/// Seconds from an event's timestamp to its write in a store.
pub const LAG: Metric = metric(
    "bridge.replication.lag",
    Kind::Histogram,
    "s",
    &[label::FROM, label::TO],
    "time from an event's timestamp to its write in the store of `to`; heartbeats count too, so it is known without traffic",
);
/// Deliveries by what became of them.
pub const EVENTS: Metric = metric(
    "bridge.events",
    Kind::Counter,
    "{event}",
    &[label::SITE, label::OUTCOME],
    "deliveries by outcome: applied, superseded, duplicate, retried, dead_letter, halted, store_away (given back, for the store is away), dropped (a refused heartbeat or state)",
);
/// Seconds of a write to the site's store.
pub const APPLY_DURATION: Metric = metric(
    "bridge.apply.duration",
    Kind::Histogram,
    "s",
    &[label::SITE, label::OUTCOME],
    "duration of one conditional write to the site's store; outcome is ok or the kind of failure",
);
/// Seconds of a send to a peer.
pub const FORWARD_DURATION: Metric = metric(
    "bridge.forward.duration",
    Kind::Histogram,
    "s",
    &[label::FROM, label::TO, label::OUTCOME],
    "duration of one batch send to a peer's queue; outcome is ok or the kind of failure",
);
/// Messages set aside.
pub const DEAD_LETTERS: Metric = metric(
    "bridge.dead_letters",
    Kind::Counter,
    "{message}",
    &[label::SITE, label::REASON],
    "messages that this site's worker moved to the dead letters, by reason",
);
/// Messages waiting.
pub const BACKLOG: Metric = metric(
    "bridge.queue.backlog",
    Kind::Gauge,
    "{message}",
    &[label::SITE, label::QUEUE],
    "messages in the site's queue (in flight and delayed ones included) or among its dead letters, as the broker counts them; absent if the broker does not say",
);
/// Messages by state.
pub const MESSAGES: Metric = metric(
    "bridge.queue.messages",
    Kind::Gauge,
    "{message}",
    &[label::SITE, label::STATE],
    "messages of the site by state, each in one: visible, leased (in a worker's hands), backing_off (given back for a retry, as this worker counts them), scheduled, set_aside (dead letters); absent where the broker does not say",
);
/// Age of the oldest waiting message.
pub const OLDEST_AGE: Metric = metric(
    "bridge.queue.oldest_age",
    Kind::Gauge,
    "s",
    &[label::SITE],
    "age of the oldest message in the site's queue, as the broker reports it or as seen on receipt; 0 if none is known",
);
/// A peer's circuit breaker.
pub const CIRCUIT: Metric = metric(
    "bridge.peer.circuit",
    Kind::Gauge,
    "{state}",
    &[label::FROM, label::TO],
    "state of the circuit breaker of a peer: 0 closed, 1 half-open, 2 open",
);
/// How far a worker's clock is ahead of its queue's.
pub const CLOCK_SKEW: Metric = metric(
    "bridge.clock.skew",
    Kind::Gauge,
    "s",
    &[label::SITE],
    "how far the worker's clock is ahead of its queue's service (negative: behind); 0 while no skew is proven",
);
/// Writes that lost to another site's, or to another content of the same event.
pub const CONFLICTS: Metric = metric(
    "bridge.conflicts",
    Kind::Counter,
    "{event}",
    &[label::SITE, label::KIND],
    "lost writes: two_sites, to a write of another site, counted where the loser arrives last; two_contents, to another content of the same event, a producer's mistake",
);
/// Whether the worker is halted.
pub const HALTED: Metric = metric(
    "bridge.halted",
    Kind::Gauge,
    "{worker}",
    &[label::SITE],
    "1 while the worker is halted and waits for an operator, else 0",
);
/// Whether the site's own store is away.
pub const STORE_AWAY: Metric = metric(
    "bridge.store.away",
    Kind::Gauge,
    "{worker}",
    &[label::SITE],
    "1 while the worker takes nothing because its own store answers nobody or throttles everything, else 0",
);
/// When the last heartbeat was written.
pub const HEARTBEAT: Metric = metric(
    "bridge.heartbeat.time",
    Kind::Gauge,
    "s",
    &[label::FROM, label::TO],
    "Unix timestamp of the last heartbeat of `from` that arrived in `to`; its age measures silence",
);
/// Telemetry that was given up.
pub const DROPPED: Metric = Metric {
    stability: Stability::Experimental,
    ..metric(
        "bridge.telemetry.dropped",
        Kind::Counter,
        "{span}",
        &[],
        "spans dropped because no receiver took them in time",
    )
};

/// Every metric.
pub const ALL: [Metric; 15] = [
    LAG,
    EVENTS,
    APPLY_DURATION,
    FORWARD_DURATION,
    DEAD_LETTERS,
    BACKLOG,
    MESSAGES,
    OLDEST_AGE,
    CIRCUIT,
    CLOCK_SKEW,
    CONFLICTS,
    HALTED,
    STORE_AWAY,
    HEARTBEAT,
    DROPPED,
];

/// Upper bounds of the lag's buckets, in seconds. Ours: fine where the goal is (50 ms to 2 s), coarse over a dark site.
pub const LAG_BUCKETS: [f64; 18] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3_600.0, 14_400.0,
    86_400.0,
];

/// Upper bounds of a request's buckets, in seconds. Ours: a millisecond is loopback, 30 s the longest limit of a request.
pub const DURATION_BUCKETS: [f64; 14] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique_and_in_both_forms() {
        let names: BTreeSet<_> = ALL.iter().map(|metric| metric.name).collect();
        assert_eq!(names.len(), ALL.len());
        assert!(names.iter().all(|name| name.starts_with("bridge.")));
        assert_eq!(LAG.prometheus(), "bridge_replication_lag_seconds");
        assert_eq!(DEAD_LETTERS.prometheus(), "bridge_dead_letters_total");
        assert_eq!(BACKLOG.prometheus(), "bridge_queue_backlog");
    }

    #[test]
    fn buckets_rise() {
        assert!(LAG_BUCKETS.is_sorted() && DURATION_BUCKETS.is_sorted());
    }
}
