//! What a worker says of its own state, under a reserved key: straight into its site's store and into its peers' queues. A worker that
//! takes nothing from its own queue can still say so. A state is no heartbeat: it does not take the way of the events.

use std::collections::BTreeMap;

use bytes::Bytes;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use crate::{
    envelope,
    event::{Event, SiteId},
    forwarded,
    marks::{Marks, Own},
    port::Message,
    property::rfc3339,
    reason::Refusal,
    record::Record,
    reserved, text,
};

/// Characters of a detail. Ours: the first two causes of a chain, and no letter's worth of text.
const DETAIL_MAX: usize = 300;

/// What a worker is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It takes messages and works them off.
    Working,
    /// It takes nothing until an operator acts.
    Halted,
    /// Its store does not answer: it applies nothing, and goes on by itself.
    StoreAway,
    /// It ended, and left nothing half done.
    Stopped,
}

impl State {
    /// The word in records and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Working => "working",
            Self::Halted => "halted",
            Self::StoreAway => "store_away",
            Self::Stopped => "stopped",
        }
    }
}

/// A time in a record: RFC 3339, UTC, milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Since(pub DateTime<Utc>);

impl TryFrom<String> for Since {
    type Error = chrono::ParseError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Ok(Self(text.parse()?))
    }
}

impl From<Since> for String {
    fn from(Since(at): Since) -> Self {
        rfc3339(at)
    }
}

/// Letters whose events a worker brings to those who are owed them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bringing {
    /// Since when.
    pub since: Since,
    /// Letters so far.
    pub letters: u64,
}

/// What a worker says of its state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Told {
    /// What it is doing.
    pub state: State,
    /// Since when, by its cloud's clock as far as the worker knew it.
    pub since: Since,
    /// Why; none where it is working.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// When it looks next whether it may go on; of one that is halted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_look: Option<Since>,
    /// The peers that do not take what it forwards, and since when.
    #[serde(default)]
    pub peers_away: BTreeMap<String, Since>,
    /// Whether it brings what letters owe by itself.
    #[serde(default)]
    pub auto_replay: bool,
    /// What it brings right now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bringing: Option<Bringing>,
    /// Messages that it gave back to be delivered again later, whose time has not come.
    #[serde(default)]
    pub backing_off: u64,
    /// Milliseconds until it says so again here; none if it does so only on a change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub again_ms: Option<u32>,
    /// Names the process.
    #[serde(default)]
    pub instance: String,
}

impl Told {
    /// The same as a record may hold it: times by the cloud's clock, of which the worker's is `ahead`; the detail in one line of a few
    /// hundred characters.
    fn corrected(&self, ahead: TimeDelta) -> Self {
        let correct = |Since(at)| Since(at.checked_sub_signed(ahead).unwrap_or(at));
        Self {
            since: correct(self.since),
            next_look: self.next_look.map(correct),
            bringing: self.bringing.map(|bringing| Bringing { since: correct(bringing.since), ..bringing }),
            detail: self.detail.as_ref().map(|detail| text::line(detail).chars().take(DETAIL_MAX).collect()),
            peers_away: self.peers_away.iter().map(|(peer, since)| (peer.clone(), correct(*since))).collect(),
            ..self.clone()
        }
    }
}

/// What a worker of `site` says at `now`, by its own clock, which is `ahead` of its cloud's.
#[derive(Debug)]
pub struct Telling {
    body: Bytes,
    event: Event,
}

impl Telling {
    /// Puts it into words.
    ///
    /// # Errors
    /// The event would be refused: its worker's clock shows a year that no version can hold.
    pub fn new(site: &SiteId, id: Uuid, now: DateTime<Utc>, ahead: TimeDelta, told: &Told) -> Result<Self, Refusal> {
        let at = now.checked_sub_signed(ahead).unwrap_or(now);
        let event = json!({
            "event_id": id.to_string(),
            "source_region": site.as_str(),
            "op_type": "upsert",
            "key": reserved::state(site).as_str(),
            "payload": { "state": told.corrected(ahead) },
            "timestamp": at.to_rfc3339_opts(SecondsFormat::Nanos, true),
        });
        let body = Bytes::from(event.to_string());
        let event = envelope::decode_marked(&body, "/nowhere", &Marks::of(Own::State))?;
        Ok(Self { body, event })
    }

