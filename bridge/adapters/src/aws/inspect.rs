//! What SQS and DynamoDB say of a site's queues and table.

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    time::Duration,
};

use async_trait::async_trait;
use aws_sdk_dynamodb::types::{
    KeyType, ScalarAttributeType, TableDescription, TimeToLiveDescription, TimeToLiveStatus,
};
use aws_sdk_sqs::types::QueueAttributeName;
use bridge_core::{
    failure::{FailureKind, PortError},
    limits::KEY_BYTES_MAX,
};
use bridge_ops::doctor::{Expiry, Inspect, Look, Looks, PartitionKey, QueueFacts, Redrive, StoreFacts};
use chrono::TimeDelta;
use serde_json::Value;
use url::Url;

use super::{AwsClients, dynamodb::item::EXPIRES_AT, error::Failure};
use crate::{
    look::{LOOK, look, within},
    service_clock,
};

/// What a queue is asked for takes, and for how long. `SetQueueAttributes` in the Amazon SQS API Reference, read 2026-11:
/// 4 days, and 1 MiB, unless set; the service names every attribute, so these stand in for an answer that does not.
const RETENTION: Duration = Duration::from_hours(4 * 24);
const MESSAGE_BYTES: u64 = 1_048_576;

/// A site's things in AWS.
#[derive(Clone, Debug)]
pub struct AwsInspectOptions {
    /// Its region.
    pub region: String,
    /// The site's queue.
    pub queue_url: Url,
    /// Its dead-letter queue.
    pub dead_letter_queue_url: Url,
    /// Its table.
    pub table: String,
    /// Where SQS answers.
    pub sqs_endpoint: Url,
    /// Where DynamoDB answers.
    pub dynamodb_endpoint: Url,
}

/// Looks at a site's things in AWS.
pub struct AwsInspect {
    clients: AwsClients,
    options: AwsInspectOptions,
}

impl AwsInspect {
    /// Nothing is sent until it looks.
    pub fn new(clients: AwsClients, options: AwsInspectOptions) -> Self {
        Self { clients, options }
    }

    async fn queue(&self, url: &Url, limit: Duration) -> Look<QueueFacts> {
        let name = url.path_segments().and_then(|mut parts| parts.next_back()).unwrap_or_default();
        let at = format!("SQS queue {name}");
        let request = self.clients.sqs.get_queue_attributes().queue_url(url.as_str());
        let place = at.clone();
        let read = async {
            let answer = request.attribute_names(QueueAttributeName::All).send().await;
            let answer = answer.map_err(|error| Failure::from(error).at(&place, LOOK))?;
            queue_facts(&answer.attributes.unwrap_or_default())
                .map_err(|detail| PortError::new(&place, LOOK, FailureKind::Rejected { detail }))
        };
        Box::pin(look(at, limit, read)).await
    }

    async fn table(&self, limit: Duration) -> Look<StoreFacts> {
        let at = format!("DynamoDB table {}", self.options.table);
        let (dynamodb, table) = (&self.clients.dynamodb, &self.options.table);
        let describe = async {
            let answer = dynamodb.describe_table().table_name(table).send().await;
            answer.map_err(|error| Failure::from(error).at(&at, LOOK))
        };
        let expiry = async {
            let answer = dynamodb.describe_time_to_live().table_name(table).send().await;
            let answer = answer.map_err(|error| Failure::from(error).at(&at, LOOK))?;
            Ok(expires(answer.time_to_live_description.as_ref()))
        };
        let (described, expiry) = futures_util::join!(within(&at, limit, describe), within(&at, limit, expiry));
        let seen = described.map(|answer| {
            let table = answer.table.unwrap_or_else(|| TableDescription::builder().build());
            StoreFacts {
                partition_key: partition_key(&table),
                // A partition key takes 2,048 bytes: `limits::KEY_BYTES_MAX`.
                key_bytes_max: KEY_BYTES_MAX,
                expiry,
                write_regions: Ok(write_regions(&self.options.region, &table)),
            }
        });
        Look { at, seen }
    }
}

#[async_trait]
impl Inspect for AwsInspect {
    async fn look(&self, limit: Duration) -> Looks {
        let (queue, dead_letter_queue, store) = futures_util::join!(
            self.queue(&self.options.queue_url, limit),
            self.queue(&self.options.dead_letter_queue_url, limit),
            self.table(limit),
        );
        Looks { queue, dead_letter_queue, store }
    }

    async fn clocks(&self, limit: Duration) -> Vec<Look<TimeDelta>> {
        let (sqs, dynamodb) = futures_util::join!(
            service_clock::look("SQS", self.options.sqs_endpoint.clone(), limit),
            service_clock::look("DynamoDB", self.options.dynamodb_endpoint.clone(), limit),
        );
        vec![sqs, dynamodb]
    }
}

impl fmt::Debug for AwsInspect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AwsInspect").field("options", &self.options).finish_non_exhaustive()
    }
}

pub(super) fn queue_facts(attributes: &HashMap<QueueAttributeName, String>) -> Result<QueueFacts, String> {
    let number = |name: QueueAttributeName, default: u64| match attributes.get(&name) {
        Some(text) => text.parse::<u64>().map_err(|_| format!("{name} is {text:?}, which is no number")),
        None => Ok(default),
    };
    Ok(QueueFacts {
        retention: Some(Duration::from_secs(number(QueueAttributeName::MessageRetentionPeriod, RETENTION.as_secs())?)),
        lease: None,
        redrive: attributes.get(&QueueAttributeName::RedrivePolicy).map(|policy| redrive(policy)).transpose()?,
        retries_count: true,
        message_bytes_max: number(QueueAttributeName::MaximumMessageSize, MESSAGE_BYTES)?,
        duplicate_detection: None,
        sessions: false, // The configuration takes no FIFO queue, the one kind that has groups.
        forwards_to: None,
        idle_life: None,
    })
}

