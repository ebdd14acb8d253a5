//! What the adapters make of a cloud in trouble: of lost answers, throttling, outages and wrong settings.
//!
//! Each test has a local cloud of its own, as its faults would disturb the others.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use aws_sdk_dynamodb::{
    Client,
    types::{AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType},
};
use bridge_adapters::{
    aws::DynamodbStore,
    azure::{CosmosOptions, CosmosStore, service_bus::ServiceBusQueue},
};
use bridge_core::{
    event::{Event, Op},
    failure::FailureKind,
    port::{Message, Queue, Scan, Store, Write},
};
use bridge_tests::{
    at, changed,
    cloud::{aws_clients, cosmos_options, runtime, skipped, start},
    event, message, seconds, unique,
};
use futures_util::future::join_all;
use localcloud::LocalCloud;

use crate::{
    backends::{service_bus_options, sqs_queue},
    record,
    store::STORED_FIRST,
};

/// What no call may outlast in an outage: half the lease of a deployed queue.
const OUTAGE_BOUND: Duration = seconds(15);

/// Runs a test with a cloud of its own, unless all that it is about is to be left out.
fn in_trouble(services: &[&str], name: &str, test: impl AsyncFnOnce(&LocalCloud)) {
    if services.iter().any(|service| skipped(service, name)) {
        return;
    }
    runtime().block_on(async {
        let cloud = start().await;
        test(&cloud).await;
        cloud.stop().await;
    });
}

fn trouble(cloud: &LocalCloud, faults: &[&str]) {
    cloud.faults().clear();
    for fault in faults {
        cloud.faults().add(fault.parse().unwrap());
    }
}

