//! Who may do what: shared access signatures, checked in full, and bearer tokens, checked as far as that is possible here.
//!
//! A signature is verified against the namespace's one key, with its expiry and its resource. A bearer token must have the
//! shape of a JWT and an `exp` that lies ahead; its signature is not verified, since no identity provider is in reach.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac};
use percent_encoding::percent_decode_str;
use sha2::Sha256;

/// The one rule of the namespace. It holds all rights (Manage, Send, Listen).
#[derive(Clone)]
pub(crate) struct Key {
    pub(crate) name: String,
    pub(crate) key: String,
}

/// What a valid token allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Grant {
    /// Path in lower case without slashes at its ends; empty for the whole namespace.
    scope: String,
    pub(crate) expires: SystemTime,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("InvalidSignature: the token has an invalid signature")]
    Signature,
    #[error("ExpiredToken: the token is expired")]
    Expired,
    #[error("MalformedToken: {0}")]
    Malformed(&'static str),
    #[error("the token's rule '{0}' is not known here")]
    UnknownRule(String),
    #[error("the token is for '{resource}', which does not cover '{wanted}'")]
    Resource { resource: String, wanted: String },
}

impl Grant {
    /// Everything, for ever: what a name and a password get.
    pub(crate) fn everything() -> Self {
        Self { scope: String::new(), expires: UNIX_EPOCH + Duration::from_secs(u64::from(u32::MAX)) }
    }

    pub(crate) fn scope(&self) -> &str {
        &self.scope
    }

    /// Whether the token covers the entity at `path`.
    pub(crate) fn covers(&self, path: &str) -> bool {
        covers(&self.scope, &path.to_lowercase())
    }
}

impl Key {
    /// Checks a shared access signature for the entity at `wanted` (an address with or without scheme and host).
    fn check_signature(&self, token: &str, wanted: &str, now: SystemTime) -> Result<Grant, Refusal> {
        let fields = token.strip_prefix("SharedAccessSignature ").unwrap_or(token);
        let field = |name: &str| {
            let found = fields.split('&').find_map(|pair| pair.trim().strip_prefix(name)?.strip_prefix('='));
            found.ok_or(Refusal::Malformed("sr, sig, se and skn are needed"))
        };
        let (resource, signature, expiry, rule) = (field("sr")?, field("sig")?, field("se")?, field("skn")?);
        let rule = decode(rule);
        if rule != self.name {
            return Err(Refusal::UnknownRule(rule));
        }
        let signature = STANDARD.decode(decode(signature)).map_err(|_| Refusal::Malformed("sig is not base64"))?;
        // What was signed is the resource as it stands in the token, still percent-encoded.
        let mut mac = Hmac::<Sha256>::new_from_slice(self.key.as_bytes()).expect("HMAC takes keys of any length");
        mac.update(format!("{resource}\n{expiry}").as_bytes());
        mac.verify_slice(&signature).map_err(|_| Refusal::Signature)?;
        let seconds: u64 = expiry.parse().map_err(|_| Refusal::Malformed("se is not a number of seconds"))?;
        let expires =
            UNIX_EPOCH.checked_add(Duration::from_secs(seconds)).ok_or(Refusal::Malformed("se is too large"))?;
        grant(&decode(resource), wanted, expires, now)
    }

    /// Checks what came with the token of `$cbs`, or behind `Authorization:`, for the entity at `wanted`.
    pub(crate) fn check(&self, token: &str, wanted: &str, now: SystemTime) -> Result<Grant, Refusal> {
        if token.starts_with("SharedAccessSignature ") {
            return self.check_signature(token, wanted, now);
        }
        let bearer =
            token.get(..7).filter(|scheme| scheme.eq_ignore_ascii_case("Bearer ")).map_or(token, |_| &token[7..]);
        grant(wanted, wanted, bearer_expiry(bearer.trim())?, now)
    }

    /// For SASL PLAIN: the name and the key themselves.
    pub(crate) fn is(&self, name: &str, key: &str) -> bool {
        let digest = |text: &str| {
            let mut mac = Hmac::<Sha256>::new_from_slice(self.key.as_bytes()).expect("HMAC takes keys of any length");
            mac.update(text.as_bytes());
            mac
        };
        name == self.name && digest(key).verify_slice(&digest(&self.key).finalize().into_bytes()).is_ok()
    }
}

fn grant(resource: &str, wanted: &str, expires: SystemTime, now: SystemTime) -> Result<Grant, Refusal> {
    if expires <= now {
        return Err(Refusal::Expired);
    }
    let (resource, wanted) = (path(resource), path(wanted));
    if !covers(&resource, &wanted) {
        return Err(Refusal::Resource { resource, wanted });
    }
    Ok(Grant { scope: wanted, expires })
}

