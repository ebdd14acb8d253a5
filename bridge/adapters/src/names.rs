//! What the services take as names, and which spellings name one thing. Checked before anything is asked: a wrong name would
//! halt a worker that has started already.

use base64::{Engine, engine::general_purpose::STANDARD};
use url::{Host, Url};

use crate::aws::QueueIdentity;

/// A table of DynamoDB: a name of 3 to 255 letters, digits, `_`, `-` and `.` ("Naming rules", read 2026-11), or its ARN.
///
/// # Errors
/// Anything else.
pub fn table(name: &str) -> Result<(), String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    let is_name = |name: &str| (3..=255).contains(&name.len()) && name.chars().all(plain);
    if is_name(name) || table_of_arn(name).is_some_and(|(_, table)| is_name(table)) {
        return Ok(());
    }
    Err(format!("found {name:?}; allowed is a name of 3 to 255 letters, digits, `_`, `-` and `.`, or a table's ARN"))
}

/// The region and the name in a table's ARN. "Actions, resources, and condition keys for DynamoDB", read 2026-11.
pub fn table_of_arn(arn: &str) -> Option<(&str, &str)> {
    let parts: Vec<&str> = arn.split(':').collect();
    let ["arn", _, "dynamodb", region, account, resource] = parts[..] else { return None };
    let is_account = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
    resource.strip_prefix("table/").filter(|_| is_account && !region.is_empty()).map(|table| (region, table))
}

/// The URL of the queue that an ARN names; none if it is no ARN. "Amazon SQS queue and message identifiers", read 2026-11.
pub fn arn_of_queue(text: &str) -> Option<String> {
    let rest = text.strip_prefix("arn:")?;
    let parts: Vec<&str> = rest.split(':').collect();
    Some(match parts[..] {
        [partition, "sqs", region, account, name] => {
            let end = if partition == "aws-cn" { ".cn" } else { "" };
            format!("https://sqs.{region}.amazonaws.com{end}/{account}/{name}")
        }
        _ => "https://sqs.REGION.amazonaws.com/ACCOUNT/NAME".to_owned(),
    })
}

/// The host of a Service Bus namespace, in small letters, from what Azure itself prints of it: the host, `serviceBusEndpoint`
/// (`https://NAME.servicebus.windows.net:443/`), and the `sb://` of connection strings; with AMQP's port too.
///
/// # Errors
/// Anything else.
pub fn namespace(text: &str) -> Result<String, String> {
    let refused = |why: &str| Err(format!("found {text:?}{why}; allowed is NAME.servicebus.windows.net"));
    if text.contains(';') {
        return Err(
            "found a connection string; allowed is NAME.servicebus.windows.net, or service_bus_connection_string"
                .to_owned(),
        );
    }
    let (scheme, rest) = text.split_once("://").map_or((None, text), |(scheme, rest)| (Some(scheme), rest));
    if scheme.is_some_and(|scheme| !["https", "sb", "amqps"].contains(&scheme.to_ascii_lowercase().as_str())) {
        return refused(", with a scheme that is not https, sb or amqps");
    }
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let host = rest.split_once(':').map_or(rest, |(host, _)| host);
    if rest.split_once(':').is_some_and(|(_, port)| !["443", "5671"].contains(&port)) {
        return refused(", with a port that is neither 443 nor 5671");
    }
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    let is_label = |label: &str| {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
        !label.is_empty()
            && label.len() <= 63
            && label.chars().all(plain)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let named = host.contains('.') && host.split('.').all(is_label) && host.parse::<std::net::IpAddr>().is_err();
    if named { Ok(host) } else { refused("") }
}

/// A role of IAM: `arn:PARTITION:iam::ACCOUNT:role/NAME` ("IAM identifiers", read 2026-11).
///
/// # Errors
/// Anything else.
pub fn role_arn(arn: &str) -> Result<(), String> {
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    let is_account = |text: &str| text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit());
    let named = |text: &str| {
        text.strip_prefix("role/").is_some_and(|name| {
            !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "+=,.@_-/".contains(c))
        })
    };
    match parts[..] {
        ["arn", partition, "iam", "", account, name]
            if partition.starts_with("aws") && is_account(account) && named(name) =>
        {
            Ok(())
        }
        _ => Err(format!("found {arn:?}; allowed is the ARN of a role")),
    }
}

