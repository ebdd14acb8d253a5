//! The name of an entity, which every store can hold.

use std::{fmt, str::FromStr, sync::Arc};

use crate::limits;

/// The entity's key: not empty, and short enough for every store.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Arc<str>);

impl Key {
    /// The key as the event named it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The key as a Cosmos DB `id`.
    ///
    /// Cosmos forbids `/ \ ? #` in ids; those, control characters, a blank at the end and the escape character itself
    /// are written as `~` and two hexadecimal digits per byte. So are the keys `.` and `..`, which are steps in the path
    /// of a URL. `~` because no URL encoding ever touches it.
    pub fn escaped(&self) -> String {
        escape(&self.0)
    }
}

/// Why a text cannot be a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// No store takes an empty key.
    #[error("the key is empty")]
    Empty,
    /// Longer than a store takes.
    #[error("the key has {size_bytes} bytes once escaped for Cosmos DB, the limit is {}", limits::KEY_BYTES_MAX)]
    TooLong {
        /// The size after escaping.
        size_bytes: usize,
    },
}

impl FromStr for Key {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() {
            return Err(KeyError::Empty);
        }
        let size_bytes = escape(text).len();
        if size_bytes > limits::KEY_BYTES_MAX {
            return Err(KeyError::TooLong { size_bytes });
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

fn escape(key: &str) -> String {
    use fmt::Write;
    let dots = matches!(key, "." | "..");
    let last = key.len() - key.chars().next_back().map_or(0, char::len_utf8);
    let mut escaped = String::with_capacity(key.len());
    for (at, c) in key.char_indices() {
        if dots || matches!(c, '/' | '\\' | '?' | '#' | '~') || c.is_control() || (at == last && c.is_whitespace()) {
            let mut utf8 = [0; 4];
            for byte in c.encode_utf8(&mut utf8).bytes() {
                write!(escaped, "~{byte:02X}").expect("a String takes all");
            }
        } else {
            escaped.push(c);
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_may_be_as_long_as_every_store_takes() {
        let key = |text: &str| text.parse::<Key>().map(|key| key.as_str().len());
        assert_eq!(key(""), Err(KeyError::Empty));
        assert_eq!(key(&"k".repeat(limits::KEY_BYTES_MAX)), Ok(limits::KEY_BYTES_MAX));
        assert_eq!(key(&"k".repeat(1024)), Err(KeyError::TooLong { size_bytes: 1024 }));
        assert_eq!(key(&"/".repeat(341)), Ok(341), "1023 bytes once escaped");
        assert_eq!(key(&"/".repeat(342)), Err(KeyError::TooLong { size_bytes: 1026 }));
    }

    #[test]
    fn what_cosmos_refuses_in_an_id_is_escaped_and_nothing_else() {
        for (key, id) in [
            ("order-42", "order-42"),
            ("a b", "a b"),
            ("a.b", "a.b"),
            ("...", "..."),
            ("caf\u{e9}", "caf\u{e9}"),
            ("/", "~2F"),
            ("a\\b?c#d~e", "a~5Cb~3Fc~23d~7Ee"),
            (".", "~2E"),
            ("..", "~2E~2E"),
            ("a\u{7}b", "a~07b"),
            ("a ", "a~20"),
            ("a  ", "a ~20"),
            ("\u{e9} ", "\u{e9}~20"),
            ("a\u{2003}", "a~E2~80~83"),
        ] {
            assert_eq!(key.parse::<Key>().unwrap().escaped(), id, "{key:?}");
        }
    }
}
