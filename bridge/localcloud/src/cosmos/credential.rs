//! Who may call: whoever signs with the account key, or shows a token that looks like one of Microsoft Entra's.
//!
//! The key's signature is verified in full, because a client that signs a strange id wrongly must find out here. A token's
//! signature is not: its issuer is out of reach. Its shape and its expiry are.

use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use chrono::DateTime;
use hmac::{Hmac, Mac};
use percent_encoding::percent_decode_str;
use serde_json::Value;
use sha2::Sha256;

use super::answer::Answer;
use super::gateway::Message;

/// How far the signed date may be from the service's time.
///
/// # Source
/// "HTTP status codes for Azure Cosmos DB", 403, authorization token expired: 15 minutes, read 2026-11.
const SKEW_MAX: Duration = Duration::from_mins(15);

const NOT_AUTHORIZED: &str = "The input authorization token can't serve the request. The wrong key is being used or the \
                              expected payload is not built as per the protocol.";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Caller {
    Key,
    Token,
}

pub(super) struct MasterKey(Vec<u8>);

impl MasterKey {
    pub(super) fn new(base64: &str) -> io::Result<Self> {
        let key = STANDARD.decode(base64).map_err(|error| {
            let message = format!("the Cosmos account key is not Base64 ({error}); give it as the portal shows it");
            io::Error::new(io::ErrorKind::InvalidInput, message)
        })?;
        Ok(Self(key))
    }

    pub(super) fn check(&self, message: &Message, now: SystemTime) -> Result<Caller, Answer> {
        let Some(header) = message.header("authorization") else {
            return Err(Answer::unauthorized(
                "Required Header authorization is missing. Ensure a valid Authorization token is passed.",
            ));
        };
        let header = percent_decode_str(header).decode_utf8_lossy();
        if let Some(signature) = header.strip_prefix("type=master&ver=1.0&sig=") {
            return self.check_signature(message, signature, now);
        }
        match header.strip_prefix("type=aad&ver=1.0&sig=") {
            Some(token) => check_token(token, now),
            None => Err(Answer::unauthorized(NOT_AUTHORIZED)),
        }
    }

    fn check_signature(&self, message: &Message, signature: &str, now: SystemTime) -> Result<Caller, Answer> {
        let date = message.header("x-ms-date").or_else(|| message.header("date")).unwrap_or_default();
        let Ok(time) = DateTime::parse_from_rfc2822(date) else {
            return Err(Answer::unauthorized(&format!(
                "The input date header '{date}' is invalid; give x-ms-date in the form of RFC 1123."
            )));
        };
        let time = SystemTime::from(time);
        let distance = now.duration_since(time).unwrap_or_else(|error| error.duration());
        if distance > SKEW_MAX {
            return Err(Answer::forbidden("The authorization token is not valid at the current time."));
        }
        let signature = STANDARD.decode(signature).unwrap_or_default();
        let (kind, links) = resource(&message.path);
        let method = message.method.as_ref().to_ascii_lowercase();
        let date = date.to_lowercase();
        let signed = links.iter().any(|link| {
            let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes a key of any length");
            mac.update(format!("{method}\n{kind}\n{link}\n{date}\n\n").as_bytes());
            mac.verify_slice(&signature).is_ok()
        });
        if signed { Ok(Caller::Key) } else { Err(Answer::unauthorized(NOT_AUTHORIZED)) }
    }
}

/// What is signed for a path: the kind of the resource, and its link in the forms that clients sign.
///
/// A path of an odd number of parts ends in a kind, whose link is the parent's; one of an even number ends in a resource, whose
/// link is the whole path. Names are signed as they are; offers, which have ids only, in lower case.
///
/// # Source
/// "Access control in the Azure Cosmos DB REST API", constructing a master key token, read 2026-11.
fn resource(path: &str) -> (String, [String; 2]) {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let (kind, link) = match (parts.len() % 2, parts.as_slice()) {
        (1, [parent @ .., kind]) => (*kind, parent.join("/")),
        (0, ["offers", id]) => ("offers", id.to_lowercase()),
        (0, [.., kind, _id]) => (*kind, parts.join("/")),
        _ => ("", String::new()),
    };
    let decoded = percent_decode_str(&link).decode_utf8_lossy().into_owned();
    (kind.to_owned(), [decoded, link])
}

fn check_token(token: &str, now: SystemTime) -> Result<Caller, Answer> {
    let parts: Vec<&str> = token.split('.').collect();
    let json = |part: &str| {
        let bytes = URL_SAFE_NO_PAD.decode(part.trim_end_matches('=')).ok()?;
        serde_json::from_slice::<Value>(&bytes).ok()
    };
    let claims = match parts.as_slice() {
        [header, claims, _signature] if json(header).is_some_and(|header| header["alg"].is_string()) => json(claims),
        _ => None,
    };
    let Some(expires) = claims.and_then(|claims| claims["exp"].as_u64()) else {
        return Err(Answer::unauthorized("The provided AAD token is not a JSON web token with an expiry."));
    };
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    if expires <= now {
        return Err(Answer::unauthorized("The provided AAD token has expired."));
    }
    Ok(Caller::Token)
}
