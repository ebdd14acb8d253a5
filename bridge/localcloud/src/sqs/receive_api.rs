//! `ReceiveMessage`, with the long poll.
//!
//! A receiver that finds nothing sleeps until a message arrives or comes back, or its time is over; it looks at nothing
//! in between. A caller that hangs up takes no message with it: the wait ends with its connection, before anything is
//! taken.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep_until};

use super::attributes::{self, Choice, ReceivedAttribute};
use super::limits;
use super::protocol::{self, Code, SqsError, parse, required};
use super::queue::Delivery;
use super::receipt::Receipt;
use super::send_api::check_token;
use super::service::Service;
use super::settings::{is_known, unknown};

/// The user that sent every message, in the form of the service's own ids: there is one account and no users here.
const SENDER_ID: &str = "AIDALOCALCLOUDSENDER0";

const SYSTEM_ATTRIBUTES: [&str; 9] = [
    "AWSTraceHeader",
    "ApproximateFirstReceiveTimestamp",
    "ApproximateReceiveCount",
    "DeadLetterQueueSourceArn",
    "MessageDeduplicationId",
    "MessageGroupId",
    "SenderId",
    "SentTimestamp",
    "SequenceNumber",
];

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ReceiveMessage {
    queue_url: Option<String>,
    #[serde(default)]
    attribute_names: Vec<String>,
    #[serde(default)]
    message_system_attribute_names: Vec<String>,
    #[serde(default)]
    message_attribute_names: Vec<String>,
    max_number_of_messages: Option<i64>,
    visibility_timeout: Option<i64>,
    wait_time_seconds: Option<i64>,
    receive_request_attempt_id: Option<String>,
}

/// A request that was checked.
struct Wish {
    url: String,
    max: usize,
    visibility: Option<Duration>,
    /// `None`: the queue's own.
    wait: Option<Duration>,
    attempt: Option<String>,
    system_attributes: Vec<String>,
    attributes: Choice,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Messages<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    messages: Vec<ReceivedMessage<'a>>,
}

#[derive(Serialize)]
struct ReceivedMessage<'a> {
    #[serde(rename = "MessageId")]
    message_id: String,
    #[serde(rename = "ReceiptHandle")]
    receipt_handle: String,
    #[serde(rename = "MD5OfBody")]
    body_md5: String,
    #[serde(rename = "Body")]
    body: &'a str,
    #[serde(rename = "Attributes", skip_serializing_if = "BTreeMap::is_empty")]
    system_attributes: BTreeMap<&'static str, String>,
    #[serde(rename = "MD5OfMessageAttributes", skip_serializing_if = "Option::is_none")]
    attributes_md5: Option<String>,
    #[serde(rename = "MessageAttributes", skip_serializing_if = "BTreeMap::is_empty")]
    attributes: BTreeMap<&'a str, ReceivedAttribute<'a>>,
}

impl Service {
    pub(super) async fn receive_message(&self, body: &[u8]) -> Result<Response, SqsError> {
        let wish = parse::<ReceiveMessage>(body)?.check()?;
        let (arrivals, queue, default_wait) = {
            let mut registry = self.registry();
            let slot = registry.slot(&wish.url)?;
            (Arc::clone(&slot.arrivals), slot.id, slot.settings.wait)
        };
        let wait = wish.wait.unwrap_or(default_wait);
        let deadline = Instant::now() + wait;
        loop {
            // Listening starts before the look, so that nothing which comes between the two is missed.
            let mut arrived = pin!(arrivals.notified());
            arrived.as_mut().enable();
            let deliveries = self.look(&wish, wait)?;
            if !deliveries.is_empty() || Instant::now() >= deadline {
                return Ok(self.messages(&wish, queue, &deliveries));
            }
            tokio::select! {
                () = arrived => {}
                () = sleep_until(deadline) => {}
                () = self.stopping.cancelled() => return Ok(self.messages(&wish, queue, &[])),
            }
        }
    }

    /// Takes what is there now.
    fn look(&self, wish: &Wish, wait: Duration) -> Result<Vec<Delivery>, SqsError> {
        let now = self.now();
        let mut registry = self.registry();
        let taken = registry.receive(now, &wish.url, wish.max, wish.visibility, wish.attempt.as_deref())?;
        let slot = registry.slot(&wish.url)?;
        // Long polls and FIFO queues get no error, only no messages.
        let short_poll = wait.is_zero() && slot.settings.fifo.is_none();
        if taken.deliveries.is_empty() && short_poll && slot.queue.counts().in_flight >= limits::IN_FLIGHT_MAX {
            let message = format!("Too many messages are in flight: the limit is {}.", limits::IN_FLIGHT_MAX);
            return Err(SqsError::new(Code::OverLimit, message));
        }
        Ok(taken.deliveries)
    }

