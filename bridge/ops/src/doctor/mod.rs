//! Whether an account keeps the assumptions that the bridge's promises rest on: facts in, findings out.
//!
//! Who looks ([`Inspect`]) only says what is there; each rule here says what is wrong with it, and how to mend it. A
//! [`Mend`] is data, because the command that carries it out is a matter of the cloud.

mod access;
mod facts;
mod limit;
mod queue;
mod store;
#[cfg(test)]
mod tests;
mod way;

use std::{collections::BTreeSet, time::Duration};

pub use facts::{Expiry, Inspect, Look, Looks, PartitionKey, QueueFacts, Redrive, SiteFacts, StoreFacts, Tries};

use bridge_core::{event::SiteId, failure::NoCredentials};

/// What was looked at, what was found, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The site; none where it concerns all of them together.
    pub site: Option<SiteId>,
    /// The check's name, for programs: it does not change.
    pub check: &'static str,
    /// For example `SQS queue bridge-events`.
    pub looked_at: String,
    /// What was found, in words.
    pub found: String,
    /// How bad it is.
    pub state: State,
    /// How to mend it, where it is not good.
    pub mend: Option<Mend>,
    /// Whether a worker refuses to start with it: a setting that was seen will break a promise. What cannot be reached or may not be
    /// looked at stops nobody.
    pub forbids_start: bool,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// As it should be.
    Good,
    /// No promise is broken; it costs something, or leaves less room than it should.
    Warning,
    /// A promise will be broken.
    Bad,
}

/// One of a site's three things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thing {
    /// Its queue.
    Queue,
    /// Its dead-letter queue.
    DeadLetterQueue,
    /// Its store.
    Store,
}

/// How to mend what was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mend {
    /// It is not there.
    Create(Thing),
    /// It can only be changed by making another one.
    Replace(Thing),
    /// Find out what in it refuses the bridge's own request.
    Accept(Thing),
    /// Let it take more requests.
    Scale(Thing),
    /// Set how long a queue keeps a message.
    Keep(Thing, Duration),
    /// Let the broker set a message aside after so many deliveries.
    Redrive {
        /// Of the site's queue.
        deliveries_max: u32,
    },
    /// Let a dead-letter queue keep what was looked at.
    KeepLetters,
    /// Turn the store's expiry on, for records that name a time to live and for no other.
    Expire {
        /// Whether it is on for another attribute, where it has to be turned off first.
        elsewhere: bool,
    },
    /// Let the store be written in one region alone.
    OneRegion,
    /// Let a queue keep its messages, instead of handing them on.
    StopForwarding(Thing),
    /// Let a queue stay, however long nobody uses it.
    Stay(Thing),
    /// Take messages of so many bytes.
    Widen(Thing, u64),
    /// Set a key of the configuration: of `[worker]`, or of the site's own section.
    Configure {
        /// Whether it stands in the site's own section.
        of_site: bool,
        /// The key.
        key: &'static str,
        /// What to set it to.
        value: u64,
    },
    /// Give the worker the right to use it.
    AllowUse(Thing),
    /// Look with an identity that may read settings.
    AllowLook(Thing),
    /// Give this process an identity.
    SignIn,
    /// Give this process credentials that the service takes.
    Prove(Thing),
    /// Mend the network or the address.
    Reach,
    /// Mend the clock of this machine.
    SetClock,
}

/// The figures of the configuration that the facts must fit.
#[derive(Clone, Copy, Debug)]
pub struct Figures {
    /// How long a store remembers a delete.
    pub tombstone_life: Duration,
    /// Deliveries after which a worker sets a message aside.
    pub attempts_max: u32,
    /// How long a message waits for a store that is away.
    pub store_wait_max: Duration,
    /// How far ahead of the origin's clock an event may be stamped.
    pub clock_skew_max: Duration,
    /// Configured sites. Findings on all sites say so where fewer were checked.
    pub sites: usize,
}

