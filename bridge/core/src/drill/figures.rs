//! From the book and the course of a drill to its figures. Seconds, unless a name says otherwise; none where there is nothing
//! to measure, and never zero for that.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

use super::book::{Answer, Book, Entry};
use crate::{
    event::{Key, SiteId},
    record::Record,
};

/// When what happened.
#[derive(Clone, Debug)]
pub struct Course {
    /// The site that failed.
    pub failed_site: SiteId,
    /// When it failed.
    pub failed_at: DateTime<Utc>,
    /// When that was noticed.
    pub noticed_at: Option<DateTime<Utc>>,
    /// From when on its users were sent to another site.
    pub failed_over_at: Option<DateTime<Utc>>,
    /// When it was back.
    pub returned_at: Option<DateTime<Utc>>,
    /// A confirmed write that takes longer than this to every site is late.
    pub late_after: Duration,
}

/// What a drill measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Figures {
    /// Recovery time: from the failure on.
    pub rto: Rto,
    /// Recovery point: what would have been lost, had the site never come back. After failing over, with all that it did.
    pub rpo: Missing,
    /// The same at the moment of failing over.
    pub missing_at_failover: Missing,
    /// How many writes were made, by what their users were told.
    pub writes: Count,
    /// The confirmed ones, by what became of them.
    pub fates: Fates,
    /// Confirmed writes that some site still lacked when the failed one came back.
    pub lacking_at_return: usize,
    /// From the return until every site had every confirmed write.
    pub catch_up_seconds: Option<f64>,
    /// From a write's confirmation at a surviving site, by its own users, to its own store: before the failure.
    pub pace_before: Option<Pace>,
    /// The same between failure and return.
    pub pace_during: Option<Pace>,
    /// Keys that the stores hold wrongly in the end.
    pub wrong: Wrong,
}

/// Recovery time, step by step, from the failure on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Rto {
    /// Until it was noticed.
    pub noticed_seconds: Option<f64>,
    /// Until users of the failed site were sent to another.
    pub failed_over_seconds: Option<f64>,
    /// Until the first write of one of them was confirmed there.
    pub confirmed_seconds: Option<f64>,
    /// Until the first such write could be read there. This is the recovery time.
    pub readable_seconds: Option<f64>,
}

/// Confirmed writes of the failed site that no surviving site had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Missing {
    /// How many.
    pub events: usize,
    /// From the oldest of them until the site failed, or confirmed its last write if that was later; 0 with none.
    pub seconds: f64,
}

/// Writes by what their users were told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Count {
    /// All.
    pub made: usize,
    /// Taken.
    pub confirmed: usize,
    /// Not taken.
    pub refused: usize,
    /// No answer came.
    pub unknown: usize,
}

/// What became of a confirmed write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// Every site had it in time.
    InTime,
    /// Every site had it, some later than that.
    Late,
    /// Some site lacks it to the end, and a dead letter holds it.
    Owed,
    /// Some site lacks it to the end, and no dead letter holds it.
    Lost,
}

/// How many of the confirmed writes had which [`Fate`]. The four add up to them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Fates {
    /// [`Fate::InTime`].
    pub in_time: usize,
    /// [`Fate::Late`].
    pub late: usize,
    /// [`Fate::Owed`].
    pub owed: usize,
    /// [`Fate::Lost`].
    pub lost: usize,
}

/// How long something took.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Pace {
    /// How often it was measured.
    pub writes: usize,
    /// In the middle.
    pub median_seconds: f64,
    /// At the most.
    pub most_seconds: f64,
}

/// Keys that a store holds wrongly in the end, though it had shown it right before.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Wrong {
    /// A deleted entity is back.
    pub resurrected: BTreeSet<String>,
    /// An older state is back.
    pub undone: BTreeSet<String>,
    /// The version is right, the content is not.
    pub damaged: BTreeSet<String>,
}

impl Wrong {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.resurrected.is_empty() && self.undone.is_empty() && self.damaged.is_empty()
    }
}

/// What each site's store held of each key in the end; a site that could not be read is not there.
pub type Held = BTreeMap<SiteId, BTreeMap<Key, Record>>;

