//! All queues of the namespace, who waits for their messages, and the janitor that wakes them when time brings something.
//!
//! Nobody polls: a receiver that finds a queue empty leaves a [`Notify`], and each message that becomes ready wakes one of
//! those. The janitor sleeps until the earliest deadline of any queue.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};
use std::time::{Duration, Instant, UNIX_EPOCH};

use tokio::sync::Notify;

use super::queue::{Delivery, Mode, Now, Part, Queue};
use super::settings::{Counts, QueueSettings, Tier};
use crate::fault::ServiceFaults;

/// The longest sleep of the janitor; only to keep arithmetic far from overflow.
const NAP_MAX: Duration = Duration::from_hours(24);
const DEAD_LETTER_SUFFIX: &str = "/$deadletterqueue";

pub(crate) struct Broker {
    pub(crate) faults: ServiceFaults,
    tier: Tier,
    started: Instant,
    queues: RwLock<HashMap<String, Arc<Cell>>>,
    /// The tick for which the janitor has set its alarm.
    alarm: Mutex<i64>,
    earlier: Notify,
    /// Each attached link keeps a clone of it, so its owners but one are their number.
    links: Arc<()>,
}

/// A queue with those who wait for it.
pub(crate) struct Cell {
    inner: Mutex<Inner>,
}

struct Inner {
    queue: Queue,
    /// For each part, in order of arrival. A connection stands here once at most.
    waiting: [VecDeque<Weak<Notify>>; 2],
    removed: bool,
}

/// A queue or its dead-letter queue, as a link knows it.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) cell: Arc<Cell>,
    pub(crate) part: Part,
}

impl Broker {
    pub(crate) fn new(tier: Tier, faults: ServiceFaults) -> Arc<Self> {
        Arc::new(Self {
            faults,
            tier,
            started: Instant::now(),
            queues: RwLock::default(),
            alarm: Mutex::new(i64::MAX),
            earlier: Notify::new(),
            links: Arc::default(),
        })
    }

    pub(crate) fn tier(&self) -> Tier {
        self.tier
    }

    pub(crate) fn now(&self) -> Now {
        let tick = i64::try_from(self.started.elapsed().as_millis()).unwrap_or(i64::MAX);
        let wall = self.faults.now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now { tick, wall: i64::try_from(wall.as_millis()).unwrap_or(i64::MAX) }
    }

    /// Makes a queue; false if there is one of that name.
    pub(crate) fn create(&self, name: &str, settings: QueueSettings) -> bool {
        let mut queues = self.queues.write().unwrap_or_else(PoisonError::into_inner);
        let key = name.to_lowercase();
        if queues.contains_key(&key) {
            return false;
        }
        let queue = Queue::new(name, settings, self.now(), fastrand::Rng::new());
        let inner = Inner { queue, waiting: Default::default(), removed: false };
        queues.insert(key, Arc::new(Cell { inner: Mutex::new(inner) }));
        true
    }

    /// Removes a queue with all that is in it; false if there is none of that name.
    pub(crate) fn remove(&self, name: &str) -> bool {
        let removed = self.queues.write().unwrap_or_else(PoisonError::into_inner).remove(&name.to_lowercase());
        let Some(cell) = removed else { return false };
        // Its receivers look again, and learn that it is gone.
        let now = self.now();
        let mut inner = cell.inner();
        inner.removed = true;
        let settings = inner.queue.settings().clone();
        inner.queue = Queue::new(name, settings, now, fastrand::Rng::new());
        for waiter in inner.waiting.iter_mut().flat_map(|waiting| waiting.drain(..)) {
            if let Some(notify) = waiter.upgrade() {
                notify.notify_one();
            }
        }
        true
    }

    pub(crate) fn find(&self, name: &str) -> Option<Arc<Cell>> {
        self.queues.read().unwrap_or_else(PoisonError::into_inner).get(&name.to_lowercase()).cloned()
    }

    /// `orders`, or `orders/$deadletterqueue`.
    pub(crate) fn place(&self, path: &str) -> Option<Place> {
        let path = path.to_lowercase();
        let (name, part) = match path.strip_suffix(DEAD_LETTER_SUFFIX) {
            Some(name) => (name, Part::DeadLetter),
            None => (path.as_str(), Part::Main),
        };
        Some(Place { cell: self.find(name)?, part })
    }

    /// Every queue, in order of name.
    pub(crate) fn all(&self) -> Vec<Arc<Cell>> {
        let mut all: Vec<_> = {
            let queues = self.queues.read().unwrap_or_else(PoisonError::into_inner);
            queues.iter().map(|(name, cell)| (name.clone(), Arc::clone(cell))).collect()
        };
        all.sort_by(|(one, _), (other, _)| one.cmp(other));
        all.into_iter().map(|(_, cell)| cell).collect()
    }

    pub(crate) fn counts(&self, name: &str) -> Option<Counts> {
        let cell = self.find(name)?;
        Some(self.with(&cell, |queue, now| {
            queue.advance(now);
            queue.counts()
        }))
    }

    /// What a link keeps for as long as it is attached.
    pub(crate) fn count_link(&self) -> Arc<()> {
        Arc::clone(&self.links)
    }

    pub(crate) fn links(&self) -> usize {
        Arc::strong_count(&self.links) - 1
    }

    /// Places in all lines of waiting receivers.
    pub(crate) fn waiting(&self) -> usize {
        self.all().iter().map(|cell| cell.inner().waiting.iter().map(VecDeque::len).sum::<usize>()).sum()
    }

