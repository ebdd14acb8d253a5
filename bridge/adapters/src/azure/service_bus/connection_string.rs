//! Where a namespace is and how to be let in: a connection string as the portal shows it, or a host and a token.
//!
//! What it refuses it names by field and never by content: a misplaced key must not end up in a log.

use std::{fmt, net::IpAddr, str::FromStr, sync::Arc, time::Duration};

use azure_core::credentials::TokenCredential;

use super::sas::SIGNATURE_LIFE;
use crate::azure::credential::ServiceBusCredential;

/// A Service Bus namespace, and the proof that lets the worker in.
#[derive(Clone, Debug)]
pub struct ServiceBusConnection {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) encrypted: bool,
    pub(super) queue: Option<String>,
    pub(super) credential: ServiceBusCredential,
}

/// Why a connection string or host is refused, and what it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectionStringError {
    /// A part is no `Name=value`.
    #[error("part {position} of the connection string has no '=': it should read Name=value;Name=value")]
    Part {
        /// Its position, from 1.
        position: usize,
    },
    /// A field that is needed is not there.
    #[error("the connection string has no {field}: copy the whole string of a shared access policy from the portal")]
    Lacks {
        /// The field's name.
        field: &'static str,
    },
    /// A field occurs twice.
    #[error("the connection string has {field} twice")]
    Twice {
        /// The field's name.
        field: &'static str,
    },
    /// The endpoint is not one.
    #[error("the endpoint should read sb://NAMESPACE.servicebus.windows.net/")]
    Endpoint,
    /// A signature instead of a key.
    #[error(
        "SharedAccessSignature expires and cannot be renewed: give SharedAccessKeyName and SharedAccessKey instead"
    )]
    Signature,
    /// An emulator away from this machine.
    #[error(
        "UseDevelopmentEmulator=true sends tokens unencrypted, so its endpoint must be on this machine, \
         as in sb://127.0.0.1"
    )]
    EmulatorElsewhere,
}

/// AMQP over TLS, and plain. "AMQP 1.0 in Azure Service Bus and Event Hubs protocol guide", read 2026-11.
const PORT_ENCRYPTED: u16 = 5671;
const PORT_PLAIN: u16 = 5672;

impl ServiceBusConnection {
    /// A namespace by its host name, for example `my-namespace.servicebus.windows.net`, and an identity.
    ///
    /// # Errors
    /// [`ConnectionStringError::Endpoint`] if `host` is no host name.
    pub fn with_token(host: &str, credential: Arc<dyn TokenCredential>) -> Result<Self, ConnectionStringError> {
        let host = host.trim_end_matches('/');
        if !is_host(host) {
            return Err(ConnectionStringError::Endpoint);
        }
        Ok(Self {
            host: host.to_owned(),
            port: PORT_ENCRYPTED,
            encrypted: true,
            queue: None,
            credential: ServiceBusCredential::Token(credential),
        })
    }

    /// The same with signatures of another life than an hour. A token of an identity has its own.
    #[must_use]
    pub fn with_token_life(mut self, of_a_signature: Duration) -> Self {
        if let ServiceBusCredential::SharedKey { life, .. } = &mut self.credential {
            *life = of_a_signature;
        }
        self
    }

    /// Host name of the namespace.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The host as it stands in an address: an IPv6 address in brackets.
    pub(super) fn authority(&self) -> String {
        if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() }
    }

    /// The queue that the connection string is limited to, if it is (`EntityPath`).
    pub fn queue(&self) -> Option<&str> {
        self.queue.as_deref()
    }

    /// Whether this is an emulator, whose HTTP endpoint cannot be guessed.
    pub fn is_emulator(&self) -> bool {
        !self.encrypted
    }
}

impl FromStr for ServiceBusConnection {
    type Err = ConnectionStringError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fields = Fields::parse(text)?;
        if fields.get("SharedAccessSignature")?.is_some() {
            return Err(ConnectionStringError::Signature);
        }
        let endpoint = fields.need("Endpoint")?;
        let authority = endpoint.split_once("://").ok_or(ConnectionStringError::Endpoint)?.1;
        let authority = authority.split('/').next().unwrap_or_default();
        let (host, port) = split_port(authority)?;
        let emulator = fields.get("UseDevelopmentEmulator")?.is_some_and(|value| value.eq_ignore_ascii_case("true"));
        if emulator && !is_loopback(&host) {
            return Err(ConnectionStringError::EmulatorElsewhere);
        }
        Ok(Self {
            host,
            port: port.unwrap_or(if emulator { PORT_PLAIN } else { PORT_ENCRYPTED }),
            encrypted: !emulator,
            queue: fields.get("EntityPath")?.filter(|queue| !queue.is_empty()).map(str::to_owned),
            credential: ServiceBusCredential::SharedKey {
                name: fields.need("SharedAccessKeyName")?.to_owned(),
                key: fields.need("SharedAccessKey")?.to_owned(),
                life: SIGNATURE_LIFE,
            },
        })
    }
}

impl fmt::Display for ServiceBusConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sb://{}", self.authority())
    }
}

