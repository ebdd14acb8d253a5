//! `bridge doctor` against clouds in which one thing is not as it should be.

use std::process::Output;

use aws_sdk_dynamodb::types::TimeToLiveSpecification;
use aws_sdk_sqs::types::QueueAttributeName;
use serde_json::Value;

use crate::program::{Clouds, bridge};

pub(crate) const AWS: &str = "aws:us-east-1";
pub(crate) const AZURE: &str = "azure:westeurope";
/// What concerns all sites together.
const ALL: &str = "all";

/// What a doctor said, and the code it left with.
struct Said {
    code: Option<i32>,
    findings: Vec<Value>,
}

impl Said {
    fn of(output: &Output) -> Self {
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
            panic!("{error}: {}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
        });
        Self { code: output.status.code(), findings: answer["findings"].as_array().unwrap().clone() }
    }

    fn with_state(&self, state: &str) -> Vec<(&str, &str)> {
        self.findings
            .iter()
            .filter(|finding| finding["state"] == state)
            .map(|finding| (finding["site"].as_str().unwrap_or(ALL), finding["check"].as_str().unwrap()))
            .collect()
    }

    fn of_check(&self, site: &str, check: &str) -> &Value {
        let is = |finding: &&Value| finding["site"].as_str().unwrap_or(ALL) == site && finding["check"] == check;
        let found = self.findings.iter().find(is);
        found.unwrap_or_else(|| panic!("{site} {check}: {:#?}", self.findings))
    }

    /// One bad thing, and nothing else, whose mend says `words`.
    fn one_bad(&self, site: &str, check: &str, words: &str) {
        assert_eq!(self.with_state("bad"), [(site, check)], "{:#?}", self.findings);
        self.has_mend(site, check, words);
        assert_eq!(self.code, Some(2));
    }

    fn has_mend(&self, site: &str, check: &str, words: &str) {
        let mend = self.of_check(site, check)["mend"].as_str().unwrap_or_default();
        assert!(mend.contains(words), "{check}: {mend}");
    }
}

fn doctor(clouds: &Clouds, arguments: &[&str]) -> Output {
    bridge().args(["doctor", "--log", "warn", "--config"]).arg(clouds.config()).args(arguments).output().unwrap()
}

fn examined(clouds: &Clouds) -> Said {
    Said::of(&doctor(clouds, &["--json"]))
}

pub(crate) fn clouds() -> Clouds {
    Clouds::start(&["--without-workers"])
}

/// A field of a site in the ready file.
pub(crate) fn field(clouds: &Clouds, site: &str, name: &str) -> String {
    clouds.ready["sites"][site][name].as_str().unwrap().to_owned()
}

pub(crate) fn wait<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

pub(crate) async fn aws(clouds: &Clouds) -> (aws_sdk_sqs::Client, aws_sdk_dynamodb::Client) {
    let (id, secret) = (field(clouds, AWS, "access_key_id"), field(clouds, AWS, "secret_access_key"));
    let config = aws_config::defaults(aws_config::BehaviorVersion::latest())
        .region("us-east-1")
        .credentials_provider(aws_sdk_sqs::config::Credentials::new(id, secret, None, None, "test"))
        .load()
        .await;
    let sqs = aws_sdk_sqs::config::Builder::from(&config).endpoint_url(field(clouds, AWS, "sqs_endpoint")).build();
    let dynamodb =
        aws_sdk_dynamodb::config::Builder::from(&config).endpoint_url(field(clouds, AWS, "dynamodb_endpoint")).build();
    (aws_sdk_sqs::Client::from_conf(sqs), aws_sdk_dynamodb::Client::from_conf(dynamodb))
}

/// Sets an attribute of the site's queue.
pub(crate) fn set_queue(clouds: &Clouds, name: QueueAttributeName, value: &str) {
    wait(async {
        let request = aws(clouds).await.0.set_queue_attributes().queue_url(field(clouds, AWS, "queue_url"));
        request.attributes(name, value).send().await.unwrap();
    });
}

