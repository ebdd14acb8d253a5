//! Tells a hook of every call: to which backend, which method, what came of it, how long it took.
//!
//! The hook turns this into metrics; the adapters know no metrics system.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bridge_core::failure::{FailureKind, PortError};

use super::{
    Operation,
    layered::{Answers, Call, Layer, OnMany},
};

/// One call and what came of it.
#[derive(Clone, Debug)]
pub struct Observation<'a> {
    /// The adapter and what it talked to.
    pub backend: &'a str,
    /// The method.
    pub operation: Operation,
    /// What came of it; of a call on many items, the first failure among them.
    pub outcome: Outcome,
    /// Items of the call: messages asked to send or to settle, messages received, one for a store.
    pub items: usize,
    /// Those of them that failed.
    pub failed: usize,
    /// From the call to its answer, by the machine's steady clock.
    pub duration: Duration,
}

/// What came of a call, as a word for a metric's label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It did what it should; losing to a newer version included.
    Ok,
    /// See [`FailureKind::Throttled`].
    Throttled,
    /// See [`FailureKind::Unavailable`].
    Unavailable,
    /// See [`FailureKind::TimedOut`].
    TimedOut,
    /// See [`FailureKind::LeaseLost`].
    LeaseLost,
    /// See [`FailureKind::TooLarge`].
    TooLarge,
    /// See [`FailureKind::Rejected`].
    Rejected,
    /// See [`FailureKind::Unauthorized`].
    Unauthorized,
    /// See [`FailureKind::Missing`].
    Missing,
    /// See [`FailureKind::Misshapen`].
    Misshapen,
    /// See [`FailureKind::Panicked`].
    Panicked,
    /// The call was dropped before it answered.
    Cancelled,
}

impl Outcome {
    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Throttled => "throttled",
            Self::Unavailable => "unavailable",
            Self::TimedOut => "timed_out",
            Self::LeaseLost => "lease_lost",
            Self::TooLarge => "too_large",
            Self::Rejected => "rejected",
            Self::Unauthorized => "unauthorized",
            Self::Missing => "missing",
            Self::Misshapen => "misshapen",
            Self::Panicked => "panicked",
            Self::Cancelled => "cancelled",
        }
    }
}

impl From<&FailureKind> for Outcome {
    fn from(kind: &FailureKind) -> Self {
        match kind {
            FailureKind::Throttled { .. } => Self::Throttled,
            FailureKind::Unavailable => Self::Unavailable,
            FailureKind::TimedOut => Self::TimedOut,
            FailureKind::LeaseLost => Self::LeaseLost,
            FailureKind::TooLarge { .. } => Self::TooLarge,
            FailureKind::Rejected { .. } => Self::Rejected,
            FailureKind::Unauthorized => Self::Unauthorized,
            FailureKind::Missing => Self::Missing,
            FailureKind::Misshapen { .. } => Self::Misshapen,
            FailureKind::Panicked { .. } => Self::Panicked,
        }
    }
}

/// Where observations go. Called on the caller's task: it must be quick, and must not block.
pub type Observe = Arc<dyn Fn(&Observation<'_>) + Send + Sync>;

/// Times calls and reports them, cancelled ones too.
#[derive(Clone)]
pub struct Meter(Observe);

impl Meter {
    /// Tells `observe` of each call.
    pub fn new(observe: Observe) -> Self {
        Self(observe)
    }

    async fn call<T>(
        &self,
        call: Call<'_>,
        running: impl Future<Output = T> + Send,
        sum: impl FnOnce(&T) -> Sum + Send,
    ) -> T {
        let mut observed = Running { observe: &self.0, call, start: Instant::now(), sum: Sum::CANCELLED };
        let answer = running.await;
        observed.sum = sum(&answer);
        answer
    }
}

impl Layer for Meter {
    async fn one<T: Send>(
        &self,
        call: Call<'_>,
        running: impl Future<Output = Result<T, PortError>> + Send,
        items: impl Fn(&T) -> usize + Send,
    ) -> Result<T, PortError> {
        self.call(call, running, |answer| Sum::one(answer, items)).await
    }

    async fn many<P: ?Sized + Sync, I: Clone + Send + Sync, A: Send>(
        &self,
        call: Call<'_>,
        port: &P,
        items: &[I],
        run: OnMany<P, I, A>,
    ) -> Answers<A> {
        self.call(call, run(port, items), |answers| Sum::many(answers)).await
    }
}

/// What a call's answer comes to.
#[derive(Clone, Copy)]
struct Sum {
    outcome: Outcome,
    items: usize,
    failed: usize,
}

impl Sum {
    const CANCELLED: Self = Self { outcome: Outcome::Cancelled, items: 0, failed: 0 };

    fn one<T>(answer: &Result<T, PortError>, items: impl Fn(&T) -> usize) -> Self {
        match answer {
            Ok(answer) => Self { outcome: Outcome::Ok, items: items(answer), failed: 0 },
            Err(error) => Self { outcome: Outcome::from(&error.kind), items: 1, failed: 1 },
        }
    }

    fn many<A>(answers: &[Result<A, PortError>]) -> Self {
        let mut failures = answers.iter().filter_map(|answer| answer.as_ref().err());
        let outcome = failures.next().map_or(Outcome::Ok, |error| Outcome::from(&error.kind));
        let failed = answers.iter().filter(|answer| answer.is_err()).count();
        Self { outcome, items: answers.len(), failed }
    }
}

/// A call in flight; reports when it ends, whichever way.
struct Running<'a> {
    observe: &'a Observe,
    call: Call<'a>,
    start: Instant,
    sum: Sum,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let Sum { outcome, items, failed } = self.sum;
        (self.observe)(&Observation {
            backend: self.call.backend,
            operation: self.call.operation,
            outcome,
            items,
            failed,
            duration: self.start.elapsed(),
        });
    }
}
