//! What the services say of a queue, ATOM of Service Bus, attributes and policies of SQS; and of a Cosmos DB account.

use aws_sdk_sqs::types::QueueAttributeName;
use bridge_adapters::{
    aws,
    azure::{self, service_bus},
};

use crate::text;

/// Read or refused; a dead-letter queue's address lies beside its queue's.
pub(crate) fn run(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    let _ = service_bus::fuzzing::facts(text);
    let _ = azure::fuzzing::write_regions(text);
    for name in [
        QueueAttributeName::RedrivePolicy,
        QueueAttributeName::MessageRetentionPeriod,
        QueueAttributeName::MaximumMessageSize,
    ] {
        let _ = aws::fuzzing::queue_facts(name, text);
    }
    if let Some(address) = aws::fuzzing::redrive_address("https://sqs.example/1/q", text) {
        assert!(address.starts_with("https://sqs.example/1/"));
    }
}
