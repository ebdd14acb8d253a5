//! Who may call: whoever names the configured access key, for this region, at about this time.
//!
//! The shape of the authentication material is checked by the engine's own rules; the signature itself is not verified,
//! which would keep nobody out of a server whose key is printed at start.

use std::time::{Duration, SystemTime};

use axum::http::request::Parts;
use chrono::{DateTime, NaiveDateTime, Utc};
use dynoxide::auth_material::{self, AuthMaterial};
use percent_encoding::percent_decode_str;

use super::answer::Failed;

/// How far a signature's time may be from the service's.
///
/// # Source
/// The service's own message, which names the bound: "Signature expired: ... is now earlier than ... (... - 15 min.)";
/// AWS IAM user guide, "Troubleshoot Signature Version 4", read 2026-11.
const SKEW_MAX: Duration = Duration::from_mins(15);

pub(super) struct Credential {
    pub(super) access_key_id: String,
    pub(super) region: String,
}

impl Credential {
    pub(super) fn check(&self, head: &Parts, now: SystemTime) -> Result<(), Failed> {
        let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
        let query = head.uri.query().unwrap_or("");
        let authorization = header("authorization");
        let has_date_header = header("x-amz-date").is_some() || header("date").is_some();
        if let Some(json) = auth_material::validate(AuthMaterial { authorization, query, has_date_header }) {
            return Err(Failed::written(json));
        }
        let parameter = |name: &str| {
            let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            let value = pairs.filter(|(key, _)| *key == name).map(|(_, value)| value).next()?;
            Some(percent_decode_str(value).decode_utf8_lossy().into_owned())
        };
        let scope = match authorization {
            Some(text) => text.split([' ', ',']).find_map(|part| part.strip_prefix("Credential=")).map(str::to_owned),
            None => parameter("X-Amz-Credential"),
        };
        let scope = scope.unwrap_or_default();
        let mut parts = scope.split('/');
        let (key, _day, region) = (parts.next().unwrap_or(""), parts.next(), parts.next().unwrap_or(""));
        if key != self.access_key_id {
            let message = "The security token included in the request is invalid.";
            return Err(Failed::credential("UnrecognizedClientException", message));
        }
        if region != self.region {
            let message = format!("Credential should be scoped to a valid region, not '{region}'. ");
            return Err(Failed::credential("InvalidSignatureException", &message));
        }
        let signed_at = header("x-amz-date").map(str::to_owned).or_else(|| parameter("X-Amz-Date"));
        check_time(signed_at.as_deref(), now)
    }
}

/// A signature without an `X-Amz-Date` (there is the older `Date` header) is let through.
fn check_time(signed_at: Option<&str>, now: SystemTime) -> Result<(), Failed> {
    let Some(signed_at) = signed_at else { return Ok(()) };
    let Ok(time) = NaiveDateTime::parse_from_str(signed_at, "%Y%m%dT%H%M%SZ") else {
        let message = "Date must be in ISO-8601 'basic format'. Got '".to_owned() + signed_at + "'.";
        return Err(Failed::credential("IncompleteSignatureException", &message));
    };
    let (time, now) = (SystemTime::from(time.and_utc()), now);
    let text = |time: SystemTime| DateTime::<Utc>::from(time).format("%Y%m%dT%H%M%SZ");
    let message = if time + SKEW_MAX < now {
        format!("Signature expired: {signed_at} is now earlier than {} ({} - 15 min.)", text(now - SKEW_MAX), text(now))
    } else if time > now + SKEW_MAX {
        format!(
            "Signature not yet current: {signed_at} is still later than {} ({} + 15 min.)",
            text(now + SKEW_MAX),
            text(now)
        )
    } else {
        return Ok(());
    };
    Err(Failed::credential("InvalidSignatureException", &message))
}
