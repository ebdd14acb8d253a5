//! Private parsers for `tests/fuzz`, which has no other way to them without a service. Nothing else may use this.

use std::collections::BTreeSet;

use bridge_core::{
    port::{Cursor, ForeignItem},
    record::Record,
};

use super::{cosmos_account, cosmos_item::Item, cosmos_scan};

/// An item of a scan.
///
/// # Errors
/// It is not the bridge's.
pub fn scanned(item: &Item) -> Result<Record, ForeignItem> {
    cosmos_scan::read_item(item)
}

/// A cursor of a scan by ranges: what it is read as, written again.
pub fn cursor(cursor: &Cursor) -> Option<Cursor> {
    cosmos_scan::read_cursor(cursor).map(|ranges| cosmos_scan::cursor(&ranges))
}

/// The write regions of an account.
pub fn write_regions(account: &str) -> Option<BTreeSet<String>> {
    cosmos_account::regions(account).ok()
}
