//! Batches: how many messages go into one request, and what its answer says of each.

use std::collections::HashMap;

use aws_sdk_sqs::types::BatchResultErrorEntry;
use bridge_core::failure::FailureKind;

use crate::aws::error::{Failure, of_code};

/// Entries of one request. "Amazon SQS message quotas", read 2026-11: 10 messages for every batch action.
pub(crate) const ENTRIES_MAX: usize = 10;

/// Bytes of all messages of one request. "Amazon SQS message quotas", read 2026-11: 1 MiB, as for a single message.
pub(crate) const BYTES_MAX: usize = 1024 * 1024;

/// Splits items into runs that a request can carry, in order. `items` are an index and a size in bytes each.
pub(crate) fn split(items: impl IntoIterator<Item = (usize, usize)>) -> Vec<Vec<usize>> {
    let mut batches: Vec<Vec<usize>> = Vec::new();
    let mut bytes = 0;
    for (index, size) in items {
        match batches.last_mut() {
            Some(batch) if batch.len() < ENTRIES_MAX && bytes + size <= BYTES_MAX => {
                batch.push(index);
                bytes += size;
            }
            _ => {
                batches.push(vec![index]);
                bytes = size;
            }
        }
    }
    batches
}

/// What an answer says of each of `count` entries, whose ids are their places.
///
/// An entry that the answer does not mention is `Unavailable`, never done: nobody has confirmed it.
pub(crate) fn results<'a>(
    count: usize,
    successful: impl IntoIterator<Item = &'a str>,
    failed: &[BatchResultErrorEntry],
) -> Vec<Result<(), Failure>> {
    let mut by_id: HashMap<&str, Result<(), Failure>> = HashMap::with_capacity(count);
    by_id.extend(successful.into_iter().map(|id| (id, Ok(()))));
    // Failures last, so that an entry which stands on both lists counts as failed.
    by_id.extend(failed.iter().map(|entry| (entry.id(), Err(failure(entry)))));
    let unmentioned = || Err(Failure::new(FailureKind::Unavailable, "the answer does not mention this entry"));
    (0..count).map(|place| by_id.remove(place.to_string().as_str()).unwrap_or_else(unmentioned)).collect()
}

fn failure(entry: &BatchResultErrorEntry) -> Failure {
    let (code, message) = (entry.code(), entry.message().unwrap_or("no message"));
    // An unknown code is ours to mend if the service blames us, and may pass if it does not.
    let status = if entry.sender_fault() { 400 } else { 500 };
    let kind = match of_code(Some(code), Some(message), status, None) {
        FailureKind::Unavailable if entry.sender_fault() => {
            FailureKind::Rejected { detail: format!("{code}: {message}") }
        }
        kind => kind,
    };
    Failure::new(kind, format!("{code}: {message}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(id: &str, code: &str, sender_fault: bool) -> BatchResultErrorEntry {
        BatchResultErrorEntry::builder().id(id).code(code).sender_fault(sender_fault).build().unwrap()
    }

    #[test]
    fn batches_keep_to_both_limits_and_to_the_order() {
        let small = split((0..23).map(|index| (index, 1)));
        assert_eq!(small.iter().map(Vec::len).collect::<Vec<_>>(), [10, 10, 3]);
        assert_eq!(small.concat(), (0..23).collect::<Vec<_>>());
        let large = split([(0, BYTES_MAX / 2), (1, BYTES_MAX / 2), (2, 1), (5, BYTES_MAX), (6, 1)]);
        assert_eq!(large, [vec![0, 1], vec![2], vec![5], vec![6]]);
        assert!(split([]).is_empty());
    }

    #[test]
    fn each_entry_gets_its_own_result() {
        let failures = [failed("1", "InternalError", false), failed("2", "BrandNew", true), failed("4", "X", false)];
        let results = results(5, ["0", "4"], &failures);
        let kinds: Vec<_> = results.into_iter().map(|result| result.map_err(|failure| failure.kind)).collect();
        let detail = "BrandNew: no message".to_owned();
        assert_eq!(
            kinds,
            [
                Ok(()),
                Err(FailureKind::Unavailable),
                Err(FailureKind::Rejected { detail }),
                Err(FailureKind::Unavailable),
                Err(FailureKind::Unavailable),
            ],
            "the fourth is not mentioned, and the last stands on both lists"
        );
    }
}
