//! A failure on its way to a port: what went wrong in the core's word, and what the vendor or the machine said.

use std::{error::Error, sync::Arc};

use bridge_core::failure::{FailureKind, InWords, PortError, chain};

/// A failure before it is known which of a port's methods it is told to. Cheap to clone: a failed batch fails each of its items.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) kind: FailureKind,
    /// The vendor's or the machine's own error.
    pub(crate) source: Arc<dyn Error + Send + Sync>,
}

impl Failure {
    /// `source`: an error, or words where there is none.
    pub(crate) fn new(kind: FailureKind, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { kind, source: Arc::from(source.into()) }
    }

    /// A vendor's error, told in words of our own.
    pub(crate) fn in_words(
        kind: FailureKind,
        words: impl Into<String>,
        error: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self::new(kind, InWords::new(words, error))
    }

    /// The backend is away, or gave an answer that is none.
    pub(crate) fn unavailable(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::new(FailureKind::Unavailable, source)
    }

    /// A request over HTTP that got no answer. Its address may hold a secret, and stays out.
    pub(crate) fn of_transport(error: reqwest::Error) -> Self {
        let kind = if error.is_timeout() { FailureKind::TimedOut } else { FailureKind::Unavailable };
        Self::new(kind, error.without_url())
    }

    /// What was said, in one line.
    pub(crate) fn detail(&self) -> String {
        chain(&*self.source)
    }

    /// The failure of `operation` on `backend`.
    pub(crate) fn at(self, backend: impl Into<String>, operation: &'static str) -> PortError {
        PortError { backend: backend.into(), operation, kind: self.kind, source: Some(self.source) }
    }
}

#[cfg(test)]
impl PartialEq for Failure {
    fn eq(&self, other: &Self) -> bool {
        (&self.kind, self.detail()) == (&other.kind, other.detail())
    }
}
