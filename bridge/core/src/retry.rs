//! How long to wait before the next try. The random numbers are passed in, so that tests see exact delays.

use std::time::Duration;

use crate::limits::RETRY_HINT_MAX;

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
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: Backoff = Backoff { base: Duration::from_secs(1), max: Duration::from_mins(1) };

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
}