/// The policy is JSON in a text; its count is a number or a text, as whoever set it wrote it.
fn redrive(policy: &str) -> Result<Redrive, String> {
    let strange = || format!("RedrivePolicy is {policy:?}, which is none");
    let value: Value = serde_json::from_str(policy).map_err(|_| strange())?;
    let count = match &value["maxReceiveCount"] {
        Value::String(text) => text.parse().ok(),
        number => number.as_u64().and_then(|number| u32::try_from(number).ok()),
    };
    let target = value["deadLetterTargetArn"].as_str().and_then(|arn| arn.rsplit(':').next());
    match (count, target) {
        (Some(deliveries_max), Some(target)) => Ok(Redrive { deliveries_max, target: target.to_owned() }),
        _ => Err(strange()),
    }
}

fn partition_key(table: &TableDescription) -> PartitionKey {
    let keys: Vec<String> = table
        .key_schema()
        .iter()
        .map(|key| {
            let definitions = table.attribute_definitions();
            let kind = definitions.iter().find(|one| one.attribute_name() == key.attribute_name());
            let kind = kind.map_or("?", |one| ScalarAttributeType::as_str(one.attribute_type()));
            let role = if *key.key_type() == KeyType::Hash { "" } else { " as sort key" };
            format!("{} ({kind}){role}", key.attribute_name())
        })
        .collect();
    if keys == ["pk (S)"] {
        return PartitionKey::Fits;
    }
    PartitionKey::Other { is: keys.join(" and "), must_be: "pk (S) alone" }
}

/// Where the table can be written: in its own region, and in the region of each replica. `TableDescription` in the Amazon `DynamoDB` API
/// Reference, read 2026-11: a global table of version 2017.11.29 lists no replicas.
fn write_regions(own: &str, table: &TableDescription) -> BTreeSet<String> {
    let mut regions: BTreeSet<String> =
        table.replicas().iter().filter_map(|replica| replica.region_name().map(str::to_owned)).collect();
    regions.insert(own.to_owned());
    if let (1, Some(version)) = (regions.len(), table.global_table_version()) {
        regions.insert(format!("those of its global table, version {version}"));
    }
    regions
}

fn expires(description: Option<&TimeToLiveDescription>) -> Expiry {
    let on = |status: &TimeToLiveStatus| matches!(status, TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling);
    match description {
        Some(expiry) if expiry.time_to_live_status().is_some_and(on) => match expiry.attribute_name() {
            Some(EXPIRES_AT) => Expiry::ByRecord,
            other => Expiry::OtherAttribute(other.unwrap_or("?").to_owned()),
        },
        _ => Expiry::Off,
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodb::types::ReplicaDescription;

    use super::*;

    #[test]
    fn a_table_is_written_where_it_has_a_replica() {
        let table = TableDescription::builder;
        let replica = |region: &str| ReplicaDescription::builder().region_name(region).build();
        let regions = |table: TableDescription| write_regions("us-east-1", &table).into_iter().collect::<Vec<_>>();
        assert_eq!(regions(table().build()), ["us-east-1"]);
        let version = "2019.11.21";
        let global = table().global_table_version(version).replicas(replica("eu-west-1"));
        assert_eq!(regions(global.clone().build()), ["eu-west-1", "us-east-1"]);
        assert_eq!(regions(global.replicas(replica("us-east-1")).build()), ["eu-west-1", "us-east-1"]);
        let old = regions(table().global_table_version("2017.11.29").build());
        assert_eq!(old, ["those of its global table, version 2017.11.29", "us-east-1"]);
    }

    #[test]
    fn records_expire_by_their_own_attribute_and_by_no_other() {
        let told = |status: TimeToLiveStatus, attribute: Option<&str>| {
            let told = TimeToLiveDescription::builder().time_to_live_status(status);
            expires(Some(&told.set_attribute_name(attribute.map(str::to_owned)).build()))
        };
        let other = |name: &str| Expiry::OtherAttribute(name.to_owned());
        assert_eq!(told(TimeToLiveStatus::Enabled, Some("expires_at")), Expiry::ByRecord);
        assert_eq!(told(TimeToLiveStatus::Enabling, Some("expires_at")), Expiry::ByRecord);
        assert_eq!(told(TimeToLiveStatus::Enabled, Some("ttl")), other("ttl"));
        assert_eq!(told(TimeToLiveStatus::Enabled, None), other("?"));
        assert_eq!(told(TimeToLiveStatus::Disabling, Some("expires_at")), Expiry::Off);
        assert_eq!(expires(None), Expiry::Off);
    }

    #[test]
    fn a_redrive_policy_counts_in_numbers_or_in_texts() {
        for count in ["40", "\"40\""] {
            let policy =
                format!(r#"{{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:1:broken","maxReceiveCount":{count}}}"#);
            assert_eq!(redrive(&policy), Ok(Redrive { deliveries_max: 40, target: "broken".to_owned() }));
        }
        for strange in ["", "{}", r#"{"maxReceiveCount":1}"#, "[]"] {
            assert!(redrive(strange).is_err(), "{strange}");
        }
    }

    #[test]
    fn what_a_queue_does_not_say_is_the_services_default() {
        let facts = queue_facts(&HashMap::new()).unwrap();
        assert_eq!((facts.retention, facts.message_bytes_max, facts.redrive), (Some(RETENTION), MESSAGE_BYTES, None));
        let odd = HashMap::from([(QueueAttributeName::MaximumMessageSize, "much".to_owned())]);
        assert!(queue_facts(&odd).unwrap_err().contains("much"));
    }
}
