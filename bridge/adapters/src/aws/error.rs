//! The SDK's errors in the core's words.
//!
//! The service's own code decides, not the text and not the HTTP status alone. A code that is not listed is
//! `Unavailable`, which is retried, and stands in the log until it gets a line here.

use std::{error::Error, time::Duration};

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_sqs::{
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
    operation::RequestId,
};
use bridge_core::failure::{CredentialsRefused, FailureKind, NoCredentials, causes, chain};

pub(super) use crate::failure::Failure;
use crate::token::NoToken;

impl<E> From<SdkError<E, HttpResponse>> for Failure
where
    E: Error + ProvideErrorMetadata + Send + Sync + 'static,
{
    fn from(error: SdkError<E, HttpResponse>) -> Self {
        let kind = match &error {
            SdkError::TimeoutError(_) => FailureKind::TimedOut,
            SdkError::DispatchFailure(failure) if failure.is_timeout() => FailureKind::TimedOut,
            // Neither sent nor refused by a transport: there was nothing to sign it with.
            SdkError::DispatchFailure(failure) if failure.is_other() && failure.as_other().is_none() => {
                FailureKind::Unauthorized
            }
            SdkError::ServiceError(refusal) => {
                let metadata = refusal.err();
                let status = refusal.raw().status().as_u16();
                of_code(metadata.code(), metadata.message(), status, retry_after(refusal.raw()))
            }
            // No request could be made of it. Contents were checked before, so it is the address that makes no sense.
            SdkError::ConstructionFailure(_) => FailureKind::Missing,
            // Connections refused or lost, answers that are no answers.
            _ => FailureKind::Unavailable,
        };
        if let Some(none) = NoToken::among(&error) {
            return none.failure();
        }
        if let SdkError::ServiceError(refusal) = &error
            && knows_not_who(refusal.err().code())
        {
            return Self::new(kind, CredentialsRefused(words(&error)));
        }
        if kind == FailureKind::Unauthorized && credentials_error(&error) {
            return Self::new(kind, NoCredentials(words(&error)));
        }
        Self::in_words(kind, words(&error), error)
    }
}

