//! What `bridge lag` shows at one instant, held against what lies in the queues.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bridge_core::{
    port::{Clock, Depth, Properties, Queue, Store},
    property,
};
use bridge_ops::{
    lag::{Letters, Observer, Reasons, Report, Watched, report::LagState},
    replay::subject::Holds,
};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::FutureExt;

use crate::{
    books::{Kind, Place, State},
    checkers::Checker,
    host::HostKind,
    site::Site,
    world::World,
};

/// How long a look waits for an answer; memory answers at once.
const LIMIT: Duration = Duration::from_secs(5);

/// Looks at all sites, and holds the report against the truth.
pub(crate) fn read(world: &World, hosts: &[HostKind]) {
    let watched = |site: &Site| {
        let letters = || Arc::clone(&site.letters);
        let reasons = Reasons::Read { queue: letters() as Arc<dyn Queue>, holds: Holds::Letters };
        Watched {
            queue: Arc::clone(&site.queue) as Arc<dyn Depth>,
            dead_letters: vec![Letters::new(letters() as Arc<dyn Depth>, reasons)],
            store: Arc::clone(&site.store) as Arc<dyn Store>,
        }
    };
    let sites = world.sites.values().map(|site| (site.id.clone(), watched(site))).collect();
    let observer = Observer { sites, clock: Arc::clone(&world.clock) as Arc<dyn Clock>, limit: LIMIT };
    let report = observer.look(false).now_or_never().expect("memory answers at once");
    let mut state = world.books.open();
    state.trace.line(|| "operator looks how far behind the sites are".to_owned());
    for what in wrong(world, &state, &report, hosts) {
        state.violate(Checker::Told, what);
    }
}

fn wrong(world: &World, state: &State, report: &Report, hosts: &[HostKind]) -> Vec<String> {
    let mut wrong = Vec::new();
    for (site, told) in world.sites.values().zip(&report.sites) {
        let (queue, letters) = (site.queue.snapshot(), site.letters.snapshot());
        let waiting = told.queued();
        if waiting != Some(queue.len() as u64) {
            wrong.push(format!("{site} tells of {waiting:?} messages, and has {}", queue.len()));
        }
        let by = |counts: fn(&Properties) -> bool| {
            let mut reasons: BTreeMap<String, u64> = BTreeMap::new();
            for (_, properties) in letters.iter().filter(|(_, properties)| counts(properties)) {
                *reasons.entry(properties.get(property::REASON).cloned().unwrap_or_default()).or_default() += 1;
            }
            reasons
        };
        let (all, owed) = (by(|_| true), by(|properties| properties.contains_key(property::OWED)));
        let right = told.dead_letters.as_ref().is_some_and(|told| {
            told.messages == letters.len() as u64 && told.by_reason == all && told.owed_by_reason == owed
        });
        if !right {
            let told = &told.dead_letters;
            wrong.push(format!("{site} tells of the letters {told:?}, and has {all:?}, of which are owed {owed:?}"));
        }
        if told.recovery_point.events != Some((queue.len() + letters.len()) as u64) {
            wrong.push(format!("{site} would lose {:?} events", told.recovery_point.events));
        }
        // The copies that a function makes of a message come into its queue behind the books' back.
        let copied = hosts[site.number] == HostKind::Function;
        let place = Place { site: site.number, kind: Kind::Queue };
        wrong.extend(wrong_age(state, place, &queue, told.oldest_age_seconds, copied));
    }
    // No worker of these worlds sends a heartbeat.
    let heard = report.lag.iter().filter(|lag| lag.state != LagState::Never || lag.seconds.is_some());
    wrong.extend(heard.map(|lag| format!("{} heard of {}, which never sent", lag.to, lag.from)));
    wrong
}

/// Whether the oldest message is as old as is told. Where a message came more than once, which of them is left is not known.
fn wrong_age(
    state: &State,
    place: Place,
    queue: &[(Bytes, Properties)],
    told: Option<f64>,
    copied: bool,
) -> Option<String> {
    let came = queue.iter().map(|(body, _)| state.came.get(&(place, state.fact_of(body)?)).copied());
    let came: Vec<(DateTime<Utc>, DateTime<Utc>)> = came.collect::<Option<_>>()?;
    let age = |at: DateTime<Utc>| (state.now() - at).as_seconds_f64();
    let oldest = came.iter().map(|(first, _)| age(*first)).reduce(f64::max);
    let youngest = came.iter().map(|(_, last)| age(*last)).reduce(f64::max).map(|age| if copied { 0.0 } else { age });
    let right = match (told, oldest, youngest) {
        (None, None, None) => true,
        // Told in whole milliseconds.
        (Some(told), Some(oldest), Some(youngest)) => (youngest - 0.001..=oldest + 0.001).contains(&told),
        _ => false,
    };
    (!right).then(|| format!("{place:?} tells of {told:?} s, and its oldest message came {oldest:?} s ago"))
}
