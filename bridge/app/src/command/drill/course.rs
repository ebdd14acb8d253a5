//! The drill, step by step.

use std::{
    collections::BTreeSet,
    path::Path,
    sync::{Arc, Mutex, atomic::Ordering},
    time::Duration,
};

use anyhow::{Context, bail};
use bridge_adapters::clock::SystemClock;
use bridge_core::{
    drill::{Book, Course, Entry},
    event::SiteId,
    lag::{
        Observer,
        report::{LagState, RecoveryPoint},
    },
    port::Clock,
};
use chrono::{DateTime, SecondsFormat, Utc};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    Args,
    operator::{Done, Operator},
    outage::Outage,
    watch::{self, Stores},
    writers::{Writers, open},
};

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

/// How long the drill's own records may take to go, at most.
const TIDY_MAX: Duration = Duration::from_secs(60);

/// A drill that is going on.
pub(super) struct Drill<'a> {
    pub(super) args: &'a Args,
    pub(super) sites: Vec<SiteId>,
    pub(super) outage: Outage,
    pub(super) observer: Observer,
    pub(super) stores: Stores,
    pub(super) writers: Arc<Writers>,
    pub(super) operator: Operator,
    pub(super) stop: CancellationToken,
    pub(super) began_at: DateTime<Utc>,
    pub(super) timeline: Vec<(DateTime<Utc>, String)>,
    /// None until the site failed.
    pub(super) course: Option<Course>,
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
        let watchers = tokio::spawn({
            let (stores, book, stop) = (self.stores.clone(), Arc::clone(&self.writers.book), watching.clone());
            async move { watch::watch(&stores, &book, &stop).await }
        });
        let went = self.go(&writing).await;
        writing.cancel();
        let brought_back = self.bring_back().await;
        let _ = writers.await;
        if went.is_ok() {
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
        let before = self.observer.look(false).await;
        self.predicted = before.sites.iter().find(|one| one.site == site.as_str()).map(|one| one.recovery_point);
        self.open_course(&site, SystemClock.now());
        let failed_at = self.outage.fail(&site, self.args.outage() + self.args.patience()).await;
        self.open_course(&site, failed_at.context("the site was not made to fail")?);
        self.say(format!("{site} FAILS, {}", self.outage.words(&site)));

        // 3. Somebody notices, and sends its users elsewhere.
        let how = self.noticed(&site).await?;
        let over = self.sites.iter().find(|one| **one != site).context("another site")?.clone();
        self.writers.serve(&over);
        if let Some(course) = &mut self.course {
            course.noticed_at = Some(SystemClock.now());
            course.failed_over_at = course.noticed_at;
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
        let began = SystemClock.now();
        let mut next_replay = began;
        loop {
            let missing = open(&self.writers.book).missing().count();
            let waited = (SystemClock.now() - began).to_std().unwrap_or_default();
            if missing == 0 {
                return self.say("every site has every confirmed write".to_owned());
            }
            if waited > self.args.patience() || self.stop.is_cancelled() {
                return self
                    .say(format!("{missing} confirmed writes have not reached every site; not waiting any longer"));
            }
            if !self.args.by_hand && SystemClock.now() >= next_replay {
                if let Err(error) = self.replay_letters().await {
                    self.failures.push(format!("{error:#}"));
                }
                next_replay = SystemClock.now() + REPLAY_EVERY;
            }
            sleep(LOOK).await;
        }
    }

    /// What is missing of the failed site is brought to the others, if its queue can be read.
    async fn fail_over(&mut self, site: &SiteId) -> anyhow::Result<()> {
        if self.args.by_hand {
            return Ok(());
        }
        let report = self.observer.look(false).await;
        let waiting = report.sites.iter().find(|one| one.site == site.as_str()).and_then(|one| one.backlog_messages);
        if waiting.is_none_or(|messages| messages == 0) {
            return Ok(());
        }
        for survivor in self.sites.clone().iter().filter(|one| *one != site) {
            let (from, to) = (format!("{site}/queue"), format!("{survivor}/store"));
            let done = self.operator.run(&["replay", "--from", &from, "--to", &to, "--yes"]).await?;
            self.say_done(&done);
        }
        Ok(())
    }

    /// Letters that were written since the drill began go to whom they are owed.
    async fn replay_letters(&mut self) -> anyhow::Result<()> {
        let report = self.observer.look(false).await;
        let since = self.began_at.to_rfc3339_opts(SecondsFormat::Millis, true);
        for site in report.sites {
            if site.dead_letters.is_none_or(|letters| letters.messages == 0) {
                continue;
            }
            let from = format!("{}/dlq", site.site);
            let done =
                self.operator.run(&["replay", "--from", &from, "--to", "owed", "--since", &since, "--yes"]).await?;
            self.say_done(&done);
        }
        Ok(())
    }

    /// The events that dead letters hold.
    pub(super) async fn letters(&mut self, folder: &Path) -> anyhow::Result<BTreeSet<Uuid>> {
        let mut events = BTreeSet::new();
        for site in self.sites.clone() {
            let (from, file) = (format!("{site}/dlq"), folder.join(format!("{}.plan", site.cloud())));
            let plan = file.display().to_string();
            let done =
                self.operator.run(&["replay", "--from", &from, "--to", "owed", "--dry-run", "--plan", &plan]).await?;
            if done.exit_code != Some(0) {
                bail!("the dead letters of {site} cannot be listed: {}", done.complaint.unwrap_or_default());
            }
            let lines = std::fs::read_to_string(&file).with_context(|| plan.clone())?;
            let event = |line: &str| {
                let entry: serde_json::Value = serde_json::from_str(line).ok()?;
                entry["event_id"].as_str()?.parse::<Uuid>().ok()
            };
            events.extend(lines.lines().filter_map(event));
        }
        Ok(events)
    }

    /// Brings the site back, unless it is back or never failed.
    async fn bring_back(&mut self) -> anyhow::Result<()> {
        let Some(course) = self.course.as_mut().filter(|course| course.returned_at.is_none()) else { return Ok(()) };
        let site = course.failed_site.clone();
        self.outage.restore(&site).await.with_context(|| {
            format!(
                "{site} is STILL MADE TO FAIL, as bringing it back did not succeed ({}); do it by hand now",
                self.outage.words(&site)
            )
        })?;
        let now = SystemClock.now();
        if let Some(course) = &mut self.course {
            course.returned_at = Some(now);
        }
        self.say(format!("{site} is back"));
        Ok(())
    }

    /// Deletes the drill's own records.
    pub(super) async fn tidy(&mut self) {
        let site = self.sites.iter().find(|site| **site != self.args.failing).cloned();
        let Some(site) = site else { return };
        let (book, sent) = self.writers.delete_all(&site).await;
        let book = Arc::new(Mutex::new(book));
        let stop = CancellationToken::new();
        let gone = async {
            while open(&book).missing().next().is_some() {
                sleep(LOOK).await;
            }
            stop.cancel();
        };
        let limit = self.args.patience().min(TIDY_MAX);
        let in_time =
            tokio::time::timeout(limit, async { tokio::join!(watch::watch(&self.stores, &book, &stop), gone) });
        let left = match (sent, in_time.await) {
            (Ok(()), Ok(_)) => return self.say("the drill's own records are deleted everywhere".to_owned()),
            (Err(error), _) => error.chain(),
            (Ok(()), Err(_)) => format!("not seen at every site within {} s", limit.as_secs()),
        };
        self.say(format!("the drill's own records are not all deleted, {left}; they do no harm"));
    }

    fn open_course(&mut self, site: &SiteId, failed_at: DateTime<Utc>) {
        self.course = Some(Course {
            failed_site: site.clone(),
            failed_at,
            noticed_at: None,
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
                let report = self.observer.look(false).await;
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

    fn say_done(&mut self, done: &Done) {
        let end = match (done.exit_code, &done.complaint) {
            (_, Some(complaint)) => complaint.clone(),
            (code, None) => {
                let count = |name: &str| {
                    done.answer.as_ref().and_then(|answer| answer["all"][name].as_u64()).unwrap_or_default()
                };
                let counts =
                    ["sent", "applied", "superseded", "duplicate", "kept", "left"].map(|name| (count(name), name));
                let counts: Vec<_> = counts
                    .iter()
                    .filter(|(count, _)| *count > 0)
                    .map(|(count, name)| format!("{count} {name}"))
                    .collect();
                let code = if code == Some(0) { String::new() } else { ", some left".to_owned() };
                if counts.is_empty() {
                    format!("nothing to bring{code}")
                } else {
                    format!("{}{code}", counts.join(", "))
                }
            }
        };
        self.say(format!("{}: {end}", done.command));
    }

    pub(super) fn say(&mut self, what: String) {
        let now = SystemClock.now();
        eprintln!("{:7.1} s  {what}", (now - self.began_at).as_seconds_f64());
        self.timeline.push((now, what));
    }

    pub(super) fn book(&self) -> Arc<Mutex<Book>> {
        Arc::clone(&self.writers.book)
    }
}
