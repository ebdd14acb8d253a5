//! The in-memory gateway of `azure_data_cosmos_driver`, called without a socket.
//!
//! Its feature carries no promise of stability, which is why the crate is pinned and all use of it is in this file. With
//! `RUST_BACKTRACE` set it walks the stack for every header that a request does not have, a third of its time;
//! `RUST_LIB_BACKTRACE=0` spares that.

use std::io;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;

use axum::body::Bytes;
use axum::http::StatusCode;
use axum::http::request::Parts;
use azure_core::http::{Method, Request};
use azure_data_cosmos_driver::binary_json;
use azure_data_cosmos_driver::in_memory_emulator::{
    ConsistencyLevel, ContainerConfig, InMemoryEmulatorHttpClient, VirtualAccountConfig, VirtualRegion, WriteMode,
};
use azure_data_cosmos_driver::models::PartitionKeyDefinition;
use azure_data_cosmos_driver::options::Region;
use futures_util::FutureExt;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use url::Url;

use super::answer::Answer;

/// Physical partitions of a container that localcloud makes. For each call on one item the engine counts all that are in its partition,
/// holding up the others: with its own 4 partitions and 200,000 items, a write takes 5 ms.
const PARTITIONS: u32 = 32;

pub(super) struct Gateway {
    engine: InMemoryEmulatorHttpClient,
    base: Url,
}

impl Gateway {
    /// An account that takes writes in `region`, and in a second one if there is one. Both have one address, whose calls go to the first.
    pub(super) fn new(address: SocketAddr, region: &str, second: Option<&str>) -> io::Result<Self> {
        let base = Url::parse(&format!("http://{address}/")).map_err(io::Error::other)?;
        let regions = [region]
            .into_iter()
            .chain(second)
            .map(|name| VirtualRegion::new(Region::new(name.to_owned()).display_name(), base.clone()));
        let mode = if second.is_some() { WriteMode::Multi } else { WriteMode::Single };
        let account = VirtualAccountConfig::new(regions.collect())
            .map_err(io::Error::other)?
            .with_write_mode(mode)
            .with_account_id("localcloud")
            .with_consistency(ConsistencyLevel::Session);
        let engine = InMemoryEmulatorHttpClient::try_new(account).map_err(io::Error::other)?;
        Ok(Self { engine, base })
    }

    pub(super) fn base(&self) -> &Url {
        &self.base
    }

    /// Makes a container with these physical partitions, which no request can ask for; false if there is one of that name.
    ///
    /// # Errors
    /// There is no such database.
    pub(super) async fn create_container(&self, database: &str, name: &str, key_path: &str) -> Result<bool, String> {
        let get = |path| Message { method: Method::Get, path, headers: Vec::new(), body: Bytes::new() };
        let path = format!("/dbs/{}", encode(database));
        let found = self.call(&get(path.clone())).await;
        if !found.status.is_success() {
            return Err(found.text());
        }
        if self.call(&get(format!("{path}/colls/{}", encode(name)))).await.status.is_success() {
            return Ok(false);
        }
        let key = PartitionKeyDefinition::new(vec![key_path.to_owned().into()]);
        let config = ContainerConfig::new().with_partition_count(PARTITIONS);
        self.engine.store().create_container_with_config(database, name, key, config);
        Ok(true)
    }

    pub(super) async fn call(&self, message: &Message) -> Answer {
        let mut url = self.base.clone();
        url.set_path(&message.path);
        let mut request = Request::new(url, message.method);
        for (name, value) in &message.headers {
            request.headers_mut().insert(name.clone(), value.clone());
        }
        if !message.body.is_empty() {
            request.set_body(message.body.clone());
        }
        // A panic of the engine must not take along the other calls of an HTTP/2 connection.
        let call = AssertUnwindSafe(self.engine.execute_request(&request)).catch_unwind();
        let Ok(outcome) = call.await else { return Answer::internal() };
        let raw = match outcome {
            Ok(response) => match response.try_into_raw_response().await {
                Ok(raw) => raw,
                Err(_) => return Answer::internal(),
            },
            Err(error) => return Answer::bad_request(&error.to_string()),
        };
        let headers = raw.headers().iter().map(|(name, value)| (name.as_str().to_owned(), value.as_str().to_owned()));
        Answer {
            status: StatusCode::from_u16(raw.status().into()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            headers: headers.collect(),
            body: raw.body().as_ref().to_vec(),
        }
    }
}

/// A request as the engine takes it.
pub(super) struct Message {
    pub(super) method: Method,
    /// Percent-encoded as it came, without the slash that some clients put at its end: the service takes both, the engine
    /// only one.
    pub(super) path: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Bytes,
}

impl Message {
    /// `None` if the method is not one of HTTP's common ones.
    pub(super) fn of(head: &Parts, body: &Bytes) -> Option<Self> {
        let method: Method = head.method.as_str().parse().ok()?;
        let path = match head.uri.path().trim_end_matches('/') {
            "" => "/",
            path => path,
        };
        let headers = head
            .headers
            .iter()
            .filter_map(|(name, value)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned())))
            .collect();
        Some(Self { method, path: path.to_owned(), headers, body: body.clone() })
    }

    pub(super) fn with_body(method: Method, path: &str, body: &Value) -> Self {
        let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        Self { method, path: path.to_owned(), headers, body: body.to_string().into() }
    }

    /// A plain read of the item that `message` is about.
    pub(super) fn read(message: &Self) -> Self {
        Self { method: Method::Get, path: message.path.clone(), headers: message.key_header(), body: Bytes::new() }
    }

    pub(super) fn delete(path: String, partition_key: &str) -> Self {
        let headers = vec![(PARTITION_KEY.to_owned(), partition_key.to_owned())];
        Self { method: Method::Delete, path, headers, body: Bytes::new() }
    }

    /// A query in the partition that `message` is about.
    pub(super) fn query(message: &Self, container_path: &str, query: &Value) -> Self {
        let mut headers = message.key_header();
        headers.push(("x-ms-documentdb-isquery".to_owned(), "True".to_owned()));
        headers.push(("content-type".to_owned(), "application/query+json".to_owned()));
        Self { method: Method::Post, path: format!("{container_path}/docs"), headers, body: query.to_string().into() }
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn is_set(&self, name: &str) -> bool {
        self.header(name).is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    pub(super) fn partition_key(&self) -> Option<&str> {
        self.header(PARTITION_KEY)
    }

    fn key_header(&self) -> Vec<(String, String)> {
        self.partition_key().map(|key| (PARTITION_KEY.to_owned(), key.to_owned())).into_iter().collect()
    }
}

const PARTITION_KEY: &str = "x-ms-documentdb-partitionkey";

/// Item bodies come as text, or in Cosmos's binary form of JSON, which Microsoft's Rust client uses by default.
pub(super) fn parse(body: &[u8]) -> Option<Value> {
    if binary_json::is_binary(body) { binary_json::decode(body).ok() } else { serde_json::from_slice(body).ok() }
}

/// A name as one segment of a path.
pub(super) fn encode(name: &str) -> String {
    utf8_percent_encode(name, NON_ALPHANUMERIC).to_string()
}
