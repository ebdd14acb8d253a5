//! Queues made, shown, listed, changed and deleted over ATOM.
//!
//! Source: "Service Bus resource manager REST (ATOM)", entity operations, read 2026-11; and what the official
//! administration clients read. They insist on `https`, so whoever points one here must turn the scheme of its requests into
//! `http` (in Python: a transport that does so, given as `transport=`).

use axum::http::request::Parts;
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::atom::{self, Description};
use super::{App, Failed, duration, query, text};
use crate::service_bus::broker::Cell;
use crate::service_bus::settings::{QueueSettings, Tier};

/// Source: Service Bus quotas, "queue name", read 2026-11.
const NAME_CHARACTERS_MAX: usize = 260;
/// Source: "List queues": 100 entries unless asked otherwise, read 2026-11.
const PAGE_ENTRIES: usize = 100;

pub(super) fn entity(app: &App, path: &str, parts: &Parts, body: &[u8]) -> Result<Response, Failed> {
    match parts.method {
        Method::GET => Ok(show(app, path, parts)),
        Method::PUT => put(app, path, parts, &String::from_utf8_lossy(body)),
        Method::DELETE if app.broker.remove(path) => Ok(StatusCode::OK.into_response()),
        Method::DELETE => Err(Failed::no_entity(path)),
        _ => Err(Failed::new(StatusCode::METHOD_NOT_ALLOWED, "queues know GET, PUT and DELETE")),
    }
}

/// Says "nothing there" as the service does: with an empty feed and 200.
fn show(app: &App, path: &str, parts: &Parts) -> Response {
    match app.broker.find(path) {
        Some(cell) => xml(StatusCode::OK, "entry", atom::entry(&base(parts), &describe(app, &cell))),
        None => {
            let feed = atom::feed(&base(parts), "Publicly Listed Services", None, app.broker.now().wall, &[]);
            xml(StatusCode::OK, "feed", feed)
        }
    }
}

fn put(app: &App, path: &str, parts: &Parts, body: &str) -> Result<Response, Failed> {
    check_name(path)?;
    if !body.contains("QueueDescription") {
        return Err(Failed::bad_request("only queues can be made here: the body must hold a QueueDescription"));
    }
    // With If-Match it changes what is there, without it makes what is not.
    let changes = text(&parts.headers, "if-match").is_some();
    if changes {
        let cell = app.broker.find(path).ok_or_else(|| Failed::no_entity(path))?;
        let old = app.broker.with(&cell, |queue, _| queue.settings().clone());
        let settings = read_settings(body, old)?;
        app.broker.with(&cell, |queue, now| queue.set_settings(now, settings));
        return Ok(xml(StatusCode::OK, "entry", atom::entry(&base(parts), &describe(app, &cell))));
    }
    let settings = read_settings(body, QueueSettings::default())?;
    if !app.broker.create(path, settings) {
        let detail = format!("SubCode=40900. Conflict: the entity '{path}' exists already.");
        return Err(Failed::new(StatusCode::CONFLICT, detail));
    }
    let cell = app.broker.find(path).ok_or_else(|| Failed::no_entity(path))?;
    Ok(xml(StatusCode::CREATED, "entry", atom::entry(&base(parts), &describe(app, &cell))))
}

pub(super) fn list(app: &App, parts: &Parts) -> Result<Response, Failed> {
    if parts.method != Method::GET {
        return Err(Failed::new(StatusCode::METHOD_NOT_ALLOWED, "lists know GET only"));
    }
    let number = |name: &str, default: usize| query(parts, name).and_then(|text| text.parse().ok()).unwrap_or(default);
    let (skip, top) = (number("$skip", 0), number("$top", PAGE_ENTRIES).clamp(1, PAGE_ENTRIES));
    let all = app.broker.all();
    let page: Vec<Description> = all.iter().skip(skip).take(top).map(|cell| describe(app, cell)).collect();
    let base = base(parts);
    let end = skip.saturating_add(top);
    let next = (end < all.len()).then(|| format!("{base}/$Resources/queues?$skip={end}&$top={top}"));
    Ok(xml(StatusCode::OK, "feed", atom::feed(&base, "Queues", next.as_deref(), app.broker.now().wall, &page)))
}

pub(super) fn namespace(app: &App, parts: &Parts) -> Result<Response, Failed> {
    if parts.method != Method::GET {
        return Err(Failed::new(StatusCode::METHOD_NOT_ALLOWED, "the namespace knows GET only"));
    }
    let premium = matches!(app.broker.tier(), Tier::Premium { .. });
    Ok(xml(StatusCode::OK, "entry", atom::namespace(&base(parts), premium, app.broker.now().wall)))
}

