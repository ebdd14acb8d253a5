//! Requests to the dashboard: a line of the address, then headers, one a line.

use std::{net::Ipv4Addr, sync::Arc};

use axum::{
    Router,
    body::Body,
    http::{HeaderName, HeaderValue, Request, StatusCode},
    middleware,
};
use futures_util::FutureExt;
use tower_service::Service;

use crate::guard::{Guard, admit};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// With a token nobody gets in who does not show it; without one nobody whose browser was led here by another name.
pub(crate) fn run(bytes: &[u8]) {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let mut request = Request::builder().uri(lines.next().unwrap_or_default());
    for line in lines {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let (name, value) =
            (HeaderName::from_bytes(&line[..colon]), HeaderValue::from_bytes(line[colon + 1..].trim_ascii()));
        if let (Ok(name), Ok(value)) = (name, value) {
            request = request.header(name, value);
        }
    }
    let Ok(request) = request.body(Body::empty()) else { return };
    let host = request.headers().get("host").and_then(|host| host.to_str().ok()).unwrap_or_default().to_lowercase();
    for token in [Some(TOKEN.to_owned()), None] {
        let secret = token.is_some();
        let guard = Guard::new(Ipv4Addr::LOCALHOST.into(), token).unwrap().at_port(8421);
        let layer = middleware::from_fn_with_state(Arc::new(guard), admit);
        let mut router: Router = Router::new().fallback(async || "inside").layer(layer);
        let mut copy = Request::builder().uri(request.uri().clone());
        copy.headers_mut().unwrap().extend(request.headers().clone());
        let answer = router.call(copy.body(Body::empty()).unwrap()).now_or_never().expect("nobody waits").unwrap();
        let inside = answer.status() == StatusCode::OK;
        if secret {
            assert!(!inside || bytes.windows(TOKEN.len()).any(|part| part == TOKEN.as_bytes()), "without its token");
        } else {
            assert!(
                !inside || host.starts_with("localhost") || host.starts_with("127.") || host.starts_with("[::"),
                "{host}"
            );
        }
        assert!(answer.headers().contains_key("content-security-policy"));
    }
}
