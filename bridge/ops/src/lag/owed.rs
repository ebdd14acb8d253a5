//! What is owed in all: messages that lie anywhere, whether they become more or fewer, and until when at that rate.

use std::collections::VecDeque;

use bridge_core::property::rfc3339;
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::report::{DeadLetters, Report, Site};

/// Looks of so long make a rate, and looks of less than the least make none. Ours: brokers count late, and a minute shows today's rate.
const WINDOW: TimeDelta = TimeDelta::minutes(1);
const LEAST: TimeDelta = TimeDelta::seconds(12);
/// Messages a second that count as no change.
const STEADY: f64 = 0.05;

/// Messages at all sites by their state, as far as they are known. Each message is in one state.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Owed {
    /// All of them.
    pub messages: u64,
    /// Those that may be received now.
    pub waiting: u64,
    /// Those in workers' hands.
    pub in_flight: u64,
    /// Those that wait for a retry.
    pub backing_off: u64,
    /// Those to be delivered later.
    pub scheduled: u64,
    /// Dead letters that some site may lack.
    pub set_aside: u64,
    /// The sites of which not all is counted: there may be more.
    pub uncounted: Vec<String>,
    /// `null` after one look alone.
    pub course: Option<Course>,
}

/// How it goes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Course {
    /// Since when something is owed, as far as was looked.
    pub since: String,
    /// Messages a second over the last minute: above zero, they become more; `null` where that is not known yet.
    pub per_second: Option<f64>,
    /// When none is left at that rate; `null` where they do not become fewer.
    pub none_left_at: Option<String>,
    /// How long until then.
    pub none_left_in_seconds: Option<f64>,
}

impl Owed {
    pub(super) fn of(sites: &[Site]) -> Self {
        let sum = |of: fn(&Site) -> Option<u64>| sites.iter().filter_map(of).sum();
        let unknown = |site: &&Site| site.backlog_messages.is_none() || site.dead_letters.is_none();
        let mut all = Self {
            messages: 0,
            waiting: sum(|site| site.backlog_messages),
            in_flight: sum(|site| site.in_flight_messages),
            backing_off: sum(|site| site.backing_off_messages),
            scheduled: sum(|site| site.delayed_messages),
            set_aside: sum(|site| site.dead_letters.as_ref().map(DeadLetters::may_mend)),
            uncounted: sites.iter().filter(unknown).map(|site| site.site.clone()).collect(),
            course: None,
        };
        all.messages = all.waiting + all.in_flight + all.backing_off + all.scheduled + all.set_aside;
        all
    }
}

/// Looks again and again, and tells how it goes.
#[derive(Debug, Default)]
pub struct Trend {
    looks: VecDeque<(DateTime<Utc>, u64)>,
    since: Option<DateTime<Utc>>,
}

impl Trend {
    /// Takes a look in, and puts into it how it goes.
    pub fn take(&mut self, report: &mut Report) {
        let (Ok(now), owed) = (report.at.parse::<DateTime<Utc>>(), &mut report.owed) else { return };
        if !owed.uncounted.is_empty() {
            // A site that is not counted for a while would look like messages that are gone.
            self.looks.clear();
        } else if owed.messages == 0 {
            *self = Self::default();
            return;
        } else {
            self.looks.retain(|(at, _)| *at > now - WINDOW && *at < now);
            self.looks.push_back((now, owed.messages));
        }
        let since = *self.since.get_or_insert(now);
        let per_second = self.per_second(now, owed.messages);
        let left = per_second.filter(|rate| *rate < 0.0).map(|rate| as_float(owed.messages) / -rate);
        #[allow(clippy::cast_possible_truncation, reason = "what does not fit is no time")]
        let until = left.and_then(|left| now.checked_add_signed(TimeDelta::try_milliseconds((left * 1e3) as i64)?));
        owed.course = Some(Course {
            since: rfc3339(since),
            per_second,
            none_left_at: until.map(rfc3339),
            none_left_in_seconds: left,
        });
    }

    fn per_second(&self, now: DateTime<Utc>, messages: u64) -> Option<f64> {
        let (at, before) = *self.looks.front()?;
        let spent = now - at;
        if spent < LEAST {
            return None;
        }
        let change = (as_float(messages) - as_float(before)) / spent.as_seconds_f64();
        Some(if change.abs() < STEADY { 0.0 } else { change })
    }
}

#[allow(clippy::cast_precision_loss, reason = "no queue holds 2^53 messages")]
fn as_float(messages: u64) -> f64 {
    messages as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(second: i64, backlog: Option<u64>) -> Report {
        let at = DateTime::from_timestamp(1_800_000_000 + second, 0).unwrap();
        let dead_letters = Some(DeadLetters { messages: 3, unread: 2, ..DeadLetters::default() });
        let site = Site { site: "a".to_owned(), backlog_messages: backlog, dead_letters, ..Site::default() };
        let sites = vec![site];
        Report { at: rfc3339(at), owed: Owed::of(&sites), sites, ..Report::default() }
    }

    #[test]
    fn it_is_told_since_when_how_quickly_and_until_when() {
        let mut trend = Trend::default();
        let mut course = |second, backlog| {
            let mut report = look(second, backlog);
            trend.take(&mut report);
            report.owed.course
        };
        let first = course(0, Some(998)).unwrap();
        assert_eq!((first.since.as_str(), first.per_second), ("2027-01-15T08:00:00.000Z", None));
        assert_eq!(course(10, Some(898)).unwrap().per_second, None, "too soon");
        let then = course(20, Some(798)).unwrap();
        assert_eq!((then.per_second, then.none_left_in_seconds), (Some(-10.0), Some(80.0)));
        assert_eq!(then.none_left_at.as_deref(), Some("2027-01-15T08:01:40.000Z"));
        // The last minute counts: in it nothing changed.
        let steady: Vec<_> = (21..=90).map(|second| course(second, Some(798)).unwrap()).collect();
        assert_eq!(steady.last().unwrap().per_second, Some(0.0));
        let more = course(91, Some(1_398)).unwrap();
        assert!(more.per_second.unwrap() > 5.0 && more.none_left_at.is_none(), "{more:?}");
        let unknown = course(92, None).unwrap();
        assert_eq!((unknown.per_second, unknown.since.as_str()), (None, "2027-01-15T08:00:00.000Z"));
    }

    #[test]
    fn each_message_is_counted_once_and_what_nobody_read_may_be_owed() {
        let owed = look(0, Some(5)).owed;
        assert_eq!((owed.messages, owed.waiting, owed.set_aside), (7, 5, 2));
        assert_eq!(look(0, None).owed.uncounted, ["a"]);
        let mut none = Report { at: look(0, None).at, ..Report::default() };
        Trend::default().take(&mut none);
        assert_eq!(none.owed.course, None, "nothing is owed");
    }
}
