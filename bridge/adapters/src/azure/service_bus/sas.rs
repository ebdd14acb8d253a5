//! Tokens for a Service Bus queue: shared access signatures made from a key, and bearer tokens of an identity.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use azure_core::error::ErrorKind;
use base64::{Engine, engine::general_purpose::STANDARD};
use bridge_core::failure::FailureKind;
use hmac::{Hmac, Mac};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sha2::Sha256;

use crate::{azure::credential::ServiceBusCredential, failure::Failure};

/// What an identity's token must be good for. "Authenticate an application to access Service Bus entities", read 2026-11.
const SCOPE: &str = "https://servicebus.azure.net/.default";

/// Life of a signature. Ours: as long as that of an identity's token, so that both are renewed at the same pace.
pub(super) const SIGNATURE_LIFE: Duration = Duration::from_hours(1);

/// Characters that a URL keeps as they are: RFC 3986, "unreserved".
const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// A token and how to present it.
#[derive(Clone)]
pub(super) struct Token {
    /// Its kind, as `$cbs` wants it named.
    pub(super) kind: &'static str,
    pub(super) text: String,
    pub(super) expires: SystemTime,
}

impl Token {
    /// The value of an `Authorization` header.
    pub(super) fn header(&self) -> String {
        if self.kind == "jwt" { format!("Bearer {}", self.text) } else { self.text.clone() }
    }
}

/// Gets a token for `resource`, the URL of a queue.
pub(super) async fn token(credential: &ServiceBusCredential, resource: &str) -> Result<Token, Failure> {
    match credential {
        ServiceBusCredential::SharedKey { name, key, life } => {
            let expires = SystemTime::now() + *life;
            let text = sign(name, key, resource, expires);
            Ok(Token { kind: "servicebus.windows.net:sastoken", text, expires })
        }
        ServiceBusCredential::Token(identity) => {
            let token = identity.get_token(&[SCOPE], None).await.map_err(identity_failure)?;
            Ok(Token { kind: "jwt", text: token.token.secret().to_owned(), expires: token.expires_on.into() })
        }
    }
}

/// A signature for `resource`, made from the name and the key of a policy.
fn sign(name: &str, key: &str, resource: &str, expires: SystemTime) -> String {
    let resource = utf8_percent_encode(resource, KEPT);
    let expires = expires.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).expect("HMAC takes a key of any length");
    mac.update(format!("{resource}\n{expires}").as_bytes());
    let signature = STANDARD.encode(mac.finalize().into_bytes());
    let (signature, name) = (utf8_percent_encode(&signature, KEPT), utf8_percent_encode(name, KEPT));
    format!("SharedAccessSignature sr={resource}&sig={signature}&se={expires}&skn={name}")
}

/// A refused identity stops the worker; an identity service that cannot be reached must not. The SDK reports both as
/// failed credentials, so the causes decide.
fn identity_failure(error: azure_core::Error) -> Failure {
    let mut kind = FailureKind::Unauthorized;
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(cause) = next {
        if let Some(cause) = cause.downcast_ref::<azure_core::Error>() {
            match cause.kind() {
                ErrorKind::Io | ErrorKind::Connection => kind = FailureKind::Unavailable,
                ErrorKind::HttpResponse { status, .. } if u16::from(*status) >= 500 || u16::from(*status) == 429 => {
                    kind = FailureKind::Unavailable;
                }
                _ => {}
            }
        }
        next = cause.source();
    }
    Failure::new(kind, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed with Python's `hmac` and `urllib.parse.quote`.
    #[test]
    fn a_signature_is_what_another_implementation_computes() {
        let expires = UNIX_EPOCH + Duration::from_hours(525_960);
        let resource = "https://space.servicebus.windows.net/bridge events~é";
        assert_eq!(
            sign("Root ManageSharedAccessKey", "c2VjcmV0a2V5", resource, expires),
            "SharedAccessSignature sr=https%3A%2F%2Fspace.servicebus.windows.net%2Fbridge%20events~%C3%A9\
             &sig=BC0%2Fbl%2FvQDj2y3pthA2GK03U6AUbNPqnT6H0cbbMpiY%3D&se=1893456000&skn=Root%20ManageSharedAccessKey"
        );
    }

    #[tokio::test]
    async fn a_key_gives_a_signature_for_an_hour() {
        let (name, key) = ("n".to_owned(), "k".to_owned());
        let credential = ServiceBusCredential::SharedKey { name, key, life: SIGNATURE_LIFE };
        let token = token(&credential, "https://s/q").await.unwrap();
        let left = token.expires.duration_since(SystemTime::now()).unwrap();
        assert!((Duration::from_mins(59)..=SIGNATURE_LIFE).contains(&left));
        assert!(token.header().starts_with("SharedAccessSignature sr=https%3A%2F%2Fs%2Fq&sig="));
    }

    #[test]
    fn an_identity_service_out_of_reach_does_not_stop_the_worker() {
        let refused = azure_core::Error::with_message(ErrorKind::Credential, "no such identity");
        assert_eq!(identity_failure(refused).kind, FailureKind::Unauthorized);
        let network = azure_core::Error::with_message(ErrorKind::Io, "connection refused");
        let wrapped = azure_core::Error::with_error(ErrorKind::Credential, network, "token request failed");
        assert_eq!(identity_failure(wrapped).kind, FailureKind::Unavailable);
    }
}
