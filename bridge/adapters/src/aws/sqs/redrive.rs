//! Where SQS itself sets messages aside that were received too often.

use aws_sdk_sqs::types::QueueAttributeName;
use bridge_core::failure::PortError;
use serde_json::Value;

use crate::aws::{AwsClients, error::Failure};

/// The address of the queue that the redrive policy of `queue_url` names, if it has one.
///
/// # Errors
/// The policy cannot be read: most often `sqs:GetQueueAttributes` is not allowed.
pub async fn redrive_target(clients: &AwsClients, queue_url: &str) -> Result<Option<String>, PortError> {
    let name = QueueAttributeName::RedrivePolicy;
    let request = clients.sqs.get_queue_attributes().queue_url(queue_url).attribute_names(name.clone());
    let backend = || format!("sqs {}", queue_url.rsplit('/').next().unwrap_or(queue_url));
    let answer = request.send().await.map_err(|error| Failure::from(error).at(backend(), "redrive_target"))?;
    let policy = answer.attributes.as_ref().and_then(|attributes| attributes.get(&name));
    Ok(policy.and_then(|policy| address(queue_url, policy)))
}

/// A queue's dead-letter queue is in the same account and region ("Using dead-letter queues in Amazon SQS", read 2026-11),
/// so only the last part of the address differs.
pub(crate) fn address(queue_url: &str, policy: &str) -> Option<String> {
    let policy: Value = serde_json::from_str(policy).ok()?;
    let name = policy["deadLetterTargetArn"].as_str()?.rsplit(':').next()?;
    let (place, _) = queue_url.rsplit_once('/')?;
    Some(format!("{place}/{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_that_of_the_queue_with_the_name_in_its_policy() {
        let url = "https://sqs.us-east-1.amazonaws.com/123456789012/bridge-events";
        let policy = r#"{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:123456789012:aside","maxReceiveCount":"40"}"#;
        let expected = "https://sqs.us-east-1.amazonaws.com/123456789012/aside";
        assert_eq!(address(url, policy).as_deref(), Some(expected));
        assert_eq!(address(url, "{}"), None);
        assert_eq!(address(url, "no policy"), None);
    }
}
