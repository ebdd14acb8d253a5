//! `SendMessage` and `SendMessageBatch`.
//!
//! A message is checked and its digests are computed before the queues are locked. What makes a whole batch fail (its
//! sum of sizes, missing FIFO parameters) is told apart from what makes one entry fail, as recorded from the service.

use std::time::Duration;

use md5::{Digest, Md5};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use super::attributes::{self, WireAttributes};
use super::batch;
use super::limits;
use super::message::Message;
use super::protocol::{BatchAnswer, Code, SqsError, parse, required};
use super::queue::Now;
use super::registry::Accepted;
use super::service::Service;
use super::settings::Settings;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SendMessage {
    queue_url: Option<String>,
    #[serde(flatten)]
    draft: Draft,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SendMessageBatch {
    queue_url: Option<String>,
    entries: Option<Vec<SendEntry>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SendEntry {
    id: Option<String>,
    #[serde(flatten)]
    draft: Draft,
}

/// A message as its sender words it.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Draft {
    message_body: Option<String>,
    delay_seconds: Option<i64>,
    #[serde(default)]
    message_attributes: WireAttributes,
    #[serde(default)]
    message_system_attributes: WireAttributes,
    message_deduplication_id: Option<String>,
    message_group_id: Option<String>,
}

impl batch::Entry for SendEntry {
    const TYPE: &'static str = "SendMessageBatchRequestEntry";

    fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }
}

/// A message that was checked, with the digests that its sender is told.
struct Ready {
    message: Message,
    /// `None`: the queue's own delay.
    delay: Option<Duration>,
    attributes_md5: Option<String>,
    system_attributes_md5: Option<String>,
}

#[derive(Serialize)]
pub(super) struct Sent {
    #[serde(rename = "Id", skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(rename = "MessageId")]
    message_id: String,
    #[serde(rename = "MD5OfMessageBody")]
    body_md5: String,
    #[serde(rename = "MD5OfMessageAttributes", skip_serializing_if = "Option::is_none")]
    attributes_md5: Option<String>,
    #[serde(rename = "MD5OfMessageSystemAttributes", skip_serializing_if = "Option::is_none")]
    system_attributes_md5: Option<String>,
    #[serde(rename = "SequenceNumber", skip_serializing_if = "Option::is_none")]
    sequence: Option<String>,
}

impl Service {
    pub(super) fn send_message(&self, body: &[u8]) -> Result<Sent, SqsError> {
        let request: SendMessage = parse(body)?;
        let url = required(request.queue_url, "QueueUrl")?;
        let settings = self.registry().slot(&url)?.settings.clone();
        let now = self.now();
        if settings.fifo.is_some() && request.draft.message_group_id.is_none() {
            return Err(SqsError::missing("MessageGroupId"));
        }
        let ready = request.draft.check(&settings, now)?;
        let reason = "One or more parameters are invalid.";
        check_size(&ready.message, settings.maximum_message_bytes, reason)?;
        self.hand_in(now, &url, None, ready)
    }

    pub(super) fn send_message_batch(&self, body: &[u8]) -> Result<BatchAnswer<Sent>, SqsError> {
        let request: SendMessageBatch = parse(body)?;
        let url = required(request.queue_url, "QueueUrl")?;
        let settings = self.registry().slot(&url)?.settings.clone();
        let now = self.now();
        let entries = batch::check(request.entries)?;
        for (_, entry) in &entries {
            entry.draft.check_whole_batch(&settings)?;
        }
        let drafts = entries.into_iter().map(|(id, entry)| (id, entry.draft.check(&settings, now)));
        let drafts: Vec<(String, Result<Ready, SqsError>)> = drafts.collect();
        let sizes = drafts.iter().filter_map(|(_, draft)| Some(draft.as_ref().ok()?.message.size_bytes()));
        let total: usize = sizes.sum();
        if total > limits::MESSAGE_BYTES_MAX {
            let limit = limits::MESSAGE_BYTES_MAX;
            let message = format!("Batch requests cannot be longer than {limit} bytes. You have sent {total} bytes.");
            return Err(SqsError::new(Code::BatchRequestTooLong, message));
        }
        let reason = "One or more parameters cannot be validated.";
        Ok(batch::answer(drafts.into_iter().map(|(id, draft)| {
            let sent = draft.and_then(|ready| {
                check_size(&ready.message, settings.maximum_message_bytes, reason)?;
                self.hand_in(now, &url, Some(id.clone()), ready)
            });
            (id, sent)
        })))
    }

    fn hand_in(&self, now: Now, url: &str, id: Option<String>, ready: Ready) -> Result<Sent, SqsError> {
        let body_md5 = hex::encode(ready.message.body_md5);
        let Accepted { sent, fifo } = self.registry().send(now, url, ready.message, ready.delay)?;
        Ok(Sent {
            id,
            message_id: sent.id.to_string(),
            body_md5,
            attributes_md5: ready.attributes_md5,
            system_attributes_md5: ready.system_attributes_md5,
            sequence: fifo.then(|| sent.sequence.to_string()),
        })
    }
}

