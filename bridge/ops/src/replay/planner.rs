//! The planner: reads the source, gives back what it read, asks the stores, and answers the plan's entries. It changes nothing.
//!
//! A source may hold millions of messages, so entries never lie in memory: each pass writes them to a [`Spool`] and the next one
//! reads them from it.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    fmt,
    future::Future,
    io,
    pin::{Pin, pin},
    sync::{Mutex, PoisonError},
};

use chrono::{DateTime, Utc};
use futures_util::{
    StreamExt,
    future::{Either, select},
    stream,
};
use thiserror::Error;

use super::{
    arrivals::Arrivals,
    effect::{Effect, Greatest},
    filter::{Admission, Filter},
    fingerprint::Fingerprint,
    plan::Entry,
    setting::Setting,
};
use bridge_core::{
    event::{Key, SiteId},
    failure::{PortError, Recovery},
    port::{Delivery, Place, Receipt},
    version::Version,
};

/// Messages that one read of the source asks for: the adapters cut them into what their queue allows.
pub const PORTION: usize = 1_000;

/// Programs of `--edit-with` that run at once.
const EDITS: usize = 4;

/// Reads of stores that are in flight at once.
const READS: usize = 32;

/// Lines that are written once and then read from the beginning.
pub trait Spool: Send {
    /// Writes a line.
    ///
    /// # Errors
    /// As the medium has it.
    fn push(&mut self, line: &str) -> io::Result<()>;

    /// All lines, in their order.
    ///
    /// # Errors
    /// As the medium has it.
    fn read(&mut self) -> io::Result<SpooledLines>;
}

/// Lines of a [`Spool`].
pub type SpooledLines = Box<dyn Iterator<Item = io::Result<String>> + Send>;

/// Opens a new, empty spool of this name.
pub type OpenSpool<'a> = dyn Fn(&'static str) -> io::Result<Box<dyn Spool>> + Sync + 'a;

/// What whoever waits for a plan may want to see.
#[derive(Clone, Copy, Debug)]
pub enum Notice<'a> {
    /// The planner read so many more messages of a queue.
    Read(u64),
    /// Messages keep coming to this queue; those since this instant are left for another replay.
    MessagesKeepComing(&'a str, DateTime<Utc>),
    /// About so many messages of this queue are in flight elsewhere, and so not in the plan.
    InFlightElsewhere(&'a str, u64),
    /// The planner has read the whole queue.
    QueueDone,
    /// Some messages could not be given back: they stay hidden until their lease ends.
    NotGivenBack(&'a PortError),
    /// The planner predicted the effect of one more message.
    Predicted,
    /// This site's store does not answer: what its messages would do is not known, so they count as still owed.
    Unreachable(&'a SiteId, &'a str),
}

/// Why there is no plan.
#[derive(Debug, Error)]
pub enum PlanError {
    /// The source cannot be read.
    #[error("the source cannot be read: {}", .0.chain())]
    Source(PortError),
    /// What a pass wrote down cannot be written or read again.
    #[error("the plan's entries cannot be kept: {0}")]
    Spool(#[from] io::Error),
    /// The same, as an entry or a receipt is not what was written.
    #[error("the plan's entries cannot be read again: {0}")]
    Entry(String),
}

impl From<serde_json::Error> for PlanError {
    fn from(error: serde_json::Error) -> Self {
        unreadable(error)
    }
}

fn unreadable(error: impl fmt::Display) -> PlanError {
    PlanError::Entry(error.to_string())
}

/// Makes plans.
pub struct Planner<'a> {
    /// Sources, stores and rules.
    pub setting: &'a Setting<'a>,
    /// Which messages are wanted.
    pub filter: &'a Filter,
    /// How many messages at most.
    pub limit: u64,
    /// Messages of one read: [`PORTION`].
    pub portion: usize,
    /// Where entries lie between two passes.
    pub open: &'a OpenSpool<'a>,
    /// Is told how far the planner is.
    pub tell: &'a (dyn Fn(Notice<'_>) + Sync),
}

/// Messages that a plan does not have though it may be about them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Missed {
    /// About so many are in flight elsewhere.
    pub hidden: u64,
    /// Those whose fields cannot be read, by the flags of the filters that ask for them, with spaces between.
    pub unreadable: BTreeMap<String, u64>,
}

/// The entries of a plan, predicted.
pub struct Planned {
    /// Messages that the plan does not have though it may be about them.
    pub missed: Missed,
    predicted: Box<dyn Spool>,
    greatest: Greatest,
}

impl Planned {
    /// The entries, in the source's order. Of several messages of one key only the one with the greatest version has the effect
    /// `apply`.
    ///
    /// # Errors
    /// What was written down cannot be read.
    pub fn entries(&mut self) -> Result<impl Iterator<Item = Result<Entry, PlanError>>, PlanError> {
        let Self { predicted, greatest, .. } = self;
        let lines = predicted.read()?;
        Ok(lines.map(|line| {
            let mut entry: Entry = serde_json::from_str(&line?)?;
            supersede(&mut entry, greatest);
            Ok(entry)
        }))
    }
}

