//! An item of Cosmos DB, as a read or a scan gives it back.

use bridge_adapters::{
    aws::{dynamodb::item as dynamodb_item, fuzzing::as_read},
    azure::{cosmos::item as cosmos_item, fuzzing},
};

/// A record that is read can be written into either store, and comes back from both as it was; a scan takes no item for a
/// record that a read of its key would not meet.
pub(crate) fn run(bytes: &[u8]) {
    let Ok(item) = serde_json::from_slice::<cosmos_item::Item>(bytes) else { return };
    let text = |name| cosmos_item::text(&item, name).unwrap();
    let scanned = fuzzing::scanned(&item);
    let read = cosmos_item::to_record(&item);
    assert!(read.is_ok() || scanned.is_err());
    if let Ok(record) = &scanned {
        assert_eq!(text("id"), cosmos_item::id(&record.key));
    }
    let Ok(record) = read else { return };
    assert_eq!(text("version"), record.version.as_str());
    let written = serde_json::to_value(cosmos_item::from_record(&record)).unwrap();
    let again = cosmos_item::to_record(&serde_json::from_value(written).unwrap()).unwrap();
    assert!(again.agrees_with(&record), "{again:?} is not {record:?}");
    // Only an instant of its writing can be wrong, which DynamoDB's form needs and Cosmos DB's does not.
    if dynamodb_item::from_record(&record).is_ok() {
        let other = dynamodb_item::to_record(&as_read(&record)).unwrap();
        assert!(other.agrees_with(&record), "{other:?} is not {record:?}");
    }
}
