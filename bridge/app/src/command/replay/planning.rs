//! Makes a plan: looks through the source, gives back what it saw, asks the stores, writes it down. Changes nothing.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::{Mutex, PoisonError},
};

use anyhow::Context;
use bridge_core::{
    event::{Key, SiteId},
    failure::{PortError, Recovery},
    port::{Delivery, Place, Receipt},
    replay::{
        effect::{Effect, Greatest},
        fingerprint::Fingerprint,
        frame::Frame,
        plan::Entry,
        setting::Setting,
        subject,
    },
    version::Version,
};
use chrono::{SecondsFormat, TimeDelta};
use futures_util::{StreamExt, stream};
use tokio_util::sync::CancellationToken;

use super::{
    files::{Lines, PlanFile, PlanWriter},
    options::Request,
};
use crate::{command::progress::Progress, tell::tell};

/// Messages that are looked at with one call: the adapters cut them into what their queue allows.
const PORTION: usize = 1_000;

/// Programs of `--edit-with` that run at once.
const EDITS: usize = 4;

/// How far behind a broker's clock this machine's may be without messages being taken for newer than they are. Ours: NTP keeps clocks
/// within a fraction of it.
const CLOCKS_APART: TimeDelta = TimeDelta::seconds(5);

/// Reads of stores on their way at once.
const READS: usize = 32;

/// Makes the plan and saves it; false if it was stopped before.
pub(super) async fn make(
    setting: &Setting<'_>,
    request: &Request,
    made_for: Frame,
    file: &PlanFile,
    stop: &CancellationToken,
) -> anyhow::Result<bool> {
    let mut drafts = Lines::create(file.draft("draft"))?;
    let mut hidden = 0;
    for from in 0..setting.sources.len() {
        let mut receipts = Lines::create(file.draft("receipts"))?;
        let seen = tokio::select! {
            seen = look(setting, request, from, &mut drafts, &mut receipts) => seen,
            () = stop.cancelled() => Ok(0),
        };
        give_back(setting, from, &mut receipts).await?;
        hidden += seen?;
        if stop.is_cancelled() {
            return Ok(false);
        }
    }
    let mut predicted = Lines::create(file.draft("predicted"))?;
    let greatest = tokio::select! {
        greatest = predict(setting, &mut drafts, &mut predicted) => greatest?,
        () = stop.cancelled() => return Ok(false),
    };
    let mut plan = PlanWriter::new(file.draft("new"), &super::head(setting, request, made_for, hidden))?;
    for line in predicted.read()? {
        let mut entry: Entry = serde_json::from_str(&line?)?;
        supersede(&mut entry, &greatest);
        plan.entry(&entry)?;
    }
    plan.finish(file.path())?;
    Ok(true)
}

/// Portions in a row with nothing but messages that came after the look began, after which it ends. Ours: of a queue that gives
/// its messages in any order one such portion may be chance.
const NEWER_PORTIONS: u32 = 3;

/// Writes down what lies in one queue and passes the filters; answers how many more somebody has in hand. What comes meanwhile may be among it, and does not keep the look
/// from ending, however fast it comes.
async fn look(
    setting: &Setting<'_>,
    request: &Request,
    from: usize,
    drafts: &mut Lines,
    receipts: &mut Lines,
) -> anyhow::Result<u64> {
    let queue = &setting.sources[from].queue;
    let mut progress = Progress::new("messages looked at");
    let (mut place, mut seen, mut admitted) = (Place::default(), HashSet::new(), 0);
    let (began, mut newer) = (setting.clock.now() + CLOCKS_APART, 0);
    let hidden = setting.sources[from].hidden().await;
    while admitted < request.limit {
        let portion = usize::try_from(request.limit - admitted).unwrap_or(usize::MAX).clamp(100, PORTION);
        let shown = queue.browse(&mut place, portion).await.map_err(|error| unreadable(&error))?;
        let before = seen.len();
        let mut news = Vec::new();
        for delivery in shown {
            receipts.write(&delivery.receipt.0)?;
            let message = Fingerprint::of(from, &delivery.message_id, &delivery.body);
            if seen.insert(message) {
                news.push((message, delivery));
            }
        }
        // What a look has hidden comes back in the end: nothing new means that all of it was seen.
        if seen.len() == before {
            break;
        }
        progress.add(news.len() as u64);
        let all_newer = news.iter().all(|(_, delivery)| delivery.first_seen.is_some_and(|came| came > began));
        newer = if all_newer { newer + 1 } else { 0 };
        if newer == NEWER_PORTIONS {
            let since = began.to_rfc3339_opts(SecondsFormat::Secs, true);
            progress.say(&format!("{queue}: messages keep coming; those since {since} are left for another replay"));
            break;
        }
        let holds = setting.sources[from].holds;
        let reason = |delivery: &Delivery| subject::reason(&delivery.properties, holds);
        news.retain(|(_, delivery)| request.filter.admits_reason(&reason(delivery)));
        let read = news.into_iter().map(|(message, delivery)| read(setting, request, from, message, delivery));
        let mut entries = stream::iter(read).buffered(EDITS);
        while let Some(entry) = entries.next().await {
            if let Some(entry) = entry.filter(|_| admitted < request.limit) {
                drafts.write(&entry)?;
                admitted += 1;
            }
        }
    }
    if hidden > 0 {
        progress.say(&format!(
            "{queue}: about {hidden} more are in somebody's hands and not in this plan: a worker's, or those of a replay that was killed; these show again within two minutes, then run this once more"
        ));
    }
    progress.finish();
    Ok(hidden)
}

