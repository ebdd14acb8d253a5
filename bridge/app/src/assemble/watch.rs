//! What looks at the lag: each site's queues as something to count, its store as something to read.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bridge_adapters::{
    aws::{SqsDepth, SqsRedriveDepth},
    azure::service_bus::ServiceBusDepth,
    clock::SystemClock,
};
use bridge_core::{
    event::SiteId,
    port::{Depth, Queue},
};
use bridge_ops::{
    lag::{Letters, Observer, Reasons, Watched},
    replay::subject::{BROKER_RECEIVES, Holds},
};

use super::{SitePorts, aws_clients, descriptions, ports, service_bus, service_bus_queue};
use crate::config::{
    Config, SiteConfig,
    site::{AwsSite, AzureSite},
};

/// What looks at the lag of all sites, and waits for `limit` for each answer.
pub(crate) async fn observer(config: &Config, limit: Duration) -> anyhow::Result<Observer> {
    let mut sites = BTreeMap::new();
    for id in config.sites.keys() {
        sites.insert(id.clone(), watched(config, id).await?);
    }
    Ok(Observer { sites, clock: Arc::new(SystemClock), limit })
}

/// What there is to look at of one site.
pub(crate) async fn watched(config: &Config, id: &SiteId) -> anyhow::Result<Watched> {
    let ports = ports(config, id).await?;
    match &config.sites[id] {
        SiteConfig::Aws(aws) => watched_aws(id, aws, ports).await,
        SiteConfig::Azure(azure) => watched_azure(azure, ports),
    }
}

fn letters(depth: Arc<dyn Depth>, queue: Arc<dyn Queue>, holds: Holds) -> Letters {
    Letters::new(depth, Reasons::Read { queue, holds })
}

async fn watched_aws(id: &SiteId, site: &AwsSite, ports: SitePorts) -> anyhow::Result<Watched> {
    let clients = aws_clients(id, site).await?;
    let depth = |url: &url::Url| SqsDepth::new(clients.clone(), url.to_string());
    let queue = depth(&site.queue_url);
    let dead_letter_queue_url = site.dead_letter_queue_url.to_string();
    let brokers = SqsRedriveDepth { queue: queue.clone(), dead_letter_queue_url };
    let dead_letters = vec![
        letters(Arc::new(depth(&site.dead_letter_queue_url)), ports.dead_letters, Holds::Letters),
        Letters::new(Arc::new(brokers), Reasons::Always(BROKER_RECEIVES)),
    ];
    Ok(Watched { queue: Arc::new(queue), dead_letters, store: ports.store })
}

fn watched_azure(site: &AzureSite, ports: SitePorts) -> anyhow::Result<Watched> {
    let connection = service_bus(site)?;
    let descriptions = Arc::new(descriptions(site)?);
    let queue = |name: &str| Arc::new(service_bus_queue(site, &connection, name));
    let depth = |name: &str| Arc::new(ServiceBusDepth::of(descriptions.clone(), name, queue(name)));
    let mut dead_letters = vec![letters(depth(&site.dead_letter_queue), ports.dead_letters, Holds::Letters)];
    let set_aside = [(&site.queue, Holds::BrokersEvents), (&site.dead_letter_queue, Holds::BrokersLetters)];
    for (name, holds) in set_aside {
        let brokers = Arc::new(ServiceBusDepth::of_dead_letters(descriptions.clone(), name));
        dead_letters.push(letters(brokers, queue(&format!("{name}/$deadletterqueue")), holds));
    }
    Ok(Watched { queue: depth(&site.queue), dead_letters, store: ports.store })
}
