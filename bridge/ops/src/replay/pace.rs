//! How fast a run may go: so many messages a second, evenly. Time is passed in.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

/// A limit on messages a second, without bursts: what was not used is lost.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    per_second: Option<f64>,
    /// When the next message may go.
    next: Option<DateTime<Utc>>,
}

impl Pace {
    /// At most `per_second` messages a second, over 0; any number if none.
    pub fn new(per_second: Option<f64>) -> Self {
        Self { per_second, next: None }
    }

    /// How many messages may go together so that the limit holds over any second too.
    pub fn portion(&self, max: usize) -> usize {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to what a usize holds")]
        let tenth = |rate: f64| (rate / 10.0).clamp(1.0, 1e9) as usize;
        self.per_second.map_or(max, |rate| tenth(rate).min(max))
    }

    /// How long to wait at `now` until `count` messages may go. They must go then.
    pub fn wait(&mut self, count: usize, now: DateTime<Utc>) -> Duration {
        let Some(rate) = self.per_second else { return Duration::ZERO };
        #[allow(clippy::cast_precision_loss, reason = "a count of messages in one batch")]
        let takes = Duration::try_from_secs_f64(count as f64 / rate).unwrap_or(Duration::MAX);
        let wait = self.next.map_or(TimeDelta::zero(), |next| next - now);
        // A clock that was set back must not stop the run for hours: no wait is longer than what was asked for before it.
        let wait = wait.to_std().unwrap_or_default().min(Duration::from_secs(3600));
        let next = TimeDelta::from_std(wait.saturating_add(takes)).ok().and_then(|delta| now.checked_add_signed(delta));
        self.next = Some(next.unwrap_or(DateTime::<Utc>::MAX_UTC));
        wait
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// However the messages come, the time that they take is theirs: within 5 % over a hundred portions.
        #[test]
        fn the_rate_is_kept(rate in 1.0..5_000.0_f64, idle in prop::collection::vec(0..20_u64, 100)) {
            let mut pace = Pace::new(Some(rate));
            let start: DateTime<Utc> = "2026-11-21T00:00:00Z".parse().unwrap();
            let (mut now, mut sent) = (start, 0_u32);
            for idle_ms in idle {
                let count = pace.portion(100);
                now += TimeDelta::from_std(pace.wait(count, now)).unwrap();
                let seconds = (now - start).as_seconds_f64();
                // What is on its way at this instant is one portion.
                prop_assert!(f64::from(sent) <= rate * seconds * 1.05 + 1e-6, "{} after {} s at {}", sent, seconds, rate);
                sent += u32::try_from(count).unwrap();
                now += TimeDelta::milliseconds(i64::try_from(idle_ms).unwrap() % 3);
            }
        }
    }

    #[test]
    fn without_idling_it_is_neither_slower_nor_faster() {
        let mut pace = Pace::new(Some(250.0));
        let start: DateTime<Utc> = "2026-11-21T00:00:00Z".parse().unwrap();
        let mut now = start;
        for _ in 0..100 {
            now += TimeDelta::from_std(pace.wait(25, now)).unwrap();
        }
        assert_eq!((now - start).num_milliseconds(), 99 * 100);
        assert_eq!(pace.portion(100), 25);
        assert_eq!(Pace::new(None).portion(100), 100);
        assert_eq!(Pace::new(Some(0.5)).portion(100), 1);
        assert_eq!(Pace::new(None).wait(1_000_000, now), Duration::ZERO);
    }

    /// One message in longer than any clock counts: the first goes, the next waits as long as any may.
    #[test]
    fn a_rate_near_nothing_is_one_message_and_a_long_wait() {
        let now: DateTime<Utc> = "2026-11-21T00:00:00Z".parse().unwrap();
        for rate in [1e-20, 1e-12, f64::MIN_POSITIVE] {
            let mut pace = Pace::new(Some(rate));
            let waits = [pace.wait(1, now), pace.wait(1, now), pace.wait(100, now)];
            assert_eq!(waits, [Duration::ZERO, Duration::from_hours(1), Duration::from_hours(1)], "{rate}");
        }
    }
}
