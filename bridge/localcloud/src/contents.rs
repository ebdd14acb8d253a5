//! What stands in every site from the start.

use std::time::Duration;

/// The queues and the store of every site, under names of the caller's choice. Clients may create more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contents {
    pub queue: String,
    /// An ordinary queue, where an application itself sets aside what it cannot handle.
    pub dead_letter_queue: String,
    /// Where SQS sets aside what was received too often. Service Bus keeps such a queue inside each queue.
    pub redrive_queue: String,
    /// SQS's visibility timeout and Service Bus's lock. Whole seconds.
    pub lease: Duration,
    /// How long a message waits at most.
    pub retention: Duration,
    /// Receives before SQS moves a message from `queue` to `redrive_queue`.
    pub sqs_deliveries_max: u32,
    /// Failed deliveries before Service Bus moves a message to the dead letters of its queue.
    pub service_bus_deliveries_max: u32,
    /// The DynamoDB table.
    pub table: String,
    /// The partition key of the table and of the container: a text.
    pub key: String,
    /// The attribute that tells DynamoDB when an item expires; Cosmos DB's is always `ttl`.
    pub ttl_attribute: String,
    /// The Cosmos DB database, and its one container.
    pub database: String,
    pub container: String,
}

impl Default for Contents {
    fn default() -> Self {
        Self {
            queue: "events".to_owned(),
            dead_letter_queue: "events-dead".to_owned(),
            redrive_queue: "events-dlq".to_owned(),
            lease: Duration::from_secs(30),
            // Source: SQS quotas, "message retention": at most 14 days, read 2026-11.
            retention: Duration::from_hours(14 * 24),
            sqs_deliveries_max: 10,
            service_bus_deliveries_max: 10,
            table: "records".to_owned(),
            key: "pk".to_owned(),
            ttl_attribute: "expires_at".to_owned(),
            database: "main".to_owned(),
            container: "records".to_owned(),
        }
    }
}
