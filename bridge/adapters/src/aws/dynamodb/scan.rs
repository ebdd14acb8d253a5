//! A DynamoDB table read from end to end: `Scan`, in segments.

use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_dynamodb::{config::Builder, types::AttributeValue};
use bridge_core::{
    event::Key,
    failure::{FailureKind, PortError},
    port::{Cursor, ForeignItem, Page, Scan},
    record::Record,
};

use super::{
    DynamodbStore,
    item::{self, Item},
};
use crate::{
    aws::{client::patient_timeout_config, error::Failure},
    share::{Share, no_cursor},
};

/// Items of a portion at most. Ours: the service ends one at 1 MB anyway ("Scan", read 2026-11), which are fewer where
/// items are larger than 1 KB.
const ITEMS_MAX: i32 = 1_000;

/// By how much longer a page may take than a worker's call: up to 1 MB over a slow link, and nobody holds a lease meanwhile. Ours.
const PAGE_PATIENCE: Duration = Duration::from_secs(20);

/// Segments that a table can be read in at the same time. API reference, "Scan", `TotalSegments`: 1 to 1,000,000.
const SEGMENTS_MAX: usize = 1_000_000;

#[async_trait]
impl Scan for DynamodbStore {
    async fn segments(&self, wanted: usize) -> Result<Vec<Cursor>, PortError> {
        self.confirm_shape("segments").await?;
        Ok(Share::all(wanted.clamp(1, SEGMENTS_MAX)))
    }

    async fn page(&self, from: &Cursor) -> Result<Page, PortError> {
        let share = Share::read(from).ok_or_else(|| no_cursor(self.to_string(), from))?;
        let request = self.client.scan().table_name(&self.table).consistent_read(true).limit(ITEMS_MAX);
        // The whole table is no segment: localcloud, which has no index by segments, reads a table by its key much faster.
        let number = |number: usize| i32::try_from(number).ok().filter(|_| share.of > 1);
        let request = request.set_segment(number(share.number)).set_total_segments(number(share.of));
        let after = share.after.clone().map(|key| Item::from([("pk".to_owned(), AttributeValue::S(key))]));
        let answer = request
            .set_exclusive_start_key(after)
            .customize()
            .config_override(Builder::new().timeout_config(patient_timeout_config(PAGE_PATIENCE)))
            .send()
            .await
            .map_err(|error| Failure::from(error).at(self.to_string(), "page"))?;
        self.answered("page", &answer)?;
        let next = answer.last_evaluated_key.map(|key| match (key.len(), key.get("pk")) {
            (1, Some(AttributeValue::S(key))) => Ok(Share { after: Some(key.clone()), ..share }.cursor()),
            _ => {
                let detail = format!("it reads on by {:?}, and not by pk alone", key.keys());
                Err(PortError::new(self.to_string(), "page", FailureKind::Misshapen { detail }))
            }
        });
        let next = next.transpose()?;
        Ok(Page { items: answer.items.unwrap_or_default().iter().map(read).collect(), next })
    }

    /// An item has no other name than its key.
    async fn beside(&self, _: &Key) -> Result<Vec<ForeignItem>, PortError> {
        Ok(Vec::new())
    }
}

fn read(item: &Item) -> Result<Record, ForeignItem> {
    let name = match item.get("pk") {
        Some(AttributeValue::S(key)) => key.clone(),
        _ => String::new(),
    };
    item::to_record(item).map_err(|error| {
        let key: Option<Key> = name.parse().ok();
        ForeignItem { key, name, what: error.to_string() }
    })
}
