//! DynamoDB on loopback: the `dynoxide-rs` engine in memory, behind a door of our own.
//!
//! The engine brings its own HTTP server, but nothing can be put around the calls of that one; so the door is here, where faults are
//! judged, the access key is checked, and a throttled answer is made. Expressions, limits, errors and types are the
//! engine's. Signatures are not verified: the access key must be the configured one, its signature may be any.

mod answer;
mod credential;
mod dispatch;
mod expiry;
mod replicas;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::Method;
use axum::http::request::Parts;
use axum::response::Response;
use dynoxide::Database;
use serde_json::{Value, json};

use crate::fault::{Faults, Service, ServiceFaults};
use crate::http::{self, Call, Connection, Server};
use crate::usage::{Gauge, Usage};
use answer::Failed;
use credential::Credential;
use expiry::Expiry;
use replicas::{Replicas, Update};

/// Largest request body that is read.
///
/// # Source
/// `BatchWriteItem` and `BatchGetItem` move up to 16 MB; DynamoDB API reference, read 2026-11.
const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;

pub struct DynamodbOptions {
    /// Loopback; port 0 lets the system choose.
    pub address: SocketAddr,
    pub region: String,
    pub access_key_id: String,
    pub faults: Arc<Faults>,
}

/// A running DynamoDB; its tables end with it.
pub struct Dynamodb {
    server: Server,
    app: Arc<App>,
    /// Dropped last: removes expired items until then.
    _sweeper: expiry::Sweeper,
}

struct App {
    database: Database,
    credential: Credential,
    faults: ServiceFaults,
    expiry: Arc<Expiry>,
    replicas: Replicas,
}

impl Dynamodb {
    /// # Errors
    /// The address is not loopback or in use, or the engine could not open its memory.
    pub async fn start(options: DynamodbOptions) -> io::Result<Self> {
        let DynamodbOptions { address, region, access_key_id, faults } = options;
        let faults = faults.service(Service::Dynamodb, &region);
        let clock = Arc::new(expiry::ServiceClock(faults.clone()));
        let database = Database::memory_with_clock(clock).map_err(io::Error::other)?;
        let expiry = Arc::new(Expiry::new(faults.clone()));
        let replicas = Replicas::new(&region);
        let credential = Credential { access_key_id, region };
        let app = Arc::new(App { database: database.clone(), credential, faults: faults.clone(), expiry, replicas });
        let router = Router::new().fallback(answer_call).with_state(Arc::clone(&app));
        let server = Server::start(address, faults, router).await?;
        let sweeper = expiry::Sweeper::start(database, Arc::clone(&app.expiry));
        Ok(Self { server, app, _sweeper: sweeper })
    }

    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// As clients take it: `http://127.0.0.1:PORT`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address())
    }

    /// Creates an on-demand table with one string partition key and, if named, a TTL attribute.
    ///
    /// # Errors
    /// The engine's own words: a name that breaks the rules, or one that is taken.
    pub fn create_table(&self, name: &str, key: &str, ttl_attribute: Option<&str>) -> Result<(), String> {
        let table = json!({
            "TableName": name,
            "KeySchema": [{ "AttributeName": key, "KeyType": "HASH" }],
            "AttributeDefinitions": [{ "AttributeName": key, "AttributeType": "S" }],
            "BillingMode": "PAY_PER_REQUEST",
        });
        self.run("CreateTable", &table)?;
        let Some(attribute) = ttl_attribute else { return Ok(()) };
        let ttl = json!({
            "TableName": name,
            "TimeToLiveSpecification": { "AttributeName": attribute, "Enabled": true },
        });
        self.run("UpdateTimeToLive", &ttl)
    }

    pub fn gauge(&self) -> Gauge {
        let connections = self.server.connections();
        Box::new(move || Usage { connections: connections(), ..Usage::default() })
    }

    pub async fn stop(self) {
        self.server.stop().await;
    }

    fn run(&self, operation: &str, request: &serde_json::Value) -> Result<(), String> {
        let body = request.to_string();
        self.app.run(operation, body.as_bytes()).map(drop).map_err(|failed| failed.message())
    }
}

impl App {
    fn run(&self, operation: &str, body: &[u8]) -> Result<Vec<u8>, Failed> {
        if let Some(update) = Update::of(body).filter(|_| operation == "UpdateTable") {
            let mut table = self.table(json!({ "TableName": update.table_name }).to_string().as_bytes())?;
            self.replicas.change(&update)?;
            self.replicas.describe(&mut table);
            return Ok(json!({ "TableDescription": table }).to_string().into_bytes());
        }
        if operation == "DescribeTable" {
            let mut table = self.table(body)?;
            self.replicas.describe(&mut table);
            return Ok(json!({ "Table": table }).to_string().into_bytes());
        }
        let answer = dispatch::run(&self.database, operation, body)?;
        self.expiry.note(operation, body);
        if operation == "DeleteTable" {
            self.replicas.forget(name(body).as_deref().unwrap_or_default());
        }
        Ok(answer)
    }

    /// A table as the engine describes it.
    fn table(&self, body: &[u8]) -> Result<Value, Failed> {
        let answer = dispatch::run(&self.database, "DescribeTable", body)?;
        let mut answer: Value = serde_json::from_slice(&answer).map_err(|_| Failed::internal())?;
        Ok(answer["Table"].take())
    }
}

/// The table that a request names.
fn name(body: &[u8]) -> Option<String> {
    let request: Value = serde_json::from_slice(body).ok()?;
    request["TableName"].as_str().map(str::to_owned)
}

async fn answer_call(State(app): State<Arc<App>>, connection: Connection, request: Request) -> Response {
    let (head, body) = request.into_parts();
    match head.method {
        Method::POST if head.uri.path() == "/" => {}
        Method::GET if head.uri.path() == "/" => {
            let call = Call { faults: &app.faults, operation: "health", connection: &connection };
            let refuse = |refusal| Failed::refusal(refusal, "health").into_response();
            return http::suffer(call, refuse, async { answer::healthy(&app.credential.region) }).await;
        }
        _ => return answer::not_found(),
    }
    let body = match http::read_body(&head.headers, body, BODY_BYTES_MAX).await {
        Ok(body) => body,
        Err(error) => return Failed::body(error).into_response(),
    };
    let operation = dispatch::operation(&head.headers);
    let name = operation.unwrap_or("unknown");
    let call = Call { faults: &app.faults, operation: name, connection: &connection };
    http::suffer(call, |refusal| Failed::refusal(refusal, name).into_response(), effect(&app, &head, operation, body))
        .await
}

async fn effect(app: &Arc<App>, head: &Parts, operation: Option<&'static str>, body: Bytes) -> Response {
    let Some(operation) = operation else { return Failed::unknown_operation().into_response() };
    if let Err(failed) = app.credential.check(head, app.faults.now()) {
        return failed.into_response();
    }
    let result = if dispatch::is_long(operation) {
        let app = Arc::clone(app);
        // The engine computes on the calling thread; a scan's page would hold up everything else that thread serves.
        tokio::task::spawn_blocking(move || app.run(operation, &body)).await.unwrap_or_else(|_| Err(Failed::internal()))
    } else {
        app.run(operation, &body)
    };
    match result {
        Ok(json) => answer::success(json),
        Err(failed) => failed.into_response(),
    }
}
