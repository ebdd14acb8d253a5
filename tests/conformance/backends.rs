//! The backends, and how a clause is run against each. A backend is made anew for every clause.

use std::{sync::Arc, time::Duration};

use bridge_adapters::{
    aws::{AwsClients, DynamodbStore, SqsQueue, SqsQueueOptions, StaticCredentials},
    azure::{
        CosmosCredential, CosmosOptions, CosmosStore,
        cosmos::item as cosmos_item,
        service_bus::{ServiceBusConnection, ServiceBusOptions, ServiceBusQueue, Timeouts},
    },
    clock::SystemClock,
    layer::{FaultPlan, Faults, LayeredQueue, LayeredStore, Meter, Observe, Timeout},
    memory::{ManualClock, MemoryQueue, MemoryQueueOptions, MemoryStore},
};
use bridge_core::{
    port::{Clock, Queue, Scan, Store},
    record::Record,
    size,
};
use bridge_tests::{
    at,
    cloud::{aws_clients, aws_options, cosmos_options, local_cloud, runtime, skipped, url},
    seconds, unique,
};
use localcloud::{
    LocalCloud,
    service_bus::{QueueSettings, Tier},
};

use crate::{
    foreign::{OnCosmos, OnDynamodb, Outsider},
    queue::{BrokenQueues, QueueUnderTest},
    scan::{BrokenScans, ScanUnderTest},
    store::{BrokenStores, StoreUnderTest},
};

/// A lease on queues in real time: long enough for a busy machine, short enough to wait for its end.
const LEASE: Duration = seconds(3);

/// A bound that no call reaches.
const BOUND: Duration = seconds(60);

fn memory(
    clause: impl AsyncFnOnce(&QueueUnderTest),
    options: MemoryQueueOptions,
    layer: impl FnOnce(Arc<dyn Queue>, Arc<dyn Clock>) -> Arc<dyn Queue>,
) {
    let manual = ManualClock::new(at(0));
    let clock: Arc<dyn Clock> = Arc::clone(&manual) as Arc<dyn Clock>;
    let body_bytes = (options.message_bytes_max, options.message_bytes_max + 1);
    let other: Arc<dyn Queue> = Arc::new(MemoryQueue::new(options, Arc::clone(&clock)));
    let queue = layer(Arc::clone(&other), Arc::clone(&clock));
    manual.drive(clause(&QueueUnderTest { queue, other, clock, any_bytes: true, body_bytes }));
}

pub(crate) fn memory_queue(_: &str, clause: impl AsyncFnOnce(&QueueUnderTest)) {
    memory(clause, MemoryQueueOptions::default(), |queue, _| queue);
}

/// With another seed, and a limit and a lease of its own.
pub(crate) fn disorderly_memory_queue(_: &str, clause: impl AsyncFnOnce(&QueueUnderTest)) {
    let options = MemoryQueueOptions {
        seed: 7,
        message_bytes_max: 256 * 1024,
        lease: seconds(2),
        ..MemoryQueueOptions::default()
    };
    memory(clause, options, |queue, _| queue);
}

pub(crate) fn timeout_queue(_: &str, clause: impl AsyncFnOnce(&QueueUnderTest)) {
    let layer = |queue, clock| Arc::new(LayeredQueue::new(queue, Timeout::new(clock, BOUND))) as Arc<dyn Queue>;
    memory(clause, MemoryQueueOptions::default(), layer);
}

pub(crate) fn metered_queue(_: &str, clause: impl AsyncFnOnce(&QueueUnderTest)) {
    let layer = |queue, _| Arc::new(LayeredQueue::new(queue, Meter::new(unheard()))) as Arc<dyn Queue>;
    memory(clause, MemoryQueueOptions::default(), layer);
}

pub(crate) fn fault_queue(_: &str, clause: impl AsyncFnOnce(&QueueUnderTest)) {
    let plan = Arc::new(FaultPlan::new(1, Vec::new()));
    let layer = |queue, clock| Arc::new(LayeredQueue::new(queue, Faults::new(plan, clock))) as Arc<dyn Queue>;
    memory(clause, MemoryQueueOptions::default(), layer);
}

fn unheard() -> Observe {
    Arc::new(|_| {})
}

