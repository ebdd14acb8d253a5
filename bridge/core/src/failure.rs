//! Failures of ports, and the two questions that the worker asks of them: what now, and may it have happened?
//!
//! What happened is told in words common to all clouds ([`FailureKind`]); the vendor's own error stays the `source`,
//! for the log. Losing to a newer version, a duplicate and an empty queue are outcomes, never failures.

#![deny(clippy::wildcard_enum_match_arm)]

use std::{error::Error, fmt, sync::Arc, time::Duration};

/// A failed operation on a queue or a store.
#[derive(Clone, Debug)]
pub struct PortError {
    /// The adapter that failed, and what it was talking to, for example `dynamodb bridge-records`.
    pub backend: String,
    /// The port's method that failed, for example `put_if_newer`.
    pub operation: &'static str,
    /// What went wrong.
    pub kind: FailureKind,
    /// The vendor's own error, with its request id where there is one. Shared, so that several callers can fail with it.
    pub source: Option<Arc<dyn Error + Send + Sync>>,
}

impl fmt::Display for PortError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} failed: {}", self.backend, self.operation, self.kind)
    }
}

/// By hand: derived, the source would be the `Arc`, and nobody could ask it what it is.
impl Error for PortError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

impl PortError {
    /// A failure without a vendor's error behind it.
    pub fn new(backend: impl Into<String>, operation: &'static str, kind: FailureKind) -> Self {
        Self { backend: backend.into(), operation, kind, source: None }
    }

    /// Adds the vendor's own error.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(Arc::from(source.into()));
        self
    }

    /// The error of this type among the causes: a vendor's own, for whoever knows the vendor.
    pub fn cause<T: Error + 'static>(&self) -> Option<&T> {
        causes(self).skip(1).find_map(<dyn Error>::downcast_ref)
    }

    /// The whole chain of causes in one line, for a log or a dead letter's detail.
    pub fn chain(&self) -> String {
        chain(self)
    }
}

/// A vendor's error in words of our own, which stand for all that is below it.
#[derive(Debug, thiserror::Error)]
#[error("{words}")]
pub struct InWords {
    words: String,
    #[source]
    error: Box<dyn Error + Send + Sync>,
}

impl InWords {
    /// `error`, told as `words`.
    pub fn new(words: impl Into<String>, error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { words: words.into(), error: error.into() }
    }
}

/// There is nothing to sign a request with: no source of credentials has any, or the one that is set up gives none. Tells where was
/// looked, and what each source answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no credentials were found: {0}")]
pub struct NoCredentials(pub String);

/// The service does not take the caller's credentials: they are wrong or have ended. No right is missing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the credentials were refused: {0}")]
pub struct CredentialsRefused(pub String);

/// What an error tells as its own cause: none below [`InWords`].
fn cause<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    if error.is::<InWords>() { None } else { error.source() }
}

/// An error, and what is below it.
pub fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// An error and all its causes in one line. Words that an error and its cause share are told once.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = cause(error);
    while let Some(told) = next {
        let cause_text = told.to_string();
        if !text.ends_with(&cause_text) {
            text.truncate(without_repeated(&text, &cause_text));
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        next = cause(told);
    }
    text
}

/// How much of `text` is left without the clauses at its end that `cause` has too.
fn without_repeated(text: &str, cause: &str) -> usize {
    let repeated = |(at, colon): &(usize, &str)| {
        let clauses = &text[at + colon.len()..];
        !clauses.is_empty() && cause.contains(clauses)
    };
    text.match_indices(": ").find(repeated).map_or(text.len(), |(at, _)| at)
}

/// What went wrong, in words common to all clouds.
///
/// There is no "other": an adapter that meets an unknown error says [`FailureKind::Unavailable`], which is retried,
/// and the source in the log shows what deserves a kind of its own.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FailureKind {
    /// The backend asked for fewer requests.
    #[error("throttled")]
    Throttled {
        /// The delay that the backend asked for, if it named one.
        retry_after: Option<Duration>,
    },
    /// The backend could not be reached, or answered that it cannot serve for now.
    #[error("unavailable")]
    Unavailable,
    /// No answer came in time: the effect may have happened.
    #[error("timed out")]
    TimedOut,
    /// The receipt is stale: the message may be in other hands by now, or gone.
    #[error("the lease on the message was lost")]
    LeaseLost,
    /// The item is larger than the backend accepts.
    #[error("{size_bytes} bytes are over the limit of {limit_bytes} bytes")]
    TooLarge {
        /// Size of the rejected item.
        size_bytes: u64,
        /// The backend's limit.
        limit_bytes: u64,
    },
    /// The backend refused the content of this one item.
    #[error("refused: {detail}")]
    Rejected {
        /// What the backend said.
        detail: String,
    },
    /// The credentials were refused.
    #[error("access denied")]
    Unauthorized,
    /// The queue, table or container does not exist.
    #[error("does not exist")]
    Missing,
    /// The table or container is not the one that the bridge needs: it can hold no record, whatever its key.
    #[error("has the wrong shape: {detail}")]
    Misshapen {
        /// What the backend said.
        detail: String,
    },
    /// The vendor's SDK panicked: at a setting that it cannot use, and so at the next call again.
    #[error("the SDK panicked: {detail}")]
    Panicked {
        /// What it said.
        detail: String,
    },
}

