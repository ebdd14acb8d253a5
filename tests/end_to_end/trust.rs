//! STS, Entra ID and a managed identity that verify what they are shown: signatures by the issuer's key set, issuer, audience, subject and
//! time. In front of the services of AWS stands a guard that lets nobody in by credentials that have ended.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use aws_lc_rs::{
    rand::SystemRandom,
    rsa::{KeyPair, KeySize, PublicKeyComponents},
    signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256},
};
use axum::{
    Router,
    body::to_bytes,
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header::HOST},
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::places::Served;

pub(crate) const CLIENT: &str = "6f2b1a52-6f0a-4f0e-9d53-0c1b7c9a2f11";
pub(crate) const TENANT: &str = "0c1b7c9a-6f0a-4f0e-9d53-6f2b1a52aaaa";
pub(crate) const ROLE: &str = "arn:aws:iam::123456789012:role/bridge-worker";
pub(crate) const FOREIGN_ROLE: &str = "arn:aws:iam::123456789012:role/bridge-from-azure";
pub(crate) const AUDIENCE: &str = "api://bridge-aws";
const EXCHANGE: &str = "api://AzureADTokenExchange";
const OBJECT: &str = "c9a2f110-9d53-4f0e-6f0a-0c1b7c9a2f11";
const AWS_ISSUER: &str = "https://0f1e2d3c.tokens.sts.global.api.aws";
const AZURE_ISSUER: &str = "https://sts.windows.net/0c1b7c9a-6f0a-4f0e-9d53-6f2b1a52aaaa/";

/// What the two clouds trust, and how long what they issue lives. As set up right, unless a test changes it.
#[allow(clippy::struct_excessive_bools, reason = "each is one thing that can be broken")]
pub(crate) struct Setup {
    /// Of access tokens, managed identity's tokens and a role's credentials.
    pub(crate) life: Duration,
    pub(crate) outbound_enabled: bool,
    pub(crate) may_ask_for_token: bool,
    pub(crate) entra_issuer: &'static str,
    pub(crate) entra_audience: &'static str,
    pub(crate) entra_subject: &'static str,
    pub(crate) entra_client: &'static str,
    pub(crate) entra_tenant: &'static str,
    pub(crate) iam_issuer: Option<&'static str>,
    pub(crate) iam_audience: &'static str,
    pub(crate) role_subject: &'static str,
    pub(crate) role: &'static str,
    /// Issuers of both clouds sign with a key that their key set does not have.
    pub(crate) keys_changed: bool,
    /// Tokens of both clouds have ended when they are issued.
    pub(crate) ended: bool,
    /// STS and Entra ID answer 503.
    pub(crate) away: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            life: Duration::from_secs(3_600),
            outbound_enabled: true,
            may_ask_for_token: true,
            entra_issuer: AWS_ISSUER,
            entra_audience: EXCHANGE,
            entra_subject: ROLE,
            entra_client: CLIENT,
            entra_tenant: TENANT,
            iam_issuer: Some(AZURE_ISSUER),
            iam_audience: AUDIENCE,
            role_subject: OBJECT,
            role: FOREIGN_ROLE,
            keys_changed: false,
            ended: false,
            away: false,
        }
    }
}

/// What happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Books {
    /// Tokens of Entra ID, by scope.
    pub(crate) entra: BTreeMap<String, u32>,
    /// Credentials of the foreign role.
    pub(crate) assumed: u32,
    /// Requests that the guard let through, and those that it refused.
    pub(crate) passed: u32,
    pub(crate) refused: u32,
}

struct Issuer {
    key: KeyPair,
    other: KeyPair,
    /// As `/.well-known/jwks.json` has it.
    key_set: Value,
}

impl Issuer {
    fn new(kid: &str) -> Self {
        let key = || KeyPair::generate(KeySize::Rsa2048).unwrap();
        let (key, other) = (key(), key());
        // RFC 8017, A.1.1: a sequence of two integers, the first of 2048 bits with a zero before it.
        let n = URL_SAFE_NO_PAD.encode(&key.public_key().as_ref()[9..9 + 256]);
        let key_set =
            json!({ "keys": [{ "kty": "RSA", "alg": "RS256", "use": "sig", "kid": kid, "n": n, "e": "AQAB" }] });
        Self { key, other, key_set }
    }

