//! What a message would do to the store of a site: predicted for a plan, told for a run.

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use bridge_core::{
    event::SiteId,
    reason::{Reason, Refusal},
    version::Version,
};

/// What a message would do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// The store holds this very write.
    Duplicate,
    /// The store holds a later write, or a later message of the same plan brings one.
    Superseded,
    /// It would become the stored state.
    Apply,
    /// The site cannot be reached now: it would stay owed.
    StillOwed,
    /// It would be dropped: it leaves its source, and no site gets it.
    Dropped,
    /// Too large for the narrowest site.
    TooLarge,
    /// No site would take it.
    Invalid,
}

impl Effect {
    /// All of them, in the order of a table's columns.
    pub const ALL: [Self; 7] =
        [Self::Apply, Self::Superseded, Self::Duplicate, Self::Invalid, Self::TooLarge, Self::StillOwed, Self::Dropped];

    /// What `version` would do to a store that holds `held` of its key.
    pub fn of(version: &Version, held: Option<&Version>) -> Self {
        match held.map(|held| version.cmp(held)) {
            None | Some(std::cmp::Ordering::Greater) => Self::Apply,
            Some(std::cmp::Ordering::Equal) => Self::Duplicate,
            Some(std::cmp::Ordering::Less) => Self::Superseded,
        }
    }

    /// What comes of a message that is refused.
    pub fn of_refusal(refusal: &Refusal) -> Self {
        if refusal.reason == Reason::TooLarge { Self::TooLarge } else { Self::Invalid }
    }

    /// The word in plans and tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Apply => "apply",
            Self::Superseded => "superseded",
            Self::Duplicate => "duplicate",
            Self::Invalid => "invalid",
            Self::TooLarge => "too_large",
            Self::StillOwed => "still_owed",
            Self::Dropped => "dropped",
        }
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The greatest version that a plan brings to each key of each place: of several messages of one key only that one ends
/// as the stored state. Some 70 bytes a key, however long keys and versions are.
#[derive(Debug)]
pub struct Greatest {
    sites: Vec<SiteId>,
    ranks: HashMap<u64, Rank>,
}

/// A version in 40 bytes: instant and site, then the event's name and its content. Orders as [`Version`] does.
type Rank = (u128, u128, u64);

impl Greatest {
    /// Nothing noted yet; `sites` are all that events may come from.
    pub fn new(sites: &BTreeSet<SiteId>) -> Self {
        Self { sites: sites.iter().cloned().collect(), ranks: HashMap::new() }
    }

    /// Notes that the event of this key and version would be applied at `place`.
    pub fn note(&mut self, place: &str, key: &str, version: &Version) {
        let new = self.rank(version);
        let rank = self.ranks.entry(name(place, key)).or_default();
        *rank = (*rank).max(new);
    }

    /// Whether a later write of the same key was noted for `place`.
    pub fn supersedes(&self, place: &str, key: &str, version: &Version) -> bool {
        self.ranks.get(&name(place, key)).is_some_and(|greatest| *greatest > self.rank(version))
    }

    fn rank(&self, version: &Version) -> Rank {
        let utc = version.timestamp();
        // Years 0 to 9999: the offset makes it positive.
        let seconds = u128::try_from(i128::from(utc.timestamp()) + (1 << 40)).unwrap_or_default();
        let site = self.sites.binary_search(&version.origin()).unwrap_or_default() as u128;
        let instant = (seconds << 30) | u128::from(utc.timestamp_subsec_nanos());
        ((instant << 16) | site, version.event_id().as_u128(), version.content().into())
    }
}

fn name(place: &str, key: &str) -> u64 {
    let mut hash = Sha256::new();
    hash.update((place.len() as u64).to_be_bytes());
    hash.update(place);
    hash.update(key);
    let mut first = [0; 8];
    first.copy_from_slice(&hash.finalize()[..8]);
    u64::from_be_bytes(first)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    const SITES: [&str; 3] = ["aws:us-east-1", "aws:us-east-10", "azure:westeurope"];

    fn version() -> impl Strategy<Value = Version> {
        let seconds = prop_oneof![Just(0_i64), Just(-1), Just(253_402_300_799), Just(-62_167_219_200)];
        let content = prop::sample::select(vec![0, 1, u64::MAX]);
        (seconds, 0..2_u32, prop::sample::select(SITES.to_vec()), 0..3_u128, content).prop_map(
            |(seconds, nanos, site, id, content)| {
                let at = chrono::DateTime::from_timestamp(seconds, nanos).unwrap();
                Version::new(at, &site.parse().unwrap(), Uuid::from_u128(id), content.into())
            },
        )
    }

    #[test]
    fn plans_and_tables_have_the_same_words() {
        for effect in Effect::ALL {
            assert_eq!(serde_json::to_value(effect).unwrap(), effect.as_str());
        }
    }

    proptest! {
        /// What the plan says of two messages of one key is what the stores would do with them.
        #[test]
        fn a_later_message_of_the_plan_supersedes_as_a_stored_one_does(one in version(), other in version()) {
            let mut greatest = Greatest::new(&SITES.iter().map(|site| site.parse().unwrap()).collect());
            greatest.note("a", "k", &other);
            prop_assert_eq!(greatest.supersedes("a", "k", &one), Effect::of(&one, Some(&other)) == Effect::Superseded);
            prop_assert!(!greatest.supersedes("b", "k", &one), "another place");
            prop_assert!(!greatest.supersedes("a", "l", &one), "another key");
        }
    }
}
