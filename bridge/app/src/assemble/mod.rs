//! From the configuration to a worker: the one place where adapters are named and wired.

mod owed;
mod scan;
mod watch;

use std::sync::{Arc, Mutex};

use anyhow::Context;
use bridge_adapters::{
    aws::{
        self, AwsClients, AwsCredentials, AwsInspect, AwsInspectOptions, AwsOptions, DynamodbStore, SqsDepth, SqsQueue,
        SqsQueueOptions, StaticCredentials, redrive_target,
    },
    azure::{
        AzureInspect, CosmosCredential, CosmosOptions, CosmosStore, identity,
        service_bus::{
            ServiceBusConnection, ServiceBusDepth, ServiceBusDescriptions, ServiceBusOptions, ServiceBusQueue, Timeouts,
        },
    },
    clock::{ShiftedClock, SystemClock},
    file::FileQueue,
    layer::{Guard, LayeredQueue, LayeredStore, Meter, Observe, Timeout},
    service_clock::ServiceClock,
};
use bridge_core::{
    event::SiteId,
    excerpts::Excerpts,
    health::Health,
    limits,
    peer::Peer,
    port::{Clock, Depth, Queue, Reschedule, Store},
    worker::{Policy, Worker},
};
use bridge_ops::{
    doctor::Inspect,
    lag::Watched,
    replay::{
        route::Source,
        setting::{Place, SourceQueue},
        subject::Holds,
    },
};

pub(crate) use owed::Owed;
pub(crate) use scan::target;
pub(crate) use watch::observer;
use watch::watched;

use crate::{
    config::{
        Config, SiteConfig,
        site::{AwsSite, AzureSite, ServiceBusAccess},
    },
    exit::Misuse,
    host::state::Teller,
    links::Links,
    tally::Tally,
    telemetry::{SiteTelemetry, Telemetry, incidents::Log},
};

/// All that works for one site.
#[derive(Debug)]
pub(crate) struct Worksite {
    pub(crate) worker: Worker,
    pub(crate) queue: Arc<dyn Queue>,
    pub(crate) dead_letters: Arc<dyn Queue>,
    /// The site's queue once more, where it takes copies for later.
    pub(crate) copies: Option<Arc<dyn Reschedule>>,
    /// What brings that which its letters owe, unless an operator does.
    pub(crate) owed: Option<Owed>,
    /// What it counts.
    pub(crate) tally: Tally,
    /// What it tells of itself.
    pub(crate) telemetry: SiteTelemetry,
    /// What it says of its state.
    pub(crate) teller: Teller,
    /// What becomes of its links.
    pub(crate) links: Links,
    /// What there is to count of its queues, where somebody wants to know.
    pub(crate) watched: Option<Watched>,
    /// Whether the latest conflicts are kept.
    pub(crate) keep_conflicts: bool,
    /// What looks at the settings of its queues and its store.
    pub(crate) inspect: Arc<dyn Inspect>,
}

impl Worksite {
    /// Closes every queue.
    pub(crate) async fn close(&self) {
        self.queue.close().await;
        self.dead_letters.close().await;
        for peer in &self.worker.peers {
            peer.queue.close().await;
        }
    }
}

/// The ports of one site. Nothing is sent until they are used.
#[derive(Debug)]
pub(crate) struct SitePorts {
    pub(crate) queue: Arc<dyn Queue>,
    pub(crate) dead_letters: Arc<dyn Queue>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) copies: Option<Arc<dyn Reschedule>>,
    /// Counts its dead letters.
    pub(crate) letters_depth: Arc<dyn Depth>,
    /// What looks at the settings of all of these, by the same connections.
    pub(crate) inspect: Arc<dyn Inspect>,
    /// Where the queue answers HTTP, and so tells the time.
    pub(crate) answers_at: url::Url,
}

