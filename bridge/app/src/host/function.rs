//! The host for Azure Functions: a custom handler that the Functions host posts each message to, and the ticks of a
//! timer. `docs/hosts.md` states the contract.

use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use anyhow::Context;
use axum::{
    Json, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, State},
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use bridge_adapters::azure::function_payload::{DONE, parse};
use bridge_core::{
    invocation::{
        Halted,
        whole::{Budget, Failed, work_off},
    },
    port::Reschedule,
};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::{send_one_heartbeat, tell};
use crate::{assemble::Worksite, config::FunctionConfig};

/// Bytes of an invocation. Ours: what Service Bus carries by default (1 MiB, and 100 MiB only in large-message queues), twice over
/// in base64, with room. A longer one is refused, and goes to the queue's own dead letters in the end.
const PAYLOAD_BYTES_MAX: usize = 16 * 1024 * 1024;

/// One try of what was handed over. Ours: longer than any single request's own limits add up to.
const ATTEMPT: Duration = Duration::from_secs(45);

struct Function {
    worksite: Worksite,
    copies: Arc<dyn Reschedule>,
    budget: Budget,
    /// The longest that an answer waits for telemetry.
    flush: Duration,
}

/// Serves invocations on `port` of loopback until the process is killed, as the host never says goodbye.
pub(crate) async fn serve(
    worksite: Worksite,
    config: FunctionConfig,
    flush: Duration,
    port: u16,
) -> anyhow::Result<()> {
    let copies = worksite
        .copies
        .clone()
        .context("an Azure Function works for a site of Azure: set BRIDGE_SITE to one, as in azure:westeurope")?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await;
    let listener = listener.with_context(|| format!("port {port}, which the Functions host named, is not free"))?;
    tracing::info!(site = %worksite.worker.rules.site, queue = %worksite.queue, port, "serving as an Azure Function");
    let budget = Budget { attempt: ATTEMPT, hold: config.hold, halt: config.halt };
    axum::serve(listener, router(Function { worksite, copies, budget, flush })).await?;
    anyhow::bail!("the server ended by itself")
}

fn router(function: Function) -> Router {
    Router::new()
        .route("/", get(|| async { "bridge" }))
        .route("/health", get(health))
        .route("/Replicate", post(replicate))
        .route("/Heartbeat", post(beat))
        .fallback(|| async { refused(StatusCode::NOT_FOUND, "this handler has the functions Replicate and Heartbeat") })
        .layer(DefaultBodyLimit::max(PAYLOAD_BYTES_MAX))
        .with_state(Arc::new(function))
}

async fn replicate(State(function): State<Arc<Function>>, payload: Bytes) -> Response {
    let deliveries = match parse(&payload) {
        Ok(deliveries) => deliveries,
        Err(detail) => return refused(StatusCode::BAD_REQUEST, &detail),
    };
    drop(payload);
    let Worksite { worker, queue, dead_letters, .. } = &function.worksite;
    let worked = work_off(worker, &**queue, &*function.copies, &**dead_letters, deliveries, function.budget);
    let answer = match worked.await {
        Ok(settled) => {
            tell(&function.worksite, settled.iter().map(|(delivery, verdict)| (delivery, verdict))).await;
            function.worksite.telemetry.halted(false);
            done()
        }
        Err(Failed::Halted(Halted { detail })) => {
            function.worksite.telemetry.halted(true);
            refused(StatusCode::INTERNAL_SERVER_ERROR, &format!("halted: {detail}; see runbooks/halted.md"))
        }
        Err(Failed::NotRescheduled { detail }) => {
            refused(StatusCode::INTERNAL_SERVER_ERROR, &format!("not even a copy could be scheduled: {detail}"))
        }
    };
    // The host may end the process whenever it has no invocation, and says nothing before.
    function.worksite.telemetry.flush(function.flush).await;
    answer
}

async fn beat(State(function): State<Arc<Function>>) -> Response {
    match send_one_heartbeat(&function.worksite).await {
        Ok(()) => done(),
        Err(error) => refused(StatusCode::INTERNAL_SERVER_ERROR, &format!("no heartbeat was sent: {}", error.chain())),
    }
}

async fn health(State(function): State<Arc<Function>>) -> Json<Value> {
    let worker = &function.worksite.worker;
    let peers: serde_json::Map<String, Value> = worker
        .peers
        .iter()
        .map(|peer| (peer.site.to_string(), json!({ "circuit": peer.circuit().as_str() })))
        .collect();
    Json(json!({ "site": worker.rules.site.as_str(), "version": env!("CARGO_PKG_VERSION"), "peers": peers }))
}

fn done() -> Response {
    ([(CONTENT_TYPE, "application/json")], DONE).into_response()
}

/// The host throws the answer of a failed invocation away, so it is logged as well.
fn refused(status: StatusCode, detail: &str) -> Response {
    tracing::error!(status = status.as_u16(), detail, "the invocation failed: its messages come again");
    (status, Json(json!({ "error": detail }))).into_response()
}
