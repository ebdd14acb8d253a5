//! From the book and the course of a drill to its figures. Seconds, unless a name says otherwise; none where there is nothing
//! to measure, and never zero for that.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::book::{Answer, Book, Entry};
use bridge_core::{
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
    /// When that was noticed; from then on its users were sent to another site.
    pub failed_over_at: Option<DateTime<Utc>>,
    /// When it was back.
    pub returned_at: Option<DateTime<Utc>>,
    /// A confirmed write that takes longer than this to every site is late.
    pub late_after: Duration,
}

/// What a drill measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Recovery time: from the failure on.
    pub rto: Rto,
    /// Recovery point: what would have been lost, had the site never come back. After failing over, with all that it did.
    pub rpo: Missing,
    /// The same at the moment of failing over.
    pub missing_at_failover: Missing,
    /// Messages that lay in the sites' queues in the end; only looked at if something was missing.
    pub queued_at_end: u64,
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Rto {
    /// Until it was noticed, and users of the failed site were sent to another.
    pub failed_over_seconds: Option<f64>,
    /// Until the first write of one of them was confirmed there.
    pub confirmed_seconds: Option<f64>,
    /// Until the first such write could be read there. This is the recovery time.
    pub readable_seconds: Option<f64>,
}

/// Confirmed writes of the failed site that no surviving site had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Missing {
    /// How many.
    pub events: usize,
    /// From the oldest of them until the site failed, or confirmed its last write if that was later; 0 with none.
    pub seconds: f64,
}

/// Writes by what their users were told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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
    /// Some site lacks it to the end, and no dead letter holds it; but a queue still holds messages, and it may be one of them.
    Waiting,
    /// Some site lacks it to the end, no dead letter holds it, and the queues are empty.
    Lost,
}

/// How many of the confirmed writes had which [`Fate`]. The five add up to them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fates {
    /// [`Fate::InTime`].
    pub in_time: usize,
    /// [`Fate::Late`].
    pub late: usize,
    /// [`Fate::Owed`].
    pub owed: usize,
    /// [`Fate::Waiting`].
    pub waiting: usize,
    /// [`Fate::Lost`].
    pub lost: usize,
}

/// How long something took.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pace {
    /// How often it was measured.
    pub writes: usize,
    /// In the middle.
    pub median_seconds: f64,
    /// At the most.
    pub most_seconds: f64,
}

/// Keys that a store holds wrongly in the end, though it had shown it right before.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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

/// What there was when the drill waited no longer.
#[derive(Clone, Debug, Default)]
pub struct Aftermath {
    /// What the stores held.
    pub held: Held,
    /// The events that dead letters of any site hold.
    pub letters: BTreeSet<Uuid>,
    /// Messages that lie in the sites' queues: nobody can say which these are.
    pub queued: u64,
}

impl Figures {
    /// What follows from all that was seen.
    pub fn of(book: &Book, course: &Course, aftermath: &Aftermath) -> Self {
        let survivors: Vec<&SiteId> = book.sites().iter().filter(|site| **site != course.failed_site).collect();
        let over = course.failed_over_at.unwrap_or(course.failed_at);
        let ended = DateTime::<Utc>::MAX_UTC;
        let returned = course.returned_at.unwrap_or(ended);
        Self {
            rto: rto(book, course),
            rpo: missing(book, course, &survivors, returned),
            missing_at_failover: missing(book, course, &survivors, over),
            queued_at_end: aftermath.queued,
            writes: count(book),
            fates: fates(book, course.late_after, aftermath),
            lacking_at_return: confirmed(book)
                .filter(|(entry, at)| *at <= returned && everywhere(book, entry).is_none_or(|seen| seen > returned))
                .count(),
            catch_up_seconds: course.returned_at.and_then(|at| catch_up(book, at)),
            pace_before: pace(book, &survivors, |at| at < course.failed_at),
            pace_during: pace(book, &survivors, |at| at >= course.failed_at && at < returned),
            wrong: wrong(book, &aftermath.held),
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
    pub fn of(book: &Book, entry: &Entry, late_after: Duration, aftermath: &Aftermath) -> Option<Self> {
        let at = entry.confirmed_at()?;
        Some(match everywhere(book, entry) {
            Some(seen) if seconds(at, seen) <= late_after.as_secs_f64() => Self::InTime,
            Some(_) => Self::Late,
            None if aftermath.letters.contains(&entry.event.id) => Self::Owed,
            None if aftermath.queued > 0 => Self::Waiting,
            None => Self::Lost,
        })
    }
}

fn fates(book: &Book, late_after: Duration, aftermath: &Aftermath) -> Fates {
    let mut fates = Fates::default();
    for fate in book.entries().iter().filter_map(|entry| Fate::of(book, entry, late_after, aftermath)) {
        *match fate {
            Fate::InTime => &mut fates.in_time,
            Fate::Late => &mut fates.late,
            Fate::Owed => &mut fates.owed,
            Fate::Waiting => &mut fates.waiting,
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
        let Some(last) = writes.into_iter().filter(|entry| entry.was_taken()).max_by_key(|entry| entry.event.version())
        else {
            continue;
        };
        for (site, records) in held {
            // What never came is missing, and counted as that.
            if !last.seen_at.contains_key(site) {
                continue;
            }
            let name = key.to_string();
            match records.get(key) {
                Some(record) if record.version > *last.event.version() => {}
                Some(record) if record.version == *last.event.version() => {
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
