//! `bridge dashboard`: a page that tells at one look whether all is well, what is not, and what to do.
//!
//! `poller.rs` looks at the sites for all who watch, and each report says what is good and what is bad; `rates.rs` and
//! `history.rs` say what it was before; `api.rs` sends it, `guard.rs` decides to whom. `assets/` is the page, which decides nothing.

mod api;
mod assets;
mod guard;
mod history;
mod letters;
mod poller;
mod rates;
mod runbook;
#[cfg(test)]
mod tests;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context;
use axum::{Router, http::StatusCode, middleware, response::Redirect, routing::get};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) use self::poller::Look;
use self::{api::Api, guard::Guard, poller::Poller};
use crate::serve::{self, Bounds};

/// Where to serve, and to whom.
#[derive(Debug)]
pub(crate) struct Options {
    /// Port 0 lets the system choose one.
    pub(crate) listen: SocketAddr,
    /// What viewers have to know; without one there are only those on this machine.
    pub(crate) token: Option<String>,
    /// The names of all sites, in the order of a report.
    pub(crate) sites: Vec<String>,
    /// From one look to the next while nobody watches, so that the charts have something to show when somebody comes; none:
    /// only who watches is shown anything.
    pub(crate) unwatched: Option<Duration>,
}

/// A dashboard that is being served.
#[derive(Debug)]
pub(crate) struct Dashboard {
    /// Where.
    pub(crate) address: SocketAddr,
    server: JoinHandle<()>,
}

impl Dashboard {
    /// Starts serving what `look` sees, until stopped.
    ///
    /// # Errors
    /// [`crate::exit::Misuse`] where a token is needed, and what the system has against the address.
    pub(crate) async fn start(look: Arc<dyn Look>, options: Options, stop: CancellationToken) -> anyhow::Result<Self> {
        let Options { listen, token, sites, unwatched } = options;
        let guard = Guard::new(listen.ip(), token)?;
        let listener = serve::listen(listen, "the dashboard").await?;
        let address = listener.local_addr()?;
        let poller = Arc::new(Poller::new(sites, unwatched));
        let router = router(poller.clone(), guard.at_port(address.port()), stop.clone());
        let server = tokio::spawn(async move {
            let served = serve::serve(listener, router, stop.clone(), Bounds::default());
            let (served, ()) = tokio::join!(served, poller.run(&*look, &stop));
            if let Err(error) = served {
                tracing::error!(%error, "the dashboard's server ended");
            }
        });
        Ok(Self { address, server })
    }

    /// The address for a browser.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Waits for the end, which comes after the stop.
    pub(crate) async fn ended(self) -> anyhow::Result<()> {
        self.server.await.context("the dashboard panicked")
    }
}

fn router(poller: Arc<Poller>, guard: Guard, stop: CancellationToken) -> Router {
    assets::routes()
        .merge(runbook::routes())
        // Browsers ask for it by themselves beside every page that names no icon.
        .route("/favicon.ico", get(async || Redirect::permanent("/assets/icon.svg")))
        .merge(Api::new(poller, stop).routes())
        .fallback(async || (StatusCode::NOT_FOUND, "no such page; / is the dashboard\n"))
        .layer(middleware::from_fn_with_state(Arc::new(guard), guard::admit))
}
