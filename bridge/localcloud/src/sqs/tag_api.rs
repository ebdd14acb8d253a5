//! The actions on a queue's tags. Tags mean nothing here; they are kept and shown.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::limits;
use super::protocol::{Code, Nothing, SqsError, parse, required};
use super::queue_api::OneQueue;
use super::service::Service;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct TagQueue {
    queue_url: Option<String>,
    tags: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct UntagQueue {
    queue_url: Option<String>,
    tag_keys: Option<Vec<String>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Tags {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    tags: BTreeMap<String, String>,
}

impl Service {
    pub(super) fn tag_queue(&self, body: &[u8]) -> Result<Nothing, SqsError> {
        let request: TagQueue = parse(body)?;
        let url = required(request.queue_url, "QueueUrl")?;
        let added = required(request.tags, "Tags")?;
        let mut registry = self.registry();
        let slot = registry.slot(&url)?;
        let mut tags = slot.tags.clone();
        tags.extend(added);
        check_tags(&tags)?;
        slot.tags = tags;
        Ok(Nothing {})
    }

    pub(super) fn untag_queue(&self, body: &[u8]) -> Result<Nothing, SqsError> {
        let request: UntagQueue = parse(body)?;
        let url = required(request.queue_url, "QueueUrl")?;
        let keys = required(request.tag_keys, "TagKeys")?;
        self.registry().slot(&url)?.tags.retain(|key, _| !keys.contains(key));
        Ok(Nothing {})
    }

    pub(super) fn list_queue_tags(&self, body: &[u8]) -> Result<Tags, SqsError> {
        let tags = self.registry().slot(&OneQueue::url(body)?)?.tags.clone();
        Ok(Tags { tags })
    }
}

/// # Source
/// Developer guide, "Amazon SQS standard queue quotas", row "Queue tag", read 2026-11.
pub(super) fn check_tags(tags: &BTreeMap<String, String>) -> Result<(), SqsError> {
    let refused = |message: String| Err(SqsError::new(Code::InvalidParameterValue, message));
    if tags.len() > limits::TAGS_MAX {
        return refused(format!("Too many tags: {} exceed the maximum of {} a queue.", tags.len(), limits::TAGS_MAX));
    }
    for (key, value) in tags {
        if !(1..=limits::TAG_KEY_CHARACTERS_MAX).contains(&key.chars().count()) {
            return refused(format!(
                "Tag keys must be between 1 and {} characters in length.",
                limits::TAG_KEY_CHARACTERS_MAX
            ));
        }
        if value.chars().count() > limits::TAG_VALUE_CHARACTERS_MAX {
            return refused(format!(
                "Tag values must be between 0 and {} characters in length.",
                limits::TAG_VALUE_CHARACTERS_MAX
            ));
        }
    }
    Ok(())
}
