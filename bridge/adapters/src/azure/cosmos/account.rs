//! What a Cosmos DB account says of its regions: "Get Database Account", which the SDK asks for and keeps to itself.

use std::{collections::BTreeSet, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use bridge_core::{
    failure::{FailureKind, PortError},
    port::Clock,
};
use hmac::{Hmac, Mac};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Url, header::AUTHORIZATION};
use serde::Deserialize;
use sha2::Sha256;

use crate::{
    azure::{client::CosmosCredential, service_bus::identity_failure, tls},
    clock::SystemClock,
    failure::Failure,
    look::LOOK,
};

/// "Common Azure Cosmos DB REST request headers", read 2026-11.
const VERSION: &str = "2020-07-15";

/// What an identity's token must be good for, as the SDK has it.
const SCOPE: &str = "https://cosmos.azure.com/.default";

/// To reach the account. Ours, as for every other service.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Characters of the service's own words that are kept.
const DETAIL_CHARS_MAX: usize = 512;

/// "Get Database Account" in the Azure Cosmos DB REST API, read 2026-11.
#[derive(Debug, Deserialize)]
struct Account {
    #[serde(rename = "writableLocations")]
    writable: Vec<Location>,
}

#[derive(Debug, Deserialize)]
struct Location {
    name: String,
}

/// The regions in which the account takes writes.
pub(crate) async fn write_regions(
    at: &str,
    endpoint: &Url,
    credential: &CosmosCredential,
) -> Result<BTreeSet<String>, PortError> {
    let text = read(endpoint, credential).await.map_err(|failure| failure.at(at, LOOK))?;
    regions(&text).map_err(|error| Failure::unavailable(error).at(at, LOOK))
}

/// The names in an account's own description.
pub(crate) fn regions(text: &str) -> serde_json::Result<BTreeSet<String>> {
    let account: Account = serde_json::from_str(text)?;
    Ok(account.writable.into_iter().map(|location| location.name).collect())
}

async fn read(endpoint: &Url, credential: &CosmosCredential) -> Result<String, Failure> {
    let failed = |error: reqwest::Error| Failure::unavailable(error.without_url());
    let builder = tls::http_client(endpoint).map_err(Failure::unavailable)?;
    let builder = builder.connect_timeout(CONNECT_TIMEOUT);
    let date = SystemClock.now().format("%a, %d %b %Y %T GMT").to_string();
    let request = builder.build().map_err(failed)?.get(endpoint.clone());
    let request = request.header("x-ms-date", &date).header("x-ms-version", VERSION);
    let request = request.header(AUTHORIZATION, authorization(credential, &date).await?);
    let answer = request.send().await.map_err(failed)?;
    let status = answer.status();
    let text = answer.text().await.map_err(failed)?;
    if status.is_success() {
        return Ok(text);
    }
    let detail: String = format!("HTTP {} {text}", status.as_u16()).chars().take(DETAIL_CHARS_MAX).collect();
    Err(Failure::new(tls::refusal(status), detail))
}

async fn authorization(credential: &CosmosCredential, date: &str) -> Result<String, Failure> {
    let value = match credential {
        CosmosCredential::Key(key) => {
            let no_key = |_| Failure::new(FailureKind::Unauthorized, "the key is no Base64");
            let key = STANDARD.decode(key).map_err(no_key)?;
            format!("type=master&ver=1.0&sig={}", sign(&key, date))
        }
        CosmosCredential::Token(identity) => {
            let token = identity.get_token(&[SCOPE], None).await.map_err(identity_failure)?;
            format!("type=aad&ver=1.0&sig={}", token.token.secret())
        }
    };
    Ok(utf8_percent_encode(&value, NON_ALPHANUMERIC).to_string())
}

/// "Access control in the Azure Cosmos DB REST API", read 2026-11: verb, kind, link and date, each on a line; an account has neither kind nor
/// link.
fn sign(key: &[u8], date: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(format!("get\n\n\n{}\n\n", date.to_lowercase()).as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_names_the_regions_that_take_writes() {
        let account = r#"{"id":"a","readableLocations":[{"name":"UK South","databaseAccountEndpoint":"https://a"}],
            "writableLocations":[{"name":"West Europe"},{"name":"North Europe"}],"enableMultipleWriteLocations":true}"#;
        assert_eq!(regions(account).unwrap().into_iter().collect::<Vec<_>>(), ["North Europe", "West Europe"]);
        for strange in ["", "[]", "{}", r#"{"writableLocations":[{}]}"#] {
            assert!(regions(strange).is_err(), "{strange}");
        }
    }

    /// Computed with Python's `hmac`.
    #[test]
    fn a_signature_is_what_another_implementation_computes() {
        assert_eq!(sign(b"key", "Mon, 30 Nov 2026 16:30:00 GMT"), "q/nCbwvA042dNRS+2AIZDMaupdwmlUutvHOOrUP8oLs=");
    }
}
