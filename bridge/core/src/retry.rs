//! Trying again: which calls, how often, and how long to wait before the next try. Random numbers are passed in, so that tests see
//! exact delays.

use std::{future::Future, pin::pin, sync::Arc, time::Duration};

use futures_util::{
    FutureExt, StreamExt,
    future::{self, Either, select},
    stream::FuturesUnordered,
};

use crate::{
    failure::{FailureKind, PortError, Recovery},
    limits::{FAR, PATIENT, RETRY_HINT_MAX},
    port::Clock,
};

/// Exponential backoff with full jitter: a delay is drawn evenly between nothing and `base * 2^(attempt - 1)`, at most
/// `max`. Spreading over the whole range empties a crowd of waiting workers fastest ("Exponential Backoff And Jitter",
/// AWS Architecture Blog).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The longest delay before the second try.
    pub base: Duration,
    /// The longest delay before any try.
    pub max: Duration,
}

impl Backoff {
    /// The delay after `attempt` tries. `hint` is what the service asked for: never less than that, `max` or not, up to
    /// [`RETRY_HINT_MAX`].
    pub fn delay(&self, attempt: u32, hint: Option<Duration>, rng: &mut fastrand::Rng) -> Duration {
        let doublings = attempt.saturating_sub(1).min(31);
        let hint = hint.map(|hint| hint.min(RETRY_HINT_MAX));
        let ceiling = self.base.saturating_mul(1 << doublings).min(self.max);
        ceiling.mul_f64(rng.f64()).max(hint.unwrap_or_default())
    }

    /// The pause before look number `number`, from 0: between half of `base * 2^number` and the whole of it, at most `max`.
    pub fn pause(&self, number: u32, rng: &mut fastrand::Rng) -> Duration {
        let ceiling = self.base.saturating_mul(1 << number.min(31)).min(self.max);
        ceiling.mul_f64(0.5 + rng.f64() / 2.0)
    }
}

/// Makes a call on many items, and makes it again for those whose failure may pass, until none is left or `attempts_max` tries (at
/// least one) are made. `pause` says how long to wait after so many tries, given the longest wait that a service asked for. `call`
/// gets the numbers of the items and answers in their order.
///
/// With a `share`, one try is not waited for alone: after so long without an answer the next one begins beside it, for all items that have no
/// final answer. The first success of an item counts, whichever try it is of. Once every item has a final answer, the other tries are dropped.
///
/// An answer stands in `answers` as soon as it is there, so a caller that stops waiting keeps what has been answered. One that may pass
/// stands only until a later one.
pub async fn until_final<T, F>(
    clock: &dyn Clock,
    attempts_max: u32,
    share: Option<Duration>,
    pause: impl Fn(u32, Option<Duration>) -> Duration,
    answers: &mut [Option<Result<T, Arc<PortError>>>],
    call: impl Fn(Vec<usize>) -> F,
) where
    F: Future<Output = Vec<Result<T, PortError>>>,
{
    let attempts_max = attempts_max.max(1);
    let mut tries = FuturesUnordered::new();
    let mut made = 0;
    loop {
        let open: Vec<usize> = (0..answers.len()).filter(|at| !is_final(answers[*at].as_ref())).collect();
        if open.is_empty() || made == attempts_max && tries.is_empty() {
            return;
        }
        let wait = if !tries.is_empty() {
            share.filter(|_| made < attempts_max)
        } else if made == 0 {
            Some(Duration::ZERO)
        } else {
            let hint = open.iter().filter_map(|at| answers[*at].as_ref()?.as_ref().err()?.kind.retry_after()).max();
            Some(pause(made, hint))
        };
        let next = async {
            match wait {
                None => future::pending().await,
                // A wait of nothing must not cost a turn of the clock.
                Some(Duration::ZERO) => {}
                Some(wait) => clock.sleep(wait).await,
            }
        };
        let answered = if tries.is_empty() {
            next.await;
            None
        } else {
            match select(tries.next(), pin!(next)).await {
                Either::Left((answered, _)) => answered,
                Either::Right(((), _)) => None,
            }
        };
        let Some((items, answered)) = answered else {
            made += 1;
            tries.push(call(open.clone()).map(|answers| (open, answers)));
            continue;
        };
        for (at, answer) in items.into_iter().zip(answered) {
            if !is_final(answers[at].as_ref()) {
                answers[at] = Some(answer.map_err(Arc::new));
            }
        }
    }
}

