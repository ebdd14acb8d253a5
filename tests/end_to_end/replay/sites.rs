//! What the tests of a replay put into queues and look for in stores, by the bridge's own adapters.

use std::{sync::Arc, time::Duration};

use bridge_adapters::{
    aws::{AwsClients, AwsCredentials, AwsOptions, DynamodbStore, SqsQueue, SqsQueueOptions, StaticCredentials},
    azure::{
        CosmosCredential, CosmosOptions, CosmosStore,
        service_bus::{ServiceBusOptions, ServiceBusQueue, Timeouts},
    },
};
use bridge_core::{
    port::{Delivery, Message, Place, Properties, Queue, Store},
    record::Record,
};
use bridge_tests::cloud::runtime;
use serde_json::Value;

use crate::program::{Clouds, bridge, day};

pub(crate) const HERE: &str = "aws:us-east-1";
pub(crate) const THERE: &str = "azure:westeurope";

/// One site of the clouds under test.
pub(crate) struct Site {
    pub(crate) name: &'static str,
    pub(crate) queue: Arc<dyn Queue>,
    pub(crate) letters: Arc<dyn Queue>,
    pub(crate) store: Arc<dyn Store>,
}

impl Site {
    pub(crate) fn of(clouds: &Clouds, name: &'static str) -> Self {
        let site = &clouds.ready["sites"][name];
        let text = |field: &str| site[field].as_str().unwrap().to_owned();
        if site["cloud"] == "aws" {
            let clients = aws_clients(clouds, name);
            let queue = |url: &str| -> Arc<dyn Queue> {
                let (lease, message_bytes_max) = (Duration::from_secs(30), 1024 * 1024);
                let options = SqsQueueOptions { queue_url: text(url), lease, message_bytes_max };
                Arc::new(SqsQueue::new(clients.sqs.clone(), options))
            };
            let store = Arc::new(DynamodbStore::new(clients.dynamodb.clone(), text("table")));
            return Self { name, queue: queue("queue_url"), letters: queue("dead_letter_queue_url"), store };
        }
        let queue = |queue: &str| -> Arc<dyn Queue> {
            Arc::new(ServiceBusQueue::new(ServiceBusOptions {
                label: text(queue),
                connection: text("service_bus_connection_string").parse().unwrap(),
                http_endpoint: Some(text("service_bus_http_endpoint").parse().unwrap()),
                queue: text(queue),
                lease: Duration::from_secs(30),
                message_bytes_max: 256 * 1024,
                timeouts: Timeouts::default(),
            }))
        };
        let store = CosmosStore::new(CosmosOptions {
            endpoint: text("cosmos_endpoint").parse().unwrap(),
            credential: CosmosCredential::Key(text("cosmos_key")),
            database: text("database"),
            container: text("container"),
        });
        Self { name, queue: queue("queue"), letters: queue("dead_letter_queue"), store: Arc::new(store.unwrap()) }
    }

    pub(crate) fn get(&self, key: &str) -> Option<Record> {
        runtime().block_on(self.store.get(&key.parse().unwrap())).unwrap()
    }

    pub(crate) fn put(&self, body: &str) {
        let event = bridge_core::envelope::decode(body.as_bytes(), "/id").unwrap();
        let site = self.name.parse().unwrap();
        let record = Record::new(&event, &site, bridge_tests::at(0), bridge_core::limits::TOMBSTONE_LIFE);
        runtime().block_on(self.store.put_if_newer(&record)).unwrap();
    }
}

/// Clients of the site of this name.
pub(crate) fn aws_clients(clouds: &Clouds, name: &str) -> AwsClients {
    let text = |field: &str| clouds.ready["sites"][name][field].as_str().unwrap().to_owned();
    let options = AwsOptions {
        region: text("region"),
        sqs_endpoint: Some(text("sqs_endpoint").parse().unwrap()),
        dynamodb_endpoint: Some(text("dynamodb_endpoint").parse().unwrap()),
        credentials: AwsCredentials::Static(StaticCredentials {
            access_key_id: text("access_key_id"),
            secret_access_key: text("secret_access_key"),
        }),
    };
    runtime().block_on(AwsClients::new(&options)).unwrap()
}

/// Puts messages into a queue.
pub(crate) fn fill(queue: &dyn Queue, messages: &[Message]) {
    for portion in messages.chunks(1_000) {
        let sent = runtime().block_on(queue.send(portion));
        assert!(sent.iter().all(Result::is_ok), "{:?}", sent.into_iter().find(Result::is_err));
    }
}

/// All that lies in a queue and can be had at once.
pub(crate) fn look(queue: &dyn Queue) -> Vec<Delivery> {
    runtime().block_on(async {
        let (mut place, mut shown) = (Place::default(), Vec::new());
        loop {
            let some = queue.browse(&mut place, 1_000).await.unwrap();
            if some.is_empty() {
                break;
            }
            shown.extend(some);
        }
        let receipts: Vec<_> = shown.iter().map(|delivery: &Delivery| delivery.receipt.clone()).collect();
        queue.release(&receipts).await;
        shown
    })
}

/// A letter as a worker writes it.
pub(crate) fn letter(body: impl Into<Vec<u8>>, reason: &str, owed: &str) -> Message {
    let mut properties = Properties::from([("bridge_reason".to_owned(), reason.to_owned())]);
    if !owed.is_empty() {
        properties.insert("bridge_owed".to_owned(), owed.to_owned());
    }
    Message { properties, ..bridge_tests::message(body) }
}

/// The body of an event of `origin`, so many seconds into its hour.
pub(crate) fn body(number: u64, origin: &str, key: &str, second: u64) -> String {
    let (hour, minute, second) = (1 + second / 3_600, second / 60 % 60, second % 60);
    format!(
        r#"{{"event_id":"01936d6e-8a3c-7c61-9d0b-{number:012}","source_region":"{origin}","op_type":"upsert","payload":{{"id":"{key}","number":{number}}},"timestamp":"{day}T{hour:02}:{minute:02}:{second:02}Z"}}"#,
        day = day()
    )
}

/// `bridge replay` with these arguments.
pub(crate) fn replay(clouds: &Clouds, arguments: &[&str]) -> std::process::Command {
    let mut command = bridge();
    command.args(["replay", "--config"]).arg(clouds.config()).args(arguments);
    // What a killed run had in its hands comes back after a lease; SQS takes the one that it is told.
    command.env("BRIDGE_SITES_AWS_US_EAST_1_LEASE_SECONDS", "5");
    command
}

/// Runs it to its end: the exit code, and the JSON that it printed.
pub(crate) fn outcome(command: &mut std::process::Command) -> (Option<i32>, Value) {
    let output = command.arg("--json").output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    let json = serde_json::from_slice(&output.stdout);
    let json =
        json.unwrap_or_else(|_| panic!("{:?} {errors}{}", output.status, String::from_utf8_lossy(&output.stdout)));
    (output.status.code(), json)
}
