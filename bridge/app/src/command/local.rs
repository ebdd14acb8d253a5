//! `bridge local`: both clouds on this machine, and a worker for each.

use std::{
    net::{IpAddr, Ipv4Addr},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::Context;
use bridge_adapters::clock::SystemClock;
use bridge_core::{
    port::{Clock, Message, Properties},
    settlement::rfc3339,
};
use bridge_localcloud::{LocalCloud, Options, fault::Fault, service_bus::Tier};
use futures_util::future;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::dashboard;
use crate::{
    assemble,
    config::{Config, Sources},
    doctor::OwnSite,
    exit::Code,
    host,
    telemetry::{Settings, Telemetry},
};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "SQS, DynamoDB, Service Bus and Cosmos DB on loopback, with their own wire protocols; nothing leaves this machine and nothing is kept. Any client of theirs works against it.\n\nExample: bridge local"
)]
pub(crate) struct Args {
    /// No sample traffic, and no words on how to use it
    #[arg(long)]
    quiet: bool,
    /// Write where everything is, as JSON, once all is up
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
    /// The clouds alone, for a worker or a function of one's own
    #[arg(long)]
    without_workers: bool,
    /// The loopback address of Service Bus, whose clients insist on port 5672
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    service_bus_address: IpAddr,
    /// A Premium namespace of Service Bus: messages of 1 MB, and of more where a queue allows it
    #[arg(long)]
    service_bus_premium: bool,
    /// A second region in which the Cosmos DB account takes writes, for the doctor to find
    #[arg(long, value_name = "REGION")]
    cosmos_second_write_region: Option<String>,
    /// Port of SQS; 0 lets the system choose, as for all ports here
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    sqs_port: u16,
    /// Port of DynamoDB
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    dynamodb_port: u16,
    /// Port of Cosmos DB
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    cosmos_port: u16,
    /// Port of Service Bus over HTTP
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    service_bus_http_port: u16,
    /// Port of the admin endpoint: faults, counts of requests, what the services hold
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    admin_port: u16,
    /// Port of the metrics, for Prometheus
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    metrics_port: u16,
    /// Port of the dashboard
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    dashboard_port: u16,
    /// Lease of the queues, in seconds: a short one shows within seconds what becomes of messages whose worker is gone
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u16).range(2..=300))]
    lease_seconds: u16,
    /// A fault from the start on, as in `dynamodb:PutItem:throttle,probability=0.2`; may be repeated
    #[arg(long, value_name = "FAULT")]
    fault: Vec<Fault>,
    /// Seed of the faults
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<Code> {
    let started = Instant::now();
    let stop = host::stop_signal()?;
    let cloud = LocalCloud::start(Options {
        seed: args.seed,
        sqs_port: args.sqs_port,
        dynamodb_port: args.dynamodb_port,
        cosmos_port: args.cosmos_port,
        service_bus_address: args.service_bus_address,
        service_bus_http_port: args.service_bus_http_port,
        service_bus_tier: if args.service_bus_premium { Tier::premium() } else { Tier::Standard },
        cosmos_second_write_region: args.cosmos_second_write_region.clone(),
        admin_port: args.admin_port,
        lease: Duration::from_secs(args.lease_seconds.into()),
        faults: args.fault.clone(),
        ..Options::default()
    })
    .await?;
    let sites = serde_json::to_value(cloud.sites())?;
    let file = std::env::temp_dir().join(format!("bridge-local-{}.toml", std::process::id()));
    write_whole(&file, &configuration(&sites, args.lease_seconds, args.service_bus_premium))?;
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
            OwnSite::of(&config, &worksite).check().await?;
            anyhow::Ok((site, worksite))
        });
        for (site, worksite) in future::try_join_all(worksites).await? {
            let (container, stop) = (config.container_of(site), stop.clone());
            workers.spawn(async move { host::container::work(&worksite, container, stop).await });
        }
    }
    // It looks only while it is watched: nobody's counts of requests and nobody's faults are spent by a page that is not open.
    let listen = (Ipv4Addr::LOCALHOST, args.dashboard_port).into();
    let dashboard = dashboard::start(&config, listen, None, None, stop.clone()).await.context("--dashboard-port")?;
    let ready = json!({ "sites": sites, "config": file, "admin": cloud.admin(), "dashboard": dashboard.url(), "metrics": metrics });
    if let Some(path) = &args.ready_file {
        write_whole(path, &format!("{ready:#}\n"))?;
    }
    if !args.quiet {
        super::print(&welcome(&ready, started.elapsed(), !args.without_workers))?;
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
    Ok(Code::Done)
}

