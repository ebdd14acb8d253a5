//! Serves HTTP so that no client can hold the process up: a limit on connections, on their silence, and on the end after a stop.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
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
    /// From the first byte of a request to the first of its answer. Every answer here is made from what is at hand.
    pub(crate) request: Duration,
    /// How long a connection may stay open without a request.
    pub(crate) silence: Duration,
    /// The same while others wait to be accepted.
    pub(crate) silence_of_many: Duration,
    /// From the stop to the end, for answers that are under way.
    pub(crate) goodbye: Duration,
}

impl Default for Bounds {
    /// Ours. Far more than scrapers and viewers need, and far fewer than the 1,024 sockets that a process has at the least; longer than a
    /// slow line needs for a request, and shorter than what ends a container (10 s after SIGTERM in Docker).
    fn default() -> Self {
        Self {
            connections: 64,
            request: Duration::from_secs(5),
            silence: Duration::from_secs(30),
            silence_of_many: Duration::from_secs(1),
            goodbye: Duration::from_secs(2),
        }
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
    let bounded = Bounded { listener, room, crowded: Arc::default(), bounds };
    let served = axum::serve(bounded, router).with_graceful_shutdown(stop.clone().cancelled_owned());
    tokio::select! {
        served = served => served,
        () = async { stop.cancelled().await; sleep(bounds.goodbye).await } => Ok(()),
    }
}

struct Bounded {
    listener: TcpListener,
    room: Arc<Semaphore>,
    /// Whether somebody may be waiting to be accepted.
    crowded: Arc<AtomicBool>,
    bounds: Bounds,
}

impl axum::serve::Listener for Bounded {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        self.crowded.store(self.room.available_permits() == 0, Ordering::Relaxed);
        let room = Arc::clone(&self.room).acquire_owned().await.expect("the semaphore is never closed");
        self.crowded.store(false, Ordering::Relaxed);
        let (stream, from) = axum::serve::Listener::accept(&mut self.listener).await;
        let (crowded, bounds) = (Arc::clone(&self.crowded), self.bounds);
        let look = Box::pin(sleep(bounds.silence_of_many));
        (Connection { stream, bounds, crowded, since: Instant::now(), asked: false, look, _room: room }, from)
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

/// A connection that ends if nothing was answered on it for a while. Only the first byte of a request counts: one that comes byte by byte
/// would keep it open for ever.
struct Connection {
    stream: TcpStream,
    bounds: Bounds,
    crowded: Arc<AtomicBool>,
    /// When its last answer went, or the request came that has none yet.
    since: Instant,
    asked: bool,
    /// When to look whether it must end.
    look: Pin<Box<Sleep>>,
    _room: OwnedSemaphorePermit,
}

impl Connection {
    fn is_over(&self) -> bool {
        let Bounds { request, silence, silence_of_many, .. } = self.bounds;
        let limit = match (self.asked, self.crowded.load(Ordering::Relaxed)) {
            (true, _) => request,
            (false, true) => silence_of_many,
            (false, false) => silence,
        };
        self.since.elapsed() >= limit
    }
}

impl AsyncRead for Connection {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while this.look.as_mut().poll(cx).is_ready() {
            if this.is_over() {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            this.look.as_mut().reset(Instant::now() + this.bounds.silence_of_many);
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(cx, buf))?;
        if buf.filled().len() > before && !this.asked {
            (this.asked, this.since) = (true, Instant::now());
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = ready!(Pin::new(&mut this.stream).poll_write(cx, buf));
        (this.asked, this.since) = (false, Instant::now());
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
    const SHORT: Duration = Duration::from_millis(100);
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
        let (address, stop, served) = start(Bounds { request: LONG, silence: LONG, ..Bounds::default() }).await;
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
            start(Bounds { request: SHORT, silence_of_many: SHORT, ..Bounds::default() }).await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        let dripping = async {
            while stream.write_all(b"G").await.is_ok() {
                sleep(Duration::from_millis(50)).await;
            }
        };
        timeout(LONG, dripping).await.expect("the connection is closed");
    }

    #[tokio::test]
    async fn connections_beyond_the_limit_wait_for_one_that_is_at_work() {
        let bounds = Bounds { connections: 1, request: LONG, silence_of_many: SHORT, ..Bounds::default() };
        let (address, _stop, _served) = start(bounds).await;
        let mut first = TcpStream::connect(address).await.unwrap();
        first.write_all(&ASK[..10]).await.unwrap();
        let mut second = TcpStream::connect(address).await.unwrap();
        second.write_all(ASK).await.unwrap();
        let waits = timeout(3 * SHORT, second.read_u8()).await;
        assert!(waits.is_err(), "it is not accepted");
        drop(first);
        assert!(answer(&mut second).await.ends_with("here"));
    }

    /// What keeps a connection and asks nothing gives way to who asks; while nobody waits it may stay.
    #[tokio::test]
    async fn idle_connections_hold_nobody_up() {
        let bounds = Bounds { connections: 3, silence: 10 * LONG, silence_of_many: SHORT, ..Bounds::default() };
        let (address, _stop, _served) = start(bounds).await;
        let mut kept = TcpStream::connect(address).await.unwrap();
        kept.write_all(ASK).await.unwrap();
        assert!(answer(&mut kept).await.ends_with("here"));
        let mute = TcpStream::connect(address).await.unwrap();
        sleep(3 * SHORT).await;
        kept.write_all(ASK).await.unwrap();
        assert!(answer(&mut kept).await.ends_with("here"), "it stays");
        let more = TcpStream::connect(address).await.unwrap();
        let mut asks = TcpStream::connect(address).await.unwrap();
        asks.write_all(ASK).await.unwrap();
        assert!(answer(&mut asks).await.ends_with("here"));
        drop((kept, mute, more));
    }
}
