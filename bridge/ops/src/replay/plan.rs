//! A plan as data: JSON Lines, a head, an entry for each message, and a foot with a hash over all that stands before it.
//!
//! Streamed in and out, so that a plan of any length fits into no memory at all.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{
    effect::Effect,
    errand::{Errand, Errands},
    fingerprint::Fingerprint,
    frame::Frame,
    setting::Setting,
    subject::{Subject, detail},
};
use bridge_core::{envelope::Glimpse, port::Delivery, property::rfc3339, reason::Refusal};

/// The version of the form that this code reads and writes.
pub const FORM: u32 = 2;

/// Queues that a source may be made of. Ours: a site has two, and a ledger has a byte for the number of one.
const QUEUES_MAX: usize = 256;

/// The first line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// [`FORM`].
    pub bridge_replay_plan: u32,
    /// When the plan was made, RFC 3339.
    pub made_at: String,
    /// Where messages are taken from, as `--from` has it.
    pub from: String,
    /// Where they are brought, as `--to` has it.
    pub to: String,
    /// The queues that the source is made of; an entry names them by number.
    pub queues: Vec<String>,
    /// Messages that lay there and are not in the plan, as somebody had them in hand: about so many.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub hidden: u64,
    /// Messages that the filters may be about, and whose fields cannot be read: by the flags of those filters.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub unreadable: BTreeMap<String, u64>,
    /// The configuration that it was made for.
    #[serde(default)]
    pub made_for: Frame,
    /// The program that bodies of invalid messages are piped through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edit_with: Option<String>,
    /// Whether bodies of valid ones are, too.
    #[serde(default, skip_serializing_if = "is_false")]
    pub edit_valid: bool,
    /// Whether events are brought that are older than deletes are remembered.
    #[serde(default, skip_serializing_if = "is_false")]
    pub accept_old: bool,
    /// Sites that are not configured and that letters are owed to no more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub forget_sites: Vec<String>,
    /// Why messages are dropped, in the operator's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
    /// The filters, as they were given; for people.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<String>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(flag: &bool) -> bool {
    !*flag
}

/// One message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Which message it is.
    pub message: Fingerprint,
    /// The queue that it lies in, by its number.
    pub queue: usize,
    /// The broker's name for it.
    pub message_id: String,
    /// Why it lies there.
    pub reason: String,
    /// When it first came, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_seen: Option<String>,
    /// What the letter says about its reason, unless it is refused now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Bytes of the body.
    pub bytes: usize,
    /// The event's name; also of an event that no site would take, if it can be read. So it is with the key and the site.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_id: Option<String>,
    /// The entity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The event's version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The site that the event was written at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_region: Option<String>,
    /// Which sites get the event, and what it would do there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errands: Vec<Prediction>,
    /// Sites that are owed the event even then; for their sake the message stays.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unpaid: Vec<String>,
    /// Whether it would replace a write that was made after it came: its timestamp is later than that.
    #[serde(default, skip_serializing_if = "is_false")]
    pub replaces_later: bool,
    /// Whether it leaves its source and nobody gets it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub dropped: bool,
    /// Why it cannot be brought anywhere: it stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<Refused>,
}

/// What one errand would do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prediction {
    /// The errand, as `SITE/queue` or `SITE/store`.
    pub to: String,
    /// What it would do to that site's store.
    pub effect: Effect,
}

impl Prediction {
    /// The errand.
    pub fn errand(&self) -> Option<Errand> {
        self.to.parse().ok()
    }
}

/// Why a message is no event, as a letter would have it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// The code.
    pub reason: String,
    /// The words.
    pub detail: String,
    /// Invalid or too large.
    pub effect: Effect,
}

impl From<&Refusal> for Refused {
    fn from(refusal: &Refusal) -> Self {
        let (reason, detail) = (refusal.reason.to_string(), refusal.detail.clone());
        Self { reason, detail, effect: Effect::of_refusal(refusal) }
    }
}

