//! TLS and HTTP for what talks to Azure without an SDK.

use std::sync::{Arc, OnceLock};

use bridge_core::failure::FailureKind;
use reqwest::{ClientBuilder, StatusCode, Url, redirect};
use rustls::{ClientConfig, crypto::aws_lc_rs};
use rustls_platform_verifier::BuilderVerifierExt;

use crate::endpoint;

/// TLS as this machine trusts it. Made once: loading the machine's certificates takes time and memory.
pub(super) fn config() -> Result<Arc<ClientConfig>, rustls::Error> {
    static CONFIG: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    if let Some(config) = CONFIG.get() {
        return Ok(Arc::clone(config));
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let builder = builder.with_safe_default_protocol_versions()?;
    let config = builder.with_platform_verifier()?.with_no_client_auth();
    Ok(Arc::clone(CONFIG.get_or_init(|| Arc::new(config))))
}

/// A client of the service at `endpoint`, which speaks nothing later than HTTP/1.1.
pub(super) fn http_client(at: &Url) -> Result<ClientBuilder, rustls::Error> {
    // A token goes where it was made for, and nowhere else.
    let builder = endpoint::client(at).http1_only().redirect(redirect::Policy::none());
    if at.scheme() == "http" {
        return Ok(builder);
    }
    Ok(builder.tls_backend_preconfigured(ClientConfig::clone(&*config()?)))
}

/// Why a read of settings was refused: by its status alone, as Service Bus's management interface and a Cosmos DB account tell it.
pub(super) fn refusal(status: StatusCode) -> FailureKind {
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => FailureKind::Unauthorized,
        StatusCode::NOT_FOUND | StatusCode::GONE => FailureKind::Missing,
        StatusCode::TOO_MANY_REQUESTS => FailureKind::Throttled { retry_after: None },
        _ => FailureKind::Unavailable,
    }
}
