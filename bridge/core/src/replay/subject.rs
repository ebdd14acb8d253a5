//! What a message that lies somewhere says of itself: the reason it was set aside for, whom it is owed to, its event.

use std::collections::BTreeSet;

use bytes::Bytes;
use chrono::{DateTime, Utc};

use crate::{
    decision::{Rules, decide},
    envelope,
    event::{Event, SiteId},
    port::{Delivery, Properties},
    reason::Refusal,
    settlement::property,
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
    /// Its event, or why no site would take it.
    pub event: Result<Event, Refusal>,
    /// An event that no site would take though it could be read: it tells where it is from.
    pub refused: Option<Event>,
    /// When it first came into its queue.
    pub first_seen: Option<DateTime<Utc>>,
    /// The body as it would be sent: as it lies there, or edited.
    pub body: Bytes,
    /// W3C trace context, from the event or from the message.
    pub traceparent: Option<String>,
}

/// The reason that a message lies there for. `broker`: it lies in a queue that only the broker fills.
pub fn reason(properties: &Properties, broker: bool) -> String {
    match (properties.get(property::REASON), properties.get(BROKER_REASON)) {
        (Some(reason), _) => reason.clone(),
        (None, Some(reason)) => format!("broker:{reason}"),
        (None, None) if broker => BROKER_RECEIVES.to_owned(),
        (None, None) => "waiting".to_owned(),
    }
}

impl Subject {
    /// Reads a message whose body is `body` by now. `rules` are those of any site: an event is held against the fences of
    /// its own origin, which it may not have passed yet.
    pub fn read(
        delivery: &Delivery,
        body: Result<Bytes, Refusal>,
        broker: bool,
        rules: &Rules,
        key_pointer: &str,
        now: DateTime<Utc>,
    ) -> Self {
        let mut refused = None;
        let (body, event) = match body {
            Ok(body) => {
                let event = envelope::decode(&body, key_pointer).and_then(|event| {
                    let rules = Rules { site: event.origin.clone(), ..rules.clone() };
                    match decide(&rules, &event, envelope::forwardable(&body).len(), now) {
                        Ok(_) => Ok(event),
                        Err(refusal) => {
                            refused = Some(event);
                            Err(refusal)
                        }
                    }
                });
                (body, event)
            }
            Err(refusal) => (delivery.body.clone(), Err(refusal)),
        };
        let sites = |text: &String| text.split(',').filter_map(|site| site.trim().parse().ok()).collect();
        let own = event.as_ref().ok().and_then(|event| event.traceparent.clone());
        Self {
            reason: reason(&delivery.properties, broker),
            owed: delivery.properties.get(property::OWED).map(sites),
            event,
            refused,
            first_seen: delivery.first_seen,
            body,
            traceparent: own.or_else(|| delivery.properties.get(property::TRACEPARENT).cloned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whichever site's rules are at hand: the future is fenced off at an event's origin alone.
    #[test]
    fn an_event_is_held_against_the_fences_of_its_own_origin() {
        let body = r#"{"event_id":"01936d6e-8a3c-7c61-9d0b-0f3a5a3c9e11","source_region":"azure:westeurope","op_type":"delete","payload":{"id":"k"},"timestamp":"2099-01-01T00:00:00Z"}"#;
        let (aws, azure): (SiteId, SiteId) = ("aws:us-east-1".parse().unwrap(), "azure:westeurope".parse().unwrap());
        let rules = Rules {
            site: aws.clone(),
            sites: [aws, azure].into(),
            clock_skew_max: std::time::Duration::from_secs(60),
            message_bytes_max: 1_000,
        };
        let delivery = Delivery {
            receipt: crate::port::Receipt(String::new()),
            message_id: String::new(),
            attempt: 1,
            first_seen: None,
            body: Bytes::from(body),
            properties: Properties::new(),
        };
        let now = "2026-11-21T00:00:00Z".parse().unwrap();
        let subject = Subject::read(&delivery, Ok(delivery.body.clone()), false, &rules, "/id", now);
        assert_eq!(subject.event.unwrap_err().reason, crate::reason::Reason::ClockSkew);
    }

    #[test]
    fn the_reason_is_the_letters_or_the_brokers() {
        let of = |texts: &[(&str, &str)], broker| {
            let properties: Properties =
                texts.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            reason(&properties, broker)
        };
        let (letter, broker) = (("bridge_reason", "not_json"), (BROKER_REASON, "TTLExpiredException"));
        assert_eq!(of(&[letter, broker], true), "not_json", "a letter that the broker has set aside once more");
        assert_eq!(of(&[broker], true), "broker:TTLExpiredException");
        assert_eq!(of(&[], true), "broker:too_many_receives");
        assert_eq!(of(&[], false), "waiting");
    }
}
