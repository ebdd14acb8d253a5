//! Takes messages over one link, and settles them there with the service's word for it.
//!
//! A task owns the link; callers share its inbox, so dropping a call loses nothing. Credit is only ever raised: lowering
//! it, or draining, makes fe2o3-amqp throw away messages on their way, which then stay locked for nobody. The price is
//! that messages may come after a call has returned; the next call hands them out first, and closing gives them back.

use std::{
    collections::VecDeque,
    pin::pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use bridge_core::failure::FailureKind;
use fe2o3_amqp::{
    Receiver,
    link::{
        ErrorRecovery, RecvError,
        delivery::DeliveryInfo,
        receiver::{CreditMode, TerminalDeliveryState},
    },
    types::{definitions::ReceiverSettleMode, messaging::Released},
};
use futures_util::FutureExt;
use tokio::{
    sync::{Notify, mpsc, oneshot},
    time::{Instant, timeout, timeout_at},
};

use super::{
    connection::{Connector, Live},
    failure::Failure,
    wire::Settled,
};
use crate::azure::service_bus::message::{self, Arrived, Wrapped};

/// How long to wait for one message more when some are there, and for how long in all. Ours: messages that wait in the
/// queue come one close upon the other; an event must not wait for company.
const QUIET: Duration = Duration::from_millis(2);
const LINGER_MAX: Duration = Duration::from_millis(10);

/// Bytes of messages that may be on their way to us. Ours: each is copied two or three times on its way, and the whole worker
/// has 40 MB.
const UNDERWAY_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Bytes that a message counts for at least, and before any was seen: as many as the Standard tier allows.
const MESSAGE_BYTES_MIN: usize = 1024;
const MESSAGE_BYTES_UNSEEN: usize = 256 * 1024;
/// Messages that may be on their way. Ours: a link of fe2o3-amqp holds some 65,000, and more credit gains nothing.
const CREDIT_MAX: usize = 2_048;

/// How long a link that ends may take to say so.
const GOODBYE: Duration = Duration::from_secs(2);

/// Commands that wait for the task. Each call sends one or two.
const COMMANDS_MAX: usize = 64;

/// A message in the inbox, or on its way to a caller.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) arrived: Arrived,
    /// The connection that it came over.
    pub(crate) connection: u64,
    /// When its lock ends, by this machine's clock, which the service's own time may differ from.
    pub(crate) lease_ends: Instant,
}

/// An attached link.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    pub(crate) connection: u64,
    commands: mpsc::Sender<Command>,
    inbox: Arc<Inbox>,
}

#[derive(Debug)]
struct Inbox {
    state: Mutex<InboxState>,
    /// Woken by an arrival and by the end of the link.
    changed: Notify,
}

#[derive(Debug)]
struct InboxState {
    messages: VecDeque<Taken>,
    /// Messages that callers have taken, ever.
    taken: u64,
    /// Recent size of a message, leaning to the large ones.
    message_bytes: usize,
    /// Why the link ended, if it did not end by [`Link::close`].
    ended: Option<Failure>,
    closed: bool,
}

#[derive(Debug)]
enum Command {
    /// Lets the service send so many.
    Credit(usize),
    /// Settles deliveries and tells the service's answer for each.
    Settle(Vec<(usize, DeliveryInfo)>, TerminalDeliveryState, mpsc::UnboundedSender<Settled>),
    /// Gives back deliveries whatever becomes of them: their locks have ended.
    Forget(Vec<DeliveryInfo>),
    /// Gives back what is in the inbox, and ends the link.
    Close(oneshot::Sender<()>),
}

impl Link {
    async fn attach(live: &Arc<Live>, queue: &str, lease: Duration) -> Result<Self, Failure> {
        let name = format!("receiver-{}", uuid::Uuid::new_v4());
        let receiver = Receiver::builder()
            .name(name.as_str())
            .source(queue)
            .target(name.as_str())
            .receiver_settle_mode(ReceiverSettleMode::Second) // The service confirms each settlement.
            .credit_mode(CreditMode::Manual)
            .attach(&mut *live.session.lock().await)
            .await?;
        let (commands, orders) = mpsc::channel(COMMANDS_MAX);
        let inbox = Arc::new(Inbox { state: Mutex::default(), changed: Notify::new() });
        tokio::spawn(serve(receiver, Arc::clone(live), orders, Arc::clone(&inbox), lease));
        Ok(Self { connection: live.number, commands, inbox })
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.commands.is_closed()
    }

