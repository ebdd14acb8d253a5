//! One site of the configuration: where its queue, its dead letters and its store are, and how to get in.

use std::{collections::BTreeSet, time::Duration};

use bridge_adapters::{azure::service_bus::ServiceBusConnection, names};
use bridge_core::event::SiteId;
use bridge_ops::replay::frame::At;
use url::Url;

use super::{Secret, reader::Section, size};

/// One site.
#[derive(Clone, Debug)]
pub(crate) enum SiteConfig {
    Aws(AwsSite),
    Azure(AzureSite),
}

#[derive(Clone, Debug)]
pub(crate) struct AwsSite {
    pub(crate) queue_url: Url,
    pub(crate) dead_letter_queue_url: Url,
    pub(crate) table: String,
    pub(crate) lease: Duration,
    pub(crate) message_bytes_max: usize,
    pub(crate) sqs_endpoint: Option<Url>,
    pub(crate) dynamodb_endpoint: Option<Url>,
    pub(crate) access_key: Option<(String, Secret)>,
    pub(crate) allow: BTreeSet<&'static str>,
}

#[derive(Clone, Debug)]
pub(crate) struct AzureSite {
    pub(crate) service_bus: ServiceBusAccess,
    pub(crate) identity_client_id: Option<String>,
    pub(crate) service_bus_http_endpoint: Option<Url>,
    pub(crate) queue: String,
    pub(crate) dead_letter_queue: String,
    pub(crate) lease: Duration,
    pub(crate) message_bytes_max: usize,
    pub(crate) cosmos_endpoint: Url,
    pub(crate) cosmos_key: Option<Secret>,
    pub(crate) database: String,
    pub(crate) container: String,
    pub(crate) allow: BTreeSet<&'static str>,
}

/// How to get into a namespace.
#[derive(Clone, Debug)]
pub(crate) enum ServiceBusAccess {
    Identity { namespace: String },
    ConnectionString(Secret),
}

impl SiteConfig {
    pub(crate) fn message_bytes_max(&self) -> usize {
        match self {
            Self::Aws(site) => site.message_bytes_max,
            Self::Azure(site) => site.message_bytes_max,
        }
    }

    pub(crate) fn lease(&self) -> Duration {
        match self {
            Self::Aws(site) => site.lease,
            Self::Azure(site) => site.lease,
        }
    }

    /// Bad findings of the doctor with which it starts all the same.
    pub(crate) fn allow(&self) -> &BTreeSet<&'static str> {
        match self {
            Self::Aws(site) => &site.allow,
            Self::Azure(site) => &site.allow,
        }
    }

    /// Where its things are, without secrets: what a saved plan depends on.
    pub(crate) fn at(&self, id: &SiteId) -> At {
        match self {
            Self::Aws(site) => At {
                queue: site.queue_url.to_string(),
                dead_letter_queue: site.dead_letter_queue_url.to_string(),
                store: format!("{} {}", site.dynamodb_endpoint.as_ref().map_or(id.region(), Url::as_str), site.table),
            },
            Self::Azure(site) => {
                let namespace = site.service_bus.namespace();
                At {
                    queue: format!("{namespace} {}", site.queue),
                    dead_letter_queue: format!("{namespace} {}", site.dead_letter_queue),
                    store: format!("{} {}/{}", site.cosmos_endpoint, site.database, site.container),
                }
            }
        }
    }

    /// The keys of its things, each with its place in one spelling: no two of all sites may be the same.
    pub(crate) fn places(&self, id: &SiteId) -> [(&'static str, String); 3] {
        match self {
            Self::Aws(site) => {
                let queue = |url| format!("sqs {}", names::queue_place(url, id.region()));
                let endpoint = site.dynamodb_endpoint.as_ref().map_or(id.region().to_owned(), names::endpoint_place);
                [
                    ("queue_url", queue(&site.queue_url)),
                    ("dead_letter_queue_url", queue(&site.dead_letter_queue_url)),
                    // One address may serve several regions, as a local server does: it takes the region from the signature.
                    ("table", format!("dynamodb {endpoint} {} {}", id.region(), site.table)),
                ]
            }
            Self::Azure(site) => {
                // Service Bus compares names of queues without case.
                let queue = |name: &str| format!("{} {}", site.service_bus.namespace(), name.to_ascii_lowercase());
                let endpoint = names::endpoint_place(&site.cosmos_endpoint);
                [
                    ("queue", queue(&site.queue)),
                    ("dead_letter_queue", queue(&site.dead_letter_queue)),
                    ("container", format!("{endpoint} {}/{}", site.database, site.container)),
                ]
            }
        }
    }
}

impl ServiceBusAccess {
    /// The namespace's address, without a key.
    fn namespace(&self) -> String {
        let address = match self {
            Self::Identity { namespace } => namespace.as_str(),
            Self::ConnectionString(text) => {
                let fields = text.reveal().split(';').filter_map(|field| field.trim().split_once('='));
                fields
                    .filter(|(name, _)| name.eq_ignore_ascii_case("Endpoint"))
                    .map(|(_, value)| value)
                    .next()
                    .unwrap_or_default()
            }
        };
        let host = address.trim().split_once("://").map_or(address.trim(), |(_, host)| host);
        let host = host.trim_end_matches('/').to_ascii_lowercase();
        let host = host.strip_suffix(":5671").unwrap_or(&host);
        host.trim_end_matches('.').to_owned()
    }
}

