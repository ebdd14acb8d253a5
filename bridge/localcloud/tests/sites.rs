//! Several sites of each cloud in one process: each is alone with its messages, its items, its keys and its troubles.

#![allow(clippy::unwrap_used, reason = "a step that fails must fail its test")]

mod wire;

use std::net::SocketAddr;

use localcloud::{AwsOptions, AzureOptions, Contents, LocalCloud, Options, SiteName};
use serde_json::{Value, json};
use wire::{Answer, request};

fn azure(region: &str) -> AzureOptions {
    AzureOptions { service_bus_port: 0, ..AzureOptions::new(region) }
}

fn options() -> Options {
    Options {
        aws: ["us-east-1", "eu-west-1"].map(AwsOptions::new).into(),
        azure: ["westeurope", "eastus", "japaneast"].map(azure).into(),
        ..Options::default()
    }
}

async fn cloud() -> LocalCloud {
    LocalCloud::start(options()).await.unwrap()
}

fn address(endpoint: &str) -> SocketAddr {
    endpoint.trim_start_matches("http://").trim_end_matches('/').parse().unwrap()
}

/// A call to SQS that is signed for this region.
async fn sqs(cloud: &LocalCloud, at: usize, region: &str, action: &str, body: &Value) -> Option<Answer> {
    let site = &cloud.aws()[at].site;
    let now = chrono::DateTime::<chrono::Utc>::from(std::time::SystemTime::now());
    let date = now.format("%Y%m%dT%H%M%SZ").to_string();
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential={}/20261121/{region}/sqs/aws4_request, SignedHeaders=host, Signature=0",
        site.access_key_id
    );
    let target = format!("AmazonSQS.{action}");
    let headers =
        [("x-amz-target", target.as_str()), ("x-amz-date", date.as_str()), ("authorization", authorization.as_str())];
    request(address(&site.sqs_endpoint), "POST", "/", &headers, body.to_string().as_bytes()).await
}

async fn send(cloud: &LocalCloud, at: usize) -> Option<Answer> {
    let site = &cloud.aws()[at].site;
    sqs(cloud, at, &site.region, "SendMessage", &json!({ "QueueUrl": site.queue_url, "MessageBody": "x" })).await
}

async fn admin(cloud: &LocalCloud, method: &str, path: &str, body: &str) -> Value {
    request(address(&cloud.admin()), method, path, &[], body.as_bytes()).await.unwrap().json()
}

#[tokio::test]
async fn each_site_has_its_own_addresses_contents_and_keys() {
    let cloud = cloud().await;
    let sites = serde_json::to_value(cloud.sites()).unwrap();
    let names: Vec<&str> = sites.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(names, ["aws:eu-west-1", "aws:us-east-1", "azure:eastus", "azure:japaneast", "azure:westeurope"]);
    for (name, site) in sites.as_object().unwrap() {
        let parsed: SiteName = name.parse().unwrap();
        assert_eq!(
            (site["cloud"].as_str(), site["region"].as_str()),
            (Some(parsed.cloud.name()), Some(&*parsed.region))
        );
    }
    for key in ["sqs_endpoint", "dynamodb_endpoint", "service_bus_connection_string", "service_bus_http_endpoint"]
        .into_iter()
        .chain(["cosmos_endpoint", "cosmos_key", "queue_url"])
    {
        let mut values: Vec<&str> = sites.as_object().unwrap().values().filter_map(|site| site[key].as_str()).collect();
        let all = values.len();
        values.sort_unstable();
        values.dedup();
        assert_eq!(values.len(), all, "{key}: two sites have one: {values:?}");
    }
    assert_eq!(send(&cloud, 1).await.unwrap().status, 200);
    let waiting = |at: usize| cloud.aws()[at].sqs.counts("events").unwrap();
    assert_eq!((waiting(0).visible, waiting(1).visible), (0, 1));
    let usage = admin(&cloud, "GET", "/usage", "").await;
    assert_eq!((&usage["sqs@us-east-1"]["sent"], &usage["sqs@eu-west-1"]["sent"]), (&json!(0), &json!(1)));
}

/// As at the services: an endpoint is of one region, and takes no signature for another.
#[tokio::test]
async fn a_request_signed_for_another_region_is_refused() {
    let cloud = cloud().await;
    for (region, status) in [("us-east-1", 200), ("eu-west-1", 403), ("eu-central-1", 403)] {
        let answer = sqs(&cloud, 0, region, "ListQueues", &json!({})).await.unwrap();
        assert_eq!(answer.status, status, "{region}: {answer:?}");
    }
}

