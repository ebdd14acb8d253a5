//! Short names: sites, keys, operations, routes of a replay, its errands, its fingerprints.

use bridge_core::{
    event::{Key, Op, SiteId},
    limits,
};
use bridge_ops::replay::{
    errand::Errand,
    fingerprint::Fingerprint,
    route::{Source, Target},
};

use crate::text;

/// What is read is written as it was, and a key's escape is short, free of what Cosmos DB forbids, and undone by reading it.
pub(crate) fn run(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    if let Ok(site) = text.parse::<SiteId>() {
        assert_eq!(format!("{}:{}", site.cloud(), site.region()), text);
        assert!(text.len() <= limits::SITE_ID_BYTES_MAX);
    }
    if let Ok(op) = text.parse::<Op>() {
        assert_eq!(op.as_str(), text);
    }
    if let Ok(source) = text.parse::<Source>() {
        assert_eq!(source.to_string(), text);
    }
    if let Ok(target) = text.parse::<Target>() {
        assert_eq!(target.to_string(), text);
    }
    if let Ok(errand) = text.parse::<Errand>() {
        assert_eq!(errand.to_string(), text);
    }
    if let Ok(fingerprint) = text.parse::<Fingerprint>() {
        assert_eq!(fingerprint.to_string(), text, "a name has one spelling");
    }
    if let Ok(key) = text.parse::<Key>() {
        let escaped = key.escaped();
        assert!(escaped.len() <= limits::KEY_BYTES_MAX && !escaped.contains(['/', '\\', '?', '#']));
        assert!(!escaped.contains(char::is_control) && !escaped.ends_with(char::is_whitespace));
        assert_eq!(unescape(&escaped), text, "two keys would be one item");
    }
}

fn unescape(escaped: &str) -> String {
    let mut parts = escaped.split('~');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        bytes.push(u8::from_str_radix(&part[..2], 16).unwrap());
        bytes.extend(&part.as_bytes()[2..]);
    }
    String::from_utf8(bytes).unwrap()
}
