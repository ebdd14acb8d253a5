//! What becomes of a worker's links to its peers, for its log and for what it says of its state: one line when a peer goes, one a minute with
//! counts while it is away, one when it is back.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use bridge_core::{
    circuit::CircuitState, event::SiteId, peer::Peer, reason::Reason, settlement::Settlement, state::Since,
    worker::Verdict,
};
use chrono::{DateTime, TimeDelta, Utc};

/// From one line about a peer that is away to the next.
const AGAIN: TimeDelta = TimeDelta::minutes(1);

/// For how long a peer with a closed circuit, which has taken something since, must take all before it counts as back. Ours: longer than most
/// batches take, and short enough to be told within 5 s of its return.
const QUIET: TimeDelta = TimeDelta::seconds(3);

/// The links of one worker.
#[derive(Debug, Default)]
pub(crate) struct Links(Mutex<BTreeMap<SiteId, Outage>>);

/// A peer that does not take what it is sent.
#[derive(Clone, Copy, Debug)]
struct Outage {
    began: DateTime<Utc>,
    /// When it was last seen to be away.
    last: DateTime<Utc>,
    /// Sends that had reached it when it was last looked at and away.
    reached: u64,
    /// Whether one has reached it since.
    takes: bool,
    /// Events that were set aside for it since it went.
    owed: u64,
    /// When a line told of it, and how many there were then.
    told: Option<(DateTime<Utc>, u64)>,
}

/// A line for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    peer: SiteId,
    what: What,
    /// Events that were set aside for the peer since it went.
    owed: u64,
    /// How long it has been away.
    away: TimeDelta,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum What {
    Gone,
    /// With the events since the last line.
    StillAway(u64),
    Back,
}

impl Links {
    /// Takes in what was concluded of deliveries and what the circuits do now, and writes the lines that are due.
    pub(crate) fn look<'a>(&self, verdicts: impl Iterator<Item = &'a Verdict>, peers: &[Peer], now: DateTime<Utc>) {
        for verdict in verdicts {
            if let Settlement::DeadLetter(letter) = &verdict.settlement
                && letter.refusal.reason == Reason::PeerUnavailable
            {
                letter.owed.iter().for_each(|peer| self.owed(peer, now));
            }
        }
        let links = peers.iter().map(|peer| (&peer.site, peer.circuit(), peer.reached()));
        self.due(links, now).iter().for_each(Line::write);
    }

    /// The peers that are away, and since when.
    pub(crate) fn away(&self) -> BTreeMap<String, Since> {
        let outages = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        outages.iter().map(|(peer, outage)| (peer.to_string(), Since(outage.began))).collect()
    }

    fn owed(&self, peer: &SiteId, now: DateTime<Utc>) {
        let mut outages = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let outage = outages.entry(peer.clone()).or_insert_with(|| Outage::new(now));
        outage.owed += 1;
        outage.last = now;
    }

    /// `peers`: each with its circuit, and the sends that have reached the peer so far.
    fn due<'a>(&self, peers: impl Iterator<Item = (&'a SiteId, CircuitState, u64)>, now: DateTime<Utc>) -> Vec<Line> {
        let mut outages = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (peer, circuit, reached) in peers {
            if circuit != CircuitState::Closed {
                outages.entry(peer.clone()).or_insert_with(|| Outage::new(now)).last = now;
            }
            let Some(outage) = outages.get_mut(peer) else { continue };
            // A peer that keeps silent is not back: nothing is missed before each send has had its time.
            if outage.last == now {
                (outage.reached, outage.takes) = (reached, false);
            } else {
                outage.takes |= reached > outage.reached;
            }
        }
        let mut lines = Vec::new();
        outages.retain(|peer, outage| {
            let back = now - outage.last >= QUIET && outage.takes;
            let what = match outage.told {
                _ if back => What::Back,
                None => What::Gone,
                // A clock that was set back does not keep the line.
                Some((at, owed)) if (now - at).abs() >= AGAIN => What::StillAway(outage.owed - owed),
                Some(_) => return true,
            };
            outage.told = Some((now, outage.owed));
            let until = if back { outage.last } else { now };
            lines.push(Line { peer: peer.clone(), what, owed: outage.owed, away: until - outage.began });
            !back
        });
        lines
    }
}

impl Outage {
    fn new(now: DateTime<Utc>) -> Self {
        Self { began: now, last: now, reached: 0, takes: false, owed: 0, told: None }
    }
}

impl Line {
    fn write(&self) {
        let Self { peer, what, owed, away } = self;
        let away_seconds = away.num_seconds();
        match what {
            What::Gone => tracing::warn!(
                %peer,
                "the peer does not answer: its events are set aside for it, with the reason peer_unavailable"
            ),
            What::StillAway(more) => {
                tracing::warn!(%peer, set_aside = owed, more, away_seconds, "the peer is still away: its events are set aside for it");
            }
            What::Back => tracing::info!(
                %peer, set_aside = owed, away_seconds, "the peer is back: workers bring what was set aside for it, unless worker.auto_replay is off"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + second, 0).unwrap()
    }

    /// Ten minutes of an outage with an event each second: eleven lines, and no event is left out of the counts.
    #[test]
    fn an_outage_is_a_line_at_its_start_one_a_minute_and_one_at_its_end() {
        let (links, peer): (_, SiteId) = (Links::default(), "azure:westeurope".parse().unwrap());
        let mut all = Vec::new();
        for second in 0..700 {
            let dark = (10..605).contains(&second);
            if dark {
                links.owed(&peer, at(second));
            }
            // The circuit opens after some failures, and is half open for a moment now and then.
            let circuit = match second {
                13..605 if second % 10 == 0 => CircuitState::HalfOpen,
                13..605 => CircuitState::Open,
                _ => CircuitState::Closed,
            };
            let reached = if dark { 0 } else { second };
            all.extend(links.due([(&peer, circuit, u64::try_from(reached).unwrap())].into_iter(), at(second)));
            let away = links.away();
            assert_eq!(away.contains_key(peer.as_str()), (10..607).contains(&second), "{second}");
            assert!(away.values().all(|since| since.0 == at(10)));
        }
        let told: Vec<_> = all.iter().map(|line| (line.what.clone(), line.owed, line.away.num_seconds())).collect();
        let mut expected = vec![(What::Gone, 1, 0)];
        expected.extend(
            (1..10_u32).map(|minute| (What::StillAway(60), u64::from(minute) * 60 + 1, i64::from(minute) * 60)),
        );
        expected.push((What::Back, 595, 594));
        assert_eq!(told, expected);
    }

    /// Each send has its whole time, and between the ends of two sends nothing is missed.
    #[test]
    fn a_peer_that_keeps_silent_is_not_back() {
        let (links, peer): (_, SiteId) = (Links::default(), "azure:westeurope".parse().unwrap());
        let mut all = Vec::new();
        for second in 0..60 {
            if second % 10 == 0 && second < 50 {
                links.owed(&peer, at(second));
            }
            let reached = if second < 55 { 7 } else { 8 };
            all.extend(links.due([(&peer, CircuitState::Closed, reached)].into_iter(), at(second)));
        }
        let told: Vec<_> = all.into_iter().map(|line| (line.what, line.owed)).collect();
        assert_eq!(told, [(What::Gone, 1), (What::Back, 5)]);
    }

    #[test]
    fn a_peer_that_is_well_has_no_line() {
        let (links, peer): (_, SiteId) = (Links::default(), "azure:westeurope".parse().unwrap());
        assert_eq!(links.due([(&peer, CircuitState::Closed, 0)].into_iter(), at(0)), []);
        assert!(links.away().is_empty());
    }
}
