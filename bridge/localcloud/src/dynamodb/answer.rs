//! Answers as the service writes them: its headers, its checksum, its names for what went wrong.

use std::sync::atomic::{AtomicBool, Ordering};

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, SERVER};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use dynoxide::DynoxideError;
use serde_json::json;
use uuid::Uuid;

use super::dispatch;
use crate::http::{BodyError, Refusal};

const JSON: HeaderValue = HeaderValue::from_static("application/x-amz-json-1.0");
const CRC32: HeaderName = HeaderName::from_static("x-amz-crc32");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");

/// Name spaces in which the service's errors live.
const API: &str = "com.amazonaws.dynamodb.v20120810";
const FRONT_DOOR: &str = "com.amazon.coral.service";
const AVAILABILITY: &str = "com.amazon.coral.availability";

/// A call that failed, as its caller will read it.
#[derive(Debug)]
pub(super) struct Failed {
    status: StatusCode,
    json: String,
}

impl Failed {
    fn new(status: StatusCode, space: &str, name: &str, message: &str) -> Self {
        let json = json!({ "__type": format!("{space}#{name}"), "message": message }).to_string();
        Self { status, json }
    }

    /// The two names for "slow down" of a data operation come by turns, as an on-demand table may answer with either;
    /// a client that knows only one of them is found out.
    ///
    /// # Source
    /// DynamoDB developer guide, "Error handling with DynamoDB", `ProvisionedThroughputExceededException` and
    /// `ThrottlingException`, read 2026-11. Neither carries a hint when to come back.
    pub(super) fn refusal(refusal: Refusal, operation: &str) -> Self {
        static TURN: AtomicBool = AtomicBool::new(false);
        match refusal {
            Refusal::Error { .. } => Self::internal(),
            // "Error handling with DynamoDB", read 2026-11: `AccessDeniedException`, 400.
            Refusal::Denied => Self::credential(
                "AccessDeniedException",
                &format!(
                    "User: arn:aws:iam::000000000000:user/localcloud is not authorized to perform: dynamodb:{operation}"
                ),
            ),
            Refusal::Throttle { .. } if dispatch::is_data(operation) && !TURN.fetch_not(Ordering::Relaxed) => {
                Self::new(
                    StatusCode::BAD_REQUEST,
                    API,
                    "ProvisionedThroughputExceededException",
                    "The level of configured provisioned throughput for the table was exceeded. \
                 Consider increasing your provisioning level with the UpdateTable API.",
                )
            }
            Refusal::Throttle { .. } => Self::new(
                StatusCode::BAD_REQUEST,
                AVAILABILITY,
                "ThrottlingException",
                "Rate of requests exceeds the allowed throughput.",
            ),
        }
    }

    pub(super) fn internal() -> Self {
        let message = "The request processing has failed because of an unknown error, exception or failure.";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, API, "InternalServerError", message)
    }

    pub(super) fn unknown_operation() -> Self {
        let json = json!({ "__type": format!("{FRONT_DOOR}#UnknownOperationException") }).to_string();
        Self { status: StatusCode::BAD_REQUEST, json }
    }

    pub(super) fn unreadable() -> Self {
        let json = json!({ "__type": format!("{FRONT_DOOR}#SerializationException") }).to_string();
        Self { status: StatusCode::BAD_REQUEST, json }
    }

    pub(super) fn body(error: BodyError) -> Self {
        match error {
            BodyError::TooLarge { .. } => Self::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                FRONT_DOOR,
                "RequestEntityTooLargeException",
                &format!("Request too large: {error}."),
            ),
            BodyError::Broken => Self::unreadable(),
        }
    }

    pub(super) fn credential(name: &str, message: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, FRONT_DOOR, name, message)
    }

    /// An error body that the engine has already written.
    pub(super) fn written(json: String) -> Self {
        Self { status: StatusCode::BAD_REQUEST, json }
    }

    pub(super) fn message(&self) -> String {
        let value: serde_json::Value = serde_json::from_str(&self.json).unwrap_or_default();
        let text = value.get("message").or_else(|| value.get("Message")).and_then(serde_json::Value::as_str);
        text.unwrap_or(&self.json).to_owned()
    }

    pub(super) fn into_response(self) -> Response {
        respond(self.status, self.json.into_bytes())
    }
}

impl From<DynoxideError> for Failed {
    fn from(error: DynoxideError) -> Self {
        let status = StatusCode::from_u16(error.status_code()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self { status, json: error.to_json() }
    }
}

pub(super) fn success(json: Vec<u8>) -> Response {
    respond(StatusCode::OK, json)
}

/// What the service tells a load balancer, or a person with a browser.
pub(super) fn healthy(region: &str) -> Response {
    let mut response = respond(StatusCode::OK, format!("healthy: dynamodb.{region}.amazonaws.com ").into_bytes());
    response.headers_mut().remove(CONTENT_TYPE);
    response
}

pub(super) fn not_found() -> Response {
    let mut response = respond(StatusCode::NOT_FOUND, b"<UnknownOperationException/>\n".to_vec());
    response.headers_mut().remove(CONTENT_TYPE);
    response
}

fn respond(status: StatusCode, body: Vec<u8>) -> Response {
    // The service's request ids are 52 characters of A-Z and 0-9.
    let mut id = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
    id.truncate(52);
    id.make_ascii_uppercase();
    let crc = HeaderValue::from(crc32(&body));
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, JSON);
    headers.insert(SERVER, HeaderValue::from_static("Server"));
    headers.insert(REQUEST_ID, HeaderValue::try_from(id).expect("hexadecimal digits are ASCII"));
    headers.insert(CRC32, crc);
    response
}

/// The checksum that official clients compare with the body before they believe it.
///
/// # Source
/// CRC-32 of ISO 3309 (reflected polynomial `EDB88320`), as in zip and PNG.
fn crc32(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut index: u32 = 0;
        while index < 256 {
            let mut value = index;
            let mut bit = 0;
            while bit < 8 {
                value = if value & 1 == 1 { (value >> 1) ^ 0xEDB8_8320 } else { value >> 1 };
                bit += 1;
            }
            table[index as usize] = value;
            index += 1;
        }
        table
    };
    let step = |crc: u32, byte: &u8| TABLE[usize::from(crc.to_le_bytes()[0] ^ byte)] ^ (crc >> 8);
    !bytes.iter().fold(u32::MAX, step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_the_standard_one() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
        assert_eq!(crc32(b""), 0);
    }
}