fn covers(scope: &str, path: &str) -> bool {
    scope.is_empty() || path.strip_prefix(scope).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The entity path of an address: `amqps://host/Orders/$Management` and `orders/$management` are the same place.
pub(crate) fn path(address: &str) -> String {
    let path = match address.split_once("://") {
        Some((_, rest)) => rest.split_once('/').map_or("", |(_, path)| path),
        None => address,
    };
    path.split('?').next().unwrap_or(path).trim_matches('/').to_lowercase()
}

fn bearer_expiry(token: &str) -> Result<SystemTime, Refusal> {
    let mut parts = token.split('.');
    let (Some(_), Some(claims), Some(_), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return Err(Refusal::Malformed("a bearer token has three parts with dots between them"));
    };
    let claims =
        URL_SAFE_NO_PAD.decode(claims.trim_end_matches('=')).map_err(|_| Refusal::Malformed("not base64url"))?;
    let claims: serde_json::Value = serde_json::from_slice(&claims).map_err(|_| Refusal::Malformed("not JSON"))?;
    let seconds = claims.get("exp").and_then(serde_json::Value::as_f64).ok_or(Refusal::Malformed("exp is missing"))?;
    Duration::try_from_secs_f64(seconds)
        .ok()
        .and_then(|since| UNIX_EPOCH.checked_add(since))
        .ok_or(Refusal::Malformed("exp is not a time"))
}

fn decode(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn key() -> Key {
        Key { name: "Root".into(), key: "secret".into() }
    }

    fn sign(resource: &str, expiry: u64, name: &str, key: &str) -> String {
        let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let resource = encode(resource);
        let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).unwrap();
        mac.update(format!("{resource}\n{expiry}").as_bytes());
        let signature = encode(&STANDARD.encode(mac.finalize().into_bytes()));
        format!("SharedAccessSignature sr={resource}&sig={signature}&se={expiry}&skn={name}")
    }

    fn jwt(claims: &str) -> String {
        format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims))
    }

    #[test]
    fn a_signature_is_valid_for_its_resource_until_it_expires() {
        let token = sign("sb://127.0.0.1/Orders", 100, "Root", "secret");
        let grant = key().check(&token, "amqp://127.0.0.1/orders/$management", at(99)).unwrap();
        assert!(grant.covers("orders/$management") && !grant.covers("orders") && !grant.covers("others"));
        assert_eq!(key().check(&token, "sb://127.0.0.1/orders", at(100)), Err(Refusal::Expired));
        assert!(matches!(key().check(&token, "sb://127.0.0.1/orders2", at(1)), Err(Refusal::Resource { .. })));
        assert!(matches!(key().check(&token, "sb://127.0.0.1/", at(1)), Err(Refusal::Resource { .. })));
    }

    #[test]
    fn a_namespace_signature_covers_every_queue() {
        let token = sign("http://localhost:1234/", 100, "Root", "secret");
        assert!(key().check(&token, "sb://127.0.0.1/orders", at(1)).unwrap().covers("orders/$deadletterqueue"));
    }

    #[test]
    fn wrong_keys_rules_and_shapes_are_refused() {
        let check = |token: &str| key().check(token, "orders", at(1)).unwrap_err();
        assert_eq!(check(&sign("sb://x/orders", 100, "Root", "wrong")), Refusal::Signature);
        assert_eq!(check(&sign("sb://x/orders", 100, "Other", "secret")), Refusal::UnknownRule("Other".into()));
        assert!(matches!(check("SharedAccessSignature sr=x"), Refusal::Malformed(_)));
        assert!(matches!(check("SharedAccessSignature sr=x&sig=%%%&se=9&skn=Root"), Refusal::Malformed(_)));
        assert!(matches!(check(""), Refusal::Malformed(_)));
    }

    #[test]
    fn a_bearer_token_needs_three_parts_and_time_left() {
        let check = |token: &str| key().check(token, "sb://x/orders", at(100));
        assert!(check(&jwt(r#"{"exp":101}"#)).unwrap().covers("orders"));
        assert!(check(&format!("Bearer {}", jwt(r#"{"exp":101}"#))).is_ok());
        assert_eq!(check(&jwt(r#"{"exp":100}"#)), Err(Refusal::Expired));
        for wrong in [
            jwt("{}"),
            jwt(r#"{"exp":"soon"}"#),
            jwt(r#"{"exp":1e300}"#),
            jwt("["),
            "a.b".into(),
            "a.!.c".into(),
            "é".into(),
        ] {
            assert!(matches!(check(&wrong), Err(Refusal::Malformed(_))), "{wrong}");
        }
    }

    #[test]
    fn a_password_is_the_key() {
        assert!(key().is("Root", "secret"));
        assert!(!key().is("Root", "Secret") && !key().is("root", "secret") && !key().is("Root", ""));
    }
}
