//! W3C trace context, as it stands in properties and in events.

use bridge_core::{
    limits,
    port::Properties,
    property::{DIAGNOSTIC_ID, TRACEPARENT},
    trace::{Carried, TraceParent, carried},
};

use crate::text;

/// What is read is written in the one form of version 00, which reads back; zeros name nothing; and of several contexts the
/// nearest valid one is taken.
pub(crate) fn run(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    let read = text.parse::<TraceParent>();
    if let Ok(context) = read {
        assert!(context.trace != 0 && context.span != 0);
        let written = context.to_string();
        assert_eq!(written.parse(), Ok(context));
        assert!(!text.starts_with("00-") || text == written, "version 00 has one form");
    }
    let properties = |name: &str| Properties::from([(name.to_owned(), text.to_owned())]);
    for name in [TRACEPARENT, DIAGNOSTIC_ID] {
        assert_eq!(carried(&properties(name), None).is_some(), read.is_ok());
    }
    // A state is carried whole or not at all, and in characters that every queue takes.
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0b4902b7-01";
    let state = Carried::of(Some(parent), Some(text)).unwrap().state;
    if let Some(state) = state {
        assert!(state == text && state.len() <= limits::TRACESTATE_BYTES_MAX);
        assert!(state.bytes().all(|byte| matches!(byte, b'\t' | b' '..=b'~')));
    }
}
