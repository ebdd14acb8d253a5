//! What is told of the lag, and its JSON: `bridge lag --json`, and what the dashboard draws.
//!
//! Times are RFC 3339, UTC; durations are seconds. `null` means not known, and never zero.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{owed::Owed, reasons};
use bridge_core::{conflict::ConflictKind, state::State};

/// All sites at one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// When it was looked, by the clock of the machine that looked.
    pub at: String,
    /// Every site, in the order of their names.
    pub sites: Vec<Site>,
    /// What is owed in all.
    #[serde(default)]
    pub owed: Owed,
    /// From every site to every other.
    pub lag: Vec<Lag>,
    /// The latest conflicts that sites keep, the latest first; empty where they were not asked for, or none keeps any.
    pub conflicts: Vec<Conflict>,
    /// Everything that is not well, the worst first. Empty: all is well.
    pub findings: Vec<Finding>,
}

/// How bad a finding is; the worst comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Data is at risk, or a promise is not kept. The page shows it red.
    Bad,
    /// It will be, if nobody looks. The page shows it yellow.
    Warn,
    /// It cannot be seen, so nobody knows.
    Unknown,
}

impl Level {
    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bad => "bad",
            Self::Warn => "warn",
            Self::Unknown => "unknown",
        }
    }
}

/// One thing to know.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Finding {
    /// How bad it is.
    pub level: Level,
    /// The figure that it is about: `lag/FROM/TO`, or a measure of a site as in `worker/SITE`.
    pub place: String,
    /// The site that it is about; of a lag, the one that is behind.
    pub site: String,
    /// What was found.
    pub text: String,
    /// What the services answered, or the reasons of letters.
    pub detail: Option<String>,
    /// The next step, a command where there is one.
    pub next: String,
    /// The runbook that tells what to do: `NAME` stands for `runbooks/NAME.md`.
    pub runbook: Option<String>,
    /// Since when, where somebody said so.
    #[serde(default)]
    pub since: Option<String>,
    /// What follows from it, and goes with it.
    #[serde(default)]
    pub consequences: Vec<Finding>,
}

/// One site.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Site {
    /// Its name.
    pub site: String,
    /// Whether nothing of it could be seen.
    pub unreachable: bool,
    /// What could not be seen, and why.
    pub trouble: Vec<String>,
    /// Messages that may be received now.
    pub backlog_messages: Option<u64>,
    /// Messages in workers' hands; `null` where the broker counts them among the backlog.
    pub in_flight_messages: Option<u64>,
    /// Messages that wait for a retry, as the site's worker counts them; `null` where it does not say. They are not counted among those in
    /// flight or delayed.
    #[serde(default)]
    pub backing_off_messages: Option<u64>,
    /// Messages to be delivered later.
    pub delayed_messages: Option<u64>,
    /// How long the oldest message has been waiting; `null` also where nothing waits, or the broker does not say.
    pub oldest_age_seconds: Option<f64>,
    /// What was set aside.
    pub dead_letters: Option<DeadLetters>,
    /// What the site's worker said of itself with the last heartbeat that is to be found anywhere.
    pub worker: Option<Worker>,
    /// What the site's worker last said of its state; `null` where it never did.
    #[serde(default)]
    pub state: Option<WorkerState>,
    /// What would be missing elsewhere if this site vanished now.
    pub recovery_point: RecoveryPoint,
}

/// Messages that were set aside.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetters {
    /// How many, in the bridge's own dead-letter queue and in the broker's.
    pub messages: u64,
    /// By their reasons.
    pub by_reason: BTreeMap<String, u64>,
    /// Of these, those whose letter says that some site is owed the event, by their reasons. The stores differ until it has it.
    #[serde(default)]
    pub owed_by_reason: BTreeMap<String, u64>,
    /// Those whose reasons were not read.
    pub unread: u64,
}

impl DeadLetters {
    /// Those that some site lacks, or may lack as far as anybody knows: so also those that were not read. What producers did wrong no site has, so
    /// the stores agree; but for what a wrong clock of a worker let through at one site alone.
    pub fn may_mend(&self) -> u64 {
        let others =
            self.by_reason.iter().filter(|(reason, _)| !reasons::is_producers(reason)).map(|(_, count)| *count);
        let owed =
            self.owed_by_reason.iter().filter(|(reason, _)| reasons::is_producers(reason)).map(|(_, owed)| *owed);
        others.chain(owed).sum::<u64>() + self.unread
    }
}

impl Site {
    /// Messages in the site's queue, in any state; none where they cannot be counted.
    pub fn queued(&self) -> Option<u64> {
        let states = [self.in_flight_messages, self.backing_off_messages, self.delayed_messages];
        Some(self.backlog_messages? + states.into_iter().flatten().sum::<u64>())
    }

