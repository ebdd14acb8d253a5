//! Marks: properties that the bridge writes beside an event, and decides by. Each is believed only where the bridge writes it;
//! a producer that writes one itself is not kept from it (`docs/decisions/0015-whose-word-counts.md`).

use std::{fmt, time::Duration};

use chrono::{DateTime, Utc};

use crate::{
    event::{Key, SiteId},
    port::Properties,
    property::{self, ACCEPT_OLD, FORWARDED_BY, OWN_EVENT, rfc3339},
    reserved::{self, RESERVED},
    trace,
};

/// The marks of one message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// The site that forwarded the event; none where it comes from a producer.
    pub forwarded_by: Option<SiteId>,
    /// Why the event may be older than deletes are remembered; none where it may not.
    pub accept_old: Option<Accepted>,
    /// Which of the bridge's own events it is; none where a producer wrote it.
    pub own: Option<Own>,
}

/// A decision that an event may be older than deletes are remembered. It opens the fence for as long as it is young itself: an accepted
/// event that waits for too long once more would meet deletes that are forgotten by then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// Who decided.
    pub by: AcceptOld,
    /// When.
    pub at: DateTime<Utc>,
}

impl Accepted {
    /// Whether it counts at `now`, where an event may be `age_max` old and `future_max` ahead.
    pub fn counts(&self, now: DateTime<Utc>, age_max: Duration, future_max: Duration) -> bool {
        let within = |time: chrono::TimeDelta, most| time.to_std().map_or(true, |time| time <= most);
        within(now - self.at, age_max) && within(self.at - now, future_max)
    }

    fn read(text: &str) -> Option<Self> {
        let (by, at) = text.split_once(' ')?;
        Some(Self { by: AcceptOld::read(by)?, at: DateTime::parse_from_rfc3339(at).ok()?.to_utc() })
    }
}

impl fmt::Display for Accepted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.by.as_str(), rfc3339(self.at))
    }
}

/// Who decided that an event may be older than deletes are remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AcceptOld {
    /// `bridge publish --import`: a first import, with no deletes to forget.
    Import,
    /// `bridge replay --accept-old`: an operator who knows of no later delete.
    Replay,
}

impl AcceptOld {
    /// The word in the property's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Import => "import",
            Self::Replay => "replay",
        }
    }

    fn read(text: &str) -> Option<Self> {
        [Self::Import, Self::Replay].into_iter().find(|known| known.as_str() == text)
    }
}

/// An event of the bridge's own, whose key is reserved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Own {
    /// A site's heartbeat.
    Heartbeat,
    /// What a worker says of its state.
    State,
    /// A write of `bridge drill`.
    Drill,
}

/// What every key of a drill begins with.
pub const DRILL_KEYS: &str = "_bridge/drill/";

impl Own {
    /// The property's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Heartbeat => "heartbeat",
            Self::State => "state",
            Self::Drill => "drill",
        }
    }

    fn read(text: &str) -> Option<Self> {
        [Self::Heartbeat, Self::State, Self::Drill].into_iter().find(|known| known.as_str() == text)
    }

    fn has(self, key: &Key, origin: &SiteId) -> bool {
        match self {
            Self::Heartbeat => reserved::is_heartbeat(key, origin),
            Self::State => reserved::is_state(key, origin),
            Self::Drill => key.as_str().starts_with(DRILL_KEYS),
        }
    }
}

impl Marks {
    /// Reads the marks of a message. A value that the bridge never writes counts as absent.
    pub fn read(properties: &Properties) -> Self {
        let text = |name: &str| properties.get(name).map(String::as_str);
        Self {
            forwarded_by: text(FORWARDED_BY).and_then(|site| site.parse().ok()),
            accept_old: text(ACCEPT_OLD).and_then(Accepted::read),
            own: text(OWN_EVENT).and_then(Own::read),
        }
    }

    /// The marks of an event of the bridge's own.
    pub fn of(own: Own) -> Self {
        Self { own: Some(own), ..Self::default() }
    }

    /// Whether an event of `origin` may have this key: a reserved one is for the bridge's own events.
    pub fn allow(&self, key: &Key, origin: &SiteId) -> bool {
        !key.as_str().starts_with(RESERVED) || self.own.is_some_and(|own| own.has(key, origin))
    }

    /// The marks of what a worker of `site` forwards: its own name, and what was decided before.
    #[must_use]
    pub fn forwarded(&self, site: &SiteId) -> Self {
        Self { forwarded_by: Some(site.clone()), ..self.clone() }
    }

    /// Writes the marks on a message.
    pub fn write(&self, properties: &mut Properties) {
        let mut set = |name: &str, value: &str| properties.insert(name.to_owned(), value.to_owned());
        if let Some(site) = &self.forwarded_by {
            set(FORWARDED_BY, site.as_str());
        }
        if let Some(accepted) = self.accept_old {
            set(ACCEPT_OLD, &accepted.to_string());
        }
        if let Some(own) = self.own {
            set(OWN_EVENT, own.as_str());
        }
    }
}