/// Whom a token is for: a text in ASCII, without blanks.
///
/// # Errors
/// Anything else, and what is asked of Entra ID instead.
pub fn audience(text: &str) -> Result<(), String> {
    if text.ends_with("/.default") {
        return Err(format!("found the scope {text:?}; allowed is the audience, without /.default"));
    }
    if text.chars().any(|c| c.is_whitespace() || !c.is_ascii()) {
        return Err(format!("found {text:?}; allowed is an audience in ASCII, without blanks"));
    }
    Ok(())
}

/// A queue of Service Bus: up to 260 letters, digits, `.`, `-`, `_` and `/` ("Naming rules for Azure resources",
/// Microsoft.ServiceBus, read 2026-11), and no dead-letter queue of the broker's.
///
/// # Errors
/// Anything else.
pub fn service_bus_queue(name: &str) -> Result<(), String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || ".-_/".contains(c);
    let ends = |c: char| c.is_ascii_alphanumeric();
    if (1..=260).contains(&name.len()) && name.chars().all(plain) && name.starts_with(ends) && name.ends_with(ends) {
        return Ok(());
    }
    Err(format!(
        "found {name:?}; allowed is a queue's name: letters, digits, `.`, `-`, `_` and `/`, with a letter or a digit at both ends"
    ))
}

/// A database or a container of Cosmos DB: up to 255 characters without `/`, `\`, `#` and `?` ("Databases, containers, and
/// items", read 2026-11), and no space at the end.
///
/// # Errors
/// Anything else.
pub fn cosmos(name: &str) -> Result<(), String> {
    let refused = |c: char| c.is_control() || "/\\#?".contains(c);
    if (1..=255).contains(&name.chars().count()) && !name.contains(refused) && name.trim() == name {
        return Ok(());
    }
    Err(format!("found {name:?}; allowed is a name in Cosmos DB: 1 to 255 characters without `/`, `\\`, `#` and `?`"))
}

/// An account key of Cosmos DB, which is base64.
///
/// # Errors
/// Anything else; without the key.
pub fn cosmos_key(key: &str) -> Result<(), &'static str> {
    let read = STANDARD.decode(key).is_ok_and(|bytes| !bytes.is_empty());
    read.then_some(()).ok_or("found no base64; allowed is the account's key, as the portal shows it")
}

/// The address of an SQS queue without anything behind the name.
///
/// # Errors
/// A query, a fragment, a slash at the end, or an escape in the name.
pub fn queue_url(url: &Url) -> Result<(), &'static str> {
    let bare = url.query().is_none() && url.fragment().is_none() && !url.path().ends_with('/');
    if !bare {
        return Err("something stands behind the queue's name: it should end with /ACCOUNT/NAME");
    }
    if url.path().contains('%') {
        return Err("no name of an SQS queue has an escape: letters, digits, `-` and `_`");
    }
    Ok(())
}

/// The queue of a site in `region` at `url`, in one spelling for all its addresses.
pub fn queue_place(url: &Url, region: &str) -> String {
    let identity = QueueIdentity::place(url, region).filter(|_| !crate::endpoint::is_loopback(url));
    identity.unwrap_or_else(|| format!("{}{}", endpoint_place(url), url.path()))
}

