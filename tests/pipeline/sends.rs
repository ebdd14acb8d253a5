//! How a worker and a replay send to a peer: under a name of its own each time, and again after pauses that grow.

use std::{
    collections::BTreeSet,
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use bridge_core::{
    circuit::CircuitPolicy,
    failure::{FailureKind, PortError},
    peer::Peer,
    port::{Clock, Delivery, Message, Place, Queue, Receipt, Use},
    reason::Refusal,
    worker::Worker,
};
use bridge_ops::replay::pace::Pace;
use bridge_simulation::operator::{self, Kept};
use chrono::{DateTime, Utc};

use crate::world::{World, event, message, policy};

const HERE: &str = "aws:us-east-1";
const THERE: &str = "azure:westeurope";

/// A peer's queue that is always down, and remembers when it was asked for what.
#[derive(Debug)]
struct Down {
    clock: Arc<dyn Clock>,
    asked: Mutex<Vec<(DateTime<Utc>, String)>>,
}

impl fmt::Display for Down {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("down")
    }
}

#[async_trait]
impl Queue for Down {
    async fn send(&self, messages: &[Message]) -> Vec<Result<(), PortError>> {
        let now = self.clock.now();
        self.asked.lock().unwrap().extend(messages.iter().map(|message| (now, message.id.clone())));
        messages.iter().map(|_| Err(PortError::new("down", "send", FailureKind::Unavailable))).collect()
    }

    fn lease(&self) -> Duration {
        Duration::ZERO
    }

    async fn receive(&self, _: usize, _: Duration) -> Result<Vec<Delivery>, PortError> {
        unreachable!()
    }

    async fn extend(&self, _: &[Receipt]) -> Vec<Result<Duration, PortError>> {
        unreachable!()
    }

    async fn ack(&self, _: &[Receipt]) -> Vec<Result<(), PortError>> {
        unreachable!()
    }

    async fn retry(&self, _: &[(&Delivery, Duration)]) -> Vec<Result<(), PortError>> {
        unreachable!()
    }

    async fn bury(&self, _: &Delivery, _: &Refusal) -> Result<bool, PortError> {
        unreachable!()
    }

    async fn probe(&self, _: Use) -> Result<(), PortError> {
        unreachable!()
    }

    async fn browse(&self, _: &mut Place, _: usize) -> Result<Vec<Delivery>, PortError> {
        unreachable!()
    }

    async fn release(&self, _: &[Receipt]) -> Vec<Result<(), PortError>> {
        unreachable!()
    }

    async fn close(&self) {}
}

/// Sends of one event to a peer that is down: when they began, and when each was made under which name.
type Sends = (DateTime<Utc>, Vec<(DateTime<Utc>, String)>);

impl Down {
    fn of(world: &World) -> Arc<Self> {
        Arc::new(Self { clock: Arc::clone(&world.clock) as Arc<dyn Clock>, asked: Mutex::default() })
    }

    fn take(&self, start: DateTime<Utc>) -> Sends {
        (start, std::mem::take(&mut *self.asked.lock().unwrap()))
    }
}

/// Has one event delivered so many times.
fn delivered(times: u32) -> Vec<Sends> {
    let world = World::by_hand(7, &[HERE, THERE], &policy());
    let never = CircuitPolicy { failures: u32::MAX, ..policy().circuit };
    let down = Down::of(&world);
    let peer = Peer::new(THERE.parse().unwrap(), Arc::clone(&down) as _, never);
    let worker = Worker { peers: vec![peer], ..world.hire(world.site(HERE), "of this test") };
    let batch = [Delivery {
        receipt: Receipt(String::new()),
        message_id: String::new(),
        attempt: 1,
        first_seen: None,
        body: event(1, HERE, "update", "k", 0).to_string().into(),
        properties: [].into(),
    }];
    let deliver = |_| {
        let start = world.clock.now();
        world.clock.drive(worker.replicate(&batch));
        down.take(start)
    };
    (0..times).map(deliver).collect()
}

/// Has one letter replayed so many times.
fn replayed(times: u32) -> Vec<Sends> {
    let world = World::by_hand(7, &[HERE, THERE], &policy());
    let down = Down::of(&world);
    let letter = message(1, &event(1, HERE, "update", "k", 0).to_string());
    world.clock.drive(world.site(HERE).letters.send(&[letter]));
    let replay = |time: u32| {
        let (source, target) = ("aws:us-east-1/dlq".parse().unwrap(), "azure:westeurope/queue".parse().unwrap());
        let mut setting = operator::setting(&world, source, target, &time.to_string());
        setting.places.get_mut(&THERE.parse().unwrap()).unwrap().queue = Arc::clone(&down) as Arc<dyn Queue>;
        let entries = world.clock.drive(operator::plan(&setting)).unwrap();
        let start = world.clock.now();
        world.clock.drive(operator::run(&setting, &entries, &Kept::default(), Pace::new(None)));
        down.take(start)
    };
    (0..times).map(replay).collect()
}

#[test]
fn pauses_begin_after_the_first_attempt_and_double() {
    let policy = policy();
    for sends in [delivered(500), replayed(500)] {
        let mut longest = [Duration::ZERO; 3];
        for (start, asked) in sends {
            assert_eq!(asked.len(), 3, "as often as the policy says");
            let mut before = start;
            for ((at, _), longest) in asked.iter().zip(&mut longest) {
                *longest = (*at - before).to_std().unwrap().max(*longest);
                before = *at;
            }
        }
        let [first, second, third] = longest;
        let about = |pause: Duration, most: Duration| pause > most * 9 / 10 && pause <= most;
        assert_eq!(first, Duration::ZERO);
        assert!(about(second, policy.peer_retry.base), "{second:?}");
        assert!(about(third, policy.peer_retry.base * 2), "{third:?}");
    }
}

/// A queue that drops what has a name that it has seen would swallow a replay; it may well drop a send's own repetition.
#[test]
fn a_send_has_a_name_that_its_repetitions_share_and_no_other_send() {
    let mut names = BTreeSet::new();
    for (_, asked) in delivered(100).into_iter().chain(replayed(100)) {
        let of_this_send: BTreeSet<String> = asked.into_iter().map(|(_, name)| name).collect();
        assert_eq!(of_this_send.len(), 1);
        for name in of_this_send {
            assert!(uuid::Uuid::parse_str(&name).is_ok_and(|uuid| !uuid.is_nil()), "{name:?}");
            assert!(names.insert(name), "used before");
        }
    }
}
