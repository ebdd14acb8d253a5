//! All services put together as two sites, with the queues, tables and containers that a bridge needs.

mod sites;

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::admin;
use crate::cosmos::{Cosmos, CosmosOptions};
use crate::dynamodb::{Dynamodb, DynamodbOptions};
use crate::fault::{Fault, Faults, Service};
use crate::http::Server;
use crate::service_bus::{QueueSettings, ServiceBus, ServiceBusOptions, Tier};
use crate::sqs::{Sqs, SqsOptions};

pub use sites::{AwsSite, AzureSite, Sites};

const AWS_REGION: &str = "us-east-1";
const AWS_ACCOUNT: &str = "000000000000";
const ACCESS_KEY_ID: &str = "LOCALCLOUD";
const SECRET_ACCESS_KEY: &str = "not-a-secret";
const AZURE_REGION: &str = "westeurope";
const AZURE_REGION_NAME: &str = "West Europe";
const SERVICE_BUS_KEY_NAME: &str = "RootManageSharedAccessKey";

const QUEUE: &str = "bridge-events";
/// Where a worker itself lays aside what it cannot deliver.
const DEAD_LETTER_QUEUE: &str = "bridge-events-dead";
/// Where SQS itself lays aside what was received too often; Service Bus keeps such a queue inside each queue.
const BROKER_DEAD_LETTER_QUEUE: &str = "bridge-events-dlq";
const TABLE: &str = "bridge-records";
const TTL_ATTRIBUTE: &str = "expires_at";
const DATABASE: &str = "bridge";
const CONTAINER: &str = "records";

/// As the deployed queues have it.
const LEASE: Duration = Duration::from_secs(30);
/// Deliveries before the broker itself lays a message aside. SQS counts the worker's own retries, of which there are up to
/// 20, so it needs room above them; in Service Bus each retry is a new message, and only crashes count.
const SQS_DELIVERIES_MAX: u32 = 40;
const SERVICE_BUS_DELIVERIES_MAX: u32 = 10;
/// Source: SQS quotas, "message retention": at most 14 days, read 2026-11.
const RETENTION: Duration = Duration::from_hours(14 * 24);

/// The port that official Service Bus clients assume for an emulator, whose address they take without one.
pub const SERVICE_BUS_PORT: u16 = 5672;

/// Where the services listen and what goes wrong from the start. Ports of 0 are chosen by the system.
#[derive(Clone, Debug)]
pub struct Options {
    /// Repeats the same faults for the same calls.
    pub seed: u64,
    pub sqs_port: u16,
    pub dynamodb_port: u16,
    pub cosmos_port: u16,
    /// A loopback address of its own lets a second localcloud run on this machine.
    pub service_bus_address: IpAddr,
    /// Anything but [`SERVICE_BUS_PORT`] is out of reach for official clients; 0 suits the bridge's own tests.
    pub service_bus_port: u16,
    pub service_bus_http_port: u16,
    pub service_bus_tier: Tier,
    /// A second region in which the Cosmos DB account takes writes, as `North Europe`.
    pub cosmos_second_write_region: Option<String>,
    pub admin_port: u16,
    /// Of every queue, unless its creator says otherwise: SQS's visibility timeout, Service Bus's lock. Whole seconds.
    pub lease: Duration,
    pub faults: Vec<Fault>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            seed: 1,
            sqs_port: 0,
            dynamodb_port: 0,
            cosmos_port: 0,
            service_bus_address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            service_bus_port: SERVICE_BUS_PORT,
            service_bus_http_port: 0,
            service_bus_tier: Tier::Standard,
            cosmos_second_write_region: None,
            admin_port: 0,
            lease: LEASE,
            faults: Vec::new(),
        }
    }
}

/// Why localcloud did not start, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("{service} cannot listen on {address}: {source}; {advice}")]
    Listen { service: &'static str, address: String, advice: String, source: io::Error },
    #[error("{service} could not create {name}: {reason}; this is a fault of localcloud itself")]
    Create { service: &'static str, name: &'static str, reason: String },
}

/// Both clouds, up and running; their contents end with it.
pub struct LocalCloud {
    faults: Arc<Faults>,
    sqs: Sqs,
    dynamodb: Dynamodb,
    service_bus: ServiceBus,
    cosmos: Cosmos,
    admin: Server,
    sites: Sites,
}

