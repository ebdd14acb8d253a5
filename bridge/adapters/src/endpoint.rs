//! Which addresses a client may be pointed at, and which of them no proxy may see.

use std::net::IpAddr;

use reqwest::ClientBuilder;
use url::{Host, Url};

/// An endpoint that would send credentials in the clear.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("endpoint {0}: plain http is for loopback only; use https, or a 127.x.x.x address")]
pub struct InsecureEndpoint(String);

/// Passes https, and plain http to this machine.
///
/// # Errors
/// Any other address.
pub fn check(endpoint: &Url) -> Result<(), InsecureEndpoint> {
    match endpoint.scheme() {
        "https" => Ok(()),
        "http" if is_loopback(endpoint) => Ok(()),
        _ => {
            // Without user, password and query: an address may carry secrets there.
            let shown = format!("{}://{}", endpoint.scheme(), endpoint.host_str().unwrap_or_default());
            Err(InsecureEndpoint(shown))
        }
    }
}

/// Whether an address is on this machine.
pub fn is_loopback(endpoint: &Url) -> bool {
    match endpoint.host() {
        Some(Host::Ipv4(address)) => IpAddr::V4(address).is_loopback(),
        Some(Host::Ipv6(address)) => IpAddr::V6(address).is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// Whether requests go past every proxy: to this machine, and to the metadata services of both clouds, which hand out credentials.
/// "Instance metadata" of both clouds and "EKS Pod Identity", read 2026-11: link-local addresses, and `fd00:ec2::/32`.
pub fn is_near(endpoint: &Url) -> bool {
    let metadata = match endpoint.host() {
        Some(Host::Ipv4(address)) => address.is_link_local(),
        Some(Host::Ipv6(address)) => address.is_unicast_link_local() || address.segments()[..2] == [0xfd00, 0xec2],
        _ => false,
    };
    metadata || is_loopback(endpoint)
}

/// Whether the environment names a proxy. Read by all clients alike: these names, and the same in small letters.
pub fn proxies_are_named() -> bool {
    let named = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    ["HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"].iter().any(|name| named(name) || named(&name.to_ascii_lowercase()))
}

/// A client of `endpoint` alone: past the proxies to what is [near](is_near), and elsewhere as `HTTPS_PROXY` and `NO_PROXY` say.
pub fn client(endpoint: &Url) -> ClientBuilder {
    let builder = ClientBuilder::new();
    if is_near(endpoint) { builder.no_proxy() } else { builder }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_proxy_sees_this_machine_nor_the_metadata_services() {
        let near = [
            "https://127.0.0.6:1/",
            "http://localhost:1",
            "http://[::1]:1",
            "http://169.254.169.254/metadata/identity/oauth2/token",
            "http://169.254.170.23/v1/credentials",
            "http://[fd00:ec2::254]/",
        ];
        for endpoint in near {
            assert!(is_near(&endpoint.parse().unwrap()), "{endpoint}");
        }
        for endpoint in ["https://sqs.us-east-1.amazonaws.com", "https://10.0.0.1", "https://localhost.example.com"] {
            assert!(!is_near(&endpoint.parse().unwrap()), "{endpoint}");
        }
    }

    #[test]
    fn plain_http_is_for_loopback_only() {
        let good =
            ["https://sqs.us-east-1.amazonaws.com", "http://127.0.0.6:1/", "http://localhost:1", "http://[::1]:1"];
        let bad =
            ["http://10.0.0.1", "http://localhost.example.com", "ftp://127.0.0.1", "http://user:secret@example.com"];
        for endpoint in good {
            assert_eq!(check(&endpoint.parse().unwrap()), Ok(()), "{endpoint}");
        }
        for endpoint in bad {
            let error = check(&endpoint.parse().unwrap()).unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
