//! What must fit between sites, and within a site between its keys and its name.

use std::collections::BTreeMap;

use bridge_adapters::{aws::QueueIdentity, names};
use bridge_core::event::SiteId;

use super::{SiteConfig, nearest, reader::Reader, regions};

/// Two sites with one queue would steal each other's messages; with one store they would be no copy of each other. Of a site
/// whose dead letters go to its own queue each letter would be a message again.
pub(super) fn shared_places(sites: &BTreeMap<SiteId, SiteConfig>, reader: &mut Reader<'_>) {
    let mut taken: BTreeMap<String, (&SiteId, &str)> = BTreeMap::new();
    for (id, site) in sites {
        for (key, place) in site.places(id) {
            if let Some((other, their_key)) = taken.insert(place, (id, key)) {
                let theirs = format!("sites.{other}.{their_key}");
                let line = reader.place(&theirs).to_owned();
                let found = format!("is the same as {theirs} ({line}); each needs one of its own");
                reader.error(&format!("sites.{id}.{key}"), found);
            }
        }
    }
}

/// A queue of the same name in another region is another queue, and so is a table.
pub(super) fn other_regions(sites: &BTreeMap<SiteId, SiteConfig>, reader: &mut Reader<'_>) {
    for (id, site) in sites {
        let SiteConfig::Aws(site) = site else { continue };
        for (key, url) in [("queue_url", &site.queue_url), ("dead_letter_queue_url", &site.dead_letter_queue_url)] {
            if let Err(error) = QueueIdentity::of_url(url, id.region()) {
                let region = id.region();
                let example = format!("https://sqs.{region}.amazonaws.com/123456789012/bridge-events");
                reader.error(&format!("sites.{id}.{key}"), format!("{error}, as in {key} = \"{example}\""));
            }
        }
        if let Some((region, _)) = names::table_of_arn(&site.table)
            && region != id.region()
        {
            let found = format!("the table is in {region}, and its site in {}", id.region());
            reader.error(&format!("sites.{id}.table"), found);
        }
    }
}

/// Clouds open regions, so what is not known here may be right.
pub(super) fn unknown_regions(sites: &BTreeMap<SiteId, SiteConfig>, reader: &mut Reader<'_>) {
    for id in sites.keys() {
        let known = if id.cloud() == "aws" { regions::AWS } else { regions::AZURE };
        if known.contains(&id.region()) {
            continue;
        }
        let meant = nearest::of(id.region(), known.iter().copied());
        let hint = meant.map_or(String::new(), |meant| format!("; did you mean {meant}?"));
        let section = format!("sites.{id}");
        let place = reader.file.sections.get(&section).unwrap_or(&reader.file.name);
        let warning = format!("{place}: {section}: {} had no region {} in 2026-11{hint}", id.cloud(), id.region());
        reader.warnings.push(warning);
    }
}
