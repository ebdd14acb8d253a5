//! What a message that lies somewhere says of itself: the reason it was set aside for, whom it is owed to, its event.

use std::collections::BTreeSet;

use bytes::Bytes;
use chrono::{DateTime, Utc};

use super::route::Target;
use bridge_core::{
    decision::{Rules, decide},
    envelope,
    event::{Event, SiteId},
    marks::{AcceptOld, Accepted, Marks},
    port::{Delivery, Properties},
    property,
    reason::{Reason, Refusal},
    trace::{self, Carried},
};

/// What Service Bus writes on a message that it sets aside itself ("Service Bus dead-letter queues", read 2026-11).
const BROKER_REASON: &str = "DeadLetterReason";

/// The reason of what SQS set aside itself, which says none: it has only this one.
pub const BROKER_RECEIVES: &str = "broker:too_many_receives";

/// A message that may be replayed.
#[derive(Clone, Debug)]
pub struct Subject {
    /// Why it lies there: the code of its letter, `broker:...` where the broker itself set it aside, or `waiting`.
    pub reason: String,
    /// The sites that its letter says have not confirmed the event; none where nobody wrote that down.
    pub owed: Option<BTreeSet<SiteId>>,
    /// Whether its letter also named a site that the operator has given up.
    pub given_up: bool,
    /// Its event, or why no site would take it.
    pub event: Result<Event, Refusal>,
    /// An event that no site would take though it could be read: it tells where it is from.
    pub refused: Option<Event>,
    /// Whether it has to reach all sites or none, whatever its letter says: none has it as it is now, or those that would get it
    /// would keep what others refuse. Its origin's worker brings it to all.
    pub is_new: bool,
    /// When it first came into its queue.
    pub first_seen: Option<DateTime<Utc>>,
    /// The body as it would be sent: as it lies there, or edited.
    pub body: Bytes,
    /// The trace context that it goes on with.
    pub trace: Option<Carried>,
    /// What the bridge wrote beside the event.
    pub marks: Marks,
}

/// What lies in a queue: it decides whose word the properties of a message are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// Events that wait for a worker. Whoever sent them wrote their properties.
    Events,
    /// Letters that the bridge wrote.
    Letters,
    /// Events that the broker set aside itself.
    BrokersEvents,
    /// Letters that the broker set aside once more.
    BrokersLetters,
}

impl Holds {
    /// What one message of the queue is. SQS may move events straight into the queue of the bridge's letters.
    fn of(self, properties: &Properties) -> Self {
        match self {
            Self::Letters if properties.contains_key(property::MOVED_BY_BROKER) => Self::BrokersEvents,
            other => other,
        }
    }

    /// Whether what the properties of a letter say was written by the bridge.
    fn letters(self) -> bool {
        matches!(self, Self::Letters | Self::BrokersLetters)
    }

    /// Whether only the broker fills the queue.
    fn brokers(self) -> bool {
        matches!(self, Self::BrokersEvents | Self::BrokersLetters)
    }
}

/// What the bridge wrote under this name beside a message. In what is no letter, somebody else wrote it.
fn said<'a>(properties: &'a Properties, holds: Holds, name: &str) -> Option<&'a String> {
    properties.get(name).filter(|_| holds.of(properties).letters())
}

/// The reason that a message lies there for.
pub fn reason(properties: &Properties, holds: Holds) -> String {
    match (said(properties, holds, property::REASON), properties.get(BROKER_REASON)) {
        (Some(reason), _) => reason.clone(),
        (None, Some(reason)) => format!("broker:{reason}"),
        (None, None) if holds.of(properties).brokers() => BROKER_RECEIVES.to_owned(),
        (None, None) => "waiting".to_owned(),
    }
}

/// Whether a letter says that some site is owed the event.
pub fn is_owed(properties: &Properties, holds: Holds) -> bool {
    said(properties, holds, property::OWED).is_some()
}

/// Whether a letter names sites that are owed the event, each by a name that can be read.
pub(super) fn names_who_is_owed(properties: &Properties, holds: Holds) -> bool {
    let is_name = |name: &str| name.trim().parse::<SiteId>().is_ok();
    said(properties, holds, property::OWED).is_some_and(|owed| owed.split(',').all(is_name))
}

