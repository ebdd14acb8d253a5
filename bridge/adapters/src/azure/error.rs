//! The Cosmos SDK's errors in the core's words.
//!
//! HTTP status and sub-status decide ("HTTP Status Codes for Azure Cosmos DB", read 2026-11). What is not listed is
//! `Unavailable`, which is retried, and stands in the log until it gets a line here.

use std::time::Duration;

use azure_data_cosmos::CosmosError;
use bridge_core::failure::{CredentialsRefused, FailureKind, PortError, chain};

use crate::{failure::Failure, token::NoToken};

/// The region is not the one that takes writes (any more).
const WRITE_FORBIDDEN: u16 = 3;
/// The region does not serve the account (any more).
const ACCOUNT_NOT_FOUND: u16 = 1008;
/// The item's partition key is not the one that the request names. A record has its key as `/pk`, always: so it is the
/// container that is partitioned by something else.
const PARTITION_KEY_MISMATCH: u16 = 1001;
/// No replica has yet seen what this session wrote.
const READ_SESSION_NOT_AVAILABLE: u16 = 1002;
/// The SDK's own: the operation's time was up.
const CLIENT_OPERATION_TIMEOUT: u16 = 20_008;
/// The SDK's own forms of the three above it.
const CLIENT_READ_SESSION_NOT_AVAILABLE: u16 = 20_310;
const CLIENT_WRITE_FORBIDDEN: u16 = 20_311;
const CLIENT_ACCOUNT_NOT_FOUND: u16 = 20_312;

/// The failure of `operation` as the port says it. Outcomes that are part of a write's way (404 of an item, 409, 412)
/// never come here.
pub(super) fn port_error(backend: String, operation: &'static str, error: &CosmosError) -> PortError {
    let (kind, told) = (kind(error), words(error));
    let failure = match NoToken::among(error) {
        Some(none) => none.failure(),
        // "Status 401" and "status 403" of Cosmos DB: who calls is not known, or may not do this.
        None if u16::from(error.status().status_code()) == 401 => Failure::new(kind, CredentialsRefused(told)),
        None => Failure::in_words(kind, told, error.clone()),
    };
    failure.at(backend, operation)
}

fn kind(error: &CosmosError) -> FailureKind {
    let status = u16::from(error.status().status_code());
    let sub_status = error.status().sub_status().map(|sub_status| sub_status.value());
    match (status, sub_status) {
        (_, Some(CLIENT_OPERATION_TIMEOUT)) | (408, _) => FailureKind::TimedOut,
        // While the account moves its writes to another region, its regions contradict each other for some minutes.
        (403, Some(WRITE_FORBIDDEN | ACCOUNT_NOT_FOUND | CLIENT_WRITE_FORBIDDEN | CLIENT_ACCOUNT_NOT_FOUND))
        | (404, Some(READ_SESSION_NOT_AVAILABLE | CLIENT_READ_SESSION_NOT_AVAILABLE)) => FailureKind::Unavailable,
        (401 | 403, _) => FailureKind::Unauthorized,
        (404, _) => FailureKind::Missing,
        (429, _) => FailureKind::Throttled { retry_after: retry_after(error) },
        (400, Some(PARTITION_KEY_MISMATCH)) => FailureKind::Misshapen { detail: error.to_string() },
        (400, _) => FailureKind::Rejected { detail: error.to_string() },
        _ => FailureKind::Unavailable,
    }
}

fn retry_after(error: &CosmosError) -> Option<Duration> {
    error.response()?.headers().retry_after_ms.map(Duration::from_millis)
}

/// The vendor's words in one line, with the id by which its support finds the request.
fn words(error: &CosmosError) -> String {
    let words = chain(error);
    match error.diagnostics() {
        Some(diagnostics) => format!("{words} (activity id {})", diagnostics.activity_id()),
        None => words,
    }
}

#[cfg(test)]
mod tests {
    use azure_core::{error::ErrorKind, http::StatusCode};
    use azure_data_cosmos::CosmosStatus;
    use bridge_core::failure::NoCredentials;

    use super::*;

    fn error(status: u16, sub_status: u16) -> CosmosError {
        let status = CosmosStatus::new(StatusCode::from(status)).with_sub_status(sub_status);
        CosmosError::builder().with_status(status).with_message("because").build()
    }

    #[test]
    fn the_sdks_own_error_is_the_source() {
        let failed = port_error("cosmos c".to_owned(), "get", &error(404, 0));
        assert!(failed.cause::<CosmosError>().is_some(), "{failed:?}");
    }

    #[test]
    fn status_and_sub_status_decide() {
        let table = [
            (401, 0, FailureKind::Unauthorized),
            (403, 5300, FailureKind::Unauthorized),
            (403, 3, FailureKind::Unavailable),
            (404, 0, FailureKind::Missing),
            (404, 1003, FailureKind::Missing),
            (404, 1002, FailureKind::Unavailable),
            (408, 20_008, FailureKind::TimedOut),
            (410, 1002, FailureKind::Unavailable),
            (429, 3200, FailureKind::Throttled { retry_after: None }),
            (449, 0, FailureKind::Unavailable),
            (503, 20_010, FailureKind::Unavailable),
            (418, 0, FailureKind::Unavailable),
        ];
        for (status, sub_status, expected) in table {
            assert_eq!(kind(&error(status, sub_status)), expected, "{status}/{sub_status}");
        }
        assert!(matches!(kind(&error(400, 1001)), FailureKind::Misshapen { detail } if detail.contains("because")));
        assert!(matches!(kind(&error(400, 0)), FailureKind::Rejected { detail } if detail.contains("because")));
    }

    #[test]
    fn no_token_is_told_apart_from_no_right() {
        let failed = |none: NoToken| {
            let source = azure_core::Error::with_error(ErrorKind::Credential, none, "told");
            let status = CosmosStatus::new(StatusCode::Unauthorized).with_sub_status(20_402);
            let error = CosmosError::builder().with_status(status).with_message("no token").with_source(source).build();
            let failed = port_error("cosmos c".to_owned(), "get", &error);
            assert!(failed.cause::<NoCredentials>().is_some(), "{}", failed.chain());
            failed.kind
        };
        assert_eq!(failed(NoToken::refused("no such identity")), FailureKind::Unauthorized);
        assert_eq!(failed(NoToken::away("no route")), FailureKind::Unavailable);
        let of = |status| port_error("cosmos c".to_owned(), "get", &error(status, 0));
        assert!(of(401).cause::<CredentialsRefused>().is_some());
        assert!(of(403).cause::<CredentialsRefused>().is_none());
    }
}
