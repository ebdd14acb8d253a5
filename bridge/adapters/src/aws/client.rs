//! The SDK's clients, set up as the adapters need them: short bounds, hardly any retries of their own.

use std::{fmt, time::Duration};

use aws_config::{BehaviorVersion, Region, SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use aws_sdk_sqs::config::{Credentials, IdentityCache, SharedCredentialsProvider};
use aws_types::service_config::ServiceConfigKey;
use url::Url;

use super::{credential::Clean, from_azure::FromAzure, http, identity::Identity};
use crate::{
    endpoint::{self, InsecureEndpoint},
    token::is_header,
};

/// To reach a service: TCP and TLS, from another cloud on another continent too.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// For one attempt of a request, credentials included. The services answer in milliseconds, 1 MiB over a slow link takes
/// a second or two; what has taken four will not come. Longer than a request waits for credentials (`identity.rs`), so that the error
/// names what hangs.
pub(super) const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(4);

/// For a request with both its attempts, well within the shortest sensible lease of 30 s: time must be left to settle.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(9);

/// Attempts of one request.
///
/// The worker retries by its own budget and with its own delays, so the SDK's usual three attempts would multiply them.
/// One quick second attempt stays: it hides connections that the service closed while they were idle or a function was
/// frozen, and single 500s, which otherwise would cost a whole turn through the queue. It may repeat what took effect:
/// all requests here can be repeated but `send`, whose duplicates the version order absorbs.
const ATTEMPTS: u32 = 2;

/// Delay before the second attempt, at most; the SDK draws from zero to it. Half the usual second or more.
const BACKOFF: Duration = Duration::from_millis(100);

/// How to reach AWS.
#[derive(Clone, Debug)]
pub struct AwsOptions {
    /// For example `us-east-1`.
    pub region: String,
    /// Another address of SQS than the region's own.
    pub sqs_endpoint: Option<Url>,
    /// Another address of DynamoDB than the region's own.
    pub dynamodb_endpoint: Option<Url>,
    /// Who calls.
    pub credentials: AwsCredentials,
}

/// Who calls.
#[derive(Clone, Debug, Default)]
pub enum AwsCredentials {
    /// Whatever the place offers: the role of a function or a container, or the environment and profile of a shell.
    #[default]
    Ambient,
    /// The same, or a role that trusts the identity of a process on Azure.
    OrFromAzure(FromAzure),
    /// A key that was handed over; for the local cloud.
    Static(StaticCredentials),
}

/// An access key.
#[derive(Clone)]
pub struct StaticCredentials {
    /// Its public part.
    pub access_key_id: String,
    /// Its secret part, which is never shown.
    pub secret_access_key: String,
}

impl fmt::Debug for StaticCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StaticCredentials")
            .field("access_key_id", &self.access_key_id)
            .field("secret_access_key", &"***")
            .finish()
    }
}

/// Clients of the services that the adapters use. Cheap to clone; connections are shared.
#[derive(Clone, Debug)]
pub struct AwsClients {
    /// For [`SqsQueue`](super::SqsQueue).
    pub sqs: aws_sdk_sqs::Client,
    /// For [`DynamodbStore`](super::DynamodbStore).
    pub dynamodb: aws_sdk_dynamodb::Client,
    /// Where requests really go, if not to the region's own addresses.
    pub endpoints: AwsEndpoints,
}

/// Addresses in the place of a region's own: configured, or set by the environment or its profile (`AWS_ENDPOINT_URL`,
/// `endpoint_url`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AwsEndpoints {
    /// SQS.
    pub sqs: Option<Url>,
    /// DynamoDB.
    pub dynamodb: Option<Url>,
}