fn describe(app: &App, cell: &Cell) -> Description {
    let max_message_bytes = app.broker.message_bytes_max(cell);
    app.broker.with(cell, |queue, now| {
        queue.advance(now);
        Description {
            name: queue.name().to_owned(),
            settings: queue.settings().clone(),
            counts: queue.counts(),
            size_bytes: queue.size_bytes(),
            max_message_bytes,
            created: queue.created(),
            updated: queue.updated(),
        }
    })
}

/// What the description does not name stays as it is in `settings`.
pub(super) fn read_settings(body: &str, mut settings: QueueSettings) -> Result<QueueSettings, Failed> {
    let wrong = |name: &str, value: &str| Failed::bad_request(format!("{name} cannot be '{value}'"));
    let length = |name: &str| match atom::element(body, name).filter(|text| !text.is_empty()) {
        Some(text) => duration::parse(&text).map(Some).ok_or_else(|| wrong(name, &text)),
        None => Ok(None),
    };
    let number = |name: &str| match atom::element(body, name).filter(|text| !text.is_empty()) {
        Some(text) => text.parse::<u32>().map(Some).map_err(|_| wrong(name, &text)),
        None => Ok(None),
    };
    let switch = |name: &str| match atom::element(body, name).map(|text| text.to_ascii_lowercase()).as_deref() {
        Some("true") => Ok(Some(true)),
        Some("false") => Ok(Some(false)),
        Some("") | None => Ok(None),
        Some(other) => Err(wrong(name, other)),
    };
    settings.sessions = switch("RequiresSession")?.unwrap_or(settings.sessions);
    if let Some(target) = atom::element(body, "ForwardTo") {
        settings.forward_to = Some(target).filter(|target| !target.is_empty());
    }
    if let Some(life) = length("AutoDeleteOnIdle")? {
        settings.idle_life = lifetime(life);
    }
    if atom::element(body, "ForwardDeadLetteredMessagesTo").is_some_and(|target| !target.is_empty()) {
        let text = "forwarding is not available here; leave ForwardDeadLetteredMessagesTo out";
        return Err(Failed::bad_request(text));
    }
    if let Some(status) = atom::element(body, "Status").filter(|status| !status.is_empty() && status != "Active") {
        return Err(Failed::bad_request(format!("a queue cannot be '{status}' here; leave Status out")));
    }
    settings.lock_duration = length("LockDuration")?.unwrap_or(settings.lock_duration);
    settings.max_delivery_count = number("MaxDeliveryCount")?.unwrap_or(settings.max_delivery_count).max(1);
    if let Some(ttl) = length("DefaultMessageTimeToLive")? {
        settings.default_ttl = lifetime(ttl);
    }
    settings.dead_letter_on_expiry =
        switch("DeadLetteringOnMessageExpiration")?.unwrap_or(settings.dead_letter_on_expiry);
    let window = length("DuplicateDetectionHistoryTimeWindow")?;
    settings.duplicate_detection = match switch("RequiresDuplicateDetection")? {
        Some(true) => Some(window.unwrap_or(std::time::Duration::from_mins(10))),
        Some(false) => None,
        None => settings.duplicate_detection.map(|old| window.unwrap_or(old)),
    };
    if let Some(megabytes) = number("MaxSizeInMegabytes")? {
        settings.max_size_bytes = u64::from(megabytes) * 1024 * 1024;
    }
    if let Some(kilobytes) = number("MaxMessageSizeInKilobytes")? {
        settings.max_message_bytes = Some(kilobytes as usize * 1024);
    }
    Ok(settings)
}

/// `None` for the service's "for ever", or for longer than anybody will wait.
fn lifetime(duration: std::time::Duration) -> Option<std::time::Duration> {
    (duration.as_secs() < 900_000_000_000).then_some(duration)
}

/// Letters, digits, dots, hyphens, underscores and slashes, with a letter or digit at both ends.
fn check_name(name: &str) -> Result<(), Failed> {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/".contains(&byte);
    let ends = [name.bytes().next(), name.bytes().last()];
    let good = name.bytes().all(inner) && ends.iter().all(|end| end.is_some_and(|byte| byte.is_ascii_alphanumeric()));
    if !good || name.len() > NAME_CHARACTERS_MAX {
        let detail = format!("'{name}' is no name for a queue: use at most 260 letters, digits, '.', '-', '_' and '/'");
        return Err(Failed::bad_request(detail));
    }
    Ok(())
}

fn base(parts: &Parts) -> String {
    let host = text(&parts.headers, "host").or_else(|| parts.uri.authority().map(axum::http::uri::Authority::as_str));
    format!("http://{}", atom::escape(host.unwrap_or("localhost")))
}

fn xml(status: StatusCode, kind: &str, body: String) -> Response {
    let content_type = format!("application/atom+xml;type={kind};charset=utf-8");
    (status, [(header::CONTENT_TYPE, content_type)], body).into_response()
}
