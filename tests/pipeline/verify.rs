//! Comparison on memory, with repair: what was planted is found, exactly, also while traffic runs.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bridge_adapters::memory::{ManualClock, MemoryStore};
use bridge_core::{
    event::{Event, Key, Payload, SiteId},
    failure::{FailureKind, PortError},
    port::{Clock, Cursor, ForeignItem, Page, Scan, Store},
    record::Record,
    retry::Backoff,
};
use bridge_ops::verify::{
    Failed, Kind, Options, Report, Target, Trouble, Verify, Waiting,
    digest::range_of,
    report::{Counted, Sum},
};
use bridge_tests::{at, aws, azure, delete, event, record};
use futures_util::future;
use proptest::prelude::*;

/// Long after all that the tests write.
pub(crate) const NOW: i64 = 1_000_000;

/// The time of deletes whose tombstones, which live 60 days, have had their time.
const DIED: i64 = NOW - 61 * 24 * 3600;

pub(crate) fn options() -> Options {
    Options {
        segments: 3,
        rate: None,
        settle: Duration::from_secs(10),
        // Few, so that there are several groups.
        keys_max: 5,
        concurrent: 4,
        findings_max: 1_000,
        future_max: bridge_core::limits::FUTURE_MAX,
        attempts_max: 4,
        give_up: Duration::from_secs(600),
        backoff: Backoff { base: Duration::from_millis(100), max: Duration::from_secs(1) },
        repair: false,
        seed: 1,
    }
}

/// A store whose reading takes time, and fails now and then.
#[derive(Debug)]
struct Slow {
    store: Arc<MemoryStore>,
    clock: Arc<ManualClock>,
    page: Duration,
    /// Every which call fails; none at 0.
    fails: u32,
    calls: AtomicU32,
}

impl fmt::Display for Slow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "slow {}", self.store)
    }
}

#[async_trait]
impl Scan for Slow {
    async fn segments(&self, wanted: usize) -> Result<Vec<Cursor>, PortError> {
        self.store.segments(wanted).await
    }

    async fn page(&self, from: &Cursor) -> Result<Page, PortError> {
        self.clock.sleep(self.page).await;
        let call = self.calls.fetch_add(1, Ordering::Relaxed) + 1;
        if self.fails > 0 && call.is_multiple_of(self.fails) {
            return Err(PortError::new(self.to_string(), "page", FailureKind::Unavailable));
        }
        self.store.page(from).await
    }

    async fn beside(&self, key: &Key) -> Result<Vec<ForeignItem>, PortError> {
        self.store.beside(key).await
    }
}

pub(crate) struct Stores {
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) stores: BTreeMap<SiteId, Arc<MemoryStore>>,
    pub(crate) page: Duration,
    pub(crate) fails: u32,
}

impl Stores {
    pub(crate) fn new(sites: usize) -> Self {
        let clock = ManualClock::new(at(NOW));
        let names = [aws(), azure(), "aws:eu-west-1".parse().unwrap()];
        let store = |site: &SiteId| Arc::new(MemoryStore::new(site.as_str(), Arc::clone(&clock) as Arc<dyn Clock>));
        let stores = names.into_iter().take(sites).map(|site| (site.clone(), store(&site))).collect();
        Self { clock, stores, page: Duration::ZERO, fails: 0 }
    }

    pub(crate) fn at(&self, site: usize) -> &MemoryStore {
        self.stores.values().nth(site % self.stores.len()).unwrap()
    }

    pub(crate) fn put(&self, store: &MemoryStore, event: &Event) {
        self.clock.drive(store.put_if_newer(&record(event))).unwrap();
    }

    pub(crate) fn put_everywhere(&self, event: &Event) {
        self.stores.values().for_each(|store| self.put(store, event));
    }

    pub(crate) fn targets(&self) -> BTreeMap<SiteId, Target> {
        let target = |store: &Arc<MemoryStore>| {
            let scan = Arc::new(Slow {
                store: store.clone(),
                clock: self.clock.clone(),
                page: self.page,
                fails: self.fails,
                calls: AtomicU32::new(0),
            });
            Target { scan, store: store.clone() }
        };
        self.stores.iter().map(|(site, store)| (site.clone(), target(store))).collect()
    }

