//! Answers that the door gives itself, in the service's words, and their way into HTTP.

use std::sync::atomic::{AtomicBool, Ordering};

use axum::body::Body;
use axum::http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use serde_json::{Value, json};
use uuid::Uuid;

use super::gateway::{self, Message};
use super::operation::Operation;
use crate::http::Refusal;

pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Answer {
    fn new(status: StatusCode, code: &str, message: &str) -> Self {
        let activity = Uuid::new_v4();
        let text = format!("{message}\r\nActivityId: {activity}, localcloud");
        let headers = [
            ("content-type", "application/json".to_owned()),
            ("x-ms-activity-id", activity.to_string()),
            ("x-ms-request-charge", "0".to_owned()),
        ];
        Self {
            status,
            headers: headers.map(|(name, value)| (name.to_owned(), value)).into(),
            body: json!({ "code": code, "message": text }).to_string().into_bytes(),
        }
    }

    fn with(mut self, name: &str, value: &dyn ToString) -> Self {
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }

    /// Of the errors that mean "try again", the one that only writes get (449) and the one for all (503) come by turns; a
    /// write that has happened is never answered with 449, which promises that it has not.
    ///
    /// # Source
    /// "HTTP status codes for Azure Cosmos DB", 429, 449 and 503, read 2026-11; substatus 3200 is "request rate too
    /// large", as the official clients know it.
    pub(super) fn refusal(refusal: Refusal, operation: Operation) -> Self {
        static TURN: AtomicBool = AtomicBool::new(false);
        match refusal {
            Refusal::Throttle { retry_after } => Self::new(
                StatusCode::TOO_MANY_REQUESTS,
                "429",
                "Message: {\"Errors\":[\"Request rate is large. More Request Units may be needed, so no changes were made. \
                 Please retry this request later.\"]}",
            )
            .with("x-ms-substatus", &3200)
            .with("x-ms-retry-after-ms", &retry_after.as_millis()),
            Refusal::Error { after_effect: false } if operation.is_write() && TURN.fetch_not(Ordering::Relaxed) => {
                let status = StatusCode::from_u16(449).expect("449 has three digits");
                let text = "Conflicting request to resource has been attempted. Retry to avoid conflicts.";
                Self::new(status, "449", text)
            }
            // As the service words what data-plane roles do not allow: "Connect using role-based access control", read 2026-11.
            Refusal::Denied => Self::forbidden(&format!(
                "Request blocked by Auth localcloud: the principal does not have the permission to perform {}.",
                operation.name()
            ))
            .with("x-ms-substatus", &5301),
            Refusal::Error { .. } => {
                let text = "Service is currently unavailable. Please retry this request.";
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", text)
            }
        }
    }

    pub(super) fn unauthorized(message: &str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "Unauthorized", message)
    }

    pub(super) fn forbidden(message: &str) -> Self {
        Self::new(StatusCode::FORBIDDEN, "Forbidden", message)
    }

    pub(super) fn not_for_tokens(message: &Message) -> Self {
        let (method, path) = (message.method, &message.path);
        let text = format!(
            "Request blocked by Auth localcloud: The given request [{method} {path}] cannot be authorized by AAD token in \
             data plane. Learn more: https://aka.ms/cosmos-native-rbac."
        );
        Self::forbidden(&text).with("x-ms-substatus", &5300)
    }

    pub(super) fn bad_request(message: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BadRequest", message)
    }

    /// In the service's words where the engine has its own, and with the substatus that it leaves out.
    ///
    /// # Source
    /// Substatus 1001 of 400, "partition key mismatch": status codes of the official Java client, read 2026-11. The words: issues of the
    /// official clients, for example Azure/azure-sdk-for-js#15161.
    pub(super) fn in_the_services_words(self) -> Self {
        if self.status != StatusCode::BAD_REQUEST {
            return self;
        }
        let engine = self.text().to_ascii_lowercase().replace("partition key", "partitionkey");
        if !engine.contains("partitionkey") || !["not match", "n't match"].iter().any(|no| engine.contains(no)) {
            return self;
        }
        let text = "Message: {\"Errors\":[\"PartitionKey extracted from document doesn't match the one specified in the header\"]}";
        Self::bad_request(text).with("x-ms-substatus", &1001)
    }

    pub(super) fn condition_not_met() -> Self {
        let text = "One of the specified pre-condition is not met.";
        Self::new(StatusCode::PRECONDITION_FAILED, "PreconditionFailed", text).with("x-ms-substatus", &1110)
    }

    pub(super) fn too_large() -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge", "Request size is too large")
    }

    pub(super) fn method_not_allowed() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", "The requested verb is not supported.")
    }

    pub(super) fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "InternalServerError", "Unknown server error occurred.")
    }

    pub(super) fn json(&self) -> Value {
        gateway::parse(&self.body).unwrap_or_default()
    }

    pub(super) fn text(&self) -> String {
        let json = self.json();
        let message = json["message"].as_str().map(str::to_owned);
        message.unwrap_or_else(|| self.status.to_string())
    }

    pub(super) fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() = self.status;
        for (name, value) in self.headers {
            let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) else { continue };
            // The length is known from the body, and a wrong one would break the connection for everyone.
            if name != CONTENT_LENGTH && name != TRANSFER_ENCODING {
                response.headers_mut().insert(name, value);
            }
        }
        response
    }
}
