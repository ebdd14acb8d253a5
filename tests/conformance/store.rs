//! The contract of [`Store`], clause by clause: which of two writes wins. What comes back of a write is in `values`.

use std::{fmt::Write as _, sync::Arc, time::Duration};

use bridge_core::{
    event::{Event, Op},
    failure::{FailureKind, PortError},
    port::{Store, Write},
    record::Record,
    version::Version,
};
use bridge_tests::{assert_agree, at, azure, changed, delete, event, payload};
use futures_util::future::join_all;
use serde_json::json;

use crate::record;

/// A store whose keys under `prefix` nobody else uses, and what its backend is like.
pub(crate) struct StoreUnderTest {
    pub(crate) store: Arc<dyn Store>,
    /// Somebody else who writes to the same backend.
    pub(crate) outsider: Arc<dyn Outsider>,
    pub(crate) prefix: String,
    /// Bytes of a record as the backend counts them,
    pub(crate) count: fn(&Record) -> u64,
    /// how many of them it takes,
    pub(crate) limit_bytes: u64,
    /// and by how much the count may be wrong.
    pub(crate) slack_bytes: u64,
}

pub(crate) use crate::{foreign::*, values::*};

/// Runs every clause against a backend.
macro_rules! contract {
    ($backend:ident) => {
        crate::tests! { store, $backend:
            what_was_never_written_is_none
            a_record_comes_back_as_it_was_written
            a_read_sees_every_write_before_it
            a_newer_version_is_stored_and_tells_what_it_replaced
            an_older_version_loses_and_is_told_to_whom
            the_same_record_again_is_a_duplicate
            equal_times_are_decided_by_origin_and_then_by_id
            what_an_upsert_is_called_does_not_matter
            a_tombstone_beats_older_versions
            a_tombstone_yields_to_newer_versions_and_leaves_no_expiry
            a_tombstone_can_be_the_first_to_come
            any_order_with_any_repetition_ends_the_same
            of_concurrent_writers_the_greatest_version_remains
            many_keys_at_once_do_not_mix
            odd_keys_are_kept_apart
            the_longest_key_passes
            payload_members_named_like_attributes_do_no_harm
            numbers_come_back_equal
            texts_come_back_equal
            empty_things_come_back_equal
            nesting_to_the_limit_comes_back_equal
            the_largest_record_passes
            too_large_is_told_with_both_figures
            two_contents_of_one_event_end_as_one_whatever_the_order
            what_the_bridge_did_not_write_is_never_overwritten
            a_record_is_replaced_whoever_wrote_it
            an_expiry_that_somebody_set_is_read_and_ends_with_the_next_write
        }
    };
}
pub(crate) use contract;

/// A store that is not there, and one whose credentials are refused.
pub(crate) struct BrokenStores {
    pub(crate) missing: Arc<dyn Store>,
    pub(crate) forbidden: Arc<dyn Store>,
}

/// Runs the clauses about broken deployments against a backend that can be deployed.
macro_rules! cloud_contract {
    ($backend:ident) => {
        crate::tests! { store, $backend:
            a_store_that_is_not_there_is_missing
            refused_credentials_are_unauthorized
        }
    };
}
pub(crate) use cloud_contract;

impl StoreUnderTest {
    /// An upsert of one of this test's own keys.
    pub(crate) fn event(&self, key: &str, second: i64) -> Event {
        event(&format!("{}{key}", self.prefix), at(second))
    }

    pub(crate) fn delete(&self, key: &str, second: i64) -> Event {
        delete(&format!("{}{key}", self.prefix), at(second))
    }

    pub(crate) async fn put(&self, event: &Event) -> Write {
        self.store.put_if_newer(&record(event)).await.unwrap()
    }

    pub(crate) async fn get(&self, event: &Event) -> Option<Record> {
        self.store.get(&event.key).await.unwrap()
    }

    /// Fails unless the store holds what `event` leaves, to the last attribute.
    pub(crate) async fn assert_holds(&self, event: &Event) {
        let held = self.get(event).await.unwrap_or_else(|| panic!("nothing at {:?}", event.key));
        let expected = record(event);
        assert_agree(Some(&held), Some(&expected));
        assert_eq!(format!("{held:?}"), format!("{expected:?}"));
    }
}

pub(crate) const STORED_FIRST: Write = Write::Applied { replaced: None };

pub(crate) fn stored_over(event: &Event) -> Write {
    Write::Applied { replaced: Some(event.version().clone()) }
}

pub(crate) fn superseded_by(event: &Event) -> Write {
    Write::Superseded { by: event.version().clone() }
}

pub(crate) async fn what_was_never_written_is_none(on: &StoreUnderTest) {
    assert!(on.get(&on.event("absent", 1)).await.is_none());
}

