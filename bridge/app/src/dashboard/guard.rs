//! Who may look. On loopback everybody on this machine, but no page of another site; elsewhere whoever has the token.

use std::{net::IpAddr, sync::Arc};

use axum::{
    extract::{Request, State},
    http::{
        HeaderMap, HeaderName, HeaderValue, StatusCode, Uri,
        header::{
            AUTHORIZATION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, COOKIE, HOST, REFERRER_POLICY, SET_COOKIE,
            X_CONTENT_TYPE_OPTIONS,
        },
    },
    middleware::Next,
    response::{Html, IntoResponse, Response},
};
use subtle::ConstantTimeEq;
use uuid::Uuid;

use crate::exit::Misuse;

/// Characters of the shortest token. Ours: 128 bits in hexadecimal.
const TOKEN_CHARS_MIN: usize = 32;

/// Nothing but this server's own files, and nothing of it in another's frame.
const POLICY: &str = "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Lets in or refuses.
pub(super) struct Guard {
    token: Option<String>,
    /// What the browser of somebody who knew the token shows from then on, so that the token itself is kept nowhere.
    session: String,
    cookie: String,
}

impl Guard {
    /// The guard of a server on `address`.
    ///
    /// # Errors
    /// The address is not loopback and there is no token, or the token is too short.
    pub(super) fn new(address: IpAddr, token: Option<String>) -> Result<Self, Misuse> {
        match &token {
            Some(token) if token.chars().count() < TOKEN_CHARS_MIN => Err(Misuse(format!(
                "the token has fewer than {TOKEN_CHARS_MIN} characters; make one with: openssl rand -hex 32"
            ))),
            None if !address.is_loopback() => Err(Misuse(format!(
                "{address} can be reached from elsewhere, so the dashboard needs a token: set BRIDGE_DASHBOARD_TOKEN to \
                 {TOKEN_CHARS_MIN} characters or more, as from openssl rand -hex 32; or leave --listen on 127.0.0.1"
            ))),
            _ => Ok(Self {
                token,
                session: format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple()),
                cookie: "bridge_dashboard".to_owned(),
            }),
        }
    }

    /// Browsers share cookies among the ports of a host: this one is of the dashboard on `port` alone.
    pub(super) fn at_port(self, port: u16) -> Self {
        Self { cookie: format!("bridge_dashboard_{port}"), ..self }
    }

    fn judge(&self, uri: &Uri, headers: &HeaderMap) -> Judgement {
        let Some(token) = &self.token else {
            // A page elsewhere can have its own name resolve to this machine, and would read all of it then.
            let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
            return if names_loopback(host) { Judgement::Welcome } else { Judgement::Stranger };
        };
        let shown =
            uri.query().into_iter().flat_map(|query| query.split('&')).find_map(|one| one.strip_prefix("token="));
        let bearer = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
        let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
        let session = cookies
            .flat_map(|value| value.split(';'))
            .find_map(|pair| pair.trim().strip_prefix(self.cookie.as_str())?.strip_prefix('='));
        if uri.path() == "/" && shown.is_some_and(|shown| same(shown, token)) {
            Judgement::SignIn
        } else if bearer.is_some_and(|shown| same(shown, token))
            || session.is_some_and(|shown| same(shown, &self.session))
        {
            Judgement::Welcome
        } else {
            Judgement::NoToken
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Judgement {
    Welcome,
    /// The token is in the address: from now on the browser has a cookie instead.
    SignIn,
    NoToken,
    Stranger,
}

/// Passes a request on or answers it, with the headers that every answer has.
pub(super) async fn admit(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    let mut response = match guard.judge(request.uri(), request.headers()) {
        Judgement::Welcome => next.run(request).await,
        Judgement::SignIn => signed_in(&guard),
        Judgement::NoToken => refused(
            StatusCode::UNAUTHORIZED,
            "This dashboard needs its token: open its address with /?token=TOKEN once.\n",
        ),
        Judgement::Stranger => refused(
            StatusCode::MISDIRECTED_REQUEST,
            "This dashboard is for this machine alone: open it as http://127.0.0.1 or http://localhost, with its port.\n",
        ),
    };
    let fixed: [(HeaderName, &str); 3] =
        [(CONTENT_SECURITY_POLICY, POLICY), (X_CONTENT_TYPE_OPTIONS, "nosniff"), (REFERRER_POLICY, "no-referrer")];
    for (name, value) in fixed {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Sets the cookie, and goes on to the page by itself. A redirect would not do: where the link was followed from another
/// site, browsers hold a strict cookie back for the whole chain of it.
fn signed_in(guard: &Guard) -> Response {
    let cookie = format!("{}={}; Path=/; HttpOnly; SameSite=Strict", guard.cookie, guard.session);
    let page =
        "<!doctype html><title>bridge</title><meta http-equiv=\"refresh\" content=\"0;url=/\"><a href=\"/\">bridge</a>";
    ([(SET_COOKIE, cookie)], Html(page)).into_response()
}

fn refused(status: StatusCode, words: &'static str) -> Response {
    (status, [(CONTENT_TYPE, "text/plain; charset=utf-8")], words).into_response()
}

/// Whether both are the same, in a time that does not depend on where they differ.
fn same(one: &str, other: &str) -> bool {
    one.as_bytes().ct_eq(other.as_bytes()).into()
}

/// Whether the host of a request, with or without a port, is this machine by its own name.
fn names_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "0123456789abcdef0123456789abcdef";

    fn headers(of: &[(HeaderName, &str)]) -> HeaderMap {
        of.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect()
    }

    fn judge(guard: &Guard, uri: &str, of: &[(HeaderName, &str)]) -> Judgement {
        guard.judge(&uri.parse().unwrap(), &headers(of))
    }

    #[test]
    fn beyond_loopback_a_long_token_is_needed() {
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        let refused = |listen, token: Option<&str>| Guard::new(address(listen), token.map(str::to_owned)).err();
        assert!(refused("0.0.0.0", None).unwrap().0.contains("BRIDGE_DASHBOARD_TOKEN"));
        assert!(refused("10.0.0.7", Some(&TOKEN[1..])).unwrap().0.contains("openssl rand"));
        assert!(refused("127.0.0.1", Some("short")).is_some(), "a token that is asked for is a good one");
        assert!(refused("0.0.0.0", Some(TOKEN)).is_none());
        assert!(refused("127.0.0.1", None).is_none());
        assert!(refused("::1", None).is_none());
    }

    #[test]
    fn without_a_token_only_this_machines_own_names_are_answered() {
        let guard = Guard::new("127.0.0.1".parse().unwrap(), None).unwrap();
        for host in ["127.0.0.1:8080", "localhost:1", "LOCALHOST", "[::1]:80", "127.0.0.33"] {
            assert_eq!(judge(&guard, "/", &[(HOST, host)]), Judgement::Welcome, "{host}");
        }
        for host in [
            "evil.example",
            "evil.localhost",
            "127.0.0.1.evil.example:80",
            "localhost.evil.example",
            "10.0.0.1",
            "[::2]",
            "",
        ] {
            assert_eq!(judge(&guard, "/api/report", &[(HOST, host)]), Judgement::Stranger, "{host}");
        }
        assert_eq!(judge(&guard, "/", &[]), Judgement::Stranger);
    }

    #[test]
    fn the_token_is_taken_once_and_a_cookie_from_then_on() {
        let guard = Guard::new("0.0.0.0".parse().unwrap(), Some(TOKEN.to_owned())).unwrap().at_port(8080);
        let wrong = TOKEN.replace('0', "1");
        assert_eq!(judge(&guard, "/", &[]), Judgement::NoToken);
        assert_eq!(judge(&guard, &format!("/?token={wrong}"), &[]), Judgement::NoToken);
        for part in ["", "0", &TOKEN[1..], &TOKEN[..31], &format!("{TOKEN}0")] {
            assert_eq!(judge(&guard, &format!("/?token={part}"), &[]), Judgement::NoToken, "{part:?}");
            let bearer = format!("Bearer {part}");
            assert_eq!(judge(&guard, "/api/report", &[(AUTHORIZATION, &bearer)]), Judgement::NoToken, "{part:?}");
        }
        assert_eq!(judge(&guard, &format!("/api/report?token={TOKEN}"), &[]), Judgement::NoToken, "only at the door");
        assert_eq!(judge(&guard, &format!("/?token={TOKEN}"), &[]), Judgement::SignIn);
        let bearer = format!("Bearer {TOKEN}");
        assert_eq!(judge(&guard, "/api/report", &[(AUTHORIZATION, &bearer)]), Judgement::Welcome);
        let cookie = format!("theme=dark; bridge_dashboard_8080={}", guard.session);
        assert_eq!(judge(&guard, "/api/stream", &[(COOKIE, &cookie)]), Judgement::Welcome);
        let of_another = format!("bridge_dashboard_9090={}", guard.session);
        assert_eq!(judge(&guard, "/api/stream", &[(COOKIE, &of_another)]), Judgement::NoToken);
        let token_as_cookie = format!("bridge_dashboard_8080={TOKEN}");
        assert_eq!(judge(&guard, "/api/stream", &[(COOKIE, &token_as_cookie)]), Judgement::NoToken);
    }
}
