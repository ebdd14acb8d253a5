//! What is measured, by its values: as a scrape reads it.

use std::{collections::BTreeMap, time::Duration};

use bridge_adapters::layer::{Observation, Operation, Outcome};
use bridge_core::{
    event::SiteId,
    halt::{Halt, Spot},
    port::{Delivery, Properties, QueueDepth, Receipt, Write},
    reason::{Reason, Refusal},
    settlement::{Letter, Settlement},
    version::Version,
    worker::Verdict,
};
use chrono::{DateTime, TimeDelta, Utc};
use opentelemetry_sdk::metrics::{data::ResourceMetrics, reader::MetricReader};
use uuid::Uuid;

use super::{Settings, SiteTelemetry, Telemetry, prometheus};

const HERE: &str = "aws:us-east-1";
const THERE: &str = "azure:westeurope";

fn id(site: &str) -> SiteId {
    site.parse().unwrap()
}

fn at(seconds: i64) -> DateTime<Utc> {
    "2026-11-21T00:00:00Z".parse::<DateTime<Utc>>().unwrap() + TimeDelta::seconds(seconds)
}

/// A site's telemetry, and what reads its values.
struct Scraped {
    all: Telemetry,
    site: SiteTelemetry,
}

impl Scraped {
    fn new() -> Self {
        let all = Telemetry::start(&Settings::read(&BTreeMap::new()).unwrap(), true).unwrap();
        let site = all.site(&id(HERE), [id(THERE)].iter());
        Self { all, site }
    }

    fn text(&self) -> String {
        let reader = self.all.0.as_ref().and_then(|listening| listening.scraped.as_ref()).unwrap();
        let mut metrics = ResourceMetrics::default();
        reader.collect(&mut metrics).unwrap();
        prometheus::render(&metrics)
    }

    /// The value of a series; none if there is none.
    fn value(&self, series: &str) -> Option<f64> {
        self.text().lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
    }
}

fn delivery(first_seen: Option<DateTime<Utc>>) -> Delivery {
    Delivery {
        receipt: Receipt("r".to_owned()),
        message_id: "m".to_owned(),
        attempt: 1,
        first_seen,
        body: "x".into(),
        properties: Properties::new(),
    }
}

fn call(operation: Operation, outcome: Outcome, milliseconds: u64) -> Observation<'static> {
    let duration = Duration::from_millis(milliseconds);
    Observation { backend: "a backend", operation, outcome, items: 1, failed: 0, duration }
}

#[test]
fn each_verdict_counts_once_and_lag_is_in_seconds() {
    let scraped = Scraped::new();
    let applied = |second| Verdict {
        settlement: Settlement::Ack,
        write: Some(Write::Applied { replaced: None }),
        event: Some(("k".parse().unwrap(), Version::new(at(second), &id(THERE), Uuid::nil(), 0.into()))),
        trace: None,
    };
    let letter = Letter { refusal: Refusal::new(Reason::NotJson, "what a test says"), owed: [].into() };
    let aside = Verdict { settlement: Settlement::DeadLetter(letter), write: None, event: None, trace: None };
    let (delivery, verdicts) = (delivery(None), [applied(8), applied(9), aside]);
    let concluded: Vec<_> = verdicts.iter().map(|verdict| (&delivery, verdict)).collect();
    scraped.site.concluded(&concluded, &[], None, at(10));
    for (series, expected) in [
        (format!("bridge_events_total{{outcome=\"applied\",site=\"{HERE}\"}}"), 2.0),
        (format!("bridge_events_total{{outcome=\"dead_letter\",site=\"{HERE}\"}}"), 1.0),
        (format!("bridge_events_total{{outcome=\"superseded\",site=\"{HERE}\"}}"), 0.0),
        (format!("bridge_dead_letters_total{{reason=\"not_json\",site=\"{HERE}\"}}"), 1.0),
        (format!("bridge_dead_letters_total{{reason=\"too_old\",site=\"{HERE}\"}}"), 0.0),
        (format!("bridge_replication_lag_seconds_sum{{from=\"{THERE}\",to=\"{HERE}\"}}"), 3.0),
        (format!("bridge_replication_lag_seconds_count{{from=\"{THERE}\",to=\"{HERE}\"}}"), 2.0),
    ] {
        assert_eq!(scraped.value(&series), Some(expected), "{series} in {}", scraped.text());
    }
}