    /// The record for the site's own store, written at `now`.
    pub fn record(&self, now: DateTime<Utc>) -> Record {
        // It is no tombstone, so no life is set.
        Record::new(&self.event, &self.event.origin, now, std::time::Duration::ZERO)
    }

    /// The message for a peer's queue, under the name `id` of its send.
    pub fn message(&self, id: Uuid) -> Message {
        let marks = Marks::of(Own::State).forwarded(&self.event.origin);
        forwarded::message(&self.event, &self.body, &marks, None, id)
    }
}

/// A state that arrived in a store.
#[derive(Clone, Debug, PartialEq)]
pub struct Heard {
    /// When it was said, by its cloud's clock as far as its worker knew it.
    pub at: DateTime<Utc>,
    /// What was said.
    pub told: Told,
}

impl Heard {
    /// Reads it from the record that it left; none if this version does not know such a state.
    pub fn read(record: &Record) -> Option<Self> {
        let told = serde_json::from_str(record.payload.as_ref()?.get("state")?).ok()?;
        Some(Self { at: record.version.timestamp(), told })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::heartbeat;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn told() -> Told {
        Told {
            state: State::Halted,
            since: Since(at("2026-11-21T01:00:05Z")),
            detail: Some("table: denied".to_owned()),
            next_look: Some(Since(at("2026-11-21T01:03:05Z"))),
            peers_away: [("aws:us-east-1".to_owned(), Since(at("2026-11-21T00:59:05Z")))].into(),
            auto_replay: true,
            bringing: Some(Bringing { since: Since(at("2026-11-21T01:00:07Z")), letters: 12 }),
            backing_off: 3,
            again_ms: Some(2_000),
            instance: "one".to_owned(),
        }
    }

    #[test]
    fn a_state_is_an_event_that_its_origin_forwarded_and_no_heartbeat() {
        let site: SiteId = "azure:westeurope".parse().unwrap();
        let now = at("2026-11-21T01:02:03.000000004Z");
        let telling = Telling::new(&site, Uuid::nil(), now, TimeDelta::seconds(5), &told()).unwrap();
        let message = telling.message(Uuid::nil());
        let marks = Marks::read(&message.properties);
        let event = envelope::decode_marked(&message.body, "/nowhere", &marks).unwrap();
        assert_eq!(event.key.as_str(), "_bridge/state/azure:westeurope");
        assert_eq!((marks.forwarded_by.as_ref(), &event.origin), (Some(&site), &site));
        assert!(!reserved::is_heartbeat(&event.key, &site) && reserved::is_own_word(&event.key, &site));

        let record = telling.record(now);
        assert!(heartbeat::Heard::read(&record).is_none_or(|heard| heard.status.is_none()));
        let heard = Heard::read(&record).unwrap();
        assert_eq!(heard.at, at("2026-11-21T01:01:58.000000004Z"), "by the cloud's clock");
        assert_eq!(heard.told.since.0, at("2026-11-21T01:00:00Z"));
        assert_eq!(heard.told.peers_away["aws:us-east-1"].0, at("2026-11-21T00:59:00Z"));
        assert_eq!(heard.told.next_look.unwrap().0, at("2026-11-21T01:03:00Z"));
        assert_eq!(heard.told.bringing.unwrap().since.0, at("2026-11-21T01:00:02Z"));
        let telling = Telling::new(&site, Uuid::nil(), now, TimeDelta::zero(), &told()).unwrap();
        assert_eq!(Heard::read(&telling.record(now)).unwrap().told, told());
    }

    #[test]
    fn whatever_went_wrong_can_be_told_in_one_short_line() {
        let site: SiteId = "azure:westeurope".parse().unwrap();
        let detail = "a\nb\u{0}\u{feff}\"".repeat(1_000);
        let long = Told { detail: Some(detail), ..told() };
        let now = at("2026-11-21T01:02:03Z");
        let telling = Telling::new(&site, Uuid::nil(), now, TimeDelta::zero(), &long).unwrap();
        let said = Heard::read(&telling.record(now)).unwrap().told.detail.unwrap();
        assert_eq!(said.chars().count(), DETAIL_MAX);
        assert!(!said.contains('\n') && !said.contains('\u{0}'), "{said}");
    }

    #[test]
    fn a_state_has_one_word() {
        for state in [State::Working, State::Halted, State::StoreAway, State::Stopped] {
            assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
        }
    }
}
