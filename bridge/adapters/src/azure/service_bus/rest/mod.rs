//! Sends over HTTP: three round trips cold instead of twelve over AMQP, no connection to survive a freeze, and a plain
//! status for confirmation.

mod batch;

use std::{
    sync::{Mutex, MutexGuard, OnceLock},
    time::{Duration, SystemTime},
};

use bridge_core::{failure::FailureKind, limits, port::Message};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::{StreamExt, stream};
use reqwest::{
    Client, Response, StatusCode, Url,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER},
};

use self::batch::{Form, Request, Requests};
use super::{
    ServiceBusConnection, Timeouts,
    amqp::connection,
    sas::{self, Token},
};
use crate::{carried::service_bus as carried, endpoint, failure::Failure};

/// "Send Message Batch", read 2026-11.
const BATCH_TYPE: &str = "application/vnd.microsoft.servicebus.json";
/// Bytes without a meaning to the broker.
const RAW_TYPE: &str = "application/octet-stream";

/// Requests of one call that are under way together. Ours: enough to hide the way there and back, few enough that a large
/// batch does not fill the memory or throttle its own namespace.
const CONCURRENT_MAX: usize = 4;

/// A kept connection that was idle for longer is not used again. Ours: below the minute or more after which services and
/// what lies between forget one, often without a word.
const IDLE: Duration = Duration::from_secs(30);

/// A token this close to its end is not used any more.
const TOKEN_MARGIN: Duration = Duration::from_mins(5);

/// Characters of the service's own words that are kept.
const DETAIL_CHARS_MAX: usize = 512;

/// The sending side of one queue.
#[derive(Debug)]
pub(crate) struct Sender {
    target: ServiceBusConnection,
    /// `.../QUEUE/messages`, or why there is none.
    url: Result<Url, Failure>,
    resource: String,
    message_bytes_max: usize,
    timeouts: Timeouts,
    client: OnceLock<Client>,
    token: Mutex<Option<CachedToken>>,
}

struct CachedToken {
    token: Token,
    header: HeaderValue,
}

impl std::fmt::Debug for CachedToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CachedToken(***)")
    }
}

impl Sender {
    pub(crate) fn new(
        target: ServiceBusConnection,
        http_endpoint: Option<&Url>,
        queue: &str,
        message_bytes_max: usize,
        timeouts: Timeouts,
    ) -> Self {
        Self {
            url: messages_url(&target, http_endpoint, queue),
            resource: format!("https://{}/{queue}", target.host),
            target,
            message_bytes_max,
            timeouts,
            client: OnceLock::new(),
            token: Mutex::new(None),
        }
    }

    /// Sends messages, optionally to become visible at `scheduled` only. One result each, in their order.
    pub(crate) async fn send(&self, messages: &[&Message], scheduled: Option<&str>) -> Vec<Result<(), Failure>> {
        let check = |message| carried::check(message, self.message_bytes_max);
        let refuse = |kind: FailureKind| Failure::new(kind.clone(), kind.to_string());
        let mut results: Vec<Result<(), Failure>> =
            messages.iter().map(|message| check(message).map_err(refuse)).collect();
        let good: Vec<usize> = (0..messages.len()).filter(|index| results[*index].is_ok()).collect();
        let good = good.into_iter().map(|index| (index, messages[index]));
        let requests = Requests::new(good, self.message_bytes_max, scheduled);
        let mut outcomes = stream::iter(requests.map(|request| self.deliver(request, messages, scheduled)))
            .buffer_unordered(CONCURRENT_MAX);
        while let Some(outcome) = outcomes.next().await {
            for (index, result) in outcome {
                results[index] = result;
            }
        }
        results
    }

    /// Asks whether messages may be sent: with a batch of none, which is refused for that, or taken and does nothing.
    pub(crate) async fn probe(&self) -> Result<(), Failure> {
        match self.post(Form::Json(Bytes::from_static(b"[]"))).await {
            Ok(()) | Err(Refusal::Content(_)) => Ok(()),
            Err(Refusal::Request(failure)) => Err(failure),
        }
    }

    fn too_large(&self, message: &Message, detail: &str) -> Failure {
        let (size_bytes, limit_bytes) = (carried::size_bytes(message) as u64, self.message_bytes_max as u64);
        Failure::new(FailureKind::TooLarge { size_bytes, limit_bytes }, detail)
    }

    /// Sends one request. The service takes all of a batch or nothing, so one that it refuses for what is in it is sent
    /// again message by message, to find out whose fault it is.
    async fn deliver(
        &self,
        request: Request,
        messages: &[&Message],
        scheduled: Option<&str>,
    ) -> Vec<(usize, Result<(), Failure>)> {
        let Request { indexes, form } = request;
        match self.post(form).await {
            Ok(()) => indexes.into_iter().map(|index| (index, Ok(()))).collect(),
            Err(Refusal::Content(refused)) if indexes.len() == 1 => {
                let failure = self.content_failure(&refused, messages[indexes[0]]);
                vec![(indexes[0], Err(failure))]
            }
            Err(Refusal::Content(_)) => {
                let alone = indexes.into_iter().map(|index| self.deliver_alone(index, messages[index], scheduled));
                stream::iter(alone).buffer_unordered(CONCURRENT_MAX).collect().await
            }
            Err(Refusal::Request(failure)) => indexes.into_iter().map(|index| (index, Err(failure.clone()))).collect(),
        }
    }