#[test]
fn calls_are_measured_in_seconds_by_what_came_of_them() {
    let scraped = Scraped::new();
    let (store, peer) = (scraped.site.of_store().unwrap(), scraped.site.of_peer(&id(THERE)).unwrap());
    for (outcome, milliseconds) in [(Outcome::Ok, 250), (Outcome::Ok, 500), (Outcome::Throttled, 2_000)] {
        store(&call(Operation::PutIfNewer, outcome, milliseconds));
        peer(&call(Operation::Send, outcome, milliseconds));
    }
    store(&call(Operation::Get, Outcome::Ok, 4_000));
    peer(&call(Operation::Receive, Outcome::Ok, 4_000));
    peer(&call(Operation::Send, Outcome::Cancelled, 4_000));
    for (name, labels) in
        [("bridge_apply_duration", format!("site=\"{HERE}\"")), ("bridge_forward_duration", format!("to=\"{THERE}\""))]
    {
        for (outcome, sum, count) in [("ok", 0.75, 2.0), ("throttled", 2.0, 1.0)] {
            let labels = match name {
                "bridge_apply_duration" => format!("outcome=\"{outcome}\",{labels}"),
                _ => format!("from=\"{HERE}\",outcome=\"{outcome}\",{labels}"),
            };
            let value = |part| scraped.value(&format!("{name}_seconds_{part}{{{labels}}}"));
            assert_eq!((value("sum"), value("count")), (Some(sum), Some(count)), "{labels} in {}", scraped.text());
        }
    }
    assert!(!scraped.text().contains("cancelled"), "a send that was dropped took no time of its peer's");
}

#[test]
fn queues_are_told_as_they_were_counted() {
    let scraped = Scraped::new();
    let age = || scraped.value(&format!("bridge_queue_oldest_age_seconds{{site=\"{HERE}\"}}"));
    let backlog = |queue| scraped.value(&format!("bridge_queue_backlog{{queue=\"{queue}\",site=\"{HERE}\"}}"));
    let depth = |oldest| QueueDepth { waiting: 3, in_flight: Some(2), delayed: 1, oldest };
    scraped.site.hold_ages();
    scraped.site.counted(Some(depth(Some(at(40)))), 1, Some(7), at(100));
    assert_eq!((age(), backlog("events"), backlog("dead_letters")), (Some(60.0), Some(6.0), Some(7.0)));
    let states = ["visible", "leased", "backing_off", "scheduled", "set_aside"];
    let state = |state| scraped.value(&format!("bridge_queue_messages{{site=\"{HERE}\",state=\"{state}\"}}"));
    assert_eq!(states.map(state), [3.0, 1.0, 1.0, 1.0, 7.0].map(Some), "each message in one state");
    // A message that was taken has waited too, also where the broker tells no ages.
    let (taken, verdict) =
        (delivery(Some(at(10))), Verdict { settlement: Settlement::Ack, write: None, event: None, trace: None });
    scraped.site.concluded(&[(&taken, &verdict)], &[], None, at(100));
    scraped.site.counted(Some(depth(None)), 0, Some(0), at(101));
    assert_eq!((age(), backlog("dead_letters")), (Some(90.0), Some(0.0)));
    scraped.site.counted(None, 0, None, at(102));
    assert_eq!(age(), Some(0.0), "it was told once");
    assert_eq!((backlog("events"), backlog("dead_letters")), (None, None), "unknown is neither zero nor what it was");
    assert_eq!(states.map(state), [None; 5]);
}

#[test]
fn a_halt_shows_for_as_long_as_it_lasts() {
    let scraped = Scraped::new();
    let halt = |at| Halt { at, detail: String::new() };
    let away = || scraped.value(&format!("bridge_store_away{{site=\"{HERE}\"}}"));
    assert_eq!(away(), Some(0.0));
    let halted = || scraped.value(&format!("bridge_halted{{site=\"{HERE}\"}}"));
    assert_eq!(halted(), Some(0.0));
    scraped.site.halted(Some(&halt(Spot::Store)));
    assert_eq!(halted(), Some(1.0));
    assert_eq!(away(), Some(0.0));
    scraped.site.halted(Some(&halt(Spot::Away)));
    assert_eq!((halted(), away()), (Some(0.0), Some(1.0)), "that passes by itself");
    scraped.site.halted(None);
    assert_eq!(away(), Some(0.0));
    assert_eq!(halted(), Some(0.0));
    let circuit = scraped.value(&format!("bridge_peer_circuit{{from=\"{HERE}\",to=\"{THERE}\"}}"));
    assert_eq!(circuit, Some(0.0), "{}", scraped.text());
}
