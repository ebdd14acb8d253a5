//! Which calls go wrong, and how: by a seed, or one by one.

use std::{
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use bridge_core::failure::FailureKind;

use super::Operation;

/// What goes wrong with a call.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// It fails without effect.
    Before(FailureKind),
    /// It takes effect, and then its answer is replaced by a failure: the lost acknowledgement.
    After(FailureKind),
    /// Its request is lost: no effect, and never an answer. Wants a [`Timeout`](super::Timeout) around.
    Lost,
    /// It takes effect, and never answers.
    Unanswered,
    /// It takes effect at once and answers late.
    Late(Duration),
    /// Of a call on many items, each fails with probability `share`; a call on one item is a call on many of one.
    Items {
        /// From 0 to 1.
        share: f64,
        /// The failure of each such item.
        kind: FailureKind,
        /// Whether those items take effect nevertheless.
        after: bool,
    },
}

/// When a fault strikes.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// The method that it strikes; all of them if none.
    pub operation: Option<Operation>,
    /// What it does.
    pub fault: Fault,
    /// How likely it strikes a call, from 0 to 1.
    pub probability: f64,
    /// How often it strikes at most; without limit if none.
    pub count: Option<u32>,
}

impl Rule {
    /// Strikes the next call of `operation`, and no other.
    pub fn once(operation: Operation, fault: Fault) -> Self {
        Self { operation: Some(operation), fault, probability: 1.0, count: Some(1) }
    }

    /// Strikes every call, until [`FaultPlan::clear`].
    pub fn always(fault: Fault) -> Self {
        Self { operation: None, fault, probability: 1.0, count: None }
    }
}

/// Which calls go wrong. Shared by the layers of one place, so that they go dark together.
///
/// The same seed, rules and calls, in the same order, give the same faults.
#[derive(Debug)]
pub struct FaultPlan(Mutex<State>);

#[derive(Debug)]
struct State {
    rng: fastrand::Rng,
    rules: Vec<Rule>,
}

impl FaultPlan {
    /// A plan by `seed`. Of the rules that apply to a call the first that strikes is the one that counts.
    pub fn new(seed: u64, rules: Vec<Rule>) -> Self {
        Self(Mutex::new(State { rng: fastrand::Rng::with_seed(seed), rules }))
    }

    /// Adds a rule behind the others.
    pub fn add(&self, rule: Rule) {
        self.state().rules.push(rule);
    }

    /// Takes all rules away: from now on all goes well.
    pub fn clear(&self) {
        self.state().rules.clear();
    }

    /// What goes wrong with the call of `operation` that is made now.
    pub(super) fn judge(&self, operation: Operation) -> Option<Fault> {
        let State { rng, rules } = &mut *self.state();
        let struck = rules.iter_mut().find(|rule| {
            let applies = rule.operation.is_none_or(|named| named == operation) && rule.count != Some(0);
            applies && rng.f64() < rule.probability
        })?;
        struck.count = struck.count.map(|count| count - 1);
        Some(struck.fault.clone())
    }

    /// For each of `items`, whether it is among the `share` that fails.
    pub(super) fn draw(&self, items: usize, share: f64) -> Vec<bool> {
        let mut state = self.state();
        (0..items).map(|_| state.rng.f64() < share).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("nothing panics while it holds the lock")
    }
}
