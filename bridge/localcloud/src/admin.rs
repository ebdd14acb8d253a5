//! A small HTTP interface, on loopback, to what goes wrong and to what was asked.
//!
//! | request | does |
//! |---|---|
//! | `GET /health` | 200 once all services listen, with the names of those that are dark |
//! | `GET /faults` | the live faults with their ids and hits |
//! | `POST /faults` | starts faults: a JSON object, an array of them, or lines of text (`dynamodb:PutItem:throttle,count=3`); answers 201 with their ids, or 400 with what is allowed, and then none is started |
//! | `DELETE /faults`, `DELETE /faults/ID` | ends all, or one |
//! | `POST /cut/SERVICE` | resets every connection that is open now, also idle and half-sent ones; answers how many; the names are those of faults: `sqs`, `azure`, `aws@eu-west-1`, `*` |
//! | `GET /requests` | how often each operation of each service ended how; `?service=sqs@eu-west-1` for some, by the names of faults |
//! | `DELETE /requests` | the same, and starts counting anew |
//! | `GET /usage` | what each service holds now: `connections`, and of those that have them `links`, `waiting`, `messages`; and `sent`, the messages that came since the start |
//! | `GET /clocks` | how far each service's clock is ahead, in milliseconds |
//! | `PUT /clocks/SERVICE` | sets it for all services of that name: `{"offset_ms": 60000}` |
//!
//! A service in a region is written `sqs@us-east-1`: so it is named in answers, and so, or without the region, in requests.
//! What names no service that is there is refused.
//!
//! It has no key: it listens on loopback only, and refuses pages from elsewhere (a foreign `Origin`).

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post, put};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::fault::{Fault, FaultError, Faults, RequestCount, Scope, ServiceAt, ServiceFaults};
use crate::http::{self, Server};
use crate::usage::{Gauges, Usage};

/// Faults are lines of text; more than this is not a set of faults.
const BODY_BYTES_MAX: usize = 256 * 1024;

/// Serves the interface.
///
/// # Errors
/// The address is not loopback, or in use.
pub async fn start(address: SocketAddr, faults: Arc<Faults>, gauges: Gauges) -> io::Result<Server> {
    let gauges = Arc::new(gauges);
    let router = Router::new()
        .route("/health", get(health))
        .route("/faults", get(list_faults).post(add_faults).delete(clear_faults))
        .route("/faults/{id}", delete(remove_fault))
        .route("/requests", get(requests).delete(take_requests))
        .route("/cut/{service}", post(cut).with_state((Arc::clone(&faults), Arc::clone(&gauges))))
        .route("/usage", get(usage).with_state(gauges))
        .route("/clocks", get(clocks))
        .route("/clocks/{service}", put(set_clock))
        .fallback(async || {
            refuse(
                StatusCode::NOT_FOUND,
                "no such path; there are /health, /faults, /cut, /requests, /usage and /clocks",
            )
        })
        .layer(from_fn(refuse_foreign_pages))
        .with_state(faults);
    Server::without_faults(address, router).await
}

/// A page on another site could post here from a visitor's browser; a command-line tool sends no `Origin`.
async fn refuse_foreign_pages(request: Request, next: Next) -> Response {
    let origin = request.headers().get("origin").map(|origin| origin.to_str().unwrap_or("").to_owned());
    let local = |origin: &str| {
        let host = url::Url::parse(origin).ok().and_then(|url| url.host().map(|host| host.to_owned()));
        match host {
            Some(url::Host::Domain(name)) => name == "localhost",
            Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
            Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
            None => false,
        }
    };
    if origin.as_deref().is_some_and(|origin| !local(origin)) {
        return refuse(StatusCode::FORBIDDEN, "pages of other origins may not use this interface");
    }
    next.run(request).await
}

async fn health(State(faults): State<Arc<Faults>>) -> Json<Value> {
    let services = faults.services();
    let dark: Vec<&ServiceAt> = services.iter().filter(|service| service.is_dark()).map(ServiceFaults::at).collect();
    Json(json!({ "status": "ok", "dark": dark }))
}

async fn list_faults(State(faults): State<Arc<Faults>>) -> Json<Value> {
    Json(json!({ "faults": faults.list() }))
}

async fn add_faults(State(faults): State<Arc<Faults>>, headers: HeaderMap, body: Body) -> Response {
    let body = match http::read_body(&headers, body, BODY_BYTES_MAX).await {
        Ok(body) => body,
        Err(error) => return refuse(StatusCode::BAD_REQUEST, &error.to_string()),
    };
    let Ok(text) = std::str::from_utf8(&body) else { return refuse(StatusCode::BAD_REQUEST, "the body is not UTF-8") };
    let parsed = parse_faults(text).and_then(|new| {
        let nowhere = new.iter().find_map(|fault| faults.covered(&fault.service).err());
        nowhere.map_or(Ok(new), |error| Err(error.to_string()))
    });
    match parsed {
        Ok(new) if new.is_empty() => refuse(StatusCode::BAD_REQUEST, "the body names no fault"),
        Ok(new) => {
            let ids: Vec<u64> = new.into_iter().map(|fault| faults.add(fault)).collect();
            (StatusCode::CREATED, Json(json!({ "ids": ids }))).into_response()
        }
        Err(message) => refuse(StatusCode::BAD_REQUEST, &message),
    }
}