    fn sign(&self, claims: &Value, by_other: bool) -> String {
        let header = json!({ "alg": "RS256", "typ": "JWT", "kid": self.key_set["keys"][0]["kid"] });
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let text = format!("{}.{}", part(&header), part(claims));
        let key = if by_other { &self.other } else { &self.key };
        let mut signature = vec![0; key.public_modulus_len()];
        key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature).unwrap();
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// The claims, if the key set has the key that signed them.
    fn verify(&self, token: &str) -> Option<Value> {
        let (text, signature) = token.rsplit_once('.')?;
        let (header, claims) = text.split_once('.')?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).ok();
        let header: Value = serde_json::from_slice(&decode(header)?).ok()?;
        let key = self.key_set["keys"].as_array()?.iter().find(|key| key["kid"] == header["kid"])?;
        if header["alg"] != "RS256" {
            return None;
        }
        let key = PublicKeyComponents { n: decode(key["n"].as_str()?)?, e: decode(key["e"].as_str()?)? };
        key.verify(&RSA_PKCS1_2048_8192_SHA256, text.as_bytes(), &decode(signature)?).ok()?;
        serde_json::from_slice(&decode(claims)?).ok()
    }
}

/// All of it; ended when dropped.
pub(crate) struct Trust {
    served: Served,
    inner: Arc<Inner>,
}

struct Inner {
    setup: Mutex<Setup>,
    books: Mutex<Books>,
    aws: Issuer,
    azure: Issuer,
    /// Session tokens, each with whose it is and its end.
    sessions: Mutex<BTreeMap<String, (&'static str, SystemTime)>>,
    /// SQS and DynamoDB.
    behind: [String; 2],
    client: reqwest::Client,
}

impl Trust {
    /// In front of SQS and DynamoDB at these addresses.
    pub(crate) fn start(behind: [&str; 2]) -> Self {
        let inner = Arc::new(Inner {
            setup: Mutex::default(),
            books: Mutex::default(),
            aws: Issuer::new("aws-1"),
            azure: Issuer::new("azure-1"),
            sessions: Mutex::default(),
            behind: behind.map(|address| address.trim_end_matches('/').to_owned()),
            client: reqwest::Client::new(),
        });
        let served = Served::start(Router::new().fallback(answer).with_state(Arc::clone(&inner)));
        Self { served, inner }
    }

    pub(crate) fn address(&self) -> &str {
        &self.served.address
    }

    pub(crate) fn secure_address(&self) -> &str {
        &self.served.secure_address
    }

    pub(crate) fn set(&self, change: impl FnOnce(&mut Setup)) {
        change(&mut lock(&self.inner.setup));
    }

    pub(crate) fn books(&self) -> Books {
        lock(&self.inner.books).clone()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap()
}

fn seconds(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).unwrap().as_secs()
}

async fn answer(State(inner): State<Arc<Inner>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, 1 << 22).await.unwrap();
    let path = parts.uri.path().to_owned();
    let text = String::from_utf8_lossy(&body).into_owned();
    if path == "/container" {
        return inner.container();
    }
    if path == "/app/token" {
        return inner.managed_identity(parts.uri.query().unwrap_or_default(), &parts.headers);
    }
    if path.starts_with("/sts") {
        return inner.sts(&form(&text), &parts.headers);
    }
    if let Some(tenant) = path.strip_suffix("/oauth2/v2.0/token") {
        return inner.entra(tenant.trim_start_matches('/'), &form(&text));
    }
    inner.guard(parts, body).await
}

fn form(text: &str) -> BTreeMap<String, String> {
    let address = reqwest::Url::parse(&format!("http://localhost/?{text}")).unwrap();
    address.query_pairs().into_owned().collect()
}

impl Inner {
    /// Credentials, good for one life; their expiry as ISO 8601.
    fn session(&self, of: &'static str) -> (String, String) {
        let ends = SystemTime::now() + lock(&self.setup).life;
        let mut sessions = lock(&self.sessions);
        let token = format!("session-{}-{}", of.rsplit('/').next().unwrap(), sessions.len());
        sessions.insert(token.clone(), (of, ends));
        (token, chrono::DateTime::<chrono::Utc>::from(ends).format("%FT%T%.3fZ").to_string())
    }

