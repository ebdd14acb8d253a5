//! A clock that stands still until it is told to move, so that a test or a simulation owns time.

use std::{
    collections::BTreeMap,
    future::Future,
    pin::{Pin, pin},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use async_trait::async_trait;
use bridge_core::port::Clock;
use chrono::{DateTime, TimeDelta, Utc};

/// A clock that stands still until [`ManualClock::advance`] or [`ManualClock::drive`] moves it.
///
/// The time of day may be set back and forth ([`ManualClock::step`]) without disturbing those who wait, as on a real
/// machine, where timers run on a clock of their own.
#[derive(Debug)]
pub struct ManualClock(Mutex<State>);

#[derive(Debug)]
struct State {
    /// The time of day at `elapsed` zero.
    start: DateTime<Utc>,
    /// Since the clock was made; only ever grows.
    elapsed: Duration,
    /// Who waits, by the instant it waits for, then in the order of asking.
    sleepers: BTreeMap<(Duration, u64), Waker>,
    next_sleeper: u64,
}

impl ManualClock {
    /// A clock that shows `start`.
    pub fn new(start: DateTime<Utc>) -> Arc<Self> {
        let state = State { start, elapsed: Duration::ZERO, sleepers: BTreeMap::new(), next_sleeper: 0 };
        Arc::new(Self(Mutex::new(state)))
    }

    /// Time since the clock was made, whatever the time of day was set to.
    pub fn elapsed(&self) -> Duration {
        self.state().elapsed
    }

    /// Moves time on by `duration`, and wakes all whose time has come.
    pub fn advance(&self, duration: Duration) {
        let due = {
            let mut state = self.state();
            state.elapsed += duration;
            let now = state.elapsed;
            let later = state.sleepers.split_off(&(now, u64::MAX));
            std::mem::replace(&mut state.sleepers, later)
        };
        due.into_values().for_each(Waker::wake);
    }

    /// Moves time on to the next instant that somebody waits for; false if nobody waits.
    pub fn advance_to_next(&self) -> bool {
        let Some(pause) = ({
            let state = self.state();
            state.sleepers.keys().next().map(|(until, _)| until.saturating_sub(state.elapsed))
        }) else {
            return false;
        };
        self.advance(pause);
        true
    }

    /// Sets the time of day forward or back by `delta`, as a correction by the network would. Nobody wakes by it.
    pub fn step(&self, delta: TimeDelta) {
        self.state().start += delta;
    }

    /// Runs `future` to its end, moving time on whenever nothing else can happen.
    ///
    /// This is the whole runtime of a simulation: one future, polled on this thread, so that the same inputs give the
    /// same run.
    ///
    /// # Panics
    /// If the future waits for something that is not this clock and that nobody will do: it could never end.
    pub fn drive<F: Future>(&self, future: F) -> F::Output {
        let woken = Arc::new(Woken(AtomicBool::new(true)));
        let waker = Waker::from(Arc::clone(&woken));
        let mut context = Context::from_waker(&waker);
        let mut future = pin!(future);
        loop {
            if woken.0.swap(false, Ordering::AcqRel) {
                if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
                    return output;
                }
            } else {
                assert!(self.advance_to_next(), "the future waits, but not for this clock: it would never end");
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("nothing panics while it holds the lock")
    }
}

#[async_trait]
impl Clock for ManualClock {
    fn now(&self) -> DateTime<Utc> {
        let state = self.state();
        state.start + TimeDelta::from_std(state.elapsed).expect("a test does not last for millennia")
    }

    async fn sleep(&self, duration: Duration) {
        let until = self.elapsed() + duration;
        Sleep { clock: self, until, place: None }.await;
    }
}

/// Waits until the clock has reached `until`; leaves the list of sleepers when dropped.
struct Sleep<'a> {
    clock: &'a ManualClock,
    until: Duration,
    place: Option<u64>,
}

impl Future for Sleep<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.clock.state();
        if state.elapsed >= self.until {
            return Poll::Ready(());
        }
        let place = self.place.unwrap_or_else(|| {
            state.next_sleeper += 1;
            state.next_sleeper
        });
        state.sleepers.insert((self.until, place), context.waker().clone());
        drop(state);
        self.place = Some(place);
        Poll::Pending
    }
}

impl Drop for Sleep<'_> {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            self.clock.state().sleepers.remove(&(self.until, place));
        }
    }
}

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::join3;

    use super::*;

    fn clock() -> Arc<ManualClock> {
        ManualClock::new("2026-11-21T01:02:03Z".parse().unwrap())
    }

    #[test]
    fn sleepers_wake_in_the_order_of_their_instants() {
        let clock = clock();
        let order = Mutex::new(Vec::new());
        let nap = async |seconds| {
            clock.sleep(Duration::from_secs(seconds)).await;
            order.lock().unwrap().push((seconds, clock.elapsed().as_secs()));
        };
        clock.drive(join3(nap(3), nap(1), nap(2)));
        assert_eq!(*order.lock().unwrap(), [(1, 1), (2, 2), (3, 3)]);
    }

    #[test]
    fn a_step_of_the_time_of_day_wakes_nobody_and_delays_nobody() {
        let clock = clock();
        let start = clock.now();
        clock.drive(async {
            let sleeping = clock.sleep(Duration::from_secs(10));
            clock.step(TimeDelta::hours(-1));
            sleeping.await;
        });
        assert_eq!(clock.elapsed(), Duration::from_secs(10));
        assert_eq!(clock.now(), start - TimeDelta::hours(1) + TimeDelta::seconds(10));
    }

    #[test]
    fn a_dropped_sleep_is_forgotten() {
        let clock = clock();
        clock.drive(async {
            let nap = clock.sleep(Duration::from_secs(1));
            futures_util::future::select(nap, clock.sleep(Duration::from_hours(1))).await;
        });
        assert!(!clock.advance_to_next(), "nobody waits any more");
    }

    #[test]
    fn what_can_never_end_is_told() {
        let clock = clock();
        let ended = std::panic::catch_unwind(|| clock.drive(std::future::pending::<()>()));
        assert!(ended.is_err());
    }
}
