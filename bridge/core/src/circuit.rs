//! A circuit breaker per peer, so that a dark peer costs neither latency nor function time: after some failures in a
//! row it opens, and the next events go straight to the dead letters as owed; after a pause one batch probes.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

/// When to open, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CircuitPolicy {
    /// Failed sends in a row that open the circuit.
    pub failures: u32,
    /// How long it stays open before one send may probe.
    pub pause: Duration,
}

/// What a circuit is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CircuitState {
    /// All sends pass.
    Closed,
    /// No send passes.
    Open,
    /// One send is out to see whether the peer is back.
    HalfOpen,
}

impl CircuitState {
    /// The word in logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half-open",
        }
    }
}

/// The state of one peer's circuit. Time is passed in.
#[derive(Clone, Copy, Debug)]
pub struct Circuit {
    policy: CircuitPolicy,
    failures: u32,
    opened: Option<DateTime<Utc>>,
    probing: bool,
}

impl Circuit {
    /// A closed circuit.
    pub fn new(policy: CircuitPolicy) -> Self {
        Self { policy, failures: 0, opened: None, probing: false }
    }

    /// Asks to send. A `true` must be followed by [`Circuit::record`] or [`Circuit::silent`].
    pub fn allows(&mut self, now: DateTime<Utc>) -> bool {
        let Some(opened) = self.opened else { return true };
        // A clock that was set back must not keep the circuit open for longer than the pause.
        let waited = (now - opened).to_std().unwrap_or(self.policy.pause);
        if self.probing || waited < self.policy.pause {
            return false;
        }
        self.probing = true;
        true
    }

    /// The peer seems to be back: the next send need not wait for the pause.
    pub fn hope(&mut self, now: DateTime<Utc>) {
        let pause = TimeDelta::from_std(self.policy.pause).unwrap_or_default();
        self.opened = self.opened.map(|opened| opened.min(now - pause));
    }

    /// Records, in the place of [`Circuit::record`], that every message of the send timed out. One such send opens the circuit: each further
    /// one would hold a batch for as long, and the messages behind it.
    pub fn silent(&mut self, now: DateTime<Utc>) {
        (self.failures, self.opened, self.probing) = (self.policy.failures, Some(now), false);
    }

    /// Records how the send ended.
    pub fn record(&mut self, reached: bool, now: DateTime<Utc>) {
        self.probing = false;
        if reached {
            (self.failures, self.opened) = (0, None);
            return;
        }
        self.failures = self.failures.saturating_add(1);
        if self.failures >= self.policy.failures {
            self.opened = Some(now);
        }
    }

    /// What the circuit is doing.
    pub fn state(&self) -> CircuitState {
        match (self.opened, self.probing) {
            (None, _) => CircuitState::Closed,
            (Some(_), false) => CircuitState::Open,
            (Some(_), true) => CircuitState::HalfOpen,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: CircuitPolicy = CircuitPolicy { failures: 3, pause: Duration::from_secs(10) };

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(second, 0).unwrap()
    }

    #[test]
    fn opens_after_failures_in_a_row_and_lets_one_probe_through() {
        let mut circuit = Circuit::new(POLICY);
        for second in [0, 1] {
            assert!(circuit.allows(at(second)));
            circuit.record(false, at(second));
        }
        circuit.record(true, at(2));
        for second in [3, 4, 5] {
            assert!(circuit.allows(at(second)), "a success in between starts the count anew");
            circuit.record(false, at(second));
        }
        assert_eq!(circuit.state(), CircuitState::Open);
        assert!(!circuit.allows(at(14)));
        assert!(circuit.allows(at(15)), "the probe");
        assert!(!circuit.allows(at(15)), "one probe only");
        circuit.record(false, at(16));
        assert!(!circuit.allows(at(25)), "a failed probe starts the pause anew");
        assert!(circuit.allows(at(26)));
        circuit.record(true, at(26));
        assert_eq!(circuit.state(), CircuitState::Closed);
    }

    #[test]
    fn a_peer_that_seems_to_be_back_is_tried_at_once_and_once() {
        let mut circuit = Circuit::new(POLICY);
        circuit.hope(at(0));
        assert_eq!(circuit.state(), CircuitState::Closed);
        (0..3).for_each(|_| circuit.record(false, at(1)));
        circuit.hope(at(2));
        assert_eq!(circuit.state(), CircuitState::Open, "only a send shows it");
        assert!(circuit.allows(at(2)) && !circuit.allows(at(2)));
        circuit.record(false, at(2));
        assert!(!circuit.allows(at(3)), "and it was not");
    }

    #[test]
    fn silence_opens_it_at_once_and_an_answer_closes_it() {
        let mut circuit = Circuit::new(POLICY);
        assert!(circuit.allows(at(0)));
        circuit.silent(at(10));
        assert!(circuit.state() == CircuitState::Open && !circuit.allows(at(19)) && circuit.allows(at(20)));
        circuit.silent(at(30));
        assert!(!circuit.allows(at(39)) && circuit.allows(at(40)));
        circuit.record(true, at(40));
        assert_eq!(circuit.state(), CircuitState::Closed);
    }

    #[test]
    fn its_states_have_the_words_of_the_metrics() {
        let mut circuit = Circuit::new(CircuitPolicy { failures: 1, ..POLICY });
        assert_eq!(circuit.state().as_str(), "closed");
        circuit.record(false, at(0));
        assert_eq!(circuit.state().as_str(), "open");
        assert!(circuit.allows(at(10)));
        assert_eq!(circuit.state().as_str(), "half-open");
    }

    #[test]
    fn a_clock_that_steps_back_does_not_keep_it_open() {
        let mut circuit = Circuit::new(POLICY);
        (0..3).for_each(|_| circuit.record(false, at(1000)));
        assert!(circuit.allows(at(0)));
    }
}
