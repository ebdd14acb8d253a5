//! What `bridge lag` tells of a drill's trouble: when it names it first, and when it finds nothing any more.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bridge_adapters::clock::SystemClock;
use bridge_core::port::Clock;
use bridge_ops::lag::{
    Observer, Report,
    report::{Finding, Level},
};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use tokio::{task::JoinHandle, time::sleep};
use tokio_util::sync::CancellationToken;

/// From one look to the next. Ours: the page looks as often.
const LOOK: Duration = Duration::from_millis(500);

/// What was told, and when.
#[derive(Debug, Default)]
pub(super) struct Noticed {
    /// What was found before.
    known: BTreeSet<String>,
    told: Arc<Mutex<Told>>,
    looking: Option<JoinHandle<()>>,
}

/// Seconds from the failure, and from the return.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Told {
    /// Until the first finding; none if there was none.
    pub(super) found_after_seconds: Option<f64>,
    /// Its text.
    pub(super) finding: Option<String>,
    /// The runbook that it names.
    pub(super) runbook: Option<String>,
    /// From the site's return until nothing was found; none if something was to the end.
    pub(super) well_after_seconds: Option<f64>,
}

/// What is bad or may become so; what cannot be read is no finding of the trouble.
fn found(report: &Report) -> impl Iterator<Item = &Finding> {
    report.findings.iter().filter(|finding| finding.level != Level::Unknown)
}

fn seconds(from: DateTime<Utc>) -> f64 {
    ((SystemClock.now() - from).as_seconds_f64() * 10.0).round() / 10.0
}

impl Noticed {
    /// Looks in the background until something is found that was not found `before`.
    pub(super) fn watch(&mut self, observer: &Arc<Observer>, before: &Report, failed_at: DateTime<Utc>) {
        self.known = found(before).map(|finding| finding.place.clone()).collect();
        let known = self.known.clone();
        let (observer, told) = (Arc::clone(observer), Arc::clone(&self.told));
        self.looking = Some(tokio::spawn(async move {
            loop {
                let report = observer.glance().await;
                if let Some(first) = found(&report).find(|finding| !known.contains(&finding.place)) {
                    let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
                    told.found_after_seconds = Some(seconds(failed_at));
                    (told.finding, told.runbook) = (Some(first.text.clone()), first.runbook.clone());
                    return;
                }
                sleep(LOOK).await;
            }
        }));
    }

    /// Looks in the background no more: the trouble is over, and what is found from now on is another one.
    pub(super) fn unwatch(&mut self) {
        if let Some(looking) = self.looking.take() {
            looking.abort();
        }
    }

    /// Looks until nothing is found that was not found before, at most for `limit` and until `stop`.
    pub(super) async fn end(
        &mut self,
        observer: &Observer,
        returned: Option<DateTime<Utc>>,
        limit: Duration,
        stop: &CancellationToken,
    ) {
        let (begun, Some(returned)) = (SystemClock.now(), returned) else { return };
        while !stop.is_cancelled() && (SystemClock.now() - begun).to_std().is_ok_and(|spent| spent < limit) {
            if found(&observer.glance().await).all(|finding| self.known.contains(&finding.place)) {
                self.told.lock().unwrap_or_else(PoisonError::into_inner).well_after_seconds = Some(seconds(returned));
                return;
            }
            sleep(LOOK).await;
        }
    }

    pub(super) fn told(&self) -> Told {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// For the timeline.
    pub(super) fn words(&self) -> String {
        match self.told() {
            Told { found_after_seconds: Some(after), finding: Some(text), .. } => {
                format!("bridge lag found it {after:.1} s after the failure: {text}")
            }
            _ => "bridge lag has found nothing".to_owned(),
        }
    }

    pub(super) fn last_words(&self) -> String {
        match self.told().well_after_seconds {
            Some(after) => format!("bridge lag finds nothing of it, {after:.1} s after the return"),
            None => "bridge lag still finds something".to_owned(),
        }
    }
}
