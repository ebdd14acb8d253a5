//! What has to be done for one message: which sites get its event, by which way, and who is left unpaid by that.

use std::{collections::BTreeSet, fmt, str::FromStr};

use crate::event::{Event, SiteId};

use super::{
    route::{Source, Target},
    subject::Subject,
};

/// One delivery of an event to one site.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Errand {
    /// The site that gets the event.
    pub site: SiteId,
    /// How.
    pub way: Way,
}

/// How a site gets an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Way {
    /// Through its queue, for its worker.
    Queue,
    /// Straight into its store.
    Store,
}

impl fmt::Display for Errand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let way = if self.way == Way::Queue { "queue" } else { "store" };
        write!(f, "{}/{way}", self.site)
    }
}

impl FromStr for Errand {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse::<Target>()? {
            Target::Queue(site) => Ok(Self { site, way: Way::Queue }),
            Target::Store(site) => Ok(Self { site, way: Way::Store }),
            Target::Owed => Err("owed names no site".to_owned()),
        }
    }
}

/// What a replay does for one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Errands {
    /// To be run, in the order of their sites.
    pub run: Vec<Errand>,
    /// Sites that are still owed the event when all of that is done: for their sake the message stays where it is.
    pub unpaid: BTreeSet<SiteId>,
}

/// The errands of a message from `source` whose event is `event`. `sites` are those that are configured.
pub fn errands(
    source: &Source,
    target: &Target,
    subject: &Subject,
    event: &Event,
    sites: &BTreeSet<SiteId>,
) -> Errands {
    let owed = owed(source, subject, event, sites);
    let to = |site: &SiteId, way| Errand { site: site.clone(), way };
    match target {
        // A site's own failed write is made up for in its store; a peer's worker is reached through its queue.
        Target::Owed => {
            let way = |site: &SiteId| if source.site() == Some(site) { Way::Store } else { Way::Queue };
            let run = owed.iter().filter(|site| sites.contains(*site)).map(|site| to(site, way(site))).collect();
            Errands { run, unpaid: owed.difference(sites).cloned().collect() }
        }
        // The origin's worker applies the event and forwards it to all others, so it pays for everybody.
        Target::Queue(site) if *site == event.origin => {
            Errands { run: vec![to(site, Way::Queue)], unpaid: BTreeSet::new() }
        }
        Target::Queue(site) => Errands { run: vec![to(site, Way::Queue)], unpaid: without(owed, site) },
        Target::Store(site) => Errands { run: vec![to(site, Way::Store)], unpaid: without(owed, site) },
    }
}

/// The sites that have not confirmed the event. Where no letter says it, a peer's event has been forwarded by its origin to
/// everybody else and this site alone lacks it; of one that was written here nothing is known, and everybody may.
fn owed(source: &Source, subject: &Subject, event: &Event, sites: &BTreeSet<SiteId>) -> BTreeSet<SiteId> {
    match (&subject.owed, source) {
        (Some(owed), _) => owed.clone(),
        (None, Source::DeadLetters(site) | Source::Queue(site)) if *site != event.origin => [site.clone()].into(),
        (None, Source::DeadLetters(_) | Source::Queue(_)) => sites.clone(),
        // Nothing is known of a line of a file; its origin's worker applies and forwards it.
        (None, Source::File(_)) => [event.origin.clone()].into(),
    }
}

fn without(mut sites: BTreeSet<SiteId>, site: &SiteId) -> BTreeSet<SiteId> {
    sites.remove(site);
    sites
}