    /// The peers that do not answer: nobody sees anything of them, or this site's worker cannot reach them.
    pub fn away(&self, sites: &[Self]) -> Vec<String> {
        let told = |name: &str| self.state.as_ref().is_some_and(|told| told.peers_away.contains_key(name));
        let others = sites.iter().filter(|one| one.site != self.site);
        others.filter(|one| one.unreachable || told(&one.site)).map(|one| one.site.clone()).collect()
    }
}

/// A worker, as its last heartbeat tells.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Worker {
    /// When the heartbeat was sent, by the site's services' clock.
    pub heard_at: String,
    /// How long ago that is.
    pub age_seconds: f64,
    /// Seconds from one heartbeat to the next.
    pub every_seconds: f64,
    /// The process.
    pub instance: String,
    /// How far its clock is ahead of its cloud's.
    pub clock_skew_seconds: Option<f64>,
    /// The state of the circuit to each peer.
    pub circuits: BTreeMap<String, String>,
    /// Deliveries by outcome since the process began.
    pub events: BTreeMap<String, u64>,
    /// Conflicts since the process began.
    pub conflicts: u64,
}

/// The state of a worker, as it last said by itself. It does not take the way of the events.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorkerState {
    /// What it is doing.
    pub state: State,
    /// Since when, by the site's services' clock.
    pub since: String,
    /// For how long.
    pub for_seconds: f64,
    /// Why; `null` where it is working.
    pub detail: Option<String>,
    /// Seconds until it looks whether it may go on; of a halted one.
    #[serde(default)]
    pub looks_in_seconds: Option<f64>,
    /// The peers that do not take what it forwards, and since when.
    pub peers_away: BTreeMap<String, String>,
    /// Whether it brings what dead letters owe by itself.
    #[serde(default)]
    pub auto_replay: bool,
    /// What it brings right now; `null` where it does not.
    #[serde(default)]
    pub bringing: Option<Bringing>,
    /// When it said so.
    pub told_at: String,
    /// How long ago that is.
    pub age_seconds: f64,
    /// Seconds until it says so again; `null` where it does so only on a change, as in a function.
    pub again_seconds: Option<f64>,
    /// The process.
    pub instance: String,
}

/// A pass over dead letters that a worker makes by itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bringing {
    /// Since when.
    pub since: String,
    /// For how long.
    pub for_seconds: f64,
    /// Letters so far.
    pub letters: u64,
}

/// What would be missing elsewhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RecoveryPoint {
    /// Messages that lie at the site: at most so many events.
    pub events: Option<u64>,
    /// The age of the youngest write that every other site is known to have: zero where no message lies there. Not known where dead letters
    /// do, as their age is not.
    pub seconds: Option<f64>,
}

/// How far one site's store is behind another site's writes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Lag {
    /// The site that accepts the writes.
    pub from: String,
    /// The site whose store is looked at.
    pub to: String,
    /// What `seconds` means.
    pub state: LagState,
    /// The lag.
    pub seconds: Option<f64>,
    /// When the last heartbeat that arrived was sent.
    pub heard_at: Option<String>,
    /// How long ago that is.
    pub age_seconds: Option<f64>,
}

/// What is known of a lag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LagState {
    /// So long the last heartbeat was on its way.
    Heard,
    /// The next heartbeat is overdue: it is at least so long.
    Late,
    /// Heartbeats are overdue for long: the site, or the way, is down.
    Silent,
    /// No heartbeat was ever there.
    Never,
    /// The store cannot be read.
    Unknown,
}

impl LagState {
    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Heard => "heard",
            Self::Late => "late",
            Self::Silent => "silent",
            Self::Never => "never",
            Self::Unknown => "unknown",
        }
    }
}

/// A write that lost to one of another site, or to another content of the same event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conflict {
    /// The site that saw it.
    pub site: String,
    /// Why the write is lost.
    pub kind: ConflictKind,
    /// The entity.
    pub key: String,
    /// The write that is no more.
    pub lost: Side,
    /// The write that it lost to.
    pub won: Side,
    /// When it was seen.
    pub seen_at: String,
}

/// One write of a conflict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Side {
    /// Its place in the order of all writes.
    pub version: String,
    /// The site that accepted it.
    pub origin: String,
    /// When that was.
    pub timestamp: String,
    /// The event's name.
    pub event_id: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_and_a_level_have_one_word() {
        use LagState::{Heard, Late, Never, Silent, Unknown};
        for state in [Heard, Late, Silent, Never, Unknown] {
            assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
        }
        for level in [Level::Bad, Level::Warn, Level::Unknown] {
            assert_eq!(serde_json::to_value(level).unwrap(), level.as_str());
        }
    }
}
