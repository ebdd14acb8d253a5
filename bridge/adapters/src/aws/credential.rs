//! Credentials, held to what a header can carry.

use aws_credential_types::{
    Credentials,
    provider::{self, ProvideCredentials, SharedCredentialsProvider, error::CredentialsError, future},
};

/// Credentials without the line's end that a file or a secret store often leaves behind a key. With one the SDK panics: it signs by a
/// header that cannot hold it.
#[derive(Debug)]
pub(super) struct Clean(pub(super) SharedCredentialsProvider);

impl ProvideCredentials for Clean {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(async { clean(self.0.provide_credentials().await?) })
    }

    fn fallback_on_interrupt(&self) -> Option<Credentials> {
        clean(self.0.fallback_on_interrupt()?).ok()
    }
}

pub(super) fn clean(given: Credentials) -> provider::Result {
    let parts = [
        ("the access key's id", Some(given.access_key_id())),
        ("the secret access key", Some(given.secret_access_key())),
        ("the session token", given.session_token()),
    ];
    for (part, text) in parts {
        let text = text.map(str::trim);
        if text.is_some_and(|text| !text.bytes().all(|byte| byte.is_ascii_graphic())) {
            return Err(CredentialsError::invalid_configuration(format!("{part} has a character that no key has")));
        }
    }
    if parts.iter().all(|(_, text)| text.is_none_or(|text| text.trim() == text)) {
        return Ok(given);
    }
    let trimmed = |text: &str| text.trim().to_owned();
    let mut builder = Credentials::builder()
        .access_key_id(trimmed(given.access_key_id()))
        .secret_access_key(trimmed(given.secret_access_key()))
        .provider_name("bridge");
    builder.set_session_token(given.session_token().map(trimmed));
    builder.set_expiry(given.expiry());
    builder.set_account_id(given.account_id().cloned());
    Ok(builder.build())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn cleaned(id: &str, secret: &str, token: Option<&str>) -> provider::Result {
        let given = Credentials::new(id, secret, token.map(str::to_owned), None, "test");
        Clean(SharedCredentialsProvider::new(given)).provide_credentials().await
    }

    #[tokio::test]
    async fn a_lines_end_behind_a_key_is_no_part_of_it() {
        let clean = cleaned("AKIDEXAMPLE\n", " wJalr\r\n", Some("token\n")).await.unwrap();
        assert_eq!((clean.access_key_id(), clean.secret_access_key()), ("AKIDEXAMPLE", "wJalr"));
        assert_eq!(clean.session_token(), Some("token"));
    }

    #[tokio::test]
    async fn what_no_header_holds_is_an_error_without_the_key() {
        for (id, secret, token) in [
            ("AK\nID", "wJalr", None),
            ("AKID", "wJ\0alr", None),
            ("AKID", "wJalr", Some("a b")),
            ("ÄKID", "wJalr", None),
        ] {
            let error = format!("{:?}", cleaned(id, secret, token).await.unwrap_err());
            assert!(error.contains("has a character that no key has") && !error.contains("alr"), "{error}");
        }
    }
}
