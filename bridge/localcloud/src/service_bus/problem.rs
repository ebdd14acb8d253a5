//! The words in which the service refuses: AMQP error conditions and what clients make of them.

use fe2o3_amqp_types::definitions::{AmqpError, Error, ErrorCondition, Fields};
use serde_amqp::primitives::Symbol;

use crate::fault::Failure;

pub(super) const LOCK_LOST: &str = "com.microsoft:message-lock-lost";
pub(super) const SERVER_BUSY: &str = "com.microsoft:server-busy";
pub(super) const MESSAGE_NOT_FOUND: &str = "com.microsoft:message-not-found";
pub(super) const ARGUMENT_ERROR: &str = "com.microsoft:argument-error";
pub(super) const LOCK_LOST_TEXT: &str = "The lock supplied is invalid. Either the lock expired, or the message has already been removed \
     from the queue, or was received by a different receiver instance.";

/// What goes wrong between the two peers, by how much of their relation it ends.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The connection is closed with this error.
    Close(Error),
    /// One session ends with it.
    End(u16, Error),
    /// The connection is cut without a word.
    Cut,
}

impl Trouble {
    pub(super) fn close(condition: impl Into<ErrorCondition>, text: impl Into<String>) -> Self {
        Self::Close(problem(condition, text))
    }

    pub(super) fn end(channel: u16, condition: impl Into<ErrorCondition>, text: impl Into<String>) -> Self {
        Self::End(channel, problem(condition, text))
    }
}

/// What cannot be decoded, or (which nobody can bring about from outside) encoded.
impl From<std::io::Error> for Trouble {
    fn from(error: std::io::Error) -> Self {
        Self::close(AmqpError::DecodeError, error.to_string())
    }
}

/// With an empty `info`, because the Python client reads that field of an error without asking whether it is there.
pub(super) fn problem(condition: impl Into<ErrorCondition>, text: impl Into<String>) -> Error {
    Error::new(condition, text.into(), Fields::new())
}

pub(super) fn custom(condition: &str) -> ErrorCondition {
    ErrorCondition::Custom(Symbol::from(condition))
}

/// How an injected failure looks to the client; `None` for one that it sees only by the end of its connection.
pub(super) fn injected(failure: Failure) -> Option<Error> {
    match failure {
        Failure::Throttle { .. } => {
            Some(problem(custom(SERVER_BUSY), "The server is busy. Please wait 10 seconds and try again."))
        }
        Failure::Error => Some(problem(AmqpError::InternalError, "The service was unable to process the request.")),
        // "AMQP errors in Azure Service Bus", read 2026-11.
        Failure::Denied => Some(problem(
            AmqpError::UnauthorizedAccess,
            "Unauthorized access. The claims of the token do not allow this.",
        )),
        Failure::Drop | Failure::Dark => None,
    }
}

/// The name of a condition, for the record of calls.
pub(super) fn name(error: &Error) -> String {
    match &error.condition {
        ErrorCondition::Custom(symbol) => symbol.as_str().to_owned(),
        ErrorCondition::AmqpError(known) => Symbol::from(known).as_str().to_owned(),
        ErrorCondition::ConnectionError(known) => Symbol::from(known).as_str().to_owned(),
        ErrorCondition::SessionError(known) => Symbol::from(known).as_str().to_owned(),
        ErrorCondition::LinkError(known) => Symbol::from(known).as_str().to_owned(),
    }
}
