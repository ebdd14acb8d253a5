//! From what was seen of the sites to what is told of them, without I/O.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};

use super::{
    observe::Seen,
    owed::Owed,
    report::{self, Bringing, Lag, LagState, RecoveryPoint, Report, Side, Site, Worker, WorkerState},
    verdict,
};
use bridge_core::{
    conflict::Conflict,
    event::SiteId,
    failure::PortError,
    heartbeat::{Heard, Status},
    property::rfc3339,
    state,
    version::Version,
};

/// Heartbeats that may be overdue before a lag counts as growing. Ours: one may be late for a scheduler's reasons.
const OVERDUE: f64 = 1.0;
/// Heartbeats that may be overdue before a site counts as silent.
const SILENT: f64 = 3.0;
/// The time between heartbeats where none says it: the schedules' own (`deploy/azure/function/Heartbeat`).
const EVERY_SECONDS: f64 = 30.0;

/// Intervals after which what a worker counted does not hold any more.
const FRESH: f64 = 5.0;

/// Makes the report of a look that began at `now`.
pub(super) fn assess(
    seen: &BTreeMap<SiteId, Seen>,
    conflicts: Vec<(SiteId, (Conflict, DateTime<Utc>))>,
    now: DateTime<Utc>,
) -> Report {
    let mut lag = Vec::new();
    for from in seen.keys() {
        for to in seen.keys().filter(|to| *to != from) {
            lag.push(lag_of(from, to, &seen[to], now));
        }
    }
    let sites: Vec<Site> = seen.iter().map(|(id, one)| site(id, one, seen, &lag, now)).collect();
    let mut conflicts: Vec<report::Conflict> = conflicts.into_iter().map(conflict).collect();
    conflicts.sort_by(|one, other| other.seen_at.cmp(&one.seen_at));
    let findings = verdict::findings(&sites, &lag);
    let owed = Owed::of(&sites);
    Report { at: rfc3339(now), sites, owed, lag, conflicts, findings }
}

fn site(id: &SiteId, one: &Seen, all: &BTreeMap<SiteId, Seen>, lag: &[Lag], now: DateTime<Utc>) -> Site {
    let queue = one.queue.as_ref().ok();
    let letters = one.letters.as_ref().ok();
    let told = last_told(id, all).map(|told| (told, again(told, one.told.get(id))));
    let backing_off = told.filter(|(told, again)| fresh(told, *again, now)).map(|(told, _)| told.told.backing_off);
    let states = queue.map(|queue| queue.by_state(backing_off));
    let events = queue.zip(letters).map(|(queue, letters)| queue.messages() + letters.messages);
    let oldest = queue.and_then(|queue| queue.oldest).map(|oldest| seconds(now - oldest));
    let failed = [one.queue.as_ref().err(), one.letters.as_ref().err(), one.heard.as_ref().err()];
    let stands_still =
        told.is_some_and(|(told, again)| told.told.state != state::State::Working || !fresh(told, again, now));
    let mut trouble: Vec<String> = failed.into_iter().flatten().chain(&one.trouble).map(PortError::chain).collect();
    trouble.dedup();
    Site {
        site: id.to_string(),
        unreachable: failed.iter().all(Option::is_some),
        trouble,
        backlog_messages: states.map(|states| states.visible),
        in_flight_messages: states.and_then(|states| states.leased),
        backing_off_messages: states.map_or(backing_off, |states| states.backing_off),
        delayed_messages: states.map(|states| states.scheduled),
        oldest_age_seconds: oldest,
        dead_letters: letters.cloned(),
        worker: last_heard(id, all).and_then(|heard| worker(heard, now)),
        state: told.map(|(told, again)| state(told, again, now)),
        recovery_point: RecoveryPoint {
            events,
            seconds: match letters {
                _ if events == Some(0) => Some(0.0),
                Some(letters) if letters.messages > 0 => None,
                _ => recovery_seconds(id, lag, oldest, stands_still),
            },
        },
    }
}

