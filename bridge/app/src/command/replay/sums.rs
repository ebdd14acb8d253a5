//! What a plan comes to, as a table and as JSON.

use std::collections::{BTreeMap, BTreeSet};

use bridge_core::{text, version::Version};
use bridge_ops::replay::{
    effect::Effect,
    plan::{Entry, Head, Refused},
    route::Source,
};
use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::files::PlanFile;
use crate::command::table::{Column, table_or_blocks};

/// Characters of a reason in a table. Ours: the bridge's own have 20.
const REASON_CHARS_MAX: usize = 60;

/// Messages of a plan that are listed one by one, with why they stay.
const LISTED_MAX: usize = 10;

/// What a plan comes to.
#[derive(Debug, Default)]
pub(super) struct Sums {
    pub(super) head: Option<Head>,
    pub(super) sha256: String,
    reasons: BTreeMap<String, BTreeMap<Effect, u64>>,
    /// Messages that stay for the sites that are owed them beside the target.
    unpaid: BTreeMap<String, u64>,
    /// Messages whose effect is not known, by the store that gave no answer about their keys.
    unasked: BTreeMap<String, u64>,
    /// Messages that would be applied though a delete of theirs may have been forgotten by now, and some of their keys.
    old: u64,
    old_keys: BTreeSet<String>,
    /// Messages that would replace a write which was made after they came, and some of their keys.
    late: u64,
    late_keys: BTreeSet<String>,
    /// Messages that an earlier run has brought, and those that a run would still wait for.
    pub(super) brought: usize,
    pub(super) open: usize,
    /// Some of those that no site takes, a line each.
    refused: Vec<String>,
}

impl Sums {
    pub(super) fn add(&mut self, entry: &Entry, forgotten: DateTime<Utc>) {
        let version: Option<Version> = entry.version.as_ref().and_then(|text| text.parse().ok());
        let old = version.is_some_and(|version| version.timestamp() < forgotten);
        // A store that could not be asked may apply it as well.
        let applies = |effect| matches!(effect, Effect::Apply | Effect::StillOwed);
        if old && entry.errands.iter().any(|errand| applies(errand.effect)) {
            self.old += 1;
            if self.old_keys.len() < LISTED_MAX {
                self.old_keys.extend(entry.key.clone());
            }
        }
        if entry.replaces_later {
            self.late += 1;
            if self.late_keys.len() < LISTED_MAX {
                self.late_keys.extend(entry.key.clone());
            }
        }
        for errand in entry.errands.iter().filter(|errand| errand.effect == Effect::StillOwed) {
            *self.unasked.entry(errand.to.clone()).or_default() += 1;
        }
        *self.reasons.entry(shown(&entry.reason)).or_default().entry(entry.effect()).or_default() += 1;
        if !entry.unpaid.is_empty() {
            *self.unpaid.entry(entry.unpaid.join(", ")).or_default() += 1;
        }
        if entry.refused.is_some() && self.refused.len() < LISTED_MAX {
            self.refused.push(line(entry));
        }
    }

    pub(super) fn title(&self) -> String {
        let head = self.head.as_ref();
        let of = |field: fn(&Head) -> &String| head.map(field).cloned().unwrap_or_default();
        if self.sha256.is_empty() {
            return format!("from {} to {}, without a plan, {}", of(|h| &h.from), of(|h| &h.to), of(|h| &h.made_at));
        }
        format!("from {} to {}, plan {:.12} of {}", of(|h| &h.from), of(|h| &h.to), self.sha256, of(|h| &h.made_at))
    }

    /// Messages that are not in the plan, as somebody had them in hand when it was made.
    pub(super) fn hidden(&self) -> u64 {
        self.head.as_ref().map_or(0, |head| head.hidden)
    }

    /// Messages that the filters may be about, and whose fields cannot be read: how many, and what to do.
    pub(super) fn unreadable(&self) -> impl Iterator<Item = String> {
        let counts = self.head.iter().flat_map(|head| &head.unreadable);
        counts.map(|(flags, count)| {
            let (names, flags) = (flags.replace(' ', " or "), flags.replace(' ', " and --"));
            let (messages, them) = match count {
                1 => ("1 message has".to_owned(), "it"),
                _ => (format!("{count} messages have"), "them"),
            };
            format!("{messages} no readable {names}: run without --{flags} to see {them}")
        })
    }

    /// Whether messages are known of that the plan does not have. What a worker has in hand of its queue is none's loss.
    pub(super) fn overlooks(&self) -> bool {
        let letters = matches!(self.source(), Some(Source::DeadLetters(_)));
        self.hidden() > 0 && letters || self.unreadable().next().is_some()
    }

    /// Messages that leave their source and that nobody gets.
    pub(super) fn drops(&self) -> u64 {
        self.reasons.values().filter_map(|effects| effects.get(&Effect::Dropped)).sum()
    }

    fn source(&self) -> Option<Source> {
        self.head.as_ref().and_then(|head| head.from.parse().ok())
    }

