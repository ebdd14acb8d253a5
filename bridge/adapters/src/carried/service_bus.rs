//! What Service Bus carries, and how it counts bytes.

use bridge_core::{
    failure::FailureKind,
    limits,
    port::{Message, Properties},
    property::COPY_OF,
};

use super::too_large;

/// Bytes of one property, and of all together. "Service Bus quotas", "message property size", read 2026-11: 32 KB for each, 64 KB for all, those
/// of the system included.
const PROPERTY_BYTES_MAX: usize = 32 * 1024;
const PROPERTIES_BYTES_MAX: usize = 64 * 1024 - ENVELOPE_BYTES;

/// Bytes of a message beside its body and its properties: sections, the id, a time to wait for. Ours: what the broker adds is not
/// documented; the id has 36 characters, and AMQP writes the rest in less than twice that.
const ENVELOPE_BYTES: usize = 128;

/// Bytes of a message as the broker counts at least: as AMQP writes it.
pub(crate) fn size_bytes(message: &Message) -> usize {
    message.body.len() + properties_bytes(&message.properties) + ENVELOPE_BYTES
}

fn properties_bytes(properties: &Properties) -> usize {
    properties.iter().map(|(name, value)| name.len() + value.len() + limits::PROPERTY_OVERHEAD_BYTES).sum()
}

/// Refuses what Service Bus cannot carry: it would refuse the whole request, with all other messages in it.
pub(crate) fn check(message: &Message, message_bytes_max: usize) -> Result<(), FailureKind> {
    let size_bytes = size_bytes(message);
    if size_bytes > message_bytes_max {
        return Err(too_large(size_bytes, message_bytes_max));
    }
    check_properties(&message.properties).map_err(|detail| FailureKind::Rejected { detail })
}

fn check_properties(properties: &Properties) -> Result<(), String> {
    let count = properties.len();
    // A copy carries what the bridge notes on it besides.
    if count > limits::PROPERTIES_MAX && !properties.contains_key(COPY_OF) {
        return Err(format!("{count} properties; a message has at most {}", limits::PROPERTIES_MAX));
    }
    if properties.contains_key("") {
        return Err("a property has no name".to_owned());
    }
    if let Some((name, value)) = properties.iter().find(|(_, value)| value.len() > PROPERTY_BYTES_MAX) {
        let bytes = value.len();
        return Err(format!("property {name:?} has {bytes} bytes; Service Bus carries at most {PROPERTY_BYTES_MAX}"));
    }
    let bytes = properties_bytes(properties);
    if bytes > PROPERTIES_BYTES_MAX {
        return Err(format!("the properties have {bytes} bytes; Service Bus carries at most {PROPERTIES_BYTES_MAX}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 256 * 1024;

    fn message(body: usize, properties: &[(&str, usize)]) -> Message {
        let properties = properties.iter().map(|(name, bytes)| ((*name).to_owned(), "x".repeat(*bytes)));
        Message { id: "1".to_owned(), body: vec![b'x'; body].into(), properties: properties.collect() }
    }

    fn refused(properties: &[(&str, usize)]) -> String {
        match check(&message(1, properties), LIMIT) {
            Err(FailureKind::Rejected { detail }) => detail,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn properties_and_the_envelope_count() {
        assert_eq!(size_bytes(&message(5, &[("ab", 3)])), 5 + 2 + 3 + 10 + 128);
        assert_eq!(check(&message(LIMIT - 128, &[]), LIMIT), Ok(()));
        let (size_bytes, limit_bytes) = (LIMIT as u64 + 1, LIMIT as u64);
        assert_eq!(check(&message(LIMIT - 127, &[]), LIMIT), Err(FailureKind::TooLarge { size_bytes, limit_bytes }));
    }

    #[test]
    fn what_cannot_be_carried_is_named() {
        assert!(refused(&[("", 1)]).contains("no name"));
        assert!(refused(&[("a", 32 * 1024 + 1)]).contains("\"a\" has 32769 bytes"));
        assert!(refused(&[("a", 32 * 1024), ("b", 32 * 1024)]).contains("the properties have"));
        let names: Vec<String> = (0..11).map(|n| n.to_string()).collect();
        let eleven: Vec<(&str, usize)> = names.iter().map(|name| (name.as_str(), 1)).collect();
        assert!(refused(&eleven).contains("11 properties"));
        let copy: Vec<(&str, usize)> = eleven.into_iter().chain([(COPY_OF, 1)]).collect();
        assert_eq!(check(&message(1, &copy), LIMIT), Ok(()));
    }
}
