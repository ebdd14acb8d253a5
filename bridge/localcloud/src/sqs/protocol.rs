//! AWS JSON 1.0 as SQS speaks it: errors with the service's names, and answers.
//!
//! Each error has two names: the shape in `__type`, and the code that older clients know, which travels in the header
//! `x-amzn-query-error` and which boto3 turns into its exceptions. Statuses and names were compared with answers
//! recorded from the service. Parsing is strict in types and lenient in unknown members, as the service is.

use std::fmt;

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use serde::Serialize;
use serde::de::DeserializeOwned;

const JSON: HeaderValue = HeaderValue::from_static("application/x-amz-json-1.0");
const QUERY_ERROR: HeaderName = HeaderName::from_static("x-amzn-query-error");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");

/// What went wrong, in the service's terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    AccessDenied,
    BatchEntryIdsNotDistinct,
    BatchRequestTooLong,
    EmptyBatchRequest,
    IncompleteSignature,
    InternalFailure,
    InvalidAction,
    InvalidAddress,
    InvalidAttributeName,
    InvalidAttributeValue,
    InvalidBatchEntryId,
    InvalidClientTokenId,
    InvalidMessageContents,
    InvalidParameterValue,
    MissingAuthenticationToken,
    MissingParameter,
    OverLimit,
    PurgeQueueInProgress,
    QueueDeletedRecently,
    QueueDoesNotExist,
    QueueNameExists,
    ReceiptHandleIsInvalid,
    RequestThrottled,
    RequestTooLarge,
    ResourceNotFound,
    Serialization,
    SignatureDoesNotMatch,
    TooManyEntriesInBatchRequest,
    UnsupportedOperation,
}

impl Code {
    /// The shape's name, the code for older clients, and the HTTP status.
    ///
    /// # Source
    /// The service's API model (`aws.protocols#awsQueryError` and `smithy.api#httpError` of each shape) and the API
    /// reference, page "Common errors"; read 2026-11.
    const fn names(self) -> (&'static str, &'static str, StatusCode) {
        let (bad, forbidden, not_found) = (StatusCode::BAD_REQUEST, StatusCode::FORBIDDEN, StatusCode::NOT_FOUND);
        match self {
            Self::AccessDenied => ("com.amazon.coral.service#AccessDeniedException", "AccessDenied", forbidden),
            Self::BatchEntryIdsNotDistinct => {
                ("com.amazonaws.sqs#BatchEntryIdsNotDistinct", "AWS.SimpleQueueService.BatchEntryIdsNotDistinct", bad)
            }
            Self::BatchRequestTooLong => {
                ("com.amazonaws.sqs#BatchRequestTooLong", "AWS.SimpleQueueService.BatchRequestTooLong", bad)
            }
            Self::EmptyBatchRequest => {
                ("com.amazonaws.sqs#EmptyBatchRequest", "AWS.SimpleQueueService.EmptyBatchRequest", bad)
            }
            Self::IncompleteSignature => {
                ("com.amazon.coral.service#IncompleteSignatureException", "IncompleteSignature", bad)
            }
            Self::InternalFailure => {
                ("com.amazon.coral.service#InternalFailure", "InternalFailure", StatusCode::INTERNAL_SERVER_ERROR)
            }
            Self::InvalidAction => ("com.amazon.coral.service#UnknownOperationException", "InvalidAction", bad),
            Self::InvalidAddress => ("com.amazonaws.sqs#InvalidAddress", "InvalidAddress", not_found),
            Self::InvalidAttributeName => ("com.amazonaws.sqs#InvalidAttributeName", "InvalidAttributeName", bad),
            Self::InvalidAttributeValue => ("com.amazonaws.sqs#InvalidAttributeValue", "InvalidAttributeValue", bad),
            Self::InvalidBatchEntryId => {
                ("com.amazonaws.sqs#InvalidBatchEntryId", "AWS.SimpleQueueService.InvalidBatchEntryId", bad)
            }
            Self::InvalidClientTokenId => {
                ("com.amazon.coral.service#UnrecognizedClientException", "InvalidClientTokenId", forbidden)
            }
            Self::InvalidMessageContents => ("com.amazonaws.sqs#InvalidMessageContents", "InvalidMessageContents", bad),
            Self::InvalidParameterValue => {
                ("com.amazon.coral.service#InvalidParameterValueException", "InvalidParameterValue", bad)
            }
            Self::MissingAuthenticationToken => (
                "com.amazon.coral.service#MissingAuthenticationTokenException",
                "MissingAuthenticationToken",
                forbidden,
            ),
            Self::MissingParameter => {
                ("com.amazon.coral.service#MissingRequiredParameterException", "MissingParameter", bad)
            }
            Self::OverLimit => ("com.amazonaws.sqs#OverLimit", "OverLimit", forbidden),
            Self::PurgeQueueInProgress => {
                ("com.amazonaws.sqs#PurgeQueueInProgress", "AWS.SimpleQueueService.PurgeQueueInProgress", forbidden)
            }
            Self::QueueDeletedRecently => {
                ("com.amazonaws.sqs#QueueDeletedRecently", "AWS.SimpleQueueService.QueueDeletedRecently", bad)
            }
            Self::QueueDoesNotExist => {
                ("com.amazonaws.sqs#QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue", bad)
            }
            Self::QueueNameExists => ("com.amazonaws.sqs#QueueNameExists", "QueueAlreadyExists", bad),
            Self::ReceiptHandleIsInvalid => {
                ("com.amazonaws.sqs#ReceiptHandleIsInvalid", "ReceiptHandleIsInvalid", not_found)
            }
            Self::RequestThrottled => ("com.amazonaws.sqs#RequestThrottled", "RequestThrottled", forbidden),
            Self::RequestTooLarge => (
                "com.amazon.coral.service#RequestEntityTooLargeException",
                "RequestEntityTooLarge",
                StatusCode::PAYLOAD_TOO_LARGE,
            ),
            Self::ResourceNotFound => {
                ("com.amazonaws.sqs#ResourceNotFoundException", "ResourceNotFoundException", not_found)
            }
            Self::Serialization => ("com.amazon.coral.service#SerializationException", "MalformedInput", bad),
            Self::SignatureDoesNotMatch => {
                ("com.amazon.coral.service#InvalidSignatureException", "SignatureDoesNotMatch", forbidden)
            }
            Self::TooManyEntriesInBatchRequest => (
                "com.amazonaws.sqs#TooManyEntriesInBatchRequest",
                "AWS.SimpleQueueService.TooManyEntriesInBatchRequest",
                bad,
            ),
            Self::UnsupportedOperation => {
                ("com.amazonaws.sqs#UnsupportedOperation", "AWS.SimpleQueueService.UnsupportedOperation", bad)
            }
        }
    }
}