/// Whether a letter says that this site is owed the event. One whose names cannot be read is owed to all.
pub(super) fn is_owed_to(properties: &Properties, holds: Holds, site: &SiteId) -> bool {
    let Some(owed) = said(properties, holds, property::OWED) else { return false };
    let names = || owed.split(',').map(str::trim);
    names().any(|name| name == site.as_str()) || names().any(|name| name.parse::<SiteId>().is_err())
}

/// What a letter says about its reason.
pub(super) fn detail(properties: &Properties, holds: Holds) -> Option<&String> {
    said(properties, holds, property::DETAIL)
}

/// Whether a letter holds only the head of a message that fits no letter; the message itself lies where it was.
pub(super) fn is_excerpt(properties: &Properties, holds: Holds) -> bool {
    said(properties, holds, property::BODY_SHA256).is_some()
}

/// When a letter says that its message first came, or when the letter came: whichever is earlier.
pub(super) fn first_seen(delivery: &Delivery, holds: Holds) -> Option<DateTime<Utc>> {
    let told = said(&delivery.properties, holds, property::FIRST_SEEN);
    let told = told.and_then(|text| DateTime::parse_from_rfc3339(text).ok());
    told.map(|told| told.to_utc()).into_iter().chain(delivery.first_seen).min()
}

#[cfg(test)]
impl Subject {
    /// A message of which nothing is known but its event.
    pub(super) fn sample(event: Result<Event, Refusal>) -> Self {
        Self {
            reason: String::new(),
            owed: None,
            given_up: false,
            event,
            refused: None,
            is_new: false,
            first_seen: None,
            body: Bytes::new(),
            trace: None,
            marks: Marks::default(),
        }
    }
}

impl Subject {
    /// Reads a message whose body is `body` by now. `rules` are those of any site: an event is held against the fences of
    /// its own origin, which it may not have passed yet; one that its origin has forwarded against those of a peer. `accept_old`: it may
    /// be older than deletes are remembered.
    pub fn read(
        delivery: &Delivery,
        body: Result<Bytes, Refusal>,
        holds: Holds,
        accept_old: bool,
        rules: &Rules,
        key_pointer: &str,
        now: DateTime<Utc>,
    ) -> Self {
        let mut refused = None;
        let reason = reason(&delivery.properties, holds);
        let (mut is_new, mut marks) = (false, Marks::read(&delivery.properties));
        let (body, event) = match body {
            Ok(body) => {
                let event = envelope::decode_marked(&body, key_pointer, &marks).and_then(|event| {
                    let rules = Rules { site: judge_of(&event, &marks, rules), ..rules.clone() };
                    let judge = |marks: &Marks| decide(&rules, &event, marks, envelope::forwardable(&body).len(), now);
                    let mut judged = judge(&marks);
                    if accept_old && judged.as_ref().is_err_and(|letter| letter.refusal.reason == Reason::TooOld) {
                        marks.accept_old = Some(Accepted { by: AcceptOld::Replay, at: now });
                        is_new = true;
                        judged = judge(&marks);
                    }
                    match judged {
                        Ok(_) => Ok(event),
                        Err(letter) => {
                            refused = Some(event);
                            Err(letter.refusal)
                        }
                    }
                });
                (body, event)
            }
            Err(refusal) => (delivery.body.clone(), Err(refusal)),
        };
        // Where a name cannot be read, everybody is owed the event: bringing it twice changes nothing.
        let sites = |text: &String| {
            let names = text.split(',').map(|site| site.trim().parse());
            names.collect::<Result<_, _>>().unwrap_or_else(|_| rules.sites.clone())
        };
        let trace = trace::carried(&delivery.properties, event.as_ref().ok().and_then(|event| event.trace.as_ref()));
        Self {
            reason,
            owed: said(&delivery.properties, holds, property::OWED).map(sites),
            given_up: false,
            event,
            refused,
            is_new,
            first_seen: first_seen(delivery, holds),
            body,
            trace,
            marks,
        }
    }

    /// The same, refused if the letter holds only the head of its message.
    pub(super) fn whole(self, is_excerpt: bool) -> Self {
        if is_excerpt { self.refuse(EXCERPT) } else { self }
    }

    /// The same, owed to none of `sites`, which are not there any more.
    pub(super) fn without(mut self, sites: &BTreeSet<SiteId>) -> Self {
        if let Some(owed) = &mut self.owed {
            let named = owed.len();
            owed.retain(|site| !sites.contains(site));
            self.given_up = owed.len() < named;
        }
        self
    }

