//! A letter as the message that goes into a dead-letter queue, in forms of which each asks less of the queue than the one before.

use sha2::{Digest, Sha256};

use crate::{
    event::SiteId,
    limits,
    marks::{self, Marks},
    port::{Delivery, Message, Properties},
    property::{self, rfc3339},
    settlement::Letter,
    text,
};

/// How much of a letter is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Form {
    /// All of it: the body byte for byte, the letter as properties, and as many of the message's own as there is room for.
    Whole,
    /// Without the message's own properties.
    Bare,
    /// With the beginning of the detail.
    Short,
    /// Reason and owed alone.
    Least,
    /// The letter without the body: in its place the body's beginning, its length and its SHA-256.
    Excerpt,
}

impl Form {
    /// Those that hold the whole body, the fullest first.
    pub const WITH_BODY: [Self; 4] = [Self::Whole, Self::Bare, Self::Short, Self::Least];
}

impl Letter {
    /// The message to put into the dead-letter queue. All of its properties together take no more than [`limits::PROPERTIES_BYTES`] as any
    /// queue counts, but for very many sites that are owed.
    pub fn message(&self, form: Form, delivery: &Delivery, source_queue: &str, id: String) -> Message {
        let mut properties = Properties::new();
        // No queue carries an empty one.
        let mut set = |name: &str, value: String| {
            if !value.is_empty() {
                properties.insert(name.to_owned(), value);
            }
        };
        set(property::REASON, self.refusal.reason.to_string());
        // By an excerpt nobody can be paid: the message itself comes again, and pays.
        if !self.owed.is_empty() && form != Form::Excerpt {
            let owed: Vec<_> = self.owed.iter().map(SiteId::as_str).collect();
            set(property::OWED, owed.join(","));
        }
        if form != Form::Least {
            set(property::DETAIL, self.detail(form));
            let source_queue = text::bounded(source_queue, limits::SOURCE_QUEUE_MAX, limits::SOURCE_QUEUE_MAX);
            set(property::SOURCE_QUEUE, source_queue);
            set(property::ATTEMPT, delivery.attempt.to_string());
            if let Some(first_seen) = delivery.first_seen {
                set(property::FIRST_SEEN, rfc3339(first_seen));
            }
        }
        let body = if form == Form::Excerpt {
            set(property::BODY_BYTES, delivery.body.len().to_string());
            set(property::BODY_SHA256, sha256(&delivery.body));
            excerpt(&delivery.body).into()
        } else {
            delivery.body.clone()
        };
        if !matches!(form, Form::Least | Form::Excerpt) {
            // A letter that an operator moves back into the queue is the same forward once more.
            Marks::read(&delivery.properties).write(&mut properties);
        }
        if form == Form::Whole {
            keep_own(&mut properties, &marks::kept(&delivery.properties));
        }
        Message { id, body, properties }
    }

    fn detail(&self, form: Form) -> String {
        match form {
            Form::Whole | Form::Bare => self.refusal.detail.clone(),
            Form::Short | Form::Least | Form::Excerpt => {
                text::bounded(&self.refusal.detail, limits::DETAIL_SHORT, limits::DETAIL_SHORT)
            }
        }
    }
}

/// Adds of what stays with a message those properties that every queue carries, as far as there is room: its trace context first.
fn keep_own(properties: &mut Properties, came_with: &Properties) {
    let size = |name: &str, value: &str| name.len() + value.len() + limits::PROPERTY_OVERHEAD_BYTES;
    let mut bytes: usize = properties.iter().map(|(name, value)| size(name, value)).sum();
    let context = [property::TRACEPARENT, property::TRACESTATE, property::DIAGNOSTIC_ID];
    let context = context.into_iter().filter_map(|name| came_with.get_key_value(name));
    for (name, value) in context.chain(came_with) {
        let carried = text::is_carried_name(name) && !value.is_empty() && value.chars().all(text::is_carried);
        let fits = properties.len() < limits::PROPERTIES_MAX && bytes + size(name, value) <= limits::PROPERTIES_BYTES;
        if carried && fits && !properties.contains_key(name) {
            bytes += size(name, value);
            properties.insert(name.clone(), value.clone());
        }
    }
}