impl LocalCloud {
    /// Starts all services and creates what a bridge needs in them.
    ///
    /// # Errors
    /// A port or address cannot be had; whatever had started by then is ended again.
    pub async fn start(options: Options) -> Result<Self, StartError> {
        let faults = Faults::new(options.seed);
        let (sqs, [queue_url, dead_letter_queue_url]) = start_sqs(&options, &faults).await?;
        let dynamodb = start_dynamodb(&options, &faults).await?;
        let service_bus = start_service_bus(&options, &faults).await?;
        let cosmos_key = STANDARD.encode("the key of localcloud's account, which guards nothing");
        let cosmos = start_cosmos(&options, &faults, &cosmos_key).await?;
        let admin_address = loopback(options.admin_port);
        let gauges = [
            (Service::Sqs, sqs.gauge()),
            (Service::Dynamodb, dynamodb.gauge()),
            (Service::ServiceBus, service_bus.gauge()),
            (Service::Cosmos, cosmos.gauge()),
        ];
        let admin = admin::start(admin_address, Arc::clone(&faults), gauges.into()).await;
        let admin = admin.map_err(listen("the admin interface", admin_address, "--admin-port"))?;
        let sites = Sites {
            aws: AwsSite {
                cloud: "aws",
                region: AWS_REGION,
                access_key_id: ACCESS_KEY_ID,
                secret_access_key: SECRET_ACCESS_KEY,
                sqs_endpoint: sqs.endpoint(),
                queue_url,
                dead_letter_queue_url,
                dynamodb_endpoint: dynamodb.endpoint(),
                table: TABLE,
            },
            azure: AzureSite {
                cloud: "azure",
                region: AZURE_REGION,
                service_bus_connection_string: service_bus.connection_string(),
                service_bus_http_endpoint: format!("http://{}", service_bus.http_address()),
                queue: QUEUE,
                dead_letter_queue: DEAD_LETTER_QUEUE,
                cosmos_endpoint: cosmos.endpoint(),
                cosmos_key,
                database: DATABASE,
                container: CONTAINER,
            },
        };
        // Last, so that a fault's time does not run while the services start.
        for fault in options.faults {
            faults.add(fault);
        }
        Ok(Self { faults, sqs, dynamodb, service_bus, cosmos, admin, sites })
    }

    /// Where and with what keys to reach the services: the `sites` of the ready file.
    pub fn sites(&self) -> &Sites {
        &self.sites
    }

    /// Where the admin interface is, as `http://127.0.0.1:PORT`.
    pub fn admin(&self) -> String {
        format!("http://{}", self.admin.address())
    }

    pub fn faults(&self) -> &Arc<Faults> {
        &self.faults
    }

    pub fn sqs(&self) -> &Sqs {
        &self.sqs
    }

    pub fn service_bus(&self) -> &ServiceBus {
        &self.service_bus
    }

    /// Stops all services at once, letting calls finish for a moment.
    pub async fn stop(self) {
        let Self { sqs, dynamodb, service_bus, cosmos, admin, .. } = self;
        tokio::join!(sqs.stop(), dynamodb.stop(), service_bus.stop(), cosmos.stop(), admin.stop());
    }
}

async fn start_sqs(options: &Options, faults: &Arc<Faults>) -> Result<(Sqs, [String; 2]), StartError> {
    let address = loopback(options.sqs_port);
    let sqs = Sqs::start(SqsOptions {
        address,
        region: AWS_REGION.to_owned(),
        account: AWS_ACCOUNT.to_owned(),
        access_key_id: ACCESS_KEY_ID.to_owned(),
        faults: Arc::clone(faults),
    });
    let sqs = sqs.await.map_err(listen("SQS", address, "--sqs-port"))?;
    let (lease, retention) = (options.lease.as_secs().to_string(), RETENTION.as_secs().to_string());
    let redrive = format!(
        r#"{{"deadLetterTargetArn":"arn:aws:sqs:{AWS_REGION}:{AWS_ACCOUNT}:{BROKER_DEAD_LETTER_QUEUE}","maxReceiveCount":"{SQS_DELIVERIES_MAX}"}}"#
    );
    let common = [("VisibilityTimeout", lease.as_str()), ("MessageRetentionPeriod", retention.as_str())];
    let with_redrive = [common[0], common[1], ("RedrivePolicy", redrive.as_str())];
    let create = |name: &'static str, attributes: &[(&str, &str)]| {
        let refused =
            |error: crate::sqs::SqsError| StartError::Create { service: "SQS", name, reason: error.to_string() };
        sqs.create_queue(name, attributes).map_err(refused)
    };
    create(BROKER_DEAD_LETTER_QUEUE, &common)?;
    let urls = [create(QUEUE, &with_redrive)?, create(DEAD_LETTER_QUEUE, &common)?];
    Ok((sqs, urls))
}

