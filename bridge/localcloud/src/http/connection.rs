//! Connections that can be cut: reset from outside, without a word to the peer, as a failing network does.
//!
//! Every accepted socket is wrapped in [`CutIo`], whose reads and writes fail once its [`Connection`] was cut. The HTTP
//! machinery then gives up the socket, and as its linger time is zero the peer sees a reset, not an orderly end.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::extract::connect_info::{ConnectInfo, Connected};
use axum::http::request::Parts;
use axum::serve::IncomingStream;
use futures_util::task::AtomicWaker;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

use crate::fault::ServiceFaults;

/// A handle on the connection that a request came over.
#[derive(Clone)]
pub struct Connection(Arc<Wire>);

struct Wire {
    peer: Option<SocketAddr>,
    cut: AtomicBool,
    /// HTTP reads and writes one socket from one task, so one place for a waker is enough.
    waker: AtomicWaker,
}

impl Connection {
    fn new(peer: Option<SocketAddr>) -> Self {
        Self(Arc::new(Wire { peer, cut: AtomicBool::new(false), waker: AtomicWaker::new() }))
    }

    /// Resets the connection: nothing that is not yet sent will be.
    pub fn cut(&self) {
        self.0.cut.store(true, Ordering::Release);
        self.0.waker.wake();
    }

    pub fn is_cut(&self) -> bool {
        self.0.cut.load(Ordering::Acquire)
    }

    /// Where the connection comes from; `None` for a request that was made up within the process.
    pub fn peer(&self) -> Option<SocketAddr> {
        self.0.peer
    }
}

/// A request without a socket (a handler called directly) gets a connection that nobody listens to.
impl<S: Sync> FromRequestParts<S> for Connection {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        let info = parts.extensions.get::<ConnectInfo<Self>>();
        Ok(info.map_or_else(|| Self::new(None), |ConnectInfo(connection)| connection.clone()))
    }
}

impl Connected<IncomingStream<'_, Listener>> for Connection {
    fn connect_info(stream: IncomingStream<'_, Listener>) -> Self {
        stream.io().connection.clone()
    }
}

/// The open connections of one server.
#[derive(Default)]
pub(super) struct Connections {
    next_id: AtomicU64,
    open: Mutex<HashMap<u64, Connection>>,
}

impl Connections {
    pub(super) fn cut_all(&self) {
        for connection in self.open.lock().unwrap_or_else(PoisonError::into_inner).values() {
            connection.cut();
        }
    }

    pub(super) fn count(&self) -> usize {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    fn add(self: &Arc<Self>, connection: Connection) -> Registration {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        self.open.lock().unwrap_or_else(PoisonError::into_inner).insert(id, connection);
        Registration { id, connections: Arc::clone(self) }
    }
}

/// Takes the connection off the list when its socket is dropped.
struct Registration {
    id: u64,
    connections: Arc<Connections>,
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.connections.open.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}

/// Accepts connections, and resets them while the service is dark.
pub(super) struct Listener {
    socket: TcpListener,
    /// Whose darkness counts here; `None` for what is never dark.
    faults: Option<ServiceFaults>,
    connections: Arc<Connections>,
}

impl Listener {
    pub(super) fn new(socket: TcpListener, faults: Option<ServiceFaults>, connections: Arc<Connections>) -> Self {
        Self { socket, faults, connections }
    }

    /// Whether a connection must be turned away now.
    fn is_dark(&self) -> bool {
        let Some(faults) = &self.faults else { return false };
        let dark = faults.is_dark();
        if dark {
            faults.record("connect", "dropped");
        }
        dark
    }
}

impl axum::serve::Listener for Listener {
    type Io = CutIo;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (CutIo, SocketAddr) {
        loop {
            let (stream, peer) = match self.socket.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Mostly a peer that left before it was greeted; or no file handles left, which only time can mend.
                    tracing::debug!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    continue;
                }
            };
            // Answers are written head and body apart: without this, each would wait for the peer's delayed
            // acknowledgement, about 40 ms.
            let _ = stream.set_nodelay(true);
            if self.is_dark() {
                let _ = stream.set_zero_linger();
                continue;
            }
            let connection = Connection::new(Some(peer));
            let registration = self.connections.add(connection.clone());
            return (CutIo { stream, connection, _registration: registration }, peer);
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }
}

/// A socket whose reads and writes fail once its connection was cut.
pub(super) struct CutIo {
    stream: TcpStream,
    connection: Connection,
    _registration: Registration,
}

impl CutIo {
    fn check(&self, cx: &Context<'_>) -> io::Result<()> {
        // Registered before the look, so that a cut between the two still wakes this task.
        self.connection.0.waker.register(cx.waker());
        if self.connection.is_cut() {
            let _ = self.stream.set_zero_linger();
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        Ok(())
    }
}

impl AsyncRead for CutIo {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.check(cx)?;
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for CutIo {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.check(cx)?;
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check(cx)?;
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check(cx)?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check(cx)?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