impl Entry {
    /// The entry of a message of the queue that stands at `queue`, before any store was asked what the message would do:
    /// every errand counts as still owed.
    pub fn draft(
        setting: &Setting<'_>,
        queue: usize,
        message: Fingerprint,
        delivery: &Delivery,
        subject: &Subject,
    ) -> Self {
        let Errands { run, unpaid, dropped } = setting.errands(subject);
        let event = subject.event.as_ref().ok().or(subject.refused.as_ref());
        let read = event.map_or_else(|| Glimpse::of(&delivery.body, &setting.key_pointer), Glimpse::from);
        let refused = subject.event.as_ref().err().filter(|_| !dropped);
        let detail = detail(&delivery.properties, setting.sources[queue].holds).filter(|_| refused.is_none());
        let unknown = |errand: Errand| Prediction { to: errand.to_string(), effect: Effect::StillOwed };
        Self {
            message,
            queue,
            message_id: delivery.message_id.clone(),
            reason: subject.reason.clone(),
            first_seen: subject.first_seen.map(rfc3339),
            detail: detail.cloned(),
            bytes: delivery.body.len(),
            event_id: read.id.map(|id| id.to_string()),
            key: read.key.map(|key| key.to_string()),
            version: event.map(|event| event.version().to_string()),
            source_region: read.origin.map(|origin| origin.to_string()),
            errands: run.into_iter().map(unknown).collect(),
            unpaid: unpaid.iter().map(ToString::to_string).collect(),
            replaces_later: false,
            dropped,
            refused: refused.map(Refused::from),
        }
    }

    /// The one word for what the message would do: of several sites', the one that matters most.
    pub fn effect(&self) -> Effect {
        if self.dropped {
            return Effect::Dropped;
        }
        let errands = self.errands.iter().map(|errand| errand.effect).max();
        self.refused.as_ref().map(|refused| refused.effect).or(errands).unwrap_or(Effect::StillOwed)
    }
}

/// The last line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Foot {
    /// How many entries stand before it.
    pub entries: u64,
    /// SHA-256 over all lines before it, each with its line feed; names the plan.
    pub sha256: String,
}

/// Counts and hashes the lines of a plan as they are written or read.
#[derive(Clone, Debug, Default)]
pub struct Hash {
    entries: u64,
    state: Sha256,
}

impl Hash {
    /// Takes in the head.
    pub fn head(&mut self, line: &str) {
        self.state.update(line);
        self.state.update("\n");
    }

    /// Takes in an entry.
    pub fn entry(&mut self, line: &str) {
        self.head(line);
        self.entries += 1;
    }

    /// The foot that belongs under these lines.
    pub fn foot(&self) -> Foot {
        Foot { entries: self.entries, sha256: hex::encode(self.state.clone().finalize()) }
    }
}

/// A line of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
#[allow(clippy::large_enum_variant, reason = "a plan has one head, and nobody keeps a line")]
pub enum Line {
    /// The last.
    Foot(Foot),
    /// One between.
    Entry(Box<Entry>),
    /// The first.
    Head(Head),
}

/// Reads a plan line by line, and knows at its end whether it is whole and as it was written.
#[derive(Clone, Debug, Default)]
pub struct Reader {
    hash: Hash,
    /// The queues that the head names, once it was read.
    queues: Option<usize>,
    foot: Option<Foot>,
}

impl Reader {
    /// The next line, without its line feed.
    ///
    /// # Errors
    /// In words, what a plan cannot have at this place.
    pub fn line(&mut self, line: &str) -> Result<Line, String> {
        if self.foot.is_some() {
            return Err("there is text behind the plan's last line".to_owned());
        }
        let parsed: Line = serde_json::from_str(line).map_err(|_| format!("this is no line of a plan: {line:.80}"))?;
        match (&parsed, self.queues) {
            (Line::Head(head), None) => {
                if head.bridge_replay_plan != FORM {
                    let form = head.bridge_replay_plan;
                    return Err(format!("it has form {form}, and this version knows {FORM}: make a new plan"));
                }
                if head.queues.len() > QUEUES_MAX {
                    return Err(format!("it names {} queues, and no source has over {QUEUES_MAX}", head.queues.len()));
                }
                self.queues = Some(head.queues.len());
                self.hash.head(line);
            }
            (Line::Entry(entry), Some(queues)) => {
                if entry.queue >= queues {
                    return Err(format!("an entry is of queue {}, which its head does not name", entry.queue));
                }
                self.hash.entry(line);
            }
            (Line::Foot(foot), Some(_)) => {
                if *foot != self.hash.foot() {
                    return Err("its hash does not fit: it was changed after it was made; make a new one".to_owned());
                }
                self.foot = Some(foot.clone());
            }
            _ => return Err("its lines are not in the order of a plan".to_owned()),
        }
        Ok(parsed)
    }

