//! A service's own clock, as the `Date` of its answers tells it.

use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};

use bridge_core::skew::{Dated, Skew};
use bridge_core::{failure::PortError, port::Clock};
use bridge_ops::doctor::Look;
use chrono::{DateTime, TimeDelta};
use reqwest::{Client, Url, header::DATE, redirect};

use crate::{
    clock::SystemClock,
    endpoint,
    failure::Failure,
    look::{self, LOOK},
};

/// For the whole exchange. Ours: an answer of a few bytes takes some round trips, and nobody waits for it gladly.
const TIMEOUT: Duration = Duration::from_secs(3);

/// A service whose clock can be asked for.
pub struct ServiceClock {
    url: Url,
    clock: Arc<dyn Clock>,
    client: OnceLock<Client>,
}

impl ServiceClock {
    /// The service at `url`, beside this machine's `clock`. Nothing is sent until it is asked.
    pub fn new(url: Url, clock: Arc<dyn Clock>) -> Self {
        Self { url, clock, client: OnceLock::new() }
    }

    /// Asks for the time. Asks for nothing else and proves nothing: any answer, also a refusal, has a date.
    ///
    /// # Errors
    /// The service does not answer, or its answer has no date.
    pub async fn ask(&self) -> Result<Dated, PortError> {
        self.dated().await.map_err(|failure| failure.at(self.to_string(), LOOK))
    }

    async fn dated(&self) -> Result<Dated, Failure> {
        let failed = Failure::of_transport;
        let client = match self.client.get() {
            Some(client) => client,
            None => {
                let client = client(&self.url).map_err(failed)?;
                self.client.get_or_init(|| client)
            }
        };
        let asked = self.clock.now();
        let answer = client.get(self.url.clone()).send().await.map_err(failed)?;
        let answered = self.clock.now();
        let date = answer.headers().get(DATE).and_then(|date| date.to_str().ok());
        let date = date.and_then(|date| DateTime::parse_from_rfc2822(date).ok());
        let date = date.ok_or_else(|| Failure::unavailable("the answer has no date"))?;
        Ok(Dated { asked, date: date.to_utc(), answered })
    }
}

impl fmt::Display for ServiceClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "clock of {}", self.url.host_str().unwrap_or_default())
    }
}

impl fmt::Debug for ServiceClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServiceClock({self})")
    }
}

fn client(url: &Url) -> reqwest::Result<Client> {
    endpoint::client(url).http1_only().redirect(redirect::Policy::none()).timeout(TIMEOUT).build()
}

/// How far the clock of `service`, at `url`, is ahead of this machine's, to half a second.
pub(crate) async fn look(service: &str, url: Url, limit: Duration) -> Look<TimeDelta> {
    let at = format!("clock of {service}");
    let place = at.clone();
    let read = async {
        let clock = ServiceClock::new(url, Arc::new(SystemClock));
        // Twice: the first exchange opens the connection, so that the second one's middle is when the service looked.
        let seen = match clock.dated().await {
            Ok(_) => clock.dated().await,
            failed => failed,
        };
        let seen = seen.map(|dated| -Skew::of(dated).ahead());
        seen.map_err(|failure| failure.at(place, LOOK))
    };
    look::look(at, limit, read).await
}
