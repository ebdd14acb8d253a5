//! One site's worker as it tells of itself: verdicts, observed calls and states in; measurements, spans and lines out.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bridge_adapters::layer::{Observation, Observe, Operation, Outcome};
use bridge_core::{
    circuit::CircuitState,
    event::SiteId,
    heartbeat,
    metric::label,
    pipeline::{Peer, Verdict, Write},
    port::Delivery,
    reason::Reason,
    settlement::Settlement,
    version::Version,
};
use chrono::{DateTime, TimeDelta, Utc};
use opentelemetry::{KeyValue, StringValue};

use super::{Listening, traces};

/// The telemetry of one site's worker.
#[derive(Debug)]
pub(crate) struct SiteTelemetry {
    site: SiteId,
    listening: Option<Arc<Listening>>,
    /// The last heartbeat of each site: an older one may come after it.
    heartbeats: Mutex<BTreeMap<SiteId, DateTime<Utc>>>,
}

impl SiteTelemetry {
    pub(super) fn new<'a>(
        listening: Option<Arc<Listening>>,
        site: &SiteId,
        peers: impl Iterator<Item = &'a SiteId>,
    ) -> Self {
        let telemetry = Self { site: site.clone(), listening, heartbeats: Mutex::default() };
        telemetry.begin(peers);
        telemetry
    }

    /// Sets everything that can be zero to zero: a rate needs a first value, and a missing one is no good news.
    fn begin<'a>(&self, peers: impl Iterator<Item = &'a SiteId>) {
        let Some(Listening { instruments, .. }) = self.listening.as_deref() else { return };
        for outcome in OUTCOMES {
            instruments.events.add(0, &[self.own(label::SITE), KeyValue::new(label::OUTCOME, outcome)]);
        }
        for reason in Reason::ALL {
            instruments.dead_letters.add(0, &[self.own(label::SITE), KeyValue::new(label::REASON, reason.as_str())]);
        }
        instruments.conflicts.add(0, &[self.own(label::SITE)]);
        for peer in peers {
            self.circuit(peer, CircuitState::Closed);
        }
        self.halted(false);
    }

    /// The site's own name under this label.
    fn own(&self, label: &'static str) -> KeyValue {
        named(label, &self.site)
    }

    /// Tells of deliveries that were concluded: measurements, spans, and a line for each message that was set aside.
    pub(crate) fn concluded<'a>(
        &self,
        concluded: impl Iterator<Item = (&'a Delivery, &'a Verdict)>,
        peers: &[Peer],
        now: DateTime<Utc>,
    ) {
        let mut spans = Vec::new();
        for (delivery, verdict) in concluded {
            log(delivery, verdict);
            self.measure(delivery, verdict, now);
            if let Some(trace) = &verdict.trace {
                traces::push(&mut spans, trace, &self.site, delivery, verdict);
            }
        }
        for peer in peers {
            self.circuit(&peer.site, peer.circuit());
        }
        if let Some(outlet) = self.listening.as_deref().and_then(|listening| listening.outlet.as_ref()) {
            outlet.take(spans);
        }
    }

    fn measure(&self, delivery: &Delivery, verdict: &Verdict, now: DateTime<Utc>) {
        let Some(Listening { instruments, .. }) = self.listening.as_deref() else { return };
        instruments.events.add(1, &[self.own(label::SITE), KeyValue::new(label::OUTCOME, outcome(verdict))]);
        if let Settlement::DeadLetter(letter) = &verdict.settlement {
            let reason = KeyValue::new(label::REASON, letter.refusal.reason.as_str());
            instruments.dead_letters.add(1, &[self.own(label::SITE), reason]);
        }
        let (Some((key, version)), Some(write)) = (&verdict.event, verdict.write) else { return };
        let origin = version.origin();
        if write == Write::Applied {
            let lag = seconds(now - version.timestamp()).max(0.0);
            instruments.lag.record(lag, &[named(label::FROM, &origin), self.own(label::TO)]);
        }
        if key.as_str() == heartbeat::key(&origin) {
            self.heard(&origin, version, delivery);
        }
    }

    /// A heartbeat came, and was stored or is stored already.
    fn heard(&self, origin: &SiteId, version: &Version, delivery: &Delivery) {
        let Some(Listening { instruments, .. }) = self.listening.as_deref() else { return };
        let stamped = version.timestamp();
        let mut heartbeats = self.heartbeats.lock().unwrap_or_else(PoisonError::into_inner);
        let last = heartbeats.entry(origin.clone()).or_insert(stamped);
        *last = stamped.max(*last);
        let unix = seconds(*last - DateTime::UNIX_EPOCH);
        instruments.heartbeat.record(unix, &[named(label::FROM, origin), self.own(label::TO)]);
        // The queue's service noted when the heartbeat came in, just after it was stamped: its clock against ours.
        if let (true, 1, Some(noted)) = (*origin == self.site, delivery.attempt, delivery.first_seen) {
            instruments.clock_skew.record(seconds(stamped - noted), &[self.own(label::SITE)]);
        }
    }

    /// What a peer's circuit breaker is doing.
    fn circuit(&self, peer: &SiteId, state: CircuitState) {
        let Some(Listening { instruments, .. }) = self.listening.as_deref() else { return };
        let number = match state {
            CircuitState::Closed => 0,
            CircuitState::HalfOpen => 1,
            CircuitState::Open => 2,
        };
        instruments.circuit.record(number, &[self.own(label::FROM), named(label::TO, peer)]);
    }

    /// Whether the worker takes nothing until an operator acts.
    pub(crate) fn halted(&self, halted: bool) {
        let Some(Listening { instruments, .. }) = self.listening.as_deref() else { return };
        instruments.halted.record(halted.into(), &[self.own(label::SITE)]);
    }

    /// What observes the site's own store; none where nobody listens.
    pub(crate) fn of_store(&self) -> Option<Observe> {
        let (listening, site) = (Arc::clone(self.listening.as_ref()?), self.own(label::SITE));
        Some(Arc::new(move |call: &Observation<'_>| {
            if call.operation == Operation::PutIfNewer {
                let labels = [site.clone(), KeyValue::new(label::OUTCOME, call.outcome.as_str())];
                listening.instruments.apply_duration.record(call.duration.as_secs_f64(), &labels);
            }
        }))
    }

    /// What observes the queue of `peer`; none where nobody listens.
    pub(crate) fn of_peer(&self, peer: &SiteId) -> Option<Observe> {
        let (listening, from) = (Arc::clone(self.listening.as_ref()?), self.own(label::FROM));
        let to = named(label::TO, peer);
        Some(Arc::new(move |call: &Observation<'_>| {
            if call.operation == Operation::Send && call.outcome != Outcome::Cancelled {
                let labels = [from.clone(), to.clone(), KeyValue::new(label::OUTCOME, call.outcome.as_str())];
                listening.instruments.forward_duration.record(call.duration.as_secs_f64(), &labels);
            }
        }))
    }

    /// Sends all that was recorded, before a function's process is frozen; gives up after `limit`.
    pub(crate) async fn flush(&self, limit: Duration) {
        if let Some(outlet) = self.listening.as_deref().and_then(|listening| listening.outlet.as_ref()) {
            outlet.flush(limit).await;
        }
    }
}

