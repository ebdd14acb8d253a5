//! Cosmos DB on loopback: Microsoft's own in-memory gateway, taken from the published driver, behind a door of our own.
//!
//! The gateway knows items, etags, queries, batches, sessions and charges. The door adds what it lacks: a port, master-key and
//! token checks, time to live, the condition of a patch, the rules for ids and numbers, and faults. Not served: stored
//! procedures, triggers and functions (501), custom conflict resolution, TLS. Known lies: an upsert ignores If-None-Match,
//! and a container's changed default time to live counts only for items written after the change.

mod answer;
mod condition;
mod credential;
mod expiry;
mod gateway;
mod item;
mod literals;
mod operation;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use azure_core::http::Method;
use serde_json::json;
use tokio::sync::Mutex;

use crate::fault::{Faults, Service, ServiceFaults};
use crate::http::{self, BodyError, Call, Connection, Server};
use crate::usage::{Gauge, Usage};
use answer::Answer;
use credential::{Caller, MasterKey};
use expiry::Expiry;
use gateway::{Gateway, Message};
use operation::{Operation, Target};

/// Largest request body that is read: above the service's limits for items and batches (2 MB), which the gateway itself
/// enforces with the service's answer.
const BODY_BYTES_MAX: usize = 4 * 1024 * 1024;

pub struct CosmosOptions {
    /// Loopback; port 0 lets the system choose.
    pub address: SocketAddr,
    /// Account key, in Base64 as the portal shows it.
    pub key: String,
    /// Where the account claims to be, as `westeurope`; clients are told its display name.
    pub region: String,
    /// A second region that takes writes, if the account is to have one.
    pub second_write_region: Option<String>,
    pub faults: Arc<Faults>,
}

/// A running Cosmos account; its databases end with it.
pub struct Cosmos {
    server: Server,
    app: Arc<App>,
}

struct App {
    gateway: Gateway,
    key: MasterKey,
    faults: ServiceFaults,
    expiry: Expiry,
    /// Held over a write and the note of its time to live, and over a patch's condition and the patch: without it, notes
    /// could come in another order than the writes they are about.
    writing: Mutex<()>,
}

impl Cosmos {
    /// # Errors
    /// The address is not loopback or in use, or the key is not Base64.
    pub async fn start(options: CosmosOptions) -> io::Result<Self> {
        let CosmosOptions { address, key, region, second_write_region, faults } = options;
        let key = MasterKey::new(&key)?;
        // The account document tells clients its own address, so the port must be known before the gateway is made.
        let listener = http::bind(address).await?;
        let gateway = Gateway::new(listener.local_addr()?, &region, second_write_region.as_deref())?;
        let faults = faults.service(Service::Cosmos, &region);
        let expiry = Expiry::new(faults.clone());
        let app = Arc::new(App { gateway, key, faults: faults.clone(), expiry, writing: Mutex::default() });
        let router = Router::new().fallback(answer_call).with_state(Arc::clone(&app));
        let server = Server::on(listener, faults, router)?;
        Ok(Self { server, app })
    }

    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// As clients take it: `http://127.0.0.1:PORT/`.
    pub fn endpoint(&self) -> String {
        self.app.gateway.base().to_string()
    }

    /// Creates a database, or leaves the one that is there.
    ///
    /// # Errors
    /// The gateway's own words.
    pub async fn create_database(&self, name: &str) -> Result<(), String> {
        self.run(Method::Post, "/dbs", &json!({ "id": name })).await
    }

    /// Creates a container with one partition key path (hash, version 2), or leaves the one that is there.
    ///
    /// # Units
    /// `default_ttl`: seconds that an item without its own `ttl` lives; -1 lets items have one, `None` ignores theirs.
    ///
    /// # Errors
    /// The gateway's own words.
    pub async fn create_container(
        &self,
        database: &str,
        name: &str,
        key_path: &str,
        default_ttl: Option<i64>,
    ) -> Result<(), String> {
        let key = json!({ "paths": [key_path], "kind": "Hash", "version": 2 });
        let mut properties = json!({ "id": name, "partitionKey": key });
        if let Some(default_ttl) = default_ttl {
            properties["defaultTtl"] = default_ttl.into();
        }
        if !self.app.gateway.create_container(database, name, key_path).await? {
            return Ok(());
        }
        let path = format!("/dbs/{}/colls/{}", gateway::encode(database), gateway::encode(name));
        self.run(Method::Put, &path, &properties).await
    }