fn unreadable(error: &PortError) -> anyhow::Error {
    let advice = match error.kind.recovery() {
        Recovery::Halt => "give the permission, or mend the name in the configuration",
        Recovery::Retry | Recovery::DeadLetter => "is the cloud up? runbooks/dead-letters.md says what else to look at",
    };
    anyhow::anyhow!("the source cannot be read: {}; {advice}", error.chain())
}

/// The entry of one message, without what it would do; none if it does not pass the filters.
async fn read(
    setting: &Setting<'_>,
    request: &Request,
    from: usize,
    message: Fingerprint,
    delivery: Delivery,
) -> Option<Entry> {
    let subject = setting.read(from, &delivery).await;
    if !request.filter.admits(&subject) {
        return None;
    }
    Some(Entry::draft(setting, from, message, &delivery, &subject))
}

/// Gives back what a look had to take.
async fn give_back(setting: &Setting<'_>, from: usize, receipts: &mut Lines) -> anyhow::Result<()> {
    let queue = &setting.sources[from].queue;
    let mut lines = receipts.read()?;
    loop {
        let portion: Vec<Receipt> = lines
            .by_ref()
            .take(PORTION)
            .map(|line| anyhow::Ok(Receipt(serde_json::from_str(&line?)?)))
            .collect::<Result<_, _>>()?;
        if portion.is_empty() {
            return Ok(());
        }
        let failed = queue.release(&portion).await.into_iter().filter_map(Result::err).last();
        if let Some(error) = failed {
            tracing::warn!(
                error = error.chain(),
                "some messages were not given back: they show again within two minutes"
            );
        }
    }
}

/// Asks the stores what each message would do; notes the greatest version of each key that would be applied.
async fn predict(setting: &Setting<'_>, drafts: &mut Lines, predicted: &mut Lines) -> anyhow::Result<Greatest> {
    let dark: Mutex<BTreeMap<SiteId, String>> = Mutex::default();
    let mut greatest = Greatest::new(setting.sites());
    let mut progress = Progress::new("effects predicted");
    let drafts = stream::iter(drafts.read()?).map(|line| {
        let dark = &dark;
        async move {
            let mut entry: Entry = serde_json::from_str(&line?)?;
            if let (Some(key), Some(version)) = (&entry.key, &entry.version) {
                let (key, version): (Key, Version) = (key.parse()?, version.parse()?);
                for prediction in &mut entry.errands {
                    if let Some(errand) = prediction.errand() {
                        prediction.effect = effect(setting, dark, &errand.site, &key, &version).await;
                    }
                }
            }
            anyhow::Ok(entry)
        }
    });
    let mut drafts = std::pin::pin!(drafts.buffered(READS));
    while let Some(entry) = drafts.next().await {
        let entry = entry.context("while the stores were asked")?;
        if let (Some(key), Some(version)) = (&entry.key, &entry.version) {
            let version: Version = version.parse()?;
            for place in applied_at(&entry) {
                greatest.note(&place, key, &version);
            }
        }
        predicted.write(&entry)?;
        progress.inc();
    }
    progress.finish();
    let dark = std::mem::take(&mut *dark.lock().unwrap_or_else(PoisonError::into_inner));
    for (site, error) in dark {
        tell!("{site} cannot be asked what its messages would do, they count as still owed: {error}");
    }
    Ok(greatest)
}

/// The sites whose stores a message would change.
fn applied_at(entry: &Entry) -> BTreeSet<String> {
    let applied = entry.errands.iter().filter(|errand| errand.effect == Effect::Apply);
    applied.filter_map(|errand| Some(errand.errand()?.site.to_string())).collect()
}

async fn effect(
    setting: &Setting<'_>,
    dark: &Mutex<BTreeMap<SiteId, String>>,
    site: &SiteId,
    key: &Key,
    version: &Version,
) -> Effect {
    let is_dark = || dark.lock().is_ok_and(|dark| dark.contains_key(site));
    let mut attempt = 0;
    while !is_dark() {
        attempt += 1;
        match setting.places[site].store.get(key).await {
            Ok(held) => return Effect::of(version, held.as_ref().map(|record| &record.version)),
            Err(error) if error.kind.recovery() == Recovery::Retry && attempt < setting.attempts_max => {
                setting.clock.sleep(setting.pause(attempt, error.kind.retry_after())).await;
            }
            // What lies under this key is no record, so nothing is known of it; the others can be asked.
            Err(error) if error.kind.recovery() == Recovery::DeadLetter => return Effect::StillOwed,
            Err(error) => drop(dark.lock().map(|mut dark| dark.insert(site.clone(), error.chain()))),
        }
    }
    Effect::StillOwed
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