/// Whether another try would not change the answer. A lost lease does not come back; its message may.
fn is_final<T>(answer: Option<&Result<T, Arc<PortError>>>) -> bool {
    match answer {
        None => false,
        Some(Ok(_)) => true,
        Some(Err(error)) => error.kind.recovery() != Recovery::Retry || error.kind == FailureKind::LeaseLost,
    }
}

/// How long to hide a message with which nothing can be done until an operator acts: half of its age, so that it waits at most half as long
/// again as the trouble lasted; no more than 30 s doubled with each delivery, as it may have been old before. Within [`FAR`].
///
/// A broker that sets a message aside after 40 deliveries does so after almost ten days.
pub fn far(attempt: u32, age: Duration) -> Duration {
    let doubled = FAR.start().saturating_mul(1 << attempt.saturating_sub(1).min(31));
    (age / 2).min(doubled).clamp(*FAR.start(), *FAR.end())
}

/// How long to hide a message whose store is away: a fifth of its age, so that recovery takes at most a fifth of the outage. Within [`PATIENT`],
/// but no less than a hundredth of its age: in two weeks it is delivered some 500 times.
pub fn patient(age: Duration) -> Duration {
    (age / 5).clamp(*PATIENT.start(), *PATIENT.end()).max(age / 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: Backoff = Backoff { base: Duration::from_secs(1), max: Duration::from_mins(1) };

    /// A clock of which time passes only by waiting.
    #[derive(Debug, Default)]
    struct Waited(std::sync::Mutex<Duration>);

    #[async_trait::async_trait]
    impl Clock for Waited {
        fn now(&self) -> chrono::DateTime<chrono::Utc> {
            chrono::DateTime::UNIX_EPOCH + *self.0.lock().unwrap()
        }

        async fn sleep(&self, duration: Duration) {
            *self.0.lock().unwrap() += duration;
        }
    }

    /// Makes a call on three items with at most `attempts_max` tries; `each` has the answers of each try, or none if it keeps silent.
    fn join(attempts_max: u32, each: &[Option<[Result<u32, FailureKind>; 3]>]) -> (Vec<Option<u32>>, Duration, usize) {
        let clock = Waited::default();
        let made = std::cell::Cell::new(0);
        let mut answers = vec![None; 3];
        let call = |open: Vec<usize>| {
            let answers = each.get(made.get()).cloned().flatten();
            made.set(made.get() + 1);
            async move {
                let Some(answers) = answers else { return future::pending().await };
                let error = |kind| PortError::new("q", "send", kind);
                open.into_iter().map(|at| answers[at].clone().map_err(error)).collect()
            }
        };
        let share = Duration::from_secs(2);
        let pause = |tries: u32, _| Duration::from_millis(tries.into());
        let joined = until_final(&clock, attempts_max, Some(share), pause, &mut answers, call);
        assert_eq!(joined.now_or_never().is_some(), answers.iter().all(Option::is_some));
        let taken = answers.into_iter().map(|answer| answer?.ok()).collect();
        (taken, *clock.0.lock().unwrap(), made.get())
    }

    #[test]
    fn a_try_that_keeps_silent_costs_its_share_and_no_more() {
        let all = [Ok(1), Ok(2), Ok(3)];
        let (taken, waited, made) = join(3, &[None, None, Some(all.clone())]);
        assert_eq!((taken, waited, made), (vec![Some(1), Some(2), Some(3)], Duration::from_secs(4), 3));
        let (taken, waited, made) = join(2, &[None, None, Some(all)]);
        assert_eq!((taken, waited, made), (vec![None; 3], Duration::from_secs(2), 2), "as often as it may");
    }

    #[test]
    fn what_failed_is_tried_again_after_its_pause_and_what_was_taken_or_refused_is_not() {
        let refused = FailureKind::Rejected { detail: String::new() };
        let first = [Ok(1), Err(FailureKind::Unavailable), Err(refused.clone())];
        let second = [Ok(7), Ok(2), Ok(3)];
        let (taken, waited, made) = join(3, &[Some(first.clone()), Some(second)]);
        assert_eq!((taken, waited, made), (vec![Some(1), Some(2), None], Duration::from_millis(1), 2));
        let (taken, waited, made) = join(2, &[Some(first.clone()), Some(first)]);
        assert_eq!((taken, waited, made), (vec![Some(1), None, None], Duration::from_millis(1), 2));
    }

    #[test]
    fn delays_fill_the_range_and_the_range_doubles_up_to_its_maximum() {
        let mut rng = fastrand::Rng::with_seed(1);
        for (attempt, ceiling) in [(1, 1), (2, 2), (3, 4), (6, 32), (7, 60), (40, 60), (u32::MAX, 60)] {
            let delays: Vec<_> = (0..1000).map(|_| POLICY.delay(attempt, None, &mut rng)).collect();
            let ceiling = Duration::from_secs(ceiling);
            assert!(delays.iter().all(|delay| *delay <= ceiling), "attempt {attempt}");
            assert!(delays.iter().any(|delay| *delay < ceiling / 20), "attempt {attempt}");
            assert!(delays.iter().any(|delay| *delay > ceiling * 19 / 20), "attempt {attempt}");
        }
    }

    #[test]
    fn what_the_service_asks_for_is_honoured() {
        let mut rng = fastrand::Rng::with_seed(1);
        let asked = Duration::from_secs(90);
        assert_eq!(POLICY.delay(1, Some(asked), &mut rng), asked);
    }

    #[test]
    fn what_no_queue_could_wait_for_is_not() {
        let mut rng = fastrand::Rng::with_seed(1);
        assert_eq!(POLICY.delay(1, Some(Duration::MAX), &mut rng), RETRY_HINT_MAX);
    }

    #[test]
    fn pauses_are_never_short_and_never_over_their_maximum() {
        let mut rng = fastrand::Rng::with_seed(1);
        for (number, ceiling) in [(0, 1), (1, 2), (5, 32), (6, 60), (u32::MAX, 60)] {
            let ceiling = Duration::from_secs(ceiling);
            let pauses: Vec<_> = (0..1000).map(|_| POLICY.pause(number, &mut rng)).collect();
            assert!(pauses.iter().all(|pause| (ceiling / 2..=ceiling).contains(pause)), "{number}");
        }
    }

    /// When the delivery of this number comes to a message that is hidden [`far`] each time.
    fn comes(deliveries: u32) -> Duration {
        (1..deliveries).fold(Duration::ZERO, |age, attempt| age + far(attempt, age))
    }

    #[test]
    fn what_must_wait_for_an_operator_uses_up_few_deliveries() {
        let minutes = |deliveries| comes(deliveries).as_secs() / 60;
        assert_eq!([3, 5, 10, 20, 40].map(minutes), RUNBOOK_MINUTES);
    }

    /// The table of `runbooks/halted.md`.
    const RUNBOOK_MINUTES: [u64; 5] = [1, 2, 17, 985, 14_017];

    #[test]
    fn the_wait_after_a_mend_is_in_proportion_to_the_trouble_and_to_the_looks() {
        assert_eq!(far(20, Duration::from_hours(2)), Duration::from_hours(1));
        assert_eq!(far(1, Duration::from_hours(100)), Duration::from_secs(30), "it may have been old before");
        assert_eq!(far(u32::MAX, Duration::MAX), Duration::from_hours(11));
        assert_eq!(far(0, Duration::ZERO), Duration::from_secs(30));
    }
}
