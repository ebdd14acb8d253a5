//! Backfill on memory: what comes over, what stays, and what is left out.

use std::{collections::BTreeSet, sync::Arc};

use bridge_core::{
    event::Event,
    failure::FailureKind,
    port::{Clock, Store},
    record::Record,
};
use bridge_ops::verify::{
    Failed, Options,
    backfill::{Backfill, Filled},
};
use bridge_tests::{at, azure, delete, event, record};

use crate::{
    repair::Refusing,
    verify::{NOW, Stores, options},
};

fn backfill_to(stores: &Stores, store: &dyn Store, options: &Options, dry_run: bool) -> Result<Filled, Failed> {
    let (targets, to) = (stores.targets(), azure());
    let (site, from) = targets.first_key_value().unwrap();
    let backfill = Backfill {
        from: (site, &*from.scan),
        to: (&to, store),
        clock: &*stores.clock,
        options,
        dry_run,
        note: &|_| {},
        trouble: &|_| {},
    };
    let mut filled = Filled::default();
    stores.clock.drive(backfill.run_into(&mut filled))?;
    Ok(filled)
}

fn backfill(stores: &Stores, dry_run: bool) -> Filled {
    backfill_to(stores, stores.at(1), &options(), dry_run).unwrap()
}

/// Tombstones go along, what is later there stays, what is no record or the bridge's own is left out; a second run has
/// nothing to do.
#[test]
fn a_backfill_brings_all_that_is_newer_and_nothing_else() {
    let stores = Stores { fails: 4, ..Stores::new(2) };
    let (old, new) = (stores.at(0), stores.at(1));
    (0..60).for_each(|number| stores.put(old, &event(&format!("k{number}"), at(number))));
    stores.put(old, &delete("k7", at(100)));
    stores.put(new, &event("k8", at(100)));
    stores.put(new, &event("k9", at(1)));
    stores.put(new, &event("k10", at(10)));
    stores.put(old, &event("_bridge/heartbeat/aws:us-east-1", at(1)));
    old.spoil(&"bad".parse().unwrap(), "version", "not a record");
    old.overwrite(Record { event_id: uuid::Uuid::from_u128(1), ..record(&event("odd", at(1))) });
    old.overwrite(Record {
        expires_after: Some(std::time::Duration::from_hours(1)),
        ..record(&event("mortal", at(1)))
    });
    old.overwrite(record(&delete("gone", at(NOW - 61 * 24 * 3600))));

    let dry = backfill(&stores, true);
    assert_eq!((dry.read, dry.written, dry.kept, dry.expired, dry.foreign), (64, 58, 2, 1, 3));
    assert_eq!(new.snapshot().len(), 3, "a dry run writes nothing");

    let filled = backfill(&stores, false);
    assert_eq!((filled.read, filled.written, filled.kept, filled.expired, filled.foreign), (64, 58, 2, 1, 3));
    let names: BTreeSet<_> = filled.left_out.iter().map(|item| item.key.as_str()).collect();
    assert_eq!(names, ["bad", "mortal", "odd"].into());
    let (from, to) = (old.snapshot(), new.snapshot());
    assert_eq!(to.len(), 60);
    assert!(to[&"k7".parse().unwrap()].deleted());
    assert_eq!(to[&"k8".parse().unwrap()].version.timestamp(), at(100), "what was later there stays");
    for (key, record) in &to {
        assert!(key.as_str() == "k8" || record.agrees_with(&from[key]), "{key}");
    }
    let written = &to[&"k7".parse().unwrap()];
    assert_eq!(
        (written.applied_by.clone(), written.expires_after),
        (azure(), record(&delete("k7", at(100))).expires_after)
    );
    assert_eq!(written.applied_at[..19], stores.clock.now().to_rfc3339()[..19]);

    let again = backfill(&stores, false);
    assert_eq!((again.written, again.kept), (0, 60));
}

