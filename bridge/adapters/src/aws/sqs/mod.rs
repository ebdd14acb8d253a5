//! A standard SQS queue as a [`Queue`].
//!
//! A receipt is a receipt handle, a lease a visibility timeout, a retry a change of it. Each call is one request for up
//! to ten messages; of each message's result nothing is taken for granted.

mod batch;
mod depth;
pub mod fifo;
mod identity;
pub(super) mod message;
pub(super) mod redrive;

use std::{fmt, future::Future, time::Duration};

use async_trait::async_trait;
use aws_sdk_sqs::{
    Client,
    types::{ChangeMessageVisibilityBatchRequestEntry, DeleteMessageBatchRequestEntry},
};
use bridge_core::{
    failure::{FailureKind, PortError, Recovery},
    port::{Delivery, Message, Place, Queue, Receipt, Use},
    reason::Refusal,
};
use futures_util::{StreamExt, future::join_all, stream};

pub use depth::{SqsDepth, SqsRedriveDepth};
pub use identity::QueueIdentity;
pub use redrive::redrive_target;

use self::{batch::ENTRIES_MAX, message::SYSTEM_ATTRIBUTES};
use super::{client::patient_timeout_config, error::Failure};
use crate::{carried::sqs as carried, delivery::seconds_up};

/// How long the service holds a receive back at most. `ReceiveMessage` in the Amazon SQS API Reference, read 2026-11: 0
/// to 20 s.
const WAIT_MAX: Duration = Duration::from_secs(20);

/// How long a message can be hidden. "Amazon SQS message quotas", "message visibility timeout", read 2026-11: 12 hours,
/// counted from when it was received.
const HIDDEN_SECONDS_MAX: u64 = 43_200;

/// How long a message that was looked at stays hidden if nobody gives it back. Ours: in this time 100,000 messages can be
/// looked at, near the most that a queue hides at once ("Amazon SQS message quotas", "in flight", read 2026-11: 120,000).
const LOOKED_AT_SECONDS: i32 = 120;

/// Requests on their way at once for one call. Ours: one connection each, and a call of 100 messages makes 10.
const REQUESTS_AT_ONCE: usize = 8;

/// A body of a character that SQS does not carry, so that it is never taken.
const NOT_CARRIED: &str = "\u{FFFF}";

/// A receipt that no delivery has.
const NO_RECEIPT: &str = "none";

/// Which queue, and what it is like.
#[derive(Clone, Debug)]
pub struct SqsQueueOptions {
    /// The queue's address; its last part is the name.
    pub queue_url: String,
    /// How long a delivery stays hidden. The queue's own visibility timeout is not used.
    pub lease: Duration,
    /// The queue's `MaximumMessageSize`, in bytes: 1,024 to 1,048,576.
    pub message_bytes_max: usize,
}

/// A standard SQS queue.
///
/// `receive` waits in whole seconds, at most 20: shorter waits look once, longer ones return early. Bodies are text of
/// the characters that SQS allows, and not empty; anything else is `Rejected`.
#[derive(Debug)]
pub struct SqsQueue {
    client: Client,
    options: SqsQueueOptions,
}

impl SqsQueue {
    /// A queue that is reached through `client`. Nothing is sent.
    pub fn new(client: Client, options: SqsQueueOptions) -> Self {
        Self { client, options }
    }

    fn lease_seconds(&self) -> i32 {
        seconds(self.options.lease)
    }

    /// One request for up to ten messages, hidden for so many seconds.
    async fn receive_portion(&self, max: usize, wait: Duration, seconds: i32) -> Result<Vec<Delivery>, PortError> {
        let whole = |number: u64| i32::try_from(number).expect("at most 20");
        let request = self.client.receive_message().queue_url(&self.options.queue_url);
        let answer = request
            .max_number_of_messages(whole(max.min(ENTRIES_MAX) as u64))
            .wait_time_seconds(whole(wait.as_secs()))
            .visibility_timeout(seconds)
            .set_message_system_attribute_names(Some(SYSTEM_ATTRIBUTES.to_vec()))
            .message_attribute_names("All")
            .customize()
            .config_override(aws_sdk_sqs::config::Builder::new().timeout_config(patient_timeout_config(wait)))
            .send()
            .await
            .map_err(|error| Failure::from(error).at(self.to_string(), "receive"))?;
        Ok(answer.messages.unwrap_or_default().into_iter().filter_map(message::to_delivery).collect())
    }

