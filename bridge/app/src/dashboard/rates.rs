//! Events per second by outcome, from counts that only ever rise.

use std::collections::BTreeMap;

use bridge_ops::lag::report::{Report, Worker};
use chrono::{DateTime, Utc};

/// The outcomes that are counted, in the order in which they are shown.
pub(super) const OUTCOMES: [&str; 5] = ["applied", "superseded", "duplicate", "dead_letter", "retried"];

/// Heartbeats that may be missing before the last rate is old news.
const BEATS_MAX: f64 = 3.0;

/// Events per second, by outcome.
pub(super) type Rate = BTreeMap<String, f64>;

/// Remembers each site's last heartbeat.
#[derive(Debug, Default)]
pub(super) struct Rates {
    sites: BTreeMap<String, (Beat, Option<Rate>)>,
}

#[derive(Debug)]
struct Beat {
    instance: String,
    at: DateTime<Utc>,
    events: BTreeMap<String, u64>,
}

impl Rates {
    /// Each site's rate between its last two heartbeats. None where they are not of the same process, whose counts began
    /// with it, or where there are no two, or the last one is long ago: what is not known is not zero.
    pub(super) fn take(&mut self, report: &Report) -> BTreeMap<String, Option<Rate>> {
        report.sites.iter().map(|site| (site.site.clone(), self.site(&site.site, site.worker.as_ref()))).collect()
    }

    fn site(&mut self, site: &str, worker: Option<&Worker>) -> Option<Rate> {
        let worker = worker?;
        let at: DateTime<Utc> = worker.heard_at.parse().ok()?;
        let before = self.sites.get(site);
        if before.is_none_or(|(beat, _)| beat.at != at || beat.instance != worker.instance) {
            let rate = before.and_then(|(beat, _)| between(beat, worker, at));
            let beat = Beat { instance: worker.instance.clone(), at, events: worker.events.clone() };
            self.sites.insert(site.to_owned(), (beat, rate));
        }
        let recent = worker.age_seconds <= worker.every_seconds * BEATS_MAX;
        self.sites.get(site).and_then(|(_, rate)| rate.clone()).filter(|_| recent)
    }
}

fn between(before: &Beat, now: &Worker, at: DateTime<Utc>) -> Option<Rate> {
    let seconds = (at - before.at).as_seconds_f64();
    if before.instance != now.instance || seconds <= 0.0 {
        return None;
    }
    let counted = |events: &BTreeMap<String, u64>, outcome: &str| events.get(outcome).copied().unwrap_or_default();
    OUTCOMES
        .iter()
        .map(|outcome| {
            let more = counted(&now.events, outcome).checked_sub(counted(&before.events, outcome))?;
            #[allow(clippy::cast_precision_loss, reason = "events between two heartbeats are few")]
            let rate = more as f64 / seconds;
            Some(((*outcome).to_owned(), rate))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worker(second: u32, instance: &str, applied: u64, age_seconds: f64) -> Worker {
        Worker {
            heard_at: format!("2026-11-21T00:00:{second:02}Z"),
            age_seconds,
            every_seconds: 10.0,
            instance: instance.to_owned(),
            clock_skew_seconds: None,
            circuits: BTreeMap::new(),
            events: [("applied".to_owned(), applied)].into(),
            conflicts: 0,
        }
    }

    #[test]
    fn a_rate_is_between_two_heartbeats_of_one_process() {
        let mut rates = Rates::default();
        let mut applied = |worker: Option<Worker>| rates.site("a", worker.as_ref()).map(|rate| rate["applied"]);
        assert_eq!(applied(Some(worker(0, "one", 100, 1.0))), None, "one count is no rate");
        assert_eq!(applied(Some(worker(10, "one", 120, 1.0))), Some(2.0));
        assert_eq!(applied(Some(worker(10, "one", 120, 9.0))), Some(2.0), "the same heartbeat, seen again");
        assert_eq!(applied(None), None, "nothing is heard");
        assert_eq!(applied(Some(worker(20, "one", 120, 1.0))), Some(0.0), "nothing was applied, and that is known");
        assert_eq!(applied(Some(worker(20, "one", 120, 31.0))), None, "too long ago to hold");
        assert_eq!(applied(Some(worker(30, "two", 5, 1.0))), None, "another process counts from its own beginning");
        assert_eq!(applied(Some(worker(40, "two", 8, 1.0))), Some(0.3));
    }
}
