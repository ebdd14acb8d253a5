//! A service's own clock, as the `Date` of its answers tells it.

use std::time::Duration;

use bridge_core::{
    doctor::Look,
    failure::{FailureKind, PortError, chain},
};
use chrono::{DateTime, TimeDelta, Utc};
use reqwest::{Client, Url, header::DATE, redirect};

use crate::clock::SystemClock;

/// For the whole exchange. Ours: an answer of a few bytes takes some round trips, and nobody waits for it gladly.
const TIMEOUT: Duration = Duration::from_secs(3);

/// How far the clock of `service`, at `url`, is ahead of this machine's.
///
/// Asks for nothing and proves nothing: any answer, also a refusal, has a date.
pub(crate) async fn look(service: &str, url: Url) -> Look<TimeDelta> {
    let at = format!("clock of {service}");
    let seen = read(url).await.map_err(|(kind, words)| PortError::new(&at, "look", kind).caused_by(words));
    Look { at, seen }
}

async fn read(url: Url) -> Result<TimeDelta, (FailureKind, String)> {
    let failed = |error: reqwest::Error| {
        let kind = if error.is_timeout() { FailureKind::TimedOut } else { FailureKind::Unavailable };
        (kind, chain(&error.without_url()))
    };
    let mut builder = Client::builder().http1_only().redirect(redirect::Policy::none()).timeout(TIMEOUT);
    if url.scheme() == "http" {
        builder = builder.no_proxy(); // Loopback, as everywhere.
    }
    let client = builder.build().map_err(failed)?;
    // Twice: the first exchange opens the connection, so that the second one's middle is when the service looked.
    client.get(url.clone()).send().await.map_err(failed)?;
    let asked = now();
    let answer = client.get(url).send().await.map_err(failed)?;
    let answered = now();
    let date = answer.headers().get(DATE).and_then(|date| date.to_str().ok());
    let date = date.and_then(|date| DateTime::parse_from_rfc2822(date).ok());
    let date = date.ok_or((FailureKind::Unavailable, "the answer has no date".to_owned()))?;
    Ok(ahead(date.to_utc(), asked, answered))
}

fn now() -> DateTime<Utc> {
    use bridge_core::port::Clock;
    SystemClock.now()
}

/// A `Date` has lost its fraction, so half a second is the best guess of it.
fn ahead(date: DateTime<Utc>, asked: DateTime<Utc>, answered: DateTime<Utc>) -> TimeDelta {
    date + TimeDelta::milliseconds(500) - (asked + (answered - asked) / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_that_agree_are_less_than_a_second_apart() {
        let time = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        let date = time("2026-11-21T01:02:03Z");
        for asked in ["2026-11-21T01:02:03.001Z", "2026-11-21T01:02:03.999Z"] {
            assert!(ahead(date, time(asked), time(asked)).abs() < TimeDelta::seconds(1), "{asked}");
        }
        let slow = ahead(date, time("2026-11-21T01:02:02.5Z"), time("2026-11-21T01:02:04.5Z"));
        assert_eq!(slow, TimeDelta::zero());
        let off = ahead(date, time("2026-11-21T00:57:03.5Z"), time("2026-11-21T00:57:03.5Z"));
        assert_eq!(off, TimeDelta::minutes(5));
    }
}