struct Fields<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Fields<'a> {
    fn parse(text: &'a str) -> Result<Self, ConnectionStringError> {
        let parts = text.split(';').enumerate().filter(|(_, part)| !part.trim().is_empty());
        let fields = parts.map(|(at, part)| match part.split_once('=') {
            Some((name, value)) => Ok((name.trim(), value.trim())),
            None => Err(ConnectionStringError::Part { position: at + 1 }),
        });
        fields.collect::<Result<_, _>>().map(Self)
    }

    fn get(&self, name: &'static str) -> Result<Option<&'a str>, ConnectionStringError> {
        let mut found = self.0.iter().filter(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| *value);
        match (found.next(), found.next()) {
            (_, Some(_)) => Err(ConnectionStringError::Twice { field: name }),
            (value, None) => Ok(value),
        }
    }

    fn need(&self, name: &'static str) -> Result<&'a str, ConnectionStringError> {
        self.get(name)?.filter(|value| !value.is_empty()).ok_or(ConnectionStringError::Lacks { field: name })
    }
}

/// Takes `host`, `host:port`, an IPv6 address, and that in brackets with a port.
fn split_port(authority: &str) -> Result<(String, Option<u16>), ConnectionStringError> {
    let (host, port) = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, "")) => (host, None),
        Some((host, rest)) => (host, Some(rest.strip_prefix(':').ok_or(ConnectionStringError::Endpoint)?)),
        None if is_host(authority) => (authority, None),
        None => {
            authority.split_once(':').map(|(host, port)| (host, Some(port))).ok_or(ConnectionStringError::Endpoint)?
        }
    };
    let port = port.map(str::parse).transpose().map_err(|_| ConnectionStringError::Endpoint)?;
    if is_host(host) { Ok((host.to_owned(), port)) } else { Err(ConnectionStringError::Endpoint) }
}

fn is_host(text: &str) -> bool {
    let name = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    text.parse::<IpAddr>().is_ok() || (!text.is_empty() && text.len() <= 253 && text.chars().all(name))
}

/// Whether a host is this machine itself, the only place to which a token may go unencrypted.
pub(super) fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "YWJjZGVmZw==";

    fn parse(text: &str) -> Result<ServiceBusConnection, ConnectionStringError> {
        text.parse()
    }

    #[test]
    fn a_portal_string_is_read_whatever_the_case_of_its_names() {
        let text = format!(
            "endpoint=sb://Space.servicebus.windows.net/;SHAREDACCESSKEYNAME=n;sharedaccesskey={KEY};EntityPath=q"
        );
        let connection = parse(&text).unwrap();
        assert_eq!(
            (connection.host(), connection.port, connection.encrypted),
            ("Space.servicebus.windows.net", 5671, true)
        );
        assert_eq!(connection.queue(), Some("q"));
        let ServiceBusCredential::SharedKey { name, key, .. } = &connection.credential else {
            panic!("a key was given")
        };
        assert_eq!((name.as_str(), key.as_str()), ("n", KEY), "a key keeps the '=' at its end");
        assert!(!format!("{connection:?} {connection}").contains(KEY));
    }

    #[test]
    fn an_emulator_is_plain_and_on_this_machine_only() {
        let text = |host: &str| {
            format!("Endpoint=sb://{host};SharedAccessKeyName=n;SharedAccessKey={KEY};UseDevelopmentEmulator=true;")
        };
        let local = parse(&text("127.0.0.1")).unwrap();
        assert_eq!((local.host(), local.port, local.is_emulator()), ("127.0.0.1", 5672, true));
        assert_eq!(parse(&text("127.0.3.1:9000")).unwrap().port, 9000);
        assert_eq!(
            parse(&text("[::1]:9000")).map(|c| (c.to_string(), c.host, c.port)),
            Ok(("sb://[::1]".to_owned(), "::1".to_owned(), 9000))
        );
        assert_eq!(parse(&text("localhost")).map(|c| c.port), Ok(5672));
        assert_eq!(parse(&text("10.0.0.1")).err(), Some(ConnectionStringError::EmulatorElsewhere));
        assert_eq!(parse(&text("localhost.example.com")).err(), Some(ConnectionStringError::EmulatorElsewhere));
    }

    #[test]
    fn what_is_wrong_is_named_and_no_secret_shown() {
        let good = format!("Endpoint=sb://s.servicebus.windows.net;SharedAccessKeyName=n;SharedAccessKey={KEY}");
        let wrong = [
            (format!("{KEY};{good}").replace('=', ""), ConnectionStringError::Part { position: 1 }),
            (good.replace("Endpoint", "Host"), ConnectionStringError::Lacks { field: "Endpoint" }),
            (
                good.replace(&format!("AccessKey={KEY}"), "AccessKey="),
                ConnectionStringError::Lacks { field: "SharedAccessKey" },
            ),
            (good.replace("SharedAccessKeyName=n;", ""), ConnectionStringError::Lacks { field: "SharedAccessKeyName" }),
            (format!("{good};SharedAccessKey=other"), ConnectionStringError::Twice { field: "SharedAccessKey" }),
            (good.replace("sb://", ""), ConnectionStringError::Endpoint),
            (good.replace("s.servicebus", "s servicebus"), ConnectionStringError::Endpoint),
            (good.replace(".net", ".net:port"), ConnectionStringError::Endpoint),
            (format!("{good};SharedAccessSignature=sig"), ConnectionStringError::Signature),
        ];
        for (text, expected) in wrong {
            let error = parse(&text).unwrap_err();
            assert_eq!(error, expected);
            assert!(!error.to_string().contains(KEY));
        }
    }
}