    fn messages(&self, wish: &Wish, queue: u64, deliveries: &[Delivery]) -> Response {
        let messages = deliveries.iter().map(|delivery| {
            let message = &delivery.stored.message;
            let picked = wish.attributes.pick(&message.attributes);
            let receipt =
                Receipt { queue, key: delivery.key.0, delivery: delivery.number, received: delivery.received };
            ReceivedMessage {
                message_id: message.id.to_string(),
                receipt_handle: self.seal.write(&receipt),
                body_md5: hex::encode(message.body_md5),
                body: &message.body,
                system_attributes: wish.system_attributes_of(delivery),
                attributes_md5: attributes::digest(picked.iter().copied()),
                attributes: picked.into_iter().map(|attribute| (attribute.name(), attribute.received())).collect(),
            }
        });
        protocol::answer(StatusCode::OK, &Messages { messages: messages.collect() })
    }
}

impl ReceiveMessage {
    fn check(self) -> Result<Wish, SqsError> {
        let url = required(self.queue_url, "QueueUrl")?;
        let max = self.max_number_of_messages.unwrap_or(1);
        if !limits::RECEIVED_MESSAGES.contains(&max) {
            return Err(SqsError::invalid("MaxNumberOfMessages", max, "Must be between 1 and 10, if provided."));
        }
        let wait = self.wait_time_seconds;
        if let Some(seconds) = wait.filter(|seconds| !limits::WAIT_SECONDS.contains(seconds)) {
            return Err(SqsError::invalid("WaitTimeSeconds", seconds, "Must be >= 0 and <= 20, if provided."));
        }
        let visibility = self.visibility_timeout.map(check_visibility).transpose()?;
        if let Some(attempt) = &self.receive_request_attempt_id {
            check_token("ReceiveRequestAttemptId", attempt)?;
        }
        let mut system_attributes = self.attribute_names;
        system_attributes.extend(self.message_system_attribute_names);
        let known = |name: &str| name == "All" || SYSTEM_ATTRIBUTES.contains(&name) || is_known(name);
        if let Some(name) = system_attributes.iter().find(|name| !known(name)) {
            return Err(unknown(name));
        }
        Ok(Wish {
            url,
            max: usize::try_from(max).unwrap_or(1),
            visibility,
            wait: wait.map(|seconds| Duration::from_secs(seconds.unsigned_abs())),
            attempt: self.receive_request_attempt_id,
            system_attributes,
            attributes: Choice::new(self.message_attribute_names),
        })
    }
}

pub(super) fn check_visibility(seconds: i64) -> Result<Duration, SqsError> {
    if !limits::VISIBILITY_SECONDS.contains(&seconds) {
        return Err(SqsError::invalid("VisibilityTimeout", seconds, "Must be >= 0 and <= 43200, if provided."));
    }
    Ok(Duration::from_secs(seconds.unsigned_abs()))
}

impl Wish {
    fn system_attributes_of(&self, delivery: &Delivery) -> BTreeMap<&'static str, String> {
        let stored = &delivery.stored;
        let message = &stored.message;
        let asked = |name: &&str| self.system_attributes.iter().any(|asked| asked == "All" || asked == name);
        let value = |name| match name {
            "AWSTraceHeader" => message.trace_header.as_deref().map(str::to_owned),
            "ApproximateFirstReceiveTimestamp" => stored.first_received_ms.map(|received| received.to_string()),
            "ApproximateReceiveCount" => Some(stored.receive_count.to_string()),
            "DeadLetterQueueSourceArn" => stored.dead_letter_source.as_deref().map(str::to_owned),
            "MessageDeduplicationId" => message.deduplication.as_deref().map(str::to_owned),
            "MessageGroupId" => message.group.as_deref().map(str::to_owned),
            "SenderId" => Some(SENDER_ID.to_owned()),
            "SentTimestamp" => Some(message.sent_ms.to_string()),
            "SequenceNumber" => message.sequence.map(|sequence| sequence.to_string()),
            _ => None,
        };
        SYSTEM_ATTRIBUTES.into_iter().filter(asked).filter_map(|name| Some((name, value(name)?))).collect()
    }
}
