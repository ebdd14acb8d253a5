//! The host for Azure Functions: a custom handler that the Functions host posts each message to, and the ticks of a
//! timer. `docs/hosts.md` states the contract.

use std::{
    net::Ipv4Addr,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context;
use axum::{
    Json, Router,
    body::{Body, Bytes, to_bytes},
    extract::State,
    http::{
        HeaderMap, StatusCode,
        header::{CONTENT_LENGTH, CONTENT_TYPE},
    },
    response::{IntoResponse, Response},
    routing::{get, post},
};
use bridge_adapters::azure::invocation::{DONE, parse};
use bridge_core::{
    halt::{Halt, Spot},
    invocation::whole::{Budget, Failed, work_off},
    port::Reschedule,
};
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    sync::{Semaphore, SemaphorePermit},
};

use super::{BRING_MAX, send_one_heartbeat, state, tell};
use crate::{
    assemble::Worksite,
    config::{Config, FunctionConfig},
    doctor::Diagnosis,
};

/// Bytes of an invocation. Ours: what Service Bus carries by default (1 MiB, and 100 MiB only in large-message queues), twice over
/// in base64, with room. A longer one is refused, and goes to the queue's own dead letters in the end.
const PAYLOAD_BYTES_MAX: usize = 16 * 1024 * 1024;

/// One try of what was handed over. Ours: longer than any single request's own limits add up to.
const ATTEMPT: Duration = Duration::from_secs(45);

struct Function {
    /// KiB of payloads that may still be taken in.
    room: Semaphore,
    room_kib: u32,
    worksite: Worksite,
    diagnosis: Diagnosis,
    copies: Arc<dyn Reschedule>,
    budget: Budget,
    /// The longest that an answer waits for telemetry.
    flush: Duration,
}

/// Serves invocations on `port` of loopback until the process is killed, as the host never says goodbye.
pub(crate) async fn serve(worksite: Worksite, diagnosis: Diagnosis, config: &Config, port: u16) -> anyhow::Result<()> {
    let copies = worksite
        .copies
        .clone()
        .context("an Azure Function works for a site of Azure: set BRIDGE_SITE to one, as in azure:westeurope")?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await;
    let listener = listener.with_context(|| format!("port {port}, which the Functions host named, is not free"))?;
    tracing::info!(site = %worksite.worker.rules.site, queue = %worksite.queue, port, "serving as an Azure Function");
    let FunctionConfig { hold, halt } = config.function;
    let budget = Budget { attempt: ATTEMPT, hold, halt };
    let room_kib = kib(config.inflight_bytes_max);
    let room = Semaphore::new(room_kib as usize);
    let function = Function { room, room_kib, worksite, diagnosis, copies, budget, flush: config.telemetry.flush };
    axum::serve(listener, router(function)).await?;
    anyhow::bail!("the server ended by itself")
}

fn router(function: Function) -> Router {
    Router::new()
        .route("/", get(|| async { "bridge" }))
        .route("/health", get(health))
        .route("/Replicate", post(replicate))
        .route("/Heartbeat", post(beat))
        .fallback(|| async { refused(StatusCode::NOT_FOUND, "this handler has the functions Replicate and Heartbeat") })
        .with_state(Arc::new(function))
}

/// Takes a payload in, once there is room for it; or says why not. The room is free again when the permit is dropped.
async fn take_in<'a>(
    function: &'a Function,
    headers: &HeaderMap,
    body: Body,
) -> Result<(SemaphorePermit<'a>, Bytes), (StatusCode, String)> {
    let said = headers.get(CONTENT_LENGTH).and_then(|text| text.to_str().ok()?.parse::<usize>().ok());
    let too_large = || {
        let said = said.map_or("over".to_owned(), |bytes| bytes.to_string());
        let detail = format!(
            "the payload has {said} bytes, and no more than {PAYLOAD_BYTES_MAX} are read: its message comes again until Service Bus \
             lays it aside; lower the queue's maximum message size"
        );
        (StatusCode::PAYLOAD_TOO_LARGE, detail)
    };
    if said.is_some_and(|bytes| bytes > PAYLOAD_BYTES_MAX) {
        return Err(too_large());
    }
    // Sizes first: calls wait in line rather than fill the memory. The host keeps the lock of a message whose call waits.
    let wanted = kib(said.unwrap_or(PAYLOAD_BYTES_MAX)).min(function.room_kib);
    let permit = function.room.acquire_many(wanted).await;
    let permit = permit.map_err(|error| (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    match to_bytes(body, PAYLOAD_BYTES_MAX).await {
        Ok(payload) => Ok((permit, payload)),
        Err(error) if error.to_string().contains("length limit") => Err(too_large()),
        Err(error) => Err((StatusCode::BAD_REQUEST, format!("the payload could not be read: {error}"))),
    }
}

/// KiB that hold so many bytes.
fn kib(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX)
}

async fn replicate(State(function): State<Arc<Function>>, headers: HeaderMap, body: Body) -> Response {
    let (_room, payload) = match take_in(&function, &headers, body).await {
        Ok(taken) => taken,
        Err((status, detail)) => return refused(status, &detail),
    };
    let deliveries = match parse(&payload) {
        Ok(deliveries) => deliveries,
        Err(detail) => return refused(StatusCode::BAD_REQUEST, &detail),
    };
    drop(payload);
    let Worksite { worker, queue, dead_letters, .. } = &function.worksite;
    let work = work_off(worker, &**queue, &*function.copies, &**dead_letters, deliveries, function.budget);
    let worked = function.diagnosis.beside(Instant::now() + ATTEMPT, work).await;
    tell(&function.worksite, worked.concluded.iter().map(|(delivery, verdict)| (delivery, verdict))).await;
    let halt = worked.halt.map(|halt| function.diagnosis.explain(halt));
    function.worksite.telemetry.halted(halt.as_ref());
    function.worksite.telemetry.tell_store_away(halt.as_ref());
    let applied = worked.concluded.iter().any(|(_, verdict)| verdict.write.is_some());
    state::tell_of_function(&function.worksite, halt.as_ref(), applied).await;
    let answer = match (worked.failed, halt) {
        (None, None | Some(Halt { at: Spot::Away, .. })) => done(),
        (None, Some(halt)) => {
            tracing::error!(
                detail = halt.detail,
                "halted: the message comes again as a copy, later and later; see runbooks/halted.md"
            );
            done()
        }
        (Some(Failed::NotRescheduled { detail }), None | Some(Halt { at: Spot::Away, .. })) => {
            refused(StatusCode::INTERNAL_SERVER_ERROR, &format!("not even a copy could be scheduled: {detail}"))
        }
        (Some(Failed::NotRescheduled { detail }), Some(halt)) => {
            let detail = format!(
                "halted: {}; not even a copy could be scheduled: {detail}; see runbooks/halted.md",
                halt.detail
            );
            refused(StatusCode::INTERNAL_SERVER_ERROR, &detail)
        }
        (Some(Failed::NotSetAside), _) => {
            let detail = "no letter holds this message: Service Bus sets it aside itself after its last delivery; see runbooks/dead-letters.md";
            refused(StatusCode::INTERNAL_SERVER_ERROR, detail)
        }
    };
    // The host may end the process whenever it has no invocation, and says nothing before.
    function.worksite.telemetry.flush(function.flush).await;
    answer
}

async fn beat(State(function): State<Arc<Function>>) -> Response {
    match send_one_heartbeat(&function.worksite, BRING_MAX).await {
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