/// Checks whose bad finding a site's configuration may allow by name, because an operator can know what no setting tells: that nobody
/// writes in the other regions, that no key is long, that messages which kill a worker are looked after elsewhere.
pub const ALLOWABLE: [&str; 3] = [store::REGIONS, store::KEY_SIZE, queue::REDRIVE];

/// The check that a process has credentials at all.
const CREDENTIALS: &str = "credentials";

/// What findings on all sites looked at.
const ALL_SITES: &str = "all sites";

/// Every finding: each site's own, then those of all sites together.
pub fn examine(sites: &[SiteFacts], figures: &Figures) -> Vec<Finding> {
    let mut findings = Vec::new();
    for facts in sites {
        let mut site = Findings { site: Some(facts.site.clone()), list: Vec::new() };
        queue::examine(facts, figures, &mut site);
        store::examine(&facts.looks.store, figures, &mut site);
        access::examine(facts, figures, &mut site);
        findings.extend(site.list.into_iter().map(|finding| finding.unless_allowed(&facts.allowed)));
    }
    let mut together = Findings { site: None, list: Vec::new() };
    way::examine(sites, figures, &mut together);
    limit::examine(sites, &mut together);
    if sites.len() < figures.sites {
        let names: Vec<_> = sites.iter().map(|facts| facts.site.as_str()).collect();
        for finding in &mut together.list {
            finding.found += &format!("; only {} of {} sites was checked", sites.len(), figures.sites);
            if finding.looked_at == ALL_SITES {
                finding.looked_at = format!("{} alone", names.join(" and "));
            }
        }
    }
    findings.append(&mut together.list);
    findings
}

impl Finding {
    fn unless_allowed(self, allowed: &BTreeSet<&'static str>) -> Self {
        if self.state != State::Bad || !allowed.contains(self.check) {
            return self;
        }
        let found = format!("{}; allowed by the site's configuration", self.found);
        Self { found, state: State::Warning, forbids_start: false, ..self }
    }
}

/// The findings of one site, as they come.
struct Findings {
    site: Option<SiteId>,
    list: Vec<Finding>,
}

impl Findings {
    fn good(&mut self, check: &'static str, looked_at: &str, found: impl Into<String>) {
        self.add(check, looked_at, found.into(), State::Good, None);
    }

    fn warning(&mut self, check: &'static str, looked_at: &str, found: impl Into<String>, mend: Mend) {
        self.add(check, looked_at, found.into(), State::Warning, Some(mend));
    }

    /// A setting that was seen, and that will break a promise.
    fn bad(&mut self, check: &'static str, looked_at: &str, found: impl Into<String>, mend: Mend) {
        self.add(check, looked_at, found.into(), State::Bad, Some(mend)).forbids_start = true;
    }

    /// What breaks a promise while it lasts, and is no setting of the queue or the store.
    fn amiss(&mut self, check: &'static str, looked_at: &str, found: impl Into<String>, mend: Mend) {
        self.add(check, looked_at, found.into(), State::Bad, Some(mend));
    }

    /// Once for a site: everything else of it fails for that alone.
    fn without_credentials(&mut self, none: &NoCredentials) {
        let is_told = |finding: &Finding| finding.check == CREDENTIALS && finding.site == self.site;
        if !self.list.iter().any(is_told) {
            self.amiss(CREDENTIALS, "this process", none.to_string(), Mend::SignIn);
        }
    }

    fn add(
        &mut self,
        check: &'static str,
        looked_at: &str,
        found: String,
        state: State,
        mend: Option<Mend>,
    ) -> &mut Finding {
        let (site, looked_at) = (self.site.clone(), looked_at.to_owned());
        self.list.push_mut(Finding { site, check, looked_at, found, state, mend, forbids_start: false })
    }
}

/// A duration as a person says it.
fn spell(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0 => "0 s".to_owned(),
        _ if seconds.is_multiple_of(86_400) => format!("{} d", seconds / 86_400),
        _ if seconds.is_multiple_of(3_600) => format!("{} h", seconds / 3_600),
        _ if seconds.is_multiple_of(60) => format!("{} min", seconds / 60),
        _ => format!("{seconds} s"),
    }
}
