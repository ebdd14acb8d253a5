//! The contract of [`Scan`], clause by clause: every record once, whatever happens meanwhile.

use std::{collections::BTreeMap, sync::Arc};

use bridge_core::{
    failure::FailureKind,
    port::{Cursor, ForeignItem, Scan, Store},
    record::Record,
};
use bridge_tests::{assert_agree, at, changed, delete, event, payload};
use serde_json::json;

use crate::{
    foreign::{Outsider, Spoil, mortal, spoils},
    record,
};

/// A store whose keys under `prefix` nobody else uses.
pub(crate) struct ScanUnderTest {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) scan: Arc<dyn Scan>,
    /// Somebody else who writes to the same backend.
    pub(crate) outsider: Arc<dyn Outsider>,
    pub(crate) prefix: String,
}

/// A store that is not there, and one that may not be read.
pub(crate) struct BrokenScans {
    pub(crate) missing: Arc<dyn Scan>,
    pub(crate) forbidden: Arc<dyn Scan>,
}

/// Runs every clause against a backend.
macro_rules! contract {
    ($backend:ident) => {
        crate::tests! { scan, $backend:
            every_record_comes_once_and_whole
            however_many_shares_they_are_all_of_it
            writes_meanwhile_hide_nothing_that_stays
            a_cursor_can_be_asked_again
            records_that_fill_pages_come_whole
            what_is_no_cursor_is_rejected
            what_the_bridge_did_not_write_is_named_and_all_else_is_read
            an_expiry_that_somebody_set_comes_with_its_record
        }
    };
}
pub(crate) use contract;

/// What can be asked of a deployment in the cloud alone.
macro_rules! cloud_contract {
    ($deployment:ident) => {
        crate::tests! { scan, $deployment:
            a_store_that_is_not_there_cannot_be_read
            refused_credentials_are_unauthorized
        }
    };
}
pub(crate) use cloud_contract;

/// More than one portion, in every share and at every backend.
const MANY: i64 = 2_300;

/// Shares to read in.
const SHARES: usize = 3;

impl ScanUnderTest {
    fn key(&self, number: i64) -> String {
        // Characters that the clouds treat in unlike ways.
        format!("{}k{number}/ü", self.prefix)
    }

    async fn put(&self, record: &Record) {
        for _ in 0..50 {
            match self.store.put_if_newer(record).await {
                Ok(_) => return,
                Err(error) if error.kind.outcome_unknown() || matches!(error.kind, FailureKind::Throttled { .. }) => {}
                Err(error) => panic!("{}", error.chain()),
            }
        }
        panic!("not written after 50 tries");
    }

    /// Writes so many records, every tenth of them a tombstone.
    async fn fill(&self, count: i64) -> Vec<Record> {
        let of = |number: i64| {
            let key = self.key(number);
            record(&if number % 10 == 0 { delete(&key, at(number)) } else { event(&key, at(number)) })
        };
        let records: Vec<_> = (0..count).map(of).collect();
        for portion in records.chunks(64) {
            futures_util::future::join_all(portion.iter().map(|record| self.put(record))).await;
        }
        records
    }

    /// All under the prefix, each under the key that it came with.
    async fn read(&self, shares: usize) -> BTreeMap<String, Record> {
        let firsts = self.scan.segments(shares).await.unwrap();
        let mut found = BTreeMap::new();
        for first in firsts {
            for record in share(&*self.scan, first, async || {}).await.into_iter().flatten() {
                if record.key.as_str().starts_with(&self.prefix) {
                    let again = found.insert(record.key.to_string(), record);
                    assert!(again.is_none(), "it came twice: {again:?}");
                }
            }
        }
        found
    }
}

/// A share from its beginning to its end, with something done after each portion.
async fn share(scan: &dyn Scan, first: Cursor, mut then: impl AsyncFnMut()) -> Vec<Result<Record, ForeignItem>> {
    let (mut items, mut from) = (Vec::new(), Some(first));
    for _ in 0..100_000 {
        let Some(cursor) = from else { return items };
        let page = scan.page(&cursor).await.unwrap();
        items.extend(page.items);
        from = page.next;
        then().await;
    }
    panic!("it has no end");
}

fn assert_all(records: &[Record], found: &BTreeMap<String, Record>) {
    for record in records {
        let found = found.get(record.key.as_str());
        assert_agree(Some(record), found);
        assert_eq!(found.map(|found| found.expires_after), Some(record.expires_after));
    }
    assert_eq!(found.len(), records.len(), "and nothing else");
}

pub(crate) async fn every_record_comes_once_and_whole(on: &ScanUnderTest) {
    let records = on.fill(MANY).await;
    assert_all(&records, &on.read(SHARES).await);
}

pub(crate) async fn however_many_shares_they_are_all_of_it(on: &ScanUnderTest) {
    let records = on.fill(60).await;
    for shares in [1, 2, 7, 100] {
        assert_all(&records, &on.read(shares).await);
    }
}

