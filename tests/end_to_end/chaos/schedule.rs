//! What goes wrong when, by a seed alone: the same seed is the same list.
//!
//! Time goes in rounds. In each round every card of three decks is played once, in an order that the seed decides: each kind of fault
//! on each service, each mishap of a worker, each cut; and each service is dark once, longer than a worker has patience.

use std::{fmt, time::Duration};

use fastrand::Rng;

use super::{AWS, AZURE, LEASE_SECONDS};

/// The length of a round.
pub(super) const ROUND: Duration = Duration::from_secs(16);

/// How long a service is dark: longer than all that a worker tries (`super::workers::PATIENCE`), so that letters arise.
const DARK: Duration = Duration::from_secs(3);

const SERVICES: [&str; 4] = ["sqs", "dynamodb", "service-bus", "cosmos"];

/// Every kind of fault but `dark`; half of the calls go through, so that work is always half done.
pub(super) const KINDS: [&str; 8] = [
    "latency,fixed=20ms,jitter=200ms",
    "drip,pause=5ms,probability=0.5",
    "throttle,retry_after=50ms,probability=0.5",
    "error,probability=0.5",
    "error,when=after,probability=0.5",
    "drop,probability=0.5",
    "drop,when=after,probability=0.5",
    "denied,count=1",
];

/// Something that happens at one moment. Workers are numbers: 0 and 1 are of AWS, 2 and 3 of Azure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// A fault of this number begins, and ends.
    Fault(usize, String),
    FaultEnds(usize),
    /// Every open connection of these services is reset.
    Cut(&'static str),
    /// SIGKILL.
    Kill(Vec<usize>),
    /// SIGTERM.
    Stop(usize),
    /// SIGSTOP, and SIGCONT.
    Freeze(usize),
    Thaw(usize),
    Start(Vec<usize>),
    /// `bridge replay --to owed` begins, and is killed.
    Replay(&'static str),
    KillReplay(&'static str),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) at: Duration,
    pub(super) act: Act,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:7.3} s  {:?}", self.at.as_secs_f64(), self.act)
    }
}

/// All steps of so many rounds, in order of time.
pub(super) fn schedule(seed: u64, rounds: u32) -> Vec<Step> {
    let mut plan = Plan { rng: Rng::with_seed(seed), steps: Vec::new(), faults: 0, dark: Vec::new() };
    for round in 0..rounds {
        plan.round(ROUND * round);
    }
    plan.finale();
    plan.steps.sort_by_key(|step| step.at);
    plan.steps
}

struct Plan {
    rng: Rng,
    steps: Vec<Step>,
    faults: usize,
    /// Which service is dark from when.
    dark: Vec<(&'static str, Duration)>,
}

impl Plan {
    fn round(&mut self, begin: Duration) {
        let faults = SERVICES.iter().flat_map(|service| KINDS.map(|kind| format!("{service}:*:{kind}"))).collect();
        for (at, fault) in self.deal(begin, faults) {
            let lasts = self.millis(300..900);
            self.fault(at, lasts, fault);
        }
        for (at, service) in self.deal(begin, SERVICES.to_vec()) {
            self.fault(at, DARK, format!("{service}:*:dark"));
            self.dark.push((service, at));
            // What could not be sent to this cloud is owed to it by the other one; that is brought while more goes wrong.
            if let Some(owes) = [("sqs", AZURE), ("service-bus", AWS)].into_iter().find(|(dark, _)| *dark == service) {
                let begins = at + DARK + self.millis(100..500);
                self.push(begins, Act::Replay(owes.1));
                let lasts = self.millis(1_200..2_000);
                self.push(begins + lasts, Act::KillReplay(owes.1));
            }
        }
        for (at, scope) in self.deal(begin, vec!["sqs", "dynamodb", "service-bus", "cosmos", "aws", "azure", "*"]) {
            self.push(at, Act::Cut(scope));
        }
        let mishaps: [fn(&mut Self, Duration, usize); 8] = [
            Self::kill,
            Self::kill,
            Self::kill_site,
            Self::kill_site,
            Self::stop,
            Self::freeze_for_a_moment,
            Self::freeze_beyond_the_lease,
            Self::freeze_beyond_the_lease,
        ];
        let cards = mishaps.into_iter().flat_map(|mishap| [(mishap, 0), (mishap, 2)]).collect();
        for (at, (mishap, site)) in self.deal(begin, cards) {
            mishap(self, at, site);
        }
    }

