//! Looks at every site at the same time, each look within a bound of its own: a dark site delays none of the others.

use std::{collections::BTreeMap, future::Future, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use futures_util::future;

use super::{
    assess::assess,
    letters::{Letters, in_time},
    report::{DeadLetters, Report},
};
use bridge_core::{
    conflict::{Conflict, ledger_key},
    event::SiteId,
    failure::PortError,
    heartbeat::Heard,
    limits::CONFLICTS_KEPT,
    port::{Clock, Depth, QueueDepth, Store},
    reserved, state,
};

/// What is looked at of one site.
#[derive(Debug)]
pub struct Watched {
    /// Its queue.
    pub queue: Arc<dyn Depth>,
    /// Its dead letters: the bridge's own, and the broker's.
    pub dead_letters: Vec<Letters>,
    /// Its store.
    pub store: Arc<dyn Store>,
}

/// Looks at every site.
#[derive(Debug)]
pub struct Observer {
    /// Every configured site.
    pub sites: BTreeMap<SiteId, Watched>,
    /// The time of this machine.
    pub clock: Arc<dyn Clock>,
    /// How long to wait for an answer. Giving back letters that were taken to be read may take as long again.
    pub limit: Duration,
}

/// What was seen of a site.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) queue: Result<QueueDepth, PortError>,
    pub(super) letters: Result<DeadLetters, PortError>,
    /// The last heartbeat of every site in this site's store; none where there never was one.
    pub(super) heard: Result<BTreeMap<SiteId, Heard>, PortError>,
    /// The last that each site's worker said of its state, in this site's store.
    pub(super) told: BTreeMap<SiteId, state::Heard>,
    /// What else went wrong.
    pub(super) trouble: Vec<PortError>,
}

impl Observer {
    /// Looks once. `conflicts`: whether to read the ledgers of conflicts too, which takes [`CONFLICTS_KEPT`] reads a site.
    ///
    /// # Cancel safety
    /// Dead letters that are being read when it is dropped stay hidden for a while, where a queue takes what it shows.
    pub async fn look(&self, conflicts: bool) -> Report {
        self.look_at(true, conflicts).await
    }

    /// Looks once, counts dead letters and reads none: nobody is in anybody's way. Dropping it anywhere does no harm.
    pub async fn glance(&self) -> Report {
        self.look_at(false, false).await
    }

    /// Messages at each site that may still bring a store what it lacks: in its queue in any state, or set aside; none where they cannot be
    /// counted. Reads no store.
    ///
    /// # Cancel safety
    /// As [`Self::look`].
    pub async fn may_mend(&self) -> BTreeMap<String, Option<u64>> {
        let sites = self.sites.iter().map(|(site, watched)| async {
            let letters = watched.dead_letters.iter().map(|letters| letters.look(&*self.clock, self.limit));
            let queue = self.within("queue", watched.queue.depth());
            let (queue, letters) = future::join(queue, future::join_all(letters)).await;
            let letters = letters.into_iter().map(|one| Some(one.ok()?.0)).map(|one| Some(one?.may_mend()));
            let letters: Option<u64> = letters.sum();
            (site.to_string(), queue.ok().zip(letters).map(|(queue, letters)| queue.messages() + letters))
        });
        future::join_all(sites).await.into_iter().collect()
    }

    async fn look_at(&self, reasons: bool, conflicts: bool) -> Report {
        // Ages count from here: a store that answers late must not make what was read before it look old.
        let begun = self.clock.now();
        let looks = self.sites.iter().map(|(site, watched)| async {
            let (seen, found) = future::join(self.site(watched, reasons), async {
                if conflicts { self.conflicts(site, watched).await } else { Vec::new() }
            })
            .await;
            (site.clone(), seen, found)
        });
        let looked = future::join_all(looks).await;
        let mut found = Vec::new();
        let mut seen = BTreeMap::new();
        for (site, one, conflicts) in looked {
            found.extend(conflicts.into_iter().map(|conflict| (site.clone(), conflict)));
            seen.insert(site, one);
        }
        assess(&seen, found, begun)
    }

    async fn site(&self, watched: &Watched, reasons: bool) -> Seen {
        let mut trouble = Vec::new();
        let letters = watched.dead_letters.iter().map(|letters| async move {
            if reasons {
                return letters.look(&*self.clock, self.limit).await;
            }
            let messages = self.within("dead letters", letters.count()).await?;
            Ok((DeadLetters { messages, unread: messages, ..DeadLetters::default() }, None))
        });
        let heard = self.sites.keys().map(|site| self.within("store", self.heard(site, &*watched.store)));
        let (queue, letters, heard) = future::join3(
            self.within("queue", watched.queue.depth()),
            future::join_all(letters),
            future::join_all(heard),
        )
        .await;
        let letters = letters.into_iter().try_fold(DeadLetters::default(), |mut sum, one| {
            let (one, unread) = one?;
            trouble.extend(unread);
            sum.messages += one.messages;
            sum.unread += one.unread;
            for (all, some) in [(&mut sum.by_reason, one.by_reason), (&mut sum.owed_by_reason, one.owed_by_reason)] {
                for (reason, count) in some {
                    *all.entry(reason).or_default() += count;
                }
            }
            Ok(sum)
        });
        let read: Result<Vec<_>, _> = heard.into_iter().collect();
        let (mut heard, mut told) = (BTreeMap::new(), BTreeMap::new());
        let heard = read.map(|read| {
            for (site, (beat, state)) in self.sites.keys().zip(read) {
                heard.extend(beat.map(|beat| (site.clone(), beat)));
                told.extend(state.map(|state| (site.clone(), state)));
            }
            heard
        });
        Seen { queue, letters, heard, told, trouble }
    }

    /// The last heartbeat of a site, and the last that its worker said of its state.
    async fn heard(
        &self,
        site: &SiteId,
        store: &dyn Store,
    ) -> Result<(Option<Heard>, Option<state::Heard>), PortError> {
        let (heartbeat, state) = (reserved::heartbeat(site), reserved::state(site));
        let (beat, state) = future::try_join(store.get(&heartbeat), store.get(&state)).await?;
        Ok((beat.as_ref().and_then(Heard::read), state.as_ref().and_then(state::Heard::read)))
    }

    /// What the ledger of a site holds. One that cannot be read is empty: the store's trouble is told of already.
    async fn conflicts(&self, site: &SiteId, watched: &Watched) -> Vec<(Conflict, DateTime<Utc>)> {
        let places: Vec<_> = (0..CONFLICTS_KEPT).map(|slot| ledger_key(site, slot)).collect();
        let reads = places.iter().map(|key| watched.store.get(key));
        let read = self.within("store", async { future::try_join_all(reads).await }).await;
        read.unwrap_or_default().iter().flatten().filter_map(Conflict::read).collect()
    }

    async fn within<T>(&self, what: &str, look: impl Future<Output = Result<T, PortError>>) -> Result<T, PortError> {
        in_time(&*self.clock, self.limit, what, look).await
    }
}
