//! What a site's store must be like.

use super::{
    Expiry, Figures, Findings, Look, Mend, PartitionKey, StoreFacts, Thing,
    access::{Use, failed},
    spell,
};
use bridge_core::limits::KEY_BYTES_MAX;

pub(super) const REGIONS: &str = "store.regions";
pub(super) const KEY_SIZE: &str = "store.key-size";

pub(super) fn examine(look: &Look<StoreFacts>, figures: &Figures, out: &mut Findings) {
    match &look.seen {
        Ok(store) => {
            out.good("store", &look.at, "is there");
            partition_key(look, store, out);
            key_size(look, store, out);
            expiry(look, store, figures, out);
            regions(look, store, out);
        }
        Err(error) => failed("store", &look.at, Use::Look(Thing::Store), error, out),
    }
}

fn partition_key(look: &Look<StoreFacts>, store: &StoreFacts, out: &mut Findings) {
    let check = "store.key";
    match &store.partition_key {
        PartitionKey::Fits => out.good(check, &look.at, "is partitioned by pk"),
        PartitionKey::Other { is, must_be } => {
            out.bad(
                check,
                &look.at,
                format!("is partitioned by {is}, has to be by {must_be}"),
                Mend::Replace(Thing::Store),
            );
        }
    }
}

/// A key that one store refuses and the others take leaves them different.
fn key_size(look: &Look<StoreFacts>, store: &StoreFacts, out: &mut Findings) {
    let most = store.key_bytes_max;
    if most >= KEY_BYTES_MAX {
        return out.good(KEY_SIZE, &look.at, format!("takes every legal key, of {KEY_BYTES_MAX} bytes at most"));
    }
    let found = format!(
        "takes keys of {most} bytes, a legal one has up to {KEY_BYTES_MAX}: longer ones are refused here alone"
    );
    out.bad(KEY_SIZE, &look.at, found, Mend::Replace(Thing::Store));
}

/// Between regions the cloud resolves conflicts by its own rule, which knows no version: an older event can win, and a deleted key come
/// back.
fn regions(look: &Look<StoreFacts>, store: &StoreFacts, out: &mut Findings) {
    let regions = match &store.write_regions {
        Ok(regions) => regions,
        Err(error) => return failed(REGIONS, &look.at, Use::Look(Thing::Store), error, out),
    };
    let names: Vec<_> = regions.iter().map(String::as_str).collect();
    if regions.len() <= 1 {
        return out.good(REGIONS, &look.at, format!("is written in one region alone ({})", names.join(", ")));
    }
    let found = format!(
        "can be written in several regions ({}): where two of them are, the cloud's own rule decides which write wins, and not the version",
        names.join(", ")
    );
    out.bad(REGIONS, &look.at, found, Mend::OneRegion);
}

fn expiry(look: &Look<StoreFacts>, store: &StoreFacts, figures: &Figures, out: &mut Findings) {
    let check = "store.expiry";
    let forever = "tombstones stay for ever and the store grows; no event is harmed";
    let expiry = match &store.expiry {
        Ok(expiry) => expiry,
        Err(error) => return failed(check, &look.at, Use::Look(Thing::Store), error, out),
    };
    match expiry {
        Expiry::ByRecord => {
            let life = spell(figures.tombstone_life);
            out.good(check, &look.at, format!("lets tombstones expire after {life}; of other records those alone that another program gave an expiry, and bridge verify finds them"));
        }
        Expiry::Off => {
            out.warning(
                check,
                &look.at,
                format!("has its time to live turned off: {forever}"),
                Mend::Expire { elsewhere: false },
            );
        }
        Expiry::OtherAttribute(name) => {
            let found = format!("takes the time to live from {name}, where the bridge writes none: {forever}");
            out.warning(check, &look.at, found, Mend::Expire { elsewhere: true });
        }
        Expiry::Every(life) => {
            let found = format!("lets EVERY record expire {} after its last write: data is lost", spell(*life));
            out.bad(check, &look.at, found, Mend::Expire { elsewhere: false });
        }
    }
}
