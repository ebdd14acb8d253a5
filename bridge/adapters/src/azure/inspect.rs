//! What Service Bus and Cosmos DB say of a site's queues and container.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use azure_data_cosmos::models::TimeToLive;
use bridge_core::failure::{FailureKind, PortError};
use bridge_ops::doctor::{Expiry, Inspect, Look, Looks, PartitionKey, StoreFacts};
use chrono::TimeDelta;
use url::Url;

use super::{CosmosStore, service_bus::ServiceBusDescriptions};
use crate::service_clock;

/// A container's partition key, the only one that the bridge writes under.
const PARTITION_KEY: &str = "/pk";

/// Looks at a site's things in Azure.
#[derive(Debug)]
pub struct AzureInspect {
    /// The namespace.
    pub service_bus: ServiceBusDescriptions,
    /// The site's queue.
    pub queue: String,
    /// Its dead-letter queue.
    pub dead_letter_queue: String,
    /// Its container.
    pub store: Arc<CosmosStore>,
    /// Where the account answers.
    pub cosmos_endpoint: Url,
}

impl AzureInspect {
    async fn service_bus_clock(&self) -> Look<TimeDelta> {
        match self.service_bus.endpoint() {
            Some(url) => service_clock::look("Service Bus", url).await,
            None => {
                let at = "clock of Service Bus".to_owned();
                let seen =
                    Err(PortError::new(&at, "look", FailureKind::Missing).caused_by("it has no address for HTTP"));
                Look { at, seen }
            }
        }
    }
}

#[async_trait]
impl Inspect for AzureInspect {
    async fn look(&self) -> Looks {
        let (queue, dead_letter_queue, store, service_bus, cosmos) = futures_util::join!(
            self.service_bus.queue(&self.queue),
            self.service_bus.queue(&self.dead_letter_queue),
            self.store.look(),
            self.service_bus_clock(),
            service_clock::look("Cosmos DB", self.cosmos_endpoint.clone()),
        );
        Looks { queue, dead_letter_queue, store, clocks: vec![service_bus, cosmos] }
    }
}

/// A container's settings in the words of the core.
pub(super) fn facts(partition_key: &[&str], default_ttl: &TimeToLive) -> StoreFacts {
    let partition_key = match partition_key {
        [PARTITION_KEY] => PartitionKey::Fits,
        other => PartitionKey::Other { is: other.join(" and "), must_be: PARTITION_KEY },
    };
    let expiry = match default_ttl {
        TimeToLive::NoDefault => Expiry::ByRecord,
        TimeToLive::Seconds(seconds) => Expiry::Every(Duration::from_secs((*seconds).into())),
        _ => Expiry::Off,
    };
    StoreFacts { partition_key, expiry }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_containers_settings_are_told_apart() {
        assert_eq!(
            facts(&["/pk"], &TimeToLive::NoDefault),
            StoreFacts { partition_key: PartitionKey::Fits, expiry: Expiry::ByRecord }
        );
        assert_eq!(facts(&["/pk"], &TimeToLive::Forever).expiry, Expiry::Off);
        assert_eq!(facts(&["/pk"], &TimeToLive::Seconds(60)).expiry, Expiry::Every(Duration::from_mins(1)));
        let other = PartitionKey::Other { is: "/id and /pk".to_owned(), must_be: "/pk" };
        assert_eq!(facts(&["/id", "/pk"], &TimeToLive::NoDefault).partition_key, other);
    }
}