impl Figures {
    /// What follows from all that was seen. `letters`: the events that dead letters of any site hold in the end.
    pub fn of(book: &Book, course: &Course, letters: &BTreeSet<Uuid>, held: &Held) -> Self {
        let survivors: Vec<&SiteId> = book.sites().iter().filter(|site| **site != course.failed_site).collect();
        let over = course.failed_over_at.unwrap_or(course.failed_at);
        let ended = DateTime::<Utc>::MAX_UTC;
        let returned = course.returned_at.unwrap_or(ended);
        Self {
            rto: rto(book, course),
            rpo: missing(book, course, &survivors, returned),
            missing_at_failover: missing(book, course, &survivors, over),
            writes: count(book),
            fates: fates(book, course.late_after, letters),
            lacking_at_return: confirmed(book)
                .filter(|(entry, at)| *at <= returned && everywhere(book, entry).is_none_or(|seen| seen > returned))
                .count(),
            catch_up_seconds: course.returned_at.and_then(|at| catch_up(book, at)),
            pace_before: pace(book, &survivors, |at| at < course.failed_at),
            pace_during: pace(book, &survivors, |at| at >= course.failed_at && at < returned),
            wrong: wrong(book, held),
        }
    }
}

fn seconds(from: DateTime<Utc>, to: DateTime<Utc>) -> f64 {
    ((to - from).as_seconds_f64() * 1e3).round() / 1e3
}

fn confirmed(book: &Book) -> impl Iterator<Item = (&Entry, DateTime<Utc>)> {
    book.entries().iter().filter_map(|entry| Some((entry, entry.confirmed_at()?)))
}

/// When the last of all sites had it.
fn everywhere(book: &Book, entry: &Entry) -> Option<DateTime<Utc>> {
    let seen: Option<Vec<_>> = book.sites().iter().map(|site| entry.seen_at.get(site).copied()).collect();
    seen?.into_iter().max()
}

fn rto(book: &Book, course: &Course) -> Rto {
    let after = |at: DateTime<Utc>| seconds(course.failed_at, at);
    // Writes of the failed site's users that another site took.
    let moved = || {
        let moved = |entry: &&Entry| entry.home == course.failed_site && entry.event.origin != course.failed_site;
        book.entries().iter().filter(move |entry| moved(entry) && entry.written_at >= course.failed_at)
    };
    let readable = moved().filter_map(|entry| entry.seen_at.get(&entry.event.origin).copied()).min();
    Rto {
        noticed_seconds: course.noticed_at.map(after),
        failed_over_seconds: course.failed_over_at.map(after),
        confirmed_seconds: moved().filter_map(Entry::confirmed_at).min().map(after),
        readable_seconds: readable.map(after),
    }
}

/// What the failed site had confirmed by `when` and no survivor had by then.
fn missing(book: &Book, course: &Course, survivors: &[&SiteId], when: DateTime<Utc>) -> Missing {
    let there = |entry: &Entry| survivors.iter().any(|site| entry.seen_at.get(site).is_some_and(|seen| *seen <= when));
    let own = || confirmed(book).filter(|(entry, at)| entry.event.origin == course.failed_site && *at <= when);
    let lacking: Vec<DateTime<Utc>> = own().filter(|(entry, _)| !there(entry)).map(|(_, at)| at).collect();
    let end = own().map(|(_, at)| at).max().unwrap_or(course.failed_at).max(course.failed_at);
    let span = lacking.iter().min().map_or(0.0, |oldest| seconds(*oldest, end));
    Missing { events: lacking.len(), seconds: span }
}

fn count(book: &Book) -> Count {
    let mut count = Count { made: book.entries().len(), ..Count::default() };
    for entry in book.entries() {
        match entry.answer {
            Answer::Confirmed(_) => count.confirmed += 1,
            Answer::Refused(_) => count.refused += 1,
            Answer::Unknown => count.unknown += 1,
        }
    }
    count
}

impl Fate {
    /// What became of a write; none of one that was not confirmed, as nothing was promised.
    pub fn of(book: &Book, entry: &Entry, late_after: Duration, letters: &BTreeSet<Uuid>) -> Option<Self> {
        let at = entry.confirmed_at()?;
        Some(match everywhere(book, entry) {
            Some(seen) if seconds(at, seen) <= late_after.as_secs_f64() => Self::InTime,
            Some(_) => Self::Late,
            None if letters.contains(&entry.event.id) => Self::Owed,
            None => Self::Lost,
        })
    }
}

