//! Fills one store from another: every record, tombstones included, by the same conditional write as every worker's. So
//! it is safe while traffic runs, and is gone on with by running it again.

use std::{fmt, pin::pin, sync::Mutex, time::Duration};

use futures_util::stream::{self, StreamExt, TryStreamExt};
use serde::Serialize;

use super::{
    Options, Trouble,
    finding::{is_ahead, may_be_gone, misfit},
    reader::{Calls, Failed, Reader, lock},
    repair::brought,
};
use crate::replay::pace::Pace;
use bridge_core::{
    event::SiteId,
    failure::{PortError, Recovery},
    port::{Clock, Scan, Store, Write},
    record::Record,
};

/// Fills the store of one site from another's.
pub struct Backfill<'a> {
    /// The site that has the records, and its store.
    pub from: (&'a SiteId, &'a dyn Scan),
    /// The site that is to have them, and its store.
    pub to: (&'a SiteId, &'a dyn Store),
    /// The time of this machine.
    pub clock: &'a dyn Clock,
    /// How to go about it.
    pub options: &'a Options,
    /// Whether to look only.
    pub dry_run: bool,
    /// Hears how many records were dealt with.
    pub note: &'a (dyn Fn(usize) + Send + Sync),
    /// Hears of stores that do not answer.
    pub trouble: &'a (dyn Fn(&Trouble<'_>) + Send + Sync),
}

/// What a backfill came to.
#[derive(Debug, Default, Serialize)]
pub struct Filled {
    /// Records that were read.
    pub read: u64,
    /// Those that were written; that would be, where nothing was to be written.
    pub written: u64,
    /// Those that the target had, or something later.
    pub kept: u64,
    /// Tombstones whose life has ended, of keys that the target has nothing of: nobody needs them there.
    pub expired: u64,
    /// What is no record of the bridge, or contradicts itself, and so was left out.
    pub foreign: u64,
    /// Records that are stamped further ahead than any worker takes an event: they would win until that time comes.
    pub ahead: u64,
    /// Records that the target refused for themselves.
    pub refused: u64,
    /// Names of the last three kinds with the reason, as many as are listed.
    pub left_out: Vec<LeftOut>,
}

/// An item that was left out.
#[derive(Clone, Debug, Serialize)]
pub struct LeftOut {
    /// Its key.
    pub key: String,
    /// Why.
    pub why: String,
}

enum Done {
    Written,
    Kept,
    Expired,
    Foreign(LeftOut),
    Ahead(LeftOut),
    Refused(LeftOut),
}

impl fmt::Debug for Backfill<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, to, dry_run, .. } = self;
        f.debug_struct("Backfill").field("from", from).field("to", to).field("dry_run", dry_run).finish_non_exhaustive()
    }
}

impl Backfill<'_> {
    /// Does it; `filled` says at any moment what was done so far.
    ///
    /// # Errors
    /// If one of the stores cannot be read or written, however often it is tried.
    ///
    /// # Cancel safety
    /// Dropping it anywhere loses nothing; a write that is under way is done or not.
    pub async fn run_into(&self, filled: &mut Filled) -> Result<(), Failed> {
        let calls = Calls::new(self.options, self.clock, self.trouble);
        let reader = Reader::new(self.from.0, self.from.1, &calls);
        let mut portions = pin!(reader.portions());
        // The reading keeps the rate from portion to portion; the writing keeps it from record to record.
        let pace = Mutex::new(Pace::new(self.options.rate));
        while let Some(items) = portions.try_next().await? {
            let items = items.into_iter().map(|item| {
                let (calls, pace) = (&calls, &pace);
                async move {
                    let wait = lock(pace).wait(1, self.clock.now());
                    if wait > Duration::ZERO {
                        self.clock.sleep(wait).await;
                    }
                    match item {
                        Ok(record) => self.bring(calls, &record).await,
                        Err(item) => Ok(Done::Foreign(LeftOut { key: item.name, why: item.what })),
                    }
                }
            });
            let mut items = pin!(stream::iter(items).buffer_unordered(self.options.concurrent));
            while let Some(done) = items.try_next().await? {
                filled.add(done, self.options.findings_max);
                (self.note)(1);
            }
        }
        Ok(())
    }

    async fn bring(&self, calls: &Calls<'_>, record: &Record) -> Result<Done, Failed> {
        let key = || record.key.to_string();
        if let Some(why) = misfit(record) {
            return Ok(Done::Foreign(LeftOut { key: key(), why }));
        }
        if is_ahead(record, self.clock.now(), self.options.future_max) {
            let why = format!(
                "its timestamp, {}, is ahead: it would win until that time comes; docs/verify.md",
                record.timestamp
            );
            return Ok(Done::Ahead(LeftOut { key: key(), why }));
        }
        match self.compare_and_write(calls, record).await {
            Ok(done) => Ok(done),
            Err((_, error)) if error.kind.recovery() == Recovery::DeadLetter => {
                Ok(Done::Refused(LeftOut { key: key(), why: error.chain() }))
            }
            Err((doing, error)) => Err(Failed { site: self.to.0.clone(), doing, error }),
        }
    }

    /// What becomes of a record at the target; or what could not be done there, and why.
    async fn compare_and_write(&self, calls: &Calls<'_>, record: &Record) -> Result<Done, (&'static str, PortError)> {
        let (site, store) = self.to;
        let now = self.clock.now();
        // A tombstone that has had its time is good for one thing only: to end an older write that is still there.
        let gone = may_be_gone(record, now);
        if gone || self.dry_run {
            let held = calls.again(site, || store.get(&record.key)).await.map_err(|error| ("cannot be read", error))?;
            match held {
                None if gone => return Ok(Done::Expired),
                Some(held) if held.version >= record.version => return Ok(Done::Kept),
                _ if self.dry_run => return Ok(Done::Written),
                _ => {}
            }
        }
        let record = brought(record, site, now);
        let outcome = calls.again(site, || store.put_if_newer(&record)).await;
        match outcome.map_err(|error| ("cannot be written", error))? {
            Write::Applied { .. } => Ok(Done::Written),
            Write::Superseded { .. } | Write::Duplicate => Ok(Done::Kept),
        }
    }
}

impl Filled {
    /// All that was left out.
    pub fn left_out_all(&self) -> u64 {
        self.foreign + self.ahead + self.refused
    }

    fn add(&mut self, done: Done, listed_max: usize) {
        self.read += 1;
        let left_out = match done {
            Done::Written => return self.written += 1,
            Done::Kept => return self.kept += 1,
            Done::Expired => return self.expired += 1,
            Done::Foreign(left_out) => {
                self.foreign += 1;
                left_out
            }
            Done::Ahead(left_out) => {
                self.ahead += 1;
                left_out
            }
            Done::Refused(left_out) => {
                self.refused += 1;
                left_out
            }
        };
        if self.left_out.len() < listed_max {
            self.left_out.push(left_out);
        }
    }
}
