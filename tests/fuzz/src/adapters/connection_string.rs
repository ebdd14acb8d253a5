//! Connection strings and endpoints.

use bridge_adapters::{azure::service_bus::ServiceBusConnection, endpoint};
use url::Url;

use crate::text;

const SECRET: &str = "5ecre7Key";

/// Only this machine is spoken to in the clear, and no key shows in what is printed or refused.
pub(crate) fn run(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    for connection in [text.to_owned(), format!("{text};SharedAccessKey={SECRET}")] {
        match connection.parse::<ServiceBusConnection>() {
            Ok(parsed) => {
                let loopback = parsed.host().parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback());
                assert!(!parsed.is_emulator() || loopback || parsed.host().eq_ignore_ascii_case("localhost"));
                assert!(!format!("{parsed} {parsed:?}").contains(SECRET));
            }
            Err(error) => assert!(!format!("{error} {error:?}").contains(SECRET) && error.to_string().len() < 512),
        }
    }
    if let Ok(url) = text.parse::<Url>() {
        let loopback = match url.host() {
            Some(url::Host::Ipv4(address)) => address.is_loopback(),
            Some(url::Host::Ipv6(address)) => address.is_loopback(),
            Some(url::Host::Domain(name)) => name == "localhost",
            None => false,
        };
        assert!(endpoint::check(&url).is_err() || url.scheme() == "https" || (url.scheme() == "http" && loopback));
    }
}