    async fn deliver_alone(
        &self,
        index: usize,
        message: &Message,
        scheduled: Option<&str>,
    ) -> (usize, Result<(), Failure>) {
        let requests = Requests::new(std::iter::once((index, message)), self.message_bytes_max, scheduled);
        let mut result = Ok(());
        for request in requests {
            result = self.post(request.form).await.map_err(|refusal| match refusal {
                Refusal::Content(refused) => self.content_failure(&refused, message),
                Refusal::Request(failure) => failure,
            });
        }
        (index, result)
    }

    /// Why one message alone was refused. 403 is no matter of rights here: "Send Message", read 2026-11, gives it for a
    /// message that is too large and for a queue that is full; which of them, the size tells.
    fn content_failure(&self, refused: &Refused, message: &Message) -> Failure {
        let near_limit = carried::size_bytes(message) + limits::PROPERTIES_BYTES > self.message_bytes_max;
        match refused.status {
            StatusCode::PAYLOAD_TOO_LARGE => self.too_large(message, &refused.detail),
            StatusCode::FORBIDDEN if near_limit => self.too_large(message, &refused.detail),
            StatusCode::FORBIDDEN => Failure::new(FailureKind::Throttled { retry_after: None }, refused.detail.clone()),
            _ => Failure::new(FailureKind::Rejected { detail: refused.detail.clone() }, refused.detail.clone()),
        }
    }

    async fn post(&self, form: Form) -> Result<(), Refusal> {
        let url = self.url.clone()?;
        let mut headers = HeaderMap::new();
        let body = match form {
            Form::Json(body) => {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static(BATCH_TYPE));
                body
            }
            Form::Raw(body, named) => {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static(RAW_TYPE));
                for (name, value) in named {
                    let header = HeaderName::try_from(name).ok().zip(HeaderValue::try_from(value).ok());
                    let (name, value) = header.ok_or_else(|| Failure::unavailable("a property is no HTTP header"))?;
                    headers.insert(name, value);
                }
                body
            }
        };
        let mut fresh = false;
        loop {
            headers.insert(AUTHORIZATION, self.authorization().await?);
            let request = self.client()?.post(url.clone()).headers(headers.clone()).body(body.clone());
            let response = request.send().await.map_err(transport_failure)?;
            // A key may have been changed, or this machine's clock: one more try with a new token tells.
            if response.status() == StatusCode::UNAUTHORIZED && !fresh {
                *self.cached_token() = None;
                fresh = true;
                continue;
            }
            return judge(response).await;
        }
    }

    async fn authorization(&self) -> Result<HeaderValue, Failure> {
        let good_until = SystemTime::now() + TOKEN_MARGIN;
        if let Some(cached) = self.cached_token().as_ref().filter(|cached| cached.token.expires > good_until) {
            return Ok(cached.header.clone());
        }
        let token = sas::token(&self.target.credential, &self.resource).await?;
        let mut header = HeaderValue::try_from(token.header())
            .map_err(|_| Failure::new(FailureKind::Unauthorized, "the token is no HTTP header"))?;
        header.set_sensitive(true);
        let cached = CachedToken { token, header: header.clone() };
        *self.cached_token() = Some(cached);
        Ok(header)
    }

    fn cached_token(&self) -> MutexGuard<'_, Option<CachedToken>> {
        self.token.lock().expect("nothing panics while it holds the lock")
    }

    fn client(&self) -> Result<&Client, Failure> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let builder = connection::http_client(self.url.as_ref().map_err(Clone::clone)?)?
            .connect_timeout(self.timeouts.connect)
            .timeout(self.timeouts.operation)
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(CONCURRENT_MAX)
            .tcp_nodelay(true);
        let client = builder.build().map_err(Failure::unavailable)?;
        Ok(self.client.get_or_init(|| client))
    }
}

/// Why a request failed.
enum Refusal {
    /// For what one of its messages is.
    Content(Refused),
    /// For any other reason: it concerns all of its messages.
    Request(Failure),
}

struct Refused {
    status: StatusCode,
    detail: String,
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self::Request(failure)
    }
}

/// The URL to send to. Tokens go encrypted, or stay on this machine.
fn messages_url(target: &ServiceBusConnection, http_endpoint: Option<&Url>, queue: &str) -> Result<Url, Failure> {
    let refuse = |detail: String| Err(Failure::new(FailureKind::Missing, detail));
    if queue.contains("/$") {
        return refuse(format!("{queue} is a sub-queue: nothing can be sent to it"));
    }
    let mut url = match http_endpoint {
        Some(url) => url.clone(),
        None if target.encrypted => Url::parse(&format!("https://{}/", target.host)).map_err(Failure::unavailable)?,
        None => {
            return refuse(
                "an emulator's HTTP endpoint must be configured: it cannot be told from its AMQP one".into(),
            );
        }
    };
    if let Err(insecure) = endpoint::check(&url) {
        return refuse(insecure.to_string());
    }
    match url.path_segments_mut() {
        Ok(mut segments) => segments.pop_if_empty().extend(queue.split('/')).push("messages"),
        Err(()) => return refuse("the HTTP endpoint should read https://HOST/".into()),
    };
    Ok(url)
}