/// What the environment or its profile sets, and is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// Configured.
    #[error(transparent)]
    Insecure(#[from] InsecureEndpoint),
    /// By the environment or its profile.
    #[error("{service} has another endpoint by AWS_ENDPOINT_URL or a profile's endpoint_url: {why}")]
    Ambient {
        /// Whose address it is.
        service: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// A text of the environment that the SDK puts into a header of every request.
    #[error("the environment variable {0} has a character that no header carries: correct it, or unset it")]
    Header(&'static str),
}

impl AwsClients {
    /// Sets the clients up. Nothing is sent: what is wrong with credentials shows at the first call.
    ///
    /// # Errors
    /// If an endpoint would send requests in the clear over a network, whoever has set it, or no request could be made.
    pub async fn new(options: &AwsOptions) -> Result<Self, EndpointError> {
        for url in [&options.sqs_endpoint, &options.dynamodb_endpoint].into_iter().flatten() {
            endpoint::check(url)?;
        }
        // The SDK puts this variable into a header unchecked; it checks all others.
        let agent = "AWS_EXECUTION_ENV";
        if std::env::var(agent).is_ok_and(|text| !is_header(&text)) {
            return Err(EndpointError::Header(agent));
        }
        let shared = shared_config(options).await;
        let endpoints = AwsEndpoints {
            sqs: options.sqs_endpoint.clone().map_or_else(|| ambient_endpoint(&shared, "SQS"), |url| Ok(Some(url)))?,
            dynamodb: options
                .dynamodb_endpoint
                .clone()
                .map_or_else(|| ambient_endpoint(&shared, "DynamoDB"), |url| Ok(Some(url)))?,
        };
        // Sources of credentials ask these; the bridge does not.
        for service in ["STS", "SSO", "SSO OIDC"] {
            ambient_endpoint(&shared, service)?;
        }
        let mut sqs = aws_sdk_sqs::config::Builder::from(&shared);
        if let Some(url) = &endpoints.sqs {
            sqs = sqs.endpoint_url(url.as_str());
        }
        let mut dynamodb = aws_sdk_dynamodb::config::Builder::from(&shared);
        if let Some(url) = &endpoints.dynamodb {
            dynamodb = dynamodb.endpoint_url(url.as_str());
        }
        Ok(Self {
            sqs: aws_sdk_sqs::Client::from_conf(sqs.build()),
            dynamodb: aws_sdk_dynamodb::Client::from_conf(dynamodb.build()),
            endpoints,
        })
    }
}

/// The address that the SDK would use by the environment and its profile, in the SDK's own order: the service's, then the one for all.
fn ambient_endpoint(shared: &SdkConfig, service: &'static str) -> Result<Option<Url>, EndpointError> {
    let key = ServiceConfigKey::builder().service_id(service).env("AWS_ENDPOINT_URL").profile("endpoint_url").build();
    let own = key.ok().and_then(|key| shared.service_config()?.load_config(key));
    let Some(text) = own.or_else(|| shared.endpoint_url().map(str::to_owned)) else { return Ok(None) };
    let ambient = |why: String| EndpointError::Ambient { service, why };
    let url: Url = text.trim().parse().map_err(|error| ambient(format!("it is no address: {error}")))?;
    endpoint::check(&url).map_err(|error| ambient(error.to_string()))?;
    Ok(Some(url))
}

async fn shared_config(options: &AwsOptions) -> SdkConfig {
    let region = Region::new(options.region.clone());
    let from_azure = match &options.credentials {
        AwsCredentials::Ambient => None,
        AwsCredentials::OrFromAzure(from_azure) => Some(from_azure.clone()),
        AwsCredentials::Static(StaticCredentials { access_key_id, secret_access_key }) => {
            let key = Credentials::new(access_key_id, secret_access_key, None, None, "bridge configuration");
            // Without the loader: profiles and variables of the place must not bend what was given in full.
            let mut builder = SdkConfig::builder()
                .behavior_version(BehaviorVersion::latest())
                .region(region)
                .credentials_provider(SharedCredentialsProvider::new(Clean(SharedCredentialsProvider::new(key))))
                .retry_config(retry_config())
                .timeout_config(timeout_config());
            builder.set_http_client(http::client());
            return builder.build();
        }
    };
    let identity = Identity::of_process(&region, from_azure);
    ambient_config(region, Some(SharedCredentialsProvider::new(identity))).await
}

/// As the place has it, with these credentials. They are held and renewed by themselves: the SDK keeps none.
async fn ambient_config(region: Region, credentials: Option<SharedCredentialsProvider>) -> SdkConfig {
    let mut loader = aws_config::defaults(BehaviorVersion::latest()).region(region);
    if let Some(client) = http::client() {
        loader = loader.http_client(client);
    }
    loader = match credentials {
        Some(credentials) => loader.credentials_provider(credentials).identity_cache(IdentityCache::no_cache()),
        None => loader.no_credentials(),
    };
    loader.retry_config(retry_config()).timeout_config(timeout_config()).load().await
}

/// The client of STS in a region, for calls that are signed with `credentials` or not at all.
pub(super) async fn sts(
    region: Region,
    credentials: Option<SharedCredentialsProvider>,
) -> Result<aws_sdk_sts::Client, EndpointError> {
    let shared = ambient_config(region, credentials).await;
    ambient_endpoint(&shared, "STS")?;
    Ok(aws_sdk_sts::Client::new(&shared))
}

fn retry_config() -> RetryConfig {
    RetryConfig::standard().with_max_attempts(ATTEMPTS).with_initial_backoff(BACKOFF)
}

fn timeout_config() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(ATTEMPT_TIMEOUT)
        .operation_attempt_timeout(ATTEMPT_TIMEOUT)
        .operation_timeout(OPERATION_TIMEOUT)
        .build()
}

/// The bounds of a request that may take `wait` longer than others.
pub(super) fn patient_timeout_config(wait: Duration) -> TimeoutConfig {
    timeout_config()
        .to_builder()
        .read_timeout(wait + ATTEMPT_TIMEOUT)
        .operation_attempt_timeout(wait + ATTEMPT_TIMEOUT)
        .operation_timeout(wait + OPERATION_TIMEOUT)
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown() {
        let key = StaticCredentials { access_key_id: "AKIDEXAMPLE".to_owned(), secret_access_key: "wJalr".to_owned() };
        let options = AwsOptions {
            region: "us-east-1".to_owned(),
            sqs_endpoint: None,
            dynamodb_endpoint: None,
            credentials: AwsCredentials::Static(key),
        };
        assert!(format!("{options:?}").contains("AKIDEXAMPLE"));
        assert!(!format!("{options:?}").contains("wJalr"));
    }
}
