//! What a client must know to reach the services; serialises as the `sites` of the ready file, whose keys are a contract.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::site::{Cloud, SiteName};

/// Every site; in writing a map by the site's name, such as `aws:us-east-1`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sites {
    pub aws: Vec<AwsSite>,
    pub azure: Vec<AzureSite>,
}

impl Serialize for Sites {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.aws.len() + self.azure.len()))?;
        for site in &self.aws {
            map.serialize_entry(&SiteName::new(Cloud::Aws, &site.region).to_string(), site)?;
        }
        for site in &self.azure {
            map.serialize_entry(&SiteName::new(Cloud::Azure, &site.region).to_string(), site)?;
        }
        map.end()
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AwsSite {
    pub cloud: &'static str,
    pub region: String,
    pub access_key_id: String,
    pub secret_access_key: String,
    pub sqs_endpoint: String,
    pub queue_url: String,
    pub dead_letter_queue_url: String,
    pub dynamodb_endpoint: String,
    pub table: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AzureSite {
    pub cloud: &'static str,
    pub region: String,
    pub service_bus_connection_string: String,
    pub service_bus_http_endpoint: String,
    pub queue: String,
    pub dead_letter_queue: String,
    pub cosmos_endpoint: String,
    pub cosmos_key: String,
    pub database: String,
    pub container: String,
}
