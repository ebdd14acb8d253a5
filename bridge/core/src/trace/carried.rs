//! The trace context that a message takes along: what W3C Trace Context allows of it, and no more. A trace is never worth an event:
//! a queue that does not carry its characters would refuse the whole message.

use std::collections::BTreeSet;

use super::TraceParent;
use crate::{limits, property, property::Properties};

/// A trace context that may be passed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Carried {
    /// The trace, and the span of whoever sent the message.
    pub parent: TraceParent,
    /// What the tracing systems on the way note beside it, as it came.
    pub state: Option<String>,
}

impl Carried {
    /// The context that these two texts are; none where W3C does not allow the first. What it does not allow of the second is
    /// left out.
    pub fn of(parent: Option<&str>, state: Option<&str>) -> Option<Self> {
        let state = state.filter(|state| is_tracestate(state)).map(str::to_owned);
        Some(Self { parent: parent?.parse().ok()?, state })
    }

    /// Writes the context as the properties of a message.
    pub fn write(&self, properties: &mut Properties) {
        properties.insert(property::TRACEPARENT.to_owned(), self.parent.to_string());
        if let Some(state) = &self.state {
            properties.insert(property::TRACESTATE.to_owned(), state.clone());
        }
    }
}

/// The context that a message came with, by its properties or else by its `event`. A trace is never worth an event, so what W3C
/// does not allow is dropped, and so is a `tracestate` without a `traceparent` beside it.
///
/// The property of the send comes first, because a send is closer, and the body is forwarded untouched. Azure's older clients
/// call the property `Diagnostic-Id`.
pub fn carried(properties: &Properties, event: Option<&Carried>) -> Option<Carried> {
    let property = |name: &str| properties.get(name).map(String::as_str);
    let of = |parent: &str| Carried::of(property(parent), property(property::TRACESTATE));
    of(property::TRACEPARENT).or_else(|| of(property::DIAGNOSTIC_ID)).or_else(|| event.cloned())
}

/// Whether a property of this name is a part of a trace context.
pub fn is_context(name: &str) -> bool {
    matches!(name, property::TRACEPARENT | property::TRACESTATE)
}

/// Whether W3C allows `text` as a `tracestate`: `key=value` members between commas, each key once.
///
/// # Source
/// W3C Trace Context, section 3.3.1, and the keys of Level 2, which also allow those of Level 1; read 2026-11. A list that breaks a
/// rule is to be discarded as a whole.
fn is_tracestate(text: &str) -> bool {
    if text.len() > limits::TRACESTATE_BYTES_MAX {
        return false;
    }
    let members = text.split(',').map(|member| member.trim_matches([' ', '\t']));
    let (mut keys, mut count) = (BTreeSet::new(), 0);
    for member in members {
        count += 1;
        match member.split_once('=') {
            Some((key, value)) if is_state_key(key) && is_state_value(value) && keys.insert(key) => {}
            None if member.is_empty() => {}
            _ => return false,
        }
    }
    !keys.is_empty() && count <= limits::TRACESTATE_MEMBERS_MAX
}

fn is_state_key(key: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    (1..=256).contains(&key.len())
        && key.as_bytes().first().is_some_and(|byte| plain(*byte))
        && key.bytes().all(|byte| plain(byte) || b"_-*/@".contains(&byte))
}

fn is_state_value(value: &str) -> bool {
    let allowed = |byte: u8| matches!(byte, b' '..=b'~') && byte != b',' && byte != b'=';
    (1..=256).contains(&value.len()) && value.bytes().all(allowed) && !value.ends_with(' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0b4902b7-01";
    const OTHER: &str = "00-11111111111111111111111111111111-2222222222222222-00";

    fn properties<const N: usize>(of: [(&str, &str); N]) -> Properties {
        of.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
    }

    fn texts<const N: usize>(of: [(&str, &str); N], event: Option<&Carried>) -> Option<(String, Option<String>)> {
        carried(&properties(of), event).map(|carried| (carried.parent.to_string(), carried.state))
    }

    fn text(parent: &str, state: Option<&str>) -> (String, Option<String>) {
        (parent.to_owned(), state.map(str::to_owned))
    }

    #[test]
    fn the_property_comes_before_the_body() {
        let event = Carried::of(Some(OTHER), Some("body=1"));
        assert_eq!(texts([], None), None);
        assert_eq!(texts([], event.as_ref()), Some(text(OTHER, Some("body=1"))));
        assert_eq!(
            texts([("traceparent", SAMPLED)], event.as_ref()),
            Some(text(SAMPLED, None)),
            "no state of another trace"
        );
        let old = [("Diagnostic-Id", "|not.w3c.")];
        assert_eq!(
            texts(old, event.as_ref()),
            Some(text(OTHER, Some("body=1"))),
            "the hierarchical form of old is none"
        );
        let both = [("Diagnostic-Id", OTHER), ("traceparent", SAMPLED), ("tracestate", "a=1")];
        assert_eq!(texts(both, None), Some(text(SAMPLED, Some("a=1"))));
        assert_eq!(texts([("Diagnostic-Id", OTHER)], None), Some(text(OTHER, None)));
    }

    #[test]
    fn what_is_no_traceparent_takes_its_state_along() {
        for nonsense in ["", "nonsense", "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0b4902b7-01", "\u{1}"] {
            assert_eq!(texts([("traceparent", nonsense), ("tracestate", "a=1")], None), None, "{nonsense:?}");
        }
        assert_eq!(texts([("tracestate", "a=1")], None), None);
    }

    #[test]
    fn a_tracestate_is_passed_on_as_it_came() {
        let many: Vec<String> = (0..limits::TRACESTATE_MEMBERS_MAX).map(|n| format!("k{n}=v")).collect();
        let long = format!("{}={}", "k".repeat(256), "v".repeat(255));
        for state in
            ["rojo=00f067aa0b4902b7,congo=t61rcWkgMzE", "a=1, b=2\t,,c=3", "1@v_-*/=~! x", &many.join(","), &long]
        {
            let sent = [("traceparent", SAMPLED), ("tracestate", state)];
            assert_eq!(texts(sent, None), Some(text(SAMPLED, Some(state))), "{state}");
        }
    }

    #[test]
    fn a_tracestate_that_breaks_a_rule_is_dropped_whole() {
        let many: Vec<String> = (0..=limits::TRACESTATE_MEMBERS_MAX).map(|n| format!("k{n}=v")).collect();
        let (key, value) = ("k".repeat(257), "v".repeat(257));
        let (key, value) = (format!("{key}=v"), format!("k={value}"));
        let long = format!("{}={},b=1", "k".repeat(256), "v".repeat(252));
        assert_eq!(long.len(), limits::TRACESTATE_BYTES_MAX + 1);
        let wrong = [
            "",
            " ",
            ",",
            "a",
            "a=",
            "=1",
            "a=1,b",
            "a=1=2",
            "A=1",
            "a b=1",
            "@a=1",
            "a=1,a=2",
            "a=\u{1}",
            "a=\u{7f}",
            "a=é",
            "a=1\n",
            "a=\u{fffe}",
            &many.join(","),
            &key,
            &value,
            &long,
        ];
        for state in wrong {
            let sent = [("traceparent", SAMPLED), ("tracestate", state)];
            assert_eq!(texts(sent, None), Some(text(SAMPLED, None)), "{state:?}");
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        let carried_before = Carried::of(Some(SAMPLED), Some("a=1"));
        let mut written = Properties::new();
        carried_before.as_ref().unwrap().write(&mut written);
        assert_eq!(carried(&written, None), carried_before);
    }
}
