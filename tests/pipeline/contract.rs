//! The contract documents of `schema/` against the code: every example gets the answer that the index promises, and every
//! reason is written down. The documents are the contract; it is the code that must follow.

use std::{collections::BTreeSet, path::PathBuf};

use bridge_core::{
    decision::{Limits, Rules, decide},
    envelope, limits,
    marks::Marks,
    port::Properties,
    reason::Reason,
    settlement::Letter,
};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde::Deserialize;
use serde_json::Value;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Example {
    pub(crate) file: String,
    pub(crate) good: bool,
    pub(crate) reason: Option<String>,
    path: Option<String>,
    #[allow(dead_code, reason = "for people")]
    why: String,
    only: Option<String>,
    origin: String,
    pub(crate) pad_to_bytes: Option<usize>,
    schema: Option<String>,
    #[serde(default)]
    properties: Properties,
    owed: Option<String>,
}

const SITES: [&str; 2] = ["aws:us-east-1", "azure:westeurope"];

/// The other site.
fn peer(site: &str) -> &'static str {
    SITES[usize::from(site == SITES[0])]
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../schema")
}

fn read_json(name: &str) -> Value {
    let text = std::fs::read_to_string(folder().join(name)).unwrap();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"))
}

pub(crate) fn examples() -> Vec<Example> {
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
pub(crate) fn body(example: &Example, site: &str, now: DateTime<Utc>) -> Vec<u8> {
    let time = |seconds| (now + TimeDelta::seconds(seconds)).to_rfc3339_opts(SecondsFormat::Millis, true);
    let mut body = std::fs::read(folder().join("examples").join(&example.file)).unwrap();
    body = replace(&replace(&body, "@SITE@", site), "@PEER@", peer(site));
    body = replace(&body, "@NOW@", &time(0));
    while let Some(at) = body.windows(4).position(|window| window == b"@NOW") {
        let rest = String::from_utf8_lossy(&body[at + 4..]).into_owned();
        let shift = rest.split("s@").next().unwrap();
        body = replace(&body, &format!("@NOW{shift}s@"), &time(shift.parse().unwrap()));
    }
    if let Some(bytes) = example.pad_to_bytes {
        let pad = bytes - (body.len() - "@PAD@".len());
        body = replace(&body, "@PAD@", &"x".repeat(pad));
    }
    body
}

/// The marks of the example's message as it is sent to `site`.
fn marks(example: &Example, site: &str, now: DateTime<Utc>) -> Marks {
    let now = now.to_rfc3339_opts(SecondsFormat::Millis, true);
    let named = |text: &String| text.replace("@SITE@", site).replace("@PEER@", peer(site)).replace("@NOW@", &now);
    Marks::read(&example.properties.iter().map(|(name, value)| (name.clone(), named(value))).collect())
}

fn judge(body: &[u8], marks: &Marks, site: &str, now: DateTime<Utc>) -> Result<(), Letter> {
    let rules = Rules {
        site: site.parse().unwrap(),
        sites: SITES.map(|site| site.parse().unwrap()).into(),
        limits: Limits {
            clock_skew_max: limits::CLOCK_SKEW_MAX,
            future_max: limits::FUTURE_MAX,
            age_max: limits::age_max(limits::TOMBSTONE_LIFE),
            message_bytes_max: 256 * 1024,
        },
    };
    let event = envelope::decode_marked(body, "/id", marks).map_err(Letter::owed_to_nobody)?;
    decide(&rules, &event, marks, body.len(), now).map(|_| ())
}

fn owed(letter: &Letter) -> Vec<String> {
    letter.owed.iter().map(ToString::to_string).collect()
}

#[test]
fn every_example_gets_its_answer_at_every_site() {
    let now: DateTime<Utc> = crate::world::START.parse().unwrap();
    let mut wrong = Vec::new();
    for example in examples() {
        for site in SITES {
            let body = body(&example, site, now);
            let mut marks = marks(&example, site, now);
            if example.good && !String::from_utf8_lossy(&body).contains(site) {
                // A good example for both sites names one of them, which forwards it to the other.
                marks = marks.forwarded(&peer(site).parse().unwrap());
            }
            let answer = judge(&body, &marks, site, now);
            let fine = match (&answer, example.good) {
                (Ok(()), good) => good,
                (Err(_), true) => false,
                (Err(letter), false) => {
                    let place = example.path.as_deref().is_none_or(|path| letter.refusal.detail.starts_with(path));
                    let expected: Vec<String> = example.owed.iter().map(|owed| owed.replace("@SITE@", site)).collect();
                    Some(letter.refusal.reason.as_str()) == example.reason.as_deref()
                        && place
                        && owed(letter) == expected
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

/// What the origin alone refuses, for its clock or its size, all other sites apply where the origin forwards it. What all sites
/// refuse stays owed to the one that it was forwarded to.
#[test]
fn what_an_origin_forwards_gets_the_answer_of_the_index() {
    let now: DateTime<Utc> = crate::world::START.parse().unwrap();
    for kind in ["own", "all"] {
        let of_kind: Vec<_> =
            examples().into_iter().filter(|example| example.origin == kind && !example.good).collect();
        assert!(of_kind.len() >= 2, "there are such examples");
        for example in of_kind {
            let (here, there) = (SITES[0], SITES[1]);
            let forward = marks(&example, there, now).forwarded(&there.parse().unwrap());
            let answer = judge(&body(&example, there, now), &forward, here, now);
            let told = answer.map_err(|letter| (letter.refusal.reason.to_string(), owed(&letter)));
            let refused = Err((example.reason.clone().unwrap(), vec![here.to_owned()]));
            assert_eq!(told, if kind == "own" { Ok(()) } else { refused }, "{}", example.file);
        }
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
        !matches!(
            **code,
            "peer_unavailable" | "retries_exhausted" | "store_away" | "store_rejected" | "peer_rejected" | "panicked"
        )
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

/// Every example of the page for producers gets the answer that stands below it.
#[test]
fn the_page_for_producers_is_right() {
    let page = std::fs::read_to_string(folder().join("../docs/producers.md")).unwrap();
    let now: DateTime<Utc> = crate::world::START.parse().unwrap();
    let blocks: Vec<(&str, &str)> =
        page.split("\n```json\n").skip(1).map(|rest| rest.split_once("\n```\n").unwrap()).collect();
    assert!(blocks.len() >= 8, "{}", blocks.len());
    for (body, below) in blocks {
        let told = below.lines().next().unwrap();
        let answer = judge(body.as_bytes(), &Marks::default(), "aws:us-east-1", now);
        match told.strip_prefix('`').and_then(|code| code.strip_suffix('`')) {
            Some(code) => assert_eq!(answer.unwrap_err().refusal.reason.as_str(), code, "{body}"),
            None => assert!(answer.is_ok() && told.ends_with("applied at every site."), "{told}: {answer:?}"),
        }
    }
    let examples = format!("has {} bodies", examples().len());
    assert!(page.contains(&examples), "the page should say: {examples}");
    let readme = std::fs::read_to_string(folder().join("../README.md")).unwrap();
    assert!(readme.contains("docs/producers.md"));
}
