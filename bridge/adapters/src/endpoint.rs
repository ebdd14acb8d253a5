//! Which addresses a client may be pointed at.

use std::net::IpAddr;

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

#[cfg(test)]
mod tests {
    use super::*;

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
