//! The events of a world: what an application writes, and what must come of it. Few keys and coarse times, so that
//! conflicts and ties are the rule; some are flawed, and must be refused.

use std::time::Duration;

use bridge_core::{event::SiteId, marks::Marks};
use bytes::Bytes;
use chrono::{DateTime, FixedOffset, SecondsFormat, TimeDelta, Utc};
use fastrand::Rng;
use serde_json::{Map, Value, json};
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
}

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
            op: pick(rng, &["create", "update", "upsert", "delete", "delete"]),
            key: rng.usize(..keys),
            late: if chance(rng, 0.3) { rng.i64(0..20) } else { 0 },
            half: chance(rng, 0.25),
            offset: chance(rng, 0.2),
            flaw,
            again,
        }
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
    /// Its stamp, understood here and not by the code that is tested.
    pub at: DateTime<Utc>,
    /// What it did.
    pub op: &'static str,
    /// The entity's state; none of a delete.
    pub payload: Option<Map<String, Value>>,
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
        let mut payload = Map::new();
        payload.insert("id".to_owned(), json!(key));
        payload.insert("by".to_owned(), json!(origin.as_str()));
        payload.insert("number".to_owned(), json!(number));
        let body = json!({
            "event_id": id.to_string(),
            "source_region": origin.as_str(),
            "op_type": op,
            "payload": payload,
            "timestamp": stamp,
        });
        Self {
            number,
            id,
            origin: origin.clone(),
            key: key.to_owned(),
            at,
            op,
            payload: (op != "delete").then_some(payload),
            body: body.to_string().into(),
            marks: Marks::default(),
            refused: None,
        }
    }

    /// The place in the order of all writes: what the core's `Version` must agree with.
    pub fn rank(&self) -> (DateTime<Utc>, &str, Uuid) {
        (self.at, self.origin.as_str(), self.id)
    }

    /// For a trace.
    pub fn describe(&self) -> String {
        let stamp = self.at.format("%dT%H:%M:%S%.f");
        let flaw = self.refused.map(|reason| format!(", to be refused as {reason}")).unwrap_or_default();
        format!("#{} {} {} stamped {stamp} by {}{flaw}", self.number, self.op, self.key, self.origin)
    }
}