    /// Up to `max` messages: what is in the inbox, or else what comes until `deadline` and hardly longer.
    pub(crate) async fn take(&self, max: usize, deadline: Instant) -> Result<Vec<Taken>, Failure> {
        loop {
            let waiting = self.take_waiting(max);
            if !waiting.is_empty() {
                return Ok(waiting);
            }
            let taken = self.inbox.state().taken;
            let credit = self.inbox.credit().min(max);
            self.command(Command::Credit(credit)).await?;
            if !self.inbox.wait(|state| !state.messages.is_empty() || state.taken != taken, deadline).await? {
                return Ok(Vec::new());
            }
            let linger_until = Instant::now() + LINGER_MAX;
            let mut count = self.inbox.len();
            while (1..credit).contains(&count)
                && self
                    .inbox
                    .wait(|state| state.messages.len() > count, linger_until.min(Instant::now() + QUIET))
                    .await?
            {
                count = self.inbox.len();
            }
            // Another caller may have been quicker. It used up the credit that this one waits on, so this one asks for more.
        }
    }

    fn take_waiting(&self, max: usize) -> Vec<Taken> {
        let (taken, lapsed) = self.inbox.take(max);
        let known = lapsed.into_iter().filter(|taken| taken.connection == self.connection);
        self.forget(known.map(|taken| taken.arrived.info).collect());
        taken
    }

    /// Settles deliveries of this link, all in flight together, and tells how each went, in no order. With them comes why
    /// some were not answered, if any were not.
    pub(crate) async fn settle(
        &self,
        items: Vec<(usize, DeliveryInfo)>,
        state: TerminalDeliveryState,
        limit: Duration,
    ) -> (Vec<Settled>, Option<Failure>) {
        let count = items.len();
        let (answers, mut settled) = mpsc::unbounded_channel();
        let mut outcomes = Vec::with_capacity(count);
        let exchange = async {
            if self.command(Command::Settle(items, state, answers)).await.is_ok() {
                while outcomes.len() < count {
                    let Some(outcome) = settled.recv().await else { break };
                    outcomes.push(outcome);
                }
            }
        };
        let missing = match timeout(limit, exchange).await {
            Err(_) => Some(Failure::timed_out("settle")),
            Ok(()) if outcomes.len() < count => Some(Failure::unavailable("settle: the connection ended")),
            Ok(()) => None,
        };
        (outcomes, missing)
    }

    /// Gives up deliveries whose leases ended and which nobody settled.
    pub(crate) fn forget(&self, lapsed: Vec<DeliveryInfo>) {
        if !lapsed.is_empty() {
            // Without room for the command they stay in the link's list: a little memory, and no harm.
            let _ = self.commands.try_send(Command::Forget(lapsed));
        }
    }

    /// Gives back what no caller took, and ends the link.
    pub(crate) async fn close(&self, limit: Duration) {
        let (done, closed) = oneshot::channel();
        if self.command(Command::Close(done)).await.is_ok() {
            let _ = timeout(limit, closed).await;
        }
    }

    async fn command(&self, command: Command) -> Result<(), Failure> {
        self.commands.send(command).await.map_err(|_| self.inbox.why_ended())
    }
}

impl Default for InboxState {
    fn default() -> Self {
        Self { messages: VecDeque::new(), taken: 0, message_bytes: MESSAGE_BYTES_UNSEEN, ended: None, closed: false }
    }
}