pub(crate) async fn a_record_comes_back_as_it_was_written(on: &StoreUnderTest) {
    let upsert = on.event("a", 1);
    assert_eq!(on.put(&upsert).await, STORED_FIRST);
    on.assert_holds(&upsert).await;
    let tombstone = on.delete("b", 1);
    assert_eq!(on.put(&tombstone).await, STORED_FIRST);
    on.assert_holds(&tombstone).await;
    let held = on.get(&tombstone).await.unwrap();
    assert!(held.deleted() && held.payload.is_none());
    // The delete is stamped a second ahead of its writing, and a tombstone outlives both.
    assert_eq!(held.expires_after, Some(crate::TOMBSTONE_LIFE + Duration::from_secs(1)));
}

pub(crate) async fn a_read_sees_every_write_before_it(on: &StoreUnderTest) {
    for second in 1..20 {
        let event = on.event("a", second);
        on.put(&event).await;
        on.assert_holds(&event).await;
    }
}

pub(crate) async fn a_newer_version_is_stored_and_tells_what_it_replaced(on: &StoreUnderTest) {
    let [first, second] = [1, 2].map(|second| on.event("a", second));
    assert_eq!(on.put(&first).await, STORED_FIRST);
    assert_eq!(on.put(&second).await, stored_over(&first));
    on.assert_holds(&second).await;
}

pub(crate) async fn an_older_version_loses_and_is_told_to_whom(on: &StoreUnderTest) {
    let [older, newer] = [1, 2].map(|second| on.event("a", second));
    on.put(&newer).await;
    assert_eq!(on.put(&older).await, superseded_by(&newer));
    on.assert_holds(&newer).await;
}

pub(crate) async fn the_same_record_again_is_a_duplicate(on: &StoreUnderTest) {
    for event in [on.event("a", 1), on.delete("b", 1)] {
        on.put(&event).await;
        let again = Record { applied_at: "2026-11-22T00:00:00.000Z".to_owned(), ..record(&event) };
        assert_eq!(on.store.put_if_newer(&again).await.unwrap(), Write::Duplicate);
        on.assert_holds(&event).await;
    }
}

pub(crate) async fn equal_times_are_decided_by_origin_and_then_by_id(on: &StoreUnderTest) {
    let low = on.event("a", 1);
    let high = changed(&low, |change| change.id = "ffffffff-ffff-4fff-bfff-ffffffffffff".parse().unwrap());
    let elsewhere = changed(&low, |change| change.origin = azure());
    for events in [[&low, &high, &elsewhere], [&elsewhere, &high, &low], [&high, &elsewhere, &low]] {
        let suffix = events.map(|event| event.id.simple().to_string()).concat();
        let of_key = |event| changed(event, |change| change.key = format!("{}{suffix}", on.prefix).parse().unwrap());
        for event in events {
            on.put(&of_key(event)).await;
        }
        on.assert_holds(&of_key(&elsewhere)).await;
    }
}

pub(crate) async fn what_an_upsert_is_called_does_not_matter(on: &StoreUnderTest) {
    for (n, (first, second)) in
        [(Op::Update, Op::Create), (Op::Create, Op::Update), (Op::Upsert, Op::Create)].into_iter().enumerate()
    {
        let key = format!("key{n}");
        let first = changed(&on.event(&key, 1), |change| change.op = first);
        let second = changed(&on.event(&key, 2), |change| change.op = second);
        assert_eq!(on.put(&first).await, STORED_FIRST);
        assert_eq!(on.put(&second).await, stored_over(&first));
        assert_eq!(on.put(&changed(&first, |change| change.op = Op::Create)).await, superseded_by(&second));
        on.assert_holds(&second).await;
    }
}

pub(crate) async fn a_tombstone_beats_older_versions(on: &StoreUnderTest) {
    let [before, late] = [1, 2].map(|second| on.event("a", second));
    let tombstone = on.delete("a", 3);
    on.put(&before).await;
    assert_eq!(on.put(&tombstone).await, stored_over(&before));
    assert_eq!(on.put(&late).await, superseded_by(&tombstone));
    assert_eq!(on.put(&changed(&late, |change| change.op = Op::Create)).await, superseded_by(&tombstone));
    on.assert_holds(&tombstone).await;
}

pub(crate) async fn a_tombstone_yields_to_newer_versions_and_leaves_no_expiry(on: &StoreUnderTest) {
    let tombstone = on.delete("a", 1);
    let reborn = on.event("a", 2);
    on.put(&tombstone).await;
    assert_eq!(on.put(&reborn).await, stored_over(&tombstone));
    on.assert_holds(&reborn).await;
    assert_eq!(on.get(&reborn).await.unwrap().expires_after, None);
}

pub(crate) async fn a_tombstone_can_be_the_first_to_come(on: &StoreUnderTest) {
    let tombstone = on.delete("a", 2);
    assert_eq!(on.put(&tombstone).await, STORED_FIRST);
    assert_eq!(on.put(&on.event("a", 1)).await, superseded_by(&tombstone));
    let later = on.delete("a", 3);
    assert_eq!(on.put(&later).await, stored_over(&tombstone));
    on.assert_holds(&later).await;
}

