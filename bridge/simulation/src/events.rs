//! The events of a world: what an application writes, and what must come of it. Few keys and coarse times, so that
//! conflicts and ties are the rule; some are flawed, and must be refused.

use std::time::Duration;

use bridge_core::{
    event::{Payload, SiteId},
    marks::Marks,
    record::Record,
};
use bytes::Bytes;
use chrono::{DateTime, FixedOffset, SecondsFormat, TimeDelta, Utc};
use fastrand::Rng;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::seed::{chance, pick};

/// Stamps are whole multiples of this, and sometimes half a second more: ties between sites are common.
const GRAIN_SECONDS: i64 = 5;

/// An event that an application will write, without its stamp: that is read off the clock when it is written.
#[derive(Clone, Debug)]
pub struct Draft {
    /// When, counted from the episode's begin.
    pub after: Duration,
    /// The site that accepts the write, by number.
    pub site: usize,
    op: &'static str,
    key: usize,
    /// How many grains the stamp lies back.
    late: i64,
    /// Whether the stamp has half a second more than its grain.
    half: bool,
    /// Whether the stamp is written with an offset.
    offset: bool,
    flaw: Option<Flaw>,
    /// When the application sends the event once more, not sure that the first time worked, and to which site.
    pub again: Option<(Duration, usize)>,
    /// When, before that, it sends the event as it renders it anew for another try.
    pub anew: Option<(Duration, Anew)>,
}

/// Another content under the same name, origin and stamp.
#[derive(Clone, Copy, Debug)]
pub struct Anew {
    /// What it does now.
    pub op: &'static str,
    /// Whether the row has changed in between.
    pub other_row: bool,
}

const OPS: [&str; 5] = ["create", "update", "upsert", "delete", "delete"];

/// Why an event must be refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    FarFuture,
    NotJson,
    NoTimestamp,
    MemberTwice,
    UnknownOrigin,
    NotPortable,
    /// It names a peer as its origin, and is sent here.
    NotForwarded,
    /// From the far future, and marked as a peer's forward.
    FarForward,
    TooOld,
    ReservedKey,
}

impl Draft {
    /// An event within an episode of `length`, in a world of so many sites and keys.
    pub fn draw(rng: &mut Rng, sites: usize, keys: usize, length: Duration) -> Self {
        let site = rng.usize(..sites);
        let flaws = [
            Flaw::FarFuture,
            Flaw::FarFuture,
            Flaw::NotJson,
            Flaw::NoTimestamp,
            Flaw::MemberTwice,
            Flaw::UnknownOrigin,
            Flaw::NotPortable,
            Flaw::TooOld,
            Flaw::ReservedKey,
            Flaw::NotForwarded,
            Flaw::FarForward,
        ];
        // A site that is alone has no peer to name.
        let flaws = if sites > 1 { &flaws[..] } else { &flaws[..flaws.len() - 2] };
        let flaw = chance(rng, 0.08).then(|| pick(rng, flaws));
        let pause = Duration::from_secs(rng.u64(1..60));
        // A client that is not sure tries again, sometimes at another site; the event still names its origin.
        let again = chance(rng, 0.15).then(|| {
            let elsewhere = flaw.is_none() && chance(rng, 0.3);
            (pause, if elsewhere { rng.usize(..sites) } else { site })
        });
        Self {
            after: length.mul_f64(rng.f64()),
            site,
            op: pick(rng, &OPS),
            key: rng.usize(..keys),
            late: if chance(rng, 0.3) { rng.i64(0..20) } else { 0 },
            half: chance(rng, 0.25),
            offset: chance(rng, 0.2),
            flaw,
            again,
            anew: None,
        }
    }

    /// Decides whether the producer is one that renders its row at each try, as it should not.
    pub fn draw_anew(&mut self, rng: &mut Rng) {
        let pause = Duration::from_secs(pick(rng, &[0, 0, 1, 10, 40]));
        let anew = Anew { op: pick(rng, &OPS), other_row: chance(rng, 0.7) };
        self.anew = (chance(rng, 0.12) && self.flaw.is_none()).then_some((pause, anew));
    }

    /// The event as it is written at `origin` when the site's clock shows `now`; `peer` is another site.
    pub fn write(&self, number: usize, id: Uuid, origin: &SiteId, peer: &SiteId, now: DateTime<Utc>) -> Fact {
        let grain = now.timestamp().div_euclid(GRAIN_SECONDS) - self.late;
        let at = DateTime::from_timestamp(grain * GRAIN_SECONDS, if self.half { 500_000_000 } else { 0 })
            .unwrap_or(DateTime::UNIX_EPOCH);
        let at = match self.flaw {
            Some(Flaw::FarFuture | Flaw::FarForward) => at + TimeDelta::days(365 * 70),
            Some(Flaw::TooOld) => at - TimeDelta::days(70),
            _ => at,
        };
        let origin = if matches!(self.flaw, Some(Flaw::NotForwarded | Flaw::FarForward)) { peer } else { origin };
        let stamp = if self.offset {
            let offset = FixedOffset::east_opt(2 * 3600).unwrap_or(FixedOffset::east_opt(0).expect("UTC"));
            at.with_timezone(&offset).to_rfc3339_opts(SecondsFormat::AutoSi, true)
        } else {
            at.to_rfc3339_opts(SecondsFormat::AutoSi, true)
        };
        let mut fact = Fact::new(number, id, origin, &format!("key-{}", self.key), self.op, at, &stamp);
        if let Some(flaw) = self.flaw {
            flaw.spoil(&mut fact);
        }
        fact
    }
}

