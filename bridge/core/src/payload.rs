//! The whole state of an entity: a JSON object, kept as its canonical text. A tree of it would take up to a hundred times its
//! bytes, and each of a store, a digest and a comparison wants the text in the end.

use std::{fmt, str::FromStr, sync::Arc};

use serde_json::{Map, Value};

use crate::{canonical, json};

/// A JSON object as its [`canonical`] text: equal payloads are equal texts.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Payload(Arc<str>);

impl Payload {
    /// An object without members.
    pub fn new() -> Self {
        Self("{}".into())
    }

    /// The canonical text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The canonical text of a member's value.
    pub fn get(&self, name: &str) -> Option<&str> {
        json::child(&self.0, name)
    }

    /// The members as a tree, for who shows or edits them.
    pub fn to_map(&self) -> Map<String, Value> {
        serde_json::from_str(&self.0).expect("it was read as an object before")
    }

    /// The tokens of the canonical text, in their order.
    pub fn tokens(&self) -> Tokens<'_> {
        Tokens(&self.0)
    }

    /// What was read as an object.
    pub(crate) fn from_canonical(text: String) -> Self {
        Self(text.into())
    }
}

impl Default for Payload {
    fn default() -> Self {
        Self::new()
    }
}

impl FromStr for Payload {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = canonical::of(text).map_err(|error| error.to_string())?;
        if text.starts_with('{') { Ok(Self::from_canonical(text)) } else { Err("not an object".to_owned()) }
    }
}

impl From<Map<String, Value>> for Payload {
    /// # Panics
    /// If values nest deeper than JSON is read.
    fn from(members: Map<String, Value>) -> Self {
        Value::Object(members).to_string().parse().expect("an object without a member that occurs twice")
    }
}

impl fmt::Display for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A token of canonical JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token<'a> {
    /// `{`
    Object,
    /// `}`
    ObjectEnd,
    /// `[`
    Array,
    /// `]`
    ArrayEnd,
    /// `,`
    Comma,
    /// A member's name and its colon: the text between the quotes, escapes and all.
    Name(&'a str),
    /// A string: the text between the quotes, escapes and all.
    String(&'a str),
    /// A number.
    Number(&'a str),
    /// `true` or `false`.
    Bool(&'a str),
    /// `null`
    Null,
}

impl Token<'_> {
    /// Appends the token as it stands in the text.
    pub fn write(&self, text: &mut String) {
        let (before, own, after) = match *self {
            Self::Object => ("{", "", ""),
            Self::ObjectEnd => ("}", "", ""),
            Self::Array => ("[", "", ""),
            Self::ArrayEnd => ("]", "", ""),
            Self::Comma => (",", "", ""),
            Self::Name(name) => ("\"", name, "\":"),
            Self::String(string) => ("\"", string, "\""),
            Self::Number(own) | Self::Bool(own) => ("", own, ""),
            Self::Null => ("null", "", ""),
        };
        for part in [before, own, after] {
            text.push_str(part);
        }
    }
}

/// See [`Payload::tokens`].
#[derive(Clone, Debug)]
pub struct Tokens<'a>(&'a str);

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        let text = self.0;
        let (token, bytes) = match text.as_bytes().first()? {
            b'{' => (Token::Object, 1),
            b'}' => (Token::ObjectEnd, 1),
            b'[' => (Token::Array, 1),
            b']' => (Token::ArrayEnd, 1),
            b',' => (Token::Comma, 1),
            b'n' => (Token::Null, 4),
            b't' => (Token::Bool(&text[..4]), 4),
            b'f' => (Token::Bool(&text[..5]), 5),
            b'"' => {
                let end = end_of_string(text);
                match text.as_bytes().get(end + 1) {
                    Some(b':') => (Token::Name(&text[1..end]), end + 2),
                    _ => (Token::String(&text[1..end]), end + 1),
                }
            }
            _ => {
                let end = text.find([',', '}', ']']).unwrap_or(text.len());
                (Token::Number(&text[..end]), end)
            }
        };
        self.0 = &text[bytes..];
        Some(token)
    }
}

/// Where the string that begins here has its last quote: the first one behind an even number of backslashes.
pub(crate) fn end_of_string(text: &str) -> usize {
    let mut at = 1;
    loop {
        at += text[at..].find('"').expect("a string that was read before has an end");
        let backslashes = text.as_bytes()[1..at].iter().rev().take_while(|byte| **byte == b'\\').count();
        if backslashes % 2 == 0 {
            return at;
        }
        at += 1;
    }
}

/// Bytes of a text between quotes once its escapes are read. In canonical JSON each escape stands for one byte.
pub fn unescaped_bytes(text: &str) -> usize {
    if !text.contains('\\') {
        return text.len();
    }
    let (bytes, mut count, mut at) = (text.as_bytes(), 0, 0);
    while at < bytes.len() {
        at += match (bytes[at], bytes.get(at + 1)) {
            (b'\\', Some(b'u')) => 6,
            (b'\\', _) => 2,
            _ => 1,
        };
        count += 1;
    }
    count
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_payload_is_its_canonical_text() {
        let payload: Payload = r#" {"b" : [1.0, "\u0041\n"], "a": {}} "#.parse().unwrap();
        assert_eq!(payload.as_str(), r#"{"a":{},"b":[1,"A\n"]}"#);
        assert_eq!(payload, Payload::from(payload.to_map()));
        assert_eq!((payload.get("b"), payload.get("c")), (Some(r#"[1,"A\n"]"#), None));
        assert_eq!(Payload::new().to_map(), Map::new());
        for text in ["[]", "1", "null", "{", "{}x", r#"{"a":1,"a":1}"#] {
            assert!(text.parse::<Payload>().is_err(), "{text}");
        }
    }

    #[test]
    fn tokens_are_all_of_the_text() {
        let members = json!({"a\"b": ["x,\"y\":", "\\", -1.5e-9, 12, null], "t": true, "f": [false, {}, []]});
        let Value::Object(members) = members else { unreachable!() };
        let payload = Payload::from(members);
        let mut text = String::new();
        payload.tokens().for_each(|token| token.write(&mut text));
        assert_eq!(text, payload.as_str());
        assert_eq!(payload.tokens().filter(|token| matches!(token, Token::Name(_))).count(), 3);
        assert_eq!(payload.tokens().filter(|token| matches!(token, Token::Number(_))).count(), 2);
    }

    #[test]
    fn escapes_count_as_what_they_stand_for() {
        for text in ["", "abc", "é", "\u{1}\n\"\\x", "🦀\u{7f}"] {
            let payload = Payload::from(Map::from_iter([("a".to_owned(), text.into())]));
            let string =
                payload.tokens().find_map(|token| if let Token::String(text) = token { Some(text) } else { None });
            assert_eq!(unescaped_bytes(string.unwrap()), text.len(), "{text:?}");
        }
    }
}
