//! Private parsers for `tests/fuzz`, which has no other way to them without a service. Nothing else may use this.

use std::collections::BTreeSet;

use bridge_core::{
    port::{Cursor, ForeignItem},
    record::Record,
};

use super::cosmos::{account, item::Item, scan};

/// An item of a scan.
///
/// # Errors
/// It is not the bridge's.
pub fn scanned(item: &Item) -> Result<Record, ForeignItem> {
    scan::read_item(item)
}

/// A cursor of a scan by ranges: what it is read as, written again.
pub fn cursor(cursor: &Cursor) -> Option<Cursor> {
    scan::read_cursor(cursor).map(|ranges| scan::cursor(&ranges))
}

/// The write regions of an account.
pub fn write_regions(account: &str) -> Option<BTreeSet<String>> {
    account::regions(account).ok()
}