/// Sends a message to the site's queue, whatever it is.
pub(crate) fn send_to_sqs(clouds: &Clouds, body: &str) {
    wait(async {
        let request = aws(clouds).await.0.send_message().queue_url(field(clouds, AWS, "queue_url"));
        request.message_body(body).send().await.unwrap();
    });
}

/// How many letters the site in AWS has.
pub(crate) fn letters(clouds: &Clouds) -> u32 {
    wait(async {
        let name = QueueAttributeName::ApproximateNumberOfMessages;
        let request = aws(clouds).await.0.get_queue_attributes();
        let request = request.queue_url(field(clouds, AWS, "dead_letter_queue_url")).attribute_names(name.clone());
        request.send().await.unwrap().attributes.unwrap()[&name].parse().unwrap()
    })
}

/// Asks the admin endpoint.
pub(crate) fn admin(clouds: &Clouds, method: &str, path: &str, body: &str) {
    let url = format!("{}{path}", clouds.ready["admin"].as_str().unwrap());
    wait(async {
        let request = reqwest::Client::new().request(method.parse().unwrap(), url).body(body.to_owned());
        let answer = request.send().await.unwrap();
        assert!(answer.status().is_success(), "{path} {body}: {}", answer.text().await.unwrap());
    });
}

#[test]
fn healthy_clouds_have_nothing_bad_and_the_narrow_tier_is_named() {
    let clouds = clouds();
    let said = examined(&clouds);
    assert_eq!(said.with_state("bad"), [], "{:#?}", said.findings);
    assert_eq!(said.with_state("warn"), [(AZURE, "limits.queues")], "{:#?}", said.findings);
    said.has_mend(AZURE, "limits.queues", "in a Premium namespace: az servicebus queue update");
    said.has_mend(AZURE, "limits.queues", "--max-message-size 1024");
    assert_eq!(said.code, Some(0), "a warning is no fault");
    let strict = Said::of(&doctor(&clouds, &["--json", "--strict"]));
    assert_eq!((strict.with_state("bad"), strict.code), (Vec::new(), Some(2)));
    let sent = said.of_check(AWS, "queue.send");
    assert_eq!(sent["found"], "a heartbeat was sent");
    assert_eq!(said.of_check(AWS, "dead-letter-queue.send")["found"], "was looked at only: nothing was written to it");
}

