//! One look for all who watch, again and again: more viewers ask no more of the clouds.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use bridge_ops::lag::{Report, owed::Trend, report::Conflict};
use serde::Serialize;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::{
    history::{History, Point},
    letters::{self, Row},
    rates::{Rate, Rates},
};

/// From the end of a look to the next while somebody watches. With a site dark it takes this and the bound of a look until
/// the page says so, and that shall be less than 5 s.
const WATCHED: Duration = Duration::from_millis(1500);
/// How long somebody who asked counts as watching.
const INTEREST: Duration = Duration::from_secs(60);
/// Conflicts take many reads and are for reading later: not with every look.
const CONFLICTS_EVERY: Duration = Duration::from_secs(10);
/// A look that takes longer has hung: its parts have bounds of their own, far below.
const LOOK_MAX: Duration = Duration::from_secs(15);
/// From this age on what is shown is stale: two looks that had to wait for answers as long as they do would have ended.
pub(super) const STALE_AFTER: Duration = Duration::from_secs(9);

/// What looks at the sites.
#[async_trait]
pub(crate) trait Look: Send + Sync {
    /// Looks once, at the conflicts too if so asked.
    async fn look(&self, conflicts: bool) -> Report;
}

/// One look, with all that the page shows of it.
#[derive(Debug, Serialize)]
pub(super) struct Looked {
    pub(super) report: Report,
    pub(super) letters: Vec<Row>,
    pub(super) rates: BTreeMap<String, Option<Rate>>,
    pub(super) point: Point,
    #[serde(skip)]
    pub(super) ended: Instant,
}

/// The last look, for all who watch.
pub(super) struct Poller {
    unwatched: Option<Duration>,
    last: watch::Sender<Option<Arc<Looked>>>,
    history: Mutex<History>,
    asked: Mutex<Option<Instant>>,
    wake: Notify,
}

impl Poller {
    /// A poller of these sites. `unwatched`: from a look to the next while nobody watches; none for not at all.
    pub(super) fn new(sites: Vec<String>, unwatched: Option<Duration>) -> Self {
        Self {
            unwatched,
            last: watch::Sender::new(None),
            history: Mutex::new(History::new(sites)),
            asked: Mutex::new(None),
            wake: Notify::new(),
        }
    }

    /// What to follow; for as long as it lives, somebody watches.
    pub(super) fn subscribe(&self) -> watch::Receiver<Option<Arc<Looked>>> {
        let looks = self.last.subscribe();
        self.show_interest();
        looks
    }

    /// The last look.
    pub(super) fn last(&self) -> Option<Arc<Looked>> {
        self.show_interest();
        self.last.borrow().clone()
    }

    /// The last hour.
    pub(super) fn history(&self) -> History {
        self.history.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn show_interest(&self) {
        let now = Instant::now();
        let before = self.asked.lock().unwrap_or_else(PoisonError::into_inner).replace(now);
        if before.is_none_or(|before| now - before > WATCHED) {
            self.wake.notify_one();
        }
    }

    fn watched(&self) -> bool {
        let asked = *self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        self.last.receiver_count() > 0 || asked.is_some_and(|asked| asked.elapsed() < INTEREST)
    }

    /// Looks until stopped.
    pub(super) async fn run(&self, look: &dyn Look, stop: &CancellationToken) {
        let (mut rates, mut trend) = (Rates::default(), Trend::default());
        let mut conflicts: (Vec<Conflict>, Option<Instant>) = (Vec::new(), None);
        if self.unwatched.is_none() {
            tokio::select! {
                () = self.wake.notified() => {}
                () = stop.cancelled() => return,
            }
        }
        loop {
            let with_conflicts = conflicts.1.is_none_or(|at| at.elapsed() >= CONFLICTS_EVERY);
            // To its end, also when stopped: a look that is dropped leaves the letters hidden that it had taken.
            match tokio::time::timeout(LOOK_MAX, look.look(with_conflicts)).await {
                Ok(mut report) => {
                    if with_conflicts {
                        conflicts = (report.conflicts.clone(), Some(Instant::now()));
                    } else {
                        report.conflicts.clone_from(&conflicts.0);
                    }
                    trend.take(&mut report);
                    self.last.send_replace(Some(Arc::new(self.concluded(report, &mut rates))));
                }
                Err(_) => tracing::warn!(seconds = LOOK_MAX.as_secs(), "a look at the sites did not end"),
            }
            tokio::select! {
                () = self.rest() => {}
                () = stop.cancelled() => return,
            }
        }
    }

    fn concluded(&self, report: Report, rates: &mut Rates) -> Looked {
        let rates = rates.take(&report);
        let point = self.history.lock().unwrap_or_else(PoisonError::into_inner).add(&report, &rates);
        Looked { letters: letters::rows(&report), rates, point, report, ended: Instant::now() }
    }

    /// Until the next look is due, which is sooner once somebody comes.
    async fn rest(&self) {
        if self.watched() {
            tokio::time::sleep(WATCHED).await;
            return;
        }
        let due = async {
            match self.unwatched {
                Some(pause) => tokio::time::sleep(pause).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = due => {}
            () = self.wake.notified() => {}
        }
    }
}
