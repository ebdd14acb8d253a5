//! The byte stream beneath AMQP, where what comes is checked, and settlements are read.
//!
//! fe2o3-amqp drops the state with which the service settles a received message, so its `accept` cannot tell completed
//! from lock lost. The stream is ours, so the outcome is read here, by delivery id; one session for each connection
//! makes that unique. The stream can also be cut, which ends every task of a connection whose peer has gone silent.
//! What the library may see is the business of [`super::frames`]; what it writes passes as it is.

use std::{
    collections::HashMap,
    fmt, io,
    pin::Pin,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use fe2o3_amqp::types::{definitions::Role, messaging::DeliveryState, performatives::Disposition};
use futures_util::task::AtomicWaker;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::{mpsc, watch},
    time::timeout,
};

use super::{
    failure::Failure,
    frames::{BadFrame, Frames},
};

/// Bytes of one read. Ours: a quarter of the largest frame.
const READ_BYTES: usize = 16 * 1024;

/// What a connection runs on: a socket, with or without TLS.
pub(crate) trait Io: AsyncRead + AsyncWrite + fmt::Debug + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + fmt::Debug + Send + Unpin> Io for T {}

/// Which of the settlements of one call this is, and the state that the service gave it.
pub(crate) type Settled = (usize, Option<DeliveryState>);

/// Which of the settlements of its call somebody waits for, and where to tell it.
type Waiter = (usize, mpsc::UnboundedSender<Settled>);

/// The side of a [`Tap`] that stays with the connection's owner.
#[derive(Debug)]
pub(crate) struct Line {
    /// Settlements that somebody waits for, by delivery id; none once the stream is gone.
    waiting: Mutex<Option<HashMap<u32, Waiter>>>,
    gone: watch::Sender<bool>,
    cut: AtomicBool,
    /// What came that the library must not see.
    refused: OnceLock<BadFrame>,
    reader: AtomicWaker,
}

impl Line {
    /// Tells `answers` when the service settles `delivery`. When the stream ends, `answers` is dropped.
    pub(crate) fn expect(&self, delivery: u32, index: usize, answers: &mpsc::UnboundedSender<Settled>) {
        if let Some(waiting) = self.waiting.lock().expect("nothing panics while it holds the lock").as_mut() {
            waiting.insert(delivery, (index, answers.clone()));
        }
    }

    /// Returns when the stream has ended.
    pub(crate) async fn ended(&self) {
        // The sender is ours, so waiting cannot fail.
        let _ = self.gone.subscribe().wait_for(|gone| *gone).await;
    }

    /// Waits for something that the peer has to answer, but not after the stream has ended: fe2o3-amqp leaves some
    /// operations pending for ever when their connection dies.
    pub(crate) async fn race<T>(
        &self,
        limit: Duration,
        what: &str,
        operation: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        tokio::select! {
            result = timeout(limit, operation) => result.unwrap_or_else(|_| Err(Failure::timed_out(what))),
            () = self.ended() => Err(self.why_ended(what)),
        }
    }

    /// The failure of an operation whose connection ended.
    pub(crate) fn why_ended(&self, what: &str) -> Failure {
        let why = self.refused.get().map(|refused| format!(": {refused}")).unwrap_or_default();
        Failure::unavailable(format!("{what}: the connection ended{why}"))
    }

    pub(crate) fn is_ended(&self) -> bool {
        *self.gone.borrow() || self.cut.load(Ordering::Relaxed)
    }

    /// Ends the stream from this side, whatever the peer does.
    pub(crate) fn cut(&self) {
        self.cut.store(true, Ordering::Relaxed);
        self.reader.wake();
    }

    fn settle(&self, disposition: &Disposition) {
        // A disposition in the receiver's role answers something that we sent.
        if !disposition.settled || disposition.role == Role::Receiver {
            return;
        }
        let ids = disposition.first..=disposition.last.unwrap_or(disposition.first);
        let mut waiting = self.waiting.lock().expect("nothing panics while it holds the lock");
        let Some(waiting) = waiting.as_mut() else { return };
        for (_, (index, answers)) in waiting.extract_if(|id, _| ids.contains(id)) {
            // Whoever asked may have stopped waiting.
            let _ = answers.send((index, disposition.state.clone()));
        }
    }
}

/// The stream itself; fe2o3-amqp owns it.
#[derive(Debug)]
pub(crate) struct Tap {
    inner: Box<dyn Io>,
    line: Arc<Line>,
    frames: Frames,
    /// What the library may see and has not taken, from `taken` on.
    ready: Vec<u8>,
    taken: usize,
    read: Box<[u8; READ_BYTES]>,
}

