//! Who calls: the access key in the request's signature must be the configured one, used for this region and service,
//! about now.
//!
//! The signature itself is not verified. A client with a wrong secret key is let in here and refused by the real
//! service; what is caught is what goes wrong more often: no credentials, those of somewhere else, another region, a
//! clock that is off.

use std::time::{Duration, SystemTime};

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use chrono::{DateTime, NaiveDateTime, Utc};

use super::protocol::{Code, SqsError};

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const DATE: &str = "x-amz-date";
const DATE_FORMAT: &str = "%Y%m%dT%H%M%SZ";

/// How far a signature's time may be from the service's own.
///
/// # Source
/// IAM user guide, "Troubleshoot Signature Version 4", read 2026-11.
const SKEW_MAX: Duration = Duration::from_mins(15);

/// Lets a request pass that is signed in the name of `access_key_id` for SQS in `region`, at the service's `now`.
///
/// # Source
/// IAM user guide, "Elements of an AWS API request signature"; SQS API reference, "Common errors"; read 2026-11.
pub(super) fn check(headers: &HeaderMap, access_key_id: &str, region: &str, now: SystemTime) -> Result<(), SqsError> {
    let Some(header) = headers.get(AUTHORIZATION) else {
        return Err(SqsError::new(Code::MissingAuthenticationToken, "Missing Authentication Token"));
    };
    let incomplete =
        |what: &str| SqsError::new(Code::IncompleteSignature, format!("Authorization header requires {what}."));
    let text = header.to_str().map_err(|_| incomplete("printable characters"))?;
    let parts = text.strip_prefix(ALGORITHM).ok_or_else(|| incomplete(&format!("the algorithm {ALGORITHM}")))?;
    let part = |name: &'static str| {
        let mut parts = parts.split([',', ' ']).filter_map(|part| part.strip_prefix(name)?.strip_prefix('='));
        parts.next().filter(|value| !value.is_empty()).ok_or_else(|| incomplete(&format!("'{name}' parameter")))
    };
    let credential = part("Credential")?;
    part("SignedHeaders")?;
    part("Signature")?;
    if !headers.contains_key(DATE) && !headers.contains_key("date") {
        return Err(incomplete("existence of either a 'X-Amz-Date' or a 'Date' header"));
    }
    // The key's own text may hold a slash, so the scope is read from its end.
    let mut scope = credential.rsplitn(5, '/');
    let (terminator, service, scope_region, _day, key) =
        (scope.next(), scope.next(), scope.next(), scope.next(), scope.next());
    if key != Some(access_key_id) {
        let message = "The security token included in the request is invalid.";
        return Err(SqsError::new(Code::InvalidClientTokenId, message));
    }
    let mismatch = |message: String| Err(SqsError::new(Code::SignatureDoesNotMatch, message));
    if scope_region != Some(region) {
        return mismatch(format!("Credential should be scoped to a valid region, which is '{region}' here."));
    }
    if service != Some("sqs") {
        return mismatch("Credential should be scoped to correct service: 'sqs'.".to_owned());
    }
    if terminator != Some("aws4_request") {
        return mismatch("Credential should be scoped with a valid terminator: 'aws4_request'.".to_owned());
    }
    match headers.get(DATE) {
        Some(date) => check_time(&String::from_utf8_lossy(date.as_bytes()), now),
        // The older `Date` header is let through: no SDK sends it alone.
        None => Ok(()),
    }
}

fn check_time(signed_at: &str, now: SystemTime) -> Result<(), SqsError> {
    let Ok(time) = NaiveDateTime::parse_from_str(signed_at, DATE_FORMAT) else {
        let message = format!("Date must be in ISO-8601 'basic format'. Got '{signed_at}'.");
        return Err(SqsError::new(Code::IncompleteSignature, message));
    };
    let time = SystemTime::from(time.and_utc());
    let text = |time: SystemTime| DateTime::<Utc>::from(time).format(DATE_FORMAT);
    let message = if time + SKEW_MAX < now {
        let bound = text(now - SKEW_MAX);
        format!("Signature expired: {signed_at} is now earlier than {bound} ({} - 15 min.)", text(now))
    } else if time > now + SKEW_MAX {
        let bound = text(now + SKEW_MAX);
        format!("Signature not yet current: {signed_at} is still later than {bound} ({} + 15 min.)", text(now))
    } else {
        return Ok(());
    };
    Err(SqsError::new(Code::SignatureDoesNotMatch, message))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    const GOOD: &str = "AWS4-HMAC-SHA256 Credential=local/20261121/us-east-1/sqs/aws4_request, \
        SignedHeaders=content-type;host;x-amz-date, Signature=00ff";

    fn verdict_at(date: &str, authorization: Option<&str>) -> Result<(), Code> {
        let mut headers = HeaderMap::new();
        headers.insert(DATE, HeaderValue::from_str(date).unwrap());
        if let Some(text) = authorization {
            headers.insert(AUTHORIZATION, HeaderValue::from_bytes(text.as_bytes()).unwrap());
        }
        let now: DateTime<Utc> = "2026-11-21T12:00:00Z".parse().unwrap();
        check(&headers, "local", "us-east-1", now.into()).map_err(|error| error.code)
    }

    fn verdict(authorization: Option<&str>) -> Result<(), Code> {
        verdict_at("20261121T120000Z", authorization)
    }

    #[test]
    fn a_signature_is_good_for_a_quarter_of_an_hour_either_way() {
        for date in ["20261121T114500Z", "20261121T121500Z"] {
            assert_eq!(verdict_at(date, Some(GOOD)), Ok(()), "{date}");
        }
        for date in ["20261121T114459Z", "20261121T121501Z", "00000101T000000Z", "99991231T235959Z"] {
            let refused = verdict_at(date, Some(GOOD));
            assert!(
                matches!(refused, Err(Code::SignatureDoesNotMatch | Code::IncompleteSignature)),
                "{date}: {refused:?}"
            );
        }
        assert_eq!(verdict_at("yesterday", Some(GOOD)), Err(Code::IncompleteSignature));
    }

    #[test]
    fn only_the_configured_key_in_its_region_passes() {
        assert_eq!(verdict(Some(GOOD)), Ok(()));
        assert_eq!(verdict(Some(&GOOD.replace(", ", ","))), Ok(()));
        assert_eq!(verdict(None), Err(Code::MissingAuthenticationToken));
        assert_eq!(verdict(Some(&GOOD.replace("local", "other"))), Err(Code::InvalidClientTokenId));
        assert_eq!(verdict(Some(&GOOD.replace("us-east-1", "eu-west-1"))), Err(Code::SignatureDoesNotMatch));
        assert_eq!(verdict(Some(&GOOD.replace("/sqs/", "/sns/"))), Err(Code::SignatureDoesNotMatch));
    }

    #[test]
    fn a_header_that_says_too_little_is_incomplete() {
        for text in
            ["", "Bearer x", "AWS4-HMAC-SHA256", "AWS4-HMAC-SHA256 Credential=local", &GOOD.replace("00ff", ""), "é"]
        {
            assert_eq!(verdict(Some(text)), Err(Code::IncompleteSignature), "{text}");
        }
        assert_eq!(
            verdict(Some("AWS4-HMAC-SHA256 Credential=x,SignedHeaders=y,Signature=z")),
            Err(Code::InvalidClientTokenId)
        );
    }
}