pub(crate) fn sqs(clause_name: &str, clause: impl AsyncFnOnce(&QueueUnderTest)) {
    if skipped("sqs", clause_name) {
        return;
    }
    runtime().block_on(async {
        let queue_url = local_cloud().aws()[0].sqs.create_queue(&unique("conformance"), &[]).expect("a new name");
        let body_bytes = (SQS_BYTES, SQS_BYTES + 1);
        let clients = aws_clients(local_cloud()).await;
        let [queue, other] = [(); 2].map(|()| Arc::new(sqs_queue(&clients, queue_url.clone())));
        clause(&QueueUnderTest { queue, other, clock: Arc::new(SystemClock), any_bytes: false, body_bytes }).await;
    });
}

/// What a queue takes unless it is told otherwise.
const SQS_BYTES: usize = 1024 * 1024;

pub(crate) fn sqs_queue(clients: &AwsClients, queue_url: String) -> SqsQueue {
    SqsQueue::new(clients.sqs.clone(), SqsQueueOptions { queue_url, lease: LEASE, message_bytes_max: SQS_BYTES })
}

pub(crate) fn sqs_deployment(clause_name: &str, clause: impl AsyncFnOnce(&BrokenQueues)) {
    if skipped("sqs", clause_name) {
        return;
    }
    runtime().block_on(async {
        let clients = aws_clients(local_cloud()).await;
        let strange = AwsClients::new(&aws_options(local_cloud(), Some(strangers_key()))).await.expect("loopback");
        let there = &local_cloud().aws()[0].site.queue_url;
        let missing = Arc::new(sqs_queue(&clients, there.replace("events", "no-such-queue")));
        let forbidden = Arc::new(sqs_queue(&strange, there.clone()));
        clause(&BrokenQueues { missing, forbidden }).await;
    });
}

fn strangers_key() -> StaticCredentials {
    StaticCredentials { access_key_id: "STRANGER".to_owned(), secret_access_key: "wrong-secret".to_owned() }
}

pub(crate) fn service_bus(clause_name: &str, clause: impl AsyncFnOnce(&QueueUnderTest)) {
    if skipped("service-bus", clause_name) {
        return;
    }
    runtime().block_on(async {
        let name = unique("conformance");
        let settings = QueueSettings { lock_duration: LEASE, ..QueueSettings::default() };
        local_cloud().azure()[0].service_bus.create_queue(&name, settings);
        let consumer = |()| Arc::new(ServiceBusQueue::new(service_bus_options(local_cloud(), &name, |text| text)));
        let [queue, other] = [(); 2].map(consumer);
        // The limit counts headers too, and what a text becomes within JSON; a letter's properties must fit beside it.
        let body_bytes = (Tier::STANDARD_MESSAGE_BYTES - 4 * 1024, Tier::STANDARD_MESSAGE_BYTES + 1);
        let under_test = QueueUnderTest {
            queue: queue.clone(),
            other: other.clone(),
            clock: Arc::new(SystemClock),
            any_bytes: true,
            body_bytes,
        };
        clause(&under_test).await;
        queue.close().await;
        other.close().await;
    });
}

pub(crate) fn service_bus_options(
    cloud: &LocalCloud,
    queue: &str,
    change: impl FnOnce(String) -> String,
) -> ServiceBusOptions {
    let site = &cloud.azure()[0].site;
    let connection: ServiceBusConnection =
        change(site.service_bus_connection_string.clone()).parse().expect("localcloud tells how to connect");
    ServiceBusOptions {
        label: format!("service-bus {queue}"),
        connection,
        http_endpoint: Some(url(&site.service_bus_http_endpoint)),
        queue: queue.to_owned(),
        lease: LEASE,
        message_bytes_max: Tier::STANDARD_MESSAGE_BYTES,
        timeouts: Timeouts::default(),
    }
}

