//! The strict JSON of a payload, with `serde_json`'s own reading as the oracle.

use std::cell::Cell;

use bridge_core::{envelope, reason::Reason};
use serde::de::{Deserialize, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::event;
use crate::text;

const BEFORE: &str = r#"{"event_id":"01936d6e-8a3c-7c61-9d0b-0f3a5a3c9e11","source_region":"aws:us-east-1","op_type":"update","timestamp":"2026-11-21T01:02:03Z","key":"k","payload":{"p":"#;

/// Accepted: `serde_json` reads the same value, and no member occurs twice. Refused as what is not JSON: `serde_json` refuses it
/// too. Refused for a member that occurs twice: one does.
pub(crate) fn run(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    let body = format!("{BEFORE}{text}}}}}");
    let oracle = serde_json::from_str::<Value>(&body);
    let twice = Cell::new(false);
    let _ = Look(&twice).deserialize(&mut serde_json::Deserializer::from_str(&body));
    match envelope::decode(body.as_bytes(), "/id") {
        Ok(event) => {
            assert!(!twice.get(), "a member occurs twice");
            let members = oracle.unwrap()["payload"].as_object().cloned().unwrap();
            assert_eq!(doubles(Value::Object(event.payload.to_map())), doubles(Value::Object(members)));
            assert_eq!(event.payload.as_str().parse().as_ref(), Ok(&event.payload), "read again it is another text");
        }
        Err(refusal) => {
            event::refused(&refusal);
            match refusal.reason {
                Reason::NotJson => assert!(oracle.is_err(), "{refusal}: serde_json reads it"),
                Reason::DuplicateMember => assert!(twice.get(), "{refusal}: none occurs twice"),
                _ => {}
            }
        }
    }
}

/// As Cosmos DB keeps it: whoever spells a number, it is one double.
fn doubles(value: Value) -> Value {
    match value {
        // Minus zero is zero.
        Value::Number(number) => (number.as_f64().unwrap() + 0.0).into(),
        Value::Array(items) => items.into_iter().map(doubles).collect(),
        Value::Object(members) => members.into_iter().map(|(name, value)| (name, doubles(value))).collect(),
        other => other,
    }
}

/// Looks for a member that occurs twice, and notes nothing else.
struct Look<'a>(&'a Cell<bool>);

impl<'de> DeserializeSeed<'de> for Look<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Look<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(Look(self.0))?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let mut names = Vec::new();
        while let Some(name) = members.next_key_seed(Name)? {
            self.0.set(self.0.get() || names.contains(&name));
            names.push(name);
            members.next_value_seed(Look(self.0))?;
        }
        Ok(())
    }
}

struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        String::deserialize(deserializer)
    }
}