pub(crate) async fn any_order_with_any_repetition_ends_the_same(on: &StoreUnderTest) {
    for order in [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1], [1, 3, 0, 2]] {
        let key = format!("{order:?}");
        let events = [on.event(&key, 1), on.delete(&key, 2), on.event(&key, 3), on.delete(&key, 4)];
        for at in order.into_iter().chain(order) {
            on.put(&events[at]).await;
        }
        on.assert_holds(&events[3]).await;
    }
}

/// What a worker does with an outcome: once more if it may help.
async fn put_until_done(store: &dyn Store, record: &Record) -> Write {
    for _ in 0..50 {
        match store.put_if_newer(record).await {
            Ok(outcome) => return outcome,
            Err(PortError { kind: FailureKind::Throttled { .. } | FailureKind::Unavailable, .. }) => {}
            Err(error) => panic!("{}", error.chain()),
        }
    }
    panic!("still throttled after 50 tries");
}

pub(crate) async fn of_concurrent_writers_the_greatest_version_remains(on: &StoreUnderTest) {
    // 7 has no common divisor with 32, so these are all seconds from 0 to 31, the greatest not at either end.
    let events: Vec<Event> = (0..32).map(|n| on.event("contended", n * 7 % 32)).collect();
    let writers = events.iter().map(async |event| put_until_done(&*on.store, &record(event)).await);
    let outcomes = join_all(writers).await;
    let greatest = events.iter().max_by_key(|event| event.version()).unwrap();
    on.assert_holds(greatest).await;
    let first = outcomes.iter().filter(|outcome| **outcome == STORED_FIRST).count();
    assert_eq!(first, 1, "exactly one writer found nothing: {outcomes:?}");
    let mut replaced: Vec<&Version> = outcomes
        .iter()
        .filter_map(|outcome| match outcome {
            Write::Applied { replaced } => replaced.as_ref(),
            Write::Superseded { .. } | Write::Duplicate => None,
        })
        .collect();
    let count = replaced.len();
    replaced.sort();
    replaced.dedup();
    assert_eq!(replaced.len(), count, "no version was replaced twice: {outcomes:?}");
}

pub(crate) async fn many_keys_at_once_do_not_mix(on: &StoreUnderTest) {
    let keys: Vec<String> = (0..40).map(|n| format!("key{n}")).collect();
    let write = async |key: &String| {
        let writes = [2, 3, 1].map(|second| on.event(key, second));
        join_all(writes.iter().map(async |event| put_until_done(&*on.store, &record(event)).await)).await;
    };
    join_all(keys.iter().map(write)).await;
    for key in &keys {
        on.assert_holds(&on.event(key, 3)).await;
    }
}

pub(crate) async fn a_store_that_is_not_there_is_missing(on: &BrokenStores) {
    let event = event("a", at(1));
    let error = on.missing.put_if_newer(&record(&event)).await.unwrap_err();
    assert_eq!(error.kind, FailureKind::Missing, "{}", error.chain());
    let error = on.missing.get(&event.key).await.unwrap_err();
    assert_eq!(error.kind, FailureKind::Missing, "{}", error.chain());
}

pub(crate) async fn refused_credentials_are_unauthorized(on: &BrokenStores) {
    let event = event("a", at(1));
    let error = on.forbidden.put_if_newer(&record(&event)).await.unwrap_err();
    assert_eq!(error.kind, FailureKind::Unauthorized, "{}", error.chain());
    let mut shown = error.chain();
    write!(shown, "{:?} {}", on.forbidden, on.forbidden).unwrap();
    assert!(!shown.contains("wrong-secret") && !shown.contains("d3Jvbmctc2VjcmV0"), "{shown}");
}

pub(crate) async fn two_contents_of_one_event_end_as_one_whatever_the_order(on: &StoreUnderTest) {
    let contents = |key: &str| {
        let upsert = on.event(key, 1);
        let payload = changed(&upsert, |change| change.payload = payload(json!({"total": 2})));
        let create = changed(&upsert, |change| change.op = Op::Create);
        [on.delete(key, 1), payload, create, upsert]
    };
    for order in [[0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2], [2, 0, 3, 1]] {
        let events = contents(&format!("{order:?}"));
        for at in order {
            on.put(&events[at]).await;
        }
        let last = events.iter().max_by_key(|event| event.version()).unwrap();
        on.assert_holds(last).await;
        assert!(events.iter().all(|event| event.version().same_event(last.version())));
        for event in &events {
            let same = event.version() == last.version();
            assert_eq!(on.put(event).await, if same { Write::Duplicate } else { superseded_by(last) });
        }
    }
}
