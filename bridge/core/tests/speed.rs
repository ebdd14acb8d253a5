//! How long it takes to read, check and judge events: what a worker does with each before it asks anybody. `./just speed` prints it.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "it prints a figure, and a test that cannot go on says where"
)]

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use bridge_core::{
    decision::{Limits, Rules, decide},
    envelope,
    event::SiteId,
    limits,
    marks::Marks,
};

const SITE: &str = "aws:us-east-1";
const RUNS: usize = 7;

fn event(members: &str) -> String {
    format!(
        r#"{{"event_id":"01936d6e-8a3c-7c61-9d0b-0f3a5a3c9e11","source_region":"{SITE}","op_type":"update","payload":{{"id":"order-42"{members}}},"timestamp":"2026-11-21T01:02:03.123456Z"}}"#
    )
}

/// An order of an application: names, texts, amounts, a list of lines.
fn order() -> String {
    let line = |number: usize| {
        format!(
            r#"{{"sku":"A-{number:05}","title":"Gadget, größe {number}","quantity":{number},"price":{number}9.95,"taxed":true}}"#
        )
    };
    let lines: Vec<String> = (1..9).map(line).collect();
    let customer = r#""customer":{"name":"Ada \"the\" Example","email":"ada@example.org","since":"2019-05-01T12:00:00Z","vip":null}"#;
    event(&format!(r#","total":1999,"currency":"EUR",{customer},"lines":[{}]"#, lines.join(",")))
}

#[test]
#[ignore = "a figure and no test: ./just speed"]
fn decode_validate_decide() {
    let site: SiteId = SITE.parse().unwrap();
    let rules = Rules {
        site: site.clone(),
        sites: [site].into(),
        limits: Limits {
            clock_skew_max: limits::CLOCK_SKEW_MAX,
            future_max: limits::FUTURE_MAX,
            age_max: Duration::from_hours(24),
            message_bytes_max: limits::EVENT_BYTES_MAX,
        },
    };
    let now = "2026-11-21T01:02:04Z".parse().unwrap();
    let objects = vec![r#"{"a":0}"#; 30_000].join(",");
    let members = (0..30_000).map(|number| format!(r#","{:x}":0"#, 29_999 - number)).collect::<Vec<_>>().concat();
    for (name, body, count) in [
        ("an order of 1 KB", order(), 20_000),
        ("one text of 200 KB", event(&format!(r#","x":"{}""#, "x".repeat(200_000))), 200),
        ("30,000 small objects", event(&format!(r#","x":[{objects}]"#)), 20),
        ("30,000 members out of order", event(&members), 20),
    ] {
        let one = || {
            let event = envelope::decode_marked(body.as_bytes(), "/id", &Marks::default()).unwrap();
            decide(&rules, &event, &Marks::default(), body.len(), now).unwrap()
        };
        let run = || {
            #[allow(clippy::disallowed_methods, reason = "it measures this machine, and no rule hangs on it")]
            let start = Instant::now();
            (0..count).for_each(|_| _ = black_box(one()));
            start.elapsed() / count
        };
        let best = (0..RUNS).map(|_| run()).min().unwrap();
        println!("{name}, {} bytes: {best:?}, {:.0} a second", body.len(), 1.0 / best.as_secs_f64());
    }
}