pub(super) fn read_aws(section: &mut Section<'_, '_>) -> Option<AwsSite> {
    let queue_url = section.queue_url("queue_url");
    let dead_letter_queue_url = section.queue_url("dead_letter_queue_url");
    let table = section.name("table", names::table);
    let lease = section.seconds("lease_seconds");
    let message_bytes_max = size(section.number("message_bytes_max"));
    let sqs_endpoint = section.url("sqs_endpoint", false);
    let dynamodb_endpoint = section.url("dynamodb_endpoint", false);
    let access_key = match (section.optional::<String>("access_key_id"), section.secret("secret_access_key")) {
        (Some(id), Some(key)) => Some((id, key)),
        (None, None) => None,
        _ => {
            section.section_error("found one of access_key_id and secret_access_key; they go together");
            None
        }
    };
    let allow = section.names("allow");
    Some(AwsSite {
        queue_url: queue_url?,
        dead_letter_queue_url: dead_letter_queue_url?,
        table: table?,
        lease,
        message_bytes_max,
        sqs_endpoint,
        dynamodb_endpoint,
        access_key,
        allow,
    })
}

pub(super) fn read_azure(section: &mut Section<'_, '_>) -> Option<AzureSite> {
    let service_bus = read_service_bus(section);
    let service_bus_http_endpoint = section.url("service_bus_http_endpoint", false);
    let queue = section.name("queue", names::service_bus_queue);
    let dead_letter_queue = section.name("dead_letter_queue", names::service_bus_queue);
    if let (Some(ServiceBusAccess::ConnectionString(text)), Some(queue)) = (&service_bus, &queue) {
        check_connection(section, text, queue, service_bus_http_endpoint.is_some());
    }
    let identity_client_id = section.optional::<String>("identity_client_id").filter(|id| {
        let found = format!("found {id:?}; allowed is the identity's client id, a UUID");
        section.checked("identity_client_id", id.parse::<uuid::Uuid>().map_err(|_| found)).is_some()
    });
    let lease = section.seconds("lease_seconds");
    let message_bytes_max = size(section.number("message_bytes_max"));
    let cosmos_endpoint = section.url("cosmos_endpoint", true);
    let cosmos_key = section.secret("cosmos_key");
    if let Some(key) = &cosmos_key {
        section.checked("cosmos_key", names::cosmos_key(key.reveal()));
    }
    let database = section.name("database", names::cosmos);
    let container = section.name("container", names::cosmos);
    let allow = section.names("allow");
    Some(AzureSite {
        service_bus: service_bus?,
        identity_client_id,
        service_bus_http_endpoint,
        queue: queue?,
        dead_letter_queue: dead_letter_queue?,
        lease,
        message_bytes_max,
        cosmos_endpoint: cosmos_endpoint?,
        cosmos_key,
        database: database?,
        container: container?,
        allow,
    })
}

fn read_service_bus(section: &mut Section<'_, '_>) -> Option<ServiceBusAccess> {
    let errors = section.reader.errors.len();
    let namespace = section.optional::<String>("service_bus_namespace");
    let connection_string = section.secret("service_bus_connection_string");
    match (namespace, connection_string) {
        (Some(namespace), None) => {
            let namespace = section.checked("service_bus_namespace", names::namespace(&namespace))?;
            Some(ServiceBusAccess::Identity { namespace })
        }
        (None, Some(text)) => Some(ServiceBusAccess::ConnectionString(text)),
        // What is there is wrong, and was told of.
        (None, None) if section.reader.errors.len() > errors => None,
        (namespace, _) => {
            let found = if namespace.is_some() { "both" } else { "neither" };
            section.section_error(format!(
                "found {found} of service_bus_namespace (managed identity) and service_bus_connection_string; allowed is one of the \
                 two, as in service_bus_namespace = \"example.servicebus.windows.net\""
            ));
            None
        }
    }
}

/// The parts of a connection string, and whether it opens the site's own queue. Says nothing of what a secret is.
fn check_connection(section: &mut Section<'_, '_>, text: &Secret, queue: &str, has_http_endpoint: bool) {
    let key = "service_bus_connection_string";
    let Some(connection) = section.checked(key, text.reveal().parse::<ServiceBusConnection>()) else { return };
    if let Some(other) = connection.queue().filter(|other| !other.eq_ignore_ascii_case(queue)) {
        section.error(
            key,
            format!(
                "found EntityPath={other}, and the site's queue is {queue}; allowed is the connection string of the namespace"
            ),
        );
    }
    if connection.is_emulator() && !has_http_endpoint {
        section.error("service_bus_http_endpoint", "is missing: an emulator's address for HTTP cannot be guessed");
    }
}
