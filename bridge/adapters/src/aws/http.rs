//! The HTTP client of the SDK, where the environment names a proxy.
//!
//! The SDK's own client sends to a proxy whatever `NO_PROXY` does not name, loopback and the metadata services included.

use aws_sdk_sqs::config::{HttpClient, SharedHttpClient, http::HttpRequest};
use aws_smithy_http_client::{Builder, ConnectorBuilder, proxy::ProxyConfig, tls};
use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn};
use url::Url;

use crate::endpoint;

/// A client that goes past the proxies to what is [near](endpoint::is_near), and elsewhere as the environment says; none where the
/// environment names no proxy, as the SDK's own does then.
pub(super) fn client() -> Option<SharedHttpClient> {
    endpoint::proxies_are_named().then(|| {
        let (direct, proxied) = (through(ProxyConfig::disabled()), through(ProxyConfig::from_env()));
        http_client_fn(move |settings, components| {
            let direct = direct.http_connector(settings, components);
            let proxied = proxied.http_connector(settings, components);
            SharedHttpConnector::new(ByPlace { direct, proxied })
        })
    })
}

/// The SDK's own client, but for the proxies.
fn through(proxies: ProxyConfig) -> SharedHttpClient {
    Builder::new().build_with_connector_fn(move |settings, components| {
        let provider = tls::Provider::Rustls(tls::rustls_provider::CryptoMode::AwsLc);
        let mut builder = ConnectorBuilder::default().tls_provider(provider);
        builder.set_connector_settings(settings.cloned());
        if let Some(components) = components {
            builder.set_sleep_impl(components.sleep_impl());
        }
        builder.proxy_config(proxies.clone()).build()
    })
}

/// Chooses by where a request goes.
#[derive(Debug)]
struct ByPlace {
    direct: SharedHttpConnector,
    proxied: SharedHttpConnector,
}

impl HttpConnector for ByPlace {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let near = request.uri().parse::<Url>().is_ok_and(|url| endpoint::is_near(&url));
        if near { self.direct.call(request) } else { self.proxied.call(request) }
    }
}