/// What the worker of `id` said last, wherever it arrived.
fn last_told<'a>(id: &SiteId, all: &'a BTreeMap<SiteId, Seen>) -> Option<&'a state::Heard> {
    all.values().filter_map(|seen| seen.told.get(id)).max_by_key(|told| told.at)
}

/// Whether it holds still: a worker that counts says it again and again.
fn fresh(heard: &state::Heard, again: Option<f64>, now: DateTime<Utc>) -> bool {
    again.is_some_and(|again| seconds(now - heard.at) <= again * FRESH)
}

/// Seconds until it is said again, there or in the site's own store, where it was last said as `own`.
fn again(heard: &state::Heard, own: Option<&state::Heard>) -> Option<f64> {
    let again_ms = heard.told.again_ms.or_else(|| own.and_then(|own| own.told.again_ms));
    again_ms.map(|again| f64::from(again) / 1e3)
}

fn state(heard: &state::Heard, again: Option<f64>, now: DateTime<Utc>) -> WorkerState {
    let told = &heard.told;
    WorkerState {
        state: told.state,
        since: rfc3339(told.since.0),
        for_seconds: seconds(now - told.since.0),
        detail: told.detail.clone(),
        looks_in_seconds: told.next_look.map(|at| seconds(at.0 - now)),
        peers_away: told.peers_away.iter().map(|(peer, since)| (peer.clone(), rfc3339(since.0))).collect(),
        auto_replay: told.auto_replay,
        bringing: told.bringing.map(|bringing| Bringing {
            since: rfc3339(bringing.since.0),
            for_seconds: seconds(now - bringing.since.0),
            letters: bringing.letters,
        }),
        told_at: rfc3339(heard.at),
        age_seconds: seconds(now - heard.at),
        again_seconds: again,
        instance: told.instance.clone(),
    }
}

/// The heartbeat of `id` that was sent last, wherever it arrived.
fn last_heard<'a>(id: &SiteId, all: &'a BTreeMap<SiteId, Seen>) -> Option<&'a Heard> {
    all.values().filter_map(|seen| seen.heard.as_ref().ok()?.get(id)).max_by_key(|heard| heard.sent)
}

fn worker(heard: &Heard, now: DateTime<Utc>) -> Option<Worker> {
    let status = heard.status.clone()?;
    let ahead = status.clock_skew_ms.map(|_| status.ahead().as_seconds_f64());
    Some(Worker {
        heard_at: rfc3339(heard.sent),
        age_seconds: seconds(now - heard.sent),
        every_seconds: every(heard),
        instance: status.instance,
        clock_skew_seconds: ahead,
        circuits: status.circuits,
        events: status.events,
        conflicts: status.conflicts,
    })
}

/// Who is furthest behind decides: what that site lacks would be missing. Not known if it is not known of one. Where the site's worker stands still,
/// nothing is known to have come since its last heartbeat, however quickly that came.
fn recovery_seconds(id: &SiteId, lag: &[Lag], oldest: Option<f64>, stands_still: bool) -> Option<f64> {
    let behind = lag.iter().filter(|lag| lag.from == id.as_str()).map(|lag| match lag.state {
        LagState::Heard | LagState::Late if stands_still => lag.age_seconds,
        LagState::Heard | LagState::Late => lag.seconds,
        LagState::Silent => lag.age_seconds,
        LagState::Never | LagState::Unknown => None,
    });
    let behind: Option<Vec<f64>> = behind.collect();
    behind?.into_iter().chain(oldest).reduce(f64::max)
}

