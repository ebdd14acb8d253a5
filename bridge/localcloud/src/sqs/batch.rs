//! What the three batch actions share: how many entries, how they are named, and one outcome each.

use std::collections::BTreeSet;

use super::limits;
use super::protocol::{BatchAnswer, Code, SqsError, required};

/// An entry that knows the name its sender gave it.
pub(super) trait Entry {
    /// The entry's type, as error messages call it.
    const TYPE: &'static str;

    fn id(&self) -> Option<&str>;
}

/// Checks what must be right for any entry to count. The service checks in this order.
pub(super) fn check<E: Entry>(entries: Option<Vec<E>>) -> Result<Vec<(String, E)>, SqsError> {
    let entries = entries.unwrap_or_default();
    if entries.is_empty() {
        let message = format!("There should be at least one {} in the request.", E::TYPE);
        return Err(SqsError::new(Code::EmptyBatchRequest, message));
    }
    if entries.len() > limits::BATCH_ENTRIES_MAX {
        let message = format!(
            "Maximum number of entries per request are {}. You have sent {}.",
            limits::BATCH_ENTRIES_MAX,
            entries.len()
        );
        return Err(SqsError::new(Code::TooManyEntriesInBatchRequest, message));
    }
    let mut named = Vec::with_capacity(entries.len());
    for entry in entries {
        let id = required(entry.id(), &format!("{}.Id", E::TYPE))?.to_owned();
        let right = id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        if !right || id.is_empty() || id.len() > limits::BATCH_ID_CHARACTERS_MAX {
            let message = "A batch entry id can only contain alphanumeric characters, hyphens and underscores. It \
                can be at most 80 letters long.";
            return Err(SqsError::new(Code::InvalidBatchEntryId, message));
        }
        named.push((id, entry));
    }
    let mut seen = BTreeSet::new();
    if let Some((id, _)) = named.iter().find(|(id, _)| !seen.insert(id)) {
        return Err(SqsError::new(Code::BatchEntryIdsNotDistinct, format!("Id {id} repeated.")));
    }
    Ok(named)
}

/// Gathers outcomes, each under its entry's id.
pub(super) fn answer<T>(outcomes: impl IntoIterator<Item = (String, Result<T, SqsError>)>) -> BatchAnswer<T> {
    let mut answer = BatchAnswer { successful: Vec::new(), failed: Vec::new() };
    for (id, outcome) in outcomes {
        match outcome {
            Ok(success) => answer.successful.push(success),
            Err(error) => answer.failed.push(error.into_entry(id)),
        }
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Named(&'static str);

    impl Entry for Named {
        const TYPE: &'static str = "NamedEntry";

        fn id(&self) -> Option<&str> {
            Some(self.0)
        }
    }

    fn verdict(ids: &[&'static str]) -> Result<usize, Code> {
        let entries = ids.iter().map(|id| Named(id)).collect();
        check(Some(entries)).map(|entries| entries.len()).map_err(|error| error.code)
    }

    #[test]
    fn a_batch_has_one_to_ten_entries_with_distinct_ids() {
        assert_eq!(verdict(&["a", "b-_9"]), Ok(2));
        assert_eq!(verdict(&["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]), Ok(10));
        assert_eq!(verdict(&[]), Err(Code::EmptyBatchRequest));
        assert_eq!(verdict(&["a"; 11]), Err(Code::TooManyEntriesInBatchRequest));
        assert_eq!(verdict(&["a", "b", "a"]), Err(Code::BatchEntryIdsNotDistinct));
        for id in ["", "a b", "a:b", "é"] {
            assert_eq!(verdict(&[id]), Err(Code::InvalidBatchEntryId), "{id}");
        }
        assert!(check::<Named>(None).is_err());
    }
}