/// The beginning of a body as a text that every queue carries. It is no JSON, so nobody takes it for an event.
fn excerpt(body: &[u8]) -> String {
    let head = &body[..body.len().min(limits::EXCERPT_BYTES)];
    let head = text::bounded(&String::from_utf8_lossy(head), limits::EXCERPT_BYTES, 4 * limits::EXCERPT_BYTES);
    let (shown, whole) = (limits::EXCERPT_BYTES.min(body.len()), body.len());
    format!(
        "An excerpt: the first {shown} of {whole} bytes. The message itself was not removed from its queue.\n{head}"
    )
}

fn sha256(body: &[u8]) -> String {
    format!("{:x}", Sha256::digest(body))
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use proptest::prelude::*;

    use super::*;
    use crate::{
        port::Receipt,
        reason::{Reason, Refusal},
    };

    fn letter(detail: &str, owed: &[&str]) -> Letter {
        let refusal = Refusal::new(Reason::PeerUnavailable, detail);
        Letter { refusal, owed: owed.iter().map(|site| site.parse().unwrap()).collect() }
    }

    fn delivery(own: Properties) -> Delivery {
        Delivery {
            receipt: Receipt("receipt".to_owned()),
            message_id: "message".to_owned(),
            attempt: 3,
            first_seen: DateTime::from_timestamp(0, 0),
            body: "body".into(),
            properties: own,
        }
    }

    fn whole(own: Properties) -> Properties {
        letter("dark", &[]).message(Form::Whole, &delivery(own), "queue", "id".to_owned()).properties
    }

    fn own<const N: usize>(of: [(&str, &str); N]) -> Properties {
        of.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
    }

    fn names(properties: &Properties) -> Vec<&str> {
        properties.keys().map(String::as_str).collect()
    }

    /// As the hungriest queue counts.
    fn size(properties: &Properties) -> usize {
        properties.iter().map(|(name, value)| name.len() + value.len() + limits::PROPERTY_OVERHEAD_BYTES).sum()
    }

    #[test]
    fn a_letter_tells_the_whole_story() {
        let letter = letter("dark", &["azure:westeurope", "aws:us-east-1"]);
        let message = letter.message(Form::Whole, &delivery(own([("mine", "1")])), "queue", "id".to_owned());
        let expected = own([
            ("bridge_reason", "peer_unavailable"),
            ("bridge_detail", "dark"),
            ("bridge_source_queue", "queue"),
            ("bridge_attempt", "3"),
            ("bridge_first_seen", "1970-01-01T00:00:00.000Z"),
            ("bridge_owed", "aws:us-east-1,azure:westeurope"),
            ("mine", "1"),
        ]);
        assert_eq!((message.id.as_str(), &*message.body, message.properties), ("id", b"body".as_slice(), expected));
    }

    #[test]
    fn each_form_says_less_and_all_say_the_reason_and_who_is_owed() {
        let letter = letter(&"x".repeat(200), &["aws:us-east-1"]);
        let delivery = delivery(own([("mine", "1")]));
        let told = |form| letter.message(form, &delivery, "queue", String::new());
        for form in Form::WITH_BODY {
            assert_eq!(told(form).body, delivery.body, "{form:?}");
        }
        assert!(told(Form::Whole).properties.contains_key("mine"));
        assert!(!told(Form::Bare).properties.contains_key("mine"));
        assert_eq!(told(Form::Bare).properties["bridge_detail"].len(), 200);
        assert_eq!(told(Form::Short).properties["bridge_detail"].chars().count(), limits::DETAIL_SHORT + 1);
        let least = own([("bridge_owed", "aws:us-east-1"), ("bridge_reason", "peer_unavailable")]);
        assert_eq!(told(Form::Least).properties, least);
    }

    #[test]
    fn an_excerpt_names_the_body_and_is_no_event() {
        let body = format!("{{\"a\":\"\u{1}{}\"}}", "ü".repeat(2_000));
        let delivery = Delivery { body: body.clone().into(), ..delivery(own([("mine", "1")])) };
        let excerpt = letter("dark", &["aws:us-east-1"]).message(Form::Excerpt, &delivery, "queue", String::new());
        assert_eq!(excerpt.properties["bridge_body_bytes"], body.len().to_string());
        assert_eq!(excerpt.properties["bridge_body_sha256"], sha256(body.as_bytes()));
        assert!(!excerpt.properties.contains_key("mine") && !excerpt.properties.contains_key("bridge_owed"));
        let text = std::str::from_utf8(&excerpt.body).unwrap();
        assert!(text.starts_with("An excerpt: the first 1024 of 4009 bytes."), "{text}");
        assert!(text.contains("\n{\"a\":\"\\u{1}üü") && text.chars().all(text::is_carried), "{text}");
        assert!(serde_json::from_slice::<serde_json::Value>(&excerpt.body).is_err());
        assert_eq!(sha256(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[test]
    fn what_a_message_came_with_is_kept_as_far_as_there_is_room() {
        let came_with = own([
            ("a", "1"),
            ("b", ""),
            ("c", "3"),
            ("d", "4"),
            ("e", "5"),
            ("f", "6"),
            ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
            ("tracestate", "a=b"),
        ]);
        let kept = whole(came_with);
        assert_eq!(kept.len(), limits::PROPERTIES_MAX);
        let kept: Vec<&str> = names(&kept).into_iter().filter(|name| !name.starts_with("bridge_")).collect();
        assert_eq!(kept, ["a", "c", "d", "traceparent", "tracestate"], "its trace is worth more than the rest");
        let large = "x".repeat(3_000);
        let kept = whole(own([("a", &large), ("b", &large), ("c", "3")]));
        assert!(kept.contains_key("a") && !kept.contains_key("b") && kept.contains_key("c"), "{:?}", names(&kept));
    }

    #[test]
    fn what_one_of_the_queues_does_not_carry_is_left_out() {
        let odd =
            own([("a b", "1"), ("ä", "1"), ("AWS.x", "1"), ("control", "\u{1}"), ("last", "\u{FFFF}"), ("ok", "\t")]);
        let kept: Vec<String> = whole(odd).into_keys().filter(|name| !name.starts_with("bridge_")).collect();
        assert_eq!(kept, ["ok"]);
    }

    #[test]
    fn a_letter_keeps_the_marks_but_for_the_last_of_its_forms() {
        let marked = delivery(own([
            ("bridge_accept_old", "import 2026-11-21T01:02:03Z"),
            ("bridge_forwarded_by", "aws:us-east-1"),
        ]));
        for (form, keeps) in [(Form::Whole, true), (Form::Bare, true), (Form::Short, true), (Form::Least, false)] {
            let properties = letter("dark", &[]).message(form, &marked, "queue", String::new()).properties;
            let kept = ["bridge_accept_old", "bridge_forwarded_by"].map(|name| properties.contains_key(name));
            assert_eq!(kept, [keeps; 2], "{form:?}");
        }
    }

    #[test]
    fn what_has_the_bridges_prefix_is_the_letters_own() {
        let again = whole(own([
            ("bridge_reason", "clock_skew"),
            ("bridge_attempt", "9"),
            ("bridge_owed", "aws:us-east-1"),
            ("bridge_anything", "x"),
            ("bridge_copy_of", "m"),
        ]));
        assert_eq!((again["bridge_reason"].as_str(), again["bridge_attempt"].as_str()), ("peer_unavailable", "3"));
        assert!(!again.contains_key("bridge_owed") && !again.contains_key("bridge_anything"), "{again:?}");
        assert!(!again.contains_key("bridge_copy_of"), "{again:?}");
    }

    proptest! {
        /// A legal event leaves this room, so the first form of its letter fits wherever the event does.
        #[test]
        fn no_form_takes_more_room_than_is_kept_for_it(
            detail in any::<String>(),
            source in any::<String>(),
            own in prop::collection::btree_map("[a-zA-Z_ .]{0,20}", "[ -~\u{80}-\u{FFFF}]{0,4000}", 0..15),
        ) {
            let letter = letter(&detail.repeat(40), &["azure:germanywestcentral", "aws:ap-southeast-1"]);
            let delivery = delivery(own);
            for form in [Form::Whole, Form::Bare, Form::Short, Form::Least, Form::Excerpt] {
                let message = letter.message(form, &delivery, &source, String::new());
                prop_assert!(size(&message.properties) <= limits::PROPERTIES_BYTES, "{form:?}");
                prop_assert!(message.properties.len() <= limits::PROPERTIES_MAX);
                for (name, value) in &message.properties {
                    prop_assert!(text::is_carried_name(name) && !value.is_empty());
                    prop_assert!(value.chars().all(text::is_carried));
                }
            }
        }
    }
}
