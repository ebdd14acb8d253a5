//! What a client must know to reach the services; serialises as the `sites` of the ready file, whose keys are a contract.

use serde::Serialize;

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Sites {
    #[serde(rename = "aws:us-east-1")]
    pub aws: AwsSite,
    #[serde(rename = "azure:westeurope")]
    pub azure: AzureSite,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AwsSite {
    pub cloud: &'static str,
    pub region: &'static str,
    pub access_key_id: &'static str,
    pub secret_access_key: &'static str,
    pub sqs_endpoint: String,
    pub queue_url: String,
    pub dead_letter_queue_url: String,
    pub dynamodb_endpoint: String,
    pub table: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AzureSite {
    pub cloud: &'static str,
    pub region: &'static str,
    pub service_bus_connection_string: String,
    pub service_bus_http_endpoint: String,
    pub queue: &'static str,
    pub dead_letter_queue: &'static str,
    pub cosmos_endpoint: String,
    pub cosmos_key: String,
    pub database: &'static str,
    pub container: &'static str,
}
