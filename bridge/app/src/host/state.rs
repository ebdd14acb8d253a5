//! What a worker says of its state: into its own store again and again, and into its peers' queues on a change and for as long as it is
//! not working. No event waits for it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bridge_core::{
    failure::PortError,
    halt::{Halt, Spot},
    port::Message,
    state::{Since, State, Telling, Told},
    worker::Worker,
};
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::container::wait_or;
use crate::assemble::Worksite;

/// How long one telling may take. Ours: a healthy service answers a hundred times in it, and a function is paid by its time. A store that keeps
/// silent is found to be away after two of these, and the pause between two tellings: 4.5 s.
const OWN_LIMIT: Duration = Duration::from_millis(1_250);
const PEERS_LIMIT: Duration = Duration::from_secs(3);
/// From one telling to the peers to the next while it is not working, where no heartbeat says it.
const AGAIN: Duration = Duration::from_secs(30);
/// From one look at the links to the next.
const LINKS: Duration = Duration::from_millis(500);

/// What a worker is doing, and whoever waits for a change of it.
#[derive(Debug, Default)]
pub(crate) struct Teller {
    now: watch::Sender<Now>,
    /// Asks for a word to the peers, though nothing has changed.
    again: Notify,
    /// Asks for a heartbeat: the last one says less than one would now.
    pub(super) beat: Notify,
}

/// What it is doing now.
#[derive(Clone, Debug, Default, PartialEq)]
struct Now {
    /// None in a process that has not found out yet.
    state: Option<State>,
    since: Option<Since>,
    detail: Option<String>,
    next_look: Option<Since>,
    peers_away: BTreeMap<String, Since>,
}

impl Teller {
    /// Takes note of a state; `now` by the worker's clock. Answers whether it is another one than before.
    pub(crate) fn tell_state(&self, state: State, detail: Option<&str>, now: DateTime<Utc>) -> bool {
        self.now.send_if_modified(|before| {
            if before.state == Some(state) {
                return false;
            }
            if before.state.is_some() && state == State::Working {
                self.beat.notify_one();
            }
            let (detail, since) = (detail.map(str::to_owned), Some(Since(now)));
            let peers_away = std::mem::take(&mut before.peers_away);
            *before = Now { state: Some(state), since, detail, next_look: None, peers_away };
            true
        })
    }

    /// Takes note of when a halted worker looks next whether it may go on.
    pub(crate) fn tell_next_look(&self, at: DateTime<Utc>) {
        self.now.send_modify(|now| now.next_look = Some(Since(at)));
    }

    fn links(&self, worksite: &Worksite) {
        let away = worksite.links.away();
        self.now.send_if_modified(|before| {
            let changed = before.peers_away != away;
            if before.peers_away.keys().any(|peer| !away.contains_key(peer)) {
                self.beat.notify_one();
            }
            before.peers_away = away;
            changed
        });
    }

    /// Asks for a word to the peers, though nothing has changed.
    pub(super) fn tell_again(&self) {
        self.again.notify_one();
    }

    fn now(&self) -> Now {
        self.now.borrow().clone()
    }
}

/// How often a container says it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Often {
    /// In its own store; on a change only if zero.
    pub(super) own: Duration,
    /// In its peers' queues while it is not working.
    pub(super) peers: Duration,
}

/// Says what the container's worker is doing until `stop`.
pub(super) async fn tell(worksite: &Worksite, own: Duration, heartbeat: Duration, stop: &CancellationToken) {
    let peers = if heartbeat.is_zero() { AGAIN } else { heartbeat };
    let often = Often { own, peers };
    let all = future::join3(tell_own(worksite, often, stop), tell_peers(worksite, often, stop), look(worksite, stop));
    all.await;
}

/// Says that the container's worker has stopped.
pub(super) async fn tell_end(worksite: &Worksite) {
    worksite.teller.tell_state(State::Stopped, None, worksite.worker.clock.now());
    let now = worksite.teller.now();
    future::join(put(worksite, &now, None), send(worksite, &now, None)).await.0.ok();
}

/// Says what a function's worker found out with this invocation, if that is news of this process. A process that works puts it into its own
/// store; trouble, and its end, go to the peers as well.
pub(super) async fn tell_of_function(worksite: &Worksite, halt: Option<&Halt>, applied: bool) {
    let before = worksite.teller.now();
    let state = match halt {
        Some(Halt { at: Spot::Away, .. }) => State::StoreAway,
        Some(_) => State::Halted,
        None if applied => State::Working,
        None => return,
    };
    worksite.teller.links(worksite);
    let detail = halt.map(|halt| halt.detail.as_str());
    let changed = worksite.teller.tell_state(state, detail, worksite.worker.clock.now());
    let now = worksite.teller.now();
    if !changed && before.peers_away == now.peers_away {
        return;
    }
    let quiet = before.state.is_none() && state == State::Working && now.peers_away.is_empty();
    let peers = async {
        if !quiet {
            send(worksite, &now, None).await;
        }
    };
    let (put, ()) = future::join(put(worksite, &now, None), peers).await;
    if let Err(error) = put {
        tracing::debug!(error = error.chain(), "the own store was not told of the worker's state");
    }
}