async fn start_dynamodb(options: &Options, faults: &Arc<Faults>) -> Result<Dynamodb, StartError> {
    let address = loopback(options.dynamodb_port);
    let dynamodb = Dynamodb::start(DynamodbOptions {
        address,
        region: AWS_REGION.to_owned(),
        access_key_id: ACCESS_KEY_ID.to_owned(),
        faults: Arc::clone(faults),
    });
    let dynamodb = dynamodb.await.map_err(listen("DynamoDB", address, "--dynamodb-port"))?;
    let refused = |reason| StartError::Create { service: "DynamoDB", name: TABLE, reason };
    dynamodb.create_table(TABLE, "pk", Some(TTL_ATTRIBUTE)).map_err(refused)?;
    Ok(dynamodb)
}

async fn start_service_bus(options: &Options, faults: &Arc<Faults>) -> Result<ServiceBus, StartError> {
    let address = SocketAddr::new(options.service_bus_address, options.service_bus_port);
    let settings = QueueSettings {
        lock_duration: options.lease,
        max_delivery_count: SERVICE_BUS_DELIVERIES_MAX,
        default_ttl: Some(RETENTION),
        ..QueueSettings::default()
    };
    let queues = [QUEUE, DEAD_LETTER_QUEUE].map(|name| (name.to_owned(), settings.clone()));
    let service_bus = ServiceBus::start(
        ServiceBusOptions {
            address,
            http_address: SocketAddr::new(options.service_bus_address, options.service_bus_http_port),
            key_name: SERVICE_BUS_KEY_NAME.to_owned(),
            key: STANDARD.encode("the key of localcloud's bus"),
            tier: options.service_bus_tier,
            faults: Arc::clone(faults),
        },
        queues.into(),
    );
    service_bus.await.map_err(listen("Service Bus", address, "--service-bus-address"))
}

async fn start_cosmos(options: &Options, faults: &Arc<Faults>, key: &str) -> Result<Cosmos, StartError> {
    let address = loopback(options.cosmos_port);
    let cosmos = Cosmos::start(CosmosOptions {
        address,
        key: key.to_owned(),
        region: AZURE_REGION_NAME.to_owned(),
        second_write_region: options.cosmos_second_write_region.clone(),
        faults: Arc::clone(faults),
    });
    let cosmos = cosmos.await.map_err(listen("Cosmos DB", address, "--cosmos-port"))?;
    let refused = |name: &'static str| move |reason| StartError::Create { service: "Cosmos DB", name, reason };
    cosmos.create_database(DATABASE).await.map_err(refused(DATABASE))?;
    cosmos.create_container(DATABASE, CONTAINER, "/pk", Some(-1)).await.map_err(refused(CONTAINER))?;
    Ok(cosmos)
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

/// Turns the system's word for a failed listen into one with advice.
fn listen(service: &'static str, address: SocketAddr, flag: &'static str) -> impl FnOnce(io::Error) -> StartError {
    move |source| {
        let advice = match source.kind() {
            io::ErrorKind::AddrInUse if flag == "--service-bus-address" => format!(
                "another program (a message broker, or another localcloud) has this port; give this one an address of its own, \
                 such as {flag} 127.0.0.2"
            ),
            io::ErrorKind::AddrInUse => {
                format!("another program has this port; choose another with {flag}, or 0 to let the system choose")
            }
            io::ErrorKind::AddrNotAvailable => {
                "this machine has no such address; on macOS, add it first: sudo ifconfig lo0 alias ADDRESS".to_owned()
            }
            io::ErrorKind::PermissionDenied => format!("ports below 1024 need rights; choose another with {flag}"),
            io::ErrorKind::InvalidInput => {
                format!("localcloud guards nothing, so it stays on this machine; see {flag}")
            }
            _ => format!("see {flag}"),
        };
        StartError::Listen { service, address: address.to_string(), advice, source }
    }
}
