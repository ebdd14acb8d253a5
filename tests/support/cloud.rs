//! The local cloud that the tests of this process share, and the runtime that it and their clients live on.
//!
//! Clients may leave tasks behind that outlive a test, so there is one runtime for all; a runtime of its own for each
//! test would end under a connection that the next test still uses.

use std::{env, sync::OnceLock, thread};

use bridge_adapters::{
    aws::{AwsClients, AwsCredentials, AwsOptions, StaticCredentials},
    azure::{CosmosCredential, CosmosOptions},
};
use localcloud::{LocalCloud, Options};
use tokio::runtime::{Builder, Runtime};
use url::Url;

/// Names that `BRIDGE_SKIP` may hold, separated by commas, and what each leaves out.
const SKIPS: [(&str, &[&str]); 6] = [
    ("aws", &["sqs", "dynamodb"]),
    ("azure", &["service-bus", "cosmos"]),
    ("sqs", &["sqs"]),
    ("dynamodb", &["dynamodb"]),
    ("service-bus", &["service-bus"]),
    ("cosmos", &["cosmos"]),
];

/// Whether `service` is to be left out; says so, as a test that did not run must never look like one that passed.
///
/// # Panics
/// If `BRIDGE_SKIP` holds a name that means nothing: it was meant to leave out something.
pub fn skipped(service: &str, test: &str) -> bool {
    let asked = env::var("BRIDGE_SKIP").unwrap_or_default();
    let skips = asked.split(',').map(str::trim).filter(|name| !name.is_empty()).any(|name| {
        let (_, services) = SKIPS
            .iter()
            .find(|(known, _)| *known == name)
            .unwrap_or_else(|| panic!("BRIDGE_SKIP={asked}: {name:?} is none of {:?}", SKIPS.map(|(known, _)| known)));
        services.contains(&service)
    });
    if skips {
        eprintln!("SKIPPED {service}: {test} (BRIDGE_SKIP={asked})");
    }
    skips
}

/// The runtime of the local cloud and of its clients.
pub fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("threads"))
}

/// Both clouds, started when the first test asks for them, on ports that the system chooses.
pub fn local_cloud() -> &'static LocalCloud {
    static CLOUD: OnceLock<LocalCloud> = OnceLock::new();
    // On a thread of its own, as the caller may be on the runtime already, where nobody may block on it.
    let start = || runtime().block_on(start());
    CLOUD.get_or_init(|| thread::scope(|scope| scope.spawn(start).join().expect("it does not panic")))
}

/// Both clouds for one test alone, which may do with them what would disturb others.
///
/// # Panics
/// If they do not start, with what to do about it.
pub async fn start() -> LocalCloud {
    let mut options = Options::default();
    options.azure[0].service_bus_port = 0;
    LocalCloud::start(options).await.unwrap_or_else(|error| panic!("{error}"))
}

/// How to reach the AWS side, with these credentials instead of its own if given.
pub fn aws_options(cloud: &LocalCloud, credentials: Option<StaticCredentials>) -> AwsOptions {
    let site = &cloud.aws()[0].site;
    let own = || StaticCredentials {
        access_key_id: site.access_key_id.clone(),
        secret_access_key: site.secret_access_key.clone(),
    };
    AwsOptions {
        region: site.region.clone(),
        sqs_endpoint: Some(url(&site.sqs_endpoint)),
        dynamodb_endpoint: Some(url(&site.dynamodb_endpoint)),
        credentials: AwsCredentials::Static(credentials.unwrap_or_else(own)),
    }
}

/// Clients of the AWS side.
pub async fn aws_clients(cloud: &LocalCloud) -> AwsClients {
    AwsClients::new(&aws_options(cloud, None)).await.expect("loopback")
}

/// How to reach the container on the Azure side.
pub fn cosmos_options(cloud: &LocalCloud) -> CosmosOptions {
    let site = &cloud.azure()[0].site;
    CosmosOptions {
        endpoint: url(&site.cosmos_endpoint),
        credential: CosmosCredential::Key(site.cosmos_key.clone()),
        database: site.database.clone(),
        container: site.container.clone(),
    }
}

/// An address of the local cloud.
pub fn url(text: &str) -> Url {
    text.parse().expect("localcloud tells addresses")
}
