//! How to mend what was found: a command of the cloud's own tool, or a key of the configuration.
//!
//! Words in capitals are for the operator to fill in: the bridge does not know them. Commands are those of the AWS CLI
//! version 2 and of the Azure CLI; none was run, as docs/doctor.md says.

use std::time::Duration;

use bridge_core::event::SiteId;
use bridge_ops::doctor::{Mend, Thing};
use url::Url;

use crate::config::{
    Config, SiteConfig,
    site::{AwsSite, AzureSite, ServiceBusAccess},
};

/// What to do about it.
pub(super) fn phrase(mend: Mend, site: Option<&SiteId>, config: &Config) -> String {
    match (mend, site.and_then(|id| Some((id, config.sites.get(id)?)))) {
        (Mend::Configure { of_site: false, key, value }, _) => format!("set worker.{key} = {value}"),
        (Mend::SetClock, _) => {
            "synchronise this machine's clock (chronyc tracking, timedatectl), or look from another machine".to_owned()
        }
        (Mend::SignIn, _) => {
            "give this process an identity, for example by signing in with `aws sso login` or `az login`; docs/identity.md says where \
             each cloud's chain looks"
                .to_owned()
        }
        (Mend::Configure { key, value, .. }, Some((id, _))) => format!("set sites.\"{id}\".{key} = {value}"),
        (Mend::Reach, _) => {
            "check the network and the address; `bridge config` shows which is configured, and where it came from"
                .to_owned()
        }
        (mend, Some((id, SiteConfig::Aws(site)))) => aws(mend, id, site),
        (mend, Some((id, SiteConfig::Azure(site)))) => azure(mend, id, site),
        (_, None) => "see docs/doctor.md".to_owned(),
    }
}

/// Before the command that makes a thing, where there is one that does not fit: `key` is where the configuration names it.
fn replace(id: &SiteId, thing: Thing, key: &str, create: &str) -> String {
    let fill = if thing == Thing::Store { "; then fill it from another site with bridge backfill" } else { "" };
    format!(
        "this cannot be changed. Make another one and name it in sites.\"{id}\".{key}, or delete this one with all that it holds, and make it \
         anew: {create}{fill}"
    )
}

/// Before the command that makes a thing, where there is one that refuses the bridge's own request.
fn accept(create: &str) -> String {
    format!(
        "something in its settings refuses what the bridge asks, for example an index or a unique key of somebody else's: compare it with one that \
         is made by {create}"
    )
}