    /// Up to `max` messages in as many requests as it takes.
    async fn receive_hidden(&self, max: usize, wait: Duration, seconds: i32) -> Result<Vec<Delivery>, PortError> {
        if max == 0 {
            return Ok(Vec::new());
        }
        let mut deliveries = self.receive_portion(max, wait.min(WAIT_MAX), seconds).await?;
        let mut full = deliveries.len() == max.min(ENTRIES_MAX);
        let mut at_once = 1;
        // As long as all portions come back full there is more to be had. Twice as many each time: a deep queue is read
        // with few round trips, a shallow one without many requests for nothing.
        while full && deliveries.len() < max {
            let missing = max - deliveries.len();
            let portions = at_once.min(missing.div_ceil(ENTRIES_MAX)).min(REQUESTS_AT_ONCE);
            let asked = |place: usize| ENTRIES_MAX.min(missing - place * ENTRIES_MAX);
            let requests = (0..portions).map(|place| self.receive_portion(asked(place), Duration::ZERO, seconds));
            for (place, portion) in join_all(requests).await.into_iter().enumerate() {
                // A failure costs nothing: what was received before it is handed over, the rest asked for again.
                let portion = portion.unwrap_or_default();
                full &= portion.len() == asked(place);
                deliveries.extend(portion);
            }
            at_once *= 2;
        }
        Ok(deliveries)
    }

    /// Runs `request` on runs of up to ten items, and puts the results in the items' order.
    async fn settle<T: Clone + Sync, F>(
        &self,
        operation: &'static str,
        items: &[T],
        request: impl Fn(Vec<T>) -> F + Send,
    ) -> Vec<Result<(), PortError>>
    where
        F: Future<Output = Vec<Result<(), Failure>>> + Send,
    {
        let requests: Vec<_> = items.chunks(ENTRIES_MAX).map(|chunk| request(chunk.to_vec())).collect();
        let results: Vec<_> = stream::iter(requests).buffered(REQUESTS_AT_ONCE).collect().await;
        results
            .into_iter()
            .flatten()
            .map(|result| result.map_err(|failure| failure.at(self.to_string(), operation)))
            .collect()
    }

    /// Hides each message for so many seconds from now.
    async fn hide_batch(&self, hidden: Vec<(Receipt, i32)>) -> Vec<Result<(), Failure>> {
        let entry = |(place, (receipt, seconds)): (usize, &(Receipt, i32))| {
            let entry =
                ChangeMessageVisibilityBatchRequestEntry::builder().id(place.to_string()).receipt_handle(&receipt.0);
            entry.visibility_timeout(*seconds).build().expect("id and receipt are set")
        };
        let request = self.client.change_message_visibility_batch().queue_url(&self.options.queue_url);
        let entries = hidden.iter().enumerate().map(entry).collect();
        match request.set_entries(Some(entries)).send().await {
            Ok(answer) => {
                let successful =
                    answer.successful().iter().map(aws_sdk_sqs::types::ChangeMessageVisibilityBatchResultEntry::id);
                let results = batch::results(hidden.len(), successful, answer.failed());
                results.into_iter().map(|result| result.map_err(stale)).collect()
            }
            Err(error) => vec![Err(Failure::from(error)); hidden.len()],
        }
    }

    async fn hide_all(
        &self,
        operation: &'static str,
        receipts: &[Receipt],
        seconds: i32,
    ) -> Vec<Result<(), PortError>> {
        let hidden: Vec<(Receipt, i32)> = receipts.iter().map(|receipt| (receipt.clone(), seconds)).collect();
        self.settle(operation, &hidden, |hidden| self.hide_batch(hidden)).await
    }

