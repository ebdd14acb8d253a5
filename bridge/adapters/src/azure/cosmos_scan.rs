//! A Cosmos DB container read from end to end: a query for everything, in ranges of the partition key's hash.
//!
//! Whatever a range of hashes is read by lies in one physical partition, unless that splits meanwhile, which the SDK follows.

use std::num::NonZeroU32;

use async_trait::async_trait;
use azure_data_cosmos::{
    CosmosError,
    feed::{ContinuationToken, FeedRange, FeedScope},
    options::{MaxItemCountHint, QueryOptions},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use bridge_core::{
    event::Key,
    failure::PortError,
    port::{Cursor, ForeignItem, Page, Scan},
    record::Record,
};
use futures_util::TryStreamExt;
use serde_json::{Value, json};

use super::{
    cosmos::CosmosStore,
    cosmos_item::{self, Item},
};
use crate::share::no_cursor;

const SEGMENTS: &str = "segments";
const PAGE: &str = "page";

/// Items of a portion at most. Ours: the service ends one at 4 MB anyway ("Azure Cosmos DB service quotas", "Maximum
/// response size", read 2026-11).
const ITEMS_MAX: NonZeroU32 = NonZeroU32::new(1_000).expect("over zero");

/// Ranges that a container is read in, at least. Ours: few portions a range, as the local gateway evaluates the whole range
/// for each of its portions.
const RANGES_MIN: usize = 64;

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
        Ok(bounds.flat_map(|(min, max)| divided(min, max, parts)).map(|(min, max)| cursor(&min, &max, None)).collect())
    }

    async fn page(&self, from: &Cursor) -> Result<Page, PortError> {
        let (range, bounds, token) = read_cursor(from).ok_or_else(|| no_cursor(self.to_string(), from))?;
        let mut options = QueryOptions::default().with_max_item_count(MaxItemCountHint::Limit(ITEMS_MAX));
        if let Some(token) = token {
            options = options.with_continuation_token(ContinuationToken::from_string(token));
        }
        let read = async {
            let fail = |error: CosmosError| self.fail(PAGE, &error);
            let container = self.container(PAGE).await?;
            let query = container.query_items::<Item>("SELECT * FROM c", FeedScope::range(range), Some(options));
            let mut pages = query.await.map_err(fail)?.into_pages();
            let Some(page) = pages.try_next().await.map_err(fail)? else {
                return Ok((Vec::new(), None));
            };
            let items = page.into_items();
            let token = pages.to_continuation_token().map_err(fail)?;
            Ok((items, Some(token.as_str().to_owned())))
        };
        let (items, token) = self.within(PAGE, read).await?;
        // The SDK says that a range is at its end by having no page after the last; so the last token gives none.
        let next = token.map(|token| cursor(&bounds.0, &bounds.1, Some(&token)));
        Ok(Page { items: items.into_iter().map(read_item).collect(), next })
    }
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

fn cursor(min: &str, max: &str, token: Option<&str>) -> Cursor {
    Cursor(json!([min, max, token]).to_string())
}

/// The range, its bounds in hexadecimal digits, and the token with which to go on.
fn read_cursor(cursor: &Cursor) -> Option<(FeedRange, (String, String), Option<String>)> {
    let (min, max, token): (String, String, Option<String>) = serde_json::from_str(&cursor.0).ok()?;
    // The one public way to make a range of one's own.
    let range = json!({ "Range": { "min": min, "max": max, "isMinInclusive": true, "isMaxInclusive": false } });
    let range = BASE64_STANDARD.encode(range.to_string()).parse().ok()?;
    Some((range, (min, max), token))
}

fn read_item(item: Item) -> Result<Record, ForeignItem> {
    let text = |name: &str| item.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (id, pk) = (text("id"), text("pk"));
    let key: Option<Key> = pk.parse().ok();
    // Another id makes another item beside the key's own, which no read of the key meets.
    let Some(key) = key.filter(|key| cosmos_item::id(key) == id) else {
        let what = format!("the stored item is not a record of the bridge: id {id:?} is not that of pk {pk:?}");
        return Err(ForeignItem { name: if pk.is_empty() { id } else { pk }, key: None, what });
    };
    cosmos_item::to_record(item).map_err(|error| ForeignItem { name: pk, key: Some(key), what: error.to_string() })
}

#[cfg(test)]
mod tests {
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
        let (_, bounds, token) = read_cursor(&cursor("", "10", Some("a \"b\""))).unwrap();
        assert_eq!((bounds, token.as_deref()), ((String::new(), "10".to_owned()), Some("a \"b\"")));
        assert!(read_cursor(&Cursor("[]".to_owned())).is_none());
        assert!(read_cursor(&cursor("zz", "FF", None)).is_none());
    }

    #[test]
    fn an_item_beside_the_keys_own_is_foreign() {
        let foreign = |item: Value| read_item(item.as_object().cloned().unwrap()).unwrap_err();
        assert_eq!(foreign(json!({"id": "a", "pk": "b"})).name, "b");
        assert_eq!(foreign(json!({"id": "a", "pk": "b"})).key, None);
        assert_eq!(foreign(json!({"id": "a"})).name, "a");
        assert_eq!(foreign(json!({"id": "a~2Fb", "pk": "a/b"})).key, Some("a/b".parse().unwrap()));
    }
}
