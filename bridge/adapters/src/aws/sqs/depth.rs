//! How much lies in SQS: by its own estimates.

use std::{collections::HashMap, fmt};

use async_trait::async_trait;
use aws_sdk_sqs::types::QueueAttributeName;
use bridge_core::{
    failure::{FailureKind, PortError},
    port::{Depth, QueueDepth},
};

use super::redrive_target;
use crate::aws::{AwsClients, error::Failure};

/// A queue of SQS whose messages are counted. The service does not say when the oldest one came.
#[derive(Clone)]
pub struct SqsDepth {
    clients: AwsClients,
    queue_url: String,
}

impl SqsDepth {
    /// Nothing is sent until it is asked.
    pub fn new(clients: AwsClients, queue_url: String) -> Self {
        Self { clients, queue_url }
    }
}

#[async_trait]
impl Depth for SqsDepth {
    async fn depth(&self) -> Result<QueueDepth, PortError> {
        let names = [
            QueueAttributeName::ApproximateNumberOfMessages,
            QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
            QueueAttributeName::ApproximateNumberOfMessagesDelayed,
        ];
        let request = self.clients.sqs.get_queue_attributes().queue_url(&self.queue_url);
        let answer = request.set_attribute_names(Some(names.to_vec())).send().await;
        let answer = answer.map_err(|error| Failure::from(error).at(self.to_string(), "depth"))?;
        read(&answer.attributes.unwrap_or_default())
            .map_err(|detail| PortError::new(self.to_string(), "depth", FailureKind::Rejected { detail }))
    }
}

fn read(attributes: &HashMap<QueueAttributeName, String>) -> Result<QueueDepth, String> {
    let number = |name: QueueAttributeName| match attributes.get(&name).map(|text| text.parse::<u64>()) {
        Some(Ok(number)) => Ok(number),
        _ => Err(format!("the service does not say {name}")),
    };
    Ok(QueueDepth {
        waiting: number(QueueAttributeName::ApproximateNumberOfMessages)?,
        in_flight: Some(number(QueueAttributeName::ApproximateNumberOfMessagesNotVisible)?),
        delayed: number(QueueAttributeName::ApproximateNumberOfMessagesDelayed)?,
        oldest: None,
    })
}

impl fmt::Display for SqsDepth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sqs {}", self.queue_url.rsplit('/').next().unwrap_or(&self.queue_url))
    }
}

impl fmt::Debug for SqsDepth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SqsDepth({self})")
    }
}

/// What SQS itself set aside: the messages of the queue that the redrive policy of another one names.
#[derive(Clone, Debug)]
pub struct SqsRedriveDepth {
    /// The queue with the policy.
    pub queue: SqsDepth,
    /// The bridge's own dead-letter queue: if the policy names it, its messages are counted there.
    pub dead_letter_queue_url: String,
}

#[async_trait]
impl Depth for SqsRedriveDepth {
    async fn depth(&self) -> Result<QueueDepth, PortError> {
        let SqsDepth { clients, queue_url } = &self.queue;
        match redrive_target(clients, queue_url).await? {
            Some(url) if url != self.dead_letter_queue_url => SqsDepth::new(clients.clone(), url).depth().await,
            _ => Ok(QueueDepth::default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_that_is_missing_is_not_zero() {
        assert!(read(&HashMap::new()).unwrap_err().contains("ApproximateNumberOfMessages"));
    }
}
