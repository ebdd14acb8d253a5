//! How a worker sends to a peer: under a name of its own each time, and again after pauses that grow.

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
    pipeline::{Peer, Worker},
    port::{Clock, Delivery, Message, Place, Queue, Receipt},
};
use chrono::{DateTime, Utc};

use crate::world::{World, event, policy};

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

    async fn extend(&self, _: &[Receipt]) -> Vec<Result<(), PortError>> {
        unreachable!()
    }

    async fn ack(&self, _: &[Receipt]) -> Vec<Result<(), PortError>> {
        unreachable!()
    }

    async fn retry(&self, _: &Delivery, _: Duration) -> Result<(), PortError> {
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

/// Has one event delivered so many times; answers when its sends to a peer that is down began, and when each was made
/// under which name.
fn sends_to_a_peer_that_is_down(times: u32) -> Vec<(DateTime<Utc>, Vec<(DateTime<Utc>, String)>)> {
    let world = World::by_hand(7, &[HERE, THERE], &policy());
    let never = CircuitPolicy { failures: u32::MAX, ..policy().circuit };
    let clock = Arc::clone(&world.clock) as Arc<dyn Clock>;
    let down = Arc::new(Down { clock, asked: Mutex::default() });
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
        (start, std::mem::take(&mut *down.asked.lock().unwrap()))
    };
    (0..times).map(deliver).collect()
}

#[test]
fn pauses_begin_after_the_first_attempt_and_double() {
    let policy = policy();
    let mut longest = [Duration::ZERO; 3];
    for (start, asked) in sends_to_a_peer_that_is_down(500) {
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

/// A queue that drops what has a name that it has seen would swallow a replay; it may well drop a send's own repetition.
#[test]
fn a_send_has_a_name_that_its_repetitions_share_and_no_other_send() {
    let mut names = BTreeSet::new();
    for (_, asked) in sends_to_a_peer_that_is_down(100) {
        let of_this_send: BTreeSet<String> = asked.into_iter().map(|(_, name)| name).collect();
        assert_eq!(of_this_send.len(), 1);
        for name in of_this_send {
            assert!(uuid::Uuid::parse_str(&name).is_ok_and(|uuid| !uuid.is_nil()), "{name:?}");
            assert!(names.insert(name), "used before");
        }
    }
}