/// The worker of `site`, with every other site as its peer.
pub(crate) async fn worksite(config: &Config, site: &SiteId, telemetry: &Telemetry) -> anyhow::Result<Worksite> {
    let others = || config.sites.keys().filter(|id| *id != site);
    let tells = telemetry.site(site, others());
    let clock: Arc<dyn Clock> = match config.clock_offset {
        none if none.is_zero() => Arc::new(SystemClock),
        offset => Arc::new(ShiftedClock(offset)),
    };
    let own = ports(config, site).await?;
    let (mut peers, mut places) = (Vec::new(), Vec::new());
    for id in others() {
        let SitePorts { queue, store, .. } = ports(config, id).await?;
        let queue = layered_queue(queue, &clock, tells.of_peer(id));
        places.push((id.clone(), Place { queue: queue.clone(), store }));
        peers.push(Peer::new(id.clone(), queue, config.policy.circuit));
    }
    let trace_ratio = telemetry.takes_traces().then_some(config.telemetry.trace_ratio);
    let tally = Tally::new(config.container.heartbeat, ServiceClock::new(own.answers_at, clock.clone()));
    let worker = Worker {
        rules: config.rules(site),
        policy: Policy { trace_ratio, ..config.policy.clone() },
        store: layered_store(own.store, &clock, tells.of_store()),
        peers,
        clock,
        rng: Mutex::new(fastrand::Rng::new()),
        incidents: Arc::new(Log),
        excerpts: Excerpts::default(),
        health: Health::default(),
    };
    let keep_conflicts = config.keep_conflicts;
    let watched = if telemetry.listens() { Some(watched(config, site).await?) } else { None };
    let queue = layered_queue(own.queue, &worker.clock, None);
    let dead_letters = layered_queue(own.dead_letters, &worker.clock, None);
    let (copies, inspect) = (own.copies, own.inspect);
    places.push((site.clone(), Place { queue: queue.clone(), store: worker.store.clone() }));
    let owed =
        config.auto_replay.map(|rate| Owed::new(config, &worker, &dead_letters, own.letters_depth, places, rate));
    Ok(Worksite {
        worker,
        queue,
        dead_letters,
        copies,
        owed,
        tally,
        telemetry: tells,
        teller: Teller::default(),
        links: Links::default(),
        watched,
        keep_conflicts,
        inspect,
    })
}

/// The layers that a worker has around each queue: a bound, and a meter where somebody listens.
fn layered_queue(queue: Arc<dyn Queue>, clock: &Arc<dyn Clock>, observe: Option<Observe>) -> Arc<dyn Queue> {
    let queue = Arc::new(LayeredQueue::new(queue, Timeout::new(clock.clone(), limits::CALL_MAX)));
    match observe {
        Some(observe) => Arc::new(LayeredQueue::new(queue, Meter::new(observe))),
        None => queue,
    }
}

/// The same around its store.
fn layered_store(store: Arc<dyn Store>, clock: &Arc<dyn Clock>, observe: Option<Observe>) -> Arc<dyn Store> {
    let store = Arc::new(LayeredStore::new(store, Timeout::new(clock.clone(), limits::CALL_MAX)));
    match observe {
        Some(observe) => Arc::new(LayeredStore::new(store, Meter::new(observe))),
        None => store,
    }
}

/// The ports of `site`.
pub(crate) async fn ports(config: &Config, site: &SiteId) -> anyhow::Result<SitePorts> {
    let ports = match &config.sites[site] {
        SiteConfig::Aws(aws) => aws_ports(site, aws).await,
        SiteConfig::Azure(azure) => azure_ports(azure),
    };
    let ports = ports.with_context(|| format!("sites.{site}"))?;
    Ok(SitePorts {
        queue: Arc::new(LayeredQueue::new(ports.queue, Guard)),
        dead_letters: Arc::new(LayeredQueue::new(ports.dead_letters, Guard)),
        store: Arc::new(LayeredStore::new(ports.store, Guard)),
        ..ports
    })
}