async fn tell_own(worksite: &Worksite, often: Often, stop: &CancellationToken) {
    let mut changes = worksite.teller.now.subscribe();
    while !stop.is_cancelled() {
        let now = changes.borrow_and_update().clone();
        if let Err(error) = put(worksite, &now, Some(often.own)).await {
            tracing::debug!(error = error.chain(), "the own store was not told of the worker's state");
        }
        let pause = if often.own.is_zero() { often.peers } else { often.own };
        tokio::select! {
            () = wait_or(pause, stop) => {}
            _ = changes.changed() => {}
        }
    }
}

async fn tell_peers(worksite: &Worksite, often: Often, stop: &CancellationToken) {
    let mut changes = worksite.teller.now.subscribe();
    while !stop.is_cancelled() {
        let now = changes.borrow_and_update().clone();
        let works = now.state == Some(State::Working) && now.peers_away.is_empty();
        let reached = send(worksite, &now, (!works).then_some(often.peers)).await;
        let again = async { if works && reached { future::pending().await } else { wait_or(often.peers, stop).await } };
        tokio::select! {
            () = again => {}
            () = worksite.teller.again.notified() => {}
            () = stop.cancelled() => {}
            _ = changes.changed() => {}
        }
    }
}

/// Looks at the links: their lines are due by time, and not with a batch.
async fn look(worksite: &Worksite, stop: &CancellationToken) {
    while !stop.is_cancelled() {
        worksite.links.look(std::iter::empty(), &worksite.worker.peers, worksite.worker.clock.now());
        worksite.teller.links(worksite);
        wait_or(LINKS, stop).await;
    }
}

/// The words for one place, where they are said `again` so often.
fn telling(worksite: &Worksite, now: &Now, again: Option<Duration>) -> Option<Telling> {
    let Now { state: Some(state), since: Some(since), detail, next_look, peers_away } = now.clone() else {
        return None;
    };
    let Worker { rules, clock, .. } = &worksite.worker;
    let told = Told {
        state,
        since,
        detail,
        next_look,
        peers_away,
        auto_replay: worksite.owed.is_some(),
        bringing: worksite.owed.as_ref().and_then(|owed| owed.bringing.get()),
        backing_off: worksite.tally.backing_off(),
        again_ms: again.filter(|again| !again.is_zero()).and_then(|again| u32::try_from(again.as_millis()).ok()),
        instance: worksite.tally.instance().to_owned(),
    };
    let ahead = worksite.tally.skew().map_or(TimeDelta::zero(), |skew| skew.known());
    Telling::new(&rules.site, Uuid::now_v7(), clock.now(), ahead, &told)
        .inspect_err(|refusal| tracing::warn!(detail = refusal.detail, "the worker's state cannot be told"))
        .ok()
}

async fn put(worksite: &Worksite, now: &Now, again: Option<Duration>) -> Result<(), Arc<PortError>> {
    let Some(telling) = telling(worksite, now, again) else { return Ok(()) };
    worksite.worker.say(&telling.record(worksite.worker.clock.now()), OWN_LIMIT).await
}

/// Sends it to every peer, past its circuit; answers whether all of them took it.
async fn send(worksite: &Worksite, now: &Now, again: Option<Duration>) -> bool {
    let Some(telling) = telling(worksite, now, again) else { return true };
    let sends = worksite.worker.peers.iter().map(|peer| async {
        let message: Message = telling.message(Uuid::new_v4());
        let sent = tokio::time::timeout(PEERS_LIMIT, peer.queue.send(&[message])).await;
        sent.is_ok_and(|sent| sent.iter().all(Result::is_ok))
    });
    future::join_all(sends).await.into_iter().all(|reached| reached)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + second, 0).unwrap()
    }

    #[test]
    fn a_change_is_told_once_with_its_cause() {
        let teller = Teller::default();
        let changes = teller.now.subscribe();
        assert!(teller.tell_state(State::Working, None, at(0)));
        assert!(teller.tell_state(State::Halted, Some("denied"), at(1)));
        assert!(!teller.tell_state(State::Halted, Some("denied, still"), at(9)), "it is told already");
        let now = changes.borrow().clone();
        assert_eq!(
            (now.state, now.since, now.detail.as_deref()),
            (Some(State::Halted), Some(Since(at(1))), Some("denied"))
        );
        teller.tell_next_look(at(14));
        assert_eq!(changes.borrow().next_look, Some(Since(at(14))));
        assert!(teller.tell_state(State::Working, None, at(12)));
        assert_eq!((changes.borrow().detail.clone(), changes.borrow().next_look), (None, None));
    }
}
