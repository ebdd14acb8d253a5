//! The actions on queues themselves: create, find, list, describe, change, empty, delete.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::limits;
use super::protocol::{Nothing, SqsError, parse, required};
use super::registry::no_queue;
use super::service::Service;
use super::settings::{is_known, unknown};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct CreateQueue {
    queue_name: Option<String>,
    #[serde(default)]
    attributes: BTreeMap<String, String>,
    /// In lower case on the wire, unlike all else.
    #[serde(default, rename = "tags")]
    tags: BTreeMap<String, String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct QueueUrl {
    queue_url: String,
}

/// The request of every action that needs only to know the queue.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct OneQueue {
    queue_url: Option<String>,
}

impl OneQueue {
    pub(super) fn url(body: &[u8]) -> Result<String, SqsError> {
        required(parse::<Self>(body)?.queue_url, "QueueUrl")
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct GetQueueUrl {
    queue_name: Option<String>,
    #[serde(rename = "QueueOwnerAWSAccountId")]
    owner: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct GetQueueAttributes {
    queue_url: Option<String>,
    #[serde(default)]
    attribute_names: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct QueueAttributes {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    attributes: BTreeMap<&'static str, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SetQueueAttributes {
    queue_url: Option<String>,
    attributes: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListQueues {
    queue_name_prefix: Option<String>,
    #[serde(flatten)]
    page: Page,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListSources {
    queue_url: Option<String>,
    #[serde(flatten)]
    page: Page,
}

/// Which part of a list is asked for.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Page {
    max_results: Option<i64>,
    next_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct QueueUrls {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    queue_urls: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct SourceUrls {
    /// In lower case on the wire.
    #[serde(rename = "queueUrls")]
    queue_urls: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

impl Service {
    pub(super) fn create_queue_action(&self, body: &[u8]) -> Result<QueueUrl, SqsError> {
        let request: CreateQueue = parse(body)?;
        let name = required(request.queue_name, "QueueName")?;
        super::tag_api::check_tags(&request.tags)?;
        let queue_url = self.registry().create(self.now(), &name, &request.attributes, request.tags)?;
        Ok(QueueUrl { queue_url })
    }

    pub(super) fn delete_queue(&self, body: &[u8]) -> Result<Nothing, SqsError> {
        self.registry().delete(self.now().elapsed, &OneQueue::url(body)?)?;
        Ok(Nothing {})
    }

    pub(super) fn purge_queue(&self, body: &[u8]) -> Result<Nothing, SqsError> {
        self.registry().purge(self.now().elapsed, &OneQueue::url(body)?)?;
        Ok(Nothing {})
    }

    pub(super) fn get_queue_url(&self, body: &[u8]) -> Result<QueueUrl, SqsError> {
        let request: GetQueueUrl = parse(body)?;
        let name = required(request.queue_name, "QueueName")?;
        let mut registry = self.registry();
        if request.owner.is_some_and(|owner| owner != registry.place.account) || registry.slot_named(&name).is_none() {
            return Err(no_queue());
        }
        Ok(QueueUrl { queue_url: registry.place.url(&name) })
    }

    pub(super) fn get_queue_attributes(&self, body: &[u8]) -> Result<QueueAttributes, SqsError> {
        let request: GetQueueAttributes = parse(body)?;
        let url = required(request.queue_url, "QueueUrl")?;
        let asked = request.attribute_names;
        if let Some(name) = asked.iter().find(|name| *name != "All" && !is_known(name)) {
            return Err(unknown(name));
        }
        let now = self.now().elapsed;
        let mut registry = self.registry();
        let name = registry.resolve(&url)?;
        let arn = registry.place.arn(&name);
        let slot = registry.slot(&url)?;
        slot.queue.advance(now);
        let counts = slot.queue.counts();
        let mut attributes = slot.settings.shown();
        attributes.extend([
            ("ApproximateNumberOfMessages", counts.visible.to_string()),
            ("ApproximateNumberOfMessagesDelayed", counts.delayed.to_string()),
            ("ApproximateNumberOfMessagesNotVisible", counts.in_flight.to_string()),
            ("CreatedTimestamp", (slot.created_ms / 1_000).to_string()),
            ("LastModifiedTimestamp", (slot.modified_ms / 1_000).to_string()),
            ("QueueArn", arn),
        ]);
        let all = asked.iter().any(|name| name == "All");
        attributes.retain(|name, _| all || asked.iter().any(|asked| asked == name));
        Ok(QueueAttributes { attributes })
    }

    pub(super) fn set_queue_attributes(&self, body: &[u8]) -> Result<Nothing, SqsError> {
        let request: SetQueueAttributes = parse(body)?;
        let url = required(request.queue_url, "QueueUrl")?;
        let attributes = required(request.attributes, "Attributes")?;
        self.registry().change(self.now(), &url, &attributes)?;
        Ok(Nothing {})
    }

    pub(super) fn list_queues(&self, body: &[u8]) -> Result<QueueUrls, SqsError> {
        let request: ListQueues = parse(body)?;
        let registry = self.registry();
        let names = registry.names(request.queue_name_prefix.as_deref().unwrap_or_default());
        let (names, next_token) = request.page.of(names)?;
        let queue_urls = names.into_iter().map(|name| registry.place.url(name)).collect();
        Ok(QueueUrls { queue_urls, next_token })
    }

    pub(super) fn list_dead_letter_source_queues(&self, body: &[u8]) -> Result<SourceUrls, SqsError> {
        let request: ListSources = parse(body)?;
        let url = required(request.queue_url, "QueueUrl")?;
        let registry = self.registry();
        let arn = registry.place.arn(&registry.resolve(&url)?);
        let (names, next_token) = request.page.of(registry.sources_of(&arn).into_iter())?;
        let queue_urls = names.into_iter().map(|name| registry.place.url(name)).collect();
        Ok(SourceUrls { queue_urls, next_token })
    }
}

impl Page {
    /// Its part of a list in order, and the token for the next part. The service gives tokens only to those who set a
    /// limit.
    fn of<'a>(&self, names: impl Iterator<Item = &'a str>) -> Result<(Vec<&'a str>, Option<String>), SqsError> {
        let limit = self.max_results.unwrap_or(*limits::LISTED_QUEUES.end());
        if !limits::LISTED_QUEUES.contains(&limit) {
            return Err(SqsError::invalid("MaxResults", limit, "MaxResults must be an integer between 1 and 1000."));
        }
        let limit = usize::try_from(limit).unwrap_or(1);
        let last = match &self.next_token {
            None => None,
            Some(token) => {
                let name = URL_SAFE_NO_PAD.decode(token).ok().and_then(|bytes| String::from_utf8(bytes).ok());
                Some(name.ok_or_else(|| SqsError::invalid("NextToken", token, "Invalid or expired next token."))?)
            }
        };
        let mut rest = names.skip_while(|name| last.as_deref().is_some_and(|last| *name <= last));
        let page: Vec<&str> = rest.by_ref().take(limit).collect();
        let more = self.max_results.is_some() && rest.next().is_some();
        let next_token = page.last().filter(|_| more).map(|last| URL_SAFE_NO_PAD.encode(last));
        Ok((page, next_token))
    }
}