    /// The same, refused where `target` would bring to some sites what has to reach all of them.
    pub(super) fn all_sites_or_none(self, target: &Target) -> Self {
        let reaches_all = |event: &Event| match target {
            Target::Owed | Target::Nowhere => true,
            Target::Queue(site) => *site == event.origin,
            Target::Store(_) => false,
        };
        match &self.event {
            Ok(event) if self.is_new && !reaches_all(event) => self.refuse(NOT_ALL_SITES),
            _ => self,
        }
    }

    pub(super) fn refuse(self, detail: &str) -> Self {
        let (event, refused) = (Err(Refusal::new(Reason::InvalidEvent, detail)), self.event.ok());
        Self { event, refused, ..self }
    }
}

/// The site whose fences an event has to pass next.
fn judge_of(event: &Event, marks: &Marks, rules: &Rules) -> SiteId {
    let forwarded = marks.forwarded_by.as_ref() == Some(&event.origin);
    let peer = rules.sites.iter().find(|site| forwarded && **site != event.origin);
    peer.unwrap_or(&event.origin).clone()
}

const EXCERPT: &str = "this letter holds only the head of a message that fits no letter; the message itself is in its queue: \
                       runbooks/dead-letters.md says what to do";

const NOT_ALL_SITES: &str = "an event that was edited, or that is older than deletes are remembered, has \
                             to reach all sites: replay it with --to owed, which brings it to its origin's queue";

#[cfg(test)]
mod tests {
    use super::*;
    use bridge_core::{decision::Limits, limits};

    /// Whichever site's rules are at hand: the future is fenced off at an event's origin alone.
    #[test]
    fn an_event_is_held_against_the_fences_of_its_own_origin() {
        let body = r#"{"event_id":"01936d6e-8a3c-7c61-9d0b-0f3a5a3c9e11","source_region":"azure:westeurope","op_type":"delete","payload":{"id":"k"},"timestamp":"2099-01-01T00:00:00Z"}"#;
        let (aws, azure): (SiteId, SiteId) = ("aws:us-east-1".parse().unwrap(), "azure:westeurope".parse().unwrap());
        let rules = Rules {
            site: aws.clone(),
            sites: [aws, azure].into(),
            limits: Limits {
                clock_skew_max: limits::CLOCK_SKEW_MAX,
                future_max: limits::FUTURE_MAX,
                age_max: limits::age_max(limits::TOMBSTONE_LIFE),
                message_bytes_max: 1_000,
            },
        };
        let delivery = Delivery {
            receipt: bridge_core::port::Receipt(String::new()),
            message_id: String::new(),
            attempt: 1,
            first_seen: None,
            body: Bytes::from(body),
            properties: Properties::new(),
        };
        let now = "2026-11-21T00:00:00Z".parse().unwrap();
        let subject = Subject::read(&delivery, Ok(delivery.body.clone()), Holds::Letters, false, &rules, "/id", now);
        assert_eq!(subject.event.unwrap_err().reason, bridge_core::reason::Reason::ClockSkew);
    }

    #[test]
    fn the_reason_is_the_letters_or_the_brokers() {
        let of = |texts: &[(&str, &str)], holds| {
            let properties: Properties =
                texts.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            reason(&properties, holds)
        };
        let (letter, broker) = (("bridge_reason", "not_json"), (BROKER_REASON, "TTLExpiredException"));
        assert_eq!(of(&[letter], Holds::Letters), "not_json");
        assert_eq!(of(&[letter, broker], Holds::BrokersLetters), "not_json", "what the broker set aside once more");
        assert_eq!(of(&[broker], Holds::BrokersEvents), "broker:TTLExpiredException");
        assert_eq!(of(&[], Holds::BrokersEvents), "broker:too_many_receives");
        assert_eq!(of(&[], Holds::Events), "waiting");
        assert_eq!(of(&[letter], Holds::Events), "waiting", "a producer wrote that");
        assert_eq!(of(&[letter, broker], Holds::BrokersEvents), "broker:TTLExpiredException");
        let moved = ("bridge_moved_by_broker", "arn:aws:sqs:us-east-1:000000000000:bridge-events");
        assert_eq!(of(&[letter, moved], Holds::Letters), "broker:too_many_receives", "a producer wrote that too");
        let owed: Properties =
            [("bridge_owed", "aws:us-east-1"), moved].map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        assert!(!is_owed(&owed, Holds::Letters) && is_owed(&owed, Holds::BrokersLetters));
    }
}
