//! Message attributes: the wire form, what is allowed, the digest that clients check, and the choice that a receiver
//! makes.
//!
//! The digest covers the attributes as they are handed over, so a receiver that asks for some gets the digest of these
//! alone.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest, Md5};
use serde::{Deserialize, Serialize};

use super::limits;
use super::protocol::{Code, SqsError};

/// The one system attribute that a sender can set.
const TRACE_HEADER: &str = "AWSTraceHeader";

/// Exponents of the least and the greatest number, and its digits.
///
/// # Source
/// Developer guide, "Message metadata", data type `Number`, read 2026-11.
const NUMBER_DIGITS_MAX: usize = 38;
const NUMBER_EXPONENTS: std::ops::RangeInclusive<i64> = -128..=126;

/// An attribute as it travels.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct WireAttribute {
    data_type: Option<String>,
    string_value: Option<String>,
    binary_value: Option<String>,
    #[serde(default)]
    string_list_values: Vec<serde::de::IgnoredAny>,
    #[serde(default)]
    binary_list_values: Vec<serde::de::IgnoredAny>,
}

/// Attributes by name; the order of names is the order of the digest.
pub(super) type WireAttributes = BTreeMap<String, WireAttribute>;

/// An attribute that was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Attribute {
    name: Box<str>,
    data_type: Box<str>,
    value: Value,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Value {
    Text(Box<str>),
    Binary(Box<[u8]>),
}

impl Value {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Binary(bytes) => bytes,
        }
    }
}

impl Attribute {
    /// What the attribute adds to its message's size.
    pub(super) fn size_bytes(&self) -> usize {
        self.name.len() + self.data_type.len() + self.value.bytes().len()
    }
}

/// Checks a message's attributes.
pub(super) fn check(wire: WireAttributes) -> Result<Vec<Attribute>, SqsError> {
    if wire.len() > limits::MESSAGE_ATTRIBUTES_MAX {
        return Err(refused(format!(
            "Number of message attributes [{}] exceeds the allowed maximum [{}].",
            wire.len(),
            limits::MESSAGE_ATTRIBUTES_MAX
        )));
    }
    wire.into_iter().map(|(name, attribute)| check_attribute("user", name, attribute)).collect()
}

/// Checks a message's system attributes: there is one, the trace header, and it is text.
pub(super) fn check_system(wire: WireAttributes) -> Result<Option<Attribute>, SqsError> {
    let mut checked = None;
    for (name, attribute) in wire {
        if name != TRACE_HEADER {
            return Err(refused(format!(
                "Message system attribute name '{name}' is invalid. You must use only the following supported name: \
                 {TRACE_HEADER}."
            )));
        }
        if attribute.data_type.as_deref() != Some("String") {
            return Err(refused(format!("The type of message system attribute '{TRACE_HEADER}' must be String.")));
        }
        checked = Some(check_attribute("system", name, attribute)?);
    }
    Ok(checked)
}