    fn is_configured(&self, site: &str) -> bool {
        self.head.as_ref().is_some_and(|head| head.made_for.sites.contains_key(site))
    }

    pub(super) fn is_of_a_file(&self) -> bool {
        matches!(self.source(), Some(Source::File(_)))
    }

    /// What there is to say to somebody who runs a plan once more that has no work left.
    pub(super) fn done_already(&self, file: &PlanFile) -> String {
        let made_at = self.head.as_ref().map_or("", |head| &head.made_at);
        if self.messages() == 0 {
            let path = file.path().display();
            return format!(
                "{path}: this plan of {made_at} has no message: add --from and --to to make a new one in its place"
            );
        }
        format!(
            "{}: this plan of {made_at} is done already; what came since is not in it: name another file for a new plan",
            file.path().display()
        )
    }

    /// Whether the plan has no message.
    pub(super) fn is_empty(&self) -> bool {
        self.messages() == 0
    }

    fn messages(&self) -> u64 {
        self.reasons.values().flat_map(BTreeMap::values).sum()
    }

    /// `file`: where the plan is, if one was made.
    pub(super) fn json(&self, file: Option<&PlanFile>) -> Value {
        let head = self.head.as_ref();
        let counts = |effects: &BTreeMap<Effect, u64>| -> Value {
            Effect::ALL
                .iter()
                .map(|effect| (effect.to_string(), effects.get(effect).copied().unwrap_or_default().into()))
                .collect::<serde_json::Map<_, _>>()
                .into()
        };
        json!({
            "file": file.map(PlanFile::path), "sha256": file.map(|_| &self.sha256), "messages": self.messages(),
            "from": head.map(|head| &head.from), "to": head.map(|head| &head.to),
            "made_at": head.map(|head| &head.made_at), "filters": head.map(|head| &head.filters),
            "predicted": self.reasons.iter().map(|(reason, effects)| (reason.clone(), counts(effects))).collect::<serde_json::Map<_, _>>(),
            "stay_for": self.unpaid, "older_than_tombstones": self.old, "replace_later_writes": self.late, "hidden": self.hidden(),
            "unreadable": head.map(|head| &head.unreadable),
            "brought": self.brought, "open": self.open,
        })
    }
}

/// `listed`: the messages, where they were asked for.
pub(super) fn as_json(file: &PlanFile, sums: &Sums, listed: Option<Vec<Value>>) -> String {
    let mut json = json!({ "dry_run": true, "plan": sums.json(Some(file)) });
    if let Some(listed) = listed {
        json["messages"] = listed.into();
    }
    format!("{json:#}\n")
}

/// One message of a plan.
pub(super) fn line(entry: &Entry) -> String {
    let event = match (&entry.event_id, &entry.key, &entry.source_region) {
        (None, None, None) => String::new(),
        (event, key, site) => {
            let event = event.as_ref().map_or("an event".to_owned(), |event| format!("event {event}"));
            let key = key.as_ref().map(|key| format!(" of {}", text::line(key))).unwrap_or_default();
            let site = site.as_ref().map(|site| format!(" from {site}")).unwrap_or_default();
            format!(" ({event}{key}{site})")
        }
    };
    let id = text::line(&entry.message_id);
    if let Some(Refused { reason, detail, .. }) = &entry.refused {
        let refused = if *reason == entry.reason { String::new() } else { format!("{} -> ", shown(&entry.reason)) };
        return format!("{id}  {refused}{reason}: {detail}{event}");
    }
    let effects = entry.errands.iter().map(|errand| format!("{} {}", errand.to, errand.effect));
    let stays = entry.unpaid.iter().map(|site| format!("{site} still owed"));
    let mut effects: Vec<_> = effects.chain(stays).collect();
    if entry.dropped {
        effects.push(Effect::Dropped.to_string());
    }
    let late = if entry.replaces_later { ", replaces a later write" } else { "" };
    let detail = entry.detail.as_ref().map(|detail| format!(": {detail}")).unwrap_or_default();
    format!("{id}  {} -> {}{late}{event}{detail}", shown(&entry.reason), effects.join(", "))
}

/// So many messages about which `words` say something, with some of their keys; nothing if there are none.
fn keys(count: u64, keys: &BTreeSet<String>, words: &str) -> String {
    if count == 0 {
        return String::new();
    }
    let lines: Vec<_> = keys.iter().map(|key| text::line(key)).collect();
    let more = if count > keys.len() as u64 { "  --list shows all\n" } else { "" };
    format!("\n{count} {words}:\n  {}\n{more}", lines.join("\n  "))
}

/// A reason as a table takes it. Anybody may send a letter straight into the queue, with a reason of any length.
fn shown(reason: &str) -> String {
    text::bounded(reason, REASON_CHARS_MAX, 4 * REASON_CHARS_MAX)
}

