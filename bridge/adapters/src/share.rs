//! A share of a store that is divided by number, and how far its reading has come, as the text of a cursor.

use bridge_core::{
    failure::{FailureKind, PortError},
    port::Cursor,
};

/// Share `number` of `of`, as far as the key `after`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Share {
    pub(crate) number: usize,
    pub(crate) of: usize,
    pub(crate) after: Option<String>,
}

impl Share {
    /// Where each of so many shares begins.
    pub(crate) fn all(of: usize) -> Vec<Cursor> {
        (0..of).map(|number| Self { number, of, after: None }.cursor()).collect()
    }

    pub(crate) fn cursor(&self) -> Cursor {
        let after = self.after.as_ref().map(|key| format!("/{key}")).unwrap_or_default();
        Cursor(format!("{}/{}{after}", self.number, self.of))
    }

    pub(crate) fn read(cursor: &Cursor) -> Option<Self> {
        let mut parts = cursor.0.splitn(3, '/');
        let share = Self {
            number: parts.next()?.parse().ok()?,
            of: parts.next()?.parse().ok()?,
            after: parts.next().map(str::to_owned),
        };
        (share.number < share.of).then_some(share)
    }
}

/// The answer to a cursor that is none.
pub(crate) fn no_cursor(backend: impl Into<String>, cursor: &Cursor) -> PortError {
    PortError::new(backend, "page", FailureKind::Rejected { detail: format!("{cursor:?} is no cursor") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back_whatever_the_key() {
        for after in [None, Some("a"), Some("a/b/c"), Some("/"), Some("")] {
            let share = Share { number: 3, of: 4, after: after.map(str::to_owned) };
            assert_eq!(Share::read(&share.cursor()), Some(share));
        }
        for none in ["", "1", "4/4", "-1/4", "a/b/c"] {
            assert_eq!(Share::read(&Cursor(none.to_owned())), None, "{none}");
        }
    }
}