/// Writes a file so that nobody ever reads half of it.
fn write_whole(path: &Path, text: &str) -> anyhow::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let draft = folder.join(format!(".{}.{}", path.file_name().unwrap_or_default().display(), std::process::id()));
    std::fs::write(&draft, text)
        .and_then(|()| std::fs::rename(&draft, path))
        .with_context(|| format!("{} cannot be written", path.display()))
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
    let field = |site: &str, name: &str| ready["sites"][site][name].as_str().unwrap_or("?").to_owned();
    let aws = |name: &str| field("aws:us-east-1", name);
    let azure = |name: &str| field("azure:westeurope", name);
    let config = ready["config"].as_str().unwrap_or_default();
    let admin = ready["admin"].as_str().unwrap_or_default();
    let metrics = ready["metrics"].as_str().unwrap_or_default();
    let dashboard = ready["dashboard"].as_str().unwrap_or_default();
    let program = std::env::args().next().unwrap_or_else(|| "bridge".to_owned());
    let drill = if workers {
        format!("Make a cloud fail, and measure what that does:\n\n  {program} drill aws:us-east-1 --admin {admin}\n\n")
    } else {
        String::new()
    };
    let workers = if workers { "a worker for each, and a trickle of sample orders" } else { "no workers" };
    let head =
        r#"{"event_id":"01936d6e-8a3c-7c61-9d0b-0f3a5a3c9e11","source_region":"aws:us-east-1","op_type":"create","#;
    let payload = r#""payload":{"id":"order-42","total":1999,"currency":"EUR"}"#;
    let event = format!(r#"{head}{payload},"timestamp":"{}"}}"#, rfc3339(SystemClock.now()));
    format!(
        "Both clouds are up on this machine after {took:.1?}, with {workers}.

  aws:us-east-1      SQS          {sqs}
                     queue        {queue}
                     DynamoDB     {dynamodb}  table {table}
  azure:westeurope   Service Bus  {bus}:5672 and {bus_http}  queue {bus_queue}
                     Cosmos DB    {cosmos}  {database}/{container}

  dashboard          {dashboard}
  configuration      {config}
  faults, counts     {admin}
  metrics            {metrics}

Send an order in one cloud and look at it in both, from a second terminal:

  export BRIDGE_CONFIG={config}
  echo '{event}' | {program} publish -
  {program} get order-42

With the clouds' own tools:

  AWS_ACCESS_KEY_ID={id} AWS_SECRET_ACCESS_KEY={secret} aws --region us-east-1 --endpoint-url {sqs} \\
    sqs send-message --queue-url {queue} --message-body '{event}'
  python3 -c 'import sys, azure.servicebus as s; s.ServiceBusClient.from_connection_string(sys.argv[1]).get_queue_sender(\"{bus_queue}\").send_messages(s.ServiceBusMessage(sys.argv[2]))' \\
    '{connection}' '{event}'

{drill}Ctrl-C ends it; nothing is kept.
",
        took = took,
        sqs = aws("sqs_endpoint"),
        queue = aws("queue_url"),
        dynamodb = aws("dynamodb_endpoint"),
        table = aws("table"),
        bus = azure("service_bus_connection_string").split(['/', ';']).nth(2).unwrap_or("127.0.0.1"),
        bus_http = azure("service_bus_http_endpoint"),
        bus_queue = azure("queue"),
        cosmos = azure("cosmos_endpoint"),
        database = azure("database"),
        container = azure("container"),
        id = aws("access_key_id"),
        secret = aws("secret_access_key"),
        connection = azure("service_bus_connection_string"),
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
}