fn check_attribute(kind: &str, name: String, wire: WireAttribute) -> Result<Attribute, SqsError> {
    check_name(&name)?;
    if !wire.string_list_values.is_empty() || !wire.binary_list_values.is_empty() {
        let message = "Message attribute list values in SendMessage operation are not supported.";
        return Err(SqsError::new(Code::UnsupportedOperation, message));
    }
    let data_type = wire.data_type.unwrap_or_default();
    let base = data_type.split_once('.').map_or(data_type.as_str(), |(base, _label)| base);
    if data_type.is_empty() {
        return Err(refused(format!("Message ({kind}) attribute '{name}' must contain a non-empty attribute type.")));
    }
    if data_type.chars().count() > limits::ATTRIBUTE_NAME_CHARACTERS_MAX {
        return Err(refused(format!(
            "The length of message ({kind}) attribute type of '{name}' must be less than or equal to {} characters.",
            limits::ATTRIBUTE_NAME_CHARACTERS_MAX
        )));
    }
    let empty =
        || refused(format!("Message ({kind}) attribute '{name}' must contain a non-empty value of type '{base}'."));
    let value = match base {
        "String" | "Number" => {
            let text = wire.string_value.filter(|text| !text.is_empty()).ok_or_else(empty)?;
            if base == "Number" && !is_number(&text) {
                return Err(refused(format!(
                    "Can't cast the value of message ({kind}) attribute '{name}' to a number."
                )));
            }
            if let Some(forbidden) = text.chars().find(|character| !is_allowed(*character)) {
                return Err(refused(format!(
                    "Invalid character '#x{:X}' was found in the value of message ({kind}) attribute '{name}', the \
                     set of allowed characters is {ALLOWED}.",
                    u32::from(forbidden)
                )));
            }
            Value::Text(text.into())
        }
        "Binary" => {
            let text = wire.binary_value.filter(|text| !text.is_empty()).ok_or_else(empty)?;
            let bytes = STANDARD.decode(text).map_err(|error| {
                SqsError::new(
                    Code::Serialization,
                    format!("The binary value of attribute '{name}' is not Base64: {error}"),
                )
            })?;
            Value::Binary(bytes.into())
        }
        _ => {
            return Err(refused(format!(
                "The type of message ({kind}) attribute '{name}' is invalid. You must use only the following \
                 supported type prefixes: Binary, Number, String."
            )));
        }
    };
    Ok(Attribute { name: name.into(), data_type: data_type.into(), value })
}

/// Letters of any script are allowed, as the service allows them, though the page names only those of ASCII.
fn check_name(name: &str) -> Result<(), SqsError> {
    let characters = name.chars().count();
    if !(1..=limits::ATTRIBUTE_NAME_CHARACTERS_MAX).contains(&characters) {
        return Err(refused(format!(
            "The length of a message attribute name must be from 1 to {} characters; '{name}' has {characters}.",
            limits::ATTRIBUTE_NAME_CHARACTERS_MAX
        )));
    }
    if !name.chars().all(|character| character.is_alphanumeric() || "_-.".contains(character)) {
        return Err(refused(format!(
            "The message attribute name '{name}' is invalid. Attribute name can contain A-Z, a-z, 0-9, underscore \
             (_), hyphen (-), and period (.) characters."
        )));
    }
    if name.starts_with('.') || name.ends_with('.') || name.contains("..") {
        return Err(refused(format!(
            "The message attribute name '{name}' is invalid. It must not start or end with a period, or have periods \
             in succession."
        )));
    }
    let lower = name.to_ascii_lowercase();
    if lower.starts_with("aws.") || lower.starts_with("amazon.") {
        return Err(refused(format!(
            "The message attribute name '{name}' is invalid. It must not start with the reserved prefixes 'AWS.' or \
             'Amazon.'."
        )));
    }
    Ok(())
}

fn refused(message: String) -> SqsError {
    SqsError::new(Code::InvalidParameterValue, message)
}

/// The characters that a body, and an attribute's text, may hold.
pub(super) const ALLOWED: &str = "#x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF";

/// # Source
/// API reference, `SendMessage`, parameter `MessageBody`, read 2026-11.
pub(super) fn is_allowed(character: char) -> bool {
    matches!(character, '\t' | '\n' | '\r' | ' '..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..)
}

fn is_number(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i64>().ok()),
        None => (unsigned, Some(0)),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = || whole.bytes().chain(fraction.bytes());
    if digits().next().is_none() || !digits().all(|digit| digit.is_ascii_digit()) {
        return false;
    }
    let Some(exponent) = exponent else { return false };
    let Some(first) = digits().position(|digit| digit != b'0') else { return true };
    let last = digits().enumerate().filter(|(_, digit)| *digit != b'0').map(|(place, _)| place).last().unwrap_or(first);
    // Where the first digit that is not zero stands, as a power of ten.
    let places = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    let magnitude = places(whole.len()).saturating_sub(1).saturating_sub(places(first)).saturating_add(exponent);
    last - first < NUMBER_DIGITS_MAX && NUMBER_EXPONENTS.contains(&magnitude)
}