/// What of a message's properties stays with it when the bridge sends it to its own site again, as a letter or a copy: the
/// marks, a trace that W3C allows, and all that is not the bridge's.
pub fn kept(properties: &Properties) -> Properties {
    let foreign = |name: &str| !property::is_own(name) && !trace::is_context(name);
    let mut kept: Properties = properties
        .iter()
        .filter(|(name, _)| foreign(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    Marks::read(properties).write(&mut kept);
    if let Some(carried) = trace::carried(properties, None) {
        carried.write(&mut kept);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn properties<const N: usize>(of: [(&str, &str); N]) -> Properties {
        of.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
    }

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn marks_come_back_as_they_were_written() {
        let site: SiteId = "aws:us-east-1".parse().unwrap();
        let accepted = |by| Some(Accepted { by, at: at("2026-11-21T01:02:03.004Z") });
        for accept_old in [None, accepted(AcceptOld::Import), accepted(AcceptOld::Replay)] {
            for own in [None, Some(Own::Heartbeat), Some(Own::State), Some(Own::Drill)] {
                let marks = Marks { forwarded_by: Some(site.clone()), accept_old, own };
                let mut written = Properties::new();
                marks.write(&mut written);
                assert_eq!(Marks::read(&written), marks);
            }
        }
        let mut none = Properties::new();
        Marks::default().write(&mut none);
        assert!(none.is_empty());
    }

    #[test]
    fn a_value_that_the_bridge_never_writes_marks_nothing() {
        for accepted in ["yes", "import", "import ", "import yesterday", "yes 2026-11-21T01:02:03Z"] {
            let odd = [(FORWARDED_BY, "AWS"), (ACCEPT_OLD, accepted), (OWN_EVENT, "true")];
            assert_eq!(Marks::read(&properties(odd)), Marks::default(), "{accepted}");
        }
    }

    #[test]
    fn a_decision_counts_for_as_long_as_it_is_young() {
        let (day, hour) = (Duration::from_hours(24), Duration::from_hours(1));
        let accepted = Accepted { by: AcceptOld::Replay, at: at("2026-11-21T01:00:00Z") };
        let counts = |now: &str| accepted.counts(at(now), day, hour);
        for now in ["2026-11-21T00:00:00Z", "2026-11-21T01:00:00Z", "2026-11-22T01:00:00Z"] {
            assert!(counts(now), "{now}");
        }
        for now in ["2026-11-20T23:59:59.999Z", "2026-11-22T01:00:00.001Z", "9999-01-01T00:00:00Z"] {
            assert!(!counts(now), "{now}");
        }
    }

    #[test]
    fn a_reserved_key_is_for_the_own_event_that_it_belongs_to() {
        let origin: SiteId = "aws:us-east-1".parse().unwrap();
        let (beat, foreign) = ("_bridge/heartbeat/aws:us-east-1", "_bridge/heartbeat/azure:westeurope");
        let allowed =
            |own: Option<Own>, key: &str| Marks { own, ..Marks::default() }.allow(&key.parse().unwrap(), &origin);
        for own in [None, Some(Own::Heartbeat), Some(Own::State), Some(Own::Drill)] {
            assert!(["order-42", "_bridge", "bridge/x", "a/_bridge/x"].iter().all(|key| allowed(own, key)), "{own:?}");
            assert_eq!(allowed(own, beat), own == Some(Own::Heartbeat), "{own:?}");
            assert_eq!(allowed(own, "_bridge/state/aws:us-east-1"), own == Some(Own::State), "{own:?}");
            assert_eq!(allowed(own, "_bridge/drill/1/k"), own == Some(Own::Drill), "{own:?}");
            assert!(
                ![
                    "_bridge/",
                    "_bridge/order-42",
                    foreign,
                    "_bridge/state/azure:westeurope",
                    "_bridge/conflict/aws:us-east-1/0"
                ]
                .iter()
                .any(|key| allowed(own, key)),
                "{own:?}"
            );
        }
    }

    #[test]
    fn what_was_decided_before_travels_on_and_the_forwarder_is_new() {
        let [producer, site]: [SiteId; 2] = ["aws:mars-1", "aws:us-east-1"].map(|site| site.parse().unwrap());
        let accepted = Accepted { by: AcceptOld::Import, at: at("2026-11-21T01:02:03Z") };
        let marks = Marks { forwarded_by: Some(producer), accept_old: Some(accepted), own: Some(Own::Drill) };
        assert_eq!(marks.forwarded(&site), Marks { forwarded_by: Some(site), ..marks });
    }

    #[test]
    fn the_bridges_names_are_kept_only_where_they_are_marks() {
        let message = properties([
            ("own", "x"),
            ("bridge_owed", "aws:us-east-1"),
            ("bridge_attempt", "25"),
            ("bridge_first_seen", "2026-11-21T00:00:00Z"),
            ("bridge_reason", "not_json"),
            ("bridge_anything", "x"),
            (FORWARDED_BY, "aws:us-east-1"),
            (ACCEPT_OLD, "replay 2026-11-21T01:02:03.000Z"),
            ("tracestate", "\u{1}"),
        ]);
        let accepted = (ACCEPT_OLD, "replay 2026-11-21T01:02:03.000Z");
        let expected = properties([("own", "x"), (FORWARDED_BY, "aws:us-east-1"), accepted]);
        assert_eq!(kept(&message), expected);
    }
}
