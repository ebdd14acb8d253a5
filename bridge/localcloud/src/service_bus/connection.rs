//! One client connection: its task, its clocks (heartbeats, idle time, tokens, delayed answers), and its sessions.
//!
//! Nothing is pushed into a connection. A queue that has something new wakes the task, and `pump` (in `deliver`) then takes
//! as many messages as credit and windows allow. While the peer does not read, the task neither reads nor takes messages,
//! and hands on every wake-up, so a stuck client holds back nobody but itself.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use fe2o3_amqp_types::definitions::SessionError;
use fe2o3_amqp_types::definitions::{AmqpError, ConnectionError, Error, Handle};
use fe2o3_amqp_types::performatives::{Attach, Begin, ChannelMax, Close, End, Flow, Open, Performative};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::auth::{Grant, Key};
use super::broker::{Broker, Place};
use super::problem::{self, Trouble};
use super::session::{Link, Session};
use super::transfer::Late;
use super::wire::{self, Frame, Identity, MAX_FRAME, MIN_MAX_FRAME};
use crate::fault::Failure;

/// The peer must speak within twice this time, or is taken for dead.
/// Source: AMQP 1.0 in Azure Service Bus protocol guide, read 2026-11: 4 minutes.
const IDLE_TIMEOUT: Duration = Duration::from_mins(4);
const IDLE_TIMEOUT_MS: u32 = 4 * 60 * 1_000;
/// From the first byte to the open frame. Ours: half-open connections should not pile up.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_mins(1);
/// How long a peer may leave our bytes unread before its connection is cut; ours.
const WRITE_TIMEOUT: Duration = Duration::from_mins(2);
/// How long we listen after a close, so that the peer reads why before its socket is reset.
const LINGER: Duration = Duration::from_secs(1);
/// Bytes collected before they are written, so that a receiver with much credit does not fill the memory.
pub(super) const WRITE_LIMIT: usize = 256 * 1024;
/// Buffers larger than this are given back once they are empty.
const BUFFER_KEPT: usize = 64 * 1024;
/// Size of one piece of a dripping answer.
const DRIP_BYTES: usize = 64;
/// Source: AMQP 1.0 in Azure Service Bus protocol guide, "handle-max", read 2026-11.
const HANDLE_MAX: u32 = 255;
/// Sessions of one connection; ours, far above what clients open.
const CHANNEL_MAX: u16 = 255;

pub(super) struct Connection {
    pub(super) broker: Arc<Broker>,
    pub(super) key: Arc<Key>,
    pub(super) wake: Arc<Notify>,
    pub(super) out: BytesMut,
    pub(super) max_frame: usize,
    pub(super) grants: Vec<Grant>,
    /// `None` for a session that we ended: what the peer sent before it heard of that is passed over.
    pub(super) sessions: BTreeMap<u16, Option<Session>>,
    /// What an injected latency holds back, in order of time.
    pub(super) late: VecDeque<(Instant, Late)>,
    /// A link that an injected latency holds back, and with it all that came after.
    pub(super) stall: Option<(Instant, u16, Box<Attach>, Option<Failure>)>,
    /// Every place at which this connection ever waited.
    pub(super) waiting: Vec<Place>,
    /// Bytes of deliveries of which more frames are to come.
    pub(super) partial_bytes: usize,
    /// Pause between the small pieces in which the next answer is to be written.
    pub(super) drip: Option<Duration>,
    heartbeat: Option<Duration>,
    opened: bool,
    closed: bool,
}

/// Serves one client until it goes, or `stopping` is cancelled.
pub(super) async fn serve(mut stream: TcpStream, broker: Arc<Broker>, key: Arc<Key>, stopping: CancellationToken) {
    let faults = broker.faults.clone();
    let mut cuts = faults.cuts();
    let outcome = tokio::select! {
        outcome = run(&mut stream, broker, key, stopping) => outcome,
        () = faults.darkness() => Err(cut()),
        () = cuts.next() => Err(cut()),
    };
    match outcome {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {
            // The peer sees a reset, not an orderly end.
            let _ = stream.set_zero_linger();
        }
        Err(error) => tracing::debug!(%error, "a Service Bus connection ended"),
    }
}

fn cut() -> io::Error {
    ErrorKind::ConnectionReset.into()
}