    pub(crate) fn verify(&self, options: &Options) -> Report {
        self.verify_during(options, async {})
    }

    /// Compares while something else happens.
    pub(crate) fn verify_during(&self, options: &Options, meanwhile: impl Future<Output = ()>) -> Report {
        let sites = self.targets();
        let verify = Verify { sites: &sites, clock: &*self.clock, options, note: &|_| {}, trouble: &|_| {} };
        let (report, ()) = self.clock.drive(future::join(verify.run(), meanwhile));
        report.unwrap()
    }
}

fn kinds(report: &Report) -> BTreeMap<String, Kind> {
    report.findings.iter().map(|finding| (finding.key.clone(), finding.kind)).collect()
}

/// What somebody did to a key behind the bridge's back.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Plant {
    Missing,
    MissingTombstone,
    Older,
    OlderThanTombstone,
    OtherPayload,
    OtherOperation,
    Misfit,
    MisfitEverywhere,
    /// A record that lives, with an expiry that no worker writes.
    Mortal,
    /// The same where the other sites have nothing of the key: it is not spread.
    MortalAlone,
    Foreign,
    ForeignOverOlder,
    /// A tombstone that has had its time, beside a live record that it ends.
    OlderThanExpiredTombstone,
    /// Not drift: the tombstone has had its time.
    ExpiredTombstone,
    /// Not drift: the bridge's own key.
    Reserved,
}

impl Plant {
    const ALL: [Self; 15] = [
        Self::Missing,
        Self::MissingTombstone,
        Self::Older,
        Self::OlderThanTombstone,
        Self::OtherPayload,
        Self::OtherOperation,
        Self::Misfit,
        Self::MisfitEverywhere,
        Self::Mortal,
        Self::MortalAlone,
        Self::Foreign,
        Self::ForeignOverOlder,
        Self::OlderThanExpiredTombstone,
        Self::ExpiredTombstone,
        Self::Reserved,
    ];

