//! Workers and clouds of which one thing is not as it should be: what keeps a worker from starting, what it only warns of, and what a function
//! tells once something of its own has failed.

use std::{
    fs::File,
    time::{Duration, Instant},
};

use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, CreateReplicationGroupMemberAction, KeySchemaElement, KeyType,
    ReplicationGroupUpdate, ScalarAttributeType,
};
use aws_sdk_sqs::types::QueueAttributeName;
use serde_json::{Value, json};

use crate::{
    doctor::{AWS, AZURE, aws, clouds, field, set_queue, wait},
    program::{Clouds, Running, bridge, day, must},
};

/// How long a start takes at most, with everything that does not answer.
const START_MAX: Duration = Duration::from_secs(10);

/// How long it takes at most until a halted worker sees the mend, and has caught up.
const MEND_MAX: Duration = Duration::from_secs(60);

/// A worker that was started, with its log.
struct Worker<'a> {
    clouds: &'a Clouds,
    program: Running,
}

impl<'a> Worker<'a> {
    fn start(clouds: &'a Clouds, site: &str, variables: &[(&str, &str)]) -> Self {
        let log = File::create(clouds.file("worker.log")).unwrap();
        let mut command = bridge();
        command.args(["run", "--site", site, "--config"]).arg(clouds.config());
        command.envs(variables.iter().copied()).stderr(log);
        Self { clouds, program: Running::start(&mut command) }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.clouds.file("worker.log")).unwrap()
    }

    /// Waits until its log says `words`.
    fn says(&mut self, words: &str, limit: Duration) -> String {
        let start = Instant::now();
        loop {
            let log = self.log();
            if log.contains(words) {
                return log;
            }
            assert_eq!(self.program.has_ended(), None, "{log}");
            assert!(start.elapsed() < limit, "{words:?} is not within {limit:?} in {log}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// The worker of `site` does not start; what it says.
fn refuses(clouds: &Clouds, site: &str, variables: &[(&str, &str)]) -> String {
    let mut worker = Worker::start(clouds, site, variables);
    let status = worker.program.end(START_MAX);
    let log = worker.log();
    assert_eq!(status.code(), Some(64), "{log}");
    assert!(log.contains(&format!("bridge: {site} cannot keep its promises as it is set up")), "{log}");
    assert!(!log.contains(" working"), "{log}");
    log
}

/// The worker of `site` does not start, for the one reason `check`, and says the mend.
fn refuses_for(clouds: &Clouds, site: &str, check: &str, mend: &str) {
    let log = refuses(clouds, site, &[]);
    let reasons: Vec<&str> = log.lines().filter(|line| line.starts_with("  - ")).collect();
    let [reason] = reasons.as_slice() else { panic!("{log}") };
    assert!(reason.starts_with(&format!("  - {check}: ")) && reason.contains("; mend: "), "{reason}");
    assert!(reason.contains(mend), "{mend:?} is not in {reason}");
}

/// The worker of `site` starts; what it says until then.
fn starts(clouds: &Clouds, site: &str, variables: &[(&str, &str)]) -> String {
    Worker::start(clouds, site, variables).says(" working", START_MAX)
}

/// Another table of that name.
fn make_table(clouds: &Clouds, keys: &[(&str, KeyType)]) {
    wait(async {
        let dynamodb = aws(clouds).await.1;
        let table = field(clouds, AWS, "table");
        dynamodb.delete_table().table_name(&table).send().await.unwrap();
        let mut request = dynamodb.create_table().table_name(&table).billing_mode(BillingMode::PayPerRequest);
        for (name, kind) in keys {
            let attribute = AttributeDefinition::builder().attribute_name(*name).attribute_type(ScalarAttributeType::S);
            let key = KeySchemaElement::builder().attribute_name(*name).key_type(kind.clone());
            request = request.attribute_definitions(attribute.build().unwrap()).key_schema(key.build().unwrap());
        }
        request.send().await.unwrap();
    });
}

pub(crate) fn make_global(clouds: &Clouds, replica: &str) {
    wait(async {
        let create = CreateReplicationGroupMemberAction::builder().region_name(replica).build().unwrap();
        let update = ReplicationGroupUpdate::builder().create(create).build();
        let request = aws(clouds).await.1.update_table().table_name(field(clouds, AWS, "table"));
        request.replica_updates(update).send().await.unwrap();
    });
}

#[test]
fn a_table_with_another_key_keeps_its_worker_from_starting() {
    let clouds = clouds();
    for keys in [&[("id", KeyType::Hash)][..], &[("pk", KeyType::Hash), ("sk", KeyType::Range)]] {
        make_table(&clouds, keys);
        refuses_for(&clouds, AWS, "store.key", "aws dynamodb create-table --region us-east-1 ");
    }
}

#[test]
fn a_container_with_another_key_or_one_for_short_keys_keeps_its_worker_from_starting() {
    let clouds = clouds();
    clouds.script("misfit.py", &["cosmos-key", "/id", "2"]);
    refuses_for(&clouds, AZURE, "store.key", "--partition-key-path /pk");
    clouds.script("misfit.py", &["cosmos-key", "/pk", "1"]);
    refuses_for(&clouds, AZURE, "store.key-size", "--partition-key-version 2");
    starts(&clouds, AZURE, &[("BRIDGE_SITES_AZURE_WESTEUROPE_ALLOW", "store.key-size")]);
}

/// A global table's own rule, the last writer by its clock, would fight the version.
#[test]
fn a_global_table_keeps_its_worker_from_starting_unless_it_is_allowed_by_name() {
    let clouds = clouds();
    make_global(&clouds, "eu-west-1");
    refuses_for(&clouds, AWS, "store.regions", "sites.\"aws:us-east-1\".allow = \"store.regions\"");
    let other = [("BRIDGE_SITES_AWS_US_EAST_1_ALLOW", "queue.redrive")];
    assert!(refuses(&clouds, AWS, &other).contains("(eu-west-1, us-east-1)"));
    let log = starts(&clouds, AWS, &[("BRIDGE_SITES_AWS_US_EAST_1_ALLOW", "store.regions")]);
    assert!(log.contains(" WARN ") && log.contains("allowed by the site's configuration"), "{log}");
    starts(&clouds, AZURE, &[]);
}

#[test]
fn an_account_with_several_write_regions_keeps_its_worker_from_starting_unless_it_is_allowed_by_name() {
    let clouds = Clouds::start(&["--without-workers", "--cosmos-second-write-region", "North Europe"]);
    refuses_for(&clouds, AZURE, "store.regions", "--enable-multiple-write-locations false");
    let log = starts(&clouds, AZURE, &[("BRIDGE_SITES_AZURE_WESTEUROPE_ALLOW", "store.regions")]);
    assert!(log.contains("(North Europe, West Europe)"), "{log}");
}

#[test]
fn records_that_expire_by_default_keep_their_worker_from_starting() {
    let clouds = clouds();
    clouds.script("misfit.py", &["cosmos-ttl", "3600"]);
    refuses_for(&clouds, AZURE, "store.expiry", "--ttl -1");
    let letters = format!("{AZURE}/dlq");
    let replay = |to| ["replay", "--from", letters.as_str(), "--to", to, "--yes"];
    let (owed, store) = (replay("owed"), replay("azure:westeurope/store"));
    for command in [&["verify", "--repair"][..], &["backfill", "--from", AWS, "--to", AZURE, "--yes"], &owed, &store] {
        let refused = bridge().args(command).arg("--config").arg(clouds.config()).output().unwrap();
        let said = String::from_utf8_lossy(&refused.stderr);
        assert!(refused.status.code() == Some(64) && said.contains("store.expiry"), "{command:?}: {said}");
    }
    clouds.script("misfit.py", &["cosmos-ttl", "off"]);
    assert!(starts(&clouds, AZURE, &[]).contains("has its time to live turned off"), "that only costs room");
}

#[test]
fn a_queue_of_sqs_that_breaks_a_promise_keeps_its_worker_from_starting() {
    let clouds = clouds();
    set_queue(&clouds, QueueAttributeName::MaximumMessageSize, "65536");
    refuses_for(&clouds, AWS, "queue.message-size", "MaximumMessageSize=1048576");
    set_queue(&clouds, QueueAttributeName::MaximumMessageSize, "1048576");
    set_queue(&clouds, QueueAttributeName::RedrivePolicy, "");
    refuses_for(&clouds, AWS, "queue.redrive", "maxReceiveCount");
    starts(&clouds, AWS, &[("BRIDGE_SITES_AWS_US_EAST_1_ALLOW", "queue.redrive")]);
}

#[test]
fn a_queue_of_service_bus_that_breaks_a_promise_keeps_its_worker_from_starting() {
    let clouds = clouds();
    let queue = field(&clouds, AZURE, "queue");
    let dead_letters = field(&clouds, AZURE, "dead_letter_queue");
    let good = ["LockDuration=PT30S", "DefaultMessageTimeToLive=P14D"];
    for (queue, setting, check, mend) in [
        (&queue, "LockDuration=PT10S", "queue.lease", "set sites.\"azure:westeurope\".lease_seconds = 10"),
        (&queue, "DefaultMessageTimeToLive=P60D", "queue.tombstones", "--default-message-time-to-live P14D"),
        (&queue, "RequiresSession=true", "queue.kind", "az servicebus queue create"),
        (&queue, "ForwardTo=elsewhere", "queue.kind", "--forward-to"),
        (&queue, "AutoDeleteOnIdle=PT5M", "queue.idle", "--auto-delete-on-idle"),
        (&dead_letters, "RequiresSession=true", "dead-letter-queue.kind", "az servicebus queue create"),
        (&dead_letters, "AutoDeleteOnIdle=PT5M", "dead-letter-queue.idle", "--auto-delete-on-idle"),
    ] {
        let make = |settings: &[&str]| {
            clouds.script("misfit.py", &["queue-delete", queue]);
            clouds.script("misfit.py", &[&["queue-create", queue], settings].concat());
        };
        // Of an element that is there twice the first one counts.
        make(&[&[setting], &good[..]].concat());
        refuses_for(&clouds, AZURE, check, mend);
        make(&good);
    }
    starts(&clouds, AZURE, &[]);
}

/// An outage keeps no worker from starting, and neither does silence for longer than it lasts.
#[test]
fn a_worker_starts_while_its_services_are_away() {
    let clouds = clouds();
    for (fault, site) in [
        ("aws:*:dark", AWS),
        ("azure:*:dark", AZURE),
        ("aws:*:latency,fixed=1m", AWS),
        ("azure:*:latency,fixed=1m", AZURE),
    ] {
        clouds.fault(fault);
        let log = starts(&clouds, site, &[]);
        let warned =
            |check: &str| log.lines().any(|line| line.contains("WARN") && line.contains(&format!("check=\"{check}\"")));
        for check in ["queue", "dead-letter-queue", "store"] {
            assert!(warned(check), "{fault}, {check}: {log}");
        }
        clouds.clear_faults();
    }
}

/// What one service does not tell hides nothing of what another one does.
#[test]
fn a_misfit_is_found_while_another_service_is_silent() {
    let clouds = clouds();
    make_table(&clouds, &[("id", KeyType::Hash)]);
    clouds.fault("sqs:*:latency,fixed=1m");
    clouds.fault("dynamodb:DescribeTimeToLive:denied");
    refuses_for(&clouds, AWS, "store.key", "aws dynamodb create-table");
}

/// Least privilege: a worker need not be allowed to ask.
#[test]
fn a_worker_that_may_not_ask_starts_and_says_what_to_allow() {
    let clouds = clouds();
    for fault in ["sqs:GetQueueAttributes:denied", "dynamodb:Describe*:denied", "service-bus:rest-manage:denied"] {
        clouds.fault(fault);
    }
    let log = starts(&clouds, AWS, &[]);
    assert!(log.contains("sqs:GetQueueAttributes on bridge-events"), "{log}");
    assert!(log.contains("dynamodb:DescribeTable and dynamodb:DescribeTimeToLive on bridge-records"), "{log}");
    assert!(starts(&clouds, AZURE, &[]).contains("Azure Service Bus Data Owner"));
}

/// What is missing may be made while the worker waits for it.
#[test]
fn a_missing_table_halts_its_worker_until_it_is_there() {
    let clouds = clouds();
    wait(async {
        aws(&clouds).await.1.delete_table().table_name(field(&clouds, AWS, "table")).send().await.unwrap();
    });
    let mut worker = Worker::start(&clouds, AWS, &[]);
    let log = worker.says("halted: nothing is lost", START_MAX);
    assert!(log.contains("DynamoDB table bridge-records: does not exist"), "{log}");
}

/// A container that is replaced while its worker runs. The first refusal halts the worker, so that no good event becomes a letter.
#[test]
fn a_container_that_is_replaced_by_a_misfit_costs_no_event() {
    let clouds = clouds();
    let mut worker = Worker::start(&clouds, AZURE, &[]);
    worker.says(" working", START_MAX);
    clouds.script("misfit.py", &["cosmos-key", "/other", "2"]);
    let keys: Vec<String> = (0..20).map(|number| format!("order-{number}")).collect();
    publish(&clouds, &keys);
    let log = worker.says("halted: nothing is lost", START_MAX);
    assert!(log.contains("is partitioned by /other, and has to be by /pk"), "{log}");
    clouds.script("misfit.py", &["cosmos-key", "/pk", "2"]);
    worker.says("mended: taking messages again", MEND_MAX);
    let start = Instant::now();
    for key in &keys {
        while !is_at_azure(&clouds, key) {
            assert!(start.elapsed() < MEND_MAX, "{key} is not there: {}", worker.log());
        }
    }
    let report = must(bridge().args(["lag", "--json", "--config"]).arg(clouds.config()));
    let report: Value = serde_json::from_slice(&report.stdout).unwrap();
    let site = report["sites"].as_array().unwrap().iter().find(|site| site["site"] == AZURE).unwrap();
    assert_eq!(site["dead_letters"]["messages"], 0, "{site:#}");
}

/// Sends an event of Azure for each key.
fn publish(clouds: &Clouds, keys: &[String]) {
    let file = clouds.file("events.jsonl");
    let lines = keys.iter().map(|key| {
        json!({
            "event_id": uuid::Uuid::new_v4().to_string(), "source_region": AZURE, "op_type": "upsert", "payload": {"id": key},
            "timestamp": format!("{}T00:00:00Z", day()),
        })
        .to_string()
    });
    std::fs::write(&file, lines.collect::<Vec<_>>().join("\n")).unwrap();
    must(bridge().arg("publish").arg(file).arg("--config").arg(clouds.config()));
}

fn is_at_azure(clouds: &Clouds, key: &str) -> bool {
    let output = bridge().args(["get", key, "--json", "--config"]).arg(clouds.config()).output().unwrap();
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    !answer["sites"][AZURE]["record"].is_null()
}

#[test]
fn the_workers_of_bridge_local_look_too() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = bridge();
    command.args(["local", "--quiet", "--cosmos-second-write-region", "North Europe"]);
    command.args(["--service-bus-address", &crate::program::loopback()]);
    let output = command.current_dir(folder.path()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(64), "{said}");
    assert!(said.contains("  - store.regions: "), "{said}");
}

/// Functions look once something of their own has failed, and tell it with the halt.
#[test]
fn a_function_tells_at_its_first_failure_what_is_wrong() {
    let clouds = clouds();
    make_table(&clouds, &[("id", KeyType::Hash)]);
    clouds.script("misfit.py", &["cosmos-key", "/other", "2"]);
    let packages = crate::packages::packages();
    clouds.script("host_diagnosis.py", &["--package", packages.to_str().unwrap()]);
}
