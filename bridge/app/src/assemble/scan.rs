//! What compares stores and fills them: each site's store, to be read from end to end and key by key.

use std::sync::Arc;

use anyhow::Context;
use bridge_adapters::aws::DynamodbStore;
use bridge_core::event::SiteId;
use bridge_ops::verify::Target;

use super::{aws_clients, cosmos_store};
use crate::config::{Config, SiteConfig};

/// The store of `site`.
pub(crate) async fn target(config: &Config, site: &SiteId) -> anyhow::Result<Target> {
    let target = async {
        anyhow::Ok(match &config.sites[site] {
            SiteConfig::Aws(aws) => {
                let clients = aws_clients(site, aws).await?;
                let store = Arc::new(DynamodbStore::new(clients.dynamodb, &aws.table));
                Target { scan: store.clone(), store }
            }
            SiteConfig::Azure(azure) => {
                let store = Arc::new(cosmos_store(azure)?);
                Target { scan: store.clone(), store }
            }
        })
    };
    target.await.with_context(|| format!("sites.{site}"))
}
