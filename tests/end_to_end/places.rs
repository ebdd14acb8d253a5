//! Services that hand out identities, and services that are shown them: all at one address, which keeps what it was asked.

use std::{
    io,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::{Bytes, to_bytes},
    extract::{Request, State},
    http::{Method, StatusCode},
    response::{IntoResponse, Response},
};
use bridge_tests::cloud::runtime;
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use serde_json::json;
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

type Kept = Arc<Mutex<Vec<Asked>>>;

/// A router that is served with and without TLS; ended when dropped.
pub(crate) struct Served {
    pub(crate) address: String,
    pub(crate) secure_address: String,
    serving: [JoinHandle<()>; 2],
}

impl Served {
    pub(crate) fn start(router: Router) -> Self {
        let bind = || runtime().block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let (plain, secure) = (bind(), bind());
        let address = format!("http://{}", plain.local_addr().unwrap());
        let secure_address = format!("https://{}", secure.local_addr().unwrap());
        let tls = Tls { listener: secure, acceptor: TlsAcceptor::from(Arc::new(server())) };
        let of_tls = router.clone();
        let serving = [
            runtime().spawn(async move { axum::serve(plain, router).await.unwrap() }),
            runtime().spawn(async move { axum::serve(tls, of_tls).await.unwrap() }),
        ];
        Self { address, secure_address, serving }
    }

    /// The certificate of who vouches for the secure address: a custom CA.
    pub(crate) fn authority() -> PathBuf {
        certificate("ca.pem")
    }
}

/// The places.
pub(crate) struct Places {
    served: Served,
    kept: Kept,
}

impl Places {
    pub(crate) fn start() -> Self {
        let kept = Kept::default();
        let served = Served::start(Router::new().fallback(answer).with_state(Arc::clone(&kept)));
        Self { served, kept }
    }

    pub(crate) fn address(&self) -> &str {
        &self.served.address
    }

    pub(crate) fn secure_address(&self) -> &str {
        &self.served.secure_address
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.kept.lock().unwrap().clone()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.serving.iter().for_each(JoinHandle::abort);
    }
}

fn certificate(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("end_to_end/certificates").join(name)
}

/// For 127.0.0.1, by a CA of these tests alone, whose key is gone.
fn server() -> ServerConfig {
    let chain = vec![CertificateDer::from_pem_file(certificate("server.pem")).unwrap()];
    let key = PrivateKeyDer::from_pem_file(certificate("server.key")).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    builder.with_no_client_auth().with_single_cert(chain, key).unwrap()
}

struct Tls {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl axum::serve::Listener for Tls {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (socket, from) = self.listener.accept().await.unwrap();
            if let Ok(stream) = self.acceptor.accept(socket).await {
                return (stream, from);
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

async fn answer(State(kept): State<Kept>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body: Bytes = to_bytes(body, 1 << 20).await.unwrap();
    let header = |(name, value): (_, &axum::http::HeaderValue)| {
        (axum::http::HeaderName::as_str(name).to_owned(), value.to_str().unwrap_or_default().to_owned())
    };
    let asked = Asked {
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        headers: parts.headers.iter().map(header).collect(),
        body: String::from_utf8_lossy(&body).into_owned(),
    };
    kept.lock().unwrap().push(asked.clone());
    let key = |id: &str| {
        json!({ "Code": "Success", "Type": "AWS-HMAC", "AccessKeyId": id, "SecretAccessKey": "s", "Token": "t",
                "LastUpdated": "2026-01-01T00:00:00Z", "Expiration": "2099-01-01T00:00:00Z" })
        .to_string()
    };
    let token = |text: &str| {
        json!({ "access_token": text, "expires_on": "4070908800", "resource": "asked", "token_type": "Bearer" })
            .to_string()
    };
    match (parts.method, asked.path.as_str()) {
        (_, "/container") => key("AKIDCONTAINER").into_response(),
        (_, "/hangs") => std::future::pending().await,
        (Method::PUT, "/latest/api/token") => {
            ([("x-aws-ec2-metadata-token-ttl-seconds", "21600")], "a-session").into_response()
        }
        (_, path) if path.ends_with("/worker-role") => key("AKIDINSTANCE").into_response(),
        (_, path) if path.starts_with("/latest/meta-data/iam/security-credentials") => "worker-role".into_response(),
        (_, "/sts/") => {
            "<AssumeRoleWithWebIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleWithWebIdentityResult>\
             <Credentials><AccessKeyId>AKIDROLE</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken>\
             <Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleWithWebIdentityResult>\
             </AssumeRoleWithWebIdentityResponse>"
                .into_response()
        }
        (_, "/sso/federation/credentials") => {
            let role = json!({ "accessKeyId": "AKIDSSO", "secretAccessKey": "s", "sessionToken": "t", "expiration": 4_070_908_800_000_u64 });
            json!({ "roleCredentials": role }).to_string().into_response()
        }
        // As the service does without the header: it is how one knows that it is there.
        (_, "/metadata/identity/oauth2/token") if asked.header("metadata").is_none() => StatusCode::BAD_REQUEST.into_response(),
        (_, "/metadata/identity/oauth2/token") => token("token-of-a-machine").into_response(),
        (_, "/app/token") => token("token-of-an-app").into_response(),
        (_, path) if path.ends_with("/oauth2/v2.0/token") => {
            json!({ "access_token": "token-of-a-principal", "expires_in": 3600, "token_type": "Bearer" }).to_string().into_response()
        }
        // The services themselves: whom they were shown is all that counts.
        (_, "/") if asked.header("x-amz-target").is_some() => {
            let refusal = json!({ "__type": "com.amazonaws.dynamodb.v20120810#ResourceNotFoundException", "message": "none" });
            (StatusCode::BAD_REQUEST, refusal.to_string()).into_response()
        }
        _ => StatusCode::FORBIDDEN.into_response(),
    }
}
