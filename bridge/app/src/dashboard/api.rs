//! What the page asks for: the last look, the last hour, and each look as it comes.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header::CACHE_CONTROL},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
    routing::get,
};
use futures_util::{Stream, StreamExt, stream};
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use super::poller::{Looked, Poller, STALE_AFTER};

/// Pages that follow at the same time. Ours: more than any team has screens, and no burden.
const VIEWERS_MAX: usize = 100;
/// A sign of life for proxies in between, which give silent connections up.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// What the routes share.
#[derive(Clone)]
pub(super) struct Api {
    poller: Arc<Poller>,
    seats: Arc<Semaphore>,
    stop: CancellationToken,
}

impl Api {
    pub(super) fn new(poller: Arc<Poller>, stop: CancellationToken) -> Self {
        Self { poller, seats: Arc::new(Semaphore::new(VIEWERS_MAX)), stop }
    }

    pub(super) fn routes(self) -> Router {
        Router::new()
            .route("/api/report", get(report))
            .route("/api/history", get(history))
            .route("/api/stream", get(follow))
            .with_state(self)
    }
}

/// A look as it is sent, with how old it is by now.
#[derive(Serialize)]
struct Sent<'a> {
    age_seconds: f64,
    stale_after_seconds: f64,
    #[serde(flatten)]
    looked: &'a Looked,
}

/// The same as `bridge lag --json` prints, from the last look.
async fn report(State(api): State<Api>) -> Response {
    match api.poller.last() {
        Some(looked) => ([(CACHE_CONTROL, "no-store")], Json(&looked.report)).into_response(),
        None => (StatusCode::SERVICE_UNAVAILABLE, "no look has ended yet\n").into_response(),
    }
}

async fn history(State(api): State<Api>) -> Response {
    ([(CACHE_CONTROL, "no-store")], Json(api.poller.history())).into_response()
}

/// The last hour, the last look, and then each look as it ends.
async fn follow(State(api): State<Api>) -> Response {
    let Ok(seat) = api.seats.clone().try_acquire_owned() else {
        return (StatusCode::SERVICE_UNAVAILABLE, "too many pages follow already\n").into_response();
    };
    let events = looks(&api, seat).take_until(api.stop.clone().cancelled_owned());
    // nginx would collect looks before it passes them on.
    let headers = [(CACHE_CONTROL.as_str(), "no-store"), ("x-accel-buffering", "no")];
    (headers, Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE))).into_response()
}

fn looks(api: &Api, permit: OwnedSemaphorePermit) -> impl Stream<Item = Result<Event, Infallible>> + use<> {
    let mut looks = api.poller.subscribe();
    looks.mark_changed();
    let history = named("history", &api.poller.history());
    let rest = stream::unfold((looks, permit), |(mut looks, permit)| async move {
        loop {
            looks.changed().await.ok()?;
            let looked = looks.borrow_and_update().clone();
            if let Some(looked) = looked {
                let sent = Sent {
                    age_seconds: looked.ended.elapsed().as_secs_f64(),
                    stale_after_seconds: STALE_AFTER.as_secs_f64(),
                    looked: &looked,
                };
                return Some((named("look", &sent), (looks, permit)));
            }
        }
    });
    stream::once(async { history }).chain(rest).map(Ok)
}

fn named(name: &str, data: &impl Serialize) -> Event {
    Event::default().event(name).json_data(data).unwrap_or_else(|error| {
        tracing::error!(%error, name, "an event has no JSON");
        Event::default().comment("not to be written")
    })
}