impl Planner<'_> {
    /// Makes a plan; none if `stop` came first. All messages that it had to take are given back, whether it is stopped or fails.
    ///
    /// # Errors
    /// There is no plan.
    pub async fn plan(&self, stop: impl Future<Output = ()>) -> Result<Option<Planned>, PlanError> {
        let mut stop = pin!(stop);
        let mut drafts = (self.open)("draft")?;
        let mut missed = Missed::default();
        for from in 0..self.setting.sources.len() {
            let mut receipts = (self.open)("receipts")?;
            let read = until(self.read_queue(from, &mut *drafts, &mut *receipts, &mut missed), stop.as_mut()).await;
            self.give_back(from, &mut *receipts).await?;
            match read {
                Some(done) => done?,
                None => return Ok(None),
            }
        }
        let mut predicted = (self.open)("predicted")?;
        let Some(greatest) = until(self.predict(&mut *drafts, &mut *predicted), stop.as_mut()).await else {
            return Ok(None);
        };
        Ok(Some(Planned { missed, predicted, greatest: greatest? }))
    }

    /// Writes down the messages of one queue that pass the filters, and counts those that it missed. Messages that come meanwhile may be among them, and do not keep the planner from ending, however fast they come.
    async fn read_queue(
        &self,
        from: usize,
        drafts: &mut dyn Spool,
        receipts: &mut dyn Spool,
        missed: &mut Missed,
    ) -> Result<(), PlanError> {
        let source = &self.setting.sources[from];
        let (queue, name) = (&source.queue, source.queue.to_string());
        let (mut place, mut seen, mut admitted) = (Place::default(), HashSet::new(), 0);
        let mut arrivals = Arrivals::since(self.setting.clock.now());
        let hidden = source.hidden(&*self.setting.incidents).await;
        let portions = self.setting.portions(from, 1);
        while admitted < self.limit {
            let left = usize::try_from(self.limit - admitted).unwrap_or(usize::MAX);
            let portion = left.max(100).min(self.portion);
            let shown = queue.browse(&mut place, portions.next(portion)).await.map_err(PlanError::Source)?;
            portions.saw(&shown);
            let before = seen.len();
            let mut news = Vec::new();
            for delivery in shown {
                receipts.push(&serde_json::to_string(&delivery.receipt.0)?)?;
                let message = Fingerprint::of(from, &delivery.message_id, &delivery.body);
                if seen.insert(message) {
                    news.push((message, delivery));
                }
            }
            // A message that a read hides comes back in the end: nothing new means that all of them were seen.
            if seen.len() == before {
                break;
            }
            (self.tell)(Notice::Read(news.len() as u64));
            if arrivals.are_all(news.iter().map(|(_, delivery)| delivery)) {
                (self.tell)(Notice::MessagesKeepComing(&name, arrivals.began()));
                break;
            }
            news.retain(|(_, delivery)| match self.filter.judge(delivery, source.holds, &self.setting.key_pointer) {
                Admission::Passes => true,
                Admission::Fails => false,
                Admission::Unreadable(fields) => {
                    *missed.unreadable.entry(fields.join(" ")).or_default() += 1;
                    false
                }
            });
            news.truncate(left);
            let read = news.into_iter().map(|(message, delivery)| self.read_message(from, message, delivery));
            let mut entries = stream::iter(read).buffered(EDITS);
            while let Some(entry) = entries.next().await {
                drafts.push(&serde_json::to_string(&entry)?)?;
                admitted += 1;
            }
        }
        if hidden > 0 {
            (self.tell)(Notice::InFlightElsewhere(&name, hidden));
        }
        missed.hidden += hidden;
        (self.tell)(Notice::QueueDone);
        Ok(())
    }

    /// The entry of one message, without its effects.
    async fn read_message(&self, from: usize, message: Fingerprint, delivery: Delivery) -> Entry {
        let subject = self.setting.read(from, &delivery).await;
        Entry::draft(self.setting, from, message, &delivery, &subject)
    }

    /// Gives back the messages that a read had to take.
    async fn give_back(&self, from: usize, receipts: &mut dyn Spool) -> Result<(), PlanError> {
        let queue = &self.setting.sources[from].queue;
        let mut lines = receipts.read()?;
        loop {
            let portion: Vec<Receipt> = lines
                .by_ref()
                .take(self.portion)
                .map(|line| Ok(Receipt(serde_json::from_str(&line?)?)))
                .collect::<Result<_, PlanError>>()?;
            if portion.is_empty() {
                return Ok(());
            }
            if let Some(error) = queue.release(&portion).await.into_iter().filter_map(Result::err).last() {
                (self.tell)(Notice::NotGivenBack(&error));
            }
        }
    }

    /// Asks the stores for the effect of each message; notes the greatest version of each key that would be applied.
    async fn predict(&self, drafts: &mut dyn Spool, predicted: &mut dyn Spool) -> Result<Greatest, PlanError> {
        let unreachable = Unreachable::default();
        let mut greatest = Greatest::new(self.setting.sites());
        let drafts = stream::iter(drafts.read()?).map(|line| self.predicted(line, &unreachable));
        let mut drafts = pin!(drafts.buffered(READS));
        while let Some(entry) = drafts.next().await {
            let entry = entry?;
            if let (Some(key), Some(version)) = (&entry.key, &entry.version) {
                let version: Version = version.parse().map_err(unreadable)?;
                for site in applied_at(&entry) {
                    greatest.note(&site, key, &version);
                }
            }
            predicted.push(&serde_json::to_string(&entry)?)?;
            (self.tell)(Notice::Predicted);
        }
        for (site, error) in &*unreachable.lock() {
            (self.tell)(Notice::Unreachable(site, error));
        }
        Ok(greatest)
    }

    async fn predicted(&self, line: io::Result<String>, unreachable: &Unreachable) -> Result<Entry, PlanError> {
        let mut entry: Entry = serde_json::from_str(&line?)?;
        if let (Some(key), Some(version)) = (&entry.key, &entry.version) {
            let key: Key = key.parse().map_err(unreadable)?;
            let version: Version = version.parse().map_err(unreadable)?;
            let came: Option<DateTime<Utc>> = entry.first_seen.as_ref().and_then(|text| text.parse().ok());
            for prediction in &mut entry.errands {
                let Some(errand) = prediction.errand() else { continue };
                let Some(held) = self.held(unreachable, &errand.site, &key).await else { continue };
                prediction.effect = Effect::of(&version, held.as_ref());
                let replaced = held.filter(|_| prediction.effect == Effect::Apply);
                entry.replaces_later |= replaced.zip(came).is_some_and(|(replaced, came)| replaced.timestamp() > came);
            }
        }
        Ok(entry)
    }

    /// The version that a site's store holds of a key, if it does; none if that is not known.
    async fn held(&self, unreachable: &Unreachable, site: &SiteId, key: &Key) -> Option<Option<Version>> {
        let Setting { places, attempts_max, clock, .. } = self.setting;
        let mut attempt = 0;
        while !unreachable.lock().contains_key(site) {
            attempt += 1;
            match places[site].store.get(key).await {
                Ok(held) => return Some(held.map(|record| record.version)),
                Err(error) if error.kind.recovery() == Recovery::Retry && attempt < *attempts_max => {
                    clock.sleep(self.setting.pause(attempt, error.kind.retry_after())).await;
                }
                // The item under this key is no record, so its effect is not known; the other keys can be asked for.
                Err(error) if error.kind.recovery() == Recovery::DeadLetter => return None,
                Err(error) => drop(unreachable.lock().insert(site.clone(), error.chain())),
            }
        }
        None
    }
}

