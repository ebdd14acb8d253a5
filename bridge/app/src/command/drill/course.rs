//! The drill, step by step.

use std::{
    sync::{Arc, Mutex, atomic::Ordering},
    time::Duration,
};

use anyhow::{Context, bail};
use bridge_adapters::clock::SystemClock;
use bridge_core::{event::SiteId, port::Clock};
use bridge_ops::{
    drill::{Book, Course, Entry},
    lag::{
        Observer,
        report::{LagState, RecoveryPoint},
    },
};
use chrono::{DateTime, Utc};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::{
    Args,
    noticed::Noticed,
    operator::Operator,
    outage::Outage,
    watch::{self, Stores},
    writers::{Writers, open},
};

use crate::tell::tell;

/// Sends in a row that were not confirmed after which a site counts as failed. Ours: one may be an accident, as may two.
const FAILURES: u32 = 3;

/// How often the drill looks whether something has happened.
const LOOK: Duration = Duration::from_millis(200);

/// How often it looks as `bridge lag` does.
const LAG: Duration = Duration::from_secs(1);

/// How long writing goes on once the site is back.
const AFTER: Duration = Duration::from_secs(3);

/// From one replay to the next while something is still missing: a worker may have written letters meanwhile.
const REPLAY_EVERY: Duration = Duration::from_secs(5);

/// How long `bridge lag` may go on to find something once every site has everything.
const WELL_MAX: Duration = Duration::from_secs(60);

/// How long the drill's own records may take to go, at most.
const TIDY_MAX: Duration = Duration::from_secs(60);

/// A drill that is going on.
pub(super) struct Drill<'a> {
    pub(super) args: &'a Args,
    pub(super) sites: Vec<SiteId>,
    /// Where users of the failed site are sent.
    pub(super) survivor: SiteId,
    pub(super) outage: Outage,
    pub(super) observer: Arc<Observer>,
    pub(super) stores: Stores,
    pub(super) writers: Arc<Writers>,
    pub(super) operator: Operator,
    pub(super) stop: CancellationToken,
    pub(super) began_at: DateTime<Utc>,
    pub(super) timeline: Vec<(DateTime<Utc>, String)>,
    /// None until the site failed.
    pub(super) course: Option<Course>,
    /// When `bridge lag` named the trouble, and when it named none any more.
    pub(super) noticed: Noticed,
    /// What `bridge lag` said right before: what would be missing if the site vanished.
    pub(super) predicted: Option<RecoveryPoint>,
    /// What went wrong.
    pub(super) failures: Vec<String>,
    /// What is merely left to do.
    pub(super) owing: Vec<String>,
}