    /// What no run may miss, with nothing else in its way: fresh workers in the middle of their batches, those of AWS killed, those of
    /// Azure frozen beyond their leases.
    fn finale(&mut self) {
        let begin = self.steps.iter().map(|step| step.at).max().unwrap_or_default() + Duration::from_millis(500);
        for worker in 0..4 {
            self.push(begin, Act::Stop(worker));
        }
        self.push(begin, Act::Start(vec![0, 1, 2, 3]));
        let slow = begin + Duration::from_millis(500);
        for store in ["dynamodb", "cosmos"] {
            self.fault(slow, Duration::from_millis(1_200), format!("{store}:*:latency,fixed=2s"));
        }
        let busy = slow + Duration::from_secs(1);
        self.push(busy, Act::Kill(vec![0, 1]));
        for worker in [2, 3] {
            self.push(busy, Act::Freeze(worker));
        }
        self.push(busy + Duration::from_millis(300), Act::Start(vec![0, 1]));
        let wakes = busy + Duration::from_secs(LEASE_SECONDS) + Duration::from_millis(500);
        for worker in [2, 3] {
            self.push(wakes, Act::Thaw(worker));
            self.push(wakes, Act::Stop(worker));
        }
        self.push(wakes, Act::Start(vec![2, 3]));
    }

    /// Spreads cards over a round, each somewhere in its own part of it.
    fn deal<T>(&mut self, begin: Duration, mut cards: Vec<T>) -> Vec<(Duration, T)> {
        self.rng.shuffle(&mut cards);
        let each = ROUND / u32::try_from(cards.len()).unwrap();
        let place = |(number, card)| (begin + each * number + each.mul_f64(self.rng.f64()), card);
        (0..).zip(cards).map(place).collect()
    }

    fn fault(&mut self, at: Duration, lasts: Duration, fault: String) {
        self.faults += 1;
        self.push(at, Act::Fault(self.faults, fault));
        self.push(at + lasts, Act::FaultEnds(self.faults));
    }

    fn kill(&mut self, at: Duration, site: usize) {
        let worker = site + self.rng.usize(0..2);
        self.push(at, Act::Kill(vec![worker]));
        self.start(at, vec![worker]);
    }

    /// For what must hit workers in the middle of a batch: when they are, at this time or soon after. While their queue or
    /// store is dark they have no work, and just after it they have much; and they hold it while their store is slow.
    fn at_work(&mut self, at: Duration, site: usize) -> Duration {
        let services = if site == 0 { ["sqs", "dynamodb"] } else { ["service-bus", "cosmos"] };
        let mut at = at;
        for (service, begins) in &self.dark {
            let idle = begins.saturating_sub(Duration::from_secs(1))..*begins + DARK + Duration::from_secs(1);
            if services.contains(service) && idle.contains(&at) {
                at = idle.end;
            }
        }
        let begins = at.saturating_sub(Duration::from_millis(800));
        self.fault(begins, Duration::from_millis(900), format!("{}:*:latency,fixed=1s", services[1]));
        at
    }

    fn kill_site(&mut self, at: Duration, site: usize) {
        let at = self.at_work(at, site);
        self.push(at, Act::Kill(vec![site, site + 1]));
        self.start(at, vec![site, site + 1]);
    }

    fn stop(&mut self, at: Duration, site: usize) {
        let worker = site + self.rng.usize(0..2);
        self.push(at, Act::Stop(worker));
        self.start(at, vec![worker]);
    }

    fn freeze_for_a_moment(&mut self, at: Duration, site: usize) {
        let worker = site + self.rng.usize(0..2);
        self.push(at, Act::Freeze(worker));
        let lasts = self.millis(100..900);
        self.push(at + lasts, Act::Thaw(worker));
    }

    /// It wakes up with leases that have ended, and settles by them. Then it is told to end, for its books.
    fn freeze_beyond_the_lease(&mut self, at: Duration, site: usize) {
        let at = self.at_work(at, site);
        let worker = site + self.rng.usize(0..2);
        self.push(at, Act::Freeze(worker));
        let wakes = at + Duration::from_secs(LEASE_SECONDS) + self.millis(500..2_000);
        self.push(wakes, Act::Thaw(worker));
        self.push(wakes + Duration::from_millis(20), Act::Stop(worker));
        self.start(wakes, vec![worker]);
    }

    fn start(&mut self, after: Duration, workers: Vec<usize>) {
        let at = after + self.millis(50..1_000);
        self.push(at, Act::Start(workers));
    }

    fn push(&mut self, at: Duration, act: Act) {
        self.steps.push(Step { at, act });
    }

    fn millis(&mut self, range: std::ops::Range<u64>) -> Duration {
        Duration::from_millis(self.rng.u64(range))
    }
}

#[test]
fn a_seed_is_a_schedule() {
    assert_eq!(schedule(7, 2), schedule(7, 2));
    assert_ne!(schedule(7, 2), schedule(8, 2));
    let steps = schedule(7, 2);
    for kind in KINDS {
        for service in SERVICES {
            let played = steps
                .iter()
                .filter(|step| matches!(&step.act, Act::Fault(_, fault) if *fault == format!("{service}:*:{kind}")));
            assert_eq!(played.count(), 2, "{service} {kind}");
        }
    }
    assert_eq!(steps.iter().filter(|step| matches!(step.act, Act::Replay(_))).count(), 4);
}
