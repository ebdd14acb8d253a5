//! What Service Bus and Cosmos DB say of a site's queues and container.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use async_trait::async_trait;
use azure_data_cosmos::models::{PartitionKeyDefinition, PartitionKeyVersion, TimeToLive};
use bridge_core::{
    failure::{FailureKind, PortError},
    limits::KEY_BYTES_MAX,
};
use bridge_ops::doctor::{Expiry, Inspect, Look, Looks, PartitionKey, StoreFacts};
use chrono::TimeDelta;
use url::Url;

use super::{CosmosStore, service_bus::ServiceBusDescriptions};
use crate::{look::LOOK, service_clock};

/// A container's partition key, the only one that the bridge writes under.
const PARTITION_KEY: &str = "/pk";

/// Bytes of a partition key of version 1: "Azure Cosmos DB service quotas", read 2026-11. Version 2 takes 2,048.
const KEY_BYTES_OF_VERSION_1: usize = 101;

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
    async fn service_bus_clock(&self, limit: Duration) -> Look<TimeDelta> {
        match self.service_bus.endpoint() {
            Some(url) => service_clock::look("Service Bus", url, limit).await,
            None => {
                let at = "clock of Service Bus".to_owned();
                let seen = Err(PortError::new(&at, LOOK, FailureKind::Missing).caused_by("it has no address for HTTP"));
                Look { at, seen }
            }
        }
    }
}

#[async_trait]
impl Inspect for AzureInspect {
    async fn look(&self, limit: Duration) -> Looks {
        let (queue, dead_letter_queue, store) = futures_util::join!(
            self.service_bus.queue(&self.queue, limit),
            self.service_bus.queue(&self.dead_letter_queue, limit),
            self.store.look(limit),
        );
        Looks { queue, dead_letter_queue, store }
    }

    async fn clocks(&self, limit: Duration) -> Vec<Look<TimeDelta>> {
        let (service_bus, cosmos) = futures_util::join!(
            self.service_bus_clock(limit),
            service_clock::look("Cosmos DB", self.cosmos_endpoint.clone(), limit),
        );
        vec![service_bus, cosmos]
    }
}

/// A container's settings in the words of the core.
pub(super) fn facts(
    key: &PartitionKeyDefinition,
    default_ttl: &TimeToLive,
    write_regions: Result<BTreeSet<String>, PortError>,
) -> StoreFacts {
    let partition_key = partition_key(key);
    let key_bytes_max = if key.version() == PartitionKeyVersion::V1 { KEY_BYTES_OF_VERSION_1 } else { KEY_BYTES_MAX };
    let expiry = match default_ttl {
        TimeToLive::NoDefault => Expiry::ByRecord,
        TimeToLive::Seconds(seconds) => Expiry::Every(Duration::from_secs((*seconds).into())),
        _ => Expiry::Off,
    };
    StoreFacts { partition_key, key_bytes_max, expiry: Ok(expiry), write_regions }
}

/// Whether records fit a container's partition key.
pub(super) fn partition_key(key: &PartitionKeyDefinition) -> PartitionKey {
    match key.paths() {
        [path] if path == PARTITION_KEY => PartitionKey::Fits,
        other => PartitionKey::Other { is: other.join(" and "), must_be: PARTITION_KEY },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(paths: &[&'static str], ttl: &TimeToLive) -> StoreFacts {
        let key = PartitionKeyDefinition::new(paths.iter().map(|path| (*path).into()).collect());
        facts(&key, ttl, Ok(BTreeSet::new()))
    }

    #[test]
    fn a_containers_settings_are_told_apart() {
        let fits = of(&["/pk"], &TimeToLive::NoDefault);
        assert_eq!((fits.partition_key, fits.key_bytes_max), (PartitionKey::Fits, KEY_BYTES_MAX));
        assert_eq!(fits.expiry.unwrap(), Expiry::ByRecord);
        assert_eq!(of(&["/pk"], &TimeToLive::Forever).expiry.unwrap(), Expiry::Off);
        let minute = Expiry::Every(Duration::from_mins(1));
        assert_eq!(of(&["/pk"], &TimeToLive::Seconds(60)).expiry.unwrap(), minute);
        let other = PartitionKey::Other { is: "/id and /pk".to_owned(), must_be: "/pk" };
        assert_eq!(of(&["/id", "/pk"], &TimeToLive::NoDefault).partition_key, other);
    }

    #[test]
    fn a_partition_key_of_version_1_takes_short_keys_alone() {
        let key = PartitionKeyDefinition::new(vec!["/pk".into()]).with_version(PartitionKeyVersion::V1);
        assert_eq!(facts(&key, &TimeToLive::NoDefault, Ok(BTreeSet::new())).key_bytes_max, 101);
    }
}