/// How far the store of `to`, seen as `there`, is behind the writes of `from`.
fn lag_of(from: &SiteId, to: &SiteId, there: &Seen, now: DateTime<Utc>) -> Lag {
    let lag = |state, seconds, heard: Option<&Heard>| Lag {
        from: from.to_string(),
        to: to.to_string(),
        state,
        seconds,
        heard_at: heard.map(|heard| rfc3339(heard.sent)),
        age_seconds: heard.map(|heard| self::seconds(now - heard.sent)),
    };
    let Ok(arrived) = &there.heard else { return lag(LagState::Unknown, None, None) };
    let Some(heard) = arrived.get(from) else { return lag(LagState::Never, None, None) };
    // The worker that wrote it tells how wrong its own clock is with its own heartbeat, in its own store.
    let written = heard.written - arrived.get(to).map_or(TimeDelta::zero(), skew);
    let on_its_way = self::seconds(written - heard.sent);
    let (age, every) = (self::seconds(now - heard.sent), every(heard));
    let overdue = age - on_its_way - every;
    let (state, seconds) = if overdue > every * SILENT {
        (LagState::Silent, None)
    } else if overdue > every * OVERDUE {
        (LagState::Late, Some(on_its_way.max(age - every)))
    } else {
        (LagState::Heard, Some(on_its_way))
    };
    lag(state, seconds, Some(heard))
}

fn skew(heard: &Heard) -> TimeDelta {
    heard.status.as_ref().map(Status::ahead).unwrap_or_default()
}

/// Seconds.
fn every(heard: &Heard) -> f64 {
    let told = heard.status.as_ref().map(|status| f64::from(status.every_ms) / 1e3);
    told.filter(|seconds| *seconds > 0.0).unwrap_or(EVERY_SECONDS)
}

fn conflict((site, (conflict, seen)): (SiteId, (Conflict, DateTime<Utc>))) -> report::Conflict {
    let write = |version: &Version| Side {
        version: version.to_string(),
        origin: version.origin().to_string(),
        timestamp: rfc3339(version.timestamp()),
        event_id: version.event_id().to_string(),
    };
    report::Conflict {
        site: site.to_string(),
        kind: conflict.kind,
        key: conflict.key.to_string(),
        lost: write(&conflict.lost),
        won: write(&conflict.won),
        seen_at: rfc3339(seen),
    }
}

