//! What a worker knows of its site's own store. While the store answers nobody, no message is to blame for it: none is tried in vain, and
//! none loses an attempt.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Poll, Waker},
    time::Duration,
};

use chrono::{DateTime, Utc};
use futures_util::{future, lock};

use crate::{
    event::Key,
    failure::{PortError, Recovery},
    refusals::Refusals,
};

/// Between two tries of a store that is away. Ours: a worker goes on soon after the store is back, and a try is one small request.
pub const STORE_PAUSE: Duration = Duration::from_secs(1);

/// How long after an outage a failure of the store still sets no message aside. Ours: about as long as all attempts take. The deliveries of the
/// outage count at the broker, and a store that has just come back may throttle.
const GRACE: Duration = Duration::from_mins(30);

/// The state of the site's own store, as its answers show it.
#[derive(Debug, Default)]
pub struct Health {
    state: Mutex<State>,
    /// Held by whoever asks whether the store or one key is what fails.
    pub(crate) asking: lock::Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    refusals: Refusals,
    /// How often it has answered: took a record, or refused one.
    answers: u64,
    away: Option<Away>,
    /// When the last outage ended.
    back: Option<DateTime<Utc>>,
    /// Whoever waits for an outage.
    waiting: Option<Waker>,
}

/// The store takes no record of any key.
#[derive(Clone, Debug)]
struct Away {
    /// When it was last tried.
    tried: DateTime<Utc>,
    /// What it said, or what was said in its place.
    why: Arc<PortError>,
}

impl Health {
    /// Whether the store may be tried at `now`. While it is away, one try passes in each [`STORE_PAUSE`].
    ///
    /// # Errors
    /// Why it is away.
    pub(crate) fn admits(&self, now: DateTime<Utc>) -> Result<(), Arc<PortError>> {
        let mut state = self.state();
        let Some(away) = &mut state.away else { return Ok(()) };
        // A clock that was set back must not put the next try off.
        let waited = (now - away.tried).to_std().unwrap_or(STORE_PAUSE);
        if waited < STORE_PAUSE {
            return Err(Arc::clone(&away.why));
        }
        away.tried = now;
        Ok(())
    }

    /// Takes in what came of a write of `key`.
    pub(crate) fn note(&self, key: &Key, failure: Option<&PortError>, now: DateTime<Utc>) {
        let mut state = self.state();
        state.refusals.note(key, failure.map(|error| &error.kind));
        if failure.is_none_or(|error| error.kind.recovery() != Recovery::Retry) {
            state.answers += 1;
            if state.away.take().is_some() {
                state.back = Some(now);
            }
        }
    }

    /// Whether it has refused so many keys, one after the other, that it may be what is wrong.
    pub(crate) fn is_suspect(&self) -> bool {
        self.state().refusals.suspect_the_store()
    }

    /// How often it has answered so far: whoever sees another number later knows that it answered somebody.
    pub(crate) fn answers(&self) -> u64 {
        self.state().answers
    }

    /// The store answers nobody.
    pub(crate) fn is_gone(&self, why: Arc<PortError>, now: DateTime<Utc>) {
        let mut state = self.state();
        state.away = Some(Away { tried: now, why });
        if let Some(waiting) = state.waiting.take() {
            waiting.wake();
        }
    }

    /// Waits until the store is away; answers why. For one at a time: the loop that takes messages.
    pub(crate) async fn gone(&self) -> Arc<PortError> {
        future::poll_fn(|context| {
            let mut state = self.state();
            match &state.away {
                Some(away) => Poll::Ready(Arc::clone(&away.why)),
                None => {
                    state.waiting = Some(context.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }

    /// Why the store is away, if it is.
    pub fn away(&self) -> Option<Arc<PortError>> {
        self.state().away.as_ref().map(|away| Arc::clone(&away.why))
    }

    /// Whether the deliveries of a message count against it at `now`. During an outage, and for a while after it, they do not.
    pub(crate) fn counts_attempts(&self, now: DateTime<Utc>) -> bool {
        let state = self.state();
        let long_ago = |back: DateTime<Utc>| (now - back).to_std().is_ok_and(|since| since > GRACE);
        state.away.is_none() && state.back.is_none_or(long_ago)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::FailureKind;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(second, 0).unwrap()
    }

    fn failed(kind: FailureKind) -> PortError {
        PortError::new("store", "put_if_newer", kind)
    }

    fn key() -> Key {
        "k".parse().unwrap()
    }

    #[test]
    fn a_store_that_is_away_is_tried_once_in_each_pause() {
        let health = Health::default();
        assert!(health.admits(at(0)).is_ok() && health.admits(at(0)).is_ok());
        health.is_gone(Arc::new(failed(FailureKind::Unavailable)), at(10));
        assert!(health.admits(at(10)).is_err());
        assert!(health.admits(at(11)).is_ok() && health.admits(at(11)).is_err());
        assert!(health.admits(at(5)).is_ok(), "the clock was set back");
    }

    #[test]
    fn any_answer_ends_an_outage_and_a_failure_that_passes_is_none() {
        let refused = || failed(FailureKind::Rejected { detail: "no".to_owned() });
        for answer in [None, Some(refused()), Some(failed(FailureKind::Unauthorized))] {
            let health = Health::default();
            health.is_gone(Arc::new(failed(FailureKind::Unavailable)), at(10));
            health.note(&key(), Some(&failed(FailureKind::Throttled { retry_after: None })), at(11));
            assert!(health.away().is_some() && health.answers() == 0);
            health.note(&key(), answer.as_ref(), at(12));
            assert!(health.away().is_none() && health.answers() == 1);
        }
    }

    #[test]
    fn attempts_count_again_a_while_after_an_outage() {
        let health = Health::default();
        assert!(health.counts_attempts(at(0)));
        health.is_gone(Arc::new(failed(FailureKind::TimedOut)), at(0));
        assert!(!health.counts_attempts(at(100_000)));
        health.note(&key(), None, at(100_000));
        assert!(!health.counts_attempts(at(100_000 + 1_800)) && health.counts_attempts(at(100_000 + 1_801)));
    }
}
