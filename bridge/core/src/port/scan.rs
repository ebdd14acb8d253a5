//! A store that can be read from end to end.

use std::fmt;

use async_trait::async_trait;

use crate::{event::Key, failure::PortError, record::Record};

/// How far the reading of one share of a store has come. What the text means is the backend's own business.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor(pub String);

/// A stored item that is not a record of the bridge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignItem {
    /// What to call it: its key, as far as it has one.
    pub name: String,
    /// The key under which [`Store::get`](super::Store::get) meets it; none if there is no such key.
    pub key: Option<Key>,
    /// What is wrong with it.
    pub what: String,
}

/// A portion of a share.
#[derive(Clone, Debug)]
pub struct Page {
    /// What lies there, in an order of the backend's own.
    pub items: Vec<Result<Record, ForeignItem>>,
    /// Where the next portion begins; none at the end of the share. A portion may be empty and not the last.
    pub next: Option<Cursor>,
}

/// A store that can be read from end to end, beside [`Store`](super::Store), which no worker needs to.
///
/// A record that is there when the reading begins and stays as it is comes exactly once, whatever is written meanwhile.
/// One that is written meanwhile comes as it was or as it is, or not at all if it is new. Tombstones are records; one
/// whose life has ended may come or not.
#[async_trait]
pub trait Scan: fmt::Debug + fmt::Display + Send + Sync {
    /// Divides the store into about `wanted` shares, at least one, that can be read at the same time: where each begins.
    ///
    /// # Errors
    /// Whatever the backend says of the store as a whole.
    async fn segments(&self, wanted: usize) -> Result<Vec<Cursor>, PortError>;

    /// Reads the portion at `from`: a bounded one, of at most a few megabytes. Asking again gives the same portion, as far as
    /// nothing was written.
    ///
    /// # Errors
    /// Whatever the backend says of the store as a whole; `Rejected` for a cursor that is none.
    async fn page(&self, from: &Cursor) -> Result<Page, PortError>;

    /// Items that go by the name of `key`, and that [`Store::get`](super::Store::get) does not meet; some of them, if there are many.
    ///
    /// # Errors
    /// Whatever the backend says of the store as a whole.
    async fn beside(&self, key: &Key) -> Result<Vec<ForeignItem>, PortError>;
}