/// Whether a key that was handed over cannot be used.
fn credentials_error(error: &(dyn Error + 'static)) -> bool {
    causes(error).any(<dyn Error>::is::<CredentialsError>)
}

/// Whether a code says that the caller's credentials are wrong or have ended, and not that a right is missing. "Common errors" of AWS,
/// read 2026-11.
fn knows_not_who(code: Option<&str>) -> bool {
    matches!(
        bare(code.unwrap_or_default()),
        "UnrecognizedClientException"
            | "InvalidClientTokenId"
            | "InvalidAccessKeyId"
            | "ExpiredToken"
            | "ExpiredTokenException"
            | "RequestExpired"
            | "MissingAuthenticationToken"
            | "MissingAuthenticationTokenException"
            | "InvalidSignatureException"
            | "SignatureDoesNotMatch"
            | "IncompleteSignature"
            | "IncompleteSignatureException"
            | "InvalidSecurity"
    )
}

/// What the service's code means, whatever the request was.
pub(super) fn of_code(
    code: Option<&str>,
    message: Option<&str>,
    status: u16,
    retry_after: Option<Duration>,
) -> FailureKind {
    let code = bare(code.unwrap_or_default());
    match code {
        _ if knows_not_who(Some(code)) => FailureKind::Unauthorized,
        // An in-flight limit (`OverLimit`) is a rate limit too: it ends as soon as others settle.
        "Throttling"
        | "ThrottlingException"
        | "ThrottledException"
        | "RequestThrottled"
        | "RequestThrottledException"
        | "RequestLimitExceeded"
        | "ProvisionedThroughputExceededException"
        | "TooManyRequestsException"
        | "SlowDown"
        | "LimitExceededException"
        | "KMS.ThrottlingException"
        | "KmsThrottled"
        | "OverLimit" => FailureKind::Throttled { retry_after },
        // A key of KMS that is disabled, gone or forbidden locks the queue or table as a missing right does.
        "AccessDenied"
        | "AccessDeniedException"
        | "NotAuthorized"
        | "OptInRequired"
        | "InvalidIdentityToken"
        | "KmsAccessDenied"
        | "KmsDisabled"
        | "KmsInvalidKeyUsage"
        | "KmsInvalidState"
        | "KmsNotFound"
        | "KmsOptInRequired"
        | "KMS.AccessDeniedException"
        | "KMS.DisabledException"
        | "KMS.InvalidStateException"
        | "KMS.NotFoundException" => FailureKind::Unauthorized,
        "QueueDoesNotExist"
        | "NonExistentQueue"
        | "QueueDeletedRecently"
        | "InvalidAddress"
        | "ResourceNotFoundException"
        | "TableNotFoundException" => FailureKind::Missing,
        "ReceiptHandleIsInvalid" | "MessageNotInflight" => FailureKind::LeaseLost,
        "RequestTimeout" | "RequestTimeoutException" => FailureKind::TimedOut,
        "ValidationException" if message.is_some_and(is_about_the_key_schema) => {
            FailureKind::Misshapen { detail: message.unwrap_or_default().to_owned() }
        }
        "ValidationException"
        | "InvalidParameterValue"
        | "InvalidParameterCombination"
        | "MissingParameter"
        | "InvalidAttributeValue"
        | "InvalidMessageContents"
        | "BatchRequestTooLong"
        | "UnsupportedOperation"
        | "SerializationException"
        | "ItemCollectionSizeLimitExceededException" => {
            FailureKind::Rejected { detail: format!("{code}: {}", message.unwrap_or("no reason given")) }
        }
        _ if status == 429 => FailureKind::Throttled { retry_after },
        _ if status == 401 || status == 403 => FailureKind::Unauthorized,
        _ => FailureKind::Unavailable,
    }
}

/// Whether DynamoDB says that a key does not fit its table. A record has its key as the bridge's tables need it, always:
/// so it is the table that does not fit. The service has no code for it ("Error handling with DynamoDB", read 2026-11).
fn is_about_the_key_schema(message: &str) -> bool {
    ["The provided key element does not match the schema", "Missing the key ", "Type mismatch for key "]
        .iter()
        .any(|words| message.contains(words))
}

/// A code without what older protocols put around it: `com.amazonaws.sqs#X`, `AWS.SimpleQueueService.X`.
fn bare(code: &str) -> &str {
    let code = code.rsplit('#').next().unwrap_or(code);
    code.strip_prefix("AWS.SimpleQueueService.").unwrap_or(code)
}

/// The delay that the service asks for, in milliseconds by its own header or in seconds by HTTP's.
fn retry_after(response: &HttpResponse) -> Option<Duration> {
    let number = |name| response.headers().get(name).and_then(|value| value.trim().parse::<u64>().ok());
    number("x-amz-retry-after").map(Duration::from_millis).or_else(|| number("retry-after").map(Duration::from_secs))
}

fn words<E>(error: &SdkError<E, HttpResponse>) -> String
where
    E: Error + ProvideErrorMetadata + 'static,
{
    let words = match error {
        SdkError::ServiceError(refusal) => {
            let metadata = refusal.err();
            let status = refusal.raw().status().as_u16();
            format!("{status} {}: {}", metadata.code().unwrap_or("?"), metadata.message().unwrap_or("no message"))
        }
        _ => chain(error),
    };
    match error.request_id() {
        Some(id) => format!("{words} (request id {id})"),
        None => words,
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_sqs::error::ConnectorError;

    use super::*;

    #[test]
    fn codes_mean_the_same_in_every_spelling() {
        let kind = |code| of_code(Some(code), Some("because"), 400, None);
        for code in
            ["QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue", "com.amazonaws.sqs#QueueDoesNotExist"]
        {
            assert_eq!(kind(code), FailureKind::Missing, "{code}");
        }
        assert_eq!(kind("com.amazon.coral.service#UnrecognizedClientException"), FailureKind::Unauthorized);
        assert_eq!(kind("RequestThrottled"), FailureKind::Throttled { retry_after: None });
        assert_eq!(kind("AWS.SimpleQueueService.MessageNotInflight"), FailureKind::LeaseLost);
        let detail = "ValidationException: because".to_owned();
        assert_eq!(kind("com.amazon.coral.validate#ValidationException"), FailureKind::Rejected { detail });
    }

    /// What another try cannot cure is never retried, and a wait that the service asks for is kept.
    #[test]
    fn every_code_has_its_kind() {
        let retry_after = Some(Duration::from_secs(2));
        let rejected = |code: &str| FailureKind::Rejected { detail: format!("{code}: because") };
        for (codes, kind) in [
            (
                "Throttling ThrottlingException ThrottledException RequestThrottled RequestThrottledException \
                 RequestLimitExceeded ProvisionedThroughputExceededException TooManyRequestsException SlowDown \
                 LimitExceededException KMS.ThrottlingException KmsThrottled OverLimit",
                Some(FailureKind::Throttled { retry_after }),
            ),
            (
                "AccessDenied AccessDeniedException UnrecognizedClientException InvalidClientTokenId InvalidAccessKeyId \
                 ExpiredToken ExpiredTokenException RequestExpired MissingAuthenticationToken \
                 MissingAuthenticationTokenException InvalidSignatureException SignatureDoesNotMatch IncompleteSignature \
                 IncompleteSignatureException NotAuthorized OptInRequired InvalidSecurity InvalidIdentityToken \
                 KmsAccessDenied KmsDisabled KmsInvalidKeyUsage KmsInvalidState KmsNotFound KmsOptInRequired \
                 KMS.AccessDeniedException KMS.DisabledException KMS.InvalidStateException KMS.NotFoundException",
                Some(FailureKind::Unauthorized),
            ),
            (
                "QueueDoesNotExist NonExistentQueue QueueDeletedRecently InvalidAddress ResourceNotFoundException \
                 TableNotFoundException",
                Some(FailureKind::Missing),
            ),
            ("ReceiptHandleIsInvalid MessageNotInflight", Some(FailureKind::LeaseLost)),
            ("RequestTimeout RequestTimeoutException", Some(FailureKind::TimedOut)),
            (
                "ValidationException InvalidParameterValue InvalidParameterCombination MissingParameter \
                 InvalidAttributeValue InvalidMessageContents BatchRequestTooLong UnsupportedOperation \
                 SerializationException ItemCollectionSizeLimitExceededException",
                None,
            ),
        ] {
            for code in codes.split_whitespace() {
                let expected = kind.clone().unwrap_or_else(|| rejected(code));
                assert_eq!(of_code(Some(code), Some("because"), 400, retry_after), expected, "{code}");
            }
        }
        for status in [401, 403] {
            assert_eq!(of_code(None, None, status, None), FailureKind::Unauthorized, "{status}");
        }
    }

    #[test]
    fn a_wait_is_told_in_milliseconds_or_in_seconds() {
        let told = |headers: &[(&'static str, &'static str)]| {
            let mut response = HttpResponse::new(503.try_into().unwrap(), aws_smithy_types::body::SdkBody::empty());
            for (name, value) in headers {
                response.headers_mut().insert(*name, *value);
            }
            retry_after(&response)
        };
        assert_eq!(told(&[]), None);
        assert_eq!(told(&[("retry-after", "2")]), Some(Duration::from_secs(2)));
        assert_eq!(told(&[("x-amz-retry-after", "1500")]), Some(Duration::from_millis(1_500)));
        let both = [("retry-after", "9"), ("x-amz-retry-after", " 40 ")];
        assert_eq!(told(&both), Some(Duration::from_millis(40)), "the service's own header is the finer one");
        assert_eq!(told(&[("retry-after", "soon")]), None);
    }

    #[test]
    fn a_table_of_another_key_is_told_from_a_bad_item() {
        let kind = |message| of_code(Some("ValidationException"), Some(message), 400, None);
        for message in [
            "The provided key element does not match the schema",
            "One or more parameter values were invalid: Missing the key id in the item",
            "One or more parameter values were invalid: Type mismatch for key pk expected: N actual: S",
        ] {
            assert_eq!(kind(message), FailureKind::Misshapen { detail: message.to_owned() });
        }
        for message in [
            "Item size has exceeded the maximum allowed size",
            "One or more parameter values were invalid: Type mismatch for Index Key op_type Expected: N Actual: S IndexName: i",
            "One or more parameter values were invalid: Size of hashkey has exceeded the maximum size limit of2048 bytes",
        ] {
            assert!(matches!(kind(message), FailureKind::Rejected { .. }), "{message}");
        }
    }

    #[test]
    fn no_credentials_are_not_always_no_right() {
        type Refused = SdkError<aws_sdk_sqs::operation::receive_message::ReceiveMessageError, HttpResponse>;
        let failed = |source: CredentialsError| {
            Failure::from(Refused::dispatch_failure(ConnectorError::other(source.into(), None)))
        };
        let refused = failed(CredentialsError::provider_error(NoToken::refused("no role")));
        assert_eq!(refused.kind, FailureKind::Unauthorized);
        assert_eq!(refused.detail(), "no credentials were found: no role");
        let away = failed(CredentialsError::provider_error(NoToken::away("no route")));
        assert_eq!(away.kind, FailureKind::Unavailable);
        let key = failed(CredentialsError::invalid_configuration("no key")).at("sqs q", "send");
        assert!(key.cause::<NoCredentials>().is_some() && key.chain().contains("no key"), "{}", key.chain());
        let unreachable = ConnectorError::io("connection refused".into());
        assert_eq!(Failure::from(Refused::dispatch_failure(unreachable)).kind, FailureKind::Unavailable);
    }

    #[test]
    fn refused_credentials_are_told_apart_from_a_missing_right() {
        for code in
            ["ExpiredTokenException", "com.amazon.coral.service#UnrecognizedClientException", "InvalidClientTokenId"]
        {
            assert!(knows_not_who(Some(code)), "{code}");
        }
        for code in ["AccessDeniedException", "KmsAccessDenied", "OptInRequired"] {
            assert!(!knows_not_who(Some(code)), "{code}");
        }
    }

    #[test]
    fn what_did_not_reach_the_service_is_told_apart_from_what_may_have() {
        type Refused = SdkError<aws_sdk_sqs::operation::receive_message::ReceiveMessageError, HttpResponse>;
        let kind = |error: Refused| Failure::from(error).kind;
        assert_eq!(kind(Refused::timeout_error("slow")), FailureKind::TimedOut);
        assert_eq!(kind(Refused::dispatch_failure(ConnectorError::timeout("slow".into()))), FailureKind::TimedOut);
        assert_eq!(kind(Refused::dispatch_failure(ConnectorError::io("reset".into()))), FailureKind::Unavailable);
        assert_eq!(kind(Refused::construction_failure("no queue url")), FailureKind::Missing);
    }

    #[test]
    fn the_sdks_own_error_is_the_source() {
        type Refused = SdkError<aws_sdk_sqs::operation::receive_message::ReceiveMessageError, HttpResponse>;
        let failed = Failure::from(Refused::timeout_error("slow")).at("sqs q", "receive");
        assert!(failed.cause::<Refused>().is_some(), "{failed:?}");
        assert!(failed.chain().ends_with("slow"), "{}", failed.chain());
    }

    #[test]
    fn unknown_codes_are_retried() {
        assert_eq!(of_code(Some("BrandNewException"), None, 400, None), FailureKind::Unavailable);
        assert_eq!(of_code(None, None, 500, None), FailureKind::Unavailable);
        let retry_after = Some(Duration::from_secs(2));
        assert_eq!(of_code(None, None, 429, retry_after), FailureKind::Throttled { retry_after });
    }
}
