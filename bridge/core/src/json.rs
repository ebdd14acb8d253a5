//! Reads JSON strictly: a member name that occurs twice in one object is refused, because parsers disagree about which
//! of the two counts, and so two sites could store different payloads. Says where it went wrong as a JSON pointer.
//!
//! Nothing here makes a tree: values are pieces of the text that they stand in.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// Why a text was not read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum JsonError {
    /// Not JSON; the parser's words, with line and column.
    #[error("not JSON: {0}")]
    Syntax(String),
    /// The member at this path occurs a second time.
    #[error("{0} occurs twice; parsers disagree which one counts")]
    DuplicateMember(String),
    /// JSON, but the value at this path is a number beyond every double, or lies too deep; in the parser's words.
    #[error("{path}: no store can hold it: {what}")]
    Unreadable { path: String, what: String },
}

impl JsonError {
    /// As it is said of a text in which the value stands below `parent`.
    pub(crate) fn below(self, parent: &str) -> Self {
        match self {
            Self::Syntax(what) => Self::Syntax(format!("{parent}: {what}")),
            Self::DuplicateMember(path) => Self::DuplicateMember(format!("{parent}{path}")),
            Self::Unreadable { path, what } => Self::Unreadable { path: format!("{parent}{path}"), what },
        }
    }
}

/// The members of an object, each with the text of its value. Whether the values are read strictly is left to
/// [`canonical::of`](crate::canonical::of).
pub(crate) fn members(text: &str) -> Result<BTreeMap<Cow<'_, str>, &str>, JsonError> {
    let mut twice = None;
    let members = Members { twice: Some(&mut twice) };
    members
        .read(text)
        .map_err(|error| twice.map_or_else(|| JsonError::Syntax(error.to_string()), JsonError::DuplicateMember))
}

/// The members of an object whose names occur once in it; none of a text that is no object.
pub(crate) fn members_once(text: &str) -> BTreeMap<Cow<'_, str>, &str> {
    Members { twice: None }.read(text).unwrap_or_default()
}

/// The text of the value at a JSON pointer (RFC 6901) of the JSON in `text`; none where a name on the way occurs twice.
pub(crate) fn pointer<'a>(text: &'a str, pointer: &str) -> Option<&'a str> {
    if !pointer.is_empty() && !pointer.starts_with('/') {
        return None;
    }
    pointer
        .split('/')
        .skip(1)
        .try_fold(text, |text, segment| child(text, &segment.replace("~1", "/").replace("~0", "~")))
}

/// The text of the value of a member, or of an item by its number; none of a member that occurs twice.
pub(crate) fn child<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let mut parser = serde_json::Deserializer::from_str(text);
    match kind(text) {
        Kind::Object => parser.deserialize_map(Child(name)).ok()?,
        Kind::Array => parser.deserialize_seq(Child(name)).ok()?,
        _ => None,
    }
}

/// The text that a JSON string stands for, if `text` is one.
pub(crate) fn string(text: &str) -> Option<Cow<'_, str>> {
    serde_json::Deserializer::from_str(text).deserialize_str(Text).ok()
}

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Null,
    Bool,
    Number,
    String,
    Array,
    Object,
}

/// Told by how a valid text begins.
pub(crate) fn kind(text: &str) -> Kind {
    match text.trim_start_matches([' ', '\t', '\n', '\r']).as_bytes().first() {
        Some(b'{') => Kind::Object,
        Some(b'[') => Kind::Array,
        Some(b'"') => Kind::String,
        Some(b't' | b'f') => Kind::Bool,
        Some(b'n') => Kind::Null,
        _ => Kind::Number,
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Null => "null",
            Self::Bool => "a boolean",
            Self::Number => "a number",
            Self::String => "a string",
            Self::Array => "an array",
            Self::Object => "an object",
        })
    }
}

/// One segment of a JSON pointer (RFC 6901), with its slash.
pub(crate) fn segment_text(segment: &str) -> String {
    format!("/{}", segment.replace('~', "~0").replace('/', "~1"))
}

/// Borrowed from the JSON, unless there are escapes in it.
struct Text;

impl<'de> DeserializeSeed<'de> for Text {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Cow<'de, str>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Text {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E>(self, text: &str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}

struct Members<'a> {
    /// Takes the path of a member that occurs a second time, which ends the reading. Without it, such members are left out.
    twice: Option<&'a mut Option<String>>,
}

impl Members<'_> {
    fn read(self, text: &str) -> serde_json::Result<BTreeMap<Cow<'_, str>, &str>> {
        let mut parser = serde_json::Deserializer::from_str(text);
        self.deserialize(&mut parser).and_then(|read| parser.end().map(|()| read))
    }
}

impl<'de> DeserializeSeed<'de> for Members<'_> {
    type Value = BTreeMap<Cow<'de, str>, &'de str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Members<'_> {
    type Value = BTreeMap<Cow<'de, str>, &'de str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
        let (mut members, mut left_out) = (BTreeMap::new(), BTreeSet::new());
        while let Some(name) = access.next_key_seed(Text)? {
            if members.contains_key(&name) {
                if let Some(twice) = self.twice {
                    *twice = Some(segment_text(&name));
                    return Err(A::Error::custom("duplicate member"));
                }
                left_out.insert(name.clone());
            }
            members.insert(name, access.next_value::<&RawValue>()?.get());
        }
        for name in &left_out {
            members.remove(name);
        }
        Ok(members)
    }
}