async fn run(
    stream: &mut TcpStream,
    broker: Arc<Broker>,
    key: Arc<Key>,
    stopping: CancellationToken,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let verdict = broker.faults.judge("connect");
    tokio::time::sleep(verdict.delay).await;
    let refusal = match verdict.before.or(verdict.after) {
        Some(Failure::Drop | Failure::Dark) => {
            broker.faults.record("connect", "dropped");
            return Err(cut());
        }
        Some(failure) => problem::injected(failure),
        None => None,
    };
    let status = refusal.as_ref().map_or_else(|| "ok".to_owned(), problem::name);
    broker.faults.record("connect", &status);

    let mut buffer = BytesMut::new();
    let identity = timeout(HANDSHAKE_TIMEOUT, wire::handshake(stream, &mut buffer, &key)).await??;
    let mut connection = Connection::new(broker, key, identity);
    connection.converse(stream, &mut buffer, refusal, stopping).await
}

/// However a connection ends, what it was woken for and did not take may go to somebody else.
impl Drop for Connection {
    fn drop(&mut self) {
        for place in &self.waiting {
            place.leave(&self.wake);
        }
    }
}

impl Connection {
    fn new(broker: Arc<Broker>, key: Arc<Key>, identity: Identity) -> Self {
        Self {
            broker,
            key,
            wake: Arc::default(),
            out: BytesMut::new(),
            max_frame: MIN_MAX_FRAME as usize,
            grants: if identity == Identity::KeyHolder { vec![Grant::everything()] } else { Vec::new() },
            sessions: BTreeMap::new(),
            late: VecDeque::new(),
            stall: None,
            waiting: Vec::new(),
            partial_bytes: 0,
            drip: None,
            heartbeat: None,
            opened: false,
            closed: false,
        }
    }

    async fn converse(
        &mut self,
        stream: &mut TcpStream,
        buffer: &mut BytesMut,
        refusal: Option<Error>,
        stopping: CancellationToken,
    ) -> io::Result<()> {
        let opening_ends = Instant::now() + HANDSHAKE_TIMEOUT;
        let mut last_heard = Instant::now();
        let mut last_spoken = Instant::now();
        loop {
            let mut outcome = self.work_off(buffer);
            if self.opened
                && outcome.is_ok()
                && let Some(error) = &refusal
            {
                outcome = Err(Trouble::Close(error.clone()));
            }
            self.settle_trouble(outcome)?;
            while !self.out.is_empty() {
                self.write_out(stream).await?;
                last_spoken = Instant::now();
                if !self.closed {
                    let outcome = self.pump();
                    self.settle_trouble(outcome)?;
                }
            }
            if self.closed {
                return farewell(stream).await;
            }
            if buffer.is_empty() && buffer.capacity() > BUFFER_KEPT {
                *buffer = BytesMut::new();
            }
            let silence_ends = if self.opened { last_heard + 2 * IDLE_TIMEOUT } else { opening_ends };
            let heartbeat = self.heartbeat.map(|every| last_spoken + every);
            let stall = self.stall.as_ref().map(|(at, ..)| *at);
            let next = [heartbeat, self.late.front().map(|(at, _)| *at), stall, self.next_token_end()];
            let alarm = next.into_iter().flatten().fold(silence_ends, Instant::min);
            tokio::select! {
                read = wire::fill(stream, buffer), if stall.is_none() => {
                    read?;
                    last_heard = Instant::now();
                }
                () = self.wake.notified() => {}
                () = sleep_until(alarm) => {
                    let now = Instant::now();
                    if now >= silence_ends {
                        return Err(ErrorKind::TimedOut.into());
                    }
                    if heartbeat.is_some_and(|at| now >= at) {
                        wire::put_heartbeat(&mut self.out);
                    }
                    let outcome = self.detach_unauthorized();
                    self.settle_trouble(outcome)?;
                }
                () = stopping.cancelled() => {
                    let text = "The service is shutting down.";
                    self.settle_trouble(Err(Trouble::close(ConnectionError::ConnectionForced, text)))?;
                }
            }
        }
    }

    /// Reads frames, does what is due, and takes messages; then lets others have what could not be taken.
    fn work_off(&mut self, buffer: &mut BytesMut) -> Result<(), Trouble> {
        self.end_stall()?;
        while self.stall.is_none()
            && let Some(frame) = wire::take_frame(buffer)?
        {
            let outcome = self.on_frame(frame);
            match outcome {
                Err(Trouble::End(channel, error)) => self.end(channel, error)?,
                outcome => outcome?,
            }
            if self.closed {
                return Ok(());
            }
        }
        self.do_late()?;
        self.pump()?;
        self.pass_on();
        Ok(())
    }