#[test]
fn one_site_alone_can_be_all_good_and_is_not_written_to_when_only_read() {
    let clouds = clouds();
    let output = doctor(&clouds, &["--site", AWS, "--read-only"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.lines().last().unwrap().ends_with(" ok, 0 warn, 0 bad"), "{text}");
    assert!(text.lines().all(|line| !line.contains(AZURE)), "{text}");
    assert!(text.contains("ok    aws:us-east-1  queue.retention  SQS queue bridge-events: keeps a message for 14 d\n"));
    assert!(!text.contains('\u{1b}'), "no colours in a pipe");
    let requests = clouds.ready["admin"].as_str().unwrap().to_owned() + "/requests";
    let counts = wait(async { reqwest::get(requests).await.unwrap().text().await.unwrap() });
    assert!(counts.contains("GetQueueAttributes") && !counts.contains("SendMessage"), "{counts}");
    assert!(!counts.contains("PutItem"), "{counts}");
}

#[test]
fn a_missing_queue_is_found_in_both_clouds() {
    let clouds = clouds();
    wait(async {
        aws(&clouds).await.0.delete_queue().queue_url(field(&clouds, AWS, "queue_url")).send().await.unwrap();
    });
    clouds.script("misfit.py", &["queue-delete", &field(&clouds, AZURE, "dead_letter_queue")]);
    let said = examined(&clouds);
    let bad = said.with_state("bad");
    assert_eq!(bad, [(AWS, "queue"), (AWS, "queue.send"), (AZURE, "dead-letter-queue")], "{:#?}", said.findings);
    said.has_mend(AWS, "queue", "aws sqs create-queue --region us-east-1 --queue-name bridge-events ");
    said.has_mend(AZURE, "dead-letter-queue", "az servicebus queue create");
}

#[test]
fn an_absent_redrive_policy_is_found() {
    let clouds = clouds();
    set_queue(&clouds, QueueAttributeName::RedrivePolicy, "");
    examined(&clouds).one_bad(AWS, "queue.redrive", r#"\"maxReceiveCount\":\"1000\""#);
}

#[test]
fn retention_that_outlasts_tombstones_is_found_in_both_clouds() {
    let clouds = clouds();
    let queue = field(&clouds, AZURE, "queue");
    clouds.script("misfit.py", &["queue-change", &queue, "DefaultMessageTimeToLive=P60D"]);
    examined(&clouds).one_bad(AZURE, "queue.tombstones", "--default-message-time-to-live P14D");
    clouds.script("misfit.py", &["queue-change", &queue, "DefaultMessageTimeToLive=P14D"]);
    let config = std::fs::read_to_string(clouds.config()).unwrap();
    let short = config.replace("[worker]\n", "[worker]\ntombstone_life_days = 43\nreplay_window_days = 41\n");
    let output = bridge().args(["doctor", "--json", "--config", &short]).output().unwrap();
    Said::of(&output).one_bad(ALL, "queue.tombstones", "set worker.tombstone_life_days = 57");
}

#[test]
fn expiry_that_is_off_is_found_in_both_stores() {
    let clouds = clouds();
    wait(async {
        let off = TimeToLiveSpecification::builder().attribute_name("expires_at").enabled(false).build().unwrap();
        let request = aws(&clouds).await.1.update_time_to_live().table_name(field(&clouds, AWS, "table"));
        request.time_to_live_specification(off).send().await.unwrap();
    });
    clouds.script("misfit.py", &["cosmos-ttl", "off"]);
    let said = examined(&clouds);
    let warnings = said.with_state("warn");
    assert!(warnings.contains(&(AWS, "store.expiry")) && warnings.contains(&(AZURE, "store.expiry")), "{warnings:?}");
    said.has_mend(AWS, "store.expiry", "Enabled=true,AttributeName=expires_at");
    said.has_mend(AZURE, "store.expiry", "--ttl -1");
    assert_eq!((said.with_state("bad"), said.code), (Vec::new(), Some(0)));
    clouds.script("misfit.py", &["cosmos-ttl", "3600"]);
    examined(&clouds).one_bad(AZURE, "store.expiry", "--ttl -1");
}

#[test]
fn a_permission_that_is_missing_is_found_by_trying() {
    let clouds = clouds();
    let faults = "dynamodb:PutItem:denied\nsqs:SendMessage*:denied\ncosmos:*-item:denied\nservice-bus:rest-send:denied";
    admin(&clouds, "POST", "/faults", faults);
    let said = examined(&clouds);
    let expected = [
        (AWS, "store.write"),
        (AWS, "queue.send"),
        (AZURE, "store.read"),
        (AZURE, "store.write"),
        (AZURE, "queue.send"),
    ];
    assert_eq!(said.with_state("bad"), expected, "{:#?}", said.findings);
    said.has_mend(AWS, "store.write", "dynamodb:PutItem on bridge-records");
    said.has_mend(AZURE, "queue.send", "service_bus_connection_string: its key must be right");
    let looked = Said::of(&doctor(&clouds, &["--json", "--read-only"]));
    assert_eq!(looked.with_state("bad"), [], "looking alone cannot know");
}

#[test]
fn settings_that_may_not_be_read_are_no_broken_promise() {
    let clouds = clouds();
    admin(&clouds, "POST", "/faults", "service-bus:rest-manage:denied\nsqs:GetQueueAttributes:denied");
    let said = examined(&clouds);
    assert_eq!(said.with_state("bad"), [], "{:#?}", said.findings);
    said.has_mend(AZURE, "queue", "Azure Service Bus Data Owner");
    said.has_mend(AWS, "queue", "sqs:GetQueueAttributes");
}

#[test]
fn a_clock_that_is_five_minutes_off_is_found() {
    let clouds = clouds();
    let services = [
        ("sqs", AWS, "SQS"),
        ("dynamodb", AWS, "DynamoDB"),
        ("service-bus", AZURE, "Service Bus"),
        ("cosmos", AZURE, "Cosmos DB"),
    ];
    for (service, site, name) in services {
        admin(&clouds, "PUT", &format!("/clocks/{service}"), r#"{"offset_ms": 300000}"#);
        let said = Said::of(&doctor(&clouds, &["--json", "--read-only"]));
        let looked_at = format!("clock of {name}");
        let clock = said.findings.iter().find(|finding| finding["looked_at"] == looked_at.as_str()).unwrap();
        assert_eq!((clock["state"].as_str(), clock["site"].as_str()), (Some("bad"), Some(site)), "{clock}");
        let found = clock["found"].as_str().unwrap();
        assert!(["is 299 s", "is 300 s", "is 301 s"].iter().any(|words| found.starts_with(words)), "{found}");
        assert!(clock["mend"].as_str().unwrap().contains("synchronise this machine's clock"), "{clock}");
        assert_eq!(said.code, Some(2));
        admin(&clouds, "PUT", &format!("/clocks/{service}"), r#"{"offset_ms": 0}"#);
    }
}

#[test]
fn a_queue_that_cannot_carry_what_is_configured_is_found() {
    let clouds = clouds();
    let config = std::fs::read_to_string(clouds.config()).unwrap();
    let azure = format!("[sites.\"{AZURE}\"]\n");
    let wide = config.replace(&azure, &format!("{azure}message_bytes_max = 1048576\n"));
    assert_ne!(wide, config);
    let output = bridge().args(["doctor", "--json", "--config", &wide]).output().unwrap();
    let said = Said::of(&output);
    let expected = [(AZURE, "queue.message-size"), (AZURE, "dead-letter-queue.message-size")];
    assert_eq!(said.with_state("bad"), expected, "{:#?}", said.findings);
    said.has_mend(AZURE, "queue.message-size", "in a Premium namespace");
}

#[test]
fn duplicate_detection_is_no_harm_because_ids_are_never_reused() {
    let clouds = clouds();
    let queue = field(&clouds, AZURE, "queue");
    clouds.script("misfit.py", &["queue-delete", &queue]);
    let settings = [
        "LockDuration=PT30S",
        "DefaultMessageTimeToLive=P14D",
        "RequiresDuplicateDetection=true",
        "DuplicateDetectionHistoryTimeWindow=PT10M",
    ];
    clouds.script("misfit.py", &[&["queue-create", queue.as_str()][..], &settings].concat());
    let said = examined(&clouds);
    assert_eq!(said.with_state("bad"), [], "{:#?}", said.findings);
    let duplicates = said.of_check(AZURE, "queue.duplicates");
    assert_eq!(duplicates["state"], "ok");
    let found = duplicates["found"].as_str().unwrap();
    assert!(found.contains("within 10 min; no harm: the bridge gives every send a fresh id"), "{found}");
}

#[test]
fn a_dark_site_is_a_finding_and_the_other_is_looked_at_all_the_same() {
    let clouds = clouds();
    admin(&clouds, "POST", "/faults", "azure:*:dark");
    let said = examined(&clouds);
    let bad = said.with_state("bad");
    assert!(bad.contains(&(AZURE, "queue")) && bad.contains(&(AZURE, "store")), "{bad:?}");
    assert!(bad.iter().all(|(site, _)| *site == AZURE), "{bad:?}");
    assert_eq!(said.of_check(AWS, "store.write")["state"], "ok");
    assert_eq!(said.code, Some(2));
    admin(&clouds, "POST", "/faults", "aws:*:dark");
    assert_eq!(examined(&clouds).code, Some(1), "nothing at all could be looked at");
}
