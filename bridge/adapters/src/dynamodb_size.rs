//! How large a record is as a DynamoDB item, counted on the record itself: memory refuses what DynamoDB would refuse, and
//! wants no SDK for it.

use bridge_core::{record::Record, size};

use crate::stored::{applied_second, life_seconds};

/// Bytes of an item at most. "Quotas in Amazon DynamoDB", "Item size": 400 KB, read 2026-11.
pub const ITEM_BYTES_MAX: u64 = 400 * 1024;

/// Bytes of the item that holds `record`. "DynamoDB item sizes and formats", read 2026-11: names and values in UTF-8,
/// values as [`size`] counts them.
pub fn item_bytes(record: &Record) -> u64 {
    let texts = [
        ("pk", record.key.as_str()),
        ("version", record.version.as_str()),
        ("event_id", &record.event_id.to_string()),
        ("source_region", record.source_region.as_str()),
        ("timestamp", &record.timestamp),
        ("op_type", record.op.as_str()),
        ("applied_at", &record.applied_at),
        ("applied_by", record.applied_by.as_str()),
    ];
    let texts: usize = texts.iter().map(|(name, text)| name.len() + text.len()).sum();
    let deleted = "deleted".len() + 1;
    let payload = record.payload.as_ref().map_or(0, |payload| "payload".len() + size::payload_bytes(payload));
    let expiry = record.expires_after.map_or(0, |life| {
        let expires_at = applied_second(&record.applied_at).unwrap_or_default() + life_seconds(life);
        "expires_at".len() + size::number_bytes(&expires_at.to_string())
    });
    (texts + deleted + payload + expiry) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stored::strategies::any_record;

    #[test]
    fn an_item_is_its_attributes_with_their_names() {
        let record = any_record(|record| !record.deleted());
        let names = "pk version event_id source_region timestamp op_type applied_at applied_by deleted payload";
        let texts =
            [&record.timestamp, record.version.as_str(), &record.applied_at, record.key.as_str(), record.op.as_str()];
        let sites = record.source_region.as_str().len() + record.applied_by.as_str().len();
        let texts: usize = texts.iter().map(|text| text.len()).sum();
        let payload = size::payload_bytes(record.payload.as_ref().unwrap());
        assert_eq!(item_bytes(&record), (names.replace(' ', "").len() + texts + sites + 36 + 1 + payload) as u64);
        let tombstone = any_record(Record::deleted);
        let without = Record { expires_after: None, ..tombstone.clone() };
        assert_eq!(item_bytes(&tombstone) - item_bytes(&without), "expires_at".len() as u64 + 10 / 2 + 1);
    }
}