/// What can become of a delivery.
const OUTCOMES: [&str; 6] = ["applied", "superseded", "duplicate", "retried", "dead_lettered", "halted"];

fn outcome(verdict: &Verdict) -> &'static str {
    match (&verdict.settlement, verdict.write) {
        (Settlement::Ack, Some(write)) => write.as_str(),
        // Nothing is acknowledged that the store has not answered for.
        (Settlement::Ack, None) => "duplicate",
        (Settlement::Retry { .. }, _) => "retried",
        (Settlement::DeadLetter(_), _) => "dead_lettered",
        (Settlement::Halt { .. }, _) => "halted",
    }
}

fn log(delivery: &Delivery, verdict: &Verdict) {
    let trace_id = verdict.trace.as_ref().map(|trace| format!("{:032x}", trace.context.trace));
    let span_id = verdict.trace.as_ref().map(|trace| format!("{:016x}", trace.context.span));
    let message_id = &delivery.message_id;
    if let Settlement::DeadLetter(letter) = &verdict.settlement {
        let (reason, detail) = (letter.refusal.reason.as_str(), &letter.refusal.detail);
        tracing::warn!(message_id, trace_id, span_id, reason, detail, "set aside; see runbooks/dead-letters.md");
    } else {
        tracing::debug!(message_id, trace_id, span_id, outcome = outcome(verdict), "concluded");
    }
}

fn named(label: &'static str, site: &SiteId) -> KeyValue {
    KeyValue::new(label, StringValue::from(Arc::<str>::from(site.as_str())))
}

fn seconds(delta: TimeDelta) -> f64 {
    delta.as_seconds_f64()
}