/// After each portion something is written before, among and behind what was read, and something is replaced.
pub(crate) async fn writes_meanwhile_hide_nothing_that_stays(on: &ScanUnderTest) {
    let records = on.fill(MANY).await;
    let firsts = on.scan.segments(SHARES).await.unwrap();
    let mut found: BTreeMap<String, Record> = BTreeMap::new();
    let mut round = 0;
    for first in firsts {
        let items = share(&*on.scan, first, async || {
            round += 1;
            on.put(&record(&event(&format!("{}new{round}", on.prefix), at(round)))).await;
            // The last hundred are those that do not stay.
            on.put(&record(&event(&on.key(MANY - 1 - round % 100), at(MANY + round)))).await;
        })
        .await;
        let mine = items.into_iter().flatten().filter(|record| record.key.as_str().starts_with(&on.prefix));
        found.extend(mine.map(|record| (record.key.to_string(), record)));
    }
    for (number, record) in records.iter().enumerate() {
        let found = found.get(record.key.as_str());
        assert!(found.is_some(), "{:?} was hidden", record.key);
        if number < records.len() - 100 {
            assert_agree(Some(record), found);
        }
    }
}

pub(crate) async fn a_cursor_can_be_asked_again(on: &ScanUnderTest) {
    let records = on.fill(MANY).await;
    let mine = async |cursor: &Cursor| {
        let page = on.scan.page(cursor).await.unwrap();
        let keys = page.items.into_iter().flatten().map(|record| record.key.to_string());
        (keys.filter(|key| key.starts_with(&on.prefix)).collect::<Vec<_>>(), page.next)
    };
    let mut seen = 0;
    for first in on.scan.segments(1).await.unwrap() {
        let mut from = Some(first);
        while let Some(cursor) = from {
            let ((once, next), (again, _)) = (mine(&cursor).await, mine(&cursor).await);
            // Other tests may write meanwhile, and so move the end of the portion.
            let both = once.len().min(again.len());
            assert_eq!(once[..both], again[..both]);
            assert!(once.is_empty() == again.is_empty(), "{once:?} {again:?}");
            seen += once.len();
            from = next;
        }
    }
    assert_eq!(seen, records.len());
}

/// Some megabytes: a page ends by its bytes, long before it has as many items as it may.
pub(crate) async fn records_that_fill_pages_come_whole(on: &ScanUnderTest) {
    let large = |number: i64| {
        let members = json!({"id": on.key(number), "text": "x".repeat(200_000)});
        record(&changed(&event(&on.key(number), at(number)), |change| change.payload = payload(members)))
    };
    let records: Vec<Record> = (0..30).map(large).collect();
    for record in &records {
        on.put(record).await;
    }
    assert_all(&records, &on.read(1).await);
}

pub(crate) async fn what_is_no_cursor_is_rejected(on: &ScanUnderTest) {
    let error = on.scan.page(&Cursor("nowhere".to_owned())).await.unwrap_err();
    assert!(matches!(error.kind, FailureKind::Rejected { .. }), "{}", error.chain());
}

async fn trouble(scan: &dyn Scan) -> FailureKind {
    match scan.segments(1).await {
        Err(error) => error.kind,
        Ok(firsts) => scan.page(&firsts[0]).await.unwrap_err().kind,
    }
}

pub(crate) async fn a_store_that_is_not_there_cannot_be_read(on: &BrokenScans) {
    assert_eq!(trouble(&*on.missing).await, FailureKind::Missing);
}

pub(crate) async fn refused_credentials_are_unauthorized(on: &BrokenScans) {
    assert_eq!(trouble(&*on.forbidden).await, FailureKind::Unauthorized);
}

pub(crate) async fn what_the_bridge_did_not_write_is_named_and_all_else_is_read(on: &ScanUnderTest) {
    let records = on.fill(30).await;
    let spoils = spoils(&records[1]);
    let key = |number: usize| format!("{}foreign {number}", on.prefix);
    for (number, (spoil, _)) in spoils.iter().enumerate() {
        on.outsider.plant(&record(&event(&key(number), at(1))), spoil).await;
    }
    assert_all(&records, &on.read(SHARES).await);
    let mut found = BTreeMap::new();
    for first in on.scan.segments(SHARES).await.unwrap() {
        let items = share(&*on.scan, first, async || {}).await;
        found.extend(items.into_iter().filter_map(Result::err).map(|item| (item.name.clone(), item)));
    }
    for (number, (spoil, attribute)) in spoils.iter().enumerate() {
        let item = found.get(&key(number)).unwrap_or_else(|| panic!("{spoil:?} was not found"));
        assert_eq!(item.key.as_ref().map(ToString::to_string), Some(key(number)));
        assert!(item.what.contains(&format!("attribute {attribute}")), "{spoil:?}: {item:?}");
    }
}

pub(crate) async fn an_expiry_that_somebody_set_comes_with_its_record(on: &ScanUnderTest) {
    let planted = mortal(&event(&on.key(1), at(1)));
    on.outsider.plant(&planted, &Spoil::Nothing).await;
    assert_all(&[planted], &on.read(SHARES).await);
}

/// A range of Cosmos DB comes whole, also one that has more records than a page in each of its partitions (localcloud: 32 of them, a page has 250 items).
#[test]
fn cosmos_gives_a_large_range_whole() {
    crate::backends::cosmos_scan("cosmos_gives_a_large_range_whole", async |on: &ScanUnderTest| {
        let records = on.fill(9_600).await;
        let items = share(&*on.scan, Cursor(r#"[["","FF"]]"#.to_owned()), async || {}).await;
        let mine = items.into_iter().flatten().filter(|record| record.key.as_str().starts_with(&on.prefix));
        let mut found = BTreeMap::new();
        for record in mine {
            assert!(found.insert(record.key.to_string(), record).is_none(), "it came twice");
        }
        assert_all(&records, &found);
    });
}
