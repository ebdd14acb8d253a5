//! What the reasons of dead letters mean: the contract of `schema/dead-letter-reasons.json`.

use std::sync::LazyLock;

use serde::Deserialize;

static REASONS: LazyLock<Vec<Meaning>> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../../../../schema/dead-letter-reasons.json")).expect("the contract is JSON")
});

/// What a reason means, and whether a letter can be replayed as it is.
#[derive(Debug, Deserialize)]
pub struct Meaning {
    /// The reason.
    pub code: String,
    /// What it means.
    pub meaning: String,
    /// Who mends it.
    pub who: String,
    /// Whether and how to replay; begins with "Yes" where a letter can be replayed as it is.
    pub replay: String,
    /// What letters mean that say whom they are owed to, where that is something else.
    #[serde(default)]
    pub if_owed: Option<String>,
}

/// Every reason of the bridge's own.
pub fn all() -> &'static [Meaning] {
    &REASONS
}

/// The meaning of a reason; none of a broker's own.
pub fn meaning(reason: &str) -> Option<&'static Meaning> {
    REASONS.iter().find(|known| known.code == reason)
}

/// Whether a producer has to mend letters of this reason: no site has the write then, so the stores agree.
pub fn is_producers(reason: &str) -> bool {
    meaning(reason).is_some_and(|known| known.who == "producer")
}