/// What an answer means. "Send Message" and "Service Bus REST: status and error codes", read 2026-11.
async fn judge(response: Response) -> Result<(), Refusal> {
    let status = response.status();
    // The one success of a send. Whatever else answers 200 is a proxy or a page, and has kept nothing.
    if status == StatusCode::CREATED {
        // Reading what is left lets the connection be used again.
        let _ = response.bytes().await;
        return Ok(());
    }
    let retry_after = response
        .headers()
        .get(RETRY_AFTER)
        .and_then(|value| retry_after(value.to_str().ok()?, SystemTime::now().into()));
    let text = response.text().await.unwrap_or_default();
    let detail: String = format!("HTTP {} {text}", status.as_u16()).trim_end().chars().take(DETAIL_CHARS_MAX).collect();
    let kind = match status {
        StatusCode::BAD_REQUEST
        | StatusCode::FORBIDDEN
        | StatusCode::PAYLOAD_TOO_LARGE
        | StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => {
            return Err(Refusal::Content(Refused { status, detail }));
        }
        StatusCode::UNAUTHORIZED => FailureKind::Unauthorized,
        StatusCode::NOT_FOUND | StatusCode::GONE => FailureKind::Missing,
        StatusCode::TOO_MANY_REQUESTS => FailureKind::Throttled { retry_after },
        StatusCode::SERVICE_UNAVAILABLE if retry_after.is_some() => FailureKind::Throttled { retry_after },
        StatusCode::REQUEST_TIMEOUT | StatusCode::GATEWAY_TIMEOUT => FailureKind::TimedOut,
        _ => FailureKind::Unavailable,
    };
    Err(sas::of_refusal(Failure::new(kind, detail)).into())
}

/// Seconds or a date, RFC 9110, section 10.2.3.
pub(crate) fn retry_after(text: &str, now: DateTime<Utc>) -> Option<Duration> {
    if let Ok(seconds) = text.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = DateTime::parse_from_rfc2822(text.trim()).ok()?;
    Some((at.to_utc() - now).to_std().unwrap_or_default())
}

fn transport_failure(error: reqwest::Error) -> Failure {
    // A connection that was not made in time has sent nothing.
    let kind = if error.is_timeout() && !error.is_connect() { FailureKind::TimedOut } else { FailureKind::Unavailable };
    Failure::new(kind, error.without_url())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn emulator() -> ServiceBusConnection {
        "Endpoint=sb://127.0.0.1;SharedAccessKeyName=n;SharedAccessKey=k;UseDevelopmentEmulator=true".parse().unwrap()
    }

    fn real() -> ServiceBusConnection {
        "Endpoint=sb://s.servicebus.windows.net/;SharedAccessKeyName=n;SharedAccessKey=k".parse().unwrap()
    }

    fn url(target: &ServiceBusConnection, endpoint: Option<&str>, queue: &str) -> Result<String, FailureKind> {
        let endpoint = endpoint.map(|text| Url::parse(text).unwrap());
        messages_url(target, endpoint.as_ref(), queue).map(String::from).map_err(|failure| failure.kind)
    }

    #[test]
    fn messages_go_to_the_namespace_encrypted_or_nowhere() {
        assert_eq!(url(&real(), None, "a/b c").unwrap(), "https://s.servicebus.windows.net/a/b%20c/messages");
        assert_eq!(url(&emulator(), Some("http://127.0.0.1:9/"), "q").unwrap(), "http://127.0.0.1:9/q/messages");
        assert_eq!(
            url(&real(), Some("https://proxy.example/base"), "q").unwrap(),
            "https://proxy.example/base/q/messages"
        );
        assert_eq!(url(&emulator(), None, "q"), Err(FailureKind::Missing));
        assert_eq!(url(&real(), Some("http://s.servicebus.windows.net/"), "q"), Err(FailureKind::Missing));
        assert_eq!(url(&real(), None, "q/$deadletterqueue"), Err(FailureKind::Missing));
    }

    #[test]
    fn a_hint_is_seconds_or_a_date() {
        let now = "2026-11-21T01:00:00Z".parse().unwrap();
        assert_eq!(retry_after("10", now), Some(Duration::from_secs(10)));
        assert_eq!(retry_after("Sat, 21 Nov 2026 01:00:05 GMT", now), Some(Duration::from_secs(5)));
        assert_eq!(retry_after("Sat, 21 Nov 2026 00:00:00 GMT", now), Some(Duration::ZERO));
        assert_eq!(retry_after("soon", now), None);
    }
}
