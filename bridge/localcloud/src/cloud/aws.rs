//! A site in AWS: SQS and DynamoDB of one region, each on a port of its own.

use std::sync::Arc;

use super::{AwsSite, StartError, listen, loopback};
use crate::contents::Contents;
use crate::dynamodb::{Dynamodb, DynamodbOptions};
use crate::fault::{Faults, Service, ServiceAt};
use crate::site::Cloud;
use crate::sqs::{Sqs, SqsError, SqsOptions};
use crate::usage::Gauge;

/// One account in all regions, as a customer of AWS has it; so its access key is the same in all regions too.
const ACCOUNT: &str = "000000000000";
const ACCESS_KEY_ID: &str = "LOCALCLOUD";
const SECRET_ACCESS_KEY: &str = "not-a-secret";

/// A region of AWS, and where its services listen.
#[derive(Clone, Debug)]
pub struct AwsOptions {
    pub region: String,
    pub sqs_port: u16,
    pub dynamodb_port: u16,
}

impl AwsOptions {
    /// On ports of the system's choice.
    pub fn new(region: &str) -> Self {
        Self { region: region.to_owned(), sqs_port: 0, dynamodb_port: 0 }
    }
}

/// A region of AWS, up and running.
pub struct AwsRegion {
    pub site: AwsSite,
    pub sqs: Sqs,
    pub dynamodb: Dynamodb,
}

impl AwsRegion {
    pub(super) async fn start(
        options: AwsOptions,
        contents: &Contents,
        faults: &Arc<Faults>,
    ) -> Result<Self, StartError> {
        let (sqs, [queue_url, dead_letter_queue_url]) = start_sqs(&options, contents, faults).await?;
        let dynamodb = start_dynamodb(&options, contents, faults).await?;
        let site = AwsSite {
            cloud: Cloud::Aws.name(),
            region: options.region,
            access_key_id: ACCESS_KEY_ID.to_owned(),
            secret_access_key: SECRET_ACCESS_KEY.to_owned(),
            sqs_endpoint: sqs.endpoint(),
            queue_url,
            dead_letter_queue_url,
            dynamodb_endpoint: dynamodb.endpoint(),
            table: contents.table.clone(),
        };
        Ok(Self { site, sqs, dynamodb })
    }

    pub(super) fn gauges(&self) -> [(ServiceAt, Gauge); 2] {
        let at = |service| ServiceAt::new(service, &self.site.region);
        [(at(Service::Sqs), self.sqs.gauge()), (at(Service::Dynamodb), self.dynamodb.gauge())]
    }

    pub(super) async fn stop(self) {
        tokio::join!(self.sqs.stop(), self.dynamodb.stop());
    }
}

async fn start_sqs(
    options: &AwsOptions,
    contents: &Contents,
    faults: &Arc<Faults>,
) -> Result<(Sqs, [String; 2]), StartError> {
    let (address, region) = (loopback(options.sqs_port), options.region.as_str());
    let sqs = Sqs::start(SqsOptions {
        address,
        region: region.to_owned(),
        account: ACCOUNT.to_owned(),
        access_key_id: ACCESS_KEY_ID.to_owned(),
        faults: Arc::clone(faults),
    });
    let sqs = sqs.await.map_err(listen(&format!("SQS of {region}"), address, "--sqs-port"))?;
    let (lease, retention) = (contents.lease.as_secs().to_string(), contents.retention.as_secs().to_string());
    let (set_aside, deliveries) = (&contents.redrive_queue, contents.sqs_deliveries_max);
    let redrive = format!(
        r#"{{"deadLetterTargetArn":"arn:aws:sqs:{region}:{ACCOUNT}:{set_aside}","maxReceiveCount":"{deliveries}"}}"#
    );
    let common = [("VisibilityTimeout", lease.as_str()), ("MessageRetentionPeriod", retention.as_str())];
    let with_redrive = [common[0], common[1], ("RedrivePolicy", redrive.as_str())];
    let create = |name: &str, attributes: &[(&str, &str)]| {
        let refused =
            |error: SqsError| StartError::Create { service: "SQS", name: name.to_owned(), reason: error.to_string() };
        sqs.create_queue(name, attributes).map_err(refused)
    };
    create(set_aside, &common)?;
    let urls = [create(&contents.queue, &with_redrive)?, create(&contents.dead_letter_queue, &common)?];
    Ok((sqs, urls))
}

async fn start_dynamodb(
    options: &AwsOptions,
    contents: &Contents,
    faults: &Arc<Faults>,
) -> Result<Dynamodb, StartError> {
    let (address, region, table) = (loopback(options.dynamodb_port), &options.region, &contents.table);
    let dynamodb = Dynamodb::start(DynamodbOptions {
        address,
        region: region.clone(),
        access_key_id: ACCESS_KEY_ID.to_owned(),
        faults: Arc::clone(faults),
    });
    let dynamodb = dynamodb.await.map_err(listen(&format!("DynamoDB of {region}"), address, "--dynamodb-port"))?;
    let refused = |reason| StartError::Create { service: "DynamoDB", name: table.clone(), reason };
    dynamodb.create_table(table, &contents.key, Some(&contents.ttl_attribute)).map_err(refused)?;
    Ok(dynamodb)
}
