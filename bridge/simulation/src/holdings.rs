//! What the stores hold of each key now: whether they agree, and which old events an operator has to accept so that they do.

use std::collections::BTreeMap;

use bytes::Bytes;
use chrono::TimeDelta;

use crate::{books::State, events::Fact, site::Site, world::World};

/// Of each key, the event that each site's store holds, by its place among the facts.
pub(crate) struct Holdings(Vec<BTreeMap<String, usize>>);

impl Holdings {
    pub(crate) fn of(world: &World, state: &State) -> Self {
        let of = |site: &Site| {
            let records = site.store.snapshot().into_iter();
            records.filter_map(|(key, record)| Some((key.to_string(), state.fact_of_record(&record)?))).collect()
        };
        Self(world.options.sites.iter().map(|id| of(&world.sites[id])).collect())
    }

    /// The event that a site's store holds of a key.
    pub(crate) fn at(&self, site: usize, key: &str) -> Option<usize> {
        self.0[site].get(key).copied()
    }

    /// Whether the last write of a key was a delete that is forgotten, and all sites hold one older event that an operator accepted.
    pub(crate) fn is_back(&self, state: &State, key: &str, last: &Fact) -> bool {
        let Some(one) = self.0.iter().find_map(|held| held.get(key).copied()) else { return false };
        let mut held = self.0.iter().map(|held| held.get(key).copied()).enumerate();
        let agreed = held.all(|(site, held)| held.map_or_else(|| state.is_forgotten(site, one), |held| held == one));
        agreed && last.op == "delete" && one + 1 != last.number && state.accepted.contains_key(&one)
    }

    /// The bodies of old events among the letters of `site` that some site lacks and nothing else makes up for. An operator who looks at
    /// their keys accepts these, and leaves the others.
    pub(crate) fn needed(&self, state: &State, site: &Site) -> Vec<Bytes> {
        let letters = site.letters.snapshot().into_iter().map(|(body, _)| body);
        letters.filter(|body| state.fact_of(body).is_some_and(|fact| self.needs(state, fact))).collect()
    }

    fn needs(&self, state: &State, fact: usize) -> bool {
        let wanted = &state.facts[fact];
        // An hour: by a worker's clock that is ahead it may be too old already.
        if wanted.refused.is_some() || !state.is_old(fact, TimeDelta::hours(1)) {
            return false;
        }
        let below = |other: Option<&usize>| other.is_none_or(|other| state.facts[*other].rank() < wanted.rank());
        let never_reached = state.best.iter().any(|best| below(best.get(&wanted.key)));
        let held = || self.0.iter().map(|held| held.get(&wanted.key));
        never_reached || held().any(|held| held == Some(&fact)) && held().any(below)
    }
}
