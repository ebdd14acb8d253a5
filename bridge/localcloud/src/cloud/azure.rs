//! A site in Azure: a namespace of Service Bus and an account of Cosmos DB in one region.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{AzureSite, StartError, listen, loopback};
use crate::contents::Contents;
use crate::cosmos::{Cosmos, CosmosOptions};
use crate::fault::{Faults, Service, ServiceAt};
use crate::service_bus::{QueueSettings, ServiceBus, ServiceBusOptions, Tier};
use crate::site::Cloud;
use crate::usage::Gauge;

const SERVICE_BUS_KEY_NAME: &str = "RootManageSharedAccessKey";

/// The port that official Service Bus clients assume for an emulator, whose address they take without one.
pub const SERVICE_BUS_PORT: u16 = 5672;

/// A region of Azure, and where its services listen.
#[derive(Clone, Debug)]
pub struct AzureOptions {
    pub region: String,
    /// A loopback address of its own for each namespace on this machine, as official clients dial one port on all.
    pub service_bus_address: IpAddr,
    /// Anything but [`SERVICE_BUS_PORT`] is out of reach for official clients; 0 suits tests with clients of their own.
    pub service_bus_port: u16,
    pub service_bus_http_port: u16,
    pub service_bus_tier: Tier,
    pub cosmos_port: u16,
    /// A second region in which the account takes writes.
    pub cosmos_second_write_region: Option<String>,
}

impl AzureOptions {
    /// Service Bus on port 5672 of 127.0.0.1, all else on ports of the system's choice.
    pub fn new(region: &str) -> Self {
        Self {
            region: region.to_owned(),
            service_bus_address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            service_bus_port: SERVICE_BUS_PORT,
            service_bus_http_port: 0,
            service_bus_tier: Tier::Standard,
            cosmos_port: 0,
            cosmos_second_write_region: None,
        }
    }
}

/// A region of Azure, up and running.
pub struct AzureRegion {
    pub site: AzureSite,
    pub service_bus: ServiceBus,
    pub cosmos: Cosmos,
}

impl AzureRegion {
    pub(super) async fn start(
        options: AzureOptions,
        contents: &Contents,
        faults: &Arc<Faults>,
    ) -> Result<Self, StartError> {
        // Each region has keys of its own, so that who mixes them up is refused, as the services would.
        let key = |of: &str| STANDARD.encode(format!("the key of {of} in {}, which guards nothing", options.region));
        let (bus_key, cosmos_key) = (key("Service Bus"), key("Cosmos DB"));
        let service_bus = start_service_bus(&options, contents, faults, bus_key).await?;
        let cosmos = start_cosmos(&options, contents, faults, &cosmos_key).await?;
        let site = AzureSite {
            cloud: Cloud::Azure.name(),
            region: options.region,
            service_bus_connection_string: service_bus.connection_string(),
            service_bus_http_endpoint: format!("http://{}", service_bus.http_address()),
            queue: contents.queue.clone(),
            dead_letter_queue: contents.dead_letter_queue.clone(),
            cosmos_endpoint: cosmos.endpoint(),
            cosmos_key,
            database: contents.database.clone(),
            container: contents.container.clone(),
        };
        Ok(Self { site, service_bus, cosmos })
    }

    pub(super) fn gauges(&self) -> [(ServiceAt, Gauge); 2] {
        let at = |service| ServiceAt::new(service, &self.site.region);
        [(at(Service::ServiceBus), self.service_bus.gauge()), (at(Service::Cosmos), self.cosmos.gauge())]
    }

    pub(super) async fn stop(self) {
        tokio::join!(self.service_bus.stop(), self.cosmos.stop());
    }
}

async fn start_service_bus(
    options: &AzureOptions,
    contents: &Contents,
    faults: &Arc<Faults>,
    key: String,
) -> Result<ServiceBus, StartError> {
    let address = SocketAddr::new(options.service_bus_address, options.service_bus_port);
    let settings = QueueSettings {
        lock_duration: contents.lease,
        max_delivery_count: contents.service_bus_deliveries_max,
        default_ttl: Some(contents.retention),
        ..QueueSettings::default()
    };
    let queues = [&contents.queue, &contents.dead_letter_queue].map(|name| (name.clone(), settings.clone()));
    let service_bus = ServiceBus::start(
        ServiceBusOptions {
            region: options.region.clone(),
            address,
            http_address: SocketAddr::new(options.service_bus_address, options.service_bus_http_port),
            key_name: SERVICE_BUS_KEY_NAME.to_owned(),
            key,
            tier: options.service_bus_tier,
            faults: Arc::clone(faults),
        },
        queues.into(),
    );
    let service = format!("Service Bus of {}", options.region);
    service_bus.await.map_err(listen(&service, address, "--service-bus-address"))
}

async fn start_cosmos(
    options: &AzureOptions,
    contents: &Contents,
    faults: &Arc<Faults>,
    key: &str,
) -> Result<Cosmos, StartError> {
    let (address, region) = (loopback(options.cosmos_port), &options.region);
    let cosmos = Cosmos::start(CosmosOptions {
        address,
        key: key.to_owned(),
        region: region.clone(),
        second_write_region: options.cosmos_second_write_region.clone(),
        faults: Arc::clone(faults),
    });
    let cosmos = cosmos.await.map_err(listen(&format!("Cosmos DB of {region}"), address, "--cosmos-port"))?;
    let Contents { database, container, key, .. } = contents;
    let refused = |name: &str| {
        let name = name.to_owned();
        move |reason| StartError::Create { service: "Cosmos DB", name, reason }
    };
    cosmos.create_database(database).await.map_err(refused(database))?;
    cosmos.create_container(database, container, &format!("/{key}"), Some(-1)).await.map_err(refused(container))?;
    Ok(cosmos)
}