#[tokio::test]
async fn one_site_is_dark_alone() {
    let cloud = cloud().await;
    assert_eq!(admin(&cloud, "POST", "/faults", "aws@eu-west-1:*:dark").await, json!({ "ids": [1] }));
    assert_eq!(admin(&cloud, "GET", "/health", "").await["dark"], json!(["sqs@eu-west-1", "dynamodb@eu-west-1"]));
    assert_eq!(send(&cloud, 0).await.unwrap().status, 200);
    assert!(send(&cloud, 1).await.is_none(), "it answers nobody");
    admin(&cloud, "DELETE", "/faults/1", "").await;
    assert_eq!(send(&cloud, 1).await.unwrap().status, 200);
    let requests = admin(&cloud, "GET", "/requests?service=sqs@eu-west-1", "").await;
    let rows: Vec<_> =
        requests["requests"].as_array().unwrap().iter().map(|row| (&row["region"], &row["operation"])).collect();
    assert_eq!(rows, [(&json!("eu-west-1"), &json!("SendMessage")), (&json!("eu-west-1"), &json!("connect"))]);
}

#[tokio::test]
async fn a_clock_goes_wrong_at_one_site_or_at_all_of_a_kind() {
    let cloud = cloud().await;
    admin(&cloud, "PUT", "/clocks/cosmos", r#"{"offset_ms": 5}"#).await;
    admin(&cloud, "PUT", "/clocks/azure@eastus", r#"{"offset_ms": 7}"#).await;
    let expected = json!({
        "cosmos@eastus": 7, "cosmos@japaneast": 5, "cosmos@westeurope": 5, "dynamodb@eu-west-1": 0,
        "dynamodb@us-east-1": 0, "service-bus@eastus": 7, "service-bus@japaneast": 0, "service-bus@westeurope": 0,
        "sqs@eu-west-1": 0, "sqs@us-east-1": 0,
    });
    assert_eq!(admin(&cloud, "GET", "/clocks", "").await["offset_ms"], expected);
}

#[tokio::test]
async fn the_contents_have_the_names_of_the_caller() {
    let contents = Contents {
        queue: "orders".to_owned(),
        dead_letter_queue: "orders-aside".to_owned(),
        redrive_queue: "orders-broken".to_owned(),
        ..Contents::default()
    };
    let cloud = LocalCloud::start(Options { contents, ..options() }).await.unwrap();
    for region in cloud.aws() {
        assert!(region.site.queue_url.ends_with("/orders"), "{}", region.site.queue_url);
        assert!(["orders", "orders-aside", "orders-broken"].iter().all(|name| region.sqs.counts(name).is_some()));
    }
    for region in cloud.azure() {
        assert!(region.service_bus.counts("orders-aside").is_some() && region.service_bus.counts("events").is_none());
    }
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_before_it_runs() {
    let twice = Options { aws: ["us-east-1", "us-east-1"].map(AwsOptions::new).into(), ..options() };
    let nowhere = Options { faults: vec!["sqs@ap-south-1:*:drop".parse().unwrap()], ..options() };
    for (options, words) in
        [(twice, "aws:us-east-1 is named twice"), (nowhere, "there are sqs@eu-west-1, sqs@us-east-1")]
    {
        let error = LocalCloud::start(options).await.err().unwrap().to_string();
        assert!(error.contains(words), "{error}");
    }
}

/// Regions of one kind alone are fine, and so is none of a kind.
#[tokio::test]
async fn one_cloud_alone_is_served() {
    for options in [Options { azure: Vec::new(), ..options() }, Options { aws: Vec::new(), ..options() }] {
        let cloud = LocalCloud::start(options).await.unwrap();
        assert_eq!(admin(&cloud, "GET", "/health", "").await["status"], "ok");
        cloud.stop().await;
    }
}

#[tokio::test]
async fn the_example_of_the_readme_works() -> Result<(), Box<dyn std::error::Error>> {
    // From here
    let cloud = LocalCloud::start(Options {
        aws: vec![AwsOptions::new("us-east-1"), AwsOptions::new("eu-west-1")],
        // Port 0 suits clients that keep the port of the connection string; official ones insist on 5672.
        azure: vec![AzureOptions { service_bus_port: 0, ..AzureOptions::new("eastus") }],
        contents: Contents { queue: "orders".to_owned(), ..Contents::default() },
        ..Options::default()
    })
    .await?;
    let site = &cloud.aws()[1].site;
    assert!(site.queue_url.ends_with("/orders") && site.queue_url.starts_with(&site.sqs_endpoint));
    cloud.faults().add("aws@eu-west-1:*:dark,for=5s".parse()?);
    cloud.stop().await;
    // to here it stands in the README.
    Ok(())
}

#[test]
fn the_readme_has_that_example() {
    let here = include_str!("sites.rs");
    let example = here.split("    // From here\n").nth(1).unwrap().split("    // to here").next().unwrap();
    let lines = example.lines().map(|line| format!("{}\n", line.strip_prefix("    ").unwrap()));
    let example = lines.collect::<Vec<_>>().concat();
    let readme = include_str!("../README.md");
    assert!(readme.contains(&format!("```rust\n{example}```")), "{example}");
}
