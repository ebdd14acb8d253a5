//! One site of the configuration: where its queue, its dead letters and its store are, and how to get in.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use bridge_adapters::{
    aws::FromAzure,
    azure::{FromAws, identity::AzureIdentity, service_bus::ServiceBusConnection},
    names,
};
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
    pub(crate) from_azure: Option<FromAzure>,
    pub(crate) allow: BTreeSet<&'static str>,
}

#[derive(Clone, Debug)]
pub(crate) struct AzureSite {
    pub(crate) service_bus: ServiceBusAccess,
    pub(crate) identity: AzureIdentity,
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
    let from_azure = read_from_azure(section);
    if access_key.is_some() && from_azure.is_some() {
        section.section_error(
            "found access_key_id and from_azure_role_arn; the key would be used everywhere, and the role nowhere",
        );
    }
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
        from_azure,
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
    let client_id = uuid(section, "identity_client_id");
    let from_aws = read_from_aws(section);
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
        identity: AzureIdentity { client_id, from_aws },
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

/// The id of an app, an identity or a tenant.
fn uuid(section: &mut Section<'_, '_>, name: &str) -> Option<String> {
    section.optional::<String>(name).filter(|id| {
        let found = format!("found {id:?}; allowed is a UUID, as Azure shows the id");
        section.checked(name, id.parse::<uuid::Uuid>().map_err(|_| found)).is_some()
    })
}

fn read_from_azure(section: &mut Section<'_, '_>) -> Option<FromAzure> {
    let errors = section.reader.errors.len();
    let mut checked = |name, check: fn(&str) -> Result<(), String>| {
        section.optional::<String>(name).filter(|value| section.checked(name, check(value)).is_some())
    };
    let role_arn = checked("from_azure_role_arn", names::role_arn);
    let audience = checked("from_azure_audience", names::audience);
    let pair = together(section, errors, ["from_azure_role_arn", "from_azure_audience"], role_arn, audience);
    // The rest is the process's, and the same for all sites.
    pair.map(|(role_arn, audience)| FromAzure {
        role_arn,
        audience,
        session: String::new(),
        client_id: None,
        region: String::new(),
    })
}

fn read_from_aws(section: &mut Section<'_, '_>) -> Option<FromAws> {
    let errors = section.reader.errors.len();
    let client_id = uuid(section, "from_aws_client_id");
    let tenant_id = uuid(section, "from_aws_tenant_id");
    let audience = section.name("from_aws_audience", names::audience);
    let pair = together(section, errors, ["from_aws_client_id", "from_aws_tenant_id"], client_id, tenant_id);
    pair.zip(audience).map(|((client_id, tenant_id), audience)| FromAws {
        client_id,
        tenant_id,
        audience,
        region: String::new(),
    })
}

/// Both values, or none; an error, if there was none since `errors`, where one is missing.
fn together(
    section: &mut Section<'_, '_>,
    errors: usize,
    [first, second]: [&str; 2],
    one: Option<String>,
    other: Option<String>,
) -> Option<(String, String)> {
    if one.is_some() != other.is_some() && section.reader.errors.len() == errors {
        section.section_error(format!("found one of {first} and {second}; they go together"));
    }
    one.zip(other)
}

/// What the ways from one cloud into the other take from where the process works: its own site, or the first site of its cloud.
pub(super) fn settle_ways(sites: &mut BTreeMap<SiteId, SiteConfig>, own: Option<&SiteId>) {
    let of_cloud = |cloud: &str| {
        let own = own.filter(|id| id.cloud() == cloud);
        own.or_else(|| sites.keys().find(|id| id.cloud() == cloud)).cloned()
    };
    // Every account has STS there.
    let region = of_cloud("aws").map_or_else(|| "us-east-1".to_owned(), |id| id.region().to_owned());
    let client_id = of_cloud("azure").and_then(|id| match &sites[&id] {
        SiteConfig::Azure(site) => site.identity.client_id.clone(),
        SiteConfig::Aws(_) => None,
    });
    let name = own.map_or_else(|| "operator".to_owned(), |id| id.as_str().replace(':', "-"));
    for (id, site) in sites {
        match site {
            SiteConfig::Aws(AwsSite { from_azure: Some(from), .. }) => {
                from.session = format!("bridge-{name}");
                from.client_id.clone_from(&client_id);
                id.region().clone_into(&mut from.region);
            }
            SiteConfig::Azure(AzureSite { identity: AzureIdentity { from_aws: Some(from), .. }, .. }) => {
                from.region.clone_from(&region);
            }
            _ => {}
        }
    }
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