    /// Writes the answer that trouble deserves; an error if that is to be cut off.
    fn settle_trouble(&mut self, outcome: Result<(), Trouble>) -> io::Result<()> {
        match outcome {
            Ok(()) => Ok(()),
            Err(Trouble::Cut) => Err(cut()),
            Err(Trouble::End(channel, error)) => self.end(channel, error).map_err(|_| wire::bad("an end frame")),
            Err(Trouble::Close(error)) => {
                tracing::debug!(%error, "closing a Service Bus connection");
                // An open frame comes first, whatever happened.
                if !self.opened {
                    self.put_open()?;
                }
                self.put_close(Some(error))
            }
        }
    }

    /// Writes what there is to write. Others get what this connection is woken for while the peer does not read.
    async fn write_out(&mut self, stream: &mut TcpStream) -> io::Result<()> {
        let mut out = std::mem::take(&mut self.out);
        let wake = Arc::clone(&self.wake);
        let mut woken = false;
        {
            let write = timeout(WRITE_TIMEOUT, write_pieces(stream, &out, self.drip.take()));
            let mut write = std::pin::pin!(write);
            loop {
                tokio::select! {
                    biased;
                    written = &mut write => break written.map_err(|_| cut())??,
                    () = wake.notified() => {
                        woken = true;
                        self.waiting.iter().for_each(Place::pass_on);
                    }
                }
            }
        }
        if woken {
            // Nobody else may have wanted what was passed on.
            wake.notify_one();
        }
        if out.capacity() <= BUFFER_KEPT {
            out.clear();
            self.out = out;
        }
        Ok(())
    }

    pub(super) fn pass_on(&self) {
        self.waiting.iter().for_each(Place::pass_on);
    }

    pub(super) fn send(&mut self, channel: u16, performative: &Performative) -> Result<(), Trouble> {
        Ok(wire::put_frame(&mut self.out, channel, performative, &[])?)
    }

    fn on_frame(&mut self, Frame { channel, performative, payload }: Frame) -> Result<(), Trouble> {
        let Some(performative) = performative else { return Ok(()) };
        if !self.opened && !matches!(performative, Performative::Open(_)) {
            return Err(Trouble::close(AmqpError::IllegalState, "the first frame must be an open"));
        }
        match performative {
            Performative::Open(open) => self.on_open(&open),
            Performative::Begin(begin) => self.on_begin(channel, &begin),
            Performative::Attach(attach) => self.on_attach(channel, attach),
            Performative::Flow(flow) => self.on_flow(channel, &flow),
            Performative::Transfer(transfer) => self.on_transfer(channel, transfer, payload),
            Performative::Disposition(disposition) => self.on_disposition(channel, disposition),
            Performative::Detach(detach) => self.on_detach(channel, detach),
            Performative::End(_) => match self.sessions.remove(&channel) {
                Some(Some(session)) => {
                    self.forget_partials(&session);
                    self.send(channel, &Performative::End(End { error: None }))
                }
                // The answer to our own end, or one too many.
                _ => Ok(()),
            },
            Performative::Close(_) => Ok(self.put_close(None)?),
        }
    }

    fn on_open(&mut self, open: &Open) -> Result<(), Trouble> {
        if self.opened {
            return Err(Trouble::close(AmqpError::IllegalState, "the connection is open already"));
        }
        self.max_frame = open.max_frame_size.0.clamp(MIN_MAX_FRAME, MAX_FRAME) as usize;
        let idle = open.idle_time_out.filter(|milliseconds| *milliseconds > 0);
        // Half of what the peer asks for, so that one late heartbeat does no harm; and not a flood of them.
        self.heartbeat = idle.map(|milliseconds| Duration::from_millis(u64::from(milliseconds / 2).max(50)));
        Ok(self.put_open()?)
    }

    fn put_open(&mut self) -> io::Result<()> {
        self.opened = true;
        let open = Open {
            container_id: "localcloud".into(),
            hostname: None,
            max_frame_size: MAX_FRAME.into(),
            channel_max: ChannelMax(CHANNEL_MAX),
            idle_time_out: Some(IDLE_TIMEOUT_MS),
            outgoing_locales: None,
            incoming_locales: None,
            offered_capabilities: None,
            desired_capabilities: None,
            properties: None,
        };
        wire::put_frame(&mut self.out, 0, &Performative::Open(open), &[])
    }

