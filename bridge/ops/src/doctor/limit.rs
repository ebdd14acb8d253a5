//! What a legal event could hit on its way through all sites.

use super::{ALL_SITES, Findings, Mend, SiteFacts, Thing};
use bridge_core::limits;

pub(super) fn examine(sites: &[SiteFacts], out: &mut Findings) {
    let Some(narrowest) = sites.iter().min_by_key(|facts| facts.message_bytes_max) else { return };
    let event = narrowest.message_bytes_max.saturating_sub(limits::PROPERTIES_BYTES as u64);
    out.good(
        "limits",
        ALL_SITES,
        format!(
            "an event may have {event} bytes ({}'s queue, less {} for properties), its record {} bytes (DynamoDB's item), its key {} bytes",
            narrowest.site,
            limits::PROPERTIES_BYTES,
            limits::RECORD_BYTES_MAX,
            limits::KEY_BYTES_MAX
        ),
    );
    carry(sites, narrowest, out);
}

/// What one site's queue takes and another's does not is set aside at its origin: nothing is lost, but producers that know
/// only their own queue will meet it.
fn carry(sites: &[SiteFacts], narrowest: &SiteFacts, out: &mut Findings) {
    let widest = sites.iter().max_by_key(|facts| facts.message_bytes_max).unwrap_or(narrowest);
    let (least, most) = (narrowest.message_bytes_max, widest.message_bytes_max);
    if least == most {
        return out.good("limits.queues", ALL_SITES, format!("every queue takes {most} bytes a message"));
    }
    let found = format!(
        "cannot carry what {}'s queue can: {least} bytes a message against {most}; larger events are set aside as too_large",
        widest.site
    );
    let site = out.site.replace(narrowest.site.clone());
    out.warning("limits.queues", &narrowest.looks.queue.at, found, Mend::Widen(Thing::Queue, most));
    out.site = site;
}
