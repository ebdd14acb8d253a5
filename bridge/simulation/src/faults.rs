//! What goes wrong, where and for how long.

use std::{collections::BTreeSet, fmt, time::Duration};

use bridge_adapters::layer::{Fault, FaultPlan, Rule};
use bridge_core::failure::FailureKind;
use fastrand::Rng;

use crate::{
    seed::{chance, pick},
    site::Site,
    world::World,
};

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The service asks for patience.
    Throttled,
    /// Nothing gets through.
    Unavailable,
    /// Calls take effect, and their answers say that they timed out.
    AnswersLost,
    /// Calls take effect and never answer.
    Silent,
    /// Calls never arrive and never answer.
    RequestsLost,
    /// Answers take seconds.
    Slow,
    /// Of a batch some items fail.
    SomeFail,
    /// Of a batch some items fail, and have taken effect.
    SomeFailAfter,
    /// Permissions are gone.
    Denied,
    /// Single items are refused.
    Refused,
    /// Everything is refused, in whatever form.
    AllRefused,
}

/// Where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spot {
    /// A site's queue, as its own worker sees it.
    Reads,
    /// A site's queue, as its peers see it.
    Inbound,
    /// A site's dead letters.
    Asides,
    /// A site's store.
    Writes,
    /// All of a site: it is dark.
    Everything,
}

/// Some trouble at some spot for some time.
#[derive(Clone, Debug)]
pub struct Spell {
    /// When it begins, counted from the episode's begin.
    pub after: Duration,
    /// How long it lasts.
    pub lasts: Duration,
    /// The site, by number.
    pub site: usize,
    spot: Spot,
    trouble: Trouble,
    probability: f64,
}

impl Spell {
    /// A spell within an episode of `length`.
    pub fn draw(rng: &mut Rng, sites: usize, length: Duration) -> Self {
        let dark = chance(rng, 0.2);
        let spots = [Spot::Reads, Spot::Inbound, Spot::Inbound, Spot::Asides, Spot::Writes, Spot::Writes];
        let troubles = [
            Trouble::Throttled,
            Trouble::Unavailable,
            Trouble::Unavailable,
            Trouble::AnswersLost,
            Trouble::Silent,
            Trouble::RequestsLost,
            Trouble::Slow,
            Trouble::SomeFail,
            Trouble::SomeFail,
            Trouble::SomeFailAfter,
            Trouble::Denied,
            Trouble::Refused,
        ];
        Self {
            after: length.mul_f64(rng.f64()),
            lasts: Duration::from_secs(rng.u64(2..90)),
            site: rng.usize(..sites),
            spot: if dark { Spot::Everything } else { pick(rng, &spots) },
            trouble: if dark { Trouble::Unavailable } else { pick(rng, &troubles) },
            probability: if dark { 1.0 } else { pick(rng, &[0.2, 0.5, 1.0]) },
        }
    }

    /// Now and then a store that answers nobody for long, from within an episode of `length` on.
    pub fn of_an_outage(rng: &mut Rng, sites: usize, length: Duration) -> Option<Self> {
        let (after, lasts) = (length.mul_f64(rng.f64()), Duration::from_mins(rng.u64(5..120)));
        let (site, trouble) =
            (rng.usize(..sites), pick(rng, &[Trouble::Unavailable, Trouble::Throttled, Trouble::RequestsLost]));
        chance(rng, 0.05).then_some(Self { after, lasts, site, spot: Spot::Writes, trouble, probability: 1.0 })
    }

    /// Now and then dead letters that take no letter in any form, within an episode of `length`.
    pub fn of_no_letters(rng: &mut Rng, sites: usize, length: Duration) -> Option<Self> {
        let (after, lasts) = (length.mul_f64(rng.f64()), Duration::from_secs(rng.u64(2..60)));
        let (site, trouble) = (rng.usize(..sites), Trouble::AllRefused);
        chance(rng, 0.15).then_some(Self { after, lasts, site, spot: Spot::Asides, trouble, probability: 1.0 })
    }

    /// A worker that gets nothing from its queue, until an episode of `length` is over.
    pub fn of_a_deaf_worker(site: usize, length: Duration) -> Self {
        let (spot, trouble) = (Spot::Reads, Trouble::Unavailable);
        Self { after: length / 4, lasts: length * 2, site, spot, trouble, probability: 1.0 }
    }

    /// A site that takes nothing from its peers from the begin on.
    pub fn of_a_dark_peer(site: usize, lasts: Duration) -> Self {
        let (spot, trouble) = (Spot::Inbound, Trouble::Unavailable);
        Self { after: Duration::ZERO, lasts, site, spot, trouble, probability: 1.0 }
    }

    fn rule(&self) -> Rule {
        let fault = match self.trouble {
            Trouble::Throttled => Fault::Before(FailureKind::Throttled { retry_after: Some(Duration::from_secs(3)) }),
            Trouble::Unavailable => Fault::Before(FailureKind::Unavailable),
            Trouble::AnswersLost => Fault::After(FailureKind::TimedOut),
            Trouble::Silent => Fault::Unanswered,
            Trouble::RequestsLost => Fault::Lost,
            Trouble::Slow => Fault::Late(Duration::from_secs(4)),
            Trouble::SomeFail => Fault::Items { share: 0.5, kind: FailureKind::Unavailable, after: false },
            Trouble::SomeFailAfter => Fault::Items { share: 0.5, kind: FailureKind::TimedOut, after: true },
            Trouble::Denied => Fault::Before(FailureKind::Unauthorized),
            Trouble::Refused => {
                let kind = FailureKind::Rejected { detail: "a fault of the plan".to_owned() };
                Fault::Items { share: 0.3, kind, after: false }
            }
            Trouble::AllRefused => {
                Fault::Before(FailureKind::Rejected { detail: "a queue that takes nothing".to_owned() })
            }
        };
        Rule { operation: None, fault, probability: self.probability, count: None }
    }

    fn strikes(&self, spot: Spot) -> bool {
        self.spot == spot || self.spot == Spot::Everything
    }
}

impl fmt::Display for Spell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (from, to) = (self.after.as_secs(), (self.after + self.lasts).as_secs());
        let percent = self.probability * 100.0;
        write!(
            f,
            "site {}, {:?}: {:?} for {percent} % of calls, from {from} s to {to} s",
            self.site, self.spot, self.trouble
        )
    }
}

/// Lets `spells` that are `active` strike `world`, and no others.
pub fn set(world: &World, spells: &[Spell], active: &BTreeSet<usize>) {
    let plan = |plan: &FaultPlan, site: &Site, spot| {
        plan.clear();
        let strikes = |spell: &&Spell| spell.site == site.number && spell.strikes(spot);
        for spell in active.iter().map(|at| &spells[*at]).filter(strikes) {
            plan.add(spell.rule());
        }
    };
    for site in world.sites.values() {
        plan(&site.reads, site, Spot::Reads);
        plan(&site.inbound, site, Spot::Inbound);
        plan(&site.asides, site, Spot::Asides);
        plan(&site.writes, site, Spot::Writes);
    }
}
