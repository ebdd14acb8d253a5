//! One site's worker as it tells of itself: verdicts, observed calls and states in; measurements, spans and lines out.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use bridge_adapters::layer::{Observation, Observe, Operation, Outcome};
use bridge_core::skew::Skew;
use bridge_core::{
    circuit::CircuitState,
    conflict::{Conflict, ConflictKind},
    event::SiteId,
    halt::{Halt, Spot},
    metric::label,
    peer::Peer,
    port::{Delivery, QueueDepth, Write},
    reason::Reason,
    reserved,
    settlement::Settlement,
    version::Version,
    worker::Verdict,
};
use chrono::{DateTime, TimeDelta, Utc};
use opentelemetry::{KeyValue, StringValue};

use super::{
    Listening,
    metrics::Known,
    outage::{Line, Outage},
    traces,
};
use crate::tally::{OUTCOMES, outcome};

/// The telemetry of one site's worker.
#[derive(Debug)]
pub(crate) struct SiteTelemetry {
    site: SiteId,
    /// The site's name as a label has it.
    own: StringValue,
    listening: Option<Arc<Listening>>,
    /// The last heartbeat of each site: an older one may come after it.
    heartbeats: Mutex<BTreeMap<SiteId, DateTime<Utc>>>,
    /// The greatest age of a message that was taken since the last look at the queues, in seconds; none where nobody
    /// looks again and again.
    oldest_taken: Mutex<Option<f64>>,
    /// How long the site's store has been away, as the invocations of a function see it.
    away: Outage,
}

