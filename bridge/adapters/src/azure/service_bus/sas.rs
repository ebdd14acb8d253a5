//! Tokens for a Service Bus queue: shared access signatures made from a key, and bearer tokens of an identity.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::{Engine, engine::general_purpose::STANDARD};
use bridge_core::failure::{CredentialsRefused, FailureKind};
use hmac::{Hmac, Mac};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sha2::Sha256;

use crate::{azure::credential::ServiceBusCredential, failure::Failure, token::NoToken};

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

/// Every identity tells why it has no token.
pub(in crate::azure) fn identity_failure(error: azure_core::Error) -> Failure {
    match NoToken::among(&error) {
        Some(none) => none.failure(),
        None => Failure::new(FailureKind::Unauthorized, error),
    }
}

/// Tells refused credentials from a missing right, which Service Bus answers by the same status: of a right it says which claim is missing,
/// or its sub-code ("Service Bus messaging exceptions" and "Troubleshoot authentication and authorization issues", read 2026-11).
pub(super) fn of_refusal(failure: Failure) -> Failure {
    let said = failure.detail();
    let of_right = ["claim", "40100"].iter().any(|word| said.to_ascii_lowercase().contains(word));
    if failure.kind != FailureKind::Unauthorized || of_right {
        return failure;
    }
    Failure::new(failure.kind, CredentialsRefused(said))
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
    fn refused_credentials_are_told_apart_from_a_missing_right() {
        let told = |said: &str| of_refusal(Failure::new(FailureKind::Unauthorized, said)).detail();
        for refused in
            ["HTTP 401 SubCode=40103: Invalid authorization token signature", "401 ExpiredToken: the token is expired"]
        {
            assert!(told(refused).starts_with("the credentials were refused: "), "{refused}");
        }
        for right in [
            "amqp:unauthorized-access Unauthorized access. 'Listen' claim(s) are required",
            "HTTP 401 40100: Unauthorized",
        ] {
            assert_eq!(told(right), right);
        }
        assert_eq!(of_refusal(Failure::unavailable("no route")).detail(), "no route");
    }
}
