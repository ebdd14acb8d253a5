//! The two policies about dead letters: where a queue sends its own, and whose it takes.
//!
//! Each is JSON in an attribute's text, taken as the service takes it and shown in one form. Whether the queues that
//! they name exist is checked by the caller, who can see them.

use std::fmt;

use serde_json::{Value, json};

use super::limits;
use super::protocol::SqsError;

/// Where messages go that were received too often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Redrive {
    pub(super) target_arn: String,
    pub(super) max_receive_count: u32,
}

/// Which queues may name this one as their dead-letter queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RedriveAllow {
    permission: String,
    sources: Vec<String>,
}

impl Redrive {
    /// Reads a `RedrivePolicy`; the empty text takes it back.
    pub(super) fn parse(text: &str) -> Result<Option<Self>, SqsError> {
        if text.is_empty() {
            return Ok(None);
        }
        let refused = |reason: &str| SqsError::invalid("RedrivePolicy", text, reason);
        let policy = object(text).ok_or_else(|| refused("Redrive policy is not a valid JSON map."))?;
        let missing = |name: &str| refused(&format!("Redrive policy does not contain mandatory attribute: {name}."));
        let target = policy.get("deadLetterTargetArn").ok_or_else(|| missing("deadLetterTargetArn"))?;
        let count = policy.get("maxReceiveCount").ok_or_else(|| missing("maxReceiveCount"))?;
        let target_arn = target.as_str().ok_or_else(|| refused("Invalid value for deadLetterTargetArn."))?.to_owned();
        // The count is taken as a number and as the text of one.
        let number = count.as_i64().or_else(|| count.as_str()?.parse().ok());
        let max_receive_count = number
            .filter(|number| limits::MAX_RECEIVE_COUNT.contains(number))
            .and_then(|number| u32::try_from(number).ok())
            .ok_or_else(|| {
                let range = "valid values are from 1 to 1000 both inclusive.";
                refused(&format!("Invalid value for maxReceiveCount: {count}, {range}"))
            })?;
        Ok(Some(Self { target_arn, max_receive_count }))
    }
}

impl fmt::Display for Redrive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        json!({ "deadLetterTargetArn": self.target_arn, "maxReceiveCount": self.max_receive_count }).fmt(f)
    }
}

impl RedriveAllow {
    /// Reads a `RedriveAllowPolicy`; the empty text takes it back.
    pub(super) fn parse(text: &str) -> Result<Option<Self>, SqsError> {
        if text.is_empty() {
            return Ok(None);
        }
        let refused = |reason: &str| SqsError::invalid("RedriveAllowPolicy", text, reason);
        let policy = object(text).ok_or_else(|| refused("Redrive allow policy is not a valid JSON map."))?;
        let permission = policy.get("redrivePermission").and_then(Value::as_str).unwrap_or_default().to_owned();
        let sources = match policy.get("sourceQueueArns") {
            None => Vec::new(),
            Some(list) => serde_json::from_value::<Vec<String>>(list.clone())
                .map_err(|_| refused("sourceQueueArns must be a list of queue ARNs."))?,
        };
        let fits = match permission.as_str() {
            "allowAll" | "denyAll" => sources.is_empty(),
            "byQueue" => (1..=limits::REDRIVE_SOURCES_MAX).contains(&sources.len()),
            _ => false,
        };
        if !fits {
            return Err(refused(
                "redrivePermission must be allowAll, denyAll or byQueue; only byQueue has sourceQueueArns, from 1 to \
                 10.",
            ));
        }
        Ok(Some(Self { permission, sources }))
    }

    pub(super) fn allows(&self, source_arn: &str) -> bool {
        match self.permission.as_str() {
            "denyAll" => false,
            "byQueue" => self.sources.iter().any(|source| source == source_arn),
            _ => true,
        }
    }
}

impl fmt::Display for RedriveAllow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut policy = json!({ "redrivePermission": self.permission });
        if !self.sources.is_empty() {
            policy["sourceQueueArns"] = json!(self.sources);
        }
        policy.fmt(f)
    }
}

fn object(text: &str) -> Option<Value> {
    serde_json::from_str(text).ok().filter(Value::is_object)
}

#[cfg(test)]
mod tests {
    use super::super::protocol::Code;
    use super::*;

    const ARN: &str = "arn:aws:sqs:us-east-1:000000000000:dead";

    #[test]
    fn a_redrive_policy_needs_a_target_and_a_count_in_range() {
        for policy in [
            json!({ "deadLetterTargetArn": ARN }),
            json!({ "maxReceiveCount": 3 }),
            json!({ "deadLetterTargetArn": ARN, "maxReceiveCount": 0 }),
            json!({ "deadLetterTargetArn": ARN, "maxReceiveCount": 1001 }),
            json!({ "deadLetterTargetArn": ARN, "maxReceiveCount": "many" }),
            json!({ "deadLetterTargetArn": 5, "maxReceiveCount": 3 }),
            json!([]),
        ] {
            let error = Redrive::parse(&policy.to_string()).unwrap_err();
            assert_eq!(error.code, Code::InvalidParameterValue, "{policy}");
        }
        assert_eq!(Redrive::parse(""), Ok(None));
    }

    #[test]
    fn a_count_may_be_text_and_is_shown_as_a_number() {
        let policy = json!({ "maxReceiveCount": "42", "deadLetterTargetArn": ARN }).to_string();
        let redrive = Redrive::parse(&policy).unwrap().unwrap();
        assert_eq!(redrive, Redrive { target_arn: ARN.to_owned(), max_receive_count: 42 });
        assert_eq!(redrive.to_string(), format!(r#"{{"deadLetterTargetArn":"{ARN}","maxReceiveCount":42}}"#));
    }

    #[test]
    fn a_redrive_allow_policy_decides_who_may_use_the_queue() {
        let allows = |policy: Value| {
            let allow = RedriveAllow::parse(&policy.to_string()).map_err(|error| error.code)?.unwrap();
            assert_eq!(RedriveAllow::parse(&allow.to_string()), Ok(Some(allow.clone())), "shown as it can be set");
            Ok::<bool, Code>(allow.allows("arn:a"))
        };
        assert_eq!(allows(json!({ "redrivePermission": "allowAll" })), Ok(true));
        assert_eq!(allows(json!({ "redrivePermission": "denyAll" })), Ok(false));
        assert_eq!(allows(json!({ "redrivePermission": "byQueue", "sourceQueueArns": ["arn:a"] })), Ok(true));
        assert_eq!(allows(json!({ "redrivePermission": "byQueue", "sourceQueueArns": ["arn:b"] })), Ok(false));
        let refused = Err(Code::InvalidParameterValue);
        assert_eq!(allows(json!({ "redrivePermission": "byQueue" })), refused);
        assert_eq!(allows(json!({ "redrivePermission": "some" })), refused);
        assert_eq!(allows(json!({ "redrivePermission": "denyAll", "sourceQueueArns": ["arn:a"] })), refused);
        assert_eq!(RedriveAllow::parse(""), Ok(None));
    }
}