impl Inbox {
    fn state(&self) -> std::sync::MutexGuard<'_, InboxState> {
        self.state.lock().expect("nothing panics while it holds the lock")
    }

    fn len(&self) -> usize {
        self.state().messages.len()
    }

    fn push(&self, taken: Taken) {
        let mut state = self.state();
        let bytes = taken.arrived.delivery.body.len().max(MESSAGE_BYTES_MIN);
        // Quick to believe in large messages, slow to forget them.
        state.message_bytes = bytes.max(state.message_bytes - state.message_bytes / 16);
        state.messages.push_back(taken);
        drop(state);
        self.changed.notify_waiters();
    }

    /// Takes over what is left in the inbox of a link that is gone: its locks hold all the same.
    fn inherit(&self, old: &Self) {
        let (left, _) = old.take(usize::MAX);
        // They came earlier, so they stay in front.
        self.state().messages.extend(left);
        self.state().messages.make_contiguous().sort_by_key(|taken| taken.lease_ends);
    }

    /// Up to `max` messages whose locks hold, and all whose locks do not.
    fn take(&self, max: usize) -> (Vec<Taken>, Vec<Taken>) {
        let now = Instant::now();
        let mut state = self.state();
        let lapsed = match state.messages.front() {
            // They came in order, so the first lock to end is in front.
            Some(first) if first.lease_ends <= now => {
                let count = state.messages.partition_point(|taken| taken.lease_ends <= now);
                state.messages.drain(..count).collect()
            }
            _ => Vec::new(),
        };
        let count = max.min(state.messages.len());
        let taken = state.messages.drain(..count).collect();
        state.messages.shrink_to(64);
        state.taken += count as u64;
        drop(state);
        if count > 0 {
            self.changed.notify_waiters();
        }
        (taken, lapsed)
    }

    /// Waits until the inbox is as wanted; false if it is not at the deadline.
    async fn wait(&self, as_wanted: impl Fn(&InboxState) -> bool, deadline: Instant) -> Result<bool, Failure> {
        loop {
            let mut changed = pin!(self.changed.notified());
            // From here on no change is missed.
            changed.as_mut().enable();
            {
                let state = self.state();
                if as_wanted(&state) {
                    return Ok(true);
                }
                match &state.ended {
                    Some(failure) if state.messages.is_empty() => return Err(failure.clone()),
                    None if !state.closed => {}
                    // A queue that is being closed must not be opened again by those who still wait on it.
                    _ => return Ok(false),
                }
            }
            if timeout_at(deadline, changed).await.is_err() {
                return Ok(false);
            }
        }
    }

    /// How many messages may be on their way.
    fn credit(&self) -> usize {
        (UNDERWAY_BYTES_MAX / self.state().message_bytes).clamp(1, CREDIT_MAX)
    }

    fn why_ended(&self) -> Failure {
        self.state().ended.clone().unwrap_or_else(|| Failure::unavailable("the receiving link has ended"))
    }
}

async fn serve(
    mut receiver: Receiver,
    live: Arc<Live>,
    mut orders: mpsc::Receiver<Command>,
    inbox: Arc<Inbox>,
    lease: Duration,
) {
    let end = loop {
        let step = tokio::select! {
            biased;
            arrival = receiver.recv::<Wrapped>() => match arrival {
                Ok(delivery) => {
                    let lease_ends = Instant::now() + lease;
                    let (info, message) = delivery.into_parts();
                    match message::arrived(info, message::unwrapped(message.body)) {
                        Ok(arrived) => {
                            inbox.push(Taken { arrived, connection: live.number, lease_ends });
                            Ok(())
                        }
                        // Without a lock token it cannot be settled later; it goes back at once.
                        Err(info) => receiver.release(info).await.map_err(|error| End::Failed(error.into())),
                    }
                }
                // A message was thrown away: a new link counts from the start.
                Err(error @ RecvError::TransferLimitExceeded) => Err(End::Failed(error.into())),
                // A transfer that is not as it must be comes again until the service sets it aside; the link goes on.
                Err(error) if matches!(error.recovery(), ErrorRecovery::UseLink) => {
                    tracing::warn!(error = Failure::from(error).detail(), "a Service Bus message could not be read");
                    Ok(())
                }
                Err(error) => Err(End::Failed(error.into())),
            },
            order = orders.recv() => match order {
                Some(Command::Close(done)) => Err(End::Closed(Some(done))),
                Some(command) => carry_out(command, &mut receiver, &live).await.map_err(End::Failed),
                None => Err(End::Closed(None)),
            },
        };
        if let Err(end) = step {
            break end;
        }
    };
    orders.close();
    let left: Vec<Taken> = {
        let mut state = inbox.state();
        match &end {
            End::Closed(_) => {
                state.closed = true;
                state.messages.drain(..).collect()
            }
            // Their locks hold whatever became of the link, so the next link hands them out.
            End::Failed(failure) => {
                state.ended = Some(failure.clone());
                Vec::new()
            }
        }
    };
    inbox.changed.notify_waiters();
    let goodbye = async {
        if matches!(end, End::Closed(_)) {
            give_back(left, &mut receiver, live.number).await;
        }
        // A link that is gone already has nothing to say.
        let _ = receiver.close().await;
    };
    let _ = timeout(GOODBYE, goodbye).await;
    if let End::Closed(Some(done)) = end {
        // Whoever closed may have lost patience.
        let _ = done.send(());
    }
}