    async fn delete_batch(&self, receipts: Vec<Receipt>) -> Vec<Result<(), Failure>> {
        let entry = |(place, receipt): (usize, &Receipt)| {
            let entry = DeleteMessageBatchRequestEntry::builder().id(place.to_string()).receipt_handle(&receipt.0);
            entry.build().expect("id and receipt are set")
        };
        let request = self.client.delete_message_batch().queue_url(&self.options.queue_url);
        let entries = receipts.iter().enumerate().map(entry).collect();
        match request.set_entries(Some(entries)).send().await {
            Ok(answer) => {
                let successful = answer.successful().iter().map(aws_sdk_sqs::types::DeleteMessageBatchResultEntry::id);
                let results = batch::results(receipts.len(), successful, answer.failed());
                results.into_iter().map(|result| result.map_err(stale)).collect()
            }
            Err(error) => vec![Err(Failure::from(error)); receipts.len()],
        }
    }

    /// Sends `messages` in one request; if the service refuses it whole for what it contains, each in its own, so that
    /// one bad message does not take its neighbours along.
    async fn send_batch(&self, messages: Vec<&Message>) -> Vec<Result<(), Failure>> {
        match self.send_request(&messages).await {
            Err(failure) if messages.len() > 1 && matches!(failure.kind, FailureKind::Rejected { .. }) => {
                let single = async |message: &Message| {
                    let result = self.send_request(&[message]).await;
                    result.map_or_else(Err, |mut results| results.pop().unwrap_or(Ok(())))
                };
                join_all(messages.into_iter().map(single)).await
            }
            Err(failure) => vec![Err(failure); messages.len()],
            Ok(results) => results,
        }
    }

    async fn send_request(&self, messages: &[&Message]) -> Result<Vec<Result<(), Failure>>, Failure> {
        let entries = messages.iter().enumerate().map(|(place, message)| message::to_entry(message, place)).collect();
        let request = self.client.send_message_batch().queue_url(&self.options.queue_url).set_entries(Some(entries));
        let answer = request.send().await.map_err(|error| self.too_large(messages, Failure::from(error)))?;
        let successful = answer.successful().iter().map(aws_sdk_sqs::types::SendMessageBatchResultEntry::id);
        let results = batch::results(messages.len(), successful, answer.failed());
        let name =
            |(result, message): (Result<(), Failure>, &&Message)| result.map_err(|f| self.too_large(&[message], f));
        Ok(results.into_iter().zip(messages).map(name).collect())
    }

    /// Says `TooLarge` where the queue's limit is lower than the configuration believes.
    ///
    /// SQS has no code for that, only `InvalidParameterValue` or `BatchRequestTooLong`, so the limit is taken from the
    /// one place where it stands, the message: "... must be shorter than 1024 bytes".
    fn too_large(&self, messages: &[&Message], failure: Failure) -> Failure {
        let [message] = messages else { return failure };
        let limit_bytes = match &failure.kind {
            FailureKind::Rejected { detail } if detail.starts_with("BatchRequestTooLong") => {
                Some(self.options.message_bytes_max as u64)
            }
            FailureKind::Rejected { detail } => {
                let figure = detail.split_once("shorter than ").and_then(|(_, rest)| rest.split(' ').next());
                figure.and_then(|figure| figure.parse().ok())
            }
            _ => None,
        };
        let size_bytes = carried::size_bytes(message) as u64;
        match limit_bytes {
            Some(limit_bytes) => Failure { kind: FailureKind::TooLarge { size_bytes, limit_bytes }, ..failure },
            None => failure,
        }
    }
}

/// Seconds to hide a message for.
fn seconds(duration: Duration) -> i32 {
    i32::try_from(seconds_up(duration).min(HIDDEN_SECONDS_MAX)).expect("12 hours of seconds fit")
}

/// What is wrong with a settlement that the service refuses is always its receipt: nothing else in it varies.
fn stale(failure: Failure) -> Failure {
    match failure.kind {
        FailureKind::Rejected { .. } => Failure { kind: FailureKind::LeaseLost, ..failure },
        _ => failure,
    }
}

#[async_trait]
impl Queue for SqsQueue {
    async fn receive(&self, max: usize, wait: Duration) -> Result<Vec<Delivery>, PortError> {
        self.receive_hidden(max, wait, self.lease_seconds()).await
    }