/// An endpoint in one spelling: this machine's name is its address.
pub fn endpoint_place(url: &Url) -> String {
    let host = match url.host() {
        Some(Host::Domain("localhost")) => "127.0.0.1".to_owned(),
        other => other.map(|host| host.to_string()).unwrap_or_default().trim_end_matches('.').to_owned(),
    };
    format!("{host}:{}", url.port_or_known_default().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_service_takes_as_a_name_is_refused() {
        for good in ["bridge-records", "a.b_c", "arn:aws:dynamodb:us-east-1:123456789012:table/records"] {
            assert_eq!(table(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "ab",
            "a b c",
            "tab/le",
            "arn:",
            "arn:aws:dynamodb:us-east-1:123456789012:t",
            "arn:aws:sqs:us-east-1:123456789012:t",
        ] {
            assert!(table(bad).is_err(), "{bad:?}");
        }
        for good in ["q", "team/orders", "Bridge-Events"] {
            assert_eq!(service_bus_queue(good), Ok(()), "{good}");
        }
        for bad in ["", "q/", "/q", "q/$DeadLetterQueue", "q q", "q?"] {
            assert!(service_bus_queue(bad).is_err(), "{bad:?}");
        }
        for bad in ["", "a/b", "a#", "a?", " a", "a\n"] {
            assert!(cosmos(bad).is_err(), "{bad:?}");
        }
        assert_eq!(cosmos("records of orders"), Ok(()));
    }

    #[test]
    fn a_namespace_is_read_however_azure_prints_it() {
        for good in [
            "example.servicebus.windows.net",
            "https://Example.servicebus.windows.net:443/",
            "sb://example.servicebus.windows.net/",
            "example.servicebus.windows.net:5671",
            "EXAMPLE.servicebus.windows.net.",
        ] {
            assert_eq!(namespace(good), Ok("example.servicebus.windows.net".to_owned()), "{good}");
        }
        for bad in [
            "",
            "example",
            "http://example.servicebus.windows.net",
            "example.net:80",
            "10.0.0.1",
            "a b.net",
            "-a.net",
            "a..net",
            "a.net/q",
        ] {
            assert!(namespace(bad).unwrap_err().contains("NAME.servicebus.windows.net"), "{bad:?}");
        }
        let secret = namespace("Endpoint=sb://a.net/;SharedAccessKey=hush").unwrap_err();
        assert!(!secret.contains("hush"), "{secret}");
    }

    #[test]
    fn an_arn_tells_its_url() {
        let url = |arn: &str| arn_of_queue(arn);
        assert_eq!(
            url("arn:aws:sqs:us-east-1:123456789012:q").as_deref(),
            Some("https://sqs.us-east-1.amazonaws.com/123456789012/q")
        );
        assert_eq!(url("https://sqs.us-east-1.amazonaws.com/123456789012/q"), None);
    }

    #[test]
    fn one_queue_has_one_place_however_it_is_spelt() {
        let place = |url: &str| queue_place(&url.parse().unwrap(), "eu-west-1");
        let one = place("https://sqs.eu-west-1.amazonaws.com/123456789012/q");
        for same in [
            "https://SQS.eu-west-1.amazonaws.com:443/123456789012/q",
            "https://eu-west-1.queue.amazonaws.com/123456789012/q",
        ] {
            assert_eq!(place(same), one, "{same}");
        }
        for other in
            ["https://sqs.eu-west-1.amazonaws.com/123456789012/Q", "https://sqs.eu-west-1.amazonaws.com/123456789013/q"]
        {
            assert_ne!(place(other), one, "{other}");
        }
        assert_eq!(place("http://localhost:9324/000000000000/q"), place("http://127.0.0.1:9324/000000000000/q"));
        assert_ne!(place("http://127.0.0.1:9325/000000000000/q"), place("http://127.0.0.1:9324/000000000000/q"));
    }

    #[test]
    fn a_key_is_base64() {
        assert_eq!(cosmos_key("c2VjcmV0"), Ok(()));
        for bad in ["", "hush!", "c2VjcmV0\n"] {
            assert!(cosmos_key(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn nothing_stands_behind_a_queues_name() {
        for bad in ["https://h/1/q/", "https://h/1/q#a", "https://h/1/q?x=1", "https://h/1/bridge%2Devents"] {
            assert!(queue_url(&bad.parse().unwrap()).is_err(), "{bad}");
        }
        assert_eq!(queue_url(&"https://h/1/q".parse().unwrap()), Ok(()));
    }
}