/// Whom a failure concerns, and so what the worker does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recovery {
    /// Nobody: the same request may succeed later.
    Retry,
    /// The message: it can never succeed, others can.
    DeadLetter,
    /// The operator: no message can succeed until the deployment is mended.
    Halt,
}

impl FailureKind {
    /// Returns what the worker does next.
    ///
    /// The match names every kind, so that a new kind cannot be added without an answer.
    pub fn recovery(&self) -> Recovery {
        match self {
            Self::Throttled { .. } | Self::Unavailable | Self::TimedOut | Self::LeaseLost => Recovery::Retry,
            Self::TooLarge { .. } | Self::Rejected { .. } => Recovery::DeadLetter,
            Self::Unauthorized | Self::Missing | Self::Misshapen { .. } | Self::Panicked { .. } => Recovery::Halt,
        }
    }

    /// Returns whether the operation may have taken effect although it failed.
    pub fn outcome_unknown(&self) -> bool {
        match self {
            Self::Unavailable | Self::TimedOut | Self::Panicked { .. } => true,
            Self::Throttled { .. }
            | Self::LeaseLost
            | Self::TooLarge { .. }
            | Self::Rejected { .. }
            | Self::Unauthorized
            | Self::Missing
            | Self::Misshapen { .. } => false,
        }
    }

    /// The delay that the backend asked for.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Throttled { retry_after } => *retry_after,
            Self::Unavailable
            | Self::TimedOut
            | Self::LeaseLost
            | Self::TooLarge { .. }
            | Self::Rejected { .. }
            | Self::Unauthorized
            | Self::Missing
            | Self::Misshapen { .. }
            | Self::Panicked { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_tells_each_cause_once() {
        let failed = || PortError::new("sqs orders", "send", FailureKind::Unavailable);
        assert_eq!(failed().chain(), "sqs orders: send failed: unavailable");
        assert_eq!(failed().caused_by("no route").chain(), "sqs orders: send failed: unavailable: no route");
        assert_eq!(failed().caused_by("unavailable").chain(), "sqs orders: send failed: unavailable");
        let rejected = FailureKind::Rejected { detail: "ValidationException: too long".to_owned() };
        let rejected = PortError::new("dynamodb t", "put_if_newer", rejected);
        assert_eq!(
            rejected.caused_by("400 ValidationException: too long (request id 7)").chain(),
            "dynamodb t: put_if_newer failed: refused: 400 ValidationException: too long (request id 7)"
        );
        let twice = PortError::new("replay", "pay", FailureKind::TimedOut).caused_by(failed().caused_by("no route"));
        assert_eq!(twice.chain(), "replay: pay failed: timed out: sqs orders: send failed: unavailable: no route");
    }

    #[test]
    fn words_stand_for_the_vendors_error_and_the_error_is_kept() {
        let vendors = std::io::Error::other("Os { code: 104 }");
        let told =
            PortError::new("sqs orders", "send", FailureKind::Unavailable).caused_by(InWords::new("reset", vendors));
        assert_eq!(told.chain(), "sqs orders: send failed: unavailable: reset");
        assert!(told.cause::<std::io::Error>().is_some() && told.cause::<std::fmt::Error>().is_none());
    }

    #[test]
    fn only_what_may_help_is_waited_for() {
        let hint = Some(Duration::from_secs(7));
        assert_eq!(FailureKind::Throttled { retry_after: hint }.retry_after(), hint);
        assert_eq!(FailureKind::Unavailable.retry_after(), None);
    }

    #[test]
    fn only_what_was_not_answered_may_have_happened() {
        assert!(FailureKind::TimedOut.outcome_unknown() && FailureKind::Unavailable.outcome_unknown());
        assert!(!FailureKind::Missing.outcome_unknown() && !FailureKind::LeaseLost.outcome_unknown());
    }
}