pub(crate) fn service_bus_deployment(clause_name: &str, clause: impl AsyncFnOnce(&BrokenQueues)) {
    if skipped("service-bus", clause_name) {
        return;
    }
    runtime().block_on(async {
        let there = &local_cloud().azure()[0].site.queue;
        let wrong = |text: String| {
            let (before, rest) = text.split_once("SharedAccessKey=").expect("a key");
            let (_, after) = rest.split_once(';').expect("more behind it");
            format!("{before}SharedAccessKey=d3Jvbmctc2VjcmV0;{after}")
        };
        let missing = Arc::new(ServiceBusQueue::new(service_bus_options(local_cloud(), "no-such-queue", |text| text)));
        let forbidden = Arc::new(ServiceBusQueue::new(service_bus_options(local_cloud(), there, wrong)));
        clause(&BrokenQueues { missing: missing.clone(), forbidden: forbidden.clone() }).await;
        missing.close().await;
        forbidden.close().await;
    });
}

fn memory_and(
    clause: impl AsyncFnOnce(&StoreUnderTest),
    layer: impl FnOnce(Arc<dyn Store>, Arc<dyn Clock>) -> Arc<dyn Store>,
) {
    let manual = ManualClock::new(at(0));
    let clock: Arc<dyn Clock> = Arc::clone(&manual) as Arc<dyn Clock>;
    let memory = Arc::new(MemoryStore::new("conformance", Arc::clone(&clock)));
    manual.drive(clause(&StoreUnderTest {
        store: layer(memory.clone(), clock),
        outsider: memory,
        prefix: String::new(),
        count: size::item_bytes,
        limit_bytes: DYNAMODB_BYTES,
        slack_bytes: 0,
    }));
}

/// "Quotas in Amazon DynamoDB", "Item size", read 2026-11.
const DYNAMODB_BYTES: u64 = 400 * 1024;

pub(crate) fn memory_store(_: &str, clause: impl AsyncFnOnce(&StoreUnderTest)) {
    memory_and(clause, |store, _| store);
}

pub(crate) fn memory_scan(_: &str, clause: impl AsyncFnOnce(&ScanUnderTest)) {
    let manual = ManualClock::new(at(0));
    let store = Arc::new(MemoryStore::new("conformance", Arc::clone(&manual) as Arc<dyn Clock>));
    let on = ScanUnderTest { store: store.clone(), scan: store.clone(), outsider: store, prefix: String::new() };
    manual.drive(clause(&on));
}

pub(crate) fn timeout_store(_: &str, clause: impl AsyncFnOnce(&StoreUnderTest)) {
    memory_and(clause, |store, clock| Arc::new(LayeredStore::new(store, Timeout::new(clock, BOUND))));
}

pub(crate) fn metered_store(_: &str, clause: impl AsyncFnOnce(&StoreUnderTest)) {
    memory_and(clause, |store, _| Arc::new(LayeredStore::new(store, Meter::new(unheard()))));
}

pub(crate) fn fault_store(_: &str, clause: impl AsyncFnOnce(&StoreUnderTest)) {
    let plan = Arc::new(FaultPlan::new(1, Vec::new()));
    memory_and(clause, |store, clock| Arc::new(LayeredStore::new(store, Faults::new(plan, clock))));
}

pub(crate) fn dynamodb(clause_name: &str, clause: impl AsyncFnOnce(&StoreUnderTest)) {
    if skipped("dynamodb", clause_name) {
        return;
    }
    runtime().block_on(async {
        let (store, outsider) = dynamodb_table().await;
        let prefix = format!("{}!", unique("conformance"));
        let (count, limit_bytes, slack_bytes) = (size::item_bytes, DYNAMODB_BYTES, 0);
        clause(&StoreUnderTest { store, outsider, prefix, count, limit_bytes, slack_bytes }).await;
    });
}

async fn dynamodb_table() -> (Arc<DynamodbStore>, Arc<dyn Outsider>) {
    let (client, table) = (aws_clients(local_cloud()).await.dynamodb, &local_cloud().aws()[0].site.table);
    (Arc::new(DynamodbStore::new(client.clone(), table)), Arc::new(OnDynamodb { client, table: table.to_owned() }))
}

struct Deployment<S> {
    missing: Arc<S>,
    forbidden: Arc<S>,
}

impl<S: Store + 'static> Deployment<S> {
    fn stores(self) -> BrokenStores {
        let Self { missing, forbidden } = self;
        BrokenStores { missing, forbidden }
    }
}

