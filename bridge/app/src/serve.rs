//! Serves HTTP so that no client can hold the process up: a limit on connections, on their silence, and on the end after a stop.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::Router;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, Sleep, sleep},
};
use tokio_util::sync::CancellationToken;

use crate::exit::Misuse;

/// What clients may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Connections at once; later ones wait to be accepted, and take no socket of the process.
    pub(crate) connections: usize,
    /// How long a connection may get no answer: for a request that does not end, and for none at all.
    pub(crate) silence: Duration,
    /// From the stop to the end, for answers that are under way.
    pub(crate) goodbye: Duration,
}

impl Default for Bounds {
    /// Ours. Far more than scrapers and viewers need, and far fewer than the 1,024 sockets that a process has at the least; longer than a
    /// slow line needs for a request, and shorter than what ends a container (10 s after SIGTERM in Docker).
    fn default() -> Self {
        Self { connections: 64, silence: Duration::from_secs(30), goodbye: Duration::from_secs(2) }
    }
}

/// Listens on `address`, of which `what` speaks. One that this machine does not have is a wrong flag; one that is taken may be free later.
pub(crate) async fn listen(address: SocketAddr, what: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| {
        let text = format!("{what}: {address} cannot be listened on: {error}");
        if error.kind() == io::ErrorKind::AddrInUse { anyhow::anyhow!(text) } else { Misuse(text).into() }
    })
}

/// Serves `router` until `stop`, and at most [`Bounds::goodbye`] longer.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    stop: CancellationToken,
    bounds: Bounds,
) -> io::Result<()> {
    let room = Arc::new(Semaphore::new(bounds.connections));
    let bounded = Bounded { listener, room, silence: bounds.silence };
    let served = axum::serve(bounded, router).with_graceful_shutdown(stop.clone().cancelled_owned());
    tokio::select! {
        served = served => served,
        () = async { stop.cancelled().await; sleep(bounds.goodbye).await } => Ok(()),
    }
}

struct Bounded {
    listener: TcpListener,
    room: Arc<Semaphore>,
    silence: Duration,
}

impl axum::serve::Listener for Bounded {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        let room = Arc::clone(&self.room).acquire_owned().await.expect("the semaphore is never closed");
        let (stream, from) = axum::serve::Listener::accept(&mut self.listener).await;
        let silence = self.silence;
        (Connection { stream, silence, closes: Box::pin(sleep(silence)), _room: room }, from)
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

/// A connection that ends if nothing was answered on it for a while. Only what is written counts: a request that comes byte by byte
/// would keep it open for ever.
struct Connection {
    stream: TcpStream,
    silence: Duration,
    closes: Pin<Box<Sleep>>,
    _room: OwnedSemaphorePermit,
}

impl AsyncRead for Connection {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.closes.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Pin::new(&mut this.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = ready!(Pin::new(&mut this.stream).poll_write(cx, buf));
        this.closes.as_mut().reset(Instant::now() + this.silence);
        Poll::Ready(written)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        task::JoinHandle,
        time::timeout,
    };

    use super::*;

    const LONG: Duration = Duration::from_secs(60);
    const ASK: &[u8] = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";

    async fn start(bounds: Bounds) -> (SocketAddr, CancellationToken, JoinHandle<io::Result<()>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let router = Router::new().route("/", get(async || "here"));
        let served = tokio::spawn(serve(listener, router, stop.clone(), bounds));
        (address, stop, served)
    }

    async fn answer(stream: &mut TcpStream) -> String {
        let mut buffer = [0; 1024];
        let read = timeout(LONG, stream.read(&mut buffer)).await.expect("an answer").unwrap_or_default();
        String::from_utf8_lossy(&buffer[..read]).into_owned()
    }

    #[tokio::test]
    async fn a_request_that_does_not_end_does_not_hold_the_stop_up() {
        let (address, stop, served) = start(Bounds { silence: LONG, ..Bounds::default() }).await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(&ASK[..10]).await.unwrap();
        let mut other = TcpStream::connect(address).await.unwrap();
        other.write_all(ASK).await.unwrap();
        assert!(answer(&mut other).await.ends_with("here"), "the first request is read by now");
        stop.cancel();
        timeout(LONG / 2, served).await.expect("an end").unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_request_that_comes_byte_by_byte_is_not_waited_for() {
        let (address, _stop, _served) =
            start(Bounds { silence: Duration::from_millis(300), ..Bounds::default() }).await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        let dripping = async {
            while stream.write_all(b"G").await.is_ok() {
                sleep(Duration::from_millis(50)).await;
            }
        };
        timeout(LONG, dripping).await.expect("the connection is closed");
    }

    #[tokio::test]
    async fn connections_beyond_the_limit_wait_for_one_to_end() {
        let (address, _stop, _served) = start(Bounds { connections: 1, silence: LONG, ..Bounds::default() }).await;
        let mut first = TcpStream::connect(address).await.unwrap();
        first.write_all(ASK).await.unwrap();
        assert!(answer(&mut first).await.ends_with("here"));
        let mut second = TcpStream::connect(address).await.unwrap();
        second.write_all(ASK).await.unwrap();
        let waits = timeout(Duration::from_millis(300), second.read_u8()).await;
        assert!(waits.is_err(), "it is not accepted");
        drop(first);
        assert!(answer(&mut second).await.ends_with("here"));
    }
}