    pub fn gauge(&self) -> Gauge {
        let connections = self.server.connections();
        Box::new(move || Usage { connections: connections(), ..Usage::default() })
    }

    pub async fn stop(self) {
        self.server.stop().await;
    }

    async fn run(&self, method: Method, path: &str, properties: &serde_json::Value) -> Result<(), String> {
        let message = Message::with_body(method, path, properties);
        let target = Target::of(&message);
        let answer = self.app.carry_out(&target, message).await;
        if answer.status.is_success() || answer.status == StatusCode::CONFLICT { Ok(()) } else { Err(answer.text()) }
    }
}

async fn answer_call(State(app): State<Arc<App>>, connection: Connection, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = match http::read_body(&head.headers, body, BODY_BYTES_MAX).await {
        Ok(body) => body,
        Err(BodyError::TooLarge { .. }) => return Answer::too_large().into_response(),
        Err(BodyError::Broken) => return Answer::bad_request("The request body ended early.").into_response(),
    };
    let Some(message) = Message::of(&head, &body) else { return Answer::method_not_allowed().into_response() };
    let target = Target::of(&message);
    let name = target.operation.name();
    let call = Call { faults: &app.faults, operation: name, connection: &connection };
    let refuse = |refusal| Answer::refusal(refusal, target.operation).into_response();
    http::suffer(call, refuse, async { app.answer(&target, message).await.into_response() }).await
}

impl App {
    async fn answer(&self, target: &Target, message: Message) -> Answer {
        let caller = match self.key.check(&message, self.faults.now()) {
            Ok(caller) => caller,
            Err(answer) => return answer,
        };
        if caller == Caller::Token && target.operation.is_management() {
            return Answer::not_for_tokens(&message);
        }
        self.remove_expired().await;
        self.carry_out(target, message).await
    }

    async fn carry_out(&self, target: &Target, mut message: Message) -> Answer {
        if !target.operation.is_write() {
            if matches!(target.operation, Operation::QueryItems | Operation::QueryPlan) {
                literals::rewrite(&mut message);
            }
            return self.gateway.call(&message).await;
        }
        let item = match item::prepare(target, &mut message) {
            Ok(item) => item,
            Err(answer) => return answer,
        };
        let _writing = self.writing.lock().await;
        if target.operation == Operation::PatchItem {
            match condition::check(&self.gateway, target, &mut message).await {
                Ok(()) => {}
                Err(answer) => return answer,
            }
        }
        let answer = self.gateway.call(&message).await.in_the_services_words();
        if answer.status.is_success() {
            self.note(target, &message, item).await;
        }
        answer
    }

    /// Notes when what was written expires.
    async fn note(&self, target: &Target, message: &Message, item: item::Prepared) {
        match target.operation {
            Operation::CreateContainer | Operation::ReplaceContainer => self.expiry.note_container(target, &item.body),
            Operation::DeleteContainer | Operation::DeleteDatabase => self.expiry.forget(target),
            Operation::CreateItem | Operation::UpsertItem | Operation::ReplaceItem => {
                self.expiry.note_item(target, message.partition_key(), &item.body);
            }
            Operation::DeleteItem => self.expiry.forget_item(target, message.partition_key()),
            // The engine knows what the item looks like now; asking is dear, and only patches need it.
            Operation::PatchItem if self.expiry.is_on(target) => {
                let current = self.gateway.call(&Message::read(message)).await;
                self.expiry.note_item(target, message.partition_key(), &current.json());
            }
            Operation::Batch => self.expiry.note_batch(target, message.partition_key(), &item.body),
            _ => {}
        }
    }

    /// Deletes what has expired before anybody looks: the service hides an expired item at once.
    async fn remove_expired(&self) {
        if !self.expiry.has_due() {
            return;
        }
        let _writing = self.writing.lock().await;
        while let Some(delete) = self.expiry.next_due() {
            let answer = self.gateway.call(&delete).await;
            if !answer.status.is_success() && answer.status != StatusCode::NOT_FOUND {
                tracing::warn!(status = %answer.status, "an expired item could not be removed");
            }
        }
    }
}
