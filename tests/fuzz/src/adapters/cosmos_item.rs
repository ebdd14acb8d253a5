//! An item of Cosmos DB, as a read or a scan gives it back.

use bridge_adapters::{
    aws::dynamodb_item,
    azure::{cosmos_item, fuzzing},
};

/// A record that is read can be written into either store, and comes back from both as it was; a scan takes no item for a
/// record that a read of its key would not meet.
pub(crate) fn run(bytes: &[u8]) {
    let Ok(item) = serde_json::from_slice::<cosmos_item::Item>(bytes) else { return };
    let scanned = fuzzing::scanned(item.clone());
    let read = cosmos_item::to_record(item.clone());
    assert!(read.is_ok() || scanned.is_err());
    if let Ok(record) = &scanned {
        assert_eq!(item["id"], cosmos_item::id(&record.key));
    }
    let Ok(record) = read else { return };
    assert_eq!(item["version"], record.version.as_str());
    let again = cosmos_item::to_record(cosmos_item::from_record(&record)).unwrap();
    assert!(again.agrees_with(&record), "{again:?} is not {record:?}");
    // Only an instant of its writing can be wrong, which DynamoDB's form needs and Cosmos DB's does not.
    if let Ok(written) = dynamodb_item::from_record(&record) {
        let other = dynamodb_item::to_record(written).unwrap();
        assert!(other.agrees_with(&record), "{other:?} is not {record:?}");
    }
}