/// Gives back what came over a link that is being closed and reached no caller.
async fn give_back(left: Vec<Taken>, receiver: &mut Receiver, connection: u64) {
    // Of another connection's deliveries this link knows nothing: their locks run out.
    let known = left.into_iter().filter(|taken| taken.connection == connection);
    let mut infos: Vec<DeliveryInfo> = known.map(|taken| taken.arrived.info).collect();
    while let Some(Ok(delivery)) = receiver.recv::<Wrapped>().now_or_never() {
        infos.push(delivery.into_parts().0);
    }
    // Lowered this once, for what is given back would come again. What is on its way right now is thrown away by it, and
    // hides until its lock ends.
    if receiver.set_credit(0).await.is_err() {
        return;
    }
    for info in infos {
        if receiver.release(info).await.is_err() {
            return;
        }
    }
}

/// Why a link ends.
enum End {
    /// It was asked to, by this caller, or nobody holds it any more.
    Closed(Option<oneshot::Sender<()>>),
    Failed(Failure),
}

async fn carry_out(command: Command, receiver: &mut Receiver, live: &Live) -> Result<(), Failure> {
    match command {
        Command::Credit(count) => {
            let count = u32::try_from(count).unwrap_or(u32::MAX);
            if count > receiver.credit() {
                receiver.set_credit(count).await?;
            }
        }
        Command::Settle(items, state, answers) => {
            for (index, info) in items {
                live.line.expect(info.delivery_id(), index, &answers);
                receiver.dispose(info, state.clone()).await?;
            }
        }
        Command::Forget(lapsed) => {
            for info in lapsed {
                receiver.dispose(info, TerminalDeliveryState::Released(Released {})).await?;
            }
        }
        // Ends the loop of the caller and never comes here.
        Command::Close(_) => {}
    }
    Ok(())
}

/// Keeps one link attached.
#[derive(Debug)]
pub(crate) struct LinkSlot {
    link: tokio::sync::Mutex<Option<Link>>,
    queue: String,
    lease: Duration,
}

impl LinkSlot {
    pub(crate) fn new(queue: String, lease: Duration) -> Self {
        Self { link: tokio::sync::Mutex::default(), queue, lease }
    }

    /// The link, if it is still attached over this connection.
    pub(crate) async fn current(&self, connection: u64) -> Option<Link> {
        self.link.lock().await.clone().filter(|link| link.connection == connection && !link.is_ended())
    }

    /// The link, attached again if it is gone.
    pub(crate) async fn attached(&self, connector: &Connector, limit: Duration) -> Result<Link, Failure> {
        let mut slot = self.link.lock().await;
        let live = connector.live().await?;
        if let Some(link) = slot.as_ref().filter(|link| link.connection == live.number && !link.is_ended()) {
            return Ok(link.clone());
        }
        let link = match self.attach(&live, connector, limit).await {
            // Not after a timeout: the caller has waited long enough.
            Err(failure) if matches!(failure.kind, FailureKind::Unavailable | FailureKind::Unauthorized) => {
                self.attach(&connector.live().await?, connector, limit).await?
            }
            link => link?,
        };
        if let Some(old) = slot.replace(link.clone()) {
            link.inbox.inherit(&old.inbox);
        }
        Ok(link)
    }

    async fn attach(&self, live: &Arc<Live>, connector: &Connector, limit: Duration) -> Result<Link, Failure> {
        let link = live.line.race(limit, "attach", Link::attach(live, &self.queue, self.lease)).await;
        if link.as_ref().is_err_and(Failure::may_be_the_connections) {
            connector.discard(live.number).await;
        }
        link
    }

    pub(crate) async fn take(&self) -> Option<Link> {
        self.link.lock().await.take()
    }
}