impl Flaw {
    /// Makes an event one that must be refused, and says as what.
    fn spoil(self, fact: &mut Fact) {
        let body = String::from_utf8_lossy(&fact.body).into_owned();
        let (body, reason) = match self {
            Self::FarFuture => (body, "clock_skew"),
            Self::FarForward => {
                fact.marks = fact.marks.forwarded(&fact.origin);
                (body, "clock_skew")
            }
            Self::NotForwarded => (body, "not_forwarded"),
            Self::TooOld => (body, "too_old"),
            Self::ReservedKey => (body.replacen("\"id\":\"", "\"id\":\"_bridge/", 1), "invalid_key"),
            Self::NotJson => (body.replacen('{', "{!", 1), "not_json"),
            Self::NoTimestamp => (body.replacen("\"timestamp\":\"", "\"timestamp\":\"yesterday ", 1), "invalid_event"),
            Self::MemberTwice => (body.replacen('{', "{\"op_type\":\"delete\",", 1), "duplicate_member"),
            Self::UnknownOrigin => {
                let site = |name: &str| format!("\"source_region\":\"{name}\"");
                (body.replacen(&site(fact.origin.as_str()), &site("aws:mars-1"), 1), "unknown_origin")
            }
            Self::NotPortable => {
                let body = body.replacen("\"number\":", "\"total\":9007199254740993,\"number\":", 1);
                (body.replacen("\"op_type\":\"delete\"", "\"op_type\":\"upsert\"", 1), "not_portable")
            }
        };
        (fact.body, fact.refused) = (body.into(), Some(reason));
    }
}

/// An event that was written, and what must come of it.
#[derive(Clone, Debug)]
pub struct Fact {
    /// Its name in traces, from 1.
    pub number: usize,
    /// Its own name.
    pub id: Uuid,
    /// The site that accepted it.
    pub origin: SiteId,
    /// The entity.
    pub key: String,
    /// Its stamp, understood here and not by the code that is tested,
    pub at: DateTime<Utc>,
    /// and as it is written.
    pub stamp: String,
    /// What it did.
    pub op: &'static str,
    /// The entity's state as canonical text, written here and not by the code that is tested; none of a delete.
    pub payload: Option<String>,
    /// What its version ends with, computed here and not by the code that is tested.
    pub content: String,
    /// The event that it renders anew, by number.
    pub anew_of: Option<usize>,
    /// Its bytes.
    pub body: Bytes,
    /// What the application marks it with.
    pub marks: Marks,
    /// The code that it must be refused with.
    pub refused: Option<&'static str>,
}

impl Fact {
    /// An event without a flaw. `stamp`: how it says `at`.
    pub fn new(
        number: usize,
        id: Uuid,
        origin: &SiteId,
        key: &str,
        op: &'static str,
        at: DateTime<Utc>,
        stamp: &str,
    ) -> Self {
        let blank = Self {
            number,
            id,
            origin: origin.clone(),
            key: key.to_owned(),
            at,
            stamp: stamp.to_owned(),
            op,
            payload: None,
            content: String::new(),
            anew_of: None,
            body: Bytes::new(),
            marks: Marks::default(),
            refused: None,
        };
        blank.rendered(op, number)
    }

    /// The same name, origin and stamp with the content that `anew` says; none if that is the same content.
    pub fn anew(&self, number: usize, anew: Anew) -> Option<Self> {
        let row = if anew.other_row { number } else { self.number };
        let mut other = self.rendered(anew.op, row);
        (other.number, other.anew_of) = (number, Some(self.number));
        (other.content != self.content).then_some(other)
    }

    fn rendered(&self, op: &'static str, row: usize) -> Self {
        let mut payload = Map::new();
        payload.insert("id".to_owned(), json!(self.key));
        payload.insert("by".to_owned(), json!(self.origin.as_str()));
        payload.insert("number".to_owned(), json!(row));
        let body = json!({
            "event_id": self.id.to_string(),
            "source_region": self.origin.as_str(),
            "op_type": op,
            "payload": payload,
            "timestamp": self.stamp,
        });
        let payload = (op != "delete").then(|| canonical(&payload));
        let content = content(op, &self.stamp, &self.key, payload.clone());
        Self { op, payload, content, body: body.to_string().into(), ..self.clone() }
    }

    /// The place in the order of all writes: what the core's `Version` must agree with.
    pub fn rank(&self) -> (DateTime<Utc>, &str, Uuid, &str) {
        (self.at, self.origin.as_str(), self.id, &self.content)
    }

    /// Whether a record holds this very content of this event.
    pub fn is_in(&self, record: &Record) -> bool {
        let payload = record.payload.as_ref().map(Payload::as_str);
        record.event_id == self.id && record.op.as_str() == self.op && payload == self.payload.as_deref()
    }

    /// For a trace.
    pub fn describe(&self) -> String {
        let stamp = self.at.format("%dT%H:%M:%S%.f");
        let flaw = self.refused.map(|reason| format!(", to be refused as {reason}")).unwrap_or_default();
        let anew = self.anew_of.map(|first| format!(", #{first} rendered anew")).unwrap_or_default();
        format!("#{} {} {} stamped {stamp} by {}{anew}{flaw}", self.number, self.op, self.key, self.origin)
    }
}

/// The canonical text of members that are texts without escapes and small integers.
fn canonical(members: &Map<String, Value>) -> String {
    let mut members: Vec<String> = members.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
    members.sort_unstable();
    format!("{{{}}}", members.join(","))
}

/// Sixteen digits for a content, as `schema/README.md` has it.
fn content(op: &str, stamp: &str, key: &str, payload: Option<String>) -> String {
    let texts = [op, stamp, key].map(|text| format!("\"{text}\""));
    let parts: Vec<String> = texts.into_iter().chain(payload).collect();
    let hash = Sha256::digest(format!("[{}]", parts.join(",")));
    format!("{hash:x}")[..16].to_owned()
}