fn fates(book: &Book, late_after: Duration, letters: &BTreeSet<Uuid>) -> Fates {
    let mut fates = Fates::default();
    for fate in book.entries().iter().filter_map(|entry| Fate::of(book, entry, late_after, letters)) {
        *match fate {
            Fate::InTime => &mut fates.in_time,
            Fate::Late => &mut fates.late,
            Fate::Owed => &mut fates.owed,
            Fate::Lost => &mut fates.lost,
        } += 1;
    }
    fates
}

fn catch_up(book: &Book, returned: DateTime<Utc>) -> Option<f64> {
    let all: Option<Vec<_>> = confirmed(book).map(|(entry, _)| everywhere(book, entry)).collect();
    all?.into_iter().max().map(|last| seconds(returned, last).max(0.0))
}

/// How long survivors' own writes took to their own stores.
fn pace(book: &Book, survivors: &[&SiteId], when: impl Fn(DateTime<Utc>) -> bool) -> Option<Pace> {
    let own = confirmed(book).filter(|(entry, at)| {
        survivors.contains(&&entry.event.origin) && entry.home == entry.event.origin && when(*at)
    });
    // Seen before its confirmation came back is seen at once.
    let took = own.filter_map(|(entry, at)| Some(seconds(at, *entry.seen_at.get(&entry.event.origin)?).max(0.0)));
    let mut took: Vec<f64> = took.collect();
    took.sort_by(f64::total_cmp);
    let most_seconds = *took.last()?;
    Some(Pace { writes: took.len(), median_seconds: took[took.len() / 2], most_seconds })
}

