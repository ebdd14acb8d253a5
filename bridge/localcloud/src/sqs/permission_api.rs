//! `AddPermission` and `RemovePermission`: statements of the queue's policy, by label. Kept and shown; nobody is kept
//! out by them.

use serde::Deserialize;
use serde_json::{Value, json};

use super::protocol::{Code, Nothing, SqsError, parse, required};
use super::service::Service;

/// # Source
/// API reference, `AddPermission`, read 2026-11.
const LABEL_CHARACTERS_MAX: usize = 80;
const ACTIONS_MAX: usize = 7;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AddPermission {
    queue_url: Option<String>,
    label: Option<String>,
    #[serde(rename = "AWSAccountIds")]
    accounts: Option<Vec<String>>,
    actions: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RemovePermission {
    queue_url: Option<String>,
    label: Option<String>,
}

impl Service {
    pub(super) fn add_permission(&self, body: &[u8]) -> Result<Nothing, SqsError> {
        let request: AddPermission = parse(body)?;
        let url = required(request.queue_url, "QueueUrl")?;
        let label = required(request.label, "Label")?;
        let accounts = required(request.accounts.filter(|accounts| !accounts.is_empty()), "AWSAccountIds")?;
        let actions = required(request.actions.filter(|actions| !actions.is_empty()), "Actions")?;
        let right = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        if !right || !(1..=LABEL_CHARACTERS_MAX).contains(&label.len()) {
            let reason = "A label has 1 to 80 alphanumeric characters, hyphens and underscores.";
            return Err(SqsError::invalid("Label", &label, reason));
        }
        if actions.len() > ACTIONS_MAX {
            let message = format!("{} Actions were found, maximum allowed is {ACTIONS_MAX}.", actions.len());
            return Err(SqsError::new(Code::OverLimit, message));
        }
        let mut registry = self.registry();
        let arn = registry.place.arn(&registry.resolve(&url)?);
        let slot = registry.slot(&url)?;
        let empty = || json!({ "Version": "2008-10-17", "Id": format!("{arn}/SQSDefaultPolicy"), "Statement": [] });
        let mut policy = slot.settings.policy.clone().unwrap_or_else(empty);
        let statements = statements(&mut policy)?;
        if statements.iter().any(|statement| statement["Sid"] == label.as_str()) {
            return Err(SqsError::invalid("Label", label, "Already exists."));
        }
        let principals = accounts.iter().map(|account| format!("arn:aws:iam::{account}:root")).collect();
        let actions = actions.iter().map(|action| format!("SQS:{action}")).collect();
        statements.push(json!({
            "Sid": label,
            "Effect": "Allow",
            "Principal": { "AWS": one_or_list(principals) },
            "Action": one_or_list(actions),
            "Resource": arn,
        }));
        slot.settings.policy = Some(policy);
        Ok(Nothing {})
    }

    pub(super) fn remove_permission(&self, body: &[u8]) -> Result<Nothing, SqsError> {
        let request: RemovePermission = parse(body)?;
        let url = required(request.queue_url, "QueueUrl")?;
        let label = required(request.label, "Label")?;
        let mut registry = self.registry();
        let slot = registry.slot(&url)?;
        let missing = || SqsError::invalid("Label", &label, "can't find label.");
        let mut policy = slot.settings.policy.clone().ok_or_else(missing)?;
        let statements = statements(&mut policy)?;
        let before = statements.len();
        statements.retain(|statement| statement["Sid"] != label.as_str());
        if statements.len() == before {
            return Err(missing());
        }
        let left = !statements.is_empty();
        slot.settings.policy = left.then_some(policy);
        Ok(Nothing {})
    }
}

/// A policy that was set as a whole may have a single statement instead of a list.
fn statements(policy: &mut Value) -> Result<&mut Vec<Value>, SqsError> {
    let refused = || SqsError::new(Code::InvalidAttributeValue, "Invalid value for the parameter Policy.");
    let statement = policy.as_object_mut().ok_or_else(refused)?.entry("Statement").or_insert_with(|| json!([]));
    if statement.is_object() {
        *statement = json!([statement.take()]);
    }
    statement.as_array_mut().ok_or_else(refused)
}

fn one_or_list(mut texts: Vec<String>) -> Value {
    if texts.len() == 1 { Value::String(texts.remove(0)) } else { json!(texts) }
}
