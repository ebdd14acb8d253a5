//! What has to be done for one message: which sites get its event, by which way, and who is left unpaid by that.

use std::{collections::BTreeSet, fmt, str::FromStr};

use bridge_core::{
    event::{Event, SiteId},
    reason::Reason,
};

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
            Target::Owed | Target::Nowhere => Err(format!("{text} names no site")),
        }
    }
}

/// What a replay does for one message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Errands {
    /// To be run, in the order of their sites.
    pub run: Vec<Errand>,
    /// Sites that are still owed the event when all of that is done: for their sake the message stays where it is.
    pub unpaid: BTreeSet<SiteId>,
    /// Whether it leaves its source though nobody gets it: it is dropped, or only sites are owed it that the operator gave up.
    pub dropped: bool,
}

impl Errands {
    /// Those of a message that is dropped.
    pub fn dropped() -> Self {
        Self { dropped: true, ..Self::default() }
    }
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
    let goes = |run, unpaid| Errands { run, unpaid, dropped: false };
    if subject.given_up && owed.is_empty() && *target == Target::Owed {
        return Errands::dropped();
    }
    if not_forwarded(source, subject, event) {
        // No site has it. One alone must not get it: its origin's worker applies it and forwards it to all.
        return match target {
            Target::Store(_) => goes(Vec::new(), sites.clone()),
            Target::Owed | Target::Queue(_) => goes(vec![to(&event.origin, Way::Queue)], BTreeSet::new()),
            Target::Nowhere => Errands::dropped(),
        };
    }
    match target {
        Target::Nowhere => Errands::dropped(),
        Target::Owed if subject.is_new => goes(vec![to(&event.origin, Way::Queue)], BTreeSet::new()),
        // A site's own failed write is made up for in its store; a peer's worker is reached through its queue.
        Target::Owed => {
            let way = |site: &SiteId| if source.site() == Some(site) { Way::Store } else { Way::Queue };
            let run = owed.iter().filter(|site| sites.contains(*site)).map(|site| to(site, way(site))).collect();
            goes(run, owed.difference(sites).cloned().collect())
        }
        // The origin's worker applies the event and forwards it to all others, so it pays for everybody.
        Target::Queue(site) if *site == event.origin => goes(vec![to(site, Way::Queue)], BTreeSet::new()),
        Target::Queue(site) => goes(vec![to(site, Way::Queue)], without(owed, site)),
        Target::Store(site) => goes(vec![to(site, Way::Store)], without(owed, site)),
    }
}

/// Whether the event came straight from a producer, and not into its origin's queue.
fn not_forwarded(source: &Source, subject: &Subject, event: &Event) -> bool {
    let forwarded = subject.marks.forwarded_by.as_ref() == Some(&event.origin);
    match source {
        // A letter that names owed sites is of an event that was taken; of the others the mark tells.
        Source::DeadLetters(site) => {
            let unknown = subject.owed.is_none() && *site != event.origin && !forwarded;
            subject.reason == Reason::NotForwarded.as_str() || unknown
        }
        Source::Queue(site) => *site != event.origin && !forwarded,
        // A line that is neither a forward nor a saved letter with its owed sites: no site is known to have it.
        Source::File(_) => subject.owed.is_none() && !forwarded,
    }
}