/// A tombstone that has had its time is not needed where nothing is, but must not leave an older write alive.
#[test]
fn an_expired_tombstone_ends_what_is_older_at_the_target() {
    let stores = Stores::new(2);
    let (old, new) = (stores.at(0), stores.at(1));
    let died = NOW - 61 * 24 * 3600;
    let written = |event: &Event| Record { applied_at: stores.clock.now().to_rfc3339(), ..record(event) };
    for key in ["alive", "absent", "later", "same"] {
        old.overwrite(written(&delete(key, at(died))));
    }
    new.overwrite(written(&event("alive", at(died - 1))));
    new.overwrite(written(&event("later", at(died + 1))));
    new.overwrite(written(&delete("same", at(died))));
    let before = new.snapshot();
    for dry_run in [true, false] {
        let filled = backfill(&stores, dry_run);
        assert_eq!((filled.read, filled.written, filled.kept, filled.expired), (4, 1, 2, 1), "dry run: {dry_run}");
        assert!(!dry_run || before.iter().all(|(key, record)| new.snapshot()[key].version == record.version));
    }
    let after = new.snapshot();
    assert!(after[&"alive".parse().unwrap()].deleted() && !after[&"later".parse().unwrap()].deleted());
    assert_eq!(after.len(), 3, "and none where there is nothing to end");
}

/// What the target refuses for itself is left out and told, and the others go on; what nobody may write ends it.
#[test]
fn a_record_that_the_target_refuses_is_left_out_and_the_others_are_brought() {
    let stores = Stores::new(2);
    (0..10).for_each(|number| stores.put(stores.at(0), &event(&format!("k{number}"), at(number))));
    (0..2).for_each(|number| stores.at(0).spoil(&format!("bad{number}").parse().unwrap(), "version", "not a record"));
    let target = |kind| Refusing { store: Arc::clone(&stores.stores[&azure()]), key: "k3", kind };
    let rejected = || target(FailureKind::Rejected { detail: "too deep".to_owned() });
    let filled = backfill_to(&stores, &rejected(), &options(), false).unwrap();
    assert_eq!((filled.read, filled.written, filled.foreign, filled.refused), (12, 9, 2, 1));
    assert_eq!((filled.left_out_all(), filled.left_out.len()), (3, 3));
    let refused = filled.left_out.iter().find(|item| item.key == "k3").unwrap();
    assert!(refused.why.contains("too deep"), "{refused:?}");
    let few = Options { findings_max: 2, ..options() };
    let filled = backfill_to(&stores, &rejected(), &few, false).unwrap();
    assert_eq!((filled.left_out_all(), filled.left_out.len()), (3, 2), "all counted, as many listed as are wanted");
    let failed = backfill_to(&stores, &target(FailureKind::Unauthorized), &options(), false).unwrap_err();
    assert_eq!(failed.to_string(), "azure:westeurope cannot be written");
}

#[test]
fn a_backfill_writes_no_faster_than_it_may() {
    let stores = Stores::new(2);
    (0..40).for_each(|number| stores.put(stores.at(0), &event(&format!("k{number}"), at(number))));
    let before = stores.clock.elapsed();
    let options = Options { rate: Some(20.0), segments: 1, ..options() };
    backfill_to(&stores, stores.at(1), &options, false).unwrap();
    let took = stores.clock.elapsed().saturating_sub(before).as_secs_f64();
    assert!((1.9..4.0).contains(&took), "{took} s for 40 records at 20 a second");
}

#[test]
fn what_is_ahead_of_every_fence_is_left_out() {
    let stores = Stores::new(2);
    stores.put(stores.at(0), &event("far", at(NOW + 365 * 86_400)));
    stores.put(stores.at(0), &event("near", at(NOW + 3_000)));
    let filled = backfill(&stores, false);
    assert_eq!((filled.read, filled.written, filled.ahead, filled.left_out_all()), (2, 1, 1, 1));
    assert!(filled.left_out[0].key == "far" && filled.left_out[0].why.contains("is ahead"), "{:?}", filled.left_out);
    assert_eq!(stores.at(1).snapshot().len(), 1);
}
