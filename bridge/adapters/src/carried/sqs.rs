//! What SQS carries, and how it counts bytes.

use bridge_core::{failure::FailureKind, limits, port::Message, text};

use super::too_large;

/// The type that properties travel as.
pub(crate) const STRING: &str = "String";

/// Bytes of a message as SQS counts them: "Amazon SQS message metadata", read 2026-11: names, types and values of
/// attributes count as the body does.
pub(crate) fn size_bytes(message: &Message) -> usize {
    let attribute = |(name, value): (&String, &String)| name.len() + STRING.len() + value.len();
    message.body.len() + message.properties.iter().map(attribute).sum::<usize>()
}

/// Refuses what SQS cannot carry. The service would refuse it too, but here it costs no request, and no neighbour in
/// the same batch.
pub(crate) fn check(message: &Message, message_bytes_max: usize) -> Result<(), FailureKind> {
    let size_bytes = size_bytes(message);
    if size_bytes > message_bytes_max {
        return Err(too_large(size_bytes, message_bytes_max));
    }
    check_content(message).map_err(|detail| FailureKind::Rejected { detail })
}

fn check_content(message: &Message) -> Result<(), String> {
    let body = std::str::from_utf8(&message.body).map_err(|error| {
        format!("SQS carries text only, and the body is not UTF-8 after byte {}", error.valid_up_to())
    })?;
    if body.is_empty() {
        return Err("SQS carries no empty bodies".to_owned());
    }
    check_characters("the body", body)?;
    let count = message.properties.len();
    if count > limits::PROPERTIES_MAX {
        return Err(format!("{count} properties; SQS carries at most {}", limits::PROPERTIES_MAX));
    }
    for (name, value) in &message.properties {
        check_name(name)?;
        if value.is_empty() {
            return Err(format!("property {name:?} is empty, and SQS carries no empty attributes"));
        }
        check_characters(&format!("property {name:?}"), value)?;
    }
    Ok(())
}

fn check_characters(what: &str, text: &str) -> Result<(), String> {
    match text.char_indices().find(|(_, c)| !text::is_carried(*c)) {
        Some((at, c)) => Err(format!("{what} has U+{:04X} at byte {at}, which SQS does not carry", u32::from(c))),
        None => Ok(()),
    }
}

fn check_name(name: &str) -> Result<(), String> {
    if text::is_carried_name(name) {
        return Ok(());
    }
    let shown: String = name.chars().take(64).collect();
    Err(format!("{shown:?} cannot name an SQS attribute: up to 256 letters, digits, '_', '-' and '.'"))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn message(body: &[u8], properties: &[(&str, &str)]) -> Message {
        let properties = properties.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Message { id: "1".to_owned(), body: Bytes::copy_from_slice(body), properties }
    }

    fn refused(body: &[u8], properties: &[(&str, &str)]) -> String {
        match check(&message(body, properties), 1000) {
            Err(FailureKind::Rejected { detail }) => detail,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_cannot_be_carried_is_named() {
        assert_eq!(refused(b"", &[]), "SQS carries no empty bodies");
        assert_eq!(refused(b"ab\xff", &[]), "SQS carries text only, and the body is not UTF-8 after byte 2");
        assert_eq!(refused(b"ab\x01", &[]), "the body has U+0001 at byte 2, which SQS does not carry");
        assert_eq!(refused("\u{FFFE}".as_bytes(), &[]), "the body has U+FFFE at byte 0, which SQS does not carry");
        assert!(refused(b"a", &[("x", "")]).starts_with("property \"x\" is empty"));
        assert!(refused(b"a", &[("x", "\0")]).starts_with("property \"x\" has U+0000"));
        for name in ["", "a b", ".a", "a.", "a..b", "AWS.x", "amazon.x", "ä"] {
            assert!(refused(b"a", &[(name, "x")]).contains("cannot name"), "{name:?}");
        }
    }

    #[test]
    fn what_can_be_carried_passes() {
        let odd = "\t\r\n ~é\u{D7FF}\u{E000}\u{FFFD}\u{10000}\u{10FFFF}";
        assert_eq!(check(&message(odd.as_bytes(), &[("trace-parent_1.x", odd)]), 1000), Ok(()));
    }

    #[test]
    fn attributes_count() {
        let message = message(b"12345", &[("ab", "xyz")]);
        assert_eq!(size_bytes(&message), 5 + 2 + 6 + 3);
        assert_eq!(check(&message, 16), Ok(()));
        assert_eq!(check(&message, 15), Err(FailureKind::TooLarge { size_bytes: 16, limit_bytes: 15 }));
    }
}