    fn lease(&self) -> Duration {
        self.options.lease
    }

    async fn extend(&self, receipts: &[Receipt]) -> Vec<Result<Duration, PortError>> {
        let seconds = self.lease_seconds();
        let holds = Duration::from_secs(seconds.unsigned_abs().into());
        let hidden = self.hide_all("extend", receipts, seconds).await;
        hidden.into_iter().map(|answer| answer.map(|()| holds)).collect()
    }

    async fn ack(&self, receipts: &[Receipt]) -> Vec<Result<(), PortError>> {
        self.settle("ack", receipts, |receipts| self.delete_batch(receipts)).await
    }

    async fn retry(&self, later: &[(&Delivery, Duration)]) -> Vec<Result<(), PortError>> {
        let hidden = |(delivery, after): &(&Delivery, Duration)| (delivery.receipt.clone(), seconds(*after));
        let later: Vec<(Receipt, i32)> = later.iter().map(hidden).collect();
        self.settle("retry", &later, |later| self.hide_batch(later)).await
    }

    /// SQS sets a message aside by its count of receives alone.
    async fn bury(&self, _: &Delivery, _: &Refusal) -> Result<bool, PortError> {
        Ok(false)
    }

    /// Asks for what the service refuses for its content, once it has found that the caller may ask at all.
    async fn probe(&self, what: Use) -> Result<(), PortError> {
        let refused = match what {
            Use::Send => {
                let request = self.client.send_message().queue_url(&self.options.queue_url);
                request.message_body(NOT_CARRIED).send().await.err().map(Failure::from)
            }
            Use::Settle => {
                let request = self.client.delete_message().queue_url(&self.options.queue_url);
                request.receipt_handle(NO_RECEIPT).send().await.err().map(Failure::from)
            }
        };
        match refused {
            None => Ok(()),
            Some(failure) if failure.kind == FailureKind::LeaseLost => Ok(()),
            Some(failure) if failure.kind.recovery() == Recovery::DeadLetter => Ok(()),
            Some(failure) => Err(failure.at(self.to_string(), "probe")),
        }
    }

    async fn send(&self, messages: &[Message]) -> Vec<Result<(), PortError>> {
        let check = |message| carried::check(message, self.options.message_bytes_max);
        let mut results: Vec<Result<(), Failure>> = messages
            .iter()
            .map(|message| check(message).map_err(|kind| Failure::new(kind, "refused before it was sent")))
            .collect();
        let good = messages.iter().enumerate().filter(|(at, _)| results[*at].is_ok());
        let batches = batch::split(good.map(|(at, message)| (at, carried::size_bytes(message))));
        let requests: Vec<_> =
            batches.iter().map(|batch| self.send_batch(batch.iter().map(|at| &messages[*at]).collect())).collect();
        let answers: Vec<_> = stream::iter(requests).buffered(REQUESTS_AT_ONCE).collect().await;
        for (at, answer) in batches.concat().into_iter().zip(answers.into_iter().flatten()) {
            results[at] = answer;
        }
        results.into_iter().map(|result| result.map_err(|failure| failure.at(self.to_string(), "send"))).collect()
    }

    /// SQS has no way to look, so this receives: it raises the receive count, and hides for two minutes what is not
    /// released.
    async fn browse(&self, _: &mut Place, max: usize) -> Result<Vec<Delivery>, PortError> {
        // Servers are asked in turn, and one may be empty while others are not: an answer that waits asks them all.
        self.receive_hidden(max, Duration::from_secs(1), LOOKED_AT_SECONDS).await
    }

    async fn release(&self, receipts: &[Receipt]) -> Vec<Result<(), PortError>> {
        self.hide_all("release", receipts, 0).await
    }

    /// Nothing is fetched ahead; the client's connections close when they have been idle for a while.
    async fn close(&self) {}
}

impl fmt::Display for SqsQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.options.queue_url.rsplit('/').next().unwrap_or(&self.options.queue_url);
        write!(f, "sqs {name}")
    }
}
