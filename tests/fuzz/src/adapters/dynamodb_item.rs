//! An item of DynamoDB, whoever wrote it.

use std::collections::HashMap;

use arbitrary::{Arbitrary, Result, Unstructured};
use aws_sdk_dynamodb::{primitives::Blob, types::AttributeValue};
use bridge_adapters::{
    aws::{
        dynamodb::item::{self as dynamodb_item, Item},
        fuzzing::as_read,
    },
    azure::cosmos::item as cosmos_item,
};

/// A record that is read can be written into either store, and comes back from both as it was.
pub(crate) fn run(bytes: &[u8]) {
    let Ok(item) = item(&mut Unstructured::new(bytes)) else { return };
    assert_eq!(
        dynamodb_item::version(&item).is_ok(),
        matches!(item.get("version"), Some(AttributeValue::S(text)) if text.parse::<bridge_core::version::Version>().is_ok())
    );
    let Ok(record) = dynamodb_item::to_record(&item) else { return };
    let again = dynamodb_item::to_record(&as_read(&record)).unwrap();
    assert!(again.agrees_with(&record), "{again:?} is not {record:?}");
    let written = serde_json::to_value(cosmos_item::from_record(&record)).unwrap();
    let other = cosmos_item::to_record(&serde_json::from_value(written).unwrap()).unwrap();
    assert!(other.agrees_with(&record), "{other:?} is not {record:?}");
}

/// What the bridge writes, with any attribute changed or gone, and others beside them.
fn item(input: &mut Unstructured<'_>) -> Result<Item> {
    const TEXTS: [(&str, &str); 8] = [
        ("pk", "order-42"),
        (
            "version",
            "2026-11-21T01:02:03.000000000Z aws:us-east-1                    01936d6e-8a3c-7c61-9d0b-0f3a5a3c9e11 ab542efc433a3778",
        ),
        ("event_id", "01936d6e-8a3c-7c61-9d0b-0f3a5a3c9e11"),
        ("source_region", "aws:us-east-1"),
        ("timestamp", "2026-11-21T01:02:03Z"),
        ("op_type", "update"),
        ("applied_at", "2026-11-21T01:02:04.000Z"),
        ("applied_by", "azure:westeurope"),
    ];
    let mut item = Item::new();
    for (name, usual) in TEXTS {
        let kept = input.ratio(7, 8)?;
        let value = if kept { AttributeValue::S(usual.to_owned()) } else { value(input, 2)? };
        item.insert(name.to_owned(), value);
    }
    let tombstone = bool::arbitrary(input)?;
    item.insert("deleted".to_owned(), AttributeValue::Bool(tombstone));
    if tombstone {
        item.insert("op_type".to_owned(), AttributeValue::S("delete".to_owned()));
        item.insert("expires_at".to_owned(), AttributeValue::N(number(input)?));
    } else {
        item.insert("payload".to_owned(), AttributeValue::M(members(input, 6)?));
    }
    for _ in 0..input.int_in_range(0..=2)? {
        let name = input.choose(&["payload", "deleted", "expires_at", "else"])?;
        item.insert((*name).to_owned(), value(input, 3)?);
    }
    if bool::arbitrary(input)? {
        item.remove(input.choose(&TEXTS)?.0);
    }
    Ok(item)
}

fn members(input: &mut Unstructured<'_>, depth: u8) -> Result<HashMap<String, AttributeValue>> {
    (0..input.int_in_range(0..=3)?).map(|_| Ok((String::arbitrary(input)?, value(input, depth)?))).collect()
}

fn value(input: &mut Unstructured<'_>, depth: u8) -> Result<AttributeValue> {
    Ok(match input.int_in_range(0..=if depth == 0 { 5 } else { 7 })? {
        0 => AttributeValue::S(String::arbitrary(input)?),
        1 => AttributeValue::N(number(input)?),
        2 => AttributeValue::Bool(bool::arbitrary(input)?),
        3 => AttributeValue::Null(true),
        4 => AttributeValue::B(Blob::new(Vec::arbitrary(input)?)),
        5 => AttributeValue::Ns(Vec::arbitrary(input)?),
        6 => {
            AttributeValue::L((0..input.int_in_range(0..=3)?).map(|_| value(input, depth - 1)).collect::<Result<_>>()?)
        }
        _ => AttributeValue::M(members(input, depth - 1)?),
    })
}

/// A decimal as DynamoDB gives it back: up to 38 digits, and what is none.
fn number(input: &mut Unstructured<'_>) -> Result<String> {
    Ok(match input.int_in_range(0..=4)? {
        0 => i64::arbitrary(input)?.to_string(),
        1 => u64::arbitrary(input)?.to_string(),
        2 => f64::arbitrary(input)?.to_string(),
        3 => format!("{}e{}", i64::arbitrary(input)?, i8::arbitrary(input)?),
        _ => String::arbitrary(input)?,
    })
}
