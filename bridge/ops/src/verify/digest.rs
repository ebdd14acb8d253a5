//! Digests of records by ranges of keys, so that equal ranges cost nothing but the reading.
//!
//! Stores give their keys in unlike orders, so a range is one of the hash of the key, and its digest a sum, in which the
//! order does not count.

use std::fmt;

use sha2::{Digest as _, Sha256};

use bridge_core::{content, event::Key, record::Record};

/// Ranges that all keys are divided into. Ours: 20 bytes each come to 5 MB a site, and a write that is on its way while the
/// stores are read makes a second look necessary at one 262,144th of the keys.
pub const RANGES: usize = 1 << RANGE_BITS;
const RANGE_BITS: u32 = 18;

/// What two records have in common exactly if they [agree](Record::agrees_with): the first 16 bytes of a SHA-256.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Digest(u128);

impl Digest {
    /// The digest of all that [`Record::agrees_with`] compares. The content counts beside the version, which says the
    /// same in 64 bits: a comparison should not believe what it compares.
    pub fn of(record: &Record) -> Self {
        let hash = Sha256::new_with_prefix(record.version.as_str());
        Self(first(content::hash(hash, record.op, &record.timestamp, &record.key, record.payload.as_ref())))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// The range that a key belongs to.
pub fn range_of(key: &Key) -> usize {
    let hash = first(Sha256::new_with_prefix(key.as_str()));
    usize::try_from(hash >> (u128::BITS - RANGE_BITS)).expect("18 bits")
}

/// The digests of all ranges of one store.
#[derive(Debug)]
pub struct Ranges {
    sums: Vec<u128>,
    counts: Vec<u32>,
}

impl Default for Ranges {
    fn default() -> Self {
        Self { sums: vec![0; RANGES], counts: vec![0; RANGES] }
    }
}

impl Ranges {
    /// Takes in one record. A sum and not an exclusive or: what comes twice must not vanish.
    pub fn add(&mut self, record: &Record) {
        let range = range_of(&record.key);
        self.sums[range] = self.sums[range].wrapping_add(Digest::of(record).0);
        self.counts[range] = self.counts[range].saturating_add(1);
    }

    /// Takes in that a record is there which makes no difference: a look at its range shows it all the same.
    pub fn pass(&mut self, record: &Record) {
        let range = range_of(&record.key);
        self.counts[range] = self.counts[range].saturating_add(1);
    }

    /// The ranges in which the stores differ, each with the number of records that all stores together have there.
    pub fn differing(stores: &[Self]) -> Vec<(usize, u64)> {
        let Some((one, others)) = stores.split_first() else { return Vec::new() };
        let differs = |range: &usize| others.iter().any(|other| other.sums[*range] != one.sums[*range]);
        let records = |range: usize| stores.iter().map(|store| u64::from(store.counts[range])).sum();
        (0..RANGES).filter(differs).map(|range| (range, records(range))).collect()
    }
}

fn first(hash: Sha256) -> u128 {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash.finalize()[..16]);
    u128::from_be_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::verify::tests::record;

    /// A record with this payload, in the spelling that stores give back.
    fn with(payload: &Value) -> Record {
        Record { payload: Some(payload.to_string().parse().unwrap()), ..record("a", 1) }
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            prop::sample::select(vec![
                json!(0),
                json!(1),
                json!(-1),
                json!(0.0),
                json!(-0.0),
                json!(1.0),
                json!(0.5),
                json!(1e21)
            ]),
            "[ab]{0,2}".prop_map(Value::String),
        ];
        leaf.prop_recursive(3, 12, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::Array),
                prop::collection::btree_map("[ab]{1,2}", inner, 0..3).prop_map(|map| json!(map)),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        /// The digest knows what `agrees_with` knows, no less and no more.
        #[test]
        fn digests_are_equal_exactly_where_records_agree(one in json(), other in json()) {
            let (one, other) = (with(&json!({ "v": one })), with(&json!({ "v": other })));
            prop_assert_eq!(Digest::of(&one) == Digest::of(&other), one.agrees_with(&other));
        }
    }

    #[test]
    fn whatever_stores_compare_counts_and_nothing_else_does() {
        let one = record("a", 1);
        let aside = Record {
            applied_at: "2026-12-01T00:00:00.000Z".to_owned(),
            applied_by: "aws:eu-west-1".parse().unwrap(),
            ..one.clone()
        };
        assert_eq!(Digest::of(&one), Digest::of(&aside));
        for other in [
            record("b", 1),
            record("a", 2),
            Record { op: bridge_core::event::Op::Create, ..one.clone() },
            Record { timestamp: one.timestamp.replace('Z', "+00:00"), ..one.clone() },
            Record { payload: None, ..one.clone() },
            with(&json!({})),
        ] {
            assert_ne!(Digest::of(&one), Digest::of(&other), "{other:?}");
        }
    }

    #[test]
    fn a_range_differs_by_content_by_count_and_not_by_order() {
        let [mut one, mut other] = [Ranges::default(), Ranges::default()];
        let records: Vec<_> = (0..500).map(|n| record(&format!("key{n}"), n)).collect();
        for record in &records {
            one.add(record);
        }
        records.iter().rev().for_each(|record| other.add(record));
        let stores = [one, other];
        assert_eq!(Ranges::differing(&stores), []);
        let [mut one, other] = stores;
        one.add(&records[7]);
        one.add(&records[7]);
        let stores = [one, other];
        let found = Ranges::differing(&stores);
        assert_eq!(found.iter().map(|(range, _)| *range).collect::<Vec<_>>(), [range_of(&records[7].key)]);
        assert!(found[0].1 >= 4, "three times here and once there");
    }

    #[test]
    fn what_makes_no_difference_counts_where_there_is_one() {
        let [mut one, mut other] = [Ranges::default(), Ranges::default()];
        other.pass(&record("gone", 1));
        let stores = [one, other];
        assert_eq!(Ranges::differing(&stores), []);
        [one, other] = stores;
        one.add(&record("gone", 1));
        assert_eq!(Ranges::differing(&[one, other]), [(range_of(&"gone".parse().unwrap()), 2)]);
    }
}