    /// Whose a request is, by credentials that have not ended.
    fn caller(&self, headers: &HeaderMap) -> Option<&'static str> {
        let token = headers.get("x-amz-security-token")?.to_str().ok()?;
        let (of, ends) = *lock(&self.sessions).get(token)?;
        (SystemTime::now() < ends).then_some(of)
    }

    fn container(&self) -> Response {
        let (token, ends) = self.session(ROLE);
        json!({ "AccessKeyId": "LOCALCLOUD", "SecretAccessKey": "not-a-secret", "Token": token, "Expiration": ends })
            .to_string()
            .into_response()
    }

    /// "How to use managed identities for App Service": by the app's own header.
    fn managed_identity(&self, query: &str, headers: &HeaderMap) -> Response {
        let asked = form(query);
        if headers.get("x-identity-header").is_none_or(|header| header != "let-me-in") {
            return StatusCode::UNAUTHORIZED.into_response();
        }
        let setup = lock(&self.setup);
        let now = SystemTime::now();
        let ends = if setup.ended { now - Duration::from_secs(600) } else { now + setup.life };
        let claims = json!({ "iss": AZURE_ISSUER, "aud": asked["resource"], "sub": OBJECT, "exp": seconds(ends) });
        let token = self.azure.sign(&claims, setup.keys_changed);
        // What the client is told has not ended: it is the issuer's clock that is wrong.
        let told = seconds(now + setup.life).to_string();
        json!({ "access_token": token, "expires_on": told, "resource": asked["resource"], "token_type": "Bearer" })
            .to_string()
            .into_response()
    }

    fn sts(&self, asked: &BTreeMap<String, String>, headers: &HeaderMap) -> Response {
        let setup = lock(&self.setup);
        if setup.away {
            return StatusCode::SERVICE_UNAVAILABLE.into_response();
        }
        match asked["Action"].as_str() {
            "GetWebIdentityToken" => {
                let life: u64 = asked["DurationSeconds"].parse().unwrap();
                assert!((60..=3_600).contains(&life) && asked["SigningAlgorithm"] == "RS256", "{asked:?}");
                let Some(role) = self.caller(headers) else { return refused("ExpiredToken", "the session has ended") };
                if !setup.outbound_enabled {
                    let said = "Outbound web identity federation is disabled for the account";
                    return refused("OutboundWebIdentityFederationDisabledException", said);
                }
                if !setup.may_ask_for_token {
                    let said = "User is not authorized to perform: sts:GetWebIdentityToken";
                    return refused("AccessDenied", said);
                }
                let now = seconds(SystemTime::now());
                let ends = if setup.ended { now - 600 } else { now + life };
                let claims = json!({ "iss": AWS_ISSUER, "aud": asked["Audience.member.1"], "sub": role, "exp": ends });
                let token = self.aws.sign(&claims, setup.keys_changed);
                result("GetWebIdentityToken", &format!("<WebIdentityToken>{token}</WebIdentityToken>"))
            }
            "AssumeRoleWithWebIdentity" => {
                assert!(!headers.contains_key("authorization"), "nobody is there to sign it");
                // A worker's, and a command's of nobody's site.
                assert!(
                    ["bridge-azure-westeurope", "bridge-operator"].contains(&asked["RoleSessionName"].as_str()),
                    "{asked:?}"
                );
                if let Some((code, said)) = self.refuse_web_identity(&setup, asked) {
                    return refused(code, &said);
                }
                drop(setup);
                let (token, ends) = self.session(FOREIGN_ROLE);
                lock(&self.books).assumed += 1;
                let credentials = format!(
                    "<Credentials><AccessKeyId>LOCALCLOUD</AccessKeyId><SecretAccessKey>not-a-secret</SecretAccessKey>\
                     <SessionToken>{token}</SessionToken><Expiration>{ends}</Expiration></Credentials>"
                );
                result("AssumeRoleWithWebIdentity", &credentials)
            }
            other => panic!("{other} was asked"),
        }
    }

    /// In the service's own words, as its users quote them.
    fn refuse_web_identity(&self, setup: &Setup, asked: &BTreeMap<String, String>) -> Option<(&'static str, String)> {
        let token = &asked["WebIdentityToken"];
        let unverified = token.split('.').nth(1).and_then(|part| URL_SAFE_NO_PAD.decode(part).ok());
        let issuer: Value = unverified.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
        let issuer = issuer["iss"].as_str().unwrap_or_default();
        let invalid = |said: String| Some(("InvalidIdentityToken", said));
        if setup.iam_issuer != Some(issuer) {
            return invalid(format!("No OpenIDConnect provider found in your account for {issuer}"));
        }
        let Some(claims) = self.azure.verify(token) else {
            return invalid("Couldn't retrieve verification key from your identity provider".to_owned());
        };
        if claims["exp"].as_u64().unwrap() <= seconds(SystemTime::now()) {
            return Some((
                "ExpiredTokenException",
                "Token expired: current date/time must be before the expiration date/time".to_owned(),
            ));
        }
        if claims["aud"] != setup.iam_audience {
            return invalid("Incorrect token audience".to_owned());
        }
        if asked["RoleArn"] != setup.role || claims["sub"] != setup.role_subject {
            return Some(("AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity".to_owned()));
        }
        None
    }

    fn entra(&self, tenant: &str, asked: &BTreeMap<String, String>) -> Response {
        let setup = lock(&self.setup);
        if setup.away {
            return StatusCode::SERVICE_UNAVAILABLE.into_response();
        }
        assert_eq!(asked["client_assertion_type"], "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
        assert_eq!(asked["grant_type"], "client_credentials");
        if let Some((code, said)) = self.refuse_assertion(&setup, tenant, asked) {
            let body = json!({
                "error": "invalid_client", "error_description": format!("AADSTS{code}: {said} Trace ID: t"),
                "error_codes": [code], "timestamp": "t", "trace_id": "t", "correlation_id": "c",
            });
            return (StatusCode::UNAUTHORIZED, body.to_string()).into_response();
        }
        *lock(&self.books).entra.entry(asked["scope"].clone()).or_default() += 1;
        let ends = SystemTime::now() + setup.life;
        let claims = json!({ "iss": AZURE_ISSUER, "aud": asked["scope"], "sub": CLIENT, "exp": seconds(ends) });
        let token = self.azure.sign(&claims, false);
        json!({ "access_token": token, "expires_in": setup.life.as_secs(), "token_type": "Bearer" })
            .to_string()
            .into_response()
    }

    /// By the codes of "Microsoft Entra authentication and authorization error codes".
    fn refuse_assertion(&self, setup: &Setup, tenant: &str, asked: &BTreeMap<String, String>) -> Option<(u32, String)> {
        if tenant != setup.entra_tenant {
            return Some((90_002, format!("Tenant '{tenant}' not found.")));
        }
        if asked["client_id"] != setup.entra_client {
            return Some((700_016, format!("Application with identifier '{}' was not found.", asked["client_id"])));
        }
        let Some(claims) = self.aws.verify(&asked["client_assertion"]) else {
            return Some((
                700_027,
                "The certificate with identifier used to sign the client assertion is not registered.".to_owned(),
            ));
        };
        let none = |what: &str| format!("No matching federated identity record found for presented assertion {what}.");
        if claims["exp"].as_u64().unwrap() <= seconds(SystemTime::now()) {
            return Some((700_024, "Client assertion is not within its valid time range.".to_owned()));
        }
        let wrong = [
            (claims["iss"] != setup.entra_issuer, 700_211, "issuer"),
            (claims["aud"] != setup.entra_audience, 700_212, "audience"),
            (claims["sub"] != setup.entra_subject, 7_002_138, "subject"),
        ];
        wrong.into_iter().find_map(|(wrong, code, what)| wrong.then(|| (code, none(what))))
    }

    /// Passes a request on to SQS or DynamoDB if it is the foreign role's.
    async fn guard(&self, parts: axum::http::request::Parts, body: bytes::Bytes) -> Response {
        if self.caller(&parts.headers) != Some(FOREIGN_ROLE) {
            lock(&self.books).refused += 1;
            let refusal = json!({ "__type": "com.amazon.coral.service#ExpiredTokenException", "message": "The security token included in the request is expired" });
            return (StatusCode::FORBIDDEN, refusal.to_string()).into_response();
        }
        lock(&self.books).passed += 1;
        let target = parts.headers.get("x-amz-target").and_then(|target| target.to_str().ok()).unwrap_or_default();
        let behind = &self.behind[usize::from(target.starts_with("DynamoDB"))];
        let mut headers = parts.headers.clone();
        headers.remove(HOST);
        let sent = self.client.request(parts.method, format!("{behind}{}", parts.uri)).headers(headers).body(body);
        let answer = sent.send().await.unwrap();
        let (status, mut headers) = (answer.status(), answer.headers().clone());
        headers.remove("transfer-encoding");
        (status, headers, answer.bytes().await.unwrap()).into_response()
    }
}

fn result(action: &str, inner: &str) -> Response {
    format!(
        "<{action}Response xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><{action}Result>{inner}</{action}Result></{action}Response>"
    )
    .into_response()
}

fn refused(code: &str, said: &str) -> Response {
    let body = format!(
        "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender</Type><Code>{code}</Code>\
         <Message>{said}</Message></Error><RequestId>r</RequestId></ErrorResponse>"
    );
    (StatusCode::BAD_REQUEST, body).into_response()
}
