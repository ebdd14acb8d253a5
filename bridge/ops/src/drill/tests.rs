use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::{Aftermath, Answer, Book, Count, Course, Fates, Figures, Missing, Pace, Rto, Wrong};
use bridge_core::{
    event::{Change, Event, Op, Payload, SiteId, Timestamp},
    record::Record,
};

const FAILED: &str = "aws:us-east-1";
const OTHER: &str = "azure:westeurope";

fn at(ms: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(1_800_000_000_000).unwrap() + TimeDelta::milliseconds(ms)
}

fn site(name: &str) -> SiteId {
    name.parse().unwrap()
}

fn event(number: u128, key: &str, op: Op, origin: &str, ms: i64) -> Event {
    Event::from(Change {
        id: Uuid::from_u128(number),
        origin: site(origin),
        op,
        key: key.parse().unwrap(),
        payload: format!(r#"{{"n":"{number}"}}"#).parse().unwrap(),
        timestamp: Timestamp { utc: at(ms), text: at(ms).to_rfc3339() },
        trace: None,
    })
}

/// A site that fails at 10 s, is failed over at 12 s and is back at 20 s.
fn course() -> Course {
    Course {
        failed_site: site(FAILED),
        failed_at: at(10_000),
        failed_over_at: Some(at(12_000)),
        returned_at: Some(at(20_000)),
        late_after: Duration::from_secs(5),
    }
}

struct Drill(Book, Aftermath);

impl Drill {
    fn new() -> Self {
        let sites = [site(FAILED), site(OTHER)];
        let held = sites.iter().map(|site| (site.clone(), BTreeMap::new())).collect();
        Self(Book::new(sites), Aftermath { held, ..Aftermath::default() })
    }

    /// A write of a key of its own at these milliseconds, confirmed 10 ms later, then seen by each store.
    fn wrote(&mut self, ms: i64, home: &str, origin: &str, seen: &[(&str, i64)]) -> usize {
        let number = self.0.entries().len();
        self.wrote_to(&format!("key-{number}"), Op::Upsert, ms, home, origin, seen)
    }

    fn wrote_to(&mut self, key: &str, op: Op, ms: i64, home: &str, origin: &str, seen: &[(&str, i64)]) -> usize {
        let event = event(self.0.entries().len() as u128, key, op, origin, ms);
        let version = event.version().clone();
        let number = self.0.write(event.clone(), site(home), at(ms));
        self.0.answered(number, Answer::Confirmed(at(ms + 10)));
        for (name, when) in seen {
            self.0.saw(&site(name), &event.key, &version, at(*when));
            let record = Record::new(&event, &site(name), at(*when), Duration::ZERO);
            self.1.held.get_mut(&site(name)).unwrap().insert(event.key.clone(), record);
        }
        number
    }

    fn figures(&self) -> Figures {
        Figures::of(&self.0, &course(), &self.1)
    }
}

#[test]
fn recovery_time_ends_with_the_first_write_of_its_users_that_can_be_read_elsewhere() {
    let mut drill = Drill::new();
    drill.wrote(9_000, FAILED, FAILED, &[(FAILED, 9_100), (OTHER, 9_200)]);
    let refused = drill.wrote(10_500, FAILED, FAILED, &[]);
    drill.0.answered(refused, Answer::Refused("gone".into()));
    assert_eq!(drill.0.awaited(&site(OTHER)), [], "a refused write never comes");
    let silent = drill.wrote(11_000, FAILED, FAILED, &[]);
    drill.0.answered(silent, Answer::Unknown);
    // The other site's own users are no sign of it.
    drill.wrote(11_500, OTHER, OTHER, &[(OTHER, 11_550)]);
    drill.wrote(12_100, FAILED, OTHER, &[(OTHER, 12_400), (FAILED, 21_000)]);
    let figures = drill.figures();
    let rto = Rto { failed_over_seconds: Some(2.0), confirmed_seconds: Some(2.11), readable_seconds: Some(2.4) };
    assert_eq!(figures.rto, rto);
    assert_eq!(figures.writes, Count { made: 5, confirmed: 3, refused: 1, unknown: 1 });
    assert_eq!(drill.0.keys().count(), 5);
    assert!(Drill::new().figures().rto.readable_seconds.is_none(), "nothing measured is not zero");
}

#[test]
fn recovery_point_is_what_no_survivor_had() {
    let mut drill = Drill::new();
    drill.wrote(7_000, FAILED, FAILED, &[(FAILED, 7_100), (OTHER, 7_200)]);
    drill.wrote(8_000, FAILED, FAILED, &[(FAILED, 8_100), (OTHER, 12_500)]); // Brought by the replay of failing over.
    drill.wrote(9_000, FAILED, FAILED, &[(FAILED, 9_100), (OTHER, 21_000)]);
    drill.wrote(9_500, FAILED, FAILED, &[]);
    drill.wrote(9_600, OTHER, OTHER, &[(OTHER, 9_700)]); // Lies at a survivor, so it is not at stake.
    let figures = drill.figures();
    assert_eq!(figures.missing_at_failover, Missing { events: 3, seconds: 1.99 });
    assert_eq!(figures.rpo, Missing { events: 2, seconds: 0.99 });
    // A queue that still took writes while nobody worked.
    drill.wrote(11_490, FAILED, FAILED, &[]);
    assert_eq!(drill.figures().rpo, Missing { events: 3, seconds: 2.49 });
    assert_eq!(Drill::new().figures().rpo, Missing { events: 0, seconds: 0.0 });
}

#[test]
fn each_confirmed_write_has_one_fate() {
    let mut drill = Drill::new();
    drill.wrote(1_000, FAILED, FAILED, &[(FAILED, 1_100), (OTHER, 6_010)]);
    drill.wrote(2_000, FAILED, FAILED, &[(FAILED, 2_100), (OTHER, 7_100)]);
    let owed = drill.wrote(13_000, OTHER, OTHER, &[(OTHER, 13_100)]);
    drill.wrote(14_000, OTHER, OTHER, &[(OTHER, 14_100)]);
    drill.1.letters.insert(Uuid::from_u128(owed as u128));
    let figures = drill.figures();
    assert_eq!(figures.fates, Fates { in_time: 1, late: 1, owed: 1, waiting: 0, lost: 1 });
    assert_eq!(drill.0.missing().count(), 2);
    assert_eq!(figures.lacking_at_return, 2);
    assert_eq!(figures.catch_up_seconds, None, "they never caught up");
    drill.1.queued = 1;
    let fates = drill.figures().fates;
    assert_eq!((fates.waiting, fates.lost), (1, 0), "what may lie in a queue is not told as lost");
}

/// Each write counts on one side of the failure and of the return, whichever moment it was confirmed or seen at.
#[test]
fn a_moment_belongs_to_one_side() {
    let mut drill = Drill::new();
    // Confirmed 10 ms after: twice before the failure, at it, just before the return, at it, and after it.
    for ms in [9_500, 9_980, 9_990, 19_980, 19_990, 20_000] {
        drill.wrote(ms, OTHER, OTHER, &[(OTHER, ms + 30), (FAILED, 25_000)]);
    }
    let figures = drill.figures();
    assert_eq!(figures.pace_before, Some(Pace { writes: 2, median_seconds: 0.02, most_seconds: 0.02 }));
    assert_eq!(figures.pace_during, Some(Pace { writes: 2, median_seconds: 0.02, most_seconds: 0.02 }));
    assert_eq!(figures.lacking_at_return, 5, "the last one was not promised yet");
    drill.wrote(15_000, OTHER, OTHER, &[(OTHER, 15_100), (FAILED, 20_000)]);
    assert_eq!(drill.figures().lacking_at_return, 5, "it came at that very moment");
    drill.wrote(15_000, OTHER, OTHER, &[(OTHER, 15_100), (FAILED, 20_001)]);
    assert_eq!(drill.figures().lacking_at_return, 6);
}

#[test]
fn only_what_the_failed_site_had_confirmed_by_then_was_missing_at_failover() {
    let mut drill = Drill::new();
    drill.wrote(9_000, OTHER, OTHER, &[(OTHER, 13_000)]);
    assert_eq!(drill.figures().missing_at_failover.events, 0, "a survivor's own, late in its store");
    drill.wrote(11_990, FAILED, FAILED, &[(FAILED, 12_000), (OTHER, 12_001)]);
    assert_eq!(drill.figures().missing_at_failover.events, 1, "confirmed at that moment, and seen a little later");
    drill.wrote(11_000, FAILED, FAILED, &[(FAILED, 12_000), (OTHER, 12_000)]);
    drill.wrote(11_991, FAILED, FAILED, &[(FAILED, 12_100), (OTHER, 13_000)]);
    assert_eq!(drill.figures().missing_at_failover.events, 1, "seen at that moment; confirmed after it");
}

/// The pace is that of users whose site went on, to their own store: not of those who were sent there.
#[test]
fn the_pace_is_of_survivors_own_users() {
    let mut drill = Drill::new();
    drill.wrote(13_000, OTHER, OTHER, &[(OTHER, 13_005)]);
    drill.wrote(13_000, OTHER, OTHER, &[(OTHER, 13_110)]);
    drill.wrote(13_000, OTHER, OTHER, &[(OTHER, 13_210)]);
    drill.wrote(14_000, FAILED, OTHER, &[(OTHER, 19_000)]);
    drill.wrote(14_000, FAILED, FAILED, &[(FAILED, 19_000)]);
    let pace = Pace { writes: 3, median_seconds: 0.1, most_seconds: 0.2 };
    assert_eq!(drill.figures().pace_during, Some(pace), "and one that is seen before its confirmation took no time");
}

#[test]
fn one_key_that_is_wrong_in_any_way_is_enough() {
    let named = || BTreeSet::from(["k".to_owned()]);
    assert!(Wrong::default().is_empty());
    assert!(!Wrong { resurrected: named(), ..Wrong::default() }.is_empty());
    assert!(!Wrong { undone: named(), ..Wrong::default() }.is_empty());
    assert!(!Wrong { damaged: named(), ..Wrong::default() }.is_empty());
}

#[test]
fn a_later_write_of_the_key_is_as_good() {
    let mut drill = Drill::new();
    let early = drill.wrote_to("a", Op::Upsert, 9_000, FAILED, FAILED, &[(FAILED, 9_100)]);
    assert_eq!(drill.0.awaited(&site(OTHER)), ["a".parse().unwrap()]);
    drill.wrote_to("a", Op::Delete, 13_000, OTHER, OTHER, &[(OTHER, 13_100), (FAILED, 22_500)]);
    assert_eq!(drill.0.entries()[early].seen_at[&site(OTHER)], at(13_100));
    assert!(drill.0.awaited(&site(OTHER)).is_empty() && drill.0.missing().next().is_none());
    let figures = drill.figures();
    assert_eq!(figures.fates, Fates { in_time: 1, late: 1, ..Fates::default() });
    assert_eq!(figures.catch_up_seconds, Some(2.5));
    assert_eq!(figures.pace_during, Some(Pace { writes: 1, median_seconds: 0.09, most_seconds: 0.09 }));
    assert_eq!(figures.pace_before, None);
    assert!(figures.wrong.is_empty());
}

#[test]
fn what_a_store_had_shown_and_holds_no_more_is_wrong() {
    let both = |ms| [(FAILED, ms), (OTHER, ms)];
    let mut drill = Drill::new();
    drill.wrote_to("back", Op::Upsert, 1_000, OTHER, OTHER, &both(1_100));
    let old = drill.1.held.clone();
    drill.wrote_to("back", Op::Delete, 2_000, OTHER, OTHER, &both(2_100));
    drill.wrote_to("undone", Op::Upsert, 3_000, OTHER, OTHER, &both(3_100));
    drill.wrote_to("damaged", Op::Upsert, 4_000, OTHER, OTHER, &both(4_100));
    assert!(drill.figures().wrong.is_empty());

    let here = drill.1.held.get_mut(&site(FAILED)).unwrap();
    here.extend(old[&site(FAILED)].clone());
    here.remove(&"undone".parse().unwrap());
    here.get_mut(&"damaged".parse().unwrap()).unwrap().payload = Some(Payload::new());
    let named = |name: &str| BTreeSet::from([name.to_owned()]);
    let wrong = Wrong { resurrected: named("back"), undone: named("undone"), damaged: named("damaged") };
    assert_eq!(drill.figures().wrong, wrong);
}

#[test]
fn an_older_state_is_undone_and_only_a_deleted_entity_is_resurrected() {
    let mut drill = Drill::new();
    let mut held = BTreeMap::new();
    for (key, before, after) in [("changed", Op::Upsert, Op::Upsert), ("deleted twice", Op::Delete, Op::Delete)] {
        drill.wrote_to(key, before, 1_000, OTHER, OTHER, &[(OTHER, 1_100), (FAILED, 1_100)]);
        held.insert(key.parse().unwrap(), drill.1.held[&site(FAILED)][&key.parse().unwrap()].clone());
        drill.wrote_to(key, after, 2_000, OTHER, OTHER, &[(OTHER, 2_100), (FAILED, 2_100)]);
    }
    drill.1.held.insert(site(FAILED), held);
    let wrong = drill.figures().wrong;
    let undone = ["changed", "deleted twice"].map(str::to_owned).into();
    assert_eq!(wrong, Wrong { undone, ..Wrong::default() });
}

/// Its answer was lost and no look had shown it: it was taken nevertheless, and is later than what was.
#[test]
fn a_store_that_is_further_than_the_book_is_right() {
    let mut drill = Drill::new();
    drill.wrote_to("a", Op::Upsert, 1_000, OTHER, OTHER, &[(OTHER, 1_100), (FAILED, 1_200)]);
    let number = drill.wrote_to("a", Op::Delete, 2_000, OTHER, OTHER, &[]);
    drill.0.answered(number, Answer::Unknown);
    let record = Record::new(&drill.0.entries()[number].event, &site(OTHER), at(2_100), Duration::ZERO);
    drill.1.held.get_mut(&site(OTHER)).unwrap().insert(record.key.clone(), record);
    assert!(drill.figures().wrong.is_empty());
}

/// Its answer was lost, and yet it came: then it counts in the order of writes, though not among those promised.
#[test]
fn a_write_without_an_answer_counts_once_it_is_seen() {
    let mut drill = Drill::new();
    drill.wrote_to("a", Op::Upsert, 1_000, OTHER, OTHER, &[(OTHER, 1_100), (FAILED, 1_200)]);
    let number = drill.wrote_to("a", Op::Delete, 2_000, OTHER, OTHER, &[]);
    drill.0.answered(number, Answer::Unknown);
    assert!(drill.figures().wrong.is_empty(), "it may never have been taken");
    let right = drill.1.held.clone();
    let damaged = drill.1.held.get_mut(&site(OTHER)).unwrap().get_mut(&"a".parse().unwrap()).unwrap();
    damaged.payload = None;
    assert_eq!(drill.figures().wrong.damaged.len(), 1, "and so it hides nothing");
    drill.1.held = right;
    assert_eq!(drill.0.awaited(&site(OTHER)).len(), 1, "and it may yet come");
    let version = drill.0.entries()[number].event.version().clone();
    drill.0.saw(&site(OTHER), &"a".parse().unwrap(), &version, at(2_100));
    assert_eq!(drill.figures().wrong.resurrected.len(), 1, "the store had shown the delete");
    assert_eq!(drill.figures().fates, Fates { in_time: 1, ..Fates::default() });
}
