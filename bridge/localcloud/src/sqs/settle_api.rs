//! What a receiver does with a message in its hands: delete it, or change how long it stays hidden. Alone or in
//! batches.

use serde::{Deserialize, Serialize};

use super::batch;
use super::protocol::{BatchAnswer, Code, Nothing, SqsError, parse, required};
use super::queue::Stale;
use super::receive_api::check_visibility;
use super::service::Service;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Settle {
    queue_url: Option<String>,
    receipt_handle: Option<String>,
    visibility_timeout: Option<i64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SettleBatch<E> {
    queue_url: Option<String>,
    entries: Option<Vec<E>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DeleteEntry {
    id: Option<String>,
    receipt_handle: Option<String>,
}

impl batch::Entry for DeleteEntry {
    const TYPE: &'static str = "DeleteMessageBatchRequestEntry";

    fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct VisibilityEntry {
    id: Option<String>,
    receipt_handle: Option<String>,
    visibility_timeout: Option<i64>,
}

impl batch::Entry for VisibilityEntry {
    const TYPE: &'static str = "ChangeMessageVisibilityBatchRequestEntry";

    fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }
}

/// An entry that succeeded: there is nothing to say but which.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Settled {
    id: String,
}

/// Whether a refusal stands alone or in a batch: the service words it differently.
#[derive(Clone, Copy)]
enum Form {
    Single,
    Entry,
}

impl Service {
    pub(super) fn delete_message(&self, body: &[u8]) -> Result<Nothing, SqsError> {
        let request: Settle = parse(body)?;
        let url = required(request.queue_url, "QueueUrl")?;
        let handle = required(request.receipt_handle, "ReceiptHandle")?;
        self.delete(&url, &handle, Form::Single)?;
        Ok(Nothing {})
    }

    pub(super) fn delete_message_batch(&self, body: &[u8]) -> Result<BatchAnswer<Settled>, SqsError> {
        let request: SettleBatch<DeleteEntry> = parse(body)?;
        let url = required(request.queue_url, "QueueUrl")?;
        self.registry().resolve(&url)?;
        let entries = batch::check(request.entries)?;
        Ok(batch::answer(entries.into_iter().map(|(id, entry)| {
            let deleted = required(entry.receipt_handle, "ReceiptHandle")
                .and_then(|handle| self.delete(&url, &handle, Form::Entry));
            (id.clone(), deleted.map(|()| Settled { id }))
        })))
    }

    pub(super) fn change_message_visibility(&self, body: &[u8]) -> Result<Nothing, SqsError> {
        let request: Settle = parse(body)?;
        let url = required(request.queue_url, "QueueUrl")?;
        let handle = required(request.receipt_handle, "ReceiptHandle")?;
        self.change_visibility(&url, &handle, request.visibility_timeout, Form::Single)?;
        Ok(Nothing {})
    }

    pub(super) fn change_message_visibility_batch(&self, body: &[u8]) -> Result<BatchAnswer<Settled>, SqsError> {
        let request: SettleBatch<VisibilityEntry> = parse(body)?;
        let url = required(request.queue_url, "QueueUrl")?;
        self.registry().resolve(&url)?;
        let entries = batch::check(request.entries)?;
        Ok(batch::answer(entries.into_iter().map(|(id, entry)| {
            let changed = required(entry.receipt_handle, "ReceiptHandle")
                .and_then(|handle| self.change_visibility(&url, &handle, entry.visibility_timeout, Form::Entry));
            (id.clone(), changed.map(|()| Settled { id }))
        })))
    }

    fn delete(&self, url: &str, handle: &str, form: Form) -> Result<(), SqsError> {
        let now = self.now().elapsed;
        self.registry().settle(now, url, |slot| {
            let receipt = self.receipt(handle, slot.id)?;
            slot.queue.delete(now, &receipt).map_err(|stale| refused(stale, handle, form))
        })
    }

    fn change_visibility(&self, url: &str, handle: &str, seconds: Option<i64>, form: Form) -> Result<(), SqsError> {
        let visibility = check_visibility(required(seconds, "VisibilityTimeout")?)?;
        let now = self.now().elapsed;
        self.registry().settle(now, url, |slot| {
            let receipt = self.receipt(handle, slot.id)?;
            slot.queue.change_visibility(now, &receipt, visibility).map_err(|stale| refused(stale, handle, form))
        })
    }
}

fn refused(stale: Stale, handle: &str, form: Form) -> SqsError {
    let reason = match (stale, form) {
        (Stale::Expired, Form::Entry) => {
            return SqsError::new(Code::ReceiptHandleIsInvalid, "The receipt handle has expired");
        }
        (Stale::Expired, Form::Single) => "The receipt handle has expired.",
        (Stale::Gone, _) => "Message does not exist or is not available for visibility timeout change.",
        (Stale::TooLong, _) => {
            let message = "Total VisibilityTimeout for the message is beyond the limit [43200 seconds]";
            return SqsError::new(Code::InvalidParameterValue, message);
        }
    };
    SqsError::invalid("ReceiptHandle", handle, reason)
}
