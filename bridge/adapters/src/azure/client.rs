//! The SDK's client of a Cosmos container, set up as the adapter needs it: short bounds, hardly any retries of its own.

use std::{fmt, sync::Arc, time::Duration};

use azure_core::credentials::{Secret, TokenCredential};
use azure_data_cosmos::{
    AccountReference, ContainerClient, CosmosClient, CosmosError, CosmosRuntime, RoutingStrategy,
    options::{
        BinaryEncodingOptions, ConnectionPoolOptions, ContentResponseOnWrite, EndToEndOperationLatencyPolicy,
        OperationOptionsBuilder, ThrottlingRetryOptionsBuilder,
    },
};
use url::Url;

use crate::endpoint;

/// Retries of one request that the service throttles, and how long they may take together. The SDK's own 18 retries of
/// up to 15 s each would outlast any lease and hide from the worker that it is too fast; two short ones smooth over the
/// bursts that a container with little throughput answers with 429 every second.
const THROTTLE_RETRIES: u32 = 2;
const THROTTLE_WAIT: Duration = Duration::from_secs(2);

/// For one operation of the SDK with all that it repeats, well within the shortest sensible lease of 30 s.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(10);

/// How to reach a container.
#[derive(Clone, Debug)]
pub struct CosmosOptions {
    /// The account's address, for example `https://bridge.documents.azure.com/`.
    pub endpoint: Url,
    /// Who calls.
    pub credential: CosmosCredential,
    /// The database.
    pub database: String,
    /// The container, partitioned by `/pk`, with a default time to live of -1 (items may have one, none has by default).
    pub container: String,
}

/// Who calls.
#[derive(Clone)]
pub enum CosmosCredential {
    /// The account's key, which is never shown.
    Key(String),
    /// An identity in Entra ID.
    Token(Arc<dyn TokenCredential>),
}

impl fmt::Debug for CosmosCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Key(_) => "Key(***)",
            Self::Token(_) => "Token(..)",
        })
    }
}

/// Connects to the container. Reads the account, the container and its partitions: three requests or more.
pub(super) async fn connect(options: &CosmosOptions) -> Result<ContainerClient, CosmosError> {
    let address = options.endpoint.clone().into();
    let account = match &options.credential {
        CosmosCredential::Key(key) => AccountReference::with_authentication_key(address, Secret::new(key.clone())),
        CosmosCredential::Token(token) => AccountReference::with_credential(address, Arc::clone(token)),
    };
    let throttling = ThrottlingRetryOptionsBuilder::new()
        .with_max_retry_count(THROTTLE_RETRIES)
        .with_max_retry_wait_time(THROTTLE_WAIT)
        .build();
    let operation = OperationOptionsBuilder::new()
        .with_throttling_retry_options(throttling)
        .with_end_to_end_latency_policy(EndToEndOperationLatencyPolicy::new(OPERATION_TIMEOUT))
        .with_content_response_on_write(ContentResponseOnWrite::Disabled)
        .build();
    // The account's own order of regions: the bridge runs in the region of its site, whose account has one write region.
    // Text on the wire: binary JSON is a preview that the SDK begins with, and reads a whole item as a tree.
    let mut builder = CosmosClient::builder()
        .with_binary_encoding_options(BinaryEncodingOptions::new().with_enabled(false))
        .with_default_operation_options(operation);
    if endpoint::proxies_are_named() {
        // The SDK's own runtime goes past every proxy, unless a variable of its own sends it through them, loopback included.
        let pool =
            ConnectionPoolOptions::builder().with_proxy_allowed(!endpoint::is_near(&options.endpoint)).build()?;
        builder = builder.with_runtime(CosmosRuntime::builder().with_connection_pool(pool).build().await?);
    }
    let client = builder.build(account, RoutingStrategy::PreferredRegions(Vec::new())).await?;
    client.database_client(options.database.clone()).container_client(options.container.clone(), None).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_not_shown() {
        assert_eq!(format!("{:?}", CosmosCredential::Key("c2VjcmV0".to_owned())), "Key(***)");
    }
}
