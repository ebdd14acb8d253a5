//! Repair where something comes between: a later write, a store that lies, a store that refuses.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use bridge_adapters::memory::MemoryStore;
use bridge_core::{
    event::Key,
    failure::{FailureKind, PortError},
    port::{Clock, Store, Write},
    record::Record,
};
use bridge_ops::verify::{Kind, Options, Verify};
use bridge_tests::{at, aws, azure, event, record};

use crate::verify::{NOW, Plant, Stores, options};

#[test]
fn a_write_that_comes_during_the_repair_wins() {
    let stores = Stores::new(2);
    stores.put(stores.at(0), &event("a", at(1)));
    let newer = event("a", at(9));
    let meanwhile = async {
        stores.clock.sleep(Duration::from_secs(10)).await;
        stores.at(1).put_if_newer(&record(&newer)).await.unwrap();
    };
    let report = stores.verify_during(&Options { repair: true, ..options() }, meanwhile);
    assert!(report.findings.iter().all(|finding| finding.repaired), "{report:?}");
    assert_eq!(stores.at(1).snapshot()[&newer.key].version, *newer.version());
}

/// A store that says that it has written, and has not.
#[derive(Debug)]
struct Forgetful(Arc<MemoryStore>);

impl fmt::Display for Forgetful {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "forgetful {}", self.0)
    }
}

#[async_trait]
impl Store for Forgetful {
    async fn put_if_newer(&self, _: &Record) -> Result<Write, PortError> {
        Ok(Write::Applied { replaced: None })
    }

    async fn get(&self, key: &Key) -> Result<Option<Record>, PortError> {
        self.0.get(key).await
    }
}

#[test]
fn a_repair_is_believed_once_it_is_seen() {
    let stores = Stores::new(2);
    let key: Key = Plant::Missing.at(&stores, 1, 1).0.parse().unwrap();
    let (mut sites, options) = (stores.targets(), Options { repair: true, ..options() });
    let (site, lacking) = stores.stores.iter().nth(1).unwrap();
    assert!(!lacking.snapshot().contains_key(&key));
    sites.get_mut(site).unwrap().store = Arc::new(Forgetful(lacking.clone()));
    let verify = Verify { sites: &sites, clock: &*stores.clock, options: &options, note: &|_| {}, trouble: &|_| {} };
    let report = stores.clock.drive(verify.run()).unwrap();
    assert_eq!((report.drift, report.left), (1, 1), "{report:?}");
}

/// A store that refuses one key in its way, and takes all others.
#[derive(Debug)]
pub(crate) struct Refusing {
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) key: &'static str,
    pub(crate) kind: FailureKind,
}

impl fmt::Display for Refusing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "refusing {}", self.store)
    }
}

#[async_trait]
impl Store for Refusing {
    async fn put_if_newer(&self, record: &Record) -> Result<Write, PortError> {
        if record.key.as_str() == self.key {
            return Err(PortError::new(self.to_string(), "put", self.kind.clone()));
        }
        self.store.put_if_newer(record).await
    }

    async fn get(&self, key: &Key) -> Result<Option<Record>, PortError> {
        self.store.get(key).await
    }
}

/// A record that a store refuses for itself is told and left; a store that nobody may write to ends the repair.
#[test]
fn a_repair_that_a_store_refuses_is_told() {
    let repaired = |kind: FailureKind| {
        let stores = Stores::new(2);
        (1..4).for_each(|number| drop(Plant::Missing.at(&stores, number, 1)));
        Plant::Missing.at(&stores, 4, 0);
        let (mut sites, options) = (stores.targets(), Options { repair: true, ..options() });
        let store = Arc::clone(&stores.stores[&azure()]);
        sites.get_mut(&azure()).unwrap().store = Arc::new(Refusing { store, key: "planted2", kind });
        let verify =
            Verify { sites: &sites, clock: &*stores.clock, options: &options, note: &|_| {}, trouble: &|_| {} };
        (stores.clock.drive(verify.run()), [0, 1].map(|site| stores.at(site).snapshot()))
    };
    let (report, [here, there]) = repaired(FailureKind::Rejected { detail: "too deep".to_owned() });
    let report = report.unwrap();
    assert_eq!((report.drift, report.left, there.len()), (4, 1, 3));
    let failed = report.findings.iter().find(|finding| finding.key == "planted2").unwrap();
    assert!(!failed.repaired && failed.failed.as_ref().unwrap().contains("too deep"), "{failed:?}");
    let brought = &here[&"planted4".parse().unwrap()];
    assert_eq!(brought.applied_by, aws(), "by the site that holds it now");
    // After the pause that tells drift from what is on its way.
    assert_eq!(brought.applied_at.parse::<chrono::DateTime<chrono::Utc>>().unwrap(), at(NOW + 10));
    let (failed, _) = repaired(FailureKind::Unauthorized);
    assert_eq!(failed.unwrap_err().to_string(), "azure:westeurope cannot be written");
}

/// One event of the year 2099 would freeze its key at every site.
#[test]
fn what_is_ahead_of_every_fence_is_told_and_spread_by_nothing() {
    let stores = Stores::new(2);
    let far = event("far", at(NOW + 365 * 86_400));
    let everywhere = event("everywhere", at(NOW + 7_200));
    stores.put(stores.at(0), &far);
    stores.put(stores.at(1), &event("far", at(1)));
    stores.put_everywhere(&everywhere);
    stores.put_everywhere(&event("near", at(NOW + 3_000)));
    let report = stores.verify(&Options { repair: true, ..options() });
    let mut found: Vec<_> = report.findings.iter().map(|one| (one.key.as_str(), one.kind, one.repaired)).collect();
    found.sort_unstable();
    assert_eq!(found, [("everywhere", Kind::Ahead, false), ("far", Kind::Ahead, false)]);
    assert_eq!(stores.at(1).snapshot()[&far.key].version.timestamp(), at(1), "not spread");
}
