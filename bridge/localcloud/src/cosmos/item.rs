//! What an item must be before the gateway sees it: the service's rules for ids, times to live and numbers.

use serde_json::{Number, Value};

use super::answer::Answer;
use super::gateway::{self, Message};
use super::operation::{Operation, Target};

/// Longest id.
///
/// # Source
/// "Azure Cosmos DB service quotas", per-item limits: 1,023 bytes, read 2026-11.
const ID_BYTES_MAX: usize = 1_023;

/// Longest partition key value.
///
/// # Source
/// The same page: 2,048 bytes with large partition keys, which version 2 of the hash allows.
const KEY_BYTES_MAX: usize = 2_048;

/// Longest time to live, in seconds.
///
/// # Source
/// "Time to live (TTL) in Azure Cosmos DB", read 2026-11.
const TTL_MAX: i64 = 2_147_483_647;

/// The largest integer that a double holds together with all smaller ones: 2^53.
const EXACT_MAX: u64 = 1 << 53;

/// The decoded body of a write, for the notes that are made of it once it has succeeded.
pub(super) struct Prepared {
    pub(super) body: Value,
}

/// Checks a write's body, and rounds its numbers as the service would.
///
/// A body that cannot be parsed is left for the gateway to refuse.
pub(super) fn prepare(target: &Target, message: &mut Message) -> Result<Prepared, Answer> {
    let mut body = gateway::parse(&message.body).unwrap_or_default();
    let rounded = match target.operation {
        Operation::CreateItem | Operation::UpsertItem | Operation::ReplaceItem => {
            check_item(&body)?;
            check_key(message.partition_key())?;
            round(&mut body)
        }
        Operation::Batch => {
            for entry in body.as_array_mut().into_iter().flatten() {
                if let Some(item) = entry.get("resourceBody") {
                    check_item(item)?;
                }
            }
            round(&mut body)
        }
        _ => false,
    };
    if rounded {
        message.body = body.to_string().into();
    }
    Ok(Prepared { body })
}

fn check_item(item: &Value) -> Result<(), Answer> {
    if let Some(id) = item["id"].as_str() {
        if id.is_empty() || id.len() > ID_BYTES_MAX {
            let text = format!(
                "The input name '{id}' is invalid. Ensure to provide a unique non-empty string of at most {ID_BYTES_MAX} bytes."
            );
            return Err(Answer::bad_request(&text));
        }
        if id.contains(['/', '\\', '?', '#']) {
            let text =
                format!("The input id '{id}' is invalid: it contains one of the characters '/', '\\', '?', '#'.");
            return Err(Answer::bad_request(&text));
        }
    }
    match item.get("ttl") {
        None | Some(Value::Null) => Ok(()),
        Some(ttl) if ttl.as_i64().is_some_and(|ttl| ttl == -1 || (1..=TTL_MAX).contains(&ttl)) => Ok(()),
        Some(ttl) => Err(Answer::bad_request(&format!(
            "The input ttl '{ttl}' is invalid. Ensure to provide a nonzero positive integer less than or equal to '{TTL_MAX}', \
             or '-1' which means never expire."
        ))),
    }
}

fn check_key(header: Option<&str>) -> Result<(), Answer> {
    let Some(Value::Array(parts)) = header.and_then(|header| serde_json::from_str(header).ok()) else { return Ok(()) };
    if parts.iter().filter_map(Value::as_str).any(|part| part.len() > KEY_BYTES_MAX) {
        let text = format!("Partition key is too large: a value may have at most {KEY_BYTES_MAX} bytes.");
        return Err(Answer::bad_request(&text));
    }
    Ok(())
}

/// Turns integers beyond 2^53 into the nearest double, as the service stores every number; true if there were any.
///
/// Without this the engine would be kinder than the service, and a payload that loses digits in Azure would pass here.
///
/// # Source
/// "Working with JSON in Azure Cosmos DB": numbers are IEEE 754 doubles, read 2026-11.
fn round(value: &mut Value) -> bool {
    match value {
        Value::Number(number) => {
            let magnitude = number.as_u64().or_else(|| number.as_i64().map(i64::unsigned_abs));
            let double = number.as_f64().and_then(Number::from_f64);
            match (magnitude, double) {
                (Some(magnitude), Some(double)) if magnitude > EXACT_MAX => {
                    *number = double;
                    true
                }
                _ => false,
            }
        }
        // Every member is visited: `any` would stop at the first that was rounded.
        Value::Array(members) => members.iter_mut().fold(false, |rounded, member| round(member) | rounded),
        Value::Object(members) => members.values_mut().fold(false, |rounded, member| round(member) | rounded),
        Value::Null | Value::Bool(_) | Value::String(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn integers_that_a_double_cannot_hold_are_rounded() {
        let mut item =
            json!({ "a": [9_007_199_254_740_993_u64, 1], "b": { "c": -9_007_199_254_740_993_i64 }, "d": 0.1 });
        assert!(round(&mut item));
        assert_eq!(
            item,
            json!({ "a": [9_007_199_254_740_992.0, 1], "b": { "c": -9_007_199_254_740_992.0 }, "d": 0.1 })
        );
        let mut exact = json!({ "a": 9_007_199_254_740_992_u64, "b": [-1, 1e21] });
        assert!(!round(&mut exact));
    }

    #[test]
    fn ids_and_times_to_live_follow_the_rules() {
        for item in [
            json!({ "id": "" }),
            json!({ "id": "a/b" }),
            json!({ "id": "a\\b" }),
            json!({ "id": "a?b" }),
            json!({ "id": "a#b" }),
            json!({ "id": "x".repeat(1_024) }),
            json!({ "id": "a", "ttl": 0 }),
            json!({ "id": "a", "ttl": -2 }),
            json!({ "id": "a", "ttl": 1.5 }),
            json!({ "id": "a", "ttl": "60" }),
            json!({ "id": "a", "ttl": 2_147_483_648_u64 }),
        ] {
            assert!(check_item(&item).is_err(), "{item}");
        }
        for item in [
            json!({ "id": "x".repeat(1_023) }),
            json!({ "id": "a b+c%d é" }),
            json!({ "id": "a", "ttl": -1 }),
            json!({ "id": "a", "ttl": 1 }),
            json!({ "id": "a", "ttl": null }),
        ] {
            assert!(check_item(&item).is_ok(), "{item}");
        }
    }
}