    /// The foot, once all lines were read.
    ///
    /// # Errors
    /// The plan has no end.
    pub fn end(self) -> Result<Foot, String> {
        self.foot.ok_or_else(|| "it has no last line, so a part of it is missing; make a new one".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines() -> Vec<String> {
        let head = Head {
            bridge_replay_plan: FORM,
            made_at: "2026-11-21T01:02:03.000Z".to_owned(),
            from: "aws:us-east-1/dlq".to_owned(),
            to: "owed".to_owned(),
            queues: vec!["sqs dead".to_owned()],
            hidden: 0,
            unreadable: BTreeMap::new(),
            made_for: Frame::default(),
            edit_with: None,
            edit_valid: false,
            accept_old: false,
            forget_sites: vec![],
            because: None,
            filters: vec![],
        };
        let entry = Entry {
            message: Fingerprint::of(0, "m", b"x"),
            queue: 0,
            message_id: "m".to_owned(),
            reason: "not_json".to_owned(),
            first_seen: None,
            detail: None,
            replaces_later: false,
            dropped: false,
            bytes: 1,
            event_id: None,
            key: None,
            version: None,
            source_region: None,
            errands: vec![],
            unpaid: vec![],
            refused: Some(Refused { reason: "not_json".to_owned(), detail: "no".to_owned(), effect: Effect::Invalid }),
        };
        let mut hash = Hash::default();
        let mut lines = vec![serde_json::to_string(&head).unwrap(), serde_json::to_string(&entry).unwrap()];
        hash.head(&lines[0]);
        hash.entry(&lines[1]);
        lines.push(serde_json::to_string(&hash.foot()).unwrap());
        lines
    }

    fn read(lines: &[String]) -> Result<Foot, String> {
        let mut reader = Reader::default();
        for line in lines {
            reader.line(line)?;
        }
        reader.end()
    }

    #[test]
    fn a_plan_reads_back_and_any_change_shows() {
        let good = lines();
        assert_eq!(read(&good).unwrap().entries, 1);
        for at in 0..good.len() {
            let mut missing = good.clone();
            missing.remove(at);
            assert!(read(&missing).is_err(), "without line {at}");
            let mut twice = good.clone();
            twice.insert(at, good[at].clone());
            assert!(read(&twice).is_err(), "line {at} twice");
            let mut head_again = good.clone();
            head_again.insert(at, good[0].clone());
            assert!(read(&head_again).unwrap_err().contains("order"), "a second head before line {at}");
        }
        let mut changed = good.clone();
        changed[1] = changed[1].replace("\"bytes\":1", "\"bytes\":2");
        assert!(read(&changed).unwrap_err().contains("changed after it was made"));
        let mut later = good;
        later[0] = later[0].replace("plan\":2", "plan\":3");
        assert!(read(&later).unwrap_err().contains("form 3"));
    }

    #[test]
    fn an_entry_is_of_a_queue_that_the_head_names() {
        let mut elsewhere = lines();
        elsewhere[1] = elsewhere[1].replace("\"queue\":0", "\"queue\":18446744073709551615");
        assert!(read(&elsewhere).unwrap_err().contains("which its head does not name"));
        let mut many = lines();
        let queues = vec!["\"q\""; QUEUES_MAX + 1].join(",");
        many[0] = many[0].replace("\"sqs dead\"", &queues);
        assert!(read(&many).unwrap_err().contains("257 queues"));
        let queues = vec!["\"q\""; QUEUES_MAX].join(",");
        let most = lines()[0].replace("\"sqs dead\"", &queues);
        assert!(Reader::default().line(&most).is_ok());
    }

    #[test]
    fn what_could_not_be_seen_stands_in_the_head_where_there_was_any() {
        let Line::Head(head) = Reader::default().line(&lines()[0]).unwrap() else { panic!("a head") };
        assert!(head.hidden == 0 && !lines()[0].contains("hidden"));
        let some = serde_json::to_string(&Head { hidden: 20, ..head }).unwrap();
        assert!(some.contains("\"hidden\":20"));
        assert!(matches!(Reader::default().line(&some), Ok(Line::Head(Head { hidden: 20, .. }))));
    }

    #[test]
    fn the_effect_that_matters_most_stands_for_all() {
        let Line::Entry(mut entry) = Reader::default_after_head(&lines()) else { panic!("an entry") };
        assert_eq!(entry.effect(), Effect::Invalid);
        entry.refused = None;
        assert_eq!(entry.effect(), Effect::StillOwed, "nobody can be reached who is owed");
        let to = |effect| Prediction { to: "aws:us-east-1/store".to_owned(), effect };
        entry.errands = vec![to(Effect::Duplicate), to(Effect::Apply), to(Effect::Superseded)];
        assert_eq!(entry.effect(), Effect::Apply);
    }

    impl Reader {
        fn default_after_head(lines: &[String]) -> Line {
            let mut reader = Self::default();
            reader.line(&lines[0]).unwrap();
            reader.line(&lines[1]).unwrap()
        }
    }
}