fn aws(mend: Mend, id: &SiteId, site: &AwsSite) -> String {
    let (region, table) = (id.region(), &site.table);
    let url = |thing| if thing == Thing::Queue { &site.queue_url } else { &site.dead_letter_queue_url };
    let set = |thing, attributes: &str| {
        format!("aws sqs set-queue-attributes --region {region} --queue-url {} --attributes {attributes}", url(thing))
    };
    match mend {
        Mend::Create(Thing::Store) => format!(
            "aws dynamodb create-table --region {region} --table-name {table} --billing-mode PAY_PER_REQUEST \
             --attribute-definitions AttributeName=pk,AttributeType=S --key-schema AttributeName=pk,KeyType=HASH; then {}",
            aws(Mend::Expire { elsewhere: false }, id, site)
        ),
        Mend::Create(Thing::Queue) => format!(
            "{}; then run bridge doctor again, which says how its redrive policy must be",
            aws(Mend::Create(Thing::DeadLetterQueue), id, site)
                .replace(name(&site.dead_letter_queue_url), name(&site.queue_url))
        ),
        Mend::Create(thing) => format!(
            "aws sqs create-queue --region {region} --queue-name {} --attributes MessageRetentionPeriod=1209600",
            name(url(thing))
        ),
        Mend::Replace(thing) => {
            let key = match thing {
                Thing::Queue => "queue_url",
                Thing::DeadLetterQueue => "dead_letter_queue_url",
                Thing::Store => "table",
            };
            replace(id, thing, key, &aws(Mend::Create(thing), id, site))
        }
        Mend::Accept(thing) => accept(&aws(Mend::Create(thing), id, site)),
        Mend::Scale(Thing::Store) => format!(
            "aws dynamodb update-table --region {region} --table-name {table} --billing-mode PAY_PER_REQUEST, or raise its capacity"
        ),
        Mend::Scale(_) => "look again later: SQS limits how many requests a second it takes".to_owned(),
        Mend::Keep(thing, time) => set(thing, &format!("MessageRetentionPeriod={}", time.as_secs())),
        Mend::Redrive { deliveries_max } => set(
            Thing::Queue,
            &format!(
                r#"'{{"RedrivePolicy":"{{\"deadLetterTargetArn\":\"arn:aws:sqs:{region}:ACCOUNT:QUEUE_FOR_WHAT_CRASHES\",\"maxReceiveCount\":\"{deliveries_max}\"}}"}}'"#
            ),
        ),
        Mend::KeepLetters => set(Thing::DeadLetterQueue, "RedrivePolicy="),
        Mend::Expire { elsewhere } => {
            let set = |enabled: bool, name: &str| {
                format!(
                    "aws dynamodb update-time-to-live --region {region} --table-name {table} \
                     --time-to-live-specification Enabled={enabled},AttributeName={name}"
                )
            };
            let on = set(true, "expires_at");
            // `UpdateTimeToLive` in the Amazon DynamoDB API Reference, read 2026-11: one change an hour, and none of the attribute alone.
            if elsewhere { format!("{}; an hour later: {on}", set(false, "OTHER")) } else { on }
        }
        Mend::OneRegion => format!(
            "delete the replicas that DescribeTable names: aws dynamodb update-table --region {region} --table-name {table} \
             --replica-updates '[{{\"Delete\":{{\"RegionName\":\"REPLICA\"}}}}]'; or, where nobody writes there, neither an application nor \
             another site of the bridge, set sites.\"{id}\".allow = \"store.regions\""
        ),
        Mend::Widen(thing, bytes) => {
            let command = set(thing, &format!("MaximumMessageSize={bytes}"));
            format!("{command}; and sites.\"{id}\".message_bytes_max = {bytes}")
        }
        Mend::AllowUse(_) => aws_right(mend, site),
        Mend::Prove(_) if site.access_key.is_some() => {
            format!("check sites.\"{id}\".access_key_id and secret_access_key: AWS does not take them")
        }
        Mend::AllowLook(Thing::Store) => format!(
            "look with a role that may dynamodb:DescribeTable and dynamodb:DescribeTimeToLive on {table}; {NEED_NOT}"
        ),
        Mend::AllowLook(thing) => {
            format!("look with a role that may sqs:GetQueueAttributes on {}; {NEED_NOT}", name(url(thing)))
        }
        Mend::StopForwarding(_) | Mend::Stay(_) => unreachable!("SQS has no such setting"),
        Mend::Prove(_) => OTHER_CREDENTIALS.to_owned(),
        Mend::Configure { .. } | Mend::SetClock | Mend::SignIn | Mend::Reach => {
            unreachable!("the same for every cloud")
        }
    }
}

/// The right that a worker lacks.
fn aws_right(mend: Mend, site: &AwsSite) -> String {
    let queue = match mend {
        Mend::AllowUse(Thing::Queue) => &site.queue_url,
        Mend::AllowUse(Thing::DeadLetterQueue) => &site.dead_letter_queue_url,
        _ => return format!("allow the role dynamodb:GetItem and dynamodb:PutItem on {}", site.table),
    };
    format!(
        "allow the role sqs:SendMessage, sqs:ReceiveMessage, sqs:DeleteMessage and sqs:ChangeMessageVisibility on {}",
        name(queue)
    )
}

/// Of an identity that a service does not recognise.
const OTHER_CREDENTIALS: &str = "the service does not take who this process says it is, so no right helps: check this machine's clock, and which \
                                 identity `bridge config` shows for the site; docs/identity.md explains each";

/// Of the right to read settings.
const NEED_NOT: &str = "a worker works without, and then starts without looking";

