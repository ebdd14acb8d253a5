//! Who calls: the access key in the request's signature must be the configured one, and be used for this region and service.
//!
//! The signature itself is not verified. A client with a wrong secret key is let in here and refused by the real service; what is
//! caught is what goes wrong more often: no credentials, those of somewhere else, another region.

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;

use super::protocol::{Code, SqsError};

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// Lets a request pass that is signed in the name of `access_key_id` for SQS in `region`.
///
/// # Source
/// IAM user guide, "Elements of an AWS API request signature"; SQS API reference, "Common errors"; read 2026-11.
pub(super) fn check(headers: &HeaderMap, access_key_id: &str, region: &str) -> Result<(), SqsError> {
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
    if !headers.contains_key("x-amz-date") && !headers.contains_key("date") {
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
    Ok(())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    const GOOD: &str = "AWS4-HMAC-SHA256 Credential=local/20261121/us-east-1/sqs/aws4_request, \
         SignedHeaders=content-type;host;x-amz-date, Signature=00ff";

    fn verdict(authorization: Option<&str>) -> Result<(), Code> {
        let mut headers = HeaderMap::new();
        headers.insert("x-amz-date", HeaderValue::from_static("20261121T000000Z"));
        if let Some(text) = authorization {
            headers.insert(AUTHORIZATION, HeaderValue::from_bytes(text.as_bytes()).unwrap());
        }
        check(&headers, "local", "us-east-1").map_err(|error| error.code)
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
