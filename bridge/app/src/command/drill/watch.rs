//! Looks from outside: reads from each site's store what was written, until it shows it.

use std::{
    collections::BTreeMap,
    pin::pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use bridge_adapters::clock::SystemClock;
use bridge_core::{
    event::{Key, SiteId},
    port::{Clock, Store},
    record::Record,
};
use bridge_ops::drill::{Book, Held};
use futures_util::{Stream, StreamExt, stream};
use tokio::{
    task::{JoinHandle, JoinSet},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::writers::open;

/// From one look to the next: when something was first seen is known to this.
pub(super) const EVERY: Duration = Duration::from_millis(100);

/// The same at a site that does not answer.
const EVERY_IN_VAIN: Duration = Duration::from_millis(500);

/// How long an answer may take.
const READ_LIMIT: Duration = Duration::from_secs(2);

/// Reads at the same time at one site.
const CONCURRENT: usize = 16;

pub(super) type Stores = BTreeMap<SiteId, Arc<dyn Store>>;

/// Looks at all sites in the background until stopped.
pub(super) fn start(stores: &Stores, book: &Arc<Mutex<Book>>, stop: &CancellationToken) -> JoinHandle<()> {
    let mut sites = JoinSet::new();
    for (site, store) in stores {
        let (site, store, book, stop) = (site.clone(), Arc::clone(store), Arc::clone(book), stop.clone());
        sites.spawn(async move {
            while !stop.is_cancelled() {
                let answers = look(&site, &*store, &book).await;
                tokio::select! {
                    () = tokio::time::sleep(if answers { EVERY } else { EVERY_IN_VAIN }) => {}
                    () = stop.cancelled() => {}
                }
            }
        });
    }
    tokio::spawn(async move { while sites.join_next().await.is_some() {} })
}

/// Reads these keys from a store, in any order: the record, or why it could not be read.
fn read(store: &dyn Store, keys: Vec<Key>) -> impl Stream<Item = (Key, Result<Option<Record>, String>)> {
    stream::iter(keys)
        .map(move |key| async move {
            let answer = timeout(READ_LIMIT, store.get(&key)).await;
            let answer = answer.map_err(|_| "no answer".to_owned());
            let answer = answer.and_then(|answer| answer.map_err(|error| error.chain()));
            (key, answer)
        })
        .buffer_unordered(CONCURRENT)
}

/// Reads what `site` has not shown yet; whether it answers.
async fn look(site: &SiteId, store: &dyn Store, book: &Mutex<Book>) -> bool {
    let awaited = open(book).awaited(site);
    let mut reads = pin!(read(store, awaited));
    while let Some((key, answer)) = reads.next().await {
        match answer {
            Ok(Some(record)) => open(book).saw(site, &key, &record.version, SystemClock.now()),
            Ok(None) => {}
            // The others would not answer either.
            Err(_) => return false,
        }
    }
    true
}

/// What every store holds of all keys; a site that cannot be read is left out, with why.
pub(super) async fn held(stores: &Stores, book: &Mutex<Book>) -> (Held, Vec<String>) {
    let keys: Vec<_> = open(book).keys().cloned().collect();
    let (mut held, mut unread) = (Held::new(), Vec::new());
    for (site, store) in stores {
        let mut reads = pin!(read(&**store, keys.clone()));
        let mut records = BTreeMap::new();
        let mut trouble = None;
        while let Some((key, answer)) = reads.next().await {
            match answer {
                Ok(record) => records.extend(record.map(|record| (key, record))),
                Err(error) => trouble = Some(error),
            }
        }
        match trouble {
            None => _ = held.insert(site.clone(), records),
            Some(error) => unread.push(format!("the store of {site} could not be read in the end: {error}")),
        }
    }
    (held, unread)
}