fn azure(mend: Mend, id: &SiteId, site: &AzureSite) -> String {
    let namespace = namespace(&site.service_bus);
    let queue = |thing| if thing == Thing::Queue { &site.queue } else { &site.dead_letter_queue };
    let bus = |verb: &str, thing, flags: &str| {
        let name = queue(thing);
        format!("az servicebus queue {verb} --resource-group GROUP --namespace-name {namespace} --name {name} {flags}")
    };
    let account = site.cosmos_endpoint.host_str().and_then(|host| host.split('.').next()).unwrap_or("ACCOUNT");
    let account = if account.parse::<u8>().is_ok() { "ACCOUNT" } else { account };
    let cosmos = |verb: &str, flags: &str| {
        let (database, container) = (&site.database, &site.container);
        format!(
            "az cosmosdb sql container {verb} --resource-group GROUP --account-name {account} \
             --database-name {database} --name {container} {flags}"
        )
    };
    match mend {
        Mend::Create(Thing::Store) => format!(
            "{}; a missing database first: az cosmosdb sql database create --resource-group GROUP --account-name {account} --name {}",
            cosmos("create", "--partition-key-path /pk --partition-key-version 2 --ttl -1"),
            site.database
        ),
        Mend::Create(thing) => {
            let lock = site.lease.as_secs();
            let flags =
                format!("--lock-duration PT{lock}S --default-message-time-to-live P14D --max-delivery-count 10");
            bus("create", thing, &flags)
        }
        Mend::Replace(thing) => {
            let key = match thing {
                Thing::Queue => "queue",
                Thing::DeadLetterQueue => "dead_letter_queue",
                Thing::Store => "container",
            };
            replace(id, thing, key, &azure(Mend::Create(thing), id, site))
        }
        Mend::Accept(thing) => accept(&azure(Mend::Create(thing), id, site)),
        Mend::Scale(Thing::Store) => cosmos("throughput update", "--throughput UNITS"),
        Mend::Scale(_) => format!(
            "look again later, or take more messaging units in Premium: az servicebus namespace update --resource-group GROUP --name {namespace} \
             --capacity UNITS"
        ),
        Mend::Keep(thing, time) => bus("update", thing, &format!("--default-message-time-to-live P{}D", days(time))),
        Mend::Redrive { deliveries_max } => {
            bus("update", Thing::Queue, &format!("--max-delivery-count {deliveries_max}"))
        }
        Mend::KeepLetters => unreachable!("Service Bus counts no look"),
        Mend::Expire { .. } => cosmos("update", "--ttl -1"),
        Mend::OneRegion => format!(
            "az cosmosdb update --resource-group GROUP --name {account} --enable-multiple-write-locations false; or, where nobody writes in \
             another region, neither an application nor another site of the bridge, set sites.\"{id}\".allow = \"store.regions\""
        ),
        Mend::StopForwarding(thing) => bus("update", thing, "--forward-to \"\""),
        Mend::Stay(thing) => bus("update", thing, "--auto-delete-on-idle P10675198DT2H48M5.477S"),
        Mend::Widen(thing, bytes) => {
            let command = bus("update", thing, &format!("--max-message-size {}", bytes.div_ceil(1024)));
            format!(
                "in a Premium namespace: {command}; and sites.\"{id}\".message_bytes_max = {bytes}; in a Standard one it can be 262144 at most"
            )
        }
        Mend::Prove(Thing::Store) | Mend::AllowUse(Thing::Store) if site.cosmos_key.is_some() => {
            format!("check sites.\"{id}\".cosmos_key: the account refuses it")
        }
        Mend::Prove(Thing::Queue | Thing::DeadLetterQueue) | Mend::AllowUse(Thing::Queue | Thing::DeadLetterQueue)
            if matches!(site.service_bus, ServiceBusAccess::ConnectionString(_)) =>
        {
            format!(
                "check sites.\"{id}\".service_bus_connection_string: its key must be right, and may Send and Listen"
            )
        }
        Mend::AllowUse(Thing::Store) => {
            format!("give the identity the role Cosmos DB Built-in Data Contributor on {}", site.database)
        }
        Mend::AllowUse(thing) => {
            format!("give the identity the roles Azure Service Bus Data Sender and Data Receiver on {}", queue(thing))
        }
        Mend::AllowLook(Thing::Store) => {
            format!("look with an identity that has the role Cosmos DB Built-in Data Reader on {}", site.database)
        }
        Mend::AllowLook(thing) => format!(
            "look with an identity that has the role Azure Service Bus Data Owner (or the claim Manage) on {}; {NEED_NOT}",
            queue(thing)
        ),
        Mend::Prove(_) => OTHER_CREDENTIALS.to_owned(),
        Mend::Configure { .. } | Mend::SetClock | Mend::SignIn | Mend::Reach => {
            unreachable!("the same for every cloud")
        }
    }
}

/// A queue's name: the last part of its address.
fn name(url: &Url) -> &str {
    url.path_segments().and_then(|mut parts| parts.next_back()).unwrap_or_default()
}

fn namespace(access: &ServiceBusAccess) -> &str {
    match access {
        ServiceBusAccess::Identity { namespace } => namespace.split('.').next().unwrap_or(namespace),
        ServiceBusAccess::ConnectionString(_) => "NAMESPACE",
    }
}

fn days(time: Duration) -> u64 {
    time.as_secs().div_ceil(86_400)
}