impl Drill<'_> {
    /// From the first write to the last that is everywhere. Whatever ends it early, the site is brought back.
    pub(super) async fn run(&mut self) -> anyhow::Result<()> {
        let (writing, watching) = (CancellationToken::new(), CancellationToken::new());
        let writers = tokio::spawn(Arc::clone(&self.writers).write(self.args.rate, writing.clone()));
        let watchers = watch::start(&self.stores, &self.writers.book, &watching);
        let went = self.go(&writing).await;
        writing.cancel();
        match &went {
            _ if self.stop.is_cancelled() && self.is_away() => {
                self.say("asked to stop: the site is brought back first; asked once more, it is not".to_owned());
            }
            _ if self.stop.is_cancelled() => self.say("asked to stop".to_owned()),
            Err(error) => self.say(format!("the drill ends early: {error:#}")),
            Ok(()) => {}
        }
        let brought_back = self.bring_back().await;
        let _ = writers.await;
        if brought_back.is_ok() && self.course.is_some() {
            self.settle_down().await;
        }
        watching.cancel();
        let _ = watchers.await;
        went.and(brought_back)
    }

    async fn go(&mut self, writing: &CancellationToken) -> anyhow::Result<()> {
        // 1. All is well, or nothing is made to fail.
        self.say(format!("users of {} sites write {} times a second each", self.sites.len(), self.args.rate));
        self.pause(self.args.steady()).await?;
        self.all_is_well()?;

        // 2. The site fails.
        let site = self.args.failing.clone();
        let before = self.observer.glance().await;
        self.predicted = before.sites.iter().find(|one| one.site == site.as_str()).map(|one| one.recovery_point);
        self.open_course(&site, SystemClock.now());
        let at_most = self.args.outage() + self.args.patience();
        let failed_at = self.outage.fail(&site, at_most, &self.stop).await;
        if failed_at.is_err() && self.outage.is_by_hand() {
            // Nobody said that it was done.
            self.course = None;
            self.failures
                .push(format!("if you have made {site} fail, BRING IT BACK now: the drill does not ask again"));
        }
        let failed_at = failed_at.context("the site was not made to fail")?;
        self.open_course(&site, failed_at);
        self.say(format!("{site} FAILS, {}", self.outage.words()));
        self.noticed.watch(&self.observer, &before, failed_at);
        if !self.args.trouble.moves_users() {
            while self.since_failure() < self.args.outage() {
                self.pause(LOOK).await?;
            }
            self.say(self.noticed.words());
            self.bring_back().await?;
            self.pause(AFTER).await?;
            writing.cancel();
            self.say("users stop writing".to_owned());
            return Ok(());
        }

        // 3. Somebody notices, and sends its users elsewhere.
        let how = self.noticed(&site).await?;
        let over = self.survivor.clone();
        self.writers.serve(&over);
        if let Some(course) = &mut self.course {
            course.failed_over_at = Some(SystemClock.now());
        }
        self.say(format!("noticed, as {how}; users of {site} are sent to {over}"));
        self.fail_over(&site).await?;

        // 4. The outage goes on, with work on the other side.
        while self.since_failure() < self.args.outage()
            || (!self.recovered() && self.since_failure() < self.args.patience())
        {
            self.pause(LOOK).await?;
        }
        if self.lacking(&site) {
            self.fail_over(&site).await?;
        }

        // 5. It comes back, and users go home.
        self.bring_back().await?;
        self.writers.serve(&site);
        self.pause(AFTER).await?;
        writing.cancel();
        self.say("users stop writing".to_owned());
        Ok(())
    }

    /// Brings what is owed until nothing is missing, or patience ends.
    async fn settle_down(&mut self) {
        let book = self.book();
        match self.missing_after(&book, self.args.patience()).await {
            0 => {
                self.say("every site has every confirmed write".to_owned());
                let returned = self.course.as_ref().and_then(|course| course.returned_at);
                self.noticed.end(&self.observer, returned, self.args.patience().min(WELL_MAX), &self.stop).await;
                if !self.stop.is_cancelled() {
                    self.say(self.noticed.last_words());
                }
            }
            missing if !self.stop.is_cancelled() => {
                self.say(format!("{missing} confirmed writes have not reached every site; not waiting any longer"));
            }
            _ => {}
        }
    }

    /// Waits until every site has shown all of `book`, and replays letters meanwhile; how much is missing after `limit`.
    async fn missing_after(&mut self, book: &Mutex<Book>, limit: Duration) -> usize {
        let began = SystemClock.now();
        let mut next_replay = began;
        loop {
            let missing = open(book).missing().count();
            let now = SystemClock.now();
            if missing == 0 || self.stop.is_cancelled() || (now - began).to_std().unwrap_or_default() > limit {
                return missing;
            }
            if !self.args.by_hand && now >= next_replay {
                if let Err(error) = self.replay_letters().await {
                    self.failures.push(format!("{error:#}"));
                }
                next_replay = SystemClock.now() + REPLAY_EVERY;
            }
            sleep(LOOK).await;
        }
    }

    /// Whether the site was made to fail, perhaps in vain, and is not back.
    fn is_away(&self) -> bool {
        self.course.as_ref().is_some_and(|course| course.returned_at.is_none())
    }

    /// Brings the site back, unless it is back or never failed.
    async fn bring_back(&mut self) -> anyhow::Result<()> {
        let Some(course) = self.course.as_mut().filter(|course| course.returned_at.is_none()) else { return Ok(()) };
        let site = course.failed_site.clone();
        self.outage.restore(&site, &self.stop).await.with_context(|| {
            format!(
                "{site} is STILL MADE TO FAIL, as bringing it back did not succeed ({}); do it by hand now",
                self.outage.words()
            )
        })?;
        let now = SystemClock.now();
        if let Some(course) = &mut self.course {
            course.returned_at = Some(now);
            self.noticed.unwatch();
        }
        self.say(format!("{site} is back"));
        Ok(())
    }

    /// Deletes the drill's own records.
    pub(super) async fn tidy(&mut self) {
        let (book, sent) = self.writers.delete_all(&self.survivor).await;
        let (book, done) = (Arc::new(Mutex::new(book)), CancellationToken::new());
        let watchers = watch::start(&self.stores, &book, &done);
        let missing = self.missing_after(&book, self.args.patience().min(TIDY_MAX)).await;
        done.cancel();
        let _ = watchers.await;
        self.say(match (sent, missing) {
            (Ok(()), 0) => "the drill's own records are deleted everywhere".to_owned(),
            (Ok(()), _) => {
                format!("{missing} of the drill's own records are not deleted everywhere yet; they do no harm")
            }
            (Err(error), _) => {
                format!("the drill's own records are not all deleted, {}; they do no harm", error.chain())
            }
        });
    }

    fn open_course(&mut self, site: &SiteId, failed_at: DateTime<Utc>) {
        self.course = Some(Course {
            failed_site: site.clone(),
            failed_at,
            failed_over_at: None,
            returned_at: None,
            late_after: self.args.late_after(),
        });
    }

    /// A site is only made to fail while writes go everywhere: a drill must not be what turns trouble into an outage.
    fn all_is_well(&self) -> anyhow::Result<()> {
        let book = open(&self.writers.book);
        let confirmed = book.entries().iter().filter(|entry| entry.confirmed_at().is_some()).count();
        let missing = book.missing().count();
        // What was written last may still be on its way.
        let young = SystemClock.now() - self.args.late_after().min(self.args.steady() / 2);
        let old = book.missing().filter(|entry| entry.written_at < young).count();
        if confirmed == 0 || old > 0 {
            bail!(
                "of {} writes {confirmed} were confirmed and {missing} of those have not reached every site, before anything was made to fail; nothing was made to fail. See `bridge lag` and `bridge doctor`",
                book.entries().len()
            );
        }
        Ok(())
    }

    /// Waits until the failure shows, to users or to who looks at the lag; says to whom.
    async fn noticed(&self, site: &SiteId) -> anyhow::Result<&'static str> {
        let users = async {
            while self.writers.failures.load(Ordering::Relaxed) < FAILURES {
                sleep(LOOK).await;
            }
        };
        let lag = async {
            loop {
                sleep(LAG).await;
                let report = self.observer.glance().await;
                if report.sites.iter().any(|one| one.site == site.as_str() && one.unreachable) {
                    return "bridge lag shows it as unreachable";
                }
                if report.lag.iter().any(|lag| lag.from == site.as_str() && lag.state == LagState::Silent) {
                    return "bridge lag shows it as silent";
                }
            }
        };
        tokio::select! {
            () = users => Ok("its users' writes fail"),
            how = lag => Ok(how),
            () = sleep(self.args.patience()) => {
                bail!("nobody noticed the failure within {} s: neither its users nor bridge lag", self.args.patience().as_secs())
            }
            () = self.stop.cancelled() => bail!(super::STOPPED),
        }
    }

    /// Whether a write of the failed site's users can be read elsewhere.
    fn recovered(&self) -> bool {
        let Some(course) = &self.course else { return false };
        open(&self.writers.book).entries().iter().any(|entry| {
            let moved = entry.home == course.failed_site && entry.event.origin != course.failed_site;
            moved && entry.seen_at.contains_key(&entry.event.origin)
        })
    }

    /// Whether the failed site confirmed something that no other one has.
    fn lacking(&self, site: &SiteId) -> bool {
        let book = open(&self.writers.book);
        let at_others = |entry: &Entry| entry.seen_at.keys().any(|one| one != site);
        book.missing().any(|entry| entry.event.origin == *site && !at_others(entry))
    }

    fn since_failure(&self) -> Duration {
        self.course.as_ref().and_then(|course| (SystemClock.now() - course.failed_at).to_std().ok()).unwrap_or_default()
    }

    async fn pause(&self, time: Duration) -> anyhow::Result<()> {
        tokio::select! {
            () = sleep(time) => Ok(()),
            () = self.stop.cancelled() => bail!(super::STOPPED),
        }
    }

    pub(super) fn say(&mut self, what: String) {
        let now = SystemClock.now();
        tell!("{:7.1} s  {what}", (now - self.began_at).as_seconds_f64());
        self.timeline.push((now, what));
    }

    pub(super) fn book(&self) -> Arc<Mutex<Book>> {
        Arc::clone(&self.writers.book)
    }
}