/// Never below zero: what a clock's doubt makes of a short time.
fn seconds(time: TimeDelta) -> f64 {
    (time.as_seconds_f64().max(0.0) * 1e3).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lag::report::DeadLetters;
    use bridge_core::{
        failure::FailureKind,
        port::QueueDepth,
        state::{Since, State, Told},
    };

    const HERE: &str = "aws:us-east-1";
    const THERE: &str = "azure:westeurope";

    fn at(ms: i64) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(1_800_000_000_000 + ms).unwrap()
    }

    /// A heartbeat that was sent and written at these milliseconds by clocks that tell them, by a worker whose clock is
    /// `skew_ms` ahead, and read.
    fn heard(sent_ms: i64, written_ms: i64, skew_ms: i64) -> Heard {
        let status = Status { every_ms: 30_000, clock_skew_ms: Some(skew_ms), ..Status::default() };
        Heard { sent: at(sent_ms - skew_ms), written: at(written_ms), status: Some(status) }
    }

    fn seen(heard: &[(&str, Heard)]) -> Seen {
        let heard = heard.iter().map(|(site, heard)| (site.parse().unwrap(), heard.clone())).collect();
        Seen {
            queue: Ok(QueueDepth::default()),
            letters: Ok(DeadLetters::default()),
            heard: Ok(heard),
            told: BTreeMap::new(),
            trouble: vec![],
        }
    }

    fn report(here: Seen, there: Seen, now_ms: i64) -> Report {
        let seen = [(HERE.parse().unwrap(), here), (THERE.parse().unwrap(), there)].into();
        assess(&seen, Vec::new(), at(now_ms))
    }

    /// The lag from here to there.
    fn lag(there: Seen, now_ms: i64) -> (LagState, Option<f64>) {
        let report = report(seen(&[]), there, now_ms);
        let lag = report.lag.iter().find(|lag| lag.from == HERE).unwrap();
        (lag.state, lag.seconds)
    }

    #[test]
    fn the_lag_is_how_long_the_last_heartbeat_took() {
        let there = || seen(&[(HERE, heard(0, 3_000, 0))]);
        assert_eq!(lag(there(), 3_000), (LagState::Heard, Some(3.0)));
        assert_eq!(lag(there(), 32_000), (LagState::Heard, Some(3.0)), "the next one is not overdue yet");
        assert_eq!(lag(there(), 60_000), (LagState::Heard, Some(3.0)), "nor late enough to count");
        assert_eq!(lag(there(), 70_000), (LagState::Late, Some(40.0)), "one that was sent 30 s after has not come");
        assert_eq!(lag(there(), 130_000), (LagState::Silent, None));
        // It was due at 33 s: late when another one is due, silent when three are.
        assert_eq!(lag(there(), 63_000), (LagState::Heard, Some(3.0)));
        assert_eq!(lag(there(), 63_500), (LagState::Late, Some(33.5)));
        assert_eq!(lag(there(), 123_000), (LagState::Late, Some(93.0)));
        assert_eq!(lag(there(), 123_001), (LagState::Silent, None));
    }

    #[test]
    fn a_worker_is_told_as_it_said_in_seconds_and_utc() {
        let told = |every_ms, skew_ms| {
            let mut heard = heard(250, 300, skew_ms);
            heard.status.as_mut().unwrap().every_ms = every_ms;
            let report = report(seen(&[(HERE, heard)]), seen(&[]), 2_250);
            assert_eq!(report.at, "2027-01-15T08:00:02.250Z");
            report.sites[0].worker.clone().unwrap()
        };
        let worker = told(60_000, 250);
        assert_eq!((worker.every_seconds, worker.clock_skew_seconds), (60.0, Some(0.25)));
        assert_eq!((worker.heard_at.as_str(), worker.age_seconds), ("2027-01-15T08:00:00.000Z", 2.25));
        assert_eq!(Some(told(0, 0).every_seconds), Some(EVERY_SECONDS), "where it does not say");
    }

    #[test]
    fn what_was_never_heard_or_cannot_be_seen_is_not_zero() {
        assert_eq!(lag(seen(&[]), 0), (LagState::Never, None));
        let dark = || PortError::new("store", "get", FailureKind::Unavailable);
        assert_eq!(lag(Seen { heard: Err(dark()), ..seen(&[]) }, 0), (LagState::Unknown, None));
        let all_dark = Seen {
            queue: Err(dark()),
            letters: Err(dark()),
            heard: Err(dark()),
            told: BTreeMap::new(),
            trouble: vec![],
        };
        let report = report(all_dark, seen(&[(HERE, heard(0, 10, 0)), (THERE, heard(0, 10, 0))]), 1_000);
        let site = &report.sites[0];
        assert!(site.unreachable && !report.sites[1].unreachable);
        assert_eq!((site.backlog_messages, site.dead_letters.as_ref(), site.recovery_point.events), (None, None, None));
        assert_eq!(site.trouble.len(), 1, "one cause is told once: {:?}", site.trouble);
        assert_eq!(site.worker.as_ref().map(|worker| worker.age_seconds), Some(1.0), "heard of by the other site");
        assert_eq!(site.recovery_point.seconds, Some(0.01));
    }

    #[test]
    fn wrong_clocks_of_workers_do_not_change_the_lag() {
        // Sent at 0 s by a clock that is 30 s ahead, written at 3 s by one that is 20 s behind.
        let there = seen(&[(HERE, heard(30_000, -17_000, 30_000)), (THERE, heard(-20_000, -19_990, -20_000))]);
        assert_eq!(lag(there, 4_000), (LagState::Heard, Some(3.0)));
    }

    #[test]
    fn what_would_be_missing_is_what_lies_there_and_the_worst_lag() {
        let queue = QueueDepth { waiting: 5, in_flight: Some(2), delayed: 1, oldest: Some(at(1_000)) };
        let letters = DeadLetters { messages: 4, ..DeadLetters::default() };
        let here = Seen { queue: Ok(queue), letters: Ok(letters), ..seen(&[]) };
        let report = report(here, seen(&[(HERE, heard(0, 3_000, 0))]), 10_000);
        assert_eq!(report.sites[0].recovery_point, RecoveryPoint { events: Some(12), seconds: None });
        let here = Seen { queue: Ok(queue), ..seen(&[]) };
        let report = self::report(here, seen(&[(HERE, heard(0, 3_000, 0))]), 10_000);
        assert_eq!(report.sites[0].recovery_point, RecoveryPoint { events: Some(8), seconds: Some(9.0) });
        let report = self::report(seen(&[]), seen(&[(HERE, heard(0, 3_000, 0))]), 10_000);
        assert_eq!(report.sites[0].recovery_point, RecoveryPoint { events: Some(0), seconds: Some(0.0) });
        let queue = QueueDepth { waiting: 1, ..QueueDepth::default() };
        let report = self::report(seen(&[]), Seen { queue: Ok(queue), ..seen(&[]) }, 10_000);
        assert_eq!(report.sites[1].recovery_point.seconds, None, "no heartbeat of the other was ever here");
    }

    fn told(at_ms: i64, state: State, backing_off: u64) -> state::Heard {
        let told = Told {
            state,
            since: Since(at(0)),
            detail: None,
            next_look: None,
            peers_away: BTreeMap::new(),
            auto_replay: true,
            bringing: None,
            backing_off,
            again_ms: Some(2_000),
            instance: "one".to_owned(),
        };
        state::Heard { at: at(at_ms), told }
    }

    fn telling(told: state::Heard) -> Seen {
        Seen { told: [(HERE.parse().unwrap(), told)].into(), ..seen(&[]) }
    }

    #[test]
    fn the_latest_word_of_a_worker_counts_wherever_it_arrived() {
        let report = report(telling(told(4_000, State::Working, 0)), telling(told(5_000, State::Halted, 0)), 6_500);
        let state = report.sites[0].state.as_ref().unwrap();
        assert_eq!((state.state, state.age_seconds, state.for_seconds), (State::Halted, 1.5, 6.5));
        assert_eq!(report.sites[1].state, None, "the other one never said anything");
        // A word that is said to a peer once is still followed by others in the own store.
        let mut once = told(4_100, State::Working, 0);
        once.told.again_ms = None;
        let report = self::report(telling(told(4_000, State::Working, 0)), telling(once.clone()), 9_000);
        assert_eq!(report.sites[0].state.as_ref().unwrap().again_seconds, Some(2.0));
        let report = self::report(seen(&[]), telling(once), 9_000);
        assert_eq!(report.sites[0].state.as_ref().unwrap().again_seconds, None, "but not where that cannot be read");
    }

    /// Each message is counted once, in one state.
    #[test]
    fn messages_that_back_off_are_neither_in_flight_nor_delayed() {
        let counts = |in_flight, delayed, said, now_ms| {
            let queue = QueueDepth { waiting: 5, in_flight, delayed, oldest: None };
            let here = Seen { queue: Ok(queue), ..telling(told(1_000, State::Working, said)) };
            let site = report(here, seen(&[]), now_ms).sites[0].clone();
            (site.in_flight_messages, site.backing_off_messages, site.delayed_messages, site.queued())
        };
        assert_eq!(counts(Some(10), 2, 7, 2_000), (Some(3), Some(7), Some(2), Some(17)), "SQS");
        assert_eq!(counts(None, 9, 7, 2_000), (None, Some(7), Some(2), Some(14)), "Service Bus");
        assert_eq!(counts(Some(3), 2, 9, 2_000), (Some(0), Some(5), Some(0), Some(10)), "an estimate is behind");
        assert_eq!(counts(Some(10), 2, 7, 12_000), (Some(10), None, Some(2), Some(17)), "what it said is old");
    }
}
