//! The contract of [`Store`](bridge_core::port::Store) and [`Scan`](bridge_core::port::Scan) about items that somebody else
//! wrote, and the somebody for each backend.

use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_dynamodb::{Client, types::AttributeValue};
use bridge_adapters::{
    aws::dynamodb::item as dynamodb_item,
    azure::{CosmosOptions, cosmos::item as cosmos_item},
    memory::MemoryStore,
};
use bridge_core::{
    event::{Event, Op},
    failure::{FailureKind, PortError},
    port::Write,
    record::Record,
};
use bridge_tests::changed;
use serde_json::{Value, json};

use crate::{
    record,
    store::{STORED_FIRST, StoreUnderTest, stored_over, superseded_by},
};

/// Somebody else with a right to write to a backend.
#[async_trait]
pub(crate) trait Outsider: Send + Sync {
    /// Writes the item that holds `record`, with one attribute spoilt, whatever is there.
    async fn plant(&self, record: &Record, spoil: &Spoil);
}

/// What makes a record's item one that the bridge did not write.
#[derive(Clone, Debug)]
pub(crate) enum Spoil {
    /// Nothing: it is as the bridge writes it.
    Nothing,
    /// It lacks this attribute.
    Without(&'static str),
    /// It has this in place of the attribute.
    With(&'static str, Value),
    /// There is nothing of ours in it but its key.
    Foreign,
}

/// Everything by which an item is known to be somebody else's, with the attribute that an error names.
pub(crate) fn spoils(record: &Record) -> Vec<(Spoil, &'static str)> {
    let width = record.version.as_str().len();
    let texts = ["event_id", "source_region", "timestamp", "op_type", "applied_at", "applied_by"];
    let mut spoils = vec![(Spoil::Foreign, "")];
    for attribute in [&["version", "deleted", "payload"], &texts[..]].concat() {
        spoils.push((Spoil::Without(attribute), attribute));
        spoils.push((Spoil::With(attribute, json!(7)), attribute));
        spoils.push((Spoil::With(attribute, json!({"version": record.version.as_str()})), attribute));
    }
    // A payload of another kind is the one that passes for an object above.
    spoils.retain(|(spoil, _)| !matches!(spoil, Spoil::With("payload", Value::Object(_))));
    let versions = [
        json!(""),
        json!("1"),
        json!("9999"),
        json!(&record.version.as_str()[..100]),
        json!(format!("{} ", record.version)),
        json!("1".repeat(width)),
        json!("~".repeat(width)),
        json!("ü".repeat(width)),
        json!("ü".repeat(width / 2)),
        json!(null),
        json!([record.version.as_str()]),
    ];
    spoils.extend(versions.map(|version| (Spoil::With("version", version), "version")));
    spoils.extend([
        (Spoil::With("event_id", json!(record.event_id.simple().to_string())), "event_id"),
        (Spoil::With("op_type", json!("replace")), "op_type"),
        // Whether the operation or the flag is wrong, nobody knows.
        (Spoil::With("op_type", json!("delete")), ""),
        (Spoil::With("deleted", json!(true)), "deleted"),
        (Spoil::With("deleted", json!("false")), "deleted"),
        (Spoil::With("payload", json!("text")), "payload"),
        (Spoil::With("payload", json!(["list"])), "payload"),
    ]);
    spoils
}

/// Whatever the version of what is written, and whatever is there: a refusal that names the key and what is wrong, as
/// reading it does; nothing is changed by it, and other keys go on.
pub(crate) async fn what_the_bridge_did_not_write_is_never_overwritten(on: &StoreUnderTest) {
    let rejected = |error: PortError| match error.kind {
        FailureKind::Rejected { detail } => detail,
        _ => panic!("{}", error.chain()),
    };
    let spoils = spoils(&record(&on.event("any", 2)));
    for (number, (spoil, attribute)) in spoils.into_iter().enumerate() {
        let key = format!("foreign-{number}");
        let name = format!("{}{key}", on.prefix);
        on.outsider.plant(&record(&on.event(&key, 2)), &spoil).await;
        let before = rejected(on.store.get(&on.event(&key, 1).key).await.map(|_| ()).unwrap_err());
        assert!(before.contains(&name) && before.contains(&format!("attribute {attribute}")), "{spoil:?}: {before}");
        let create = changed(&on.event(&key, 3), |change| change.op = Op::Create);
        for event in [on.event(&key, 1), on.event(&key, 3), on.delete(&key, 3), create] {
            let put = on.store.put_if_newer(&record(&event)).await;
            let detail = rejected(put.map(|outcome| panic!("{spoil:?}: {outcome:?}")).unwrap_err());
            assert!(detail.contains(&before) && detail.contains("move it elsewhere"), "{spoil:?}: {detail}");
        }
        let after = rejected(on.store.get(&on.event(&key, 1).key).await.map(|_| ()).unwrap_err());
        assert_eq!(after, before, "{spoil:?}");
    }
    assert_eq!(on.put(&on.event("other", 1)).await, STORED_FIRST);
}

pub(crate) async fn a_record_is_replaced_whoever_wrote_it(on: &StoreUnderTest) {
    for (key, planted) in [("upsert", on.event("upsert", 2)), ("delete", on.delete("delete", 2))] {
        on.outsider.plant(&record(&planted), &Spoil::Nothing).await;
        on.assert_holds(&planted).await;
        assert_eq!(on.put(&on.event(key, 1)).await, superseded_by(&planted));
        assert_eq!(on.put(&planted).await, Write::Duplicate);
        let later = on.event(key, 3);
        assert_eq!(on.put(&later).await, stored_over(&planted));
        on.assert_holds(&later).await;
    }
}

/// The store will delete such a record some day. It is read with its expiry, by which `verify` knows it; the next write takes it away.
pub(crate) async fn an_expiry_that_somebody_set_is_read_and_ends_with_the_next_write(on: &StoreUnderTest) {
    let (planted, later) = (on.event("mortal", 2), on.event("mortal", 3));
    on.outsider.plant(&mortal(&planted), &Spoil::Nothing).await;
    assert_eq!(on.get(&planted).await.unwrap().expires_after, Some(FAR));
    assert_eq!(on.put(&on.event("mortal", 1)).await, superseded_by(&planted));
    assert_eq!(on.put(&later).await, stored_over(&planted));
    on.assert_holds(&later).await;
    assert_eq!(on.get(&later).await.unwrap().expires_after, None);
}

/// Beyond the end of any test run.
pub(crate) const FAR: Duration = Duration::from_hours(20 * 365 * 24);

/// The record that `event` leaves, with an expiry that no worker writes.
pub(crate) fn mortal(event: &Event) -> Record {
    Record { expires_after: Some(FAR), ..record(event) }
}

#[async_trait]
impl Outsider for MemoryStore {
    async fn plant(&self, record: &Record, spoil: &Spoil) {
        match spoil {
            Spoil::Nothing => self.overwrite(record.clone()),
            Spoil::Without(attribute) => self.spoil(&record.key, attribute, "missing"),
            Spoil::With(attribute, value) => self.spoil(&record.key, attribute, &format!("{value} is none")),
            Spoil::Foreign => self.spoil(&record.key, "version", "missing"),
        }
    }
}

/// Whoever may write to a table.
pub(crate) struct OnDynamodb {
    pub(crate) client: Client,
    pub(crate) table: String,
}

#[async_trait]
impl Outsider for OnDynamodb {
    async fn plant(&self, record: &Record, spoil: &Spoil) {
        let mut item = dynamodb_item::from_record(record).expect("it was applied at some time");
        if let Some(payload) = &record.payload {
            item.insert("payload".to_owned(), attribute_value(&Value::Object(payload.to_map())));
        }
        match spoil {
            Spoil::Nothing => {}
            Spoil::Without(attribute) => _ = item.remove(*attribute),
            Spoil::With(attribute, value) => _ = item.insert((*attribute).to_owned(), attribute_value(value)),
            Spoil::Foreign => {
                item = dynamodb_item::primary_key(&record.key);
                item.insert("somebody".to_owned(), AttributeValue::S("else's".to_owned()));
            }
        }
        let put = self.client.put_item().table_name(&self.table).set_item(Some(item));
        put.send().await.expect("the table takes any item");
    }
}

fn attribute_value(value: &Value) -> AttributeValue {
    match value {
        Value::Null => AttributeValue::Null(true),
        Value::Bool(value) => AttributeValue::Bool(*value),
        Value::Number(number) => AttributeValue::N(number.to_string()),
        Value::String(text) => AttributeValue::S(text.clone()),
        Value::Array(items) => AttributeValue::L(items.iter().map(attribute_value).collect()),
        Value::Object(members) => {
            AttributeValue::M(members.iter().map(|(name, value)| (name.clone(), attribute_value(value))).collect())
        }
    }
}

/// Whoever may write to a container.
pub(crate) struct OnCosmos(pub(crate) CosmosOptions);

#[async_trait]
impl Outsider for OnCosmos {
    /// The local cloud takes a token by its shape, so there is nothing to sign.
    async fn plant(&self, record: &Record, spoil: &Spoil) {
        let item = serde_json::to_value(cosmos_item::from_record(record)).expect("JSON");
        let Value::Object(mut item) = item else { unreachable!("an item is an object") };
        match spoil {
            Spoil::Nothing => {}
            Spoil::Without(property) => _ = item.remove(*property),
            Spoil::With(property, value) => _ = item.insert((*property).to_owned(), value.clone()),
            Spoil::Foreign => {
                item.retain(|name, _| name == "id" || name == "pk");
                item.insert("somebody".to_owned(), json!("else's"));
            }
        }
        let CosmosOptions { endpoint, database, container, .. } = &self.0;
        let address = endpoint.join(&format!("dbs/{database}/colls/{container}/docs")).expect("plain names");
        // {"alg":"none"} and an expiry in the year 2100.
        let token = "type%3Daad%26ver%3D1.0%26sig%3DeyJhbGciOiJub25lIn0.eyJleHAiOjQxMDI0NDQ4MDB9.c2ln";
        let request = reqwest::Client::new().post(address).header("authorization", token);
        let request = request.header("x-ms-version", "2020-07-15").header("x-ms-documentdb-is-upsert", "true");
        let request = request.header("x-ms-documentdb-partitionkey", json!([record.key.as_str()]).to_string());
        let answer = request.body(Value::Object(item).to_string()).send().await.expect("it listens");
        assert!(answer.status().is_success(), "{:?}", answer.text().await);
    }
}