impl Draft {
    /// What makes a whole batch fail, not only the entry.
    fn check_whole_batch(&self, settings: &Settings) -> Result<(), SqsError> {
        if self.message_body.is_none() {
            return Err(SqsError::missing("MessageBody"));
        }
        if settings.fifo.is_some() && self.message_group_id.is_none() {
            let message = "The request must contain the parameter MessageGroupId.";
            return Err(SqsError::new(Code::InvalidParameterValue, message));
        }
        self.check_deduplication(settings)
    }

    fn check_deduplication(&self, settings: &Settings) -> Result<(), SqsError> {
        let needs_id = settings.fifo.as_ref().is_some_and(|fifo| !fifo.content_based_deduplication);
        if needs_id && self.message_deduplication_id.is_none() {
            let message = "The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId \
                provided explicitly";
            return Err(SqsError::new(Code::InvalidParameterValue, message));
        }
        Ok(())
    }

    fn check(self, settings: &Settings, now: Now) -> Result<Ready, SqsError> {
        let body = self.message_body.as_deref().filter(|body| !body.is_empty());
        required(body, "MessageBody")?;
        self.check_deduplication(settings)?;
        let fifo = settings.fifo.is_some();
        let delay = check_delay(self.delay_seconds, fifo)?;
        if let Some(group) = &self.message_group_id {
            check_token("MessageGroupId", group)?;
        }
        if let Some(id) = &self.message_deduplication_id {
            if !fifo {
                return Err(not_for_this_type("MessageDeduplicationId", id));
            }
            check_token("MessageDeduplicationId", id)?;
        }
        let body = required(self.message_body, "MessageBody")?;
        check_body(&body)?;
        let attributes = attributes::check(self.message_attributes)?;
        let system = attributes::check_system(self.message_system_attributes)?;
        // The body's own digest stands in where the sender gave no id.
        let deduplication = match self.message_deduplication_id {
            Some(id) => Some(id.into()),
            None => fifo.then(|| hex::encode(Sha256::digest(&body)).into()),
        };
        Ok(Ready {
            delay,
            attributes_md5: attributes::digest(&attributes),
            system_attributes_md5: attributes::digest(&system),
            message: Message {
                id: uuid::Builder::from_random_bytes(fastrand::u128(..).to_be_bytes()).into_uuid(),
                body_md5: Md5::digest(&body).into(),
                body: body.into(),
                attributes: attributes.into(),
                trace_header: system.as_ref().and_then(attributes::Attribute::text).map(Into::into),
                group: self.message_group_id.map(Into::into),
                deduplication,
                sequence: None,
                sent_ms: now.wall_ms,
            },
        })
    }
}

/// On a FIFO queue only the queue has a delay; a message's delay of nothing means the queue's.
fn check_delay(seconds: Option<i64>, fifo: bool) -> Result<Option<Duration>, SqsError> {
    match seconds {
        None => Ok(None),
        Some(0) if fifo => Ok(None),
        Some(seconds) if fifo => Err(not_for_this_type("DelaySeconds", &seconds.to_string())),
        Some(seconds) if limits::DELAY_SECONDS.contains(&seconds) => {
            Ok(Some(Duration::from_secs(seconds.unsigned_abs())))
        }
        Some(seconds) => Err(SqsError::invalid("DelaySeconds", seconds, "DelaySeconds must be >= 0 and <= 900.")),
    }
}

fn not_for_this_type(name: &str, value: &str) -> SqsError {
    SqsError::invalid(name, value, "The request include parameter that is not valid for this queue type.")
}

/// The service's word for printable ASCII without the space.
pub(super) fn check_token(name: &str, token: &str) -> Result<(), SqsError> {
    let right = token.bytes().all(|byte| byte.is_ascii_graphic());
    if right && (1..=limits::TOKEN_CHARACTERS_MAX).contains(&token.len()) {
        return Ok(());
    }
    let reason = format!("{name} can only include alphanumeric and punctuation characters. 1 to 128 in length.");
    Err(SqsError::invalid(name, token, &reason))
}

fn check_body(body: &str) -> Result<(), SqsError> {
    let Some(forbidden) = body.chars().find(|character| !attributes::is_allowed(*character)) else { return Ok(()) };
    let message = format!(
        "Invalid character '#x{:X}' was found in the message body, the set of allowed characters is {}.",
        u32::from(forbidden),
        attributes::ALLOWED
    );
    Err(SqsError::new(Code::InvalidMessageContents, message))
}

fn check_size(message: &Message, limit_bytes: usize, reason: &str) -> Result<(), SqsError> {
    if message.size_bytes() <= limit_bytes {
        return Ok(());
    }
    let message = format!("{reason} Reason: Message must be shorter than {limit_bytes} bytes.");
    Err(SqsError::new(Code::InvalidParameterValue, message))
}
