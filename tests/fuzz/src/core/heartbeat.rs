//! What a site's reserved records say: a heartbeat's status, a worker's state, a conflict of the ledger. Anybody who may write events can
//! write these.

use std::time::Duration;

use bridge_core::{
    conflict::Conflict,
    envelope,
    heartbeat::{self, Heard},
    marks::{Marks, Own},
    record::Record,
    state::{self, Telling},
};
use chrono::{DateTime, TimeDelta};

/// What is understood is written and understood the same again.
pub(crate) fn run(bytes: &[u8]) {
    let marks = Marks::of(Own::Heartbeat);
    let Ok(event) = envelope::decode_marked(bytes, "/id", &marks) else { return };
    let site = event.origin.clone();
    let now = DateTime::from_timestamp(1_790_000_000, 0).unwrap();
    let record = Record::new(&event, &site, now, Duration::from_secs(60));
    if let Some(Heard { status: Some(status), .. }) = Heard::read(&record) {
        let written = heartbeat::event(&site, event.id, now, &status);
        let again = envelope::decode_marked(&written, "/nowhere", &marks);
        // A count beyond a double's integers is no status that a worker has written, and no event either.
        if let Ok(again) = again {
            let heard = Heard::read(&Record::new(&again, &site, now, Duration::ZERO)).unwrap();
            assert_eq!(heard.status, Some(status));
        }
    }
    if let Some(state::Heard { told, .. }) = state::Heard::read(&record)
        && let Ok(telling) = Telling::new(&site, event.id, now, TimeDelta::zero(), &told)
    {
        let heard = state::Heard::read(&telling.record(now)).unwrap();
        assert_eq!((heard.at, heard.told.state, heard.told.backing_off), (now, told.state, told.backing_off));
    }
    if let Some((conflict, _)) = Conflict::read(&record) {
        assert_eq!(Conflict::read(&conflict.record(&site, now)), Some((conflict, now)));
    }
}
