//! How old an event can get on its way through all sites, against how long tombstones live.
//!
//! It waits in its origin's queue, then in a peer's queue, then among the dead letters of whoever set it aside. Each of them forgets
//! a message after its own retention, counted anew.

use std::{fmt, time::Duration};

use super::{ALL_SITES, Figures, Findings, Mend, QueueFacts, SiteFacts, Thing, spell};
use bridge_core::{event::SiteId, limits};

/// What is to be left of a tombstone's life for an operator to act. Ours: the two weeks that
/// [`limits::TOMBSTONE_LIFE`] counts on.
const TO_ACT: Duration = Duration::from_hours(14 * 24);

/// One queue on the way, and how long it keeps a message; none for ever.
struct Stop<'a> {
    site: &'a SiteFacts,
    thing: Thing,
    keeps: Option<Duration>,
}

/// The stops of an event from one site that ends among the dead letters of another.
struct Way<'a>(Vec<Stop<'a>>);

pub(super) fn examine(sites: &[SiteFacts], figures: &Figures, out: &mut Findings) {
    let check = "queue.tombstones";
    let ways = sites.iter().flat_map(|origin| sites.iter().filter_map(|last| Way::between(origin, last)));
    let Some(way) = ways.max_by_key(|way| way.takes().unwrap_or(Duration::MAX)) else { return };
    let age_max = limits::age_max(figures.tombstone_life);
    let (life, refused) = (spell(figures.tombstone_life), spell(age_max));
    let unseen: Vec<_> =
        sites.iter().filter(|site| Way::between(site, site).is_none()).map(|site| site.site.as_str()).collect();
    let without = if unseen.is_empty() {
        String::new()
    } else {
        format!(", not counting {}, whose queues were not seen", unseen.join(" and "))
    };
    let found = format!("an event can wait {way}{without}; tombstones live for {life}");
    let left = way.takes().and_then(|takes| age_max.checked_sub(takes)).filter(|left| !left.is_zero());
    match left {
        Some(left) if left >= TO_ACT => {
            out.good(check, ALL_SITES, format!("{found}, which leaves {} to act", spell(left)));
        }
        Some(left) => {
            let found = format!("{found}, which leaves only {} to act before it is set aside as too_old", spell(left));
            let (site, mend) = way.mend();
            let all = std::mem::replace(&mut out.site, site);
            out.warning(check, ALL_SITES, found, mend);
            out.site = all;
        }
        None => {
            let found =
                format!("{found}: after {refused} it is set aside as too_old, because a delete may be forgotten");
            let (site, mend) = way.mend();
            let all = std::mem::replace(&mut out.site, site);
            out.bad(check, ALL_SITES, found, mend);
            out.site = all;
        }
    }
}

impl<'a> Way<'a> {
    /// None where a queue's settings were not seen, which is a finding of its own.
    fn between(origin: &'a SiteFacts, last: &'a SiteFacts) -> Option<Self> {
        fn stop<'a>(site: &'a SiteFacts, thing: Thing, seen: Option<&QueueFacts>) -> Option<Stop<'a>> {
            Some(Stop { site, thing, keeps: seen?.retention })
        }
        let queue = |site: &'a SiteFacts| stop(site, Thing::Queue, site.looks.queue.seen.as_ref().ok());
        let mut stops = vec![queue(origin)?];
        if origin.site != last.site {
            stops.push(queue(last)?);
        }
        stops.push(stop(last, Thing::DeadLetterQueue, last.looks.dead_letter_queue.seen.as_ref().ok())?);
        Some(Self(stops))
    }

    /// How long it takes at most; none if there is no end to it.
    fn takes(&self) -> Option<Duration> {
        self.0.iter().map(|stop| stop.keeps).sum()
    }

    /// A queue that keeps a message for longer than need be is told not to; else tombstones live for longer. And whose it is.
    fn mend(&self) -> (Option<SiteId>, Mend) {
        let too_long = |stop: &&Stop<'_>| stop.keeps.is_none_or(|keeps| keeps > limits::RETENTION_MAX);
        if let Some(stop) = self.0.iter().find(too_long) {
            return (Some(stop.site.site.clone()), Mend::Keep(stop.thing, limits::RETENTION_MAX));
        }
        let life = self.takes().unwrap_or_default() + TO_ACT + limits::AGE_MARGIN;
        let value = life.as_secs().div_ceil(86_400);
        (None, Mend::Configure { of_site: false, key: "tombstone_life_days", value })
    }
}

impl fmt::Display for Way<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for stop in &self.0 {
            let keeps = stop.keeps.map_or_else(|| "for ever".to_owned(), spell);
            let place = if stop.thing == Thing::Queue { "in the queue" } else { "among the dead letters" };
            write!(f, "{keeps} {place} of {}, ", stop.site.site)?;
        }
        let sum = self.takes().map_or_else(|| "for ever".to_owned(), spell);
        write!(f, "{sum} in all")
    }
}