async fn queues(cloud: &LocalCloud) -> [(&'static str, Arc<dyn Queue>); 2] {
    let (aws, azure) = (&cloud.aws()[0].site, &cloud.azure()[0].site);
    let sqs = sqs_queue(&aws_clients(cloud).await, aws.queue_url.clone());
    let service_bus = ServiceBusQueue::new(service_bus_options(cloud, &azure.queue, |text| text));
    [("sqs", Arc::new(sqs)), ("service-bus", Arc::new(service_bus))]
}

async fn stores(cloud: &LocalCloud) -> [(&'static str, Arc<dyn Store>); 2] {
    let dynamodb = DynamodbStore::new(aws_clients(cloud).await.dynamodb, &cloud.aws()[0].site.table);
    let cosmos = CosmosStore::new(cosmos_options(cloud)).unwrap();
    [("dynamodb", Arc::new(dynamodb)), ("cosmos", Arc::new(cosmos))]
}

/// Requests by operation that `service` got since the last call.
fn requests(cloud: &LocalCloud, service: &str) -> BTreeMap<String, u64> {
    let mut by_operation = BTreeMap::new();
    for counted in cloud.faults().take_counts() {
        if counted.service.name() == service {
            *by_operation.entry(counted.operation).or_default() += counted.count;
        }
    }
    by_operation
}

#[test]
fn a_write_whose_answer_is_lost_is_recognised_as_ones_own() {
    in_trouble(&["dynamodb", "cosmos"], "a lost answer", async |cloud| {
        for (name, store) in stores(cloud).await {
            let before = event("replaced", at(1));
            store.put_if_newer(&record(&before)).await.unwrap();
            let lost = [
                "dynamodb:PutItem:error,when=after,count=1",
                "cosmos:create-item:error,when=after,count=1",
                "cosmos:replace-item:error,when=after,count=1",
            ];
            let create = changed(&event("created", at(2)), |change| change.op = Op::Create);
            for event in [create, event("replaced", at(2))] {
                trouble(cloud, &lost);
                let outcome = store.put_if_newer(&record(&event)).await.unwrap();
                assert_eq!(outcome, Write::Duplicate, "{name}, {:?}", event.key);
            }
        }
    });
}

/// Slow here: the point is a page that takes longer than a worker's call may. Cosmos DB ends a page itself after 5 s.
#[test]
fn a_page_of_a_table_may_take_longer_than_a_call_of_a_worker() {
    in_trouble(&["dynamodb"], "a slow page", async |cloud| {
        let dynamodb = DynamodbStore::new(aws_clients(cloud).await.dynamodb, &cloud.aws()[0].site.table);
        let from = dynamodb.segments(1).await.unwrap().remove(0);
        trouble(cloud, &["dynamodb:Scan:latency,fixed=5s"]);
        dynamodb.page(&from).await.unwrap();
        assert_eq!(requests(cloud, "dynamodb").get("Scan"), Some(&1));
    });
}

#[test]
fn a_connection_that_breaks_once_goes_unnoticed() {
    in_trouble(&["sqs", "dynamodb", "service-bus", "cosmos"], "a broken connection", async |cloud| {
        for (name, store) in stores(cloud).await {
            trouble(cloud, &[]);
            store.get(&event("a", at(1)).key).await.unwrap();
            trouble(cloud, &["dynamodb:*:drop,count=1", "cosmos:*:drop,count=1"]);
            let outcome = store.put_if_newer(&record(&event("a", at(1)))).await;
            assert_eq!(outcome.unwrap(), Write::Applied { replaced: None }, "{name}");
        }
        trouble(cloud, &["sqs:SendMessageBatch:drop,count=1"]);
        for result in queues(cloud).await[0].1.send(&["a", "b"].map(message)).await {
            result.unwrap();
        }
    });
}

#[test]
fn throttling_is_told_for_every_item() {
    in_trouble(&["sqs", "dynamodb", "service-bus", "cosmos"], "throttling", async |cloud| {
        let (stores, queues) = (stores(cloud).await, queues(cloud).await);
        trouble(cloud, &["*:*:throttle,retry_after=50ms"]);
        let throttled = |name| {
            // HTTP has whole seconds. The services of AWS say nothing.
            let retry_after = match name {
                "cosmos" => Some(Duration::from_millis(50)),
                "service-bus" => Some(seconds(1)),
                _ => None,
            };
            FailureKind::Throttled { retry_after }
        };
        for (name, store) in stores {
            let error = store.put_if_newer(&record(&event("a", at(1)))).await.unwrap_err();
            assert_eq!(error.kind, throttled(name), "{name}: {}", error.chain());
        }
        for (name, queue) in queues {
            let results = queue.send(&["a", "b", "c"].map(message)).await;
            assert_eq!(results.len(), 3, "{name}");
            for error in results.into_iter().map(Result::unwrap_err) {
                assert_eq!(error.kind, throttled(name), "{name}: {}", error.chain());
            }
        }
    });
}

/// Where a retry is a copy, the message may go once the copy is safe, and not before.
#[test]
fn a_retry_that_fails_keeps_the_message() {
    in_trouble(&["sqs", "service-bus"], "a failed retry", async |cloud| {
        for (name, queue) in queues(cloud).await {
            trouble(cloud, &[]);
            queue.send(&[message(name)]).await.remove(0).unwrap();
            let held = queue.receive(1, seconds(5)).await.unwrap().remove(0);
            trouble(cloud, &["sqs:ChangeMessageVisibilityBatch:error", "service-bus:rest-send:error"]);
            let failed = queue.retry(&[(&held, Duration::ZERO)]).await.remove(0);
            assert_eq!(failed.unwrap_err().kind, FailureKind::Unavailable, "{name}");
            trouble(cloud, &[]);
            queue.release(&[held.receipt]).await.remove(0).unwrap();
            let again = queue.receive(1, seconds(5)).await.unwrap();
            assert_eq!(again.iter().map(|delivery| &*delivery.body).collect::<Vec<_>>(), [name.as_bytes()], "{name}");
        }
    });
}

#[test]
fn an_outage_is_told_in_time_and_ends() {
    in_trouble(&["sqs", "dynamodb", "service-bus", "cosmos"], "an outage", async |cloud| {
        let (stores, queues) = (stores(cloud).await, queues(cloud).await);
        let away = |kind: &FailureKind| matches!(kind, FailureKind::Unavailable | FailureKind::TimedOut);
        for known in [false, true] {
            trouble(cloud, &["*:*:dark"]);
            let start = Instant::now();
            let store_calls = stores.iter().map(async |(name, store)| {
                let error = store.put_if_newer(&record(&event("a", at(1)))).await.unwrap_err();
                assert!(away(&error.kind), "{name}, known {known}: {}", error.chain());
            });
            let queue_calls = queues.iter().map(async |(name, queue)| {
                let error = queue.receive(10, seconds(1)).await.unwrap_err();
                assert!(away(&error.kind), "{name}, known {known}: {}", error.chain());
                for error in queue.send(&["a", "b"].map(message)).await.into_iter().map(Result::unwrap_err) {
                    assert!(away(&error.kind), "{name}, known {known}: {}", error.chain());
                }
            });
            futures_util::join!(join_all(store_calls), join_all(queue_calls));
            assert!(start.elapsed() < OUTAGE_BOUND, "it took {:?} to tell", start.elapsed());
            trouble(cloud, &[]);
            for (name, store) in &stores {
                let mut outcome = store.put_if_newer(&record(&event("a", at(1)))).await;
                for _ in 0..10 {
                    if outcome.is_ok() {
                        break;
                    }
                    tokio::time::sleep(seconds(1)).await;
                    outcome = store.put_if_newer(&record(&event("a", at(1)))).await;
                }
                outcome.unwrap_or_else(|error| panic!("{name} is back: {}", error.chain()));
            }
            for (name, queue) in &queues {
                let mut received = Vec::new();
                for result in queue.send(&[message("a")]).await {
                    result.unwrap_or_else(|error| panic!("{name} is back: {}", error.chain()));
                }
                for _ in 0..10 {
                    received = queue.receive(1, seconds(1)).await.unwrap_or_default();
                    if !received.is_empty() {
                        break;
                    }
                }
                assert_eq!(received.len(), 1, "{name} is back");
                queue.ack(&[received.remove(0).receipt]).await.remove(0).unwrap();
            }
        }
    });
}

#[test]
fn a_service_that_hangs_times_out() {
    in_trouble(&["sqs", "dynamodb", "service-bus", "cosmos"], "a hanging service", async |cloud| {
        let (stores, queues) = (stores(cloud).await, queues(cloud).await);
        trouble(cloud, &["*:*:latency,fixed=60s"]);
        let start = Instant::now();
        let store_calls = stores.iter().map(async |(name, store)| {
            let error = store.put_if_newer(&record(&event("a", at(1)))).await.unwrap_err();
            assert_eq!(error.kind, FailureKind::TimedOut, "{name}: {}", error.chain());
        });
        let queue_calls = queues.iter().map(async |(name, queue)| {
            for error in queue.send(&["a", "b"].map(message)).await.into_iter().map(Result::unwrap_err) {
                assert_eq!(error.kind, FailureKind::TimedOut, "{name}: {}", error.chain());
            }
        });
        futures_util::join!(join_all(store_calls), join_all(queue_calls));
        assert!(start.elapsed() < OUTAGE_BOUND, "it took {:?} to tell", start.elapsed());
    });
}

/// A table of this name with these keys, in place of whatever is there.
async fn make_table(client: &Client, name: &str, keys: &[(&str, ScalarAttributeType)]) {
    let mut request = client.create_table().table_name(name).billing_mode(BillingMode::PayPerRequest);
    for ((key, kind), role) in keys.iter().zip([KeyType::Hash, KeyType::Range]) {
        let attribute = AttributeDefinition::builder().attribute_name(*key).attribute_type(kind.clone());
        let element = KeySchemaElement::builder().attribute_name(*key).key_type(role);
        request = request.attribute_definitions(attribute.build().unwrap()).key_schema(element.build().unwrap());
    }
    request.send().await.unwrap();
}

/// Some of these tables would take a record as an item that no later write of its key meets.
#[test]
fn a_table_that_is_replaced_by_one_with_another_key_takes_no_record() {
    in_trouble(&["dynamodb"], "another table", async |cloud| {
        let (client, table) = (aws_clients(cloud).await.dynamodb, &cloud.aws()[0].site.table);
        let store = DynamodbStore::new(client.clone(), table);
        let put = async |second| store.put_if_newer(&record(&event("a", at(second)))).await;
        put(1).await.unwrap();
        let remove_table = async || {
            client.delete_table().table_name(table).send().await.unwrap();
            assert_eq!(put(1).await.unwrap_err().kind, FailureKind::Missing);
        };
        let text = |key: &'static str| (key, ScalarAttributeType::S);
        for keys in [
            &[text("id")][..],
            &[text("version")],
            &[("pk", ScalarAttributeType::N)],
            &[text("pk"), text("sk")],
            &[text("pk"), text("version")],
            &[text("pk"), text("applied_at")],
            &[text("event_id"), text("pk")],
        ] {
            remove_table().await;
            make_table(&client, table, keys).await;
            let key = event("a", at(1)).key.clone();
            let answers = [
                put(2).await.map(drop),
                put(3).await.map(drop),
                store.get(&key).await.map(drop),
                store.segments(1).await.map(drop),
            ];
            for error in answers.map(Result::unwrap_err) {
                assert!(matches!(error.kind, FailureKind::Misshapen { .. }), "{keys:?}: {}", error.chain());
            }
            let held = client.scan().table_name(table).send().await.unwrap();
            assert_eq!(held.count(), 0, "{keys:?}");
        }
        remove_table().await;
        make_table(&client, table, &[text("pk")]).await;
        assert_eq!(put(2).await.unwrap(), STORED_FIRST);
    });
}

#[test]
fn a_container_with_another_key_is_told_by_its_first_refusal() {
    in_trouble(&["cosmos"], "another container", async |cloud| {
        let good = cosmos_options(cloud);
        for (number, (path, key)) in [("/other", "a"), ("/version", "a"), ("/id", "a/b")].into_iter().enumerate() {
            let container = format!("other-{number}");
            let cosmos = &cloud.azure()[0].cosmos;
            cosmos.create_container(&good.database, &container, path, Some(-1)).await.unwrap();
            let store = CosmosStore::new(CosmosOptions { container, ..good.clone() }).unwrap();
            let upsert = event(key, at(1));
            let create = changed(&upsert, |change| change.op = Op::Create);
            for event in [upsert, create] {
                let error = store.put_if_newer(&record(&event)).await.unwrap_err();
                let told = |detail: &str| detail.contains(&format!("is partitioned by {path}"));
                let is_told = matches!(&error.kind, FailureKind::Misshapen { detail } if told(detail));
                assert!(is_told, "{path}: {}", error.chain());
            }
        }
    });
}

#[test]
fn a_limit_lower_than_configured_is_told_as_the_service_tells_it() {
    let sized = |sizes: [usize; 3]| -> Vec<Message> { sizes.map(|bytes| message(vec![b'x'; bytes])).into() };
    in_trouble(&["sqs"], "a lower limit", async |cloud| {
        let limit = [("MaximumMessageSize", "1024")];
        let queue_url = cloud.aws()[0].sqs.create_queue(&unique("small"), &limit).unwrap();
        let queue = sqs_queue(&aws_clients(cloud).await, queue_url);
        let mut results = queue.send(&sized([1, 2_000, 1_024])).await.into_iter();
        results.next().unwrap().unwrap();
        let expected = FailureKind::TooLarge { size_bytes: 2_000, limit_bytes: 1_024 };
        assert_eq!(results.next().unwrap().unwrap_err().kind, expected);
        results.next().unwrap().unwrap();
    });
    in_trouble(&["service-bus"], "a lower limit", async |cloud| {
        let mut options = service_bus_options(cloud, &cloud.azure()[0].site.queue, |text| text);
        options.message_bytes_max = 1024 * 1024;
        let queue = ServiceBusQueue::new(options);
        // The service takes all of a batch or nothing; which message is at fault shows when they go one by one.
        let mut results = queue.send(&sized([1, 300_000, 1_024])).await.into_iter();
        results.next().unwrap().unwrap();
        let kind = results.next().unwrap().unwrap_err().kind;
        assert!(matches!(kind, FailureKind::TooLarge { size_bytes: 300_000.., .. }), "{kind:?}");
        results.next().unwrap().unwrap();
        assert_eq!(queue.receive(10, seconds(5)).await.unwrap().len(), 2);
    });
}

#[test]
fn calls_cost_no_more_requests_than_they_must() {
    in_trouble(&["sqs", "dynamodb", "cosmos"], "requests", async |cloud| {
        let [(_, dynamodb), (_, cosmos)] = stores(cloud).await;
        let [(_, sqs), _] = queues(cloud).await;
        let counted = |service, expected: &[(&str, u64)]| {
            let expected: BTreeMap<_, _> = expected.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
            assert_eq!(requests(cloud, service), expected);
        };
        let put = async |store: &dyn Store, event: &Event| store.put_if_newer(&record(event)).await.unwrap();
        let create = |second| changed(&event("created", at(second)), |change| change.op = Op::Create);
        cosmos.get(&create(1).key).await.unwrap();
        requests(cloud, "cosmos");

        // Beside each write at most one look at the table's key, and one a second at most.
        let (start, mut looks) = (Instant::now(), 0);
        for (event, expected) in [(create(1), "new"), (create(2), "newer"), (create(1), "older"), (create(2), "again")]
        {
            put(&*dynamodb, &event).await;
            let mut requests = requests(cloud, "dynamodb");
            looks += requests.remove("GetItem").unwrap_or_default();
            assert_eq!(requests, [("PutItem".to_owned(), 1)].into(), "{expected}");
        }
        assert!(looks <= 1 + start.elapsed().as_secs(), "{looks} looks");
        put(&*cosmos, &create(1)).await;
        counted("cosmos", &[("create-item", 1)]);
        put(&*cosmos, &event("updated", at(1))).await;
        counted("cosmos", &[("read-item", 1), ("create-item", 1)]);
        put(&*cosmos, &event("updated", at(2))).await;
        counted("cosmos", &[("read-item", 1), ("replace-item", 1)]);
        put(&*cosmos, &event("updated", at(1))).await;
        counted("cosmos", &[("read-item", 1)]);

        let sent: Vec<Message> = (0..100).map(|n| message(format!("{n}"))).collect();
        for result in sqs.send(&sent).await {
            result.unwrap();
        }
        counted("sqs", &[("SendMessageBatch", 10)]);
        let received = sqs.receive(100, seconds(1)).await.unwrap();
        assert_eq!(received.len(), 100);
        counted("sqs", &[("ReceiveMessage", 10)]);
        let receipts: Vec<_> = received.into_iter().map(|delivery| delivery.receipt).collect();
        for result in sqs.ack(&receipts).await {
            result.unwrap();
        }
        counted("sqs", &[("DeleteMessageBatch", 10)]);
    });
}
