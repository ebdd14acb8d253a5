//! Counts what was asked of each service and what the caller saw: the books that tests and benchmarks read.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use super::{Service, ServiceAt};

/// Names come from outside, so their number is bounded; whatever comes later is counted as [`OTHER`].
const NAMES_MAX: usize = 2_000;
const NAME_CHARS_MAX: usize = 64;
const OTHER: &str = "other";

/// How often one operation of one service in one region ended in one way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RequestCount {
    pub service: Service,
    pub region: Arc<str>,
    pub operation: String,
    pub status: String,
    pub count: u64,
}

#[derive(Default)]
pub(super) struct Record(BTreeMap<ServiceAt, BTreeMap<(String, String), u64>>);

impl Record {
    pub(super) fn add(&mut self, at: &ServiceAt, operation: &str, status: &str) {
        let counts = self.0.entry(at.clone()).or_default();
        let key = (shorten(operation), shorten(status));
        let key =
            if counts.len() < NAMES_MAX || counts.contains_key(&key) { key } else { (OTHER.into(), OTHER.into()) };
        *counts.entry(key).or_default() += 1;
    }

    pub(super) fn counts(&self) -> Vec<RequestCount> {
        let of_service = |(at, counts): (&ServiceAt, &BTreeMap<(String, String), u64>)| {
            let count = |((operation, status), count): (&(String, String), &u64)| RequestCount {
                service: at.service,
                region: Arc::clone(&at.region),
                operation: operation.clone(),
                status: status.clone(),
                count: *count,
            };
            counts.iter().map(count).collect::<Vec<_>>()
        };
        self.0.iter().flat_map(of_service).collect()
    }
}

fn shorten(name: &str) -> String {
    name.chars().take(NAME_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted_per_service_operation_and_status() {
        let (mut record, sqs) = (Record::default(), ServiceAt::new(Service::Sqs, "us-east-1"));
        record.add(&ServiceAt::new(Service::Cosmos, "westeurope"), "read-item", "404");
        record.add(&sqs, "SendMessage", "200");
        record.add(&sqs, "SendMessage", "200");
        record.add(&sqs, "SendMessage", "dropped");
        let rows: Vec<_> =
            record.counts().into_iter().map(|row| (row.service, row.operation, row.status, row.count)).collect();
        assert_eq!(
            rows,
            [
                (Service::Sqs, "SendMessage".into(), "200".into(), 2),
                (Service::Sqs, "SendMessage".into(), "dropped".into(), 1),
                (Service::Cosmos, "read-item".into(), "404".into(), 1),
            ]
        );
    }

    #[test]
    fn names_from_outside_cannot_fill_the_memory() {
        let (mut record, sqs) = (Record::default(), ServiceAt::new(Service::Sqs, "us-east-1"));
        for number in 0..NAMES_MAX * 2 {
            record.add(&sqs, &format!("{number:0>100}x"), "200");
            record.add(&sqs, &format!("{number}"), "200");
        }
        let counts = record.counts();
        assert!(counts.len() <= NAMES_MAX + 1, "{}", counts.len());
        assert!(counts.iter().all(|row| row.operation.chars().count() <= NAME_CHARS_MAX));
        assert_eq!(counts.iter().map(|row| row.count).sum::<u64>(), 4 * NAMES_MAX as u64);
    }
}