/// The digest over attributes in the order of their names.
///
/// # Source
/// Developer guide, "Calculating the MD5 message digest for message attributes", read 2026-11.
pub(super) fn digest<'a>(attributes: impl IntoIterator<Item = &'a Attribute>) -> Option<String> {
    let mut attributes = attributes.into_iter().peekable();
    attributes.peek()?;
    let mut digest = Md5::new();
    for Attribute { name, data_type, value } in attributes {
        // Each part is preceded by its length as four bytes; a message of more than 4 GiB is refused long before.
        let mut part = |bytes: &[u8]| {
            digest.update(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
            digest.update(bytes);
        };
        part(name.as_bytes());
        part(data_type.as_bytes());
        digest.update([match value {
            Value::Text(_) => 1,
            Value::Binary(_) => 2,
        }]);
        let bytes = value.bytes();
        digest.update(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
        digest.update(bytes);
    }
    Some(hex::encode(digest.finalize()))
}

/// Which attributes a receiver asked for.
pub(super) struct Choice {
    all: bool,
    names: Vec<String>,
    prefixes: Vec<String>,
}

impl Choice {
    pub(super) fn new(asked: Vec<String>) -> Self {
        let mut choice = Self { all: false, names: Vec::new(), prefixes: Vec::new() };
        for name in asked {
            match name.strip_suffix(".*") {
                _ if name == "All" => choice.all = true,
                Some("") => choice.all = true,
                Some(prefix) => choice.prefixes.push(prefix.to_owned()),
                None => choice.names.push(name),
            }
        }
        choice
    }

    pub(super) fn pick<'a>(&self, attributes: &'a [Attribute]) -> Vec<&'a Attribute> {
        attributes.iter().filter(|attribute| self.takes(&attribute.name)).collect()
    }

    fn takes(&self, name: &str) -> bool {
        self.all
            || self.names.iter().any(|asked| asked == name)
            || self.prefixes.iter().any(|prefix| name.starts_with(prefix.as_str()))
    }
}

/// An attribute as a receiver gets it.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ReceivedAttribute<'a> {
    data_type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    string_value: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    binary_value: Option<String>,
}