impl Tap {
    pub(crate) fn new(inner: Box<dyn Io>) -> (Self, Arc<Line>) {
        let line = Arc::new(Line {
            waiting: Mutex::new(Some(HashMap::new())),
            gone: watch::Sender::new(false),
            cut: AtomicBool::new(false),
            refused: OnceLock::new(),
            reader: AtomicWaker::new(),
        });
        let read = Box::new([0; READ_BYTES]);
        (Self { inner, line: Arc::clone(&line), frames: Frames::default(), ready: Vec::new(), taken: 0, read }, line)
    }

    /// Hands over what is ready; false if nothing is.
    fn hand_over(&mut self, buf: &mut ReadBuf<'_>) -> bool {
        let ready = &self.ready[self.taken..];
        let count = ready.len().min(buf.remaining());
        buf.put_slice(&ready[..count]);
        self.taken += count;
        if self.taken == self.ready.len() {
            self.ready.clear();
            self.taken = 0;
        }
        count > 0
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        *self.line.waiting.lock().expect("nothing panics while it holds the lock") = None;
        self.line.gone.send_replace(true);
    }
}

impl AsyncRead for Tap {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.line.reader.register(cx.waker());
        loop {
            if buf.remaining() == 0 || this.hand_over(buf) {
                return Poll::Ready(Ok(()));
            }
            if let Some(refused) = this.line.refused.get() {
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, refused.clone())));
            }
            if this.line.cut.load(Ordering::Relaxed) {
                return Poll::Ready(Ok(()));
            }
            let mut read = ReadBuf::new(&mut this.read[..]);
            ready!(Pin::new(&mut this.inner).poll_read(cx, &mut read))?;
            if read.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            let fed = this.frames.feed(read.filled(), &mut this.ready, |disposition| this.line.settle(&disposition));
            if let Err(refused) = fed {
                tracing::warn!(error = %refused, "what came over a Service Bus connection is not AMQP: the connection ends");
                let _ = this.line.refused.set(refused);
                this.line.cut.store(true, Ordering::Relaxed);
            }
        }
    }
}

impl AsyncWrite for Tap {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.line.cut.load(Ordering::Relaxed) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.line.cut.load(Ordering::Relaxed) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.line.cut.load(Ordering::Relaxed) {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::azure::service_bus::amqp::frames::tests::disposition;

    /// The bytes before a bad frame reach the library; the reason reaches whoever waits.
    #[tokio::test]
    async fn what_is_not_amqp_ends_the_stream_with_a_reason() {
        let (ours, mut theirs) = tokio::io::duplex(1024);
        let (mut tap, line) = Tap::new(Box::new(ours));
        let good = disposition(1);
        theirs.write_all(&[&good[..], &[0, 0, 0, 8, 2, 9, 0, 0]].concat()).await.unwrap();
        let mut read = vec![0; good.len()];
        tap.read_exact(&mut read).await.unwrap();
        assert_eq!(read, good);
        assert_eq!(tap.read(&mut [0; 8]).await.unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert!(line.is_ended());
        drop(tap);
        let never = std::future::pending::<Result<(), Failure>>();
        let failure = line.race(Duration::from_hours(1), "attach", never).await.unwrap_err();
        assert_eq!(failure, Failure::unavailable("attach: the connection ended: a frame of the type 9"));
    }

    #[tokio::test]
    async fn a_waiter_hears_its_outcome_or_the_end() {
        let (ours, mut theirs) = tokio::io::duplex(1024);
        let (mut tap, line) = Tap::new(Box::new(ours));
        let (answers, mut outcomes) = mpsc::unbounded_channel();
        for (delivery, index) in [(5, 0), (6, 1), (9, 2)] {
            line.expect(delivery, index, &answers);
        }
        drop(answers);
        let reader = tokio::spawn(async move { tap.read(&mut [0; 1024]).await.map(|n| (n, tap)) });
        theirs.write_all(&disposition(5)).await.unwrap();
        let mut indexes = [outcomes.recv().await.unwrap().0, outcomes.recv().await.unwrap().0];
        indexes.sort_unstable();
        assert_eq!(indexes, [0, 1]);
        let (_, mut tap) = reader.await.unwrap().unwrap();
        assert!(!line.is_ended());
        line.cut();
        assert_eq!(tap.read(&mut [0; 8]).await.unwrap(), 0, "a cut stream reads as ended");
        drop(tap);
        line.ended().await;
        let never = std::future::pending::<Result<(), Failure>>();
        let failure = line.race(Duration::from_hours(1), "attach", never).await.unwrap_err();
        assert_eq!(failure, Failure::unavailable("attach: the connection ended"));
        assert!(outcomes.recv().await.is_none(), "nobody will settle delivery 9");
    }
}