/// Finds one value and passes over the others.
struct Child<'a>(&'a str);

impl<'de> Visitor<'de> for Child<'_> {
    type Value = Option<&'de str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or an array")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let (mut found, mut twice) = (None, false);
        while let Some(name) = members.next_key_seed(Text)? {
            if name == self.0 {
                twice |= found.is_some();
                found = Some(members.next_value::<&RawValue>()?.get());
            } else {
                members.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found.filter(|_| !twice))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        // RFC 6901, section 4: digits, and no zero before others.
        let wanted = self.0.parse::<usize>().ok().filter(|number| number.to_string() == self.0);
        let mut found = None;
        let mut at = 0;
        while let Some(item) = items.next_element::<&RawValue>()? {
            if wanted == Some(at) {
                found = Some(item.get());
            }
            at += 1;
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::canonical;

    #[test]
    fn reads_what_serde_json_reads() {
        for text in [r#"{"a":[1,-2,1.5,"x",null,true,{"b":{}}]}"#, "3", "\"é\\u00e9\"", "[]", "18446744073709551616"] {
            let read = |text: &str| serde_json::from_str::<Value>(text).unwrap();
            assert_eq!(read(&canonical::of(text).unwrap()), read(text), "{text}");
        }
    }

    #[test]
    fn names_the_member_that_occurs_twice() {
        let duplicate = |text: &str| match canonical::of(text) {
            Err(JsonError::DuplicateMember(path)) => path,
            other => panic!("{text}: {other:?}"),
        };
        assert_eq!(duplicate(r#"{"a":1,"a":1}"#), "/a");
        assert_eq!(duplicate(r#"{"b":1,"a":{"c":[]},"b":{"d":1}}"#), "/b");
        assert_eq!(duplicate(r#"{"x":[{},{"a/b":1,"a\/b":2}]}"#), "/x/1/a~1b");
        assert_eq!(duplicate(r#"{"a":1,"\u0061":2}"#), "/a", "escapes are read before names are compared");
        assert_eq!(members(r#"{"a":1,"\u0061":2}"#), Err(JsonError::DuplicateMember("/a".to_owned())));
    }

    #[test]
    fn what_occurs_twice_is_not_found() {
        let text = r#"{"a":1,"b":{"c":1,"d":2,"c":1},"a":2,"a":3}"#;
        assert_eq!(members_once(text).into_keys().collect::<Vec<_>>(), ["b"]);
        assert_eq!(["/a", "/b/c", "/b/d"].map(|path| pointer(text, path)), [None, None, Some("2")]);
        assert!(members_once("[]").is_empty() && members_once("{\"a\":1}x").is_empty());
    }

    #[test]
    fn refuses_what_is_not_json() {
        for text in ["", "{", "{}x", "{'a':1}", "[1,]", "NaN", "\"\\ud800\"", "\u{feff}{}", "01"] {
            assert!(matches!(canonical::of(text), Err(JsonError::Syntax(_))), "{text}");
        }
        for text in ["", "{", "{}x", "{'a':1}", "[]", "{\"a\":01}", "\u{feff}{}"] {
            assert!(matches!(members(text), Err(JsonError::Syntax(_))), "{text}");
        }
    }

    #[test]
    fn tells_what_it_cannot_read_from_what_is_not_json() {
        let unreadable = |text: &str| match canonical::of(text) {
            Err(JsonError::Unreadable { path, .. }) => path,
            other => panic!("{text}: {other:?}"),
        };
        assert_eq!(unreadable(r#"{"b":{"x":1,"y":2},"a":[0,-1e400]}"#), "/a/1");
        assert_eq!(unreadable(r#"{"b":{"x":1,"y":1e400}}"#), "/b/y");
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(200), "]".repeat(200));
        assert!(unreadable(&deep).starts_with("/a/0/0/0"));
    }

    /// As `serde_json` finds it in a tree.
    #[test]
    fn a_pointer_finds_what_it_points_to() {
        let text = r#" { "a/b" : [ 10 , {"\u0063~": "x"} ], "": 1, "0": null } "#;
        let tree: Value = serde_json::from_str(text).unwrap();
        for path in [
            "",
            "/a~1b/0",
            "/a~1b/1/c~0",
            "/",
            "/0",
            "/a~1b/01",
            "/a~1b/+1",
            "/a~1b/-",
            "/a~1b/2",
            "/0/x",
            "a~1b",
            "/no",
        ] {
            let found = pointer(text, path).map(|text| serde_json::from_str::<Value>(text).unwrap());
            assert_eq!(found.as_ref(), tree.pointer(path), "{path}");
        }
        assert_eq!(string(r#""a\n""#), Some("a\n".into()));
        assert!(matches!(string(r#""a""#), Some(Cow::Borrowed("a"))));
        assert_eq!((string("1"), string("[]")), (None, None));
    }
}
