//! The last hour, for charts that are there when the page opens: a bounded ring of points, each the worst of five seconds.

use std::collections::{BTreeMap, VecDeque};

use bridge_ops::lag::report::{LagState, Report, Site};
use chrono::{DateTime, Utc};
use serde::Serialize;

use super::rates::{OUTCOMES, Rate};

/// Seconds of one point.
const STEP_SECONDS: i64 = 5;
/// Points of an hour.
const POINTS_MAX: usize = 720;

/// What charts show of one moment; lists are in the order of [`History`]'s names. None: not known.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Point {
    /// Seconds since 1970, a multiple of [`STEP_SECONDS`].
    at: i64,
    /// Seconds, by way.
    lag: Vec<Option<f64>>,
    /// Messages, by site.
    backlog: Vec<Option<f64>>,
    /// Seconds, by site; 0 where it is known that nothing waits.
    oldest_age: Vec<Option<f64>>,
    /// Events per second by outcome, over all sites that are known.
    rates: Vec<Option<f64>>,
}

/// The ring.
#[derive(Clone, Debug, Serialize)]
pub(super) struct History {
    version: &'static str,
    sites: Vec<String>,
    ways: Vec<(String, String)>,
    outcomes: [&'static str; 5],
    points: VecDeque<Point>,
}

impl History {
    /// An empty one, of these sites.
    pub(super) fn new(sites: Vec<String>) -> Self {
        let pairs = sites.iter().flat_map(|from| sites.iter().map(move |to| (from.clone(), to.clone())));
        let ways = pairs.filter(|(from, to)| from != to).collect();
        let version = env!("CARGO_PKG_VERSION");
        Self { version, ways, sites, outcomes: OUTCOMES, points: VecDeque::new() }
    }

    /// Adds a report; the point that it became part of.
    pub(super) fn add(&mut self, report: &Report, rates: &BTreeMap<String, Option<Rate>>) -> Point {
        let mut point = self.point(report, rates);
        if let Some(last) = self.points.pop_back_if(|last| last.at == point.at) {
            point = worst(&last, point);
        }
        self.points.push_back(point.clone());
        if self.points.len() > POINTS_MAX {
            self.points.pop_front();
        }
        point
    }

    fn point(&self, report: &Report, rates: &BTreeMap<String, Option<Rate>>) -> Point {
        let seconds = report.at.parse::<DateTime<Utc>>().map_or(0, |at| at.timestamp());
        let lag = |(from, to): &(String, String)| {
            let lag = report.lag.iter().find(|lag| lag.from == *from && lag.to == *to)?;
            matches!(lag.state, LagState::Heard | LagState::Late).then_some(lag.seconds).flatten()
        };
        let site = |name: &String| report.sites.iter().find(|site| site.site == *name);
        #[allow(clippy::cast_precision_loss, reason = "a queue holds fewer than 2^52 messages")]
        let backlog = |site: &Site| site.backlog_messages.map(|messages| messages as f64);
        let oldest = |site: &Site| match site.backlog_messages {
            Some(0) => Some(0.0),
            _ => site.oldest_age_seconds,
        };
        let rate =
            |outcome: &str| rates.values().flatten().filter_map(|rate| rate.get(outcome)).copied().reduce(|a, b| a + b);
        Point {
            at: seconds - seconds.rem_euclid(STEP_SECONDS),
            lag: self.ways.iter().map(lag).collect(),
            backlog: self.sites.iter().map(|name| site(name).and_then(backlog)).collect(),
            oldest_age: self.sites.iter().map(|name| site(name).and_then(oldest)).collect(),
            rates: OUTCOMES.into_iter().map(rate).collect(),
        }
    }
}

/// The worst of both: a spike must not vanish, and what was not known for a moment was not known. Rates are means already.
fn worst(one: &Point, other: Point) -> Point {
    let worse = |one: &[Option<f64>], other: Vec<Option<f64>>| {
        one.iter().zip(other).map(|(one, other)| Some(one.as_ref()?.max(other?))).collect()
    };
    Point {
        lag: worse(&one.lag, other.lag),
        backlog: worse(&one.backlog, other.backlog),
        oldest_age: worse(&one.oldest_age, other.oldest_age),
        ..other
    }
}