/// The queues in which messages of `source` lie.
pub(crate) async fn sources(config: &Config, source: &Source) -> anyhow::Result<Vec<SourceQueue>> {
    let (site, letters) = match source {
        Source::File(path) => {
            let queue = Arc::new(FileQueue::open(path)?);
            // It hands over no more than some megabytes at once by itself.
            return Ok(vec![SourceQueue {
                queue,
                holds: Holds::Letters,
                hides: None,
                message_bytes_max: limits::EVENT_BYTES_MAX,
            }]);
        }
        Source::Queue(site) => (site, false),
        Source::DeadLetters(site) => (site, true),
    };
    let SitePorts { queue, dead_letters, .. } = ports(config, site).await?;
    let queue = if letters { dead_letters } else { queue };
    match &config.sites[site] {
        SiteConfig::Aws(aws) => sources_aws(site, aws, queue, letters).await,
        SiteConfig::Azure(azure) => sources_azure(azure, queue, letters),
    }
}

/// What lies in a site's own queue, or among its letters.
fn holds(letters: bool) -> Holds {
    if letters { Holds::Letters } else { Holds::Events }
}

/// SQS shows what nobody has in hand.
async fn sources_aws(
    site: &SiteId,
    config: &AwsSite,
    queue: Arc<dyn Queue>,
    letters: bool,
) -> anyhow::Result<Vec<SourceQueue>> {
    let clients = aws_clients(site, config).await?;
    // What somebody else sent there may be as large as the service takes.
    let message_bytes_max = limits::EVENT_BYTES_MAX;
    let hides = |url: &str| Some(Arc::new(SqsDepth::new(clients.clone(), url.to_owned())) as Arc<dyn Depth>);
    let url = if letters { &config.dead_letter_queue_url } else { &config.queue_url };
    let mut sources = vec![SourceQueue { queue, holds: holds(letters), hides: hides(url.as_str()), message_bytes_max }];
    if letters {
        match redrive_target(&clients, config.queue_url.as_str()).await {
            Ok(Some(url)) if url != config.dead_letter_queue_url.as_str() => {
                let hides = hides(&url);
                let queue = Arc::new(sqs_queue(&clients, config, url));
                sources.push(SourceQueue { queue, holds: Holds::BrokersEvents, hides, message_bytes_max });
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(
                error = error.chain(),
                "SQS does not say where it sets messages aside itself; only the bridge's own dead letters are seen"
            ),
        }
    }
    Ok(sources)
}

/// Service Bus shows all, whoever has it in hand.
fn sources_azure(config: &AzureSite, queue: Arc<dyn Queue>, letters: bool) -> anyhow::Result<Vec<SourceQueue>> {
    let message_bytes_max = config.message_bytes_max;
    let mut sources = vec![SourceQueue { queue, holds: holds(letters), hides: None, message_bytes_max }];
    let set_aside = [(&config.queue, Holds::BrokersEvents), (&config.dead_letter_queue, Holds::BrokersLetters)];
    for (name, holds) in set_aside.into_iter().filter(|_| letters) {
        let queue = service_bus_queue(config, &service_bus(config)?, &format!("{name}/$deadletterqueue"));
        sources.push(SourceQueue { queue: Arc::new(queue), holds, hides: None, message_bytes_max });
    }
    Ok(sources)
}

/// A queue's address names its endpoint.
fn sqs_endpoint(clients: &AwsClients, site: &AwsSite) -> anyhow::Result<url::Url> {
    Ok(clients.endpoints.sqs.clone().map_or_else(|| site.queue_url.join("/"), Ok)?)
}

fn dynamodb_endpoint(clients: &AwsClients, id: &SiteId) -> anyhow::Result<url::Url> {
    let region = id.region();
    // "Service endpoints", read 2026-11: China has a domain of its own.
    let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    let default = || format!("https://dynamodb.{region}.{domain}/").parse();
    Ok(clients.endpoints.dynamodb.clone().map_or_else(default, Ok)?)
}

/// Where the requests of a site really go, whoever has set it: the key that would set it, and the address.
pub(crate) async fn endpoints(config: &Config) -> anyhow::Result<Vec<(String, url::Url)>> {
    let mut endpoints = Vec::new();
    for (id, site) in &config.sites {
        let SiteConfig::Aws(site) = site else { continue };
        let clients = aws_clients(id, site).await.with_context(|| format!("sites.{id}"))?;
        endpoints.push((format!("sites.{id}.sqs_endpoint"), sqs_endpoint(&clients, site)?));
        endpoints.push((format!("sites.{id}.dynamodb_endpoint"), dynamodb_endpoint(&clients, id)?));
    }
    Ok(endpoints)
}

/// How this process proves to each site who it is: by which key, or which link of the chain.
pub(crate) async fn identities(config: &Config) -> Vec<(String, String)> {
    let mut ways = Vec::new();
    for (id, site) in &config.sites {
        let way = match site {
            SiteConfig::Aws(AwsSite { access_key: Some(_), .. }) => "access_key_id".to_owned(),
            SiteConfig::Aws(site) => aws::way(id.region(), site.from_azure.as_ref()).await,
            SiteConfig::Azure(site) => {
                let has_key = matches!(site.service_bus, ServiceBusAccess::ConnectionString(_));
                match (has_key, site.cosmos_key.is_some()) {
                    (true, true) => "service_bus_connection_string and cosmos_key".to_owned(),
                    (true, false) => {
                        format!("service_bus_connection_string; {}", identity::way(site.identity.clone()).await)
                    }
                    (false, true) => format!("cosmos_key; {}", identity::way(site.identity.clone()).await),
                    (false, false) => identity::way(site.identity.clone()).await,
                }
            }
        };
        ways.push((format!("sites.{id} (identity)"), way));
    }
    ways
}

async fn aws_clients(id: &SiteId, site: &AwsSite) -> anyhow::Result<AwsClients> {
    let credentials = match &site.access_key {
        Some((access_key_id, secret)) => AwsCredentials::Static(StaticCredentials {
            access_key_id: access_key_id.clone(),
            secret_access_key: secret.reveal().to_owned(),
        }),
        None => site.from_azure.clone().map_or(AwsCredentials::Ambient, AwsCredentials::OrFromAzure),
    };
    let options = AwsOptions {
        region: id.region().to_owned(),
        sqs_endpoint: site.sqs_endpoint.clone(),
        dynamodb_endpoint: site.dynamodb_endpoint.clone(),
        credentials,
    };
    // What is refused here was set for this process, as a flag is.
    Ok(AwsClients::new(&options).await.map_err(|error| Misuse(error.to_string()))?)
}

fn sqs_queue(clients: &AwsClients, site: &AwsSite, queue_url: String) -> SqsQueue {
    let (lease, message_bytes_max) = (site.lease, site.message_bytes_max);
    SqsQueue::new(clients.sqs.clone(), SqsQueueOptions { queue_url, lease, message_bytes_max })
}

async fn aws_ports(id: &SiteId, site: &AwsSite) -> anyhow::Result<SitePorts> {
    let clients = aws_clients(id, site).await?;
    let queue = |url: &url::Url| -> Arc<dyn Queue> { Arc::new(sqs_queue(&clients, site, url.to_string())) };
    let options = AwsInspectOptions {
        region: id.region().to_owned(),
        queue_url: site.queue_url.clone(),
        dead_letter_queue_url: site.dead_letter_queue_url.clone(),
        table: site.table.clone(),
        sqs_endpoint: sqs_endpoint(&clients, site)?,
        dynamodb_endpoint: dynamodb_endpoint(&clients, id)?,
    };
    let letters_depth = Arc::new(SqsDepth::new(clients.clone(), site.dead_letter_queue_url.to_string()));
    let answers_at = options.sqs_endpoint.clone();
    Ok(SitePorts {
        queue: queue(&site.queue_url),
        dead_letters: queue(&site.dead_letter_queue_url),
        letters_depth,
        store: Arc::new(DynamodbStore::new(clients.dynamodb.clone(), &site.table)),
        copies: None,
        inspect: Arc::new(AwsInspect::new(clients, options)),
        answers_at,
    })
}

fn service_bus(site: &AzureSite) -> anyhow::Result<ServiceBusConnection> {
    Ok(match &site.service_bus {
        ServiceBusAccess::ConnectionString(text) => {
            text.reveal().parse::<ServiceBusConnection>().context("service_bus_connection_string")?
        }
        ServiceBusAccess::Identity { namespace } => {
            ServiceBusConnection::with_token(namespace, identity::ambient(site.identity.clone()))
                .context("service_bus_namespace")?
        }
    })
}

fn descriptions(site: &AzureSite) -> anyhow::Result<ServiceBusDescriptions> {
    Ok(ServiceBusDescriptions::new(service_bus(site)?, site.service_bus_http_endpoint.clone()))
}

fn service_bus_queue(site: &AzureSite, connection: &ServiceBusConnection, name: &str) -> ServiceBusQueue {
    ServiceBusQueue::new(ServiceBusOptions {
        label: format!("service-bus {name}"),
        connection: connection.clone(),
        http_endpoint: site.service_bus_http_endpoint.clone(),
        queue: name.to_owned(),
        lease: site.lease,
        message_bytes_max: site.message_bytes_max,
        timeouts: Timeouts::default(),
    })
}

fn cosmos_store(site: &AzureSite) -> anyhow::Result<CosmosStore> {
    let credential = match &site.cosmos_key {
        Some(key) => CosmosCredential::Key(key.reveal().to_owned()),
        None => CosmosCredential::Token(identity::ambient(site.identity.clone())),
    };
    Ok(CosmosStore::new(CosmosOptions {
        endpoint: site.cosmos_endpoint.clone(),
        credential,
        database: site.database.clone(),
        container: site.container.clone(),
    })?)
}

fn azure_ports(site: &AzureSite) -> anyhow::Result<SitePorts> {
    let connection = service_bus(site)?;
    let queue = |name: &str| Arc::new(service_bus_queue(site, &connection, name));
    let own = queue(&site.queue);
    let store = Arc::new(cosmos_store(site)?);
    let answers_at = descriptions(site)?.endpoint().context("service_bus_http_endpoint is not set")?;
    let inspect = AzureInspect {
        service_bus: ServiceBusDescriptions::new(connection.clone(), site.service_bus_http_endpoint.clone()),
        queue: site.queue.clone(),
        dead_letter_queue: site.dead_letter_queue.clone(),
        store: store.clone(),
        cosmos_endpoint: site.cosmos_endpoint.clone(),
    };
    let descriptions = ServiceBusDescriptions::new(connection.clone(), site.service_bus_http_endpoint.clone());
    Ok(SitePorts {
        queue: own.clone(),
        dead_letters: queue(&site.dead_letter_queue),
        letters_depth: Arc::new(ServiceBusDepth::counted(Arc::new(descriptions), &site.dead_letter_queue)),
        store,
        copies: Some(own),
        inspect: Arc::new(inspect),
        answers_at,
    })
}

#[cfg(test)]
mod tests {
    use bridge_adapters::{
        layer::Operation,
        memory::{MemoryQueue, MemoryQueueOptions},
    };

    use super::*;
    use crate::config::{Sources, tests::GOOD};

    /// What came ahead into a queue that stays open hides until its lease ends.
    #[tokio::test]
    async fn every_queue_of_a_worker_is_closed() {
        let site = Some("aws:us-east-1".to_owned());
        let config = Config::load(&Sources { file: Some(GOOD.to_owned()), site, ..Sources::default() }).unwrap();
        let mut worksite = worksite(&config, config.own_site().unwrap(), &Telemetry::off()).await.unwrap();
        let closed: Arc<Mutex<Vec<&str>>> = Arc::default();
        let watched = |name: &'static str| -> Arc<dyn Queue> {
            let queue = Arc::new(MemoryQueue::new(MemoryQueueOptions::default(), Arc::new(SystemClock)));
            let closed = Arc::clone(&closed);
            let observe: Observe = Arc::new(move |call| {
                if call.operation == Operation::Close {
                    closed.lock().unwrap().push(name);
                }
            });
            Arc::new(LayeredQueue::new(queue, Meter::new(observe)))
        };
        worksite.queue = watched("events");
        worksite.dead_letters = watched("dead letters");
        for peer in &mut worksite.worker.peers {
            peer.queue = watched("a peer's");
        }
        worksite.close().await;
        assert_eq!(*closed.lock().unwrap(), ["events", "dead letters", "a peer's"]);
    }
}
