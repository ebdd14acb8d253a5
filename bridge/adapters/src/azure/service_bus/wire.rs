//! The byte stream beneath AMQP, which reads the settlements that pass by.
//!
//! fe2o3-amqp drops the state with which the service settles a received message, so its `accept` cannot tell completed
//! from lock lost. The stream is ours, so the outcome is read here, by delivery id; one session for each connection
//! makes that unique. The stream can also be cut, which ends every task of a connection whose peer has gone silent.
//! It never changes a byte, and whatever the peer sends, it does not panic and holds little.

use std::{
    collections::HashMap,
    fmt, io,
    pin::Pin,
    sync::{
        Arc, Mutex,
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

use super::{failure::Failure, well_formed::well_formed};

/// Bytes of a disposition that is still read. Ours: one with an error and its description takes a few hundred.
const DISPOSITION_BYTES_MAX: usize = 64 * 1024;

/// What a connection runs on: a socket, with or without TLS.
pub(super) trait Io: AsyncRead + AsyncWrite + fmt::Debug + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + fmt::Debug + Send + Unpin> Io for T {}

/// Which of the settlements of one call this is, and the state that the service gave it.
pub(super) type Settled = (usize, Option<DeliveryState>);

/// Which of the settlements of its call somebody waits for, and where to tell it.
type Waiter = (usize, mpsc::UnboundedSender<Settled>);

/// The side of a [`Tap`] that stays with the connection's owner.
#[derive(Debug)]
pub(super) struct Line {
    /// Settlements that somebody waits for, by delivery id; none once the stream is gone.
    waiting: Mutex<Option<HashMap<u32, Waiter>>>,
    gone: watch::Sender<bool>,
    cut: AtomicBool,
    reader: AtomicWaker,
}

impl Line {
    /// Tells `answers` when the service settles `delivery`. When the stream ends, `answers` is dropped.
    pub(super) fn expect(&self, delivery: u32, index: usize, answers: &mpsc::UnboundedSender<Settled>) {
        if let Some(waiting) = self.waiting.lock().expect("nothing panics while it holds the lock").as_mut() {
            waiting.insert(delivery, (index, answers.clone()));
        }
    }

    /// Returns when the stream has ended.
    pub(super) async fn ended(&self) {
        // The sender is ours, so waiting cannot fail.
        let _ = self.gone.subscribe().wait_for(|gone| *gone).await;
    }

    /// Waits for something that the peer has to answer, but not after the stream has ended: fe2o3-amqp leaves some
    /// operations pending for ever when their connection dies.
    pub(super) async fn race<T>(
        &self,
        limit: Duration,
        what: &str,
        operation: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        tokio::select! {
            result = timeout(limit, operation) => result.unwrap_or_else(|_| Err(Failure::timed_out(what))),
            () = self.ended() => Err(Failure::unavailable(format!("{what}: the connection ended"))),
        }
    }

    pub(super) fn is_ended(&self) -> bool {
        *self.gone.borrow() || self.cut.load(Ordering::Relaxed)
    }

    /// Ends the stream from this side, whatever the peer does.
    pub(super) fn cut(&self) {
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
pub(super) struct Tap {
    inner: Box<dyn Io>,
    line: Arc<Line>,
    frames: Frames,
}

impl Tap {
    pub(super) fn new(inner: Box<dyn Io>) -> (Self, Arc<Line>) {
        let line = Arc::new(Line {
            waiting: Mutex::new(Some(HashMap::new())),
            gone: watch::Sender::new(false),
            cut: AtomicBool::new(false),
            reader: AtomicWaker::new(),
        });
        (Self { inner, line: Arc::clone(&line), frames: Frames::default() }, line)
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
        if this.line.cut.load(Ordering::Relaxed) {
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.inner).poll_read(cx, buf))?;
        this.frames.feed(&buf.filled()[before..], |disposition| this.line.settle(&disposition));
        Poll::Ready(Ok(()))
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

/// Follows the boundaries of frames and keeps nothing but dispositions.
///
/// A frame is a header of eight bytes (size, offset of the body in words, type, channel), the extended header, and the
/// body, which begins with a descriptor. AMQP 1.0, part 2, section 2.3.
#[derive(Debug)]
pub(super) struct Frames {
    /// The beginning of the current frame.
    held: Vec<u8>,
    /// How much of it the next decision needs; always more than is held.
    wanted: usize,
    /// Bytes to go until the next frame.
    skip: usize,
    /// The peer speaks something else: nothing more can be read here, and the connection will say so.
    lost: bool,
}

const HEADER_BYTES: usize = 8;
const AMQP_FRAME: u8 = 0;
/// A described type with the small code of `disposition`, as the service writes it.
const DISPOSITION: [u8; 3] = [0x00, 0x53, 0x15];

impl Default for Frames {
    fn default() -> Self {
        Self { held: Vec::new(), wanted: HEADER_BYTES, skip: 0, lost: false }
    }
}

impl Frames {
    pub(super) fn feed(&mut self, mut bytes: &[u8], mut found: impl FnMut(Disposition)) {
        while !bytes.is_empty() && !self.lost {
            if self.skip > 0 {
                let count = self.skip.min(bytes.len());
                self.skip -= count;
                bytes = &bytes[count..];
                continue;
            }
            let count = (self.wanted - self.held.len()).min(bytes.len());
            self.held.extend_from_slice(&bytes[..count]);
            bytes = &bytes[count..];
            if self.held.len() == self.wanted {
                self.decide(&mut found);
            }
        }
    }

    fn decide(&mut self, found: &mut impl FnMut(Disposition)) {
        if self.held.starts_with(b"AMQP") {
            return self.end_frame(HEADER_BYTES); // The header of a protocol is as long as that of a frame.
        }
        let size = u32::from_be_bytes([self.held[0], self.held[1], self.held[2], self.held[3]]) as usize;
        let body = usize::from(self.held[4]) * 4;
        if !(HEADER_BYTES..=size).contains(&body) {
            self.lost = true;
            return;
        }
        let descriptor_end = (body + DISPOSITION.len()).min(size);
        if self.held.len() < descriptor_end {
            self.wanted = descriptor_end;
            return;
        }
        let disposition = self.held[5] == AMQP_FRAME && self.held[body..].starts_with(&DISPOSITION);
        if disposition && size <= DISPOSITION_BYTES_MAX {
            if self.held.len() < size {
                self.wanted = size;
                return;
            }
            // One that cannot be read settles nothing here: whoever waits for it runs into its time limit.
            let disposition = Some(&self.held[body..]).filter(|encoded| well_formed(encoded));
            if let Some(Ok(disposition)) = disposition.map(serde_amqp::from_slice) {
                found(disposition);
            }
        }
        self.end_frame(size);
    }

    fn end_frame(&mut self, size: usize) {
        self.skip = size - self.held.len();
        self.wanted = HEADER_BYTES;
        self.held.clear();
    }
}

#[cfg(test)]
mod tests {
    use fe2o3_amqp::types::messaging::Accepted;

    use super::*;

    fn frame(kind: u8, body: &[u8]) -> Vec<u8> {
        let mut frame = u32::try_from(HEADER_BYTES + body.len()).unwrap().to_be_bytes().to_vec();
        frame.extend([2, kind, 0, 0]);
        frame.extend(body);
        frame
    }

    fn disposition(first: u32) -> Vec<u8> {
        let disposition = Disposition {
            role: Role::Sender,
            first,
            last: Some(first + 1),
            settled: true,
            state: Some(DeliveryState::Accepted(Accepted {})),
            batchable: false,
        };
        frame(AMQP_FRAME, &serde_amqp::to_vec(&disposition).unwrap())
    }

    fn found_in(pieces: &mut dyn Iterator<Item = &[u8]>) -> (Vec<u32>, Frames) {
        let (mut frames, mut found) = (Frames::default(), Vec::new());
        for piece in pieces {
            frames.feed(piece, |disposition| found.push(disposition.first));
        }
        (found, frames)
    }

    #[test]
    fn dispositions_are_found_however_the_stream_is_cut_in_pieces() {
        let mut stream = b"AMQP\x03\x01\x00\x00".to_vec();
        stream.extend(frame(1, &DISPOSITION)); // Of SASL, so none.
        stream.extend(b"AMQP\x00\x01\x00\x00");
        stream.extend(frame(AMQP_FRAME, &[])); // A heartbeat.
        stream.extend(disposition(1));
        stream.extend(frame(AMQP_FRAME, &[0x00, 0x53, 0x14, 0xc0, 2, 0, 0]));
        stream.extend(frame(AMQP_FRAME, &vec![b'x'; 100_000]));
        stream.extend(frame(AMQP_FRAME, &[0x00]));
        stream.extend(disposition(7));
        for length in [1, 2, 3, 7, 8, 9, 11, 64, stream.len()] {
            let (found, frames) = found_in(&mut stream.chunks(length));
            assert_eq!(found, [1, 7], "in pieces of {length}");
            assert!(frames.held.is_empty() && frames.held.capacity() < 1024);
        }
    }

    #[test]
    fn nonsense_is_neither_believed_nor_held() {
        let huge = [&u32::MAX.to_be_bytes()[..], &[2, 0, 0, 0], &DISPOSITION, &vec![0; 100_000]].concat();
        assert!(found_in(&mut std::iter::once(&huge[..])).1.held.capacity() < 1024);
        let mut rng = fastrand::Rng::with_seed(7);
        for _ in 0..20_000 {
            let mut stream: Vec<u8> = (0..rng.usize(..40)).map(|_| rng.u8(..)).collect();
            if rng.bool() {
                stream.splice(..0, [0, 0, 0, rng.u8(..40), rng.u8(..5), 0, 0, 0, 0, 0x53, 0x15]);
            }
            let (_, frames) = found_in(&mut stream.chunks(1 + rng.usize(..8)));
            assert!(frames.held.len() < frames.wanted || frames.lost);
        }
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
        let reader =
            tokio::spawn(
                async move { tokio::io::AsyncReadExt::read(&mut tap, &mut [0; 1024]).await.map(|n| (n, tap)) },
            );
        tokio::io::AsyncWriteExt::write_all(&mut theirs, &disposition(5)).await.unwrap();
        let mut indexes = [outcomes.recv().await.unwrap().0, outcomes.recv().await.unwrap().0];
        indexes.sort_unstable();
        assert_eq!(indexes, [0, 1]);
        let (_, mut tap) = reader.await.unwrap().unwrap();
        assert!(!line.is_ended());
        line.cut();
        assert_eq!(
            tokio::io::AsyncReadExt::read(&mut tap, &mut [0; 8]).await.unwrap(),
            0,
            "a cut stream reads as ended"
        );
        drop(tap);
        line.ended().await;
        let never = std::future::pending::<Result<(), Failure>>();
        let failure = line.race(Duration::from_hours(1), "attach", never).await.unwrap_err();
        assert_eq!(failure, Failure::unavailable("attach: the connection ended"));
        assert!(outcomes.recv().await.is_none(), "nobody will settle delivery 9");
    }
}
