//! Reads JSON strictly: a member name that occurs twice in one object is refused, because parsers disagree about which
//! of the two counts, and so two sites could store different payloads. Says where it went wrong as a JSON path.

use std::{
    cell::{Cell, RefCell},
    fmt,
};

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Why a text was not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum JsonError {
    /// Not JSON; the parser's words, with line and column.
    Syntax(String),
    /// The member at this path occurs a second time.
    DuplicateMember(String),
    /// JSON, but the value at this path is a number beyond every double, or lies too deep; in the parser's words.
    Unreadable { path: String, what: String },
}

/// Reads one JSON value, and nothing behind it.
///
/// Nesting is bounded by the parser itself, at 127 levels.
pub(crate) fn parse(text: &str) -> Result<Value, JsonError> {
    let at = Path::default();
    let mut parser = serde_json::Deserializer::from_str(text);
    let value = Strict(&at).deserialize(&mut parser).and_then(|value| parser.end().map(|()| value));
    value.map_err(|error| {
        let (path, what) = (at.pointer(), error.to_string());
        // The parser has no other way to tell these from what is not JSON at all; a test holds it to its words.
        let valid_json = what.starts_with("number out of range") || what.starts_with("recursion limit exceeded");
        match at.duplicate.get() {
            true => JsonError::DuplicateMember(path),
            false if valid_json => JsonError::Unreadable { path, what },
            false => JsonError::Syntax(what),
        }
    })
}

/// Where the parser stands, as segments of a JSON pointer; shared by the seeds of one parse, and left where an error
/// was met.
#[derive(Default)]
struct Path {
    segments: RefCell<Vec<String>>,
    duplicate: Cell<bool>,
}

impl Path {
    fn pointer(&self) -> String {
        self.segments.borrow().iter().map(|segment| segment_text(segment)).collect()
    }
}

struct Strict<'a>(&'a Path);

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("number out of range"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        self.0.segments.borrow_mut().push(String::new());
        loop {
            if let Some(last) = self.0.segments.borrow_mut().last_mut() {
                *last = array.len().to_string();
            }
            match items.next_element_seed(Strict(self.0))? {
                Some(item) => array.push(item),
                None => break,
            }
        }
        self.0.segments.borrow_mut().pop();
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            let seen = object.contains_key(&name);
            self.0.segments.borrow_mut().push(name);
            if seen {
                self.0.duplicate.set(true);
                return Err(A::Error::custom("duplicate member"));
            }
            let value = members.next_value_seed(Strict(self.0))?;
            let name = self.0.segments.borrow_mut().pop().unwrap_or_default();
            object.insert(name, value);
        }
        Ok(Value::Object(object))
    }
}

/// One segment of a JSON pointer (RFC 6901), with its slash.
pub(crate) fn segment_text(segment: &str) -> String {
    format!("/{}", segment.replace('~', "~0").replace('/', "~1"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_serde_json_reads() {
        for text in [r#"{"a":[1,-2,1.5,"x",null,true,{"b":{}}]}"#, "3", "\"é\\u00e9\"", "[]", "18446744073709551616"] {
            assert_eq!(parse(text), Ok(serde_json::from_str(text).unwrap()), "{text}");
        }
    }

    #[test]
    fn names_the_member_that_occurs_twice() {
        let duplicate = |text: &str| match parse(text) {
            Err(JsonError::DuplicateMember(path)) => path,
            other => panic!("{text}: {other:?}"),
        };
        assert_eq!(duplicate(r#"{"a":1,"a":1}"#), "/a");
        assert_eq!(duplicate(r#"{"x":[{},{"a/b":1,"a\/b":2}]}"#), "/x/1/a~1b");
        assert_eq!(duplicate(r#"{"a":1,"\u0061":2}"#), "/a", "escapes are read before names are compared");
    }

    #[test]
    fn refuses_what_is_not_json() {
        for text in ["", "{", "{}x", "{'a':1}", "[1,]", "NaN", "\"\\ud800\"", "\u{feff}{}", "01"] {
            assert!(matches!(parse(text), Err(JsonError::Syntax(_))), "{text}");
        }
    }

    #[test]
    fn tells_what_it_cannot_read_from_what_is_not_json() {
        let unreadable = |text: &str| match parse(text) {
            Err(JsonError::Unreadable { path, .. }) => path,
            other => panic!("{text}: {other:?}"),
        };
        assert_eq!(unreadable(r#"{"a":[0,-1e400]}"#), "/a/1");
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(200), "]".repeat(200));
        assert!(unreadable(&deep).starts_with("/a/0/0/0"));
    }
}
