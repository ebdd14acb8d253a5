//! What the doctor says of this configuration's sites: for its command, and for the workers, who look at their own site.

mod mend;
mod own_site;

use std::time::Duration;

use bridge_core::event::SiteId;
use bridge_ops::doctor::{Figures, Finding, Inspect, SiteFacts};

pub(crate) use own_site::{Diagnosis, OwnSite};

use crate::config::Config;

/// Looks at the queues and the store of `site`, for `limit` at most. What cannot be seen is a fact, too.
pub(crate) async fn look(config: &Config, site: &SiteId, inspect: &dyn Inspect, limit: Duration) -> SiteFacts {
    let configured = &config.sites[site];
    SiteFacts {
        site: site.clone(),
        message_bytes_max: configured.message_bytes_max() as u64,
        lease: configured.lease(),
        allowed: configured.allow().clone(),
        looks: inspect.look(limit).await,
        clocks: Vec::new(),
        tries: None,
    }
}

/// What the facts must fit.
pub(crate) fn figures(config: &Config) -> Figures {
    Figures {
        tombstone_life: config.policy.tombstone_life,
        attempts_max: config.policy.attempts_max,
        store_wait_max: config.policy.store_wait_max,
        clock_skew_max: config.clock_skew_max,
        sites: config.sites.len(),
    }
}

/// How to mend what was found, if there is anything to mend.
pub(crate) fn mend(finding: &Finding, config: &Config) -> Option<String> {
    finding.mend.map(|mend| mend::phrase(mend, finding.site.as_ref(), config))
}