    fn put_close(&mut self, error: Option<Error>) -> io::Result<()> {
        self.closed = true;
        wire::put_frame(&mut self.out, 0, &Performative::Close(Close { error }), &[])
    }

    fn on_begin(&mut self, channel: u16, begin: &Begin) -> Result<(), Trouble> {
        if channel > CHANNEL_MAX {
            return Err(Trouble::close(ConnectionError::FramingError, format!("channels end at {CHANNEL_MAX}")));
        }
        if self.sessions.contains_key(&channel) {
            return Err(Trouble::close(AmqpError::IllegalState, format!("channel {channel} has a session already")));
        }
        self.sessions.insert(channel, Some(Session::new(begin)));
        let begin = Begin {
            remote_channel: Some(channel),
            next_outgoing_id: 0,
            incoming_window: super::session::WINDOW,
            outgoing_window: super::session::WINDOW,
            handle_max: Handle(HANDLE_MAX),
            offered_capabilities: None,
            desired_capabilities: None,
            properties: None,
        };
        self.send(channel, &Performative::Begin(begin))
    }

    fn end(&mut self, channel: u16, error: Error) -> Result<(), Trouble> {
        if let Some(Some(session)) = self.sessions.insert(channel, None) {
            self.forget_partials(&session);
        }
        self.send(channel, &Performative::End(End { error: Some(error) }))
    }

    fn forget_partials(&mut self, session: &Session) {
        session.links.values().for_each(|link| self.forget_partial(link));
    }

    pub(super) fn forget_partial(&mut self, link: &Link) {
        if let Link::Inbound(link) = link {
            self.partial_bytes -= link.partial.as_ref().map_or(0, |partial| partial.bytes.len());
        }
    }

    /// `Ok(None)` for a session that we have ended.
    pub(super) fn session(&mut self, channel: u16) -> Result<Option<&mut Session>, Trouble> {
        match self.sessions.get_mut(&channel) {
            Some(session) => Ok(session.as_mut()),
            None => {
                Err(Trouble::close(ConnectionError::FramingError, format!("there is no session on channel {channel}")))
            }
        }
    }

    /// Handles above the limit end the connection. Source: AMQP 1.0, part 2, 2.7.2 (handle-max).
    pub(super) fn check_handle(handle: u32) -> Result<(), Trouble> {
        if handle > HANDLE_MAX {
            return Err(Trouble::close(ConnectionError::FramingError, format!("handles end at {HANDLE_MAX}")));
        }
        Ok(())
    }

    fn on_flow(&mut self, channel: u16, flow: &Flow) -> Result<(), Trouble> {
        let Some(session) = self.session(channel)? else { return Ok(()) };
        session.set_remote_window(flow);
        let handle = flow.handle.as_ref().map(|handle| handle.0);
        if let Some(handle) = handle {
            match session.links.get_mut(&handle) {
                Some(Link::Outbound(link)) => {
                    let limit = flow.delivery_count.unwrap_or(0).wrapping_add(flow.link_credit.unwrap_or(0));
                    // Negative when the peer took credit back that was already used.
                    link.credit = u32::try_from(limit.wrapping_sub(link.delivery_count).cast_signed()).unwrap_or(0);
                    link.drain = flow.drain;
                }
                Some(_) => {}
                None => {
                    let text = format!("there is no link with the handle {handle}");
                    return Err(Trouble::end(channel, SessionError::UnattachedHandle, text));
                }
            }
        }
        if flow.echo {
            let Self { sessions, out, .. } = self;
            if let Some(Some(session)) = sessions.get_mut(&channel) {
                session.answer_echo(channel, handle, out)?;
            }
        }
        Ok(())
    }
}

async fn write_pieces(stream: &mut TcpStream, bytes: &[u8], drip: Option<Duration>) -> io::Result<()> {
    let Some(pause) = drip else { return stream.write_all(bytes).await };
    for piece in bytes.chunks(DRIP_BYTES) {
        stream.write_all(piece).await?;
        tokio::time::sleep(pause).await;
    }
    Ok(())
}

/// Listens a little longer, because closing a socket with unread bytes in it would destroy what was just written.
async fn farewell(stream: &mut TcpStream) -> io::Result<()> {
    stream.shutdown().await?;
    let mut rest = [0; 4096];
    let drain = async {
        while stream.read(&mut rest).await? > 0 {}
        Ok(())
    };
    timeout(LINGER, drain).await.unwrap_or(Ok(()))
}