impl SiteTelemetry {
    pub(super) fn new<'a>(
        listening: Option<Arc<Listening>>,
        site: &SiteId,
        peers: impl Iterator<Item = &'a SiteId>,
    ) -> Self {
        let (heartbeats, oldest_taken) = (Mutex::default(), Mutex::default());
        let away = Outage::default();
        let telemetry = Self { site: site.clone(), own: value(site), listening, heartbeats, oldest_taken, away };
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
        for kind in ConflictKind::ALL {
            instruments.conflicts.add(0, &self.conflict(kind));
        }
        for peer in peers {
            self.circuit(peer, CircuitState::Closed);
        }
        self.halted(None);
    }

    /// The site's own name under this label.
    fn own(&self, label: &'static str) -> KeyValue {
        KeyValue::new(label, self.own.clone())
    }

    fn conflict(&self, kind: ConflictKind) -> [KeyValue; 2] {
        [self.own(label::SITE), KeyValue::new(label::KIND, kind.as_str())]
    }

    /// Tells of deliveries that were concluded: measurements, spans, and a line for each message that was set aside.
    pub(crate) fn concluded(
        &self,
        concluded: &[(&Delivery, &Verdict)],
        peers: &[Peer],
        skew: Option<Skew>,
        now: DateTime<Utc>,
    ) {
        let mut spans = Vec::new();
        for (delivery, verdict) in concluded {
            log(delivery, verdict);
            self.measure(verdict, now);
            if let Some(trace) = verdict.trace.as_ref().filter(|_| self.listening.is_some()) {
                traces::push(&mut spans, trace, &self.site, delivery, verdict);
            }
        }
        for peer in peers {
            self.circuit(&peer.site, peer.circuit());
        }
        if let (Some(listening), Some(skew)) = (&self.listening, skew) {
            listening.instruments.clock_skew.record(seconds(skew.known()), &[self.own(label::SITE)]);
        }
        self.taken(concluded.iter().filter_map(|(delivery, _)| delivery.first_seen), now);
        if let Some(outlet) = self.listening.as_deref().and_then(|listening| listening.outlet.as_ref()) {
            outlet.take(spans);
        }
    }

    fn measure(&self, verdict: &Verdict, now: DateTime<Utc>) {
        let Some(Listening { instruments, .. }) = self.listening.as_deref() else { return };
        instruments.events.add(1, &[self.own(label::SITE), KeyValue::new(label::OUTCOME, outcome(verdict))]);
        if let Settlement::DeadLetter(letter) = &verdict.settlement {
            let reason = KeyValue::new(label::REASON, letter.refusal.reason.as_str());
            instruments.dead_letters.add(1, &[self.own(label::SITE), reason]);
        }
        if let Some(conflict) = Conflict::of(verdict) {
            instruments.conflicts.add(1, &self.conflict(conflict.kind));
        }
        let (Some((key, version)), Some(write)) = (&verdict.event, &verdict.write) else { return };
        let origin = version.origin();
        // A state does not take the way of the events, so it would make their lag look small.
        if matches!(write, Write::Applied { .. }) && !reserved::is_state(key, &origin) {
            let lag = seconds(now - version.timestamp()).max(0.0);
            instruments.lag.record(lag, &[named(label::FROM, &origin), self.own(label::TO)]);
        }
        if reserved::is_heartbeat(key, &origin) {
            self.heard(&origin, version);
        }
    }

    /// A heartbeat came, and was stored or is stored already.
    fn heard(&self, origin: &SiteId, version: &Version) {
        let Some(Listening { instruments, .. }) = self.listening.as_deref() else { return };
        let stamped = version.timestamp();
        let mut heartbeats = self.heartbeats.lock().unwrap_or_else(PoisonError::into_inner);
        let last = heartbeats.entry(origin.clone()).or_insert(stamped);
        *last = stamped.max(*last);
        let unix = seconds(*last - DateTime::UNIX_EPOCH);
        instruments.heartbeat.record(unix, &[named(label::FROM, origin), self.own(label::TO)]);
    }

    /// Messages were taken that came when `first_seen` says. Not every broker tells the age of what waits, and every
    /// message that is taken has waited.
    fn taken(&self, first_seen: impl Iterator<Item = DateTime<Utc>>, now: DateTime<Utc>) {
        let Some(age) = first_seen.map(|seen| seconds(now - seen).max(0.0)).reduce(f64::max) else { return };
        let mut oldest = self.oldest_taken.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *oldest {
            Some(oldest) => *oldest = oldest.max(age),
            None => self.oldest_age(age),
        }
    }

    fn oldest_age(&self, seconds: f64) {
        if let Some(Listening { instruments, .. }) = self.listening.as_deref() {
            instruments.oldest_age.record(seconds, &[self.own(label::SITE)]);
        }
    }

    /// What lies in the site's queue, of which so many back off, and among its dead letters; none where it is not known.
    pub(crate) fn counted(
        &self,
        queue: Option<QueueDepth>,
        backing_off: u64,
        dead_letters: Option<u64>,
        now: DateTime<Utc>,
    ) {
        let Some(Listening { instruments, .. }) = self.listening.as_deref() else { return };
        let record = |gauge: &Known, label: &'static str, value: &'static str, messages: Option<u64>| {
            #[allow(clippy::cast_precision_loss, reason = "no queue holds 2^53 messages")]
            let messages = messages.map(|messages| messages as f64);
            gauge.record(messages, &[self.own(label::SITE), KeyValue::new(label, value)]);
        };
        record(&instruments.backlog, label::QUEUE, "events", queue.map(|queue| queue.messages()));
        record(&instruments.backlog, label::QUEUE, "dead_letters", dead_letters);
        let states = queue.map(|queue| queue.by_state(Some(backing_off)));
        for (state, messages) in [
            ("visible", states.map(|states| states.visible)),
            ("leased", states.and_then(|states| states.leased)),
            ("backing_off", states.and_then(|states| states.backing_off)),
            ("scheduled", states.map(|states| states.scheduled)),
            ("set_aside", dead_letters),
        ] {
            record(&instruments.messages, label::STATE, state, messages);
        }
        let waits = queue.and_then(|queue| queue.oldest).map_or(0.0, |oldest| seconds(now - oldest).max(0.0));
        let mut oldest = self.oldest_taken.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = oldest.as_mut().map_or(0.0, std::mem::take);
        self.oldest_age(waits.max(taken));
    }

    /// From now on [`counted`](Self::counted) is called again and again, and tells of the messages taken since.
    pub(crate) fn hold_ages(&self) {
        self.oldest_taken.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(0.0);
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

    /// Why the worker takes nothing, if so: until an operator acts, or until its store is back.
    pub(crate) fn halted(&self, halt: Option<&Halt>) {
        let Some(Listening { instruments, .. }) = self.listening.as_deref() else { return };
        let away = halt.is_some_and(|halt| halt.at == Spot::Away);
        instruments.halted.record((halt.is_some() && !away).into(), &[self.own(label::SITE)]);
        instruments.store_away.record(away.into(), &[self.own(label::SITE)]);
    }

    /// The log's lines of a store that is away, after each invocation of a function.
    pub(crate) fn tell_store_away(&self, halt: Option<&Halt>) {
        let Some(Halt { detail, .. }) = halt.filter(|halt| halt.at == Spot::Away) else {
            if let Some((seconds, _)) = self.away.ended(Instant::now()) {
                tracing::info!(seconds, "the store is back");
            }
            return;
        };
        match self.away.failed(Instant::now()) {
            Line::Begins => tracing::warn!(
                detail,
                "the store is away: nothing is lost, and each message comes again within a fifth of its age; see runbooks/store-away.md"
            ),
            Line::Lasts { seconds, failures } => {
                tracing::warn!(detail, seconds, invocations = failures, "the store is still away");
            }
            Line::None => {}
        }
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

fn log(delivery: &Delivery, verdict: &Verdict) {
    let trace_id = verdict.trace.as_ref().map(|trace| format!("{:032x}", trace.context.trace));
    let span_id = verdict.trace.as_ref().map(|trace| format!("{:016x}", trace.context.span));
    let message_id = &delivery.message_id;
    if let Settlement::DeadLetter(letter) = &verdict.settlement {
        let (reason, detail) = (letter.refusal.reason.as_str(), &letter.refusal.detail);
        // A peer that is away has lines of its own, and not one for each message.
        if letter.refusal.reason == Reason::PeerUnavailable {
            tracing::debug!(message_id, trace_id, span_id, reason, detail, "set aside; see runbooks/dead-letters.md");
        } else {
            tracing::warn!(message_id, trace_id, span_id, reason, detail, "set aside; see runbooks/dead-letters.md");
        }
    } else {
        tracing::debug!(message_id, trace_id, span_id, outcome = outcome(verdict), "concluded");
    }
    if let Some(Conflict { kind: ConflictKind::TwoContents, lost, .. }) = Conflict::of(verdict) {
        let (event_id, origin) = (lost.event_id().to_string(), lost.origin().to_string());
        tracing::warn!(message_id, event_id, origin, "same event, two contents; see runbooks/two-contents.md");
    }
}

fn named(label: &'static str, site: &SiteId) -> KeyValue {
    KeyValue::new(label, value(site))
}

fn value(site: &SiteId) -> StringValue {
    StringValue::from(Arc::<str>::from(site.as_str()))
}

fn seconds(delta: TimeDelta) -> f64 {
    delta.as_seconds_f64()
}
