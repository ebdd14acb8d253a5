//! The log's lines of a trouble that lasts: one at its start, one a minute with a count, one at its end. Never one for each failure.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Between two lines of a trouble that lasts. Ours: enough to see that it lasts, and few enough to read a night's log.
const EVERY: Duration = Duration::from_mins(1);

/// One trouble that comes and goes. One that comes again within a minute is the same one.
#[derive(Debug, Default)]
pub(crate) struct Outage(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    lasting: Option<Lasting>,
    /// The last one, and when it ended.
    last: Option<(Lasting, Instant)>,
}

#[derive(Clone, Copy, Debug)]
struct Lasting {
    since: Instant,
    /// When a line told of it.
    told: Instant,
    failures: u64,
    /// Whether a line told of it since it came again.
    is_told: bool,
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
        let again = state.last.take().filter(|(_, ended)| now.duration_since(*ended) < EVERY);
        let Some(lasting) = &mut state.lasting else {
            let (lasting, line) = match again {
                Some((last, _)) => (Lasting { failures: last.failures + 1, is_told: false, ..last }, Line::None),
                None => (Lasting { since: now, told: now, failures: 1, is_told: true }, Line::Begins),
            };
            state.lasting = Some(lasting);
            return line;
        };
        lasting.failures += 1;
        if now.duration_since(lasting.told) < EVERY {
            return Line::None;
        }
        (lasting.told, lasting.is_told) = (now, true);
        Line::Lasts { seconds: now.duration_since(lasting.since).as_secs(), failures: lasting.failures }
    }

    /// It works; how many seconds and failures the trouble lasted, if a line told of one.
    pub(crate) fn ended(&self, now: Instant) -> Option<(u64, u64)> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let lasting = state.lasting.take()?;
        state.last = Some((lasting, now));
        lasting.is_told.then(|| (now.duration_since(lasting.since).as_secs(), lasting.failures))
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
        assert_eq!(outage.failed(at(200)), Line::Begins, "the next one");
    }

    #[test]
    fn one_that_comes_and_goes_is_told_as_one() {
        let (outage, start) = (Outage::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!((outage.failed(at(0)), outage.ended(at(1))), (Line::Begins, Some((1, 1))));
        for second in (2..60).step_by(2) {
            assert_eq!((outage.failed(at(second)), outage.ended(at(second + 1))), (Line::None, None), "{second}");
        }
        assert_eq!(outage.failed(at(60)), Line::None, "it comes again");
        assert_eq!(outage.failed(at(61)), Line::Lasts { seconds: 61, failures: 32 });
        assert_eq!(outage.ended(at(62)), Some((62, 32)), "a line told of it");
    }
}