    /// Does it to a key of its own at one site; the key, and what is to be found there.
    pub(crate) fn at(self, stores: &Stores, number: usize, site: usize) -> (String, Option<Kind>) {
        let name = format!("planted{number}");
        let (old, new) = (event(&name, at(1)), event(&name, at(2)));
        let store = stores.at(site);
        let elsewhere = |event: &Event| {
            let others = stores.stores.values().filter(|other| !std::ptr::eq(&raw const ***other, store));
            others.for_each(|other| stores.put(other, event));
        };
        // Written now, so that no store has let it go by itself yet.
        let leave_expired = || {
            let now = "2026-12-02T13:46:40.000Z".to_owned();
            let others = stores.stores.values().filter(|other| !std::ptr::eq(&raw const ***other, store));
            let tombstone = Record { applied_at: now, ..record(&delete(&name, at(DIED))) };
            others.for_each(|other| other.overwrite(tombstone.clone()));
        };
        let kind = match self {
            Self::Missing => {
                elsewhere(&new);
                Some(Kind::Missing)
            }
            Self::MissingTombstone => {
                elsewhere(&delete(&name, at(2)));
                Some(Kind::Missing)
            }
            Self::Older => {
                elsewhere(&new);
                stores.put(store, &old);
                Some(Kind::Older)
            }
            Self::OlderThanTombstone => {
                elsewhere(&delete(&name, at(2)));
                stores.put(store, &old);
                Some(Kind::Older)
            }
            Self::OtherPayload => {
                stores.put_everywhere(&new);
                store.overwrite(Record { payload: Some(Payload::new()), ..record(&new) });
                Some(Kind::Misfit)
            }
            Self::OtherOperation => {
                stores.put_everywhere(&new);
                store.overwrite(Record { op: bridge_core::event::Op::Create, ..record(&new) });
                Some(Kind::Misfit)
            }
            Self::Misfit => {
                stores.put_everywhere(&new);
                store.overwrite(Record { version: event(&name, at(3)).version().clone(), ..record(&new) });
                Some(Kind::Misfit)
            }
            Self::MisfitEverywhere => {
                let misfit = Record { version: event(&name, at(3)).version().clone(), ..record(&new) };
                stores.stores.values().for_each(|store| store.overwrite(misfit.clone()));
                Some(Kind::Misfit)
            }
            Self::Mortal | Self::MortalAlone => {
                if matches!(self, Self::Mortal) {
                    elsewhere(&old);
                }
                store.overwrite(Record { expires_after: Some(Duration::from_secs(60)), ..record(&new) });
                Some(Kind::Misfit)
            }
            Self::Foreign => {
                stores.put_everywhere(&new);
                store.spoil(&new.key, "version", "missing");
                Some(Kind::Foreign)
            }
            Self::ForeignOverOlder => {
                elsewhere(&old);
                stores.put(stores.at(site + 1), &new);
                store.spoil(&new.key, "version", "missing");
                Some(Kind::Foreign)
            }
            Self::OlderThanExpiredTombstone => {
                stores.put(store, &event(&name, at(DIED - 1)));
                leave_expired();
                Some(Kind::Older)
            }
            Self::ExpiredTombstone => {
                leave_expired();
                None
            }
            Self::Reserved => {
                let name = format!("_bridge/{name}");
                stores.put(store, &event(&name, at(2)));
                store.spoil(&format!("{name}!").parse().unwrap(), "version", "not ours to look at");
                return (name, None);
            }
        };
        (name, kind)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    /// Among any records, what was planted is found, of its kind, and nothing else; repair mends what the version order
    /// decides, and nothing else.
    #[test]
    fn what_was_planted_is_found_exactly_and_repaired(
        sites in 2..=3_usize,
        healthy in 0..60_i64,
        planted in prop::collection::vec((prop::sample::select(Plant::ALL.to_vec()), 0..3_usize), 0..20),
    ) {
        let stores = Stores::new(sites);
        for number in 0..healthy {
            let key = format!("healthy{number}");
            stores.put_everywhere(&if number % 7 == 0 { delete(&key, at(number)) } else { event(&key, at(number)) });
        }
        let planted: Vec<_> =
            planted.iter().enumerate().map(|(number, (plant, site))| plant.at(&stores, number, *site)).collect();
        let expected: BTreeMap<String, Kind> =
            planted.iter().filter_map(|(key, kind)| Some((key.clone(), (*kind)?))).collect();

        let found = stores.verify(&options());
        prop_assert_eq!(kinds(&found), expected.clone());
        prop_assert_eq!((found.drift, found.left), (expected.len() as u64, expected.len() as u64));

        let repaired = stores.verify(&Options { repair: true, ..options() });
        prop_assert_eq!(kinds(&repaired), expected.clone());
        for finding in &repaired.findings {
            prop_assert_eq!(finding.repaired, finding.kind.can_be_repaired(), "{:?}", finding);
        }
        let left: BTreeMap<_, _> = expected.iter().filter(|(_, kind)| !kind.can_be_repaired()).collect();
        prop_assert_eq!(repaired.left, left.len() as u64);
        let again = kinds(&stores.verify(&options()));
        prop_assert_eq!(again.keys().collect::<Vec<_>>(), left.into_keys().collect::<Vec<_>>());
        for (key, kind) in &expected {
            if kind.can_be_repaired() {
                let key: Key = key.parse().unwrap();
                let held: Vec<_> = stores.stores.values().map(|store| store.snapshot().remove(&key).unwrap()).collect();
                prop_assert!(held.windows(2).all(|pair| pair[0].agrees_with(&pair[1])));
                let greatest = if held[0].deleted() { [at(2), at(DIED)] } else { [at(2); 2] };
                prop_assert!(held.iter().all(|held| greatest.contains(&held.version.timestamp())), "the greatest of them");
            }
        }
    }

    /// Every write comes to the other site some seconds later, sooner than the pause: none of that is drift, and what was
    /// planted is found among it.
    #[test]
    fn what_is_on_its_way_is_no_drift(
        writes in prop::collection::vec((0..20_i64, 0..2_usize, 0..9_000_u64, 0..400_u64), 1..150),
        planted in 0..3_usize,
        repair in any::<bool>(),
    ) {
        let stores = Stores { page: Duration::from_millis(300), ..Stores::new(2) };
        for number in 0..50 {
            stores.put_everywhere(&event(&format!("healthy{number}"), at(number)));
        }
        let expected: BTreeMap<_, _> = (0..planted)
            .map(|number| Plant::ALL[number].at(&stores, number, number))
            .map(|(key, kind)| (key, kind.unwrap()))
            .collect();
        let mut start_ms = 0;
        let traffic = writes.iter().zip(100..).map(|((key, site, lag_ms, pause_ms), number)| {
            start_ms += pause_ms;
            let start = Duration::from_millis(start_ms);
            let record = record(&event(&format!("healthy{key}"), at(number)));
            let stores = &stores;
            async move {
                stores.clock.sleep(start).await;
                stores.at(*site).put_if_newer(&record).await.unwrap();
                stores.clock.sleep(Duration::from_millis(*lag_ms)).await;
                stores.at(site + 1).put_if_newer(&record).await.unwrap();
            }
        });
        let traffic = future::join_all(traffic.collect::<Vec<_>>());
        let report = stores.verify_during(&Options { repair, ..options() }, async { drop(traffic.await) });
        prop_assert_eq!(kinds(&report), expected);
        prop_assert_eq!(report.in_flight + report.drift, report.keys_looked_at);
    }
}

/// The same traffic with a lag that is longer than the pause is told as drift: the pause is what tells them apart.
#[test]
fn what_is_longer_on_its_way_than_the_pause_is_drift() {
    let stores = Stores { page: Duration::from_millis(300), ..Stores::new(2) };
    stores.put_everywhere(&event("a", at(1)));
    stores.put(stores.at(0), &event("a", at(2)));
    let late = async {
        stores.clock.sleep(Duration::from_secs(30)).await;
        stores.at(1).put_if_newer(&record(&event("a", at(2)))).await.unwrap();
    };
    assert_eq!(kinds(&stores.verify_during(&options(), late)), [("a".to_owned(), Kind::Older)].into());
    assert_eq!(stores.verify(&options()).drift, 0, "it has arrived");
}

/// What had become right is counted, and of a range that differs only the keys that differ are looked at.
#[test]
fn keys_are_looked_at_where_they_differ_and_nowhere_else() {
    let stores = Stores { page: Duration::from_millis(300), ..Stores::new(2) };
    stores.put(stores.at(0), &event("late", at(1)));
    let late: Key = "late".parse().unwrap();
    let same_range = |name: &String| range_of(&name.parse().unwrap()) == range_of(&late);
    let neighbour = (0..10_000_000).map(|number| format!("k{number}")).find(same_range).unwrap();
    stores.put_everywhere(&event(&neighbour, at(1)));
    let arrives = async {
        stores.clock.sleep(Duration::from_secs(5)).await;
        stores.at(1).put_if_newer(&record(&event("late", at(1)))).await.unwrap();
    };
    let report = stores.verify_during(&options(), arrives);
    assert_eq!((report.drift, report.in_flight, report.keys_looked_at, report.ranges_differing), (0, 1, 1, 1));
}

/// A key that is written all the time, of which one site gets nothing any more, is drift although it never stands still.
#[test]
fn a_busy_key_that_one_site_has_ceased_to_get_is_drift() {
    let stores = Stores { page: Duration::from_millis(300), ..Stores::new(2) };
    stores.put_everywhere(&event("a", at(1)));
    let busy = async {
        for second in 2..60 {
            stores.at(0).put_if_newer(&record(&event("a", at(second)))).await.unwrap();
            stores.clock.sleep(Duration::from_secs(1)).await;
        }
    };
    assert_eq!(kinds(&stores.verify_during(&options(), busy)), [("a".to_owned(), Kind::Older)].into());
}

/// A tombstone that has had its time is not even looked for.
#[test]
fn an_expired_tombstone_makes_no_range_differ() {
    let stores = Stores::new(2);
    Plant::ExpiredTombstone.at(&stores, 1, 1);
    assert_eq!(stores.verify(&options()).ranges_differing, 0);
}

/// Nor is it looked at where its range differs for another key, whatever stands beside it that is as good as gone.
#[test]
fn tombstones_that_have_had_their_time_are_no_drift_among_themselves() {
    let stores = Stores::new(2);
    let missing: Key = Plant::Missing.at(&stores, 1, 1).0.parse().unwrap();
    let same_range = |name: &String| range_of(&name.parse().unwrap()) == range_of(&missing);
    let neighbour = (0..10_000_000).map(|number| format!("k{number}")).find(same_range).unwrap();
    for (site, second) in [(0, DIED), (1, DIED + 1)] {
        let tombstone = record(&delete(&neighbour, at(second)));
        let now = "2026-12-02T13:46:40.000Z".to_owned();
        stores.at(site).overwrite(Record { applied_at: now, ..tombstone });
    }
    let report = stores.verify(&options());
    assert_eq!((report.drift, report.keys_looked_at, report.in_flight), (1, 1, 0), "{report:?}");
}

#[test]
fn a_store_that_fails_now_and_then_is_read_all_the_same() {
    let stores = Stores { fails: 3, ..Stores::new(2) };
    (0..200).for_each(|number| stores.put_everywhere(&event(&format!("healthy{number}"), at(number))));
    let planted: BTreeMap<_, _> = (0..3)
        .map(|number| Plant::ALL[number].at(&stores, number, 1))
        .map(|(key, kind)| (key, kind.unwrap()))
        .collect();
    assert_eq!(kinds(&stores.verify(&options())), planted);
}

#[test]
fn a_store_that_cannot_be_read_is_named() {
    let (stores, broken) = (Stores::new(2), Stores::new(2));
    let broken = Stores { fails: 1, clock: stores.clock.clone(), ..broken };
    let (mut sites, options) = (stores.targets(), options());
    sites.insert(azure(), broken.targets().remove(&azure()).unwrap());
    let verify = Verify { sites: &sites, clock: &*stores.clock, options: &options, note: &|_| {}, trouble: &|_| {} };
    let failed = stores.clock.drive(verify.run()).unwrap_err();
    assert_eq!(failed.to_string(), "azure:westeurope cannot be read");
    assert_eq!(failed.error.kind, FailureKind::Unavailable);
}

/// Of the AWS store: what was told of waiting for it, in words.
fn told(stores: &Stores, options: &Options) -> (Result<Report, Failed>, Vec<String>) {
    let (sites, told) = (stores.targets(), Mutex::new(Vec::new()));
    let trouble = |trouble: &Trouble| {
        let text = match trouble.waiting {
            Waiting::ForAnswer { silent } => format!("{}: silent for {} s", trouble.attempt, silent.as_secs()),
            Waiting::ForNext { error, .. } => format!("{}: {:?}", trouble.attempt, error.kind),
            Waiting::Over => format!("{}: over", trouble.attempt),
        };
        if *trouble.site == aws() {
            told.lock().unwrap().push(text);
        }
    };
    let verify = Verify { sites: &sites, clock: &*stores.clock, options, note: &|_| {}, trouble: &trouble };
    let report = stores.clock.drive(verify.run());
    (report, told.into_inner().unwrap())
}

/// Whoever waits is told at once, and again, and when it is over.
#[test]
fn a_store_that_keeps_silent_is_told_of_while_it_does() {
    let options = Options { segments: 1, ..options() };
    let (report, words) = told(&Stores { page: Duration::from_secs(5), ..Stores::new(2) }, &options);
    assert_eq!(
        (report.unwrap().drift, words),
        (0, ["1: silent for 2 s", "1: silent for 4 s", "1: over"].map(str::to_owned).to_vec())
    );
    let (report, words) = told(&Stores { page: Duration::from_secs(1), ..Stores::new(2) }, &options);
    assert_eq!((report.unwrap().drift, words), (0, Vec::new()), "nobody waits long for this one");
}

#[test]
fn a_call_that_failed_is_told_of_until_one_comes_through_or_it_is_given_up() {
    let options = Options { segments: 1, ..options() };
    let failing = || Stores { page: Duration::from_secs(1), fails: 1, ..Stores::new(2) };
    let (report, words) = told(&failing(), &options);
    assert_eq!(report.unwrap_err().error.kind, FailureKind::Unavailable);
    assert_eq!(words, ["1: Unavailable", "2: Unavailable", "3: Unavailable"], "the fourth is the last");
    let (report, words) = told(&failing(), &Options { give_up: Duration::from_secs(2), ..options.clone() });
    assert!(report.is_err() && words.len() < 3, "given up by time: {words:?}");
    let flaky = Stores { fails: 2, ..Stores::new(2) };
    (0..2_000).for_each(|number| flaky.put_everywhere(&event(&format!("healthy{number}"), at(number))));
    let (report, words) = told(&flaky, &options);
    assert_eq!(
        (report.unwrap().drift, words[..2].to_vec()),
        (0, ["1: Unavailable", "2: over"].map(str::to_owned).to_vec())
    );
}

#[test]
fn the_rate_is_kept() {
    let stores = Stores::new(2);
    (0..200).for_each(|number| stores.put_everywhere(&event(&format!("healthy{number}"), at(number))));
    let before = stores.clock.elapsed();
    stores.verify(&Options { rate: Some(20.0), ..options() });
    let took = stores.clock.elapsed().saturating_sub(before).as_secs_f64();
    assert!((9.0..11.0).contains(&took), "{took} s for 200 records of each store at 20 a second");
}

#[test]
fn more_findings_than_are_listed_are_counted() {
    let stores = Stores::new(2);
    (0..20).for_each(|number| drop(Plant::Missing.at(&stores, number, 0)));
    let report = stores.verify(&Options { findings_max: 6, ..options() });
    assert_eq!((report.findings.len(), report.unlisted, report.drift, report.left), (6, 14, 20, 20));
    assert_eq!((report.keys_looked_at, report.in_flight), (20, 0));
    assert_eq!(report.by_kind, [(Kind::Missing, Sum { found: 20, repaired: 0 })].into());
    let repaired = stores.verify(&Options { repair: true, ..options() });
    assert_eq!((repaired.left, repaired.by_kind[&Kind::Missing]), (0, Sum { found: 20, repaired: 20 }));
    assert_eq!((report.repaired(), repaired.repaired()), (0, 20));
}

/// What lies in each store is told, without the bridge's own keys; a tombstone is a record too.
#[test]
fn what_lies_in_each_store_is_counted() {
    let stores = Stores::new(2);
    (0..7).for_each(|number| stores.put_everywhere(&event(&format!("k{number}"), at(number))));
    (5..9).for_each(|number| stores.put(stores.at(0), &delete(&format!("k{number}"), at(100))));
    stores.put_everywhere(&event("_bridge/heartbeat/aws:us-east-1", at(1)));
    stores.at(1).spoil(&"bad".parse().unwrap(), "version", "not a record");
    stores.at(1).overwrite(Record { event_id: uuid::Uuid::from_u128(1), ..record(&event("odd", at(1))) });
    let counted = stores.verify(&options()).sites;
    assert_eq!(counted[aws().as_str()], Counted { records: 9, tombstones: 4, foreign: 0 });
    assert_eq!(counted[azure().as_str()], Counted { records: 7, tombstones: 0, foreign: 2 });
}

/// A table that is not the bridge's alone: of what else lies in it the names are kept up to a bound, and all of it is counted.
#[test]
fn of_very_many_foreign_items_ten_thousand_are_named() {
    let stores = Stores::new(2);
    (0..10_003)
        .for_each(|number| stores.at(0).spoil(&format!("other{number}").parse().unwrap(), "version", "not a record"));
    let report = stores.verify(&Options { findings_max: 20_000, ..options() });
    assert_eq!((report.findings.len(), report.unlisted, report.drift), (10_000, 3, 10_003));
}
