//! How far a clock is ahead of another that tells whole seconds only, as the `Date` of an HTTP answer does.
//!
//! One answer leaves a second of doubt. Each further one that is asked for in the middle of the doubt halves it, so five
//! answers leave 30 ms.

use chrono::{DateTime, TimeDelta, Utc};

/// A clock may drift by one part of so many of the time between two looks. Ours: several times what a machine's quartz
/// does.
const DRIFT: i32 = 10_000;

/// An answer with a date.
#[derive(Clone, Copy, Debug)]
pub struct Dated {
    /// Before it was asked, by this clock.
    pub asked: DateTime<Utc>,
    /// The date, cut to the second, by the other clock.
    pub date: DateTime<Utc>,
    /// After it was answered, by this clock.
    pub answered: DateTime<Utc>,
}

/// Bounds between which this clock is ahead of the other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Skew {
    low: TimeDelta,
    high: TimeDelta,
    at: DateTime<Utc>,
}

impl Skew {
    /// What one answer tells.
    pub fn of(dated: Dated) -> Self {
        // The other clock stood between `date` and `date` + 1 s somewhen between asking and answer.
        let Dated { asked, date, answered } = dated;
        Self { low: asked - date - TimeDelta::seconds(1), high: answered - date, at: answered }
    }

    /// What one more answer tells. Where the two cannot both be true a clock was set, and the older one is dropped.
    #[must_use]
    pub fn and(self, dated: Dated) -> Self {
        let new = Self::of(dated);
        let drift = (new.at - self.at).abs() / DRIFT;
        let both = Self { low: new.low.max(self.low - drift), high: new.high.min(self.high + drift), at: new.at };
        if both.low > both.high { new } else { both }
    }

    /// The best guess.
    pub fn ahead(&self) -> TimeDelta {
        self.low + (self.high - self.low) / 2
    }

    /// What is known: the best guess, or nothing where the clock may be right for all that is known.
    pub fn known(&self) -> TimeDelta {
        let may_be_right = self.low <= TimeDelta::zero() && self.high >= TimeDelta::zero();
        if may_be_right { TimeDelta::zero() } else { self.ahead() }
    }

    /// How far the guess may be off to either side.
    pub fn doubt(&self) -> TimeDelta {
        (self.high - self.low) / 2
    }

    /// How long to wait from `now` on before asking, so that the answer halves the doubt: the other clock begins a second
    /// then, if the guess is right. `round_trip`: how long an answer takes.
    pub fn wait(&self, now: DateTime<Utc>, round_trip: TimeDelta) -> TimeDelta {
        let other = now - self.ahead() + round_trip / 2;
        let into_second = i64::from(other.timestamp_subsec_millis() % 1_000);
        TimeDelta::milliseconds((1_000 - into_second) % 1_000)
    }
}

#[cfg(test)]
mod tests {
    use chrono::SubsecRound;
    use proptest::prelude::*;

    use super::*;

    fn ask(now: &mut DateTime<Utc>, ahead: TimeDelta, way: TimeDelta) -> Dated {
        let asked = *now;
        *now += way;
        let date = (*now - ahead).trunc_subsecs(0);
        *now += way;
        Dated { asked, date, answered: *now }
    }

    proptest! {
        #[test]
        fn a_few_answers_find_the_skew(ahead_ms in -90_000_i64..90_000, start_ms in 0_i64..10_000, way_ms in 0_i64..20) {
            let ahead = TimeDelta::milliseconds(ahead_ms);
            let way = TimeDelta::milliseconds(way_ms);
            let mut now = DateTime::from_timestamp_millis(1_800_000_000_000 + start_ms).unwrap();
            let mut skew = Skew::of(ask(&mut now, ahead, way));
            for _ in 0..5 {
                prop_assert!((skew.ahead() - ahead).abs() <= skew.doubt(), "{skew:?}");
                now += skew.wait(now, way * 2);
                skew = skew.and(ask(&mut now, ahead, way));
            }
            let most = TimeDelta::milliseconds(20) + way * 2;
            prop_assert!(skew.doubt() <= most, "{skew:?}");
            prop_assert!((skew.ahead() - ahead).abs() <= skew.doubt() + TimeDelta::milliseconds(1));
        }
    }

    fn between(low_ms: i64, high_ms: i64, at: DateTime<Utc>) -> Skew {
        Skew { low: TimeDelta::milliseconds(low_ms), high: TimeDelta::milliseconds(high_ms), at }
    }

    /// An answer that leaves a clock from 600 ms behind to 400 ms ahead.
    fn answer(second: i64) -> Dated {
        let asked = DateTime::from_timestamp_millis(second * 1_000 + 400).unwrap();
        Dated { asked, date: asked.trunc_subsecs(0), answered: asked }
    }

    #[test]
    fn what_was_known_loosens_as_a_clock_may_drift_and_no_more() {
        let earlier = answer(0).answered;
        assert_eq!(between(0, 10, earlier).and(answer(1_000)), between(-100, 110, answer(1_000).answered));
        assert_eq!(between(0, 0, earlier).and(answer(0)), between(0, 0, earlier), "two that agree in one point");
    }

    #[test]
    fn a_clock_that_may_be_right_is_not_called_wrong() {
        let at = answer(0).answered;
        for (low, high, known) in [(-10, 10, 0), (0, 10, 0), (-10, 0, 0), (10, 30, 20), (-30, -10, -20)] {
            assert_eq!(between(low, high, at).known().num_milliseconds(), known, "{low} to {high}");
        }
    }

    #[test]
    fn the_next_look_is_at_the_beginning_of_a_second_of_the_other_clock() {
        let at = answer(0).answered;
        for (ahead, now, round_trip, wait) in [(0, 250, 0, 750), (0, 0, 0, 0), (100, 350, 0, 750), (0, 250, 100, 700)] {
            let now = DateTime::from_timestamp_millis(5_000 + now).unwrap();
            let waits = between(ahead, ahead, at).wait(now, TimeDelta::milliseconds(round_trip));
            assert_eq!(waits.num_milliseconds(), wait, "{ahead} ms ahead at {now}");
        }
    }

    #[test]
    fn a_clock_that_is_set_is_found_out_with_the_next_answer() {
        let mut now: DateTime<Utc> = "2026-11-21T01:02:03.250Z".parse().unwrap();
        let skew = Skew::of(ask(&mut now, TimeDelta::zero(), TimeDelta::zero()));
        assert_eq!(skew.known(), TimeDelta::zero(), "it may be right, for all that one answer tells");
        let set = skew.and(ask(&mut now, TimeDelta::seconds(30), TimeDelta::zero()));
        assert!((set.ahead() - TimeDelta::seconds(30)).abs() <= TimeDelta::milliseconds(500), "{set:?}");
    }
}
