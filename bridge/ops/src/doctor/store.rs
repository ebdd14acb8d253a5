//! What a site's store must be like.

use super::{
    Expiry, Figures, Findings, Look, Mend, PartitionKey, StoreFacts, Thing,
    access::{Use, unseen},
    spell,
};

pub(super) fn examine(look: &Look<StoreFacts>, figures: &Figures, out: &mut Findings) {
    match &look.seen {
        Ok(store) => {
            out.good("store", &look.at, "is there");
            partition_key(look, store, out);
            expiry(look, store, figures, out);
        }
        Err(error) => unseen("store", look, Use::Look(Thing::Store), error, out),
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
                Mend::Create(Thing::Store),
            );
        }
    }
}

fn expiry(look: &Look<StoreFacts>, store: &StoreFacts, figures: &Figures, out: &mut Findings) {
    let check = "store.expiry";
    let forever = "tombstones stay for ever and the store grows; no event is harmed";
    match &store.expiry {
        Expiry::ByRecord => {
            let life = spell(figures.tombstone_life);
            out.good(check, &look.at, format!("lets tombstones expire after {life}, and no other record"));
        }
        Expiry::Off => {
            out.warning(check, &look.at, format!("has its time to live turned off: {forever}"), Mend::Expire);
        }
        Expiry::OtherAttribute(name) => {
            let found = format!("takes the time to live from {name}, where the bridge writes none: {forever}");
            out.warning(check, &look.at, found, Mend::Expire);
        }
        Expiry::Every(life) => {
            let found = format!("lets EVERY record expire {} after its last write: data is lost", spell(*life));
            out.bad(check, &look.at, found, Mend::Expire);
        }
    }
}
