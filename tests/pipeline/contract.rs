//! The contract documents of `schema/` against the code: every example gets the answer that the index promises, and every
//! reason is written down. The documents are the contract; it is the code that must follow.

use std::{collections::BTreeSet, path::PathBuf, time::Duration};

use bridge_core::{
    decision::{Rules, decide},
    envelope,
    reason::{Reason, Refusal},
};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde::Deserialize;
use serde_json::Value;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Example {
    file: String,
    good: bool,
    reason: Option<String>,
    path: Option<String>,
    #[allow(dead_code, reason = "for people")]
    why: String,
    only: Option<String>,
    origin: String,
    pad_to_bytes: Option<usize>,
    schema: Option<String>,
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../schema")
}

fn read_json(name: &str) -> Value {
    let text = std::fs::read_to_string(folder().join(name)).unwrap();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn examples() -> Vec<Example> {
    serde_json::from_value(read_json("examples/index.json")).unwrap()
}

fn replace(body: &[u8], from: &str, to: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len());
    let mut rest = body;
    while let Some(at) = rest.windows(from.len()).position(|window| window == from.as_bytes()) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(to.as_bytes());
        rest = &rest[at + from.len()..];
    }
    out.extend_from_slice(rest);
    out
}

/// The example's bytes, as they would lie in the queue of `site` at `now`.
fn body(example: &Example, site: &str, now: DateTime<Utc>) -> Vec<u8> {
    let time = |seconds| (now + TimeDelta::seconds(seconds)).to_rfc3339_opts(SecondsFormat::Millis, true);
    let mut body = std::fs::read(folder().join("examples").join(&example.file)).unwrap();
    body = replace(&body, "@SITE@", site);
    body = replace(&body, "@NOW@", &time(0));
    while let Some(at) = body.windows(5).position(|window| window == b"@NOW+") {
        let rest = String::from_utf8_lossy(&body[at + 5..]).into_owned();
        let seconds: i64 = rest.split("s@").next().unwrap().parse().unwrap();
        body = replace(&body, &format!("@NOW+{seconds}s@"), &time(seconds));
    }
    if let Some(bytes) = example.pad_to_bytes {
        let pad = bytes - (body.len() - "@PAD@".len());
        body = replace(&body, "@PAD@", &"x".repeat(pad));
    }
    body
}

fn judge(body: &[u8], site: &str, now: DateTime<Utc>) -> Result<(), Refusal> {
    let rules = Rules {
        site: site.parse().unwrap(),
        sites: ["aws:us-east-1", "azure:westeurope"].map(|site| site.parse().unwrap()).into(),
        clock_skew_max: Duration::from_mins(1),
        message_bytes_max: 256 * 1024,
    };
    let event = envelope::decode(body, "/id")?;
    decide(&rules, &event, body.len(), now).map(|_| ())
}

#[test]
fn every_example_gets_its_answer_at_every_site() {
    let now: DateTime<Utc> = crate::world::START.parse().unwrap();
    let mut wrong = Vec::new();
    for example in examples() {
        for site in ["aws:us-east-1", "azure:westeurope"] {
            let answer = judge(&body(&example, site, now), site, now);
            let fine = match (&answer, example.good) {
                (Ok(()), good) => good,
                (Err(_), true) => false,
                (Err(refusal), false) => {
                    let place = example.path.as_deref().is_none_or(|path| refusal.detail.starts_with(path));
                    Some(refusal.reason.as_str()) == example.reason.as_deref() && place
                }
            };
            if !fine {
                wrong.push(format!(
                    "{} at {site}: {answer:?}, expected {:?} {:?}",
                    example.file, example.reason, example.path
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{} answers differ:\n{}", wrong.len(), wrong.join("\n"));
}

/// What the origin refuses for its clock or its size, all other sites apply: there is no second fence.
#[test]
fn what_only_the_origin_refuses_is_applied_elsewhere() {
    let now: DateTime<Utc> = crate::world::START.parse().unwrap();
    let own: Vec<_> = examples().into_iter().filter(|example| example.origin == "own" && !example.good).collect();
    assert!(own.len() >= 2, "there are such examples");
    for example in own {
        let body = body(&example, "azure:westeurope", now);
        assert_eq!(judge(&body, "aws:us-east-1", now), Ok(()), "{}", example.file);
    }
}

#[test]
fn the_schemas_accept_the_good_and_refuse_the_bad() {
    let validator = |name: &str| {
        jsonschema::options()
            .should_validate_formats(true)
            .build(&read_json(name))
            .unwrap_or_else(|error| panic!("{name}: {error}"))
    };
    let (native, cloud_event) = (validator("event.v1.schema.json"), validator("cloudevent.v1.schema.json"));
    let now: DateTime<Utc> = crate::world::START.parse().unwrap();
    let mut wrong = Vec::new();
    for example in examples() {
        let accepted = serde_json::from_slice::<Value>(&body(&example, "aws:us-east-1", now)).is_ok_and(|value| {
            let is_cloud_event = value.get("specversion").is_some() && value.get("event_id").is_none();
            if is_cloud_event { cloud_event.is_valid(&value) } else { native.is_valid(&value) }
        });
        // Where no schema can say the rule, validators differ in how close they come.
        if example.schema.is_none() && accepted != example.good {
            wrong.push(format!("{}: accepted is {accepted}", example.file));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_reason_is_written_down_and_has_an_example() {
    let reasons = read_json("dead-letter-reasons.json");
    let listed: BTreeSet<&str> =
        reasons.as_array().unwrap().iter().map(|reason| reason["code"].as_str().unwrap()).collect();
    let known: BTreeSet<&str> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
    assert_eq!(listed, known);
    let shown: BTreeSet<String> = examples().into_iter().filter_map(|example| example.reason).collect();
    let by_its_body = known.iter().filter(|code| {
        !matches!(**code, "peer_unavailable" | "retries_exhausted" | "store_rejected" | "peer_rejected" | "panicked")
    });
    for code in by_its_body {
        assert!(shown.contains(*code), "{code} has no example");
    }
}

#[test]
fn examples_and_index_are_complete() {
    let listed: BTreeSet<String> = examples().into_iter().map(|example| example.file).collect();
    let mut present = BTreeSet::new();
    for kind in ["good", "bad"] {
        for entry in std::fs::read_dir(folder().join("examples").join(kind)).unwrap() {
            present.insert(format!("{kind}/{}", entry.unwrap().file_name().to_string_lossy()));
        }
    }
    assert_eq!(listed, present);
    let for_aws = examples().iter().filter(|example| example.only.as_deref() != Some("azure")).count();
    assert!(for_aws > 100, "most examples are for both clouds");
}
