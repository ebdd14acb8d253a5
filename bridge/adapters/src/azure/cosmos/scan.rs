//! A Cosmos DB container read from end to end: a query for everything, in ranges of the partition key's hash.
//!
//! No range is believed that may have been cut off at a page's end: it is read again in parts, until each is smaller than a page. The
//! SDK's pages of a range of one's own end after the first of each partition (seen on localcloud), without a word; a comparison that misses
//! records must not be. So a page's end is never gone beyond either, and however large a range is, one page of it is held.
//!
//! Whatever a range of hashes is read by lies in one physical partition, unless that splits meanwhile, which the SDK follows.

use std::num::NonZeroU32;

use async_trait::async_trait;
use azure_data_cosmos::{
    CosmosError,
    feed::{FeedRange, FeedScope, Query},
    options::{MaxItemCountHint, QueryOptions},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use bridge_core::{
    event::Key,
    failure::PortError,
    port::{Cursor, ForeignItem, Page, Scan},
    record::Record,
};
use futures_util::{StreamExt, TryStreamExt};
use serde_json::json;

use super::{
    CosmosStore,
    item::{self, Item},
};
use crate::share::no_cursor;

const SEGMENTS: &str = "segments";
const PAGE: &str = "page";
const BESIDE: &str = "beside";

/// Items beside a key that are told of. Ours: one is enough to know that somebody else writes to the container.
const BESIDE_MAX: usize = 5;

/// Ranges that a container is read in, at least. Ours: an empty one costs no more than some hundred request units then.
const RANGES_MIN: usize = 256;

/// Items of a page that are asked for, and bytes, half of the largest response ("Azure Cosmos DB service quotas", read 2026-11: 4 MB): so
/// many may not be all of a range. Ours: the items are as many as the ranges of a store of 50,000 hold, so that no larger store needs
/// more memory.
const PAGE_ITEMS: NonZeroU32 = NonZeroU32::new(250).expect("not zero");
const PAGE_BYTES: u64 = 2_000_000;

/// Parts of a range that is larger than a page. Ours: for each page that was read in vain there are so many to come, and in most there
/// are some dozen items.
const PARTS: usize = 8;

/// The end of the hashes of partition keys, version 2, whose two highest bits are zero: the first 8 of 16 bytes.
const HASH_END: u64 = 0x4000_0000_0000_0000;

#[async_trait]
impl Scan for CosmosStore {
    async fn segments(&self, wanted: usize) -> Result<Vec<Cursor>, PortError> {
        let read = async {
            let container = self.container(SEGMENTS).await?;
            container.read_feed_ranges(None).await.map_err(|error| self.fail(SEGMENTS, &error))
        };
        let ranges = self.within(SEGMENTS, read).await?;
        let parts = wanted.max(RANGES_MIN).div_ceil(ranges.len().max(1));
        let bounds = ranges.iter().map(|range| (range.min_inclusive().to_hex(), range.max_exclusive().to_hex()));
        Ok(bounds.flat_map(|(min, max)| divided(min, max, parts)).map(|range| cursor(&[range])).collect())
    }

    async fn page(&self, from: &Cursor) -> Result<Page, PortError> {
        let mut ranges = read_cursor(from).ok_or_else(|| no_cursor(self.to_string(), from))?;
        let Some((min, max)) = ranges.pop() else { return Ok(Page { items: Vec::new(), next: None }) };
        let range = feed_range(&min, &max).ok_or_else(|| no_cursor(self.to_string(), from))?;
        let parts = divided(min, max, PARTS);
        let read = async {
            let fail = |error: CosmosError| self.fail(PAGE, &error);
            let container = self.container(PAGE).await?;
            let size = QueryOptions::default().with_max_item_count(MaxItemCountHint::Limit(PAGE_ITEMS));
            let query = container.query_items::<Item>("SELECT * FROM c", FeedScope::range(range), Some(size));
            let mut pages = query.await.map_err(fail)?.into_pages();
            let mut items = Vec::new();
            while let Some(page) = pages.try_next().await.map_err(fail)? {
                let more = page.headers().continuation().is_some();
                items.extend(page.into_items());
                if parts.len() > 1 && (more || is_large(&items)) {
                    return Ok(None);
                }
            }
            Ok(Some(items))
        };
        let items = self.within(PAGE, read).await?.unwrap_or_else(|| {
            ranges.extend(parts.iter().rev().cloned());
            Vec::new()
        });
        let next = (!ranges.is_empty()).then(|| cursor(&ranges));
        Ok(Page { items: items.iter().map(read_item).collect(), next })
    }

    /// An item has two names, its id and its partition key, and a record has its key for both.
    async fn beside(&self, key: &Key) -> Result<Vec<ForeignItem>, PortError> {
        let read = async {
            let fail = |error: CosmosError| self.fail(BESIDE, &error);
            let container = self.container(BESIDE).await?;
            let query = Query::from("SELECT * FROM c WHERE c.pk = @key OR c.id = @key OR c.id = @id");
            let query = query.with_parameter("@key", key.as_str()).map_err(fail)?;
            let query = query.with_parameter("@id", item::id(key)).map_err(fail)?;
            let found = container.query_items::<Item>(query, FeedScope::full_container(), None).await.map_err(fail)?;
            let beside = found.map_err(fail).try_filter_map(async |item| {
                let foreign = read_item(&item).err();
                Ok(foreign.filter(|item| item.key.is_none()))
            });
            beside.take(BESIDE_MAX).try_collect().await
        };
        self.within(BESIDE, read).await
    }
}

/// Whether these may not be all items of their range.
fn is_large(items: &[Item]) -> bool {
    items.len() >= PAGE_ITEMS.get() as usize || items.iter().map(item::size_bytes).sum::<u64>() >= PAGE_BYTES
}

/// A range of hashes divided into about so many. Where a bound is no hash of version 2 the parts are uneven, and still are all
/// of the range.
fn divided(min: String, max: String, parts: usize) -> Vec<(String, String)> {
    let first = |hex: &str| u64::from_str_radix(&format!("{hex:0<16.16}"), 16).unwrap_or_default();
    let (from, to) = (first(&min), first(&max).min(HASH_END));
    let step = to.saturating_sub(from) / parts.max(1) as u64;
    let mut bounds = vec![min];
    if step > 0 {
        bounds.extend((1..parts as u64).map(|part| format!("{:016X}{:016X}", from + part * step, 0)));
    }
    bounds.push(max);
    bounds.windows(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect()
}

/// The ranges that are still to be read, the next one last.
pub(crate) fn cursor(ranges: &[(String, String)]) -> Cursor {
    Cursor(json!(ranges).to_string())
}

pub(crate) fn read_cursor(cursor: &Cursor) -> Option<Vec<(String, String)>> {
    serde_json::from_str(&cursor.0).ok()
}

/// The one public way to make a range of one's own.
fn feed_range(min: &str, max: &str) -> Option<FeedRange> {
    let range = json!({ "Range": { "min": min, "max": max, "isMinInclusive": true, "isMaxInclusive": false } });
    BASE64_STANDARD.encode(range.to_string()).parse().ok()
}

pub(crate) fn read_item(item: &Item) -> Result<Record, ForeignItem> {
    let text = |property| item::text(item, property).unwrap_or_default();
    let (id, pk) = (text("id"), text("pk"));
    let key: Option<Key> = pk.parse().ok();
    // Another id makes another item beside the key's own, which no read of the key meets.
    let Some(key) = key.filter(|key| item::id(key) == id) else {
        let what = format!("the stored item is not a record of the bridge: id {id:?} is not that of pk {pk:?}");
        return Err(ForeignItem { name: if pk.is_empty() { id } else { pk }, key: None, what });
    };
    item::to_record(item).map_err(|error| ForeignItem { name: pk, key: Some(key), what: error.to_string() })
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn parts_of_a_range_are_all_of_it_and_nothing_twice() {
        for (min, max) in
            [("", "FF"), ("", "10"), ("3F000000000000000000000000000000", "FF"), ("05C1", "05C2"), ("A", "B")]
        {
            for parts in [1, 2, 3, 64] {
                let ranges = divided(min.to_owned(), max.to_owned(), parts);
                assert!(ranges.len() <= parts, "{ranges:?}");
                assert_eq!((ranges[0].0.as_str(), ranges[ranges.len() - 1].1.as_str()), (min, max));
                assert!(ranges.windows(2).all(|pair| pair[0].1 == pair[1].0), "{ranges:?}");
                assert!(ranges.iter().all(|(from, to)| from < to), "{ranges:?}");
            }
        }
        assert_eq!(divided(String::new(), "FF".to_owned(), 4)[1].0, format!("10{}", "0".repeat(30)));
    }

    #[test]
    fn a_cursor_reads_back() {
        let ranges = vec![("10".to_owned(), "FF".to_owned()), (String::new(), "10".to_owned())];
        assert_eq!(read_cursor(&cursor(&ranges)), Some(ranges));
        assert!(read_cursor(&Cursor("{}".to_owned())).is_none());
        assert!(feed_range("", "10").is_some() && feed_range("zz", "FF").is_none());
    }

    #[test]
    fn an_item_beside_the_keys_own_is_foreign() {
        let foreign = |item: Value| read_item(&serde_json::from_value(item).unwrap()).unwrap_err();
        assert_eq!(foreign(json!({"id": "a", "pk": "b"})).name, "b");
        assert_eq!(foreign(json!({"id": "a", "pk": "b"})).key, None);
        assert_eq!(foreign(json!({"id": "a"})).name, "a");
        assert_eq!(foreign(json!({"id": "a~2Fb", "pk": "a/b"})).key, Some("a/b".parse().unwrap()));
    }
}