    /// The messages of all queues and dead-letter queues, in whatever state.
    pub(crate) fn messages(&self) -> usize {
        let total = |counts: Counts| counts.active + counts.dead_letter + counts.scheduled + counts.deferred;
        let of_queue = |queue: &mut Queue, now| {
            queue.advance(now);
            total(queue.counts())
        };
        self.all().iter().map(|cell| self.with(cell, of_queue)).sum()
    }

    /// The messages that all queues took in from senders, since each was made.
    pub(crate) fn sent(&self) -> u64 {
        self.all().iter().map(|cell| cell.inner().queue.sent()).sum()
    }

    pub(crate) fn message_bytes_max(&self, cell: &Cell) -> usize {
        self.tier.message_bytes_max(cell.inner().queue.settings().max_message_bytes)
    }

    /// Does something with a queue, wakes as many of those who wait as it made messages ready, and keeps the janitor
    /// informed.
    pub(crate) fn with<T>(&self, cell: &Cell, action: impl FnOnce(&mut Queue, Now) -> T) -> T {
        let (answer, deadline) = {
            let mut inner = cell.inner();
            // Read under the lock, so that a queue never sees time go backwards.
            let now = self.now();
            let answer = action(&mut inner.queue, now);
            inner.wake();
            (answer, inner.queue.next_deadline())
        };
        self.expect(deadline);
        answer
    }

    /// The next message; if there is none, `waiter` is woken when there may be one.
    pub(crate) fn take(&self, place: &Place, mode: Mode, waiter: &Arc<Notify>) -> Option<Delivery> {
        let (delivery, deadline) = {
            let mut inner = place.cell.inner();
            let now = self.now();
            let delivery = inner.queue.take(now, place.part, mode);
            // The taking itself may have moved expired locks back into the queue.
            inner.wake();
            let waiting = &mut inner.waiting[place.part as usize];
            if delivery.is_none() && !waiting.iter().any(|other| std::ptr::eq(other.as_ptr(), Arc::as_ptr(waiter))) {
                waiting.push_back(Arc::downgrade(waiter));
            }
            (delivery, inner.queue.next_deadline())
        };
        self.expect(deadline);
        delivery
    }

    /// Wakes each queue when something is due in it, for ever.
    pub(crate) async fn run_janitor(&self) {
        loop {
            let next = self.sweep();
            let nap = Duration::from_millis(u64::try_from(next - self.now().tick).unwrap_or(0)).min(NAP_MAX);
            tokio::select! {
                () = tokio::time::sleep(nap) => {}
                () = self.earlier.notified() => {}
            }
        }
    }

    /// Returns the tick of the earliest deadline that is left.
    fn sweep(&self) -> i64 {
        // Cleared first: a deadline that comes up in a queue already swept then sets it anew, and is not missed.
        *self.alarm() = i64::MAX;
        let mut earliest = i64::MAX;
        for cell in self.all() {
            let mut inner = cell.inner();
            let now = self.now();
            if inner.queue.next_deadline() <= now.tick {
                inner.queue.advance(now);
                inner.wake();
            }
            earliest = earliest.min(inner.queue.next_deadline());
        }
        let mut alarm = self.alarm();
        *alarm = earliest.min(*alarm);
        *alarm
    }

    fn expect(&self, deadline: i64) {
        let mut alarm = self.alarm();
        if deadline < *alarm {
            *alarm = deadline;
            self.earlier.notify_one();
        }
    }

    fn alarm(&self) -> MutexGuard<'_, i64> {
        self.alarm.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Cell {
    pub(crate) fn is_removed(&self) -> bool {
        self.inner().removed
    }

    /// Why nobody can receive from it, if so.
    pub(crate) fn refuses_receivers(&self) -> Option<&'static str> {
        self.inner().queue.settings().refuses_receivers()
    }

    /// A queue's state is whole between any two steps, so a panic elsewhere does not spoil it.
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.cell, &other.cell) && self.part == other.part
    }

    pub(crate) fn has_ready(&self) -> bool {
        self.cell.inner().queue.has_ready(self.part)
    }

    /// For one who waits no longer: somebody else may have what it was woken for.
    pub(crate) fn leave(&self, waiter: &Arc<Notify>) {
        let mut inner = self.cell.inner();
        let stays =
            |other: &Weak<Notify>| other.strong_count() > 0 && !std::ptr::eq(other.as_ptr(), Arc::as_ptr(waiter));
        inner.waiting[self.part as usize].retain(stays);
        if inner.queue.has_ready(self.part) {
            inner.wake_part(self.part, 1);
        }
    }

    /// For one who was woken and could not take everything: somebody else may.
    pub(crate) fn pass_on(&self) {
        let mut inner = self.cell.inner();
        if inner.queue.has_ready(self.part) {
            inner.wake_part(self.part, 1);
        }
    }
}

impl Inner {
    fn wake(&mut self) {
        for part in [Part::Main, Part::DeadLetter] {
            let offered = self.queue.offered(part);
            self.wake_part(part, offered);
        }
    }

    fn wake_part(&mut self, part: Part, mut count: usize) {
        let waiting = &mut self.waiting[part as usize];
        while count > 0
            && let Some(waiter) = waiting.pop_front()
        {
            // Those whose connection has gone are passed over.
            if let Some(notify) = waiter.upgrade() {
                notify.notify_one();
                count -= 1;
            }
        }
    }
}