impl<S: Scan + 'static> Deployment<S> {
    fn scans(self) -> BrokenScans {
        let Self { missing, forbidden } = self;
        BrokenScans { missing, forbidden }
    }
}

async fn dynamodb_in_trouble() -> Deployment<DynamodbStore> {
    let clients = aws_clients(local_cloud()).await;
    let strange = AwsClients::new(&aws_options(local_cloud(), Some(strangers_key()))).await.expect("loopback");
    let table = &local_cloud().aws()[0].site.table;
    Deployment {
        missing: Arc::new(DynamodbStore::new(clients.dynamodb, "no-such-table")),
        forbidden: Arc::new(DynamodbStore::new(strange.dynamodb, table)),
    }
}

pub(crate) fn dynamodb_deployment(clause_name: &str, clause: impl AsyncFnOnce(&BrokenStores)) {
    if skipped("dynamodb", clause_name) {
        return;
    }
    runtime().block_on(async { clause(&dynamodb_in_trouble().await.stores()).await });
}

pub(crate) fn dynamodb_scan_deployment(clause_name: &str, clause: impl AsyncFnOnce(&BrokenScans)) {
    if skipped("dynamodb", clause_name) {
        return;
    }
    runtime().block_on(async { clause(&dynamodb_in_trouble().await.scans()).await });
}

pub(crate) fn dynamodb_scan(clause_name: &str, clause: impl AsyncFnOnce(&ScanUnderTest)) {
    if skipped("dynamodb", clause_name) {
        return;
    }
    runtime().block_on(async {
        let (store, outsider) = dynamodb_table().await;
        let prefix = format!("{}!", unique("conformance"));
        clause(&ScanUnderTest { store: store.clone(), scan: store, outsider, prefix }).await;
    });
}

pub(crate) fn cosmos(clause_name: &str, clause: impl AsyncFnOnce(&StoreUnderTest)) {
    if skipped("cosmos", clause_name) {
        return;
    }
    runtime().block_on(async {
        let (store, outsider) = cosmos_container();
        let prefix = format!("{}!", unique("conformance"));
        let count = |record: &Record| cosmos_item::size_bytes(&cosmos_item::from_record(record));
        // The service counts its own properties too, and does not say how.
        let (limit_bytes, slack_bytes) = (2 * 1024 * 1024, 4 * 1024);
        clause(&StoreUnderTest { store, outsider, prefix, count, limit_bytes, slack_bytes }).await;
    });
}

fn cosmos_container() -> (Arc<CosmosStore>, Arc<dyn Outsider>) {
    let options = cosmos_options(local_cloud());
    (Arc::new(CosmosStore::new(options.clone()).expect("loopback")), Arc::new(OnCosmos(options)))
}

fn cosmos_in_trouble() -> Deployment<CosmosStore> {
    let good = cosmos_options(local_cloud());
    let missing = CosmosOptions { container: "no-such-container".to_owned(), ..good.clone() };
    let wrong_key = CosmosCredential::Key("d3Jvbmctc2VjcmV0".to_owned());
    let forbidden = CosmosOptions { credential: wrong_key, ..good };
    Deployment {
        missing: Arc::new(CosmosStore::new(missing).expect("loopback")),
        forbidden: Arc::new(CosmosStore::new(forbidden).expect("loopback")),
    }
}

pub(crate) fn cosmos_deployment(clause_name: &str, clause: impl AsyncFnOnce(&BrokenStores)) {
    if skipped("cosmos", clause_name) {
        return;
    }
    runtime().block_on(async { clause(&cosmos_in_trouble().stores()).await });
}

pub(crate) fn cosmos_scan_deployment(clause_name: &str, clause: impl AsyncFnOnce(&BrokenScans)) {
    if skipped("cosmos", clause_name) {
        return;
    }
    runtime().block_on(async { clause(&cosmos_in_trouble().scans()).await });
}

pub(crate) fn cosmos_scan(clause_name: &str, clause: impl AsyncFnOnce(&ScanUnderTest)) {
    if skipped("cosmos", clause_name) {
        return;
    }
    runtime().block_on(async {
        let (store, outsider) = cosmos_container();
        let prefix = format!("{}!", unique("conformance"));
        clause(&ScanUnderTest { store: store.clone(), scan: store, outsider, prefix }).await;
    });
}
