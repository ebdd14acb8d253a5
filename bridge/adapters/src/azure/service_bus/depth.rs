//! How much lies in Service Bus: as the queue's description counts it, and when its first message came.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use bridge_core::{
    failure::{FailureKind, PortError},
    port::{Depth, Place, Queue, QueueDepth},
};

use super::{ServiceBusDescriptions, ServiceBusQueue, admin::atom};
use crate::failure::Failure;

/// A queue of Service Bus whose messages are counted. Messages in somebody's hands count among the waiting, and so do messages that somebody
/// deferred: the service has no count of either.
#[derive(Clone)]
pub struct ServiceBusDepth {
    descriptions: Arc<ServiceBusDescriptions>,
    queue: String,
    what: What,
}

#[derive(Clone)]
enum What {
    /// The queue's messages; looked at through this, if given, to see when the first one came.
    Messages(Option<Arc<ServiceBusQueue>>),
    /// What the broker itself set aside.
    DeadLetters,
}

impl ServiceBusDepth {
    /// The messages of `queue`, which `peek` looks into.
    pub fn of(descriptions: Arc<ServiceBusDescriptions>, queue: &str, peek: Arc<ServiceBusQueue>) -> Self {
        Self { descriptions, queue: queue.to_owned(), what: What::Messages(Some(peek)) }
    }

    /// The messages of `queue`, without a look at when the first one came: no connection is opened.
    pub fn counted(descriptions: Arc<ServiceBusDescriptions>, queue: &str) -> Self {
        Self { descriptions, queue: queue.to_owned(), what: What::Messages(None) }
    }

    /// What the broker set aside of `queue`.
    pub fn of_dead_letters(descriptions: Arc<ServiceBusDescriptions>, queue: &str) -> Self {
        Self { descriptions, queue: queue.to_owned(), what: What::DeadLetters }
    }
}

#[async_trait]
impl Depth for ServiceBusDepth {
    async fn depth(&self) -> Result<QueueDepth, PortError> {
        let fail = |failure: Failure| failure.at(self.to_string(), "depth");
        let xml = self.descriptions.read(&self.queue).await.map_err(fail)?;
        let number = |element: &str| {
            let detail = || format!("the service does not say {element} of {}", self.queue);
            let number = atom::text(&xml, element).and_then(|text| text.parse::<u64>().ok());
            number.ok_or_else(|| PortError::new(self.to_string(), "depth", FailureKind::Rejected { detail: detail() }))
        };
        let peek = match &self.what {
            What::DeadLetters => {
                return Ok(QueueDepth { waiting: number("DeadLetterMessageCount")?, ..QueueDepth::default() });
            }
            What::Messages(peek) => peek,
        };
        let (active, delayed) = (number("ActiveMessageCount")?, number("ScheduledMessageCount")?);
        // Deferred messages are active ones by what users of the service report, and no document says so. They are in the sum in any case.
        let others = number("DeadLetterMessageCount")?.saturating_add(delayed);
        let waiting = number("MessageCount").map_or(active, |all| active.max(all.saturating_sub(others)));
        let first = match peek {
            Some(peek) if waiting > 0 => peek.browse(&mut Place::default(), 1).await?,
            _ => Vec::new(),
        };
        let oldest = first.first().and_then(|delivery| delivery.first_seen);
        Ok(QueueDepth { waiting, in_flight: None, delayed, oldest })
    }
}

impl fmt::Display for ServiceBusDepth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let suffix = if matches!(self.what, What::DeadLetters) { "/$deadletterqueue" } else { "" };
        write!(f, "service-bus {}{suffix}", self.queue)
    }
}

impl fmt::Debug for ServiceBusDepth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServiceBusDepth({self})")
    }
}