/// The stores that do not answer, each with its failure.
#[derive(Default)]
struct Unreachable(Mutex<BTreeMap<SiteId, String>>);

impl Unreachable {
    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<SiteId, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What `work` answers; none if `stop` came first.
async fn until<T>(work: impl Future<Output = T>, stop: Pin<&mut impl Future<Output = ()>>) -> Option<T> {
    match select(pin!(work), stop).await {
        Either::Left((answer, _)) => Some(answer),
        Either::Right(((), _)) => None,
    }
}

/// The sites whose stores a message would change.
fn applied_at(entry: &Entry) -> BTreeSet<String> {
    let applied = entry.errands.iter().filter(|errand| errand.effect == Effect::Apply);
    applied.filter_map(|errand| Some(errand.errand()?.site.to_string())).collect()
}

/// Of several messages of one key only the greatest version ends as the stored state.
fn supersede(entry: &mut Entry, greatest: &Greatest) {
    let (Some(key), Some(version)) = (&entry.key, entry.version.as_ref().and_then(|text| text.parse().ok())) else {
        return;
    };
    for prediction in &mut entry.errands {
        let site = prediction.errand().map(|errand| errand.site.to_string()).unwrap_or_default();
        if prediction.effect == Effect::Apply && greatest.supersedes(&site, key, &version) {
            prediction.effect = Effect::Superseded;
        }
    }
}

/// A spool in memory, for sources that fit there.
#[derive(Debug, Default)]
pub struct MemorySpool(Vec<String>);

impl Spool for MemorySpool {
    fn push(&mut self, line: &str) -> io::Result<()> {
        self.0.push(line.to_owned());
        Ok(())
    }

    fn read(&mut self) -> io::Result<SpooledLines> {
        Ok(Box::new(self.0.clone().into_iter().map(Ok)))
    }
}
