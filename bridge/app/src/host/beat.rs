//! A container's heartbeats: at regular times, and at once where the last ones say what is no longer so. Whoever looks sees the end of a trouble
//! within seconds.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use bridge_core::{
    circuit::CircuitState,
    event::SiteId,
    failure::PortError,
    port::{Use, Write, within},
    reserved,
    retry::Backoff,
    worker::Verdict,
};
use chrono::TimeDelta;
use futures_util::future;
use tokio_util::sync::CancellationToken;

use super::{container::wait_or, send_heartbeat};
use crate::{
    assemble::Worksite,
    telemetry::outage::{Line, Outage},
};

/// The least time between two looks at the service's clock while there is doubt about one's own.
const CLOCK_PAUSE: Duration = Duration::from_millis(100);
/// The least time between two heartbeats. Ours: what they say is never older than that plus its way.
const PAUSE: Duration = Duration::from_secs(2);
/// A heartbeat that took longer was held up by a trouble, and the next one says whether that is over. Ours: half of the lag that is a finding.
const LATE: TimeDelta = TimeDelta::seconds(5);
/// Between two questions to a peer whose circuit is open, at first and at most: it may answer questions and take nothing.
const ASK: Backoff = Backoff { base: Duration::from_secs(1), max: Duration::from_secs(30) };
/// How long a peer may take to answer one.
const ANSWER_MAX: Duration = Duration::from_secs(2);

/// Sends the site's heartbeat, at once, then `every` so often, and when somebody asks for one; never if that is zero.
pub(super) async fn beat(worksite: &Worksite, every: Duration, stop: &CancellationToken) {
    let unsent = Outage::default();
    while !every.is_zero() && !stop.is_cancelled() {
        let sent = async {
            worksite.tally.look_at_clock(&worksite.worker).await;
            send_heartbeat(worksite).await
        };
        // A service that hangs does not hold the end up.
        tokio::select! {
            () = stop.cancelled() => return,
            sent = sent => tell(&unsent, sent),
        }
        let ask = async {
            while worksite.tally.doubts_clock() {
                tokio::time::sleep(CLOCK_PAUSE).await;
                worksite.tally.look_at_clock(&worksite.worker).await;
            }
            future::pending::<()>().await;
        };
        let urged = async {
            tokio::time::sleep(PAUSE).await;
            worksite.teller.beat.notified().await;
        };
        tokio::select! {
            () = wait_or(every, stop) => {}
            () = ask => {}
            () = urged => {}
        }
    }
}

/// The log's lines of heartbeats that the site's own queue does not take.
fn tell(unsent: &Outage, sent: Result<(), PortError>) {
    let Err(error) = sent else {
        if let Some((seconds, failures)) = unsent.ended(Instant::now()) {
            tracing::info!(seconds, failures, "heartbeats are sent again");
        }
        return;
    };
    let error = error.chain();
    match unsent.failed(Instant::now()) {
        Line::Begins => tracing::warn!(error, "no heartbeat was sent"),
        Line::Lasts { seconds, failures } => tracing::warn!(error, seconds, failures, "no heartbeat was sent still"),
        Line::None => tracing::debug!(error, "no heartbeat was sent"),
    }
}

/// Takes in what came: a peer that says its state anew waits for a heartbeat, and one that was late is followed by another. A worker asks for
/// its peers' heartbeats by saying its own state again.
pub(super) fn heard<'a>(worksite: &Worksite, concluded: impl Iterator<Item = &'a Verdict>) {
    let own = &worksite.worker.rules.site;
    let ahead = worksite.tally.skew().map_or(TimeDelta::zero(), |skew| skew.known());
    for verdict in concluded {
        let (Some((key, version)), Some(Write::Applied { .. })) = (&verdict.event, &verdict.write) else { continue };
        // Asked of every event: an origin is read for the bridge's own alone.
        if !key.as_str().starts_with(reserved::RESERVED) {
            continue;
        }
        let origin = version.origin();
        let late = || worksite.worker.clock.now() - ahead - version.timestamp() > LATE;
        if reserved::is_state(key, &origin) {
            worksite.teller.beat.notify_one();
        } else if reserved::is_heartbeat(key, &origin) && late() {
            if origin == *own { worksite.teller.beat.notify_one() } else { worksite.teller.tell_again() }
        }
    }
}

/// Asks the peers whose circuits are open whether they answer. The heartbeat is a try for one that does: without it an idle worker would learn
/// nothing of its return.
pub(super) async fn ask_peers(worksite: &Worksite, stop: &CancellationToken) {
    let mut asked: BTreeMap<&SiteId, (u32, Instant)> = BTreeMap::new();
    while !stop.is_cancelled() {
        wait_or(ASK.base, stop).await;
        let (worker, now) = (&worksite.worker, Instant::now());
        let open: Vec<_> = worker.peers.iter().filter(|peer| peer.circuit() != CircuitState::Closed).collect();
        asked.retain(|site, _| open.iter().any(|peer| peer.site == **site));
        let due = open.iter().filter(|peer| asked.get(&peer.site).is_none_or(|(_, next)| *next <= now));
        let answers = due.map(|peer| async {
            let answer = within(&*worker.clock, ANSWER_MAX, peer.queue.probe(Use::Send)).await;
            (*peer, matches!(answer, Some(Ok(()))))
        });
        for (peer, _) in future::join_all(answers).await.into_iter().filter(|(_, answered)| *answered) {
            peer.hope(worker.clock.now());
            worksite.teller.beat.notify_one();
            let (tries, next) = asked.entry(&peer.site).or_insert((0, now));
            *next = Instant::now() + worker.with_rng(|rng| ASK.pause(*tries, rng));
            *tries += 1;
        }
    }
}
