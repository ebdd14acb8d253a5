//! Reads one store from end to end, several shares of it at the same time, and again where that may help.

use std::{
    future::Future,
    pin::pin,
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use chrono::TimeDelta;
use futures_util::{
    future::{self, Either},
    stream::{self, Stream, StreamExt, TryStreamExt},
};

use super::{Options, Trouble, Waiting};
use crate::replay::pace::Pace;
use bridge_core::{
    event::SiteId,
    failure::{PortError, Recovery},
    port::{Clock, Cursor, ForeignItem, Page, Scan},
    record::Record,
    reserved::RESERVED,
};

/// A call on a site that went wrong for good.
#[derive(Debug, thiserror::Error)]
#[error("{site} {doing}")]
pub struct Failed {
    /// The site.
    pub site: SiteId,
    /// What could not be done, for example `cannot be read`.
    pub doing: &'static str,
    /// Why.
    #[source]
    pub error: PortError,
}

/// Makes calls on stores, and again where that may help.
pub(super) struct Calls<'a> {
    pub(super) options: &'a Options,
    pub(super) clock: &'a dyn Clock,
    trouble: &'a (dyn Fn(&Trouble<'_>) + Send + Sync),
    rng: Mutex<fastrand::Rng>,
}

/// For how long a call may be silent before somebody is told. Ours: a healthy store answers a hundred times in it.
const PATIENCE: Duration = Duration::from_secs(2);

impl<'a> Calls<'a> {
    pub(super) fn new(
        options: &'a Options,
        clock: &'a dyn Clock,
        trouble: &'a (dyn Fn(&Trouble<'_>) + Send + Sync),
    ) -> Self {
        Self { options, clock, trouble, rng: Mutex::new(fastrand::Rng::with_seed(options.seed)) }
    }

    /// What a call on a site comes to, made again after a pause as long as that may help, and attempts and time last.
    pub(super) async fn again<T, F>(&self, site: &SiteId, mut call: impl FnMut() -> F) -> Result<T, PortError>
    where
        F: Future<Output = Result<T, PortError>>,
    {
        let begun = self.clock.now();
        let give_up = TimeDelta::from_std(self.options.give_up).unwrap_or(TimeDelta::MAX);
        let mut attempt = 1;
        loop {
            let (answer, silent) = self.patiently(site, attempt, call()).await;
            let error = match answer {
                Ok(value) => {
                    if silent || attempt > 1 {
                        self.tell(site, attempt, Waiting::Over);
                    }
                    return Ok(value);
                }
                Err(error) => error,
            };
            let last = attempt >= self.options.attempts_max || self.clock.now() - begun >= give_up;
            if error.kind.recovery() != Recovery::Retry || last {
                return Err(error);
            }
            let delay = self.options.backoff.delay(attempt, error.kind.retry_after(), &mut lock(&self.rng));
            self.tell(site, attempt, Waiting::ForNext { delay, error: &error });
            self.clock.sleep(delay).await;
            attempt += 1;
        }
    }

    /// What a call comes to, and whether it was silent for so long that that was told, again and again until it ended.
    async fn patiently<T>(&self, site: &SiteId, attempt: u32, call: impl Future<Output = T>) -> (T, bool) {
        let mut call = pin!(call);
        let mut silent = Duration::ZERO;
        loop {
            match future::select(call, self.clock.sleep(PATIENCE)).await {
                Either::Left((answer, _)) => return (answer, !silent.is_zero()),
                Either::Right(((), pending)) => call = pending,
            }
            silent += PATIENCE;
            self.tell(site, attempt, Waiting::ForAnswer { silent });
        }
    }

    fn tell(&self, site: &SiteId, attempt: u32, waiting: Waiting<'_>) {
        (self.trouble)(&Trouble { site, attempt, attempts_max: self.options.attempts_max, waiting });
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("nothing panics while it holds the lock")
}

/// Reads one site's store.
pub(super) struct Reader<'a> {
    site: &'a SiteId,
    scan: &'a dyn Scan,
    calls: &'a Calls<'a>,
    pace: Mutex<Pace>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(site: &'a SiteId, scan: &'a dyn Scan, calls: &'a Calls<'a>) -> Self {
        Self { site, scan, calls, pace: Mutex::new(Pace::new(calls.options.rate)) }
    }

    /// Every item of the store, portion by portion; the bridge's own keys are left out. As much is held at a time as one
    /// portion of each share.
    pub(super) fn portions(&self) -> impl Stream<Item = Result<Vec<Result<Record, ForeignItem>>, Failed>> + Send {
        let failed = |error| Failed { site: self.site.clone(), doing: "cannot be read", error };
        let wanted = self.calls.options.segments;
        stream::once(self.calls.again(self.site, move || self.scan.segments(wanted)))
            .map_ok(move |firsts| {
                let shares: Vec<_> = firsts.into_iter().map(|first| self.share(first).boxed()).collect();
                stream::iter(shares).flatten_unordered(wanted)
            })
            .try_flatten()
            .map_err(failed)
    }

    fn share(&self, first: Cursor) -> impl Stream<Item = Result<Vec<Result<Record, ForeignItem>>, PortError>> + Send {
        stream::try_unfold(Some(first), move |from| async move {
            let Some(from) = from else { return Ok(None) };
            let Page { mut items, next } = self.calls.again(self.site, || self.scan.page(&from)).await?;
            // How many there are is known afterwards only, so it is the next portion that waits for this one's time.
            let wait = lock(&self.pace).wait(items.len(), self.calls.clock.now());
            if wait > Duration::ZERO {
                self.calls.clock.sleep(wait).await;
            }
            items.retain(|item| !name(item).starts_with(RESERVED));
            Ok(Some((items, next)))
        })
    }
}

fn name(item: &Result<Record, ForeignItem>) -> &str {
    item.as_ref().map_or_else(|foreign| foreign.name.as_str(), |record| record.key.as_str())
}
