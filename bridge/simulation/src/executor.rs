//! Many tasks on one thread and on virtual time: of those that are ready any may be next, as the seed has it; when none is,
//! time moves on to the next instant that somebody waits for.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use bridge_adapters::memory::ManualClock;
use fastrand::Rng;

/// Runs tasks that may borrow from the world around them. Dropping it drops them in the middle of whatever they do.
pub struct Executor<'a> {
    clock: Arc<ManualClock>,
    rng: Rng,
    tasks: Vec<Task<'a>>,
    ready: Arc<Ready>,
}

struct Task<'a> {
    /// None once it has ended.
    future: Option<Pin<Box<dyn Future<Output = ()> + 'a>>>,
    bell: Arc<Bell>,
}

/// Polls of one executor at most. The busiest worlds take some 100,000; one that takes more than this runs in a circle.
const POLLS_MAX: u64 = 3_000_000;

/// Why an executor stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// What it ran for has come about.
    Done,
    /// Every task waits for something that nobody will do, or they run in a circle.
    Stuck,
}

impl<'a> Executor<'a> {
    /// Without tasks.
    pub fn new(clock: Arc<ManualClock>, rng: Rng) -> Self {
        Self { clock, rng, tasks: Vec::new(), ready: Arc::default() }
    }

    /// Adds a task.
    pub fn spawn(&mut self, future: impl Future<Output = ()> + 'a) {
        let bell = Arc::new(Bell { task: self.tasks.len(), rung: AtomicBool::new(false), ready: self.ready.clone() });
        bell.wake_by_ref();
        self.tasks.push(Task { future: Some(Box::pin(future)), bell });
    }

    /// Runs one task after the other until `done` says so, which is asked before each step.
    pub fn run(&mut self, mut done: impl FnMut() -> bool) -> Stop {
        for _ in 0..POLLS_MAX {
            if done() {
                return Stop::Done;
            }
            let Some(next) = self.ready.take(&mut self.rng) else {
                if self.clock.advance_to_next() {
                    continue;
                }
                return Stop::Stuck;
            };
            let task = &mut self.tasks[next];
            task.bell.rung.store(false, Ordering::Release);
            let waker = Waker::from(Arc::clone(&task.bell));
            if let Some(future) = &mut task.future
                && future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready()
            {
                task.future = None;
            }
        }
        Stop::Stuck
    }
}

/// The tasks that can go on.
#[derive(Default)]
struct Ready(Mutex<Vec<usize>>);

impl Ready {
    fn take(&self, rng: &mut Rng) -> Option<usize> {
        let mut ready = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if ready.is_empty() {
            return None;
        }
        let at = rng.usize(..ready.len());
        Some(ready.swap_remove(at))
    }
}

/// Wakes one task; rung twice it wakes it once.
struct Bell {
    task: usize,
    rung: AtomicBool,
    ready: Arc<Ready>,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.rung.swap(true, Ordering::AcqRel) {
            self.ready.0.lock().unwrap_or_else(PoisonError::into_inner).push(self.task);
        }
    }
}

/// A life of so many polls: then it is dropped, as a process is killed in the middle of whatever it does.
pub struct Mortal<F> {
    life: Option<Pin<Box<F>>>,
    polls: u64,
}

impl<F> Mortal<F> {
    /// `life`, ended before its `polls`-th poll if it has not ended by itself.
    pub fn new(life: F, polls: u64) -> Self {
        Self { life: Some(Box::pin(life)), polls }
    }
}

impl<F: Future> Future for Mortal<F> {
    /// None if it was killed.
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if self.polls == 0 {
            // Dropped here and not with this future: whoever is killed does nothing more, whoever looks on.
            self.life = None;
        } else {
            self.polls -= 1;
        }
        match &mut self.life {
            Some(life) => life.as_mut().poll(context).map(Some),
            None => Poll::Ready(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, time::Duration};

    use bridge_core::port::Clock;

    use super::*;

    fn clock() -> Arc<ManualClock> {
        ManualClock::new("2026-11-21T01:02:03Z".parse().unwrap())
    }

    #[test]
    fn a_seed_decides_who_is_next_and_time_moves_when_nobody_is() {
        let order = |seed| {
            let (clock, order) = (clock(), RefCell::new(String::new()));
            let mut executor = Executor::new(clock.clone(), Rng::with_seed(seed));
            for (name, at) in [('a', 1), ('b', 1), ('c', 1), ('d', 2)] {
                let (clock, order) = (clock.clone(), &order);
                executor.spawn(async move {
                    clock.sleep(Duration::from_secs(at)).await;
                    order.borrow_mut().push(name);
                });
            }
            assert_eq!(executor.run(|| order.borrow().len() == 4), Stop::Done);
            drop(executor);
            assert_eq!(clock.elapsed(), Duration::from_secs(2));
            order.into_inner()
        };
        assert_eq!(order(1), order(1));
        assert!((2..10).any(|seed| order(seed) != order(1)));
        assert!((1..10).all(|seed| order(seed).ends_with('d')));
    }

    #[test]
    fn who_waits_for_nothing_is_stuck_and_who_is_killed_says_so() {
        let mut executor = Executor::new(clock(), Rng::with_seed(1));
        executor.spawn(std::future::pending());
        assert_eq!(executor.run(|| false), Stop::Stuck);
        let clock = clock();
        let nap = || clock.sleep(Duration::from_secs(1));
        assert_eq!(clock.drive(Mortal::new(nap(), 1)), None);
        assert_eq!(clock.drive(Mortal::new(nap(), 2)), Some(()));
    }
}