fn wrong(book: &Book, held: &Held) -> Wrong {
    let mut wrong = Wrong::default();
    for (key, writes) in book.by_key() {
        // A write of which nobody knows whether it was taken may win or not; one that a store showed has been taken.
        let Some(last) = writes.into_iter().filter(|entry| entry.was_taken()).max_by_key(|entry| &entry.version) else {
            continue;
        };
        for (site, records) in held {
            // What never came is missing, and counted as that.
            if !last.seen_at.contains_key(site) {
                continue;
            }
            let name = key.to_string();
            match records.get(key) {
                Some(record) if record.version > last.version => {}
                Some(record) if record.version == last.version => {
                    let payload = (!last.deletes()).then_some(&last.event.payload);
                    if record.op != last.event.op || record.payload.as_ref() != payload {
                        wrong.damaged.insert(name);
                    }
                }
                Some(record) if last.deletes() && !record.deleted() => _ = wrong.resurrected.insert(name),
                Some(_) | None => _ = wrong.undone.insert(name),
            }
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::event::{Event, Op, Payload, Timestamp};

    const FAILED: &str = "aws:us-east-1";
    const OTHER: &str = "azure:westeurope";

    fn at(ms: i64) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(1_800_000_000_000).unwrap() + TimeDelta::milliseconds(ms)
    }

    fn site(name: &str) -> SiteId {
        name.parse().unwrap()
    }

    fn event(number: u128, key: &str, op: Op, origin: &str, ms: i64) -> Event {
        Event {
            id: Uuid::from_u128(number),
            origin: site(origin),
            op,
            key: key.parse().unwrap(),
            payload: Payload::from_iter([("n".to_owned(), serde_json::json!(number.to_string()))]),
            timestamp: Timestamp { utc: at(ms), text: at(ms).to_rfc3339() },
            traceparent: None,
        }
    }

    /// A site that fails at 10 s, is failed over at 12 s and is back at 20 s.
    fn course() -> Course {
        Course {
            failed_site: site(FAILED),
            failed_at: at(10_000),
            noticed_at: Some(at(11_500)),
            failed_over_at: Some(at(12_000)),
            returned_at: Some(at(20_000)),
            late_after: Duration::from_secs(5),
        }
    }

    struct Drill(Book, Held, BTreeSet<Uuid>);

    impl Drill {
        fn new() -> Self {
            let sites = [site(FAILED), site(OTHER)];
            let held = sites.iter().map(|site| (site.clone(), BTreeMap::new())).collect();
            Self(Book::new(sites), held, BTreeSet::new())
        }

        /// A write of a key of its own at these milliseconds, confirmed 10 ms later, then seen by each store.
        fn wrote(&mut self, ms: i64, home: &str, origin: &str, seen: &[(&str, i64)]) -> usize {
            let number = self.0.entries().len();
            self.wrote_to(&format!("key-{number}"), Op::Upsert, ms, home, origin, seen)
        }

        fn wrote_to(&mut self, key: &str, op: Op, ms: i64, home: &str, origin: &str, seen: &[(&str, i64)]) -> usize {
            let event = event(self.0.entries().len() as u128, key, op, origin, ms);
            let version = event.version();
            let number = self.0.write(event.clone(), site(home), at(ms));
            self.0.answered(number, Answer::Confirmed(at(ms + 10)));
            for (name, when) in seen {
                self.0.saw(&site(name), &event.key, &version, at(*when));
                let record = Record::new(&event, &site(name), at(*when), Duration::ZERO);
                self.1.get_mut(&site(name)).unwrap().insert(event.key.clone(), record);
            }
            number
        }

        fn figures(&self) -> Figures {
            Figures::of(&self.0, &course(), &self.2, &self.1)
        }
    }

    #[test]
    fn recovery_time_ends_with_the_first_write_of_its_users_that_can_be_read_elsewhere() {
        let mut drill = Drill::new();
        drill.wrote(9_000, FAILED, FAILED, &[(FAILED, 9_100), (OTHER, 9_200)]);
        let refused = drill.wrote(10_500, FAILED, FAILED, &[]);
        drill.0.answered(refused, Answer::Refused("gone".into()));
        let silent = drill.wrote(11_000, FAILED, FAILED, &[]);
        drill.0.answered(silent, Answer::Unknown);
        // The other site's own users are no sign of it.
        drill.wrote(11_500, OTHER, OTHER, &[(OTHER, 11_550)]);
        drill.wrote(12_100, FAILED, OTHER, &[(OTHER, 12_400), (FAILED, 21_000)]);
        let figures = drill.figures();
        let rto = Rto {
            noticed_seconds: Some(1.5),
            failed_over_seconds: Some(2.0),
            confirmed_seconds: Some(2.11),
            readable_seconds: Some(2.4),
        };
        assert_eq!(figures.rto, rto);
        assert_eq!(figures.writes, Count { made: 5, confirmed: 3, refused: 1, unknown: 1 });
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
        drill.2.insert(Uuid::from_u128(owed as u128));
        let figures = drill.figures();
        assert_eq!(figures.fates, Fates { in_time: 1, late: 1, owed: 1, lost: 1 });
        assert_eq!(drill.0.missing().count(), 2);
        assert_eq!(figures.lacking_at_return, 2);
        assert_eq!(figures.catch_up_seconds, None, "they never caught up");
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
        let old = drill.1.clone();
        drill.wrote_to("back", Op::Delete, 2_000, OTHER, OTHER, &both(2_100));
        drill.wrote_to("undone", Op::Upsert, 3_000, OTHER, OTHER, &both(3_100));
        drill.wrote_to("damaged", Op::Upsert, 4_000, OTHER, OTHER, &both(4_100));
        assert!(drill.figures().wrong.is_empty());

        let here = drill.1.get_mut(&site(FAILED)).unwrap();
        here.extend(old[&site(FAILED)].clone());
        here.remove(&"undone".parse().unwrap());
        here.get_mut(&"damaged".parse().unwrap()).unwrap().payload = Some(Payload::new());
        let named = |name: &str| BTreeSet::from([name.to_owned()]);
        let wrong = Wrong { resurrected: named("back"), undone: named("undone"), damaged: named("damaged") };
        assert_eq!(drill.figures().wrong, wrong);
    }

    /// Its answer was lost, and yet it came: then it counts in the order of writes, though not among those promised.
    #[test]
    fn a_write_without_an_answer_counts_once_it_is_seen() {
        let mut drill = Drill::new();
        drill.wrote_to("a", Op::Upsert, 1_000, OTHER, OTHER, &[(OTHER, 1_100), (FAILED, 1_200)]);
        let number = drill.wrote_to("a", Op::Delete, 2_000, OTHER, OTHER, &[]);
        drill.0.answered(number, Answer::Unknown);
        assert!(drill.figures().wrong.is_empty(), "it may never have been taken");
        assert_eq!(drill.0.awaited(&site(OTHER)).len(), 1, "and it may yet come");
        let version = drill.0.entries()[number].version.clone();
        drill.0.saw(&site(OTHER), &"a".parse().unwrap(), &version, at(2_100));
        assert_eq!(drill.figures().wrong.resurrected.len(), 1, "the store had shown the delete");
        assert_eq!(drill.figures().fates, Fates { in_time: 1, ..Fates::default() });
    }
}
