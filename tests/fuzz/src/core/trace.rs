//! W3C trace context, as it stands in properties and in events.

use bridge_core::{
    port::Properties,
    settlement::property::{DIAGNOSTIC_ID, TRACEPARENT},
    trace::{TraceParent, named},
};

use crate::text;

/// What is read is written in the one form of version 00, which reads back; zeros name nothing; and of several contexts the
/// nearest is taken.
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
    assert_eq!(named(&properties(TRACEPARENT), Some("member")), Some(text));
    assert_eq!(named(&properties(DIAGNOSTIC_ID), None).is_some(), read.is_ok());
}
