//! What Service Bus says when it refuses, in the words of the port.
//!
//! AMQP names a condition, HTTP a status. What is unknown counts as unavailable, so that it is tried again and shows
//! in the log.

use bridge_core::failure::FailureKind;
use fe2o3_amqp::{
    connection::{ConnectionStopReason, OpenError},
    link::{
        DetachError, IllegalLinkStateError, LinkStateError, ReceiverAttachError, RecvError, SendError,
        SenderAttachError, SessionStopReason,
    },
    types::definitions::{self, ErrorCondition},
};
use serde_amqp::Value;

pub(crate) use crate::failure::Failure;

impl Failure {
    pub(crate) fn timed_out(what: &str) -> Self {
        Self::new(FailureKind::TimedOut, format!("{what}: no answer in time"))
    }

    pub(crate) fn lease_lost(detail: &str) -> Self {
        Self::new(FailureKind::LeaseLost, detail)
    }

    /// Whether a new connection may mend it: it may be gone, silent, or its token may have expired.
    pub(crate) fn may_be_the_connections(&self) -> bool {
        matches!(self.kind, FailureKind::Unavailable | FailureKind::TimedOut | FailureKind::Unauthorized)
    }
}

/// What an AMQP condition means. "AMQP errors in Azure Service Bus" and "Service Bus messaging exceptions", read 2026-11.
pub(crate) fn kind_of(condition: &str) -> FailureKind {
    match condition {
        "amqp:unauthorized-access" | "com.microsoft:auth-failed" => FailureKind::Unauthorized,
        "amqp:not-found" => FailureKind::Missing,
        "com.microsoft:message-lock-lost" | "com.microsoft:session-lock-lost" | "com.microsoft:message-not-found" => {
            FailureKind::LeaseLost
        }
        "com.microsoft:server-busy" | "amqp:resource-limit-exceeded" => FailureKind::Throttled { retry_after: None },
        "com.microsoft:timeout" | "com.microsoft:operation-cancelled" => FailureKind::TimedOut,
        _ => FailureKind::Unavailable,
    }
}

impl From<&definitions::Error> for Failure {
    fn from(error: &definitions::Error) -> Self {
        let condition = condition_text(&error.condition);
        let description = error.description.as_deref().unwrap_or_default();
        Self::in_words(kind_of(&condition), format!("{condition} {description}").trim_end(), error.clone())
    }
}

fn condition_text(condition: &ErrorCondition) -> String {
    match condition {
        ErrorCondition::Custom(symbol) => symbol.0.clone(),
        standard => match serde_amqp::to_value(standard) {
            Ok(Value::Symbol(symbol)) => symbol.0,
            _ => format!("{standard:?}"),
        },
    }
}

impl From<&SessionStopReason> for Failure {
    fn from(reason: &SessionStopReason) -> Self {
        match reason {
            SessionStopReason::EndedWithError(error)
            | SessionStopReason::RemoteEndedWithError(error)
            | SessionStopReason::ConnectionStopped(
                ConnectionStopReason::ClosedWithError(error) | ConnectionStopReason::RemoteClosedWithError(error),
            ) => error.into(),
            SessionStopReason::Ended
            | SessionStopReason::RemoteEnded
            | SessionStopReason::ConnectionStopped(ConnectionStopReason::Closed | ConnectionStopReason::RemoteClosed) => {
                Self::unavailable("the connection has ended")
            }
        }
    }
}

impl From<LinkStateError> for Failure {
    fn from(error: LinkStateError) -> Self {
        match &error {
            LinkStateError::RemoteDetachedWithError(cause) | LinkStateError::RemoteClosedWithError(cause) => {
                cause.into()
            }
            LinkStateError::SessionStopped(reason) => reason.into(),
            _ => Self::unavailable(error),
        }
    }
}

impl From<IllegalLinkStateError> for Failure {
    fn from(error: IllegalLinkStateError) -> Self {
        LinkStateError::from(error).into()
    }
}

impl From<RecvError> for Failure {
    fn from(error: RecvError) -> Self {
        match error {
            RecvError::LinkStateError(state) => state.into(),
            other => Self::unavailable(other),
        }
    }
}

impl From<SendError> for Failure {
    fn from(error: SendError) -> Self {
        match error {
            SendError::LinkStateError(state) => state.into(),
            SendError::Detached(
                DetachError::RemoteDetachedWithError(cause) | DetachError::RemoteClosedWithError(cause),
            ) => (&cause).into(),
            other => Self::unavailable(other),
        }
    }
}

impl From<ReceiverAttachError> for Failure {
    fn from(error: ReceiverAttachError) -> Self {
        match &error {
            ReceiverAttachError::RemoteClosedWithError(cause) => cause.into(),
            ReceiverAttachError::SessionStopped(reason) => reason.into(),
            _ => Self::unavailable(error),
        }
    }
}

impl From<SenderAttachError> for Failure {
    fn from(error: SenderAttachError) -> Self {
        match &error {
            SenderAttachError::RemoteClosedWithError(cause) => cause.into(),
            SenderAttachError::SessionStopped(reason) => reason.into(),
            _ => Self::unavailable(error),
        }
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        match &error {
            OpenError::RemoteClosedWithError(cause) => cause.into(),
            OpenError::SaslError { .. } => Self::new(FailureKind::Unauthorized, error),
            _ => Self::unavailable(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use fe2o3_amqp::types::definitions::AmqpError;
    use serde_amqp::primitives::Symbol;

    use super::*;

    #[test]
    fn conditions_get_the_ports_words() {
        let standard = definitions::Error::new(AmqpError::NotFound, "no such queue".to_owned(), None);
        assert_eq!(Failure::from(&standard), Failure::new(FailureKind::Missing, "amqp:not-found no such queue"));
        let lost = ErrorCondition::Custom(Symbol::from("com.microsoft:message-lock-lost"));
        assert_eq!(Failure::from(&definitions::Error::new(lost, None, None)).kind, FailureKind::LeaseLost);
        for (conditions, kind) in [
            ("amqp:unauthorized-access com.microsoft:auth-failed", FailureKind::Unauthorized),
            ("amqp:not-found", FailureKind::Missing),
            (
                "com.microsoft:message-lock-lost com.microsoft:session-lock-lost com.microsoft:message-not-found",
                FailureKind::LeaseLost,
            ),
            ("com.microsoft:server-busy amqp:resource-limit-exceeded", FailureKind::Throttled { retry_after: None }),
            ("com.microsoft:timeout com.microsoft:operation-cancelled", FailureKind::TimedOut),
            ("amqp:internal-error com.microsoft:never-heard-of", FailureKind::Unavailable),
        ] {
            for condition in conditions.split(' ') {
                assert_eq!(kind_of(condition), kind, "{condition}");
            }
        }
    }

    #[test]
    fn the_services_own_error_is_the_source() {
        let refused = definitions::Error::new(AmqpError::NotFound, "no such queue".to_owned(), None);
        let failed = Failure::from(LinkStateError::RemoteClosedWithError(refused)).at("service-bus q", "receive");
        assert!(failed.cause::<definitions::Error>().is_some(), "{failed:?}");
    }

    #[test]
    fn an_error_says_where_it_happened_and_what_the_service_said() {
        let error = Failure::new(FailureKind::Missing, "amqp:not-found no such queue").at("service-bus q", "receive");
        assert_eq!(error.chain(), "service-bus q: receive failed: does not exist: amqp:not-found no such queue");
    }
}
