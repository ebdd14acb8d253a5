//! The properties of a letter, whoever wrote them.

use std::{collections::BTreeSet, time::Duration};

use bridge_core::{
    decision::{Limits, Rules},
    event::SiteId,
    letter::Form,
    limits,
    port::{Delivery, Properties, Receipt},
    property,
    reason::{Reason, Refusal},
    settlement::Letter,
    text,
};
use bridge_ops::replay::subject::{Holds, Subject};
use bytes::Bytes;
use chrono::DateTime;
use serde::Deserialize;

#[derive(Deserialize)]
struct Input {
    body: String,
    properties: Properties,
    detail: String,
    reason: usize,
    owed: Vec<String>,
}

/// Foreign properties are read for what they say; a letter that is written from them says its own reason, its own debts, and
/// no more than a message can carry.
pub(crate) fn run(bytes: &[u8]) {
    let Ok(input) = serde_json::from_slice::<Input>(bytes) else { return };
    let now = DateTime::from_timestamp(1_790_000_000, 0).unwrap();
    let delivery = |properties: Properties, body: Bytes| Delivery {
        receipt: Receipt(String::new()),
        message_id: "m".to_owned(),
        attempt: 1,
        first_seen: Some(now),
        body,
        properties,
    };
    let rules = Rules {
        site: "aws:us-east-1".parse().unwrap(),
        sites: BTreeSet::default(),
        limits: Limits {
            clock_skew_max: Duration::ZERO,
            future_max: Duration::ZERO,
            age_max: Duration::ZERO,
            message_bytes_max: 262_144,
        },
    };
    let subject = |delivery: &Delivery| {
        Subject::read(delivery, Ok(delivery.body.clone()), Holds::BrokersLetters, false, &rules, "/id", now)
    };
    let first = delivery(input.properties, input.body.into());
    let read = subject(&first);
    assert!(!read.reason.is_empty() || first.properties.get(property::REASON).is_some_and(String::is_empty));

    let owed: BTreeSet<SiteId> = input.owed.iter().filter_map(|site| site.parse().ok()).collect();
    let refusal = Refusal::new(Reason::ALL[input.reason % Reason::ALL.len()], input.detail);
    let letter = Letter { refusal: refusal.clone(), owed: owed.clone() };
    let message = letter.message(Form::Whole, &first, "source", "id".to_owned());
    assert!(message.properties.len() <= limits::PROPERTIES_MAX);
    assert!(message.properties.values().all(|value| !value.is_empty() && value.chars().all(text::is_carried)));
    let kept = message.properties.keys().filter(|name| property::is_own(name) && first.properties.contains_key(*name));
    let own = [property::FORWARDED_BY, property::ACCEPT_OLD, property::OWN_EVENT];
    let told = |name: &String| own.contains(&name.as_str()) || letter_names().contains(&name.as_str());
    assert!(kept.into_iter().all(told), "a property of the bridge came with the message: {:?}", message.properties);
    let again = subject(&delivery(message.properties.clone(), message.body));
    assert_eq!(again.reason, refusal.reason.as_str());
    if !owed.is_empty() {
        assert_eq!(again.owed, Some(owed));
    }
    assert_eq!(message.properties.get(property::DETAIL).map_or("", String::as_str), refusal.detail);
}

/// What a letter says itself.
fn letter_names() -> [&'static str; 6] {
    use property::{ATTEMPT, DETAIL, FIRST_SEEN, OWED, REASON, SOURCE_QUEUE};
    [ATTEMPT, DETAIL, FIRST_SEEN, OWED, REASON, SOURCE_QUEUE]
}