pub(super) fn as_table(sums: &Sums) -> String {
    let some =
        |effect: &Effect| sums.reasons.values().any(|effects| effects.get(effect).is_some_and(|count| *count > 0));
    let shown: Vec<Effect> = Effect::ALL.into_iter().filter(some).collect();
    let names = shown.iter().map(|effect| effect.as_str());
    let mut rows = vec![["reason", "messages"].into_iter().chain(names).map(str::to_owned).collect()];
    let row = |name: &str, effects: &BTreeMap<Effect, u64>| -> Vec<String> {
        let counts = shown.iter().map(|effect| effects.get(effect).copied().unwrap_or_default());
        let all = counts.clone().sum::<u64>();
        [name.to_owned(), all.to_string()].into_iter().chain(counts.map(|count| count.to_string())).collect()
    };
    let mut all: BTreeMap<Effect, u64> = BTreeMap::new();
    for (reason, effects) in &sums.reasons {
        rows.push(row(reason, effects));
        for (effect, count) in effects {
            *all.entry(*effect).or_default() += count;
        }
    }
    rows.push(row("all", &all));
    let mut text = format!("{}\n\n{}", sums.title(), table_or_blocks(&[Column::Left(0), Column::Right(0)], &rows));
    if sums.brought > 0 {
        text += &format!(
            "\n{} are brought already, by a run that began this plan; {} are to do\n",
            sums.brought, sums.open
        );
    }
    if sums.hidden() > 0 {
        text += &format!(
            "\nabout {} more are not in this plan: they were in somebody's hands when it was made\n",
            sums.hidden()
        );
    }
    for told in sums.unreadable() {
        text += &format!("\n{told}\n");
    }
    for (to, count) in &sums.unasked {
        text += &format!(
            "\n{count} count as still_owed: the store behind {to} does not say what it holds of their keys; a run brings them if it can\n"
        );
    }
    for (sites, count) in &sums.unpaid {
        text += &format!("\n{count} stay in the source, because they are still owed to {sites}\n");
        for gone in sites.split(", ").filter(|site| !sums.is_configured(site)) {
            text += &format!(
                "{gone} is not configured: add it again, or give up what it is owed with --forget-site {gone}\n"
            );
        }
    }
    if sums.drops() > 0 {
        text += &format!("\n{} leave the source, and no site gets them\n", sums.drops());
    }
    text += &keys(
        sums.old,
        &sums.old_keys,
        "would or may be applied and are older than deletes are remembered. A key that was deleted since comes back; look at each with bridge get KEY",
    );
    text += &keys(
        sums.late,
        &sums.late_keys,
        "would replace what was written after they came, as their timestamps are later still. Look at each with bridge get KEY, and drop those that must not win (--to nowhere)",
    );
    if !sums.refused.is_empty() {
        text += "\nno site takes these, so they stay; --edit-with can mend them on the way:\n";
        for line in &sums.refused {
            text += &format!("  {line}\n");
        }
        let more = all.get(&Effect::Invalid).copied().unwrap_or_default()
            + all.get(&Effect::TooLarge).copied().unwrap_or_default();
        if more > LISTED_MAX as u64 {
            text += &format!("  and {} more; --list shows all\n", more - LISTED_MAX as u64);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use bridge_ops::replay::{fingerprint::Fingerprint, plan::Prediction};

    use super::*;

    /// Of a write from before `forgotten` whatever may be applied counts, also where one of its stores cannot be asked.
    #[test]
    fn old_writes_are_told_of_wherever_they_may_be_applied() {
        use Effect::{Apply, Duplicate, StillOwed, Superseded};
        let old = |second: u32, effects: &[Effect]| {
            let errands =
                effects.iter().map(|effect| Prediction { to: "aws:us-east-1/store".to_owned(), effect: *effect });
            let entry = Entry {
                message: Fingerprint::of(0, "m", b""),
                queue: 0,
                message_id: "m".to_owned(),
                reason: "peer_unavailable".to_owned(),
                first_seen: None,
                detail: None,
                replaces_later: false,
                dropped: false,
                bytes: 0,
                event_id: None,
                key: Some("k".to_owned()),
                version: Some(version(second)),
                source_region: None,
                errands: errands.collect(),
                unpaid: Vec::new(),
                refused: None,
            };
            let mut sums = Sums::default();
            sums.add(&entry, "2026-11-21T00:00:30Z".parse().unwrap());
            sums.old
        };
        for (second, effects, expected) in [
            (29, &[Apply][..], 1),
            (29, &[StillOwed, Apply], 1),
            (29, &[Duplicate, StillOwed], 1),
            (29, &[Duplicate, Superseded], 0),
            (29, &[], 0),
            (30, &[Apply, StillOwed], 0),
        ] {
            assert_eq!(old(second, effects), expected, "{second} {effects:?}");
        }
    }

    fn version(second: u32) -> String {
        let at = format!("2026-11-21T00:00:{second:02}Z").parse().unwrap();
        Version::new(at, &"aws:us-east-1".parse().unwrap(), uuid::Uuid::nil(), 0.into()).to_string()
    }
}
