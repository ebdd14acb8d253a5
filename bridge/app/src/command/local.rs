//! `bridge local`: both clouds on this machine, and a worker for each.

use std::{
    net::Ipv4Addr,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::Context;
use bridge_adapters::clock::SystemClock;
use bridge_core::{
    port::{Clock, Message, Properties},
    property::rfc3339,
};
use futures_util::future;
use localcloud::{Contents, LocalCloud, cli, service_bus::Tier};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::dashboard;
use crate::{
    assemble,
    config::{Config, Sources},
    doctor::OwnSite,
    exit::{Code, Misuse},
    host,
    telemetry::{Settings, Telemetry},
};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Serves SQS, DynamoDB, Service Bus and Cosmos DB on loopback with their own wire protocols, so their ordinary clients work. Nothing leaves this machine. Everything is gone when it stops.\n\nExample: bridge local --site aws:us-east-1 --site aws:eu-west-1 --site azure:westeurope"
)]
pub(crate) struct Args {
    /// Send no sample traffic and print no instructions
    #[arg(long)]
    quiet: bool,
    /// Write all addresses to this file, as JSON, once everything is up
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
    /// Run only the clouds, for your own worker or function
    #[arg(long)]
    without_workers: bool,
    /// Port of the metrics for Prometheus; 0 lets the system choose
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    metrics_port: u16,
    /// Port of the dashboard; 0 lets the system choose
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    dashboard_port: u16,
    #[command(flatten)]
    cloud: cli::CloudArgs,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<Code> {
    let started = Instant::now();
    let stop = host::stop_signal()?;
    let options = args.cloud.options(contents()).map_err(|error| Misuse(error.to_string()))?;
    let cloud = LocalCloud::start(options).await?;
    let sites = serde_json::to_value(cloud.sites())?;
    let file = std::env::temp_dir().join(format!("bridge-local-{}.toml", std::process::id()));
    write_whole(&file, &configuration(&sites, args.cloud.lease_seconds, args.cloud.service_bus_premium))?;
    let environment = super::environment("BRIDGE_WORKER_");
    let config = Config::load(&Sources { file: Some(file.display().to_string()), site: None, environment })?;

    let telemetry = Telemetry::start(&Settings::of_process()?, true)?;
    let listener = super::run::listener((Ipv4Addr::LOCALHOST, args.metrics_port).into()).await?;
    let metrics = format!("http://{}/metrics", listener.local_addr()?);
    let worked = CancellationToken::new();
    let serving = tokio::spawn({
        let (telemetry, worked) = (telemetry.clone(), worked.clone());
        async move { tokio::join!(telemetry.serve(listener, worked.clone()), telemetry.send_until(worked)).0 }
    });

    let mut workers = tokio::task::JoinSet::new();
    if !args.without_workers {
        let worksites = config.sites.keys().map(async |site| {
            let worksite = assemble::worksite(&config, site, &telemetry).await?;
            let own = OwnSite::of(&config, &worksite);
            own.check().await?;
            anyhow::Ok((site, worksite, own))
        });
        for (site, worksite, own) in future::try_join_all(worksites).await? {
            let (container, stop) = (config.container_of(site), stop.clone());
            workers.spawn(async move { host::container::work(&worksite, &own, container, stop).await });
        }
    }
    // It looks only while it is watched: nobody's counts of requests and nobody's faults are spent by a page that is not open.
    let listen = (Ipv4Addr::LOCALHOST, args.dashboard_port).into();
    let dashboard = dashboard::start(&config, listen, None, None, stop.clone()).await.context("--dashboard-port")?;
    let ready = json!({ "sites": sites, "config": file, "admin": cloud.admin(), "dashboard": dashboard.url(), "metrics": metrics });
    if let Some(path) = &args.ready_file {
        write_whole(path, &format!("{ready:#}\n"))?;
    }
    let mut welcomed = Ok(());
    if !args.quiet {
        welcomed = super::print(&welcome(&ready, started.elapsed(), !args.without_workers));
        if welcomed.is_err() {
            stop.cancel();
        }
        if !args.without_workers {
            let (config, stop) = (config.clone(), stop.clone());
            workers.spawn(async move { trickle(&config, &stop).await });
        }
    }

    stop.cancelled().await;
    while let Some(ended) = workers.join_next().await {
        ended.context("a worker panicked")?;
    }
    worked.cancel();
    serving.await.context("the metrics' server panicked")??;
    dashboard.ended().await?;
    cloud.stop().await;
    for path in args.ready_file.iter().chain([&file]) {
        if let Err(error) = std::fs::remove_file(path) {
            tracing::debug!(%error, path = %path.display(), "not removed");
        }
    }
    welcomed.map(|()| Code::Done)
}

fn write_whole(path: &Path, text: &str) -> anyhow::Result<()> {
    cli::write_whole(path, text).with_context(|| format!("{} cannot be written", path.display()))
}

/// What the bridge needs in each site, under the names of its documents.
fn contents() -> Contents {
    Contents {
        queue: "bridge-events".to_owned(),
        dead_letter_queue: "bridge-events-dead".to_owned(),
        redrive_queue: "bridge-events-dlq".to_owned(),
        // SQS counts the worker's own retries, of which there are up to 20, so it needs room above them. In Service Bus each
        // retry is a new message, and only crashes count.
        sqs_deliveries_max: 1_000,
        service_bus_deliveries_max: 10,
        table: "bridge-records".to_owned(),
        database: "bridge".to_owned(),
        ..Contents::default()
    }
}

/// The configuration file for the sites that localcloud serves.
fn configuration(sites: &Value, lease_seconds: u16, service_bus_premium: bool) -> String {
    const AWS: &[(&str, &str)] = &[
        ("queue_url", "queue_url"),
        ("dead_letter_queue_url", "dead_letter_queue_url"),
        ("table", "table"),
        ("sqs_endpoint", "sqs_endpoint"),
        ("dynamodb_endpoint", "dynamodb_endpoint"),
        ("access_key_id", "access_key_id"),
        ("secret_access_key", "secret_access_key"),
    ];
    const AZURE: &[(&str, &str)] = &[
        ("service_bus_connection_string", "service_bus_connection_string"),
        ("service_bus_http_endpoint", "service_bus_http_endpoint"),
        ("queue", "queue"),
        ("dead_letter_queue", "dead_letter_queue"),
        ("cosmos_endpoint", "cosmos_endpoint"),
        ("cosmos_key", "cosmos_key"),
        ("database", "database"),
        ("container", "container"),
    ];
    let mut text = "# Written by `bridge local`, for as long as it runs.\n".to_owned();
    text += "\n[worker]\nheartbeat_seconds = 2 # So that what goes dark shows within seconds.\nconflicts = \"keep\"\n";
    for (id, site) in sites.as_object().into_iter().flatten() {
        let names = if site["cloud"] == "aws" { AWS } else { AZURE };
        text += &format!("\n[sites.\"{id}\"]\nlease_seconds = {lease_seconds}\n");
        for (key, field) in names {
            // A JSON string is a TOML basic string too.
            text += &format!("{key} = {}\n", site[*field]);
        }
        if service_bus_premium && site["cloud"] == "azure" {
            text += &format!("message_bytes_max = {}\n", Tier::PREMIUM_MESSAGE_BYTES);
        }
    }
    text
}

fn welcome(ready: &Value, took: Duration, workers: bool) -> String {
    let text = |name: &str| ready[name].as_str().unwrap_or_default();
    let (config, admin) = (text("config"), text("admin"));
    let sites: Vec<(&str, &Value)> =
        ready["sites"].as_object().into_iter().flatten().map(|(name, site)| (name.as_str(), site)).collect();
    let (origin, _) = sites.first().copied().unwrap_or(("aws:us-east-1", &Value::Null));
    let program = std::env::args().next().unwrap_or_else(|| "bridge".to_owned());
    let drill = if workers {
        format!("Make a site fail, and measure what that does:\n\n  {program} drill {origin} --admin {admin}\n\n")
    } else {
        String::new()
    };
    let workers = if workers { "a worker for each, and a trickle of sample orders" } else { "no workers" };
    let event = |origin: &str| {
        let head = format!(
            r#"{{"event_id":"01936d6e-8a3c-7c61-9d0b-0f3a5a3c9e11","source_region":"{origin}","op_type":"create","#
        );
        let payload = r#""payload":{"id":"order-42","total":1999,"currency":"EUR"}"#;
        format!(r#"{head}{payload},"timestamp":"{}"}}"#, rfc3339(SystemClock.now()))
    };
    format!(
        "{count} sites are up on this machine after {took:.1?}, with {workers}.

{places}
  dashboard          {dashboard}
  configuration      {config}
  faults, counts     {admin}
  metrics            {metrics}

Send an order at one site and look at it at all, from a second terminal:

  export BRIDGE_CONFIG={config}
  echo '{first}' | {program} publish -
  {program} get order-42

With the clouds' own tools:

{tools}
{drill}Ctrl-C ends it; nothing is kept.
",
        count = sites.len(),
        places = sites.iter().map(|(name, site)| place(name, site)).collect::<String>(),
        dashboard = text("dashboard"),
        metrics = text("metrics"),
        first = event(origin),
        tools = ["aws", "azure"]
            .iter()
            .filter_map(|cloud| sites.iter().find(|(_, site)| site["cloud"] == *cloud))
            .map(|(name, site)| tool(site, &event(name)))
            .collect::<String>(),
    )
}

/// Where a site's services are.
fn place(name: &str, site: &Value) -> String {
    let field = |name: &str| site[name].as_str().unwrap_or("?");
    if site["cloud"] == "aws" {
        return format!(
            "  {name:<18} SQS          {}\n{:21}queue        {}\n{:21}DynamoDB     {}  table {}\n",
            field("sqs_endpoint"),
            "",
            field("queue_url"),
            "",
            field("dynamodb_endpoint"),
            field("table")
        );
    }
    let bus = field("service_bus_connection_string").split(['/', ';']).nth(2).unwrap_or("127.0.0.1");
    format!(
        "  {name:<18} Service Bus  {bus}:5672 and {}  queue {}\n{:21}Cosmos DB    {}  {}/{}\n",
        field("service_bus_http_endpoint"),
        field("queue"),
        "",
        field("cosmos_endpoint"),
        field("database"),
        field("container")
    )
}

/// How the cloud's own tool sends an event to the site.
fn tool(site: &Value, event: &str) -> String {
    let field = |name: &str| site[name].as_str().unwrap_or("?");
    if site["cloud"] == "aws" {
        return format!(
            "  AWS_ACCESS_KEY_ID={} AWS_SECRET_ACCESS_KEY={} aws --region {} --endpoint-url {} \\\n    sqs send-message --queue-url {} --message-body '{event}'\n",
            field("access_key_id"),
            field("secret_access_key"),
            field("region"),
            field("sqs_endpoint"),
            field("queue_url"),
        );
    }
    format!(
        "  python3 -c 'import sys, azure.servicebus as s; s.ServiceBusClient.from_connection_string(sys.argv[1]).get_queue_sender(\"{}\").send_messages(s.ServiceBusMessage(sys.argv[2]))' \\\n    '{}' '{event}'\n",
        field("queue"),
        field("service_bus_connection_string"),
    )
}

/// How often a sample order is written in one of the clouds.
const TRICKLE: Duration = Duration::from_secs(1);
const SAMPLE_ORDERS: u64 = 20;

/// Writes a sample order every second, now here and now there: created, changed, and at times deleted.
async fn trickle(config: &Config, stop: &CancellationToken) {
    let mut number = 0_u64;
    let sites: Vec<_> = config.sites.keys().collect();
    loop {
        tokio::select! {
            () = tokio::time::sleep(TRICKLE) => {}
            () = stop.cancelled() => return,
        }
        let site = sites[usize::try_from(number).unwrap_or_default() % sites.len()];
        let op = if number % 17 == 16 { "delete" } else { "upsert" };
        let event = json!({
            "event_id": uuid::Uuid::now_v7().to_string(),
            "source_region": site.as_str(),
            "op_type": op,
            "payload": { "id": format!("sample-{}", number % SAMPLE_ORDERS), "total": 100 + number, "currency": "EUR" },
            "timestamp": SystemClock.now().to_rfc3339_opts(chrono::SecondsFormat::Micros, true),
        });
        number += 1;
        let id = uuid::Uuid::new_v4().to_string();
        let message = Message { id, body: event.to_string().into(), properties: Properties::new() };
        let sent = match assemble::ports(config, site).await {
            Ok(ports) => {
                ports.queue.send(&[message]).await.into_iter().find_map(Result::err).map(|error| error.chain())
            }
            Err(error) => Some(format!("{error:#}")),
        };
        if let Some(error) = sent {
            tracing::warn!(error, "a sample order was not sent");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The narrowest queue decides what a worker takes.
    #[test]
    fn workers_are_told_of_the_premium_tier() {
        let sites = json!({ "aws:us-east-1": { "cloud": "aws" }, "azure:westeurope": { "cloud": "azure" } });
        let told = |premium| configuration(&sites, 30, premium).matches("\nmessage_bytes_max = 1048576\n").count();
        assert_eq!((told(false), told(true)), (0, 1));
    }

    /// Without workers no drill can pass.
    #[test]
    fn a_drill_is_offered_where_it_can_pass() {
        let offered = |workers| welcome(&json!({}), Duration::ZERO, workers).contains(" drill aws:us-east-1 --admin ");
        assert!(offered(true) && !offered(false));
    }

    /// Whatever the sites are, each is shown with its own addresses, and there is one example for each cloud.
    #[test]
    fn every_site_is_shown_and_every_cloud_has_an_example() {
        let site = |cloud: &str, endpoint: &str| {
            json!({
                "cloud": cloud, "region": "here", "sqs_endpoint": endpoint, "cosmos_endpoint": endpoint,
                "service_bus_connection_string": format!("Endpoint=sb://{endpoint};"),
            })
        };
        let sites = json!({
            "azure:eastus": site("azure", "one"), "azure:westus": site("azure", "two"), "azure:uksouth": site("azure", "three"),
        });
        let shown = welcome(&json!({ "sites": sites, "admin": "http://admin" }), Duration::ZERO, true);
        for words in
            ["3 sites are up", "azure:eastus       Service Bus  one:5672", "azure:westus       Service Bus  two:5672"]
        {
            assert!(shown.contains(words), "{shown}");
        }
        assert!(shown.contains(" drill azure:eastus --admin http://admin"), "{shown}");
        assert_eq!((shown.matches("python3 -c").count(), shown.matches("aws --region").count()), (1, 0), "{shown}");
        assert!(!shown.contains("us-east-1"), "{shown}");
    }
}