pub(crate) fn parse_faults(text: &str) -> Result<Vec<Fault>, String> {
    let json = |error: serde_json::Error| error.to_string();
    match text.trim_start().as_bytes().first() {
        Some(b'[') => serde_json::from_str(text).map_err(json),
        Some(b'{') => serde_json::from_str(text).map(|fault| vec![fault]).map_err(json),
        _ => {
            let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
            lines.map(|line| line.parse().map_err(|error| format!("{error}"))).collect()
        }
    }
}

async fn clear_faults(State(faults): State<Arc<Faults>>) -> Json<Value> {
    Json(json!({ "removed": faults.clear() }))
}

async fn remove_fault(State(faults): State<Arc<Faults>>, Path(id): Path<String>) -> Response {
    if id.parse().is_ok_and(|id| faults.remove(id)) {
        Json(json!({ "removed": 1 })).into_response()
    } else {
        refuse(StatusCode::NOT_FOUND, "no live fault has this id; it may have ended by itself (see GET /faults)")
    }
}

async fn cut(State((faults, gauges)): State<(Arc<Faults>, Arc<Gauges>)>, Path(scope): Path<String>) -> Response {
    let services = match covered(&faults, &scope) {
        Ok(services) => services,
        Err(error) => return refuse(StatusCode::NOT_FOUND, &error.to_string()),
    };
    let connections = |at: &ServiceAt| gauges.get(at).map_or(0, |gauge| gauge().connections);
    let open: BTreeMap<&ServiceAt, usize> =
        services.iter().map(|service| (service.at(), connections(service.at()))).collect();
    services.iter().for_each(ServiceFaults::cut);
    Json(json!({ "cut": open })).into_response()
}

#[derive(Deserialize)]
struct Filter {
    service: Option<String>,
}

/// The services of that name, such as `aws@eu-west-1`.
fn covered(faults: &Arc<Faults>, name: &str) -> Result<Vec<ServiceFaults>, FaultError> {
    faults.covered(&name.parse::<Scope>()?)
}

async fn requests(State(faults): State<Arc<Faults>>, filter: Result<Query<Filter>, QueryRejection>) -> Response {
    let filter = match filter {
        Ok(Query(filter)) => filter,
        Err(rejection) => return refuse(StatusCode::BAD_REQUEST, &rejection.body_text()),
    };
    let name = filter.service.as_deref().unwrap_or("*");
    let services = match covered(&faults, name) {
        Ok(services) => services,
        Err(error) => return refuse(StatusCode::NOT_FOUND, &error.to_string()),
    };
    let wanted = |count: &RequestCount| {
        services.iter().any(|service| service.at().service == count.service && service.at().region == count.region)
    };
    let counts: Vec<RequestCount> = faults.counts().into_iter().filter(wanted).collect();
    Json(json!({ "requests": counts })).into_response()
}

async fn take_requests(State(faults): State<Arc<Faults>>) -> Json<Value> {
    Json(json!({ "requests": faults.take_counts() }))
}

async fn usage(State(gauges): State<Arc<Gauges>>) -> Json<BTreeMap<ServiceAt, Usage>> {
    Json(gauges.iter().map(|(service, gauge)| (service.clone(), gauge())).collect())
}

async fn clocks(State(faults): State<Arc<Faults>>) -> Json<Value> {
    let services = faults.services();
    let offsets: BTreeMap<&ServiceAt, i64> =
        services.iter().map(|service| (service.at(), service.clock_offset_ms())).collect();
    Json(json!({ "offset_ms": offsets }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Clock {
    offset_ms: i64,
}

/// A hundred years: further than any test needs to look, and far from what a time of day cannot hold.
const CLOCK_OFFSET_MS_MAX: u64 = 100 * 366 * 86_400_000;

async fn set_clock(
    State(faults): State<Arc<Faults>>,
    Path(service): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let services = match covered(&faults, &service) {
        Ok(services) => services,
        Err(error) => return refuse(StatusCode::NOT_FOUND, &error.to_string()),
    };
    let body = http::read_body(&headers, body, BODY_BYTES_MAX).await.unwrap_or_default();
    match serde_json::from_slice::<Clock>(&body) {
        Ok(clock) if clock.offset_ms.unsigned_abs() <= CLOCK_OFFSET_MS_MAX => {
            for service in services {
                service.set_clock_offset(clock.offset_ms);
            }
            Json(json!({ "offset_ms": clock.offset_ms })).into_response()
        }
        _ => refuse(
            StatusCode::BAD_REQUEST,
            "send {\"offset_ms\": N}, N milliseconds ahead (or behind, if negative), at most 100 years",
        ),
    }
}

fn refuse(status: StatusCode, message: &str) -> Response {
    (status, Json(json!({ "error": message }))).into_response()
}