impl Attribute {
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The value, if it is text.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            Value::Binary(_) => None,
        }
    }

    pub(super) fn received(&self) -> ReceivedAttribute<'_> {
        let binary_value = match &self.value {
            Value::Text(_) => None,
            Value::Binary(bytes) => Some(STANDARD.encode(bytes)),
        };
        ReceivedAttribute { data_type: &self.data_type, string_value: self.text(), binary_value }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(json: &str) -> WireAttributes {
        serde_json::from_str(json).unwrap()
    }

    fn digest_of(json: &str) -> String {
        digest(&check(wire(json)).unwrap()).unwrap()
    }

    /// The digests are those of the examples of the npm package `aws-md5-of-message-attributes`, and of answers
    /// recorded from the service.
    #[test]
    fn the_digest_is_the_services() {
        let one = r#"{"attribName1": {"DataType": "String", "StringValue": "attribValue 1"}}"#;
        assert_eq!(digest_of(one), "19e27d4e946b072f3f58da80d94fd778");
        let number = r#"{"customNumberTypeAttrib": {"DataType": "Number.float",
            "StringValue": "4563442423554324324264524243.32543234"}}"#;
        assert_eq!(digest_of(number), "9fe1b90bbd9965bdf77bac517c7d2495");
        let binary = r#"{"binaryAttribute": {"DataType": "Binary", "BinaryValue": "SGVsbG8gYmluYXJ5IHdvcmxkIQ=="}}"#;
        assert_eq!(digest_of(binary), "31a92b15d92f8db860eda32aceb656c3");
        let recorded = r#"{"Hello": {"DataType": "String", "StringValue": "There"},
            "General": {"DataType": "String", "StringValue": "Kenobi"}}"#;
        assert_eq!(digest_of(recorded), "fca026605781cb4126a1e9044df24232");
        assert_eq!(digest(&[]), None);
    }

    #[test]
    fn a_receiver_gets_what_it_asked_for_and_its_digest() {
        let attributes = check(wire(
            r#"{"Hello": {"DataType": "String", "StringValue": "There"},
                "General": {"DataType": "String", "StringValue": "Kenobi"},
                "Help.Me": {"DataType": "String", "StringValue": "Me"}}"#,
        ))
        .unwrap();
        let pick = |asked: &[&str]| {
            let picked = Choice::new(asked.iter().map(ToString::to_string).collect()).pick(&attributes);
            let digest = digest(picked.iter().copied());
            (picked.into_iter().map(Attribute::name).collect::<Vec<_>>(), digest)
        };
        let digest = |text: &str| Some(text.to_owned());
        let all = (vec!["General", "Hello", "Help.Me"], digest("4c360f3fdafd970e05fae2f149d997f5"));
        assert_eq!(pick(&["All"]), all);
        assert_eq!(pick(&[".*"]), all);
        assert_eq!(pick(&["Hel.*"]), (vec!["Hello", "Help.Me"], digest("83fee93c1bcd8b9a5a923ffacdc636c7")));
        assert_eq!(pick(&["Hello", "Missing"]), (vec!["Hello"], digest("a311262e065454b75da111d535b8dacd")));
        assert_eq!(pick(&[]), (vec![], None));
        assert_eq!(pick(&["AWS.", "..foo"]), (vec![], None));
    }

    #[test]
    fn what_the_service_refuses_is_refused() {
        let reason = |name: &str, data_type: &str, value: &str| {
            let json = serde_json::json!({ name: { "DataType": data_type, "StringValue": value } });
            check(wire(&json.to_string())).err().map(|error| error.code)
        };
        let refused = Some(Code::InvalidParameterValue);
        assert_eq!(reason("attr.1øßä", "String", "valid"), None);
        for name in ["aWs.x", "AMAZON.x", ".x", "x.", "a..b", "", "a b", "a!", "§", &"L".repeat(257)] {
            assert_eq!(reason(name, "String", "valid"), refused, "{name}");
        }
        for data_type in ["", "Invalid", "string", "Strings", &format!("Number.{}", "L".repeat(256))] {
            assert_eq!(reason("a", data_type, "1"), refused, "{data_type}");
        }
        assert_eq!(reason("a", "String.label", "x"), None);
        assert_eq!(reason("a", "String", ""), refused);
        assert_eq!(reason("a", "String", "\u{8}"), refused);
        assert_eq!(reason("a", "Binary", "text"), refused);
        for number in ["0", "-1", "+1.5", "1e126", "9.99E-128", "123456789012345678901234567890.12345678", ".5", "5."] {
            assert_eq!(reason("a", "Number", number), None, "{number}");
        }
        for number in
            ["x", "1x", "", ".", "1e", "1e127", "1e-129", "--1", "1.2.3", &"1".repeat(39), "1e99999999999999999999"]
        {
            assert_eq!(reason("a", "Number", number), refused, "{number}");
        }
    }

    #[test]
    fn only_the_trace_header_is_a_system_attribute() {
        let header =
            r#"{"AWSTraceHeader": {"DataType": "String", "StringValue": "Root=1-5759e988-bd862e3fe1be46a994272793"}}"#;
        assert!(check_system(wire(header)).unwrap().is_some());
        assert!(check_system(wire(&header.replace("AWSTraceHeader", "Other"))).is_err());
        assert!(check_system(wire(&header.replace("\"String\"", "\"Number\""))).is_err());
        assert_eq!(check_system(wire("{}")).unwrap(), None);
    }
}