/// The sites that have not confirmed the event. Where no letter says it, a peer's event has been forwarded by its origin to
/// everybody else and this site alone lacks it; of one that was written here nothing is known, and everybody may.
fn owed(source: &Source, subject: &Subject, event: &Event, sites: &BTreeSet<SiteId>) -> BTreeSet<SiteId> {
    match (&subject.owed, source) {
        _ if subject.is_new => sites.clone(),
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use chrono::DateTime;
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use bridge_core::{
        event::{Change, Op, Payload, Timestamp},
        marks::Marks,
    };

    const SITES: [&str; 3] = ["aws:us-east-1", "azure:northeurope", "azure:westeurope"];

    fn event(origin: &str) -> Event {
        Event::from(Change {
            id: Uuid::nil(),
            origin: origin.parse().unwrap(),
            op: Op::Delete,
            key: "k".parse().unwrap(),
            payload: Payload::new(),
            timestamp: Timestamp { utc: DateTime::default(), text: String::new() },
            trace: None,
        })
    }

    fn set(sites: &[&str]) -> BTreeSet<SiteId> {
        sites.iter().map(|site| site.parse().unwrap()).collect()
    }

    fn of(source: &str, target: &str, origin: &str, owed: Option<&[&str]>) -> (Vec<String>, Vec<String>) {
        let event = event(origin);
        let marks = Marks::default().forwarded(&event.origin);
        done(source, target, &event, &Subject { owed: owed.map(set), marks, ..Subject::sample(Ok(event.clone())) })
    }

    /// The errands of `event`, and whom they leave unpaid.
    fn done(source: &str, target: &str, event: &Event, subject: &Subject) -> (Vec<String>, Vec<String>) {
        let done = errands(&source.parse().unwrap(), &target.parse().unwrap(), subject, event, &set(&SITES));
        let run = done.run.iter().map(ToString::to_string).collect();
        (run, done.unpaid.iter().map(ToString::to_string).collect())
    }

    /// The errands of an event of north that a producer sent to another site, and whom they leave unpaid.
    fn unforwarded(source: &str, target: &str) -> (Vec<String>, Vec<String>) {
        unforwarded_for("not_forwarded", source, target)
    }

    fn unforwarded_for(reason: &str, source: &str, target: &str) -> (Vec<String>, Vec<String>) {
        let event = event("azure:northeurope");
        done(source, target, &event, &Subject { reason: reason.to_owned(), ..Subject::sample(Ok(event.clone())) })
    }

    #[test]
    fn a_site_is_reached_by_the_way_that_suits_what_it_lacks() {
        let [aws, north, west] = SITES;
        let both = [north, west];
        let own = [aws];
        let gone = ["gcp:x"];
        let case = |source, target, origin, owed, run: &[&str], unpaid: &[&str]| {
            let (did, left) = of(source, target, origin, owed);
            let same = did == run && left == unpaid;
            assert!(same, "{source} {target} {origin} {owed:?}: {did:?} {left:?}");
        };
        // A peer that was down, and the site's own store that failed.
        case(
            "aws:us-east-1/dlq",
            "owed",
            aws,
            Some(&both[..]),
            &["azure:northeurope/queue", "azure:westeurope/queue"],
            &[],
        );
        case("aws:us-east-1/dlq", "owed", aws, Some(&own[..]), &["aws:us-east-1/store"], &[]);
        // A site that is no longer configured keeps its letter.
        case("aws:us-east-1/dlq", "owed", aws, Some(&gone[..]), &[], &["gcp:x"]);
        // One site of two.
        case(
            "aws:us-east-1/dlq",
            "azure:westeurope/store",
            aws,
            Some(&both[..]),
            &["azure:westeurope/store"],
            &[north],
        );
        // The origin's worker forwards to everybody; another worker to nobody.
        case("aws:us-east-1/dlq", "aws:us-east-1/queue", aws, Some(&both[..]), &["aws:us-east-1/queue"], &[]);
        case(
            "aws:us-east-1/dlq",
            "azure:westeurope/queue",
            aws,
            Some(&both[..]),
            &["azure:westeurope/queue"],
            &[north],
        );
        // What waits for a site: its own writes are owed to all, a peer's to it alone.
        case("aws:us-east-1/queue", "azure:westeurope/store", aws, None, &["azure:westeurope/store"], &[aws, north]);
        case("aws:us-east-1/queue", "azure:westeurope/store", north, None, &["azure:westeurope/store"], &[aws]);
        case("aws:us-east-1/queue", "aws:us-east-1/store", north, None, &["aws:us-east-1/store"], &[]);
        // What its origin did not forward goes through its origin's queue, or nowhere.
        assert_eq!(unforwarded("aws:us-east-1/dlq", "owed"), (vec![format!("{north}/queue")], vec![]));
        for reason in
            ["unknown_origin", "invalid_key", "unsupported_schema_version", "broker:too_many_receives", "waiting"]
        {
            let done = unforwarded_for(reason, "aws:us-east-1/dlq", "owed");
            assert_eq!(done, (vec![format!("{north}/queue")], vec![]), "{reason}");
        }
        case("aws:us-east-1/dlq", "owed", north, None, &["aws:us-east-1/store"], &[]);
        assert_eq!(unforwarded("aws:us-east-1/queue", "aws:us-east-1/queue"), (vec![format!("{north}/queue")], vec![]));
        let nowhere = (vec![], SITES.map(str::to_owned).to_vec());
        assert_eq!(unforwarded("aws:us-east-1/queue", "aws:us-east-1/store"), nowhere);
        // A line of a file goes the way that it would have gone at first, or nowhere; a saved forward or letter goes where it was to go.
        for target in ["owed", "azure:northeurope/queue", "azure:westeurope/queue"] {
            assert_eq!(unforwarded("events.jsonl", target), (vec![format!("{north}/queue")], vec![]), "{target}");
        }
        assert_eq!(unforwarded("events.jsonl", "azure:westeurope/store"), nowhere);
        case("events.jsonl", "owed", north, None, &["azure:northeurope/queue"], &[]);
        case("events.jsonl", "azure:westeurope/store", north, None, &["azure:westeurope/store"], &[north]);
        case("events.jsonl", "azure:westeurope/queue", north, Some(&[west]), &["azure:westeurope/queue"], &[]);
    }

    proptest! {
        /// Whoever is owed an event is paid by an errand, keeps the message where it is, or is paid by its origin.
        #[test]
        fn nobody_who_is_owed_is_forgotten(
            owed in prop::collection::btree_set(prop::sample::select(SITES.to_vec()), 0..3),
            origin in prop::sample::select(SITES.to_vec()),
            source in prop::sample::select(vec!["aws:us-east-1/dlq", "aws:us-east-1/queue", "azure:westeurope/dlq"]),
            target in prop::sample::select(vec!["owed", "aws:us-east-1/queue", "azure:westeurope/queue", "azure:westeurope/store"]),
        ) {
            let owed: Arc<[&str]> = owed.into_iter().collect();
            let (run, unpaid) = of(source, target, origin, Some(&owed));
            for site in owed.iter() {
                let paid = run.iter().any(|errand| errand.starts_with(site)) || run.contains(&format!("{origin}/queue"));
                prop_assert!(paid || unpaid.iter().any(|one| one == site), "{site}: {run:?} {unpaid:?}");
            }
        }
    }
}