/// An error as the service words it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqsError {
    pub code: Code,
    pub message: String,
}

impl SqsError {
    pub(super) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// A parameter's value that the service does not take, in its usual words.
    pub(super) fn invalid(name: &str, value: impl fmt::Display, reason: &str) -> Self {
        let message = format!("Value {value} for parameter {name} is invalid. Reason: {reason}");
        Self::new(Code::InvalidParameterValue, message)
    }

    pub(super) fn missing(name: &str) -> Self {
        Self::new(Code::MissingParameter, format!("The request must contain the parameter {name}."))
    }

    pub(super) fn into_response(self) -> Response {
        let (shape, query_code, status) = self.code.names();
        let fault = if status.is_server_error() { "Receiver" } else { "Sender" };
        let mut response = answer(status, &ErrorBody { shape, message: &self.message });
        let query_error = HeaderValue::try_from(format!("{query_code};{fault}")).expect("codes are ASCII");
        response.headers_mut().insert(QUERY_ERROR, query_error);
        response
    }

    /// The error as one entry of a batch's answer.
    pub(super) fn into_entry(self, id: String) -> FailedEntry {
        let (_, code, status) = self.code.names();
        FailedEntry { id, sender_fault: !status.is_server_error(), code, message: self.message }
    }
}

impl fmt::Display for SqsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (_, code, _) = self.code.names();
        write!(f, "{code}: {}", self.message)
    }
}

impl std::error::Error for SqsError {}

#[derive(Serialize)]
struct ErrorBody<'a> {
    #[serde(rename = "__type")]
    shape: &'a str,
    message: &'a str,
}

/// One entry of a batch that failed while others may have succeeded.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct FailedEntry {
    id: String,
    sender_fault: bool,
    code: &'static str,
    message: String,
}

/// A batch's answer: a list that is empty is left out, as the service does.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct BatchAnswer<T> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) successful: Vec<T>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) failed: Vec<FailedEntry>,
}

/// The answer of an action that returns nothing.
#[derive(Serialize)]
pub(super) struct Nothing {}

/// Reads a request's members.
pub(super) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, SqsError> {
    let body = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(body)
        .map_err(|error| SqsError::new(Code::Serialization, format!("The request is not valid: {error}")))
}

/// A member that the action cannot do without.
pub(super) fn required<T>(member: Option<T>, name: &str) -> Result<T, SqsError> {
    member.ok_or_else(|| SqsError::missing(name))
}

pub(super) fn answer(status: StatusCode, body: &impl Serialize) -> Response {
    let bytes = serde_json::to_vec(body).expect("answers hold strings, numbers and lists of them");
    let mut response = Response::new(Body::from(bytes));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, JSON);
    let id = uuid::Builder::from_random_bytes(fastrand::u128(..).to_be_bytes()).into_uuid().to_string();
    headers.insert(REQUEST_ID, HeaderValue::try_from(id).expect("an id is ASCII"));
    response
}
