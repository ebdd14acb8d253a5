//! The log's lines of a trouble that lasts: one at its start, one a minute with a count, one at its end. Never one for each failure.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Between two lines of a trouble that lasts. Ours: enough to see that it lasts, and few enough to read a night's log.
const EVERY: Duration = Duration::from_mins(1);

/// One trouble that comes and goes.
#[derive(Debug, Default)]
pub(crate) struct Outage(Mutex<Option<Lasting>>);

#[derive(Clone, Copy, Debug)]
struct Lasting {
    since: Instant,
    told: Instant,
    failures: u64,
}

/// What a line is to tell of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// It begins.
    Begins,
    /// It lasts, with so many failures in so many seconds.
    Lasts { seconds: u64, failures: u64 },
    /// Nothing: it was told a moment ago.
    None,
}

impl Outage {
    /// A failure at `now`; what is to be told of it.
    pub(crate) fn failed(&self, now: Instant) -> Line {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(lasting) = state.as_mut() else {
            *state = Some(Lasting { since: now, told: now, failures: 1 });
            return Line::Begins;
        };
        lasting.failures += 1;
        if now.duration_since(lasting.told) < EVERY {
            return Line::None;
        }
        lasting.told = now;
        Line::Lasts { seconds: now.duration_since(lasting.since).as_secs(), failures: lasting.failures }
    }

    /// It works; how many seconds and failures the trouble lasted, if there was one.
    pub(crate) fn ended(&self, now: Instant) -> Option<(u64, u64)> {
        let lasting = self.0.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        Some((now.duration_since(lasting.since).as_secs(), lasting.failures))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trouble_is_told_at_its_start_once_a_minute_and_at_its_end() {
        let (outage, start) = (Outage::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(outage.ended(at(0)), None);
        let told: Vec<Line> =
            (0..=125).map(|second| outage.failed(at(second))).filter(|line| *line != Line::None).collect();
        let lasts = |seconds, failures| Line::Lasts { seconds, failures };
        assert_eq!(told, [Line::Begins, lasts(60, 61), lasts(120, 121)]);
        assert_eq!((outage.ended(at(130)), outage.ended(at(130))), (Some((130, 126)), None));
        assert_eq!(outage.failed(at(140)), Line::Begins, "the next one");
    }
}
