//! What goes between queues, and what takes minutes, with time as a number.

use futures_util::FutureExt;
use uuid::Uuid;

use super::*;

const RETENTION_SECONDS: u64 = 345_600;

fn at(seconds: u64) -> Now {
    Now { elapsed: Duration::from_secs(seconds), wall_ms: 1_000_000 + seconds * 1_000 }
}

struct World {
    registry: Registry,
    ids: u128,
}

impl World {
    fn new(queues: &[(&str, &[(&str, &str)])]) -> Self {
        let (region, account) = ("us-east-1".to_owned(), "000000000000".to_owned());
        let place = Place { endpoint: "http://127.0.0.1:1".to_owned(), region, account };
        let mut world = Self { registry: Registry::new(place), ids: 0 };
        for (name, attributes) in queues {
            world.create(0, name, attributes).unwrap();
        }
        world
    }

    fn create(&mut self, seconds: u64, name: &str, attributes: &[(&str, &str)]) -> Result<String, Code> {
        let attributes = attributes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        self.registry.create(at(seconds), name, &attributes, BTreeMap::new()).map_err(|error| error.code)
    }

    fn send(&mut self, seconds: u64, queue: &str, body: &str) -> Sent {
        self.send_grouped(seconds, queue, body, "g", body)
    }

    /// Sends with a group and a deduplication id, which count on FIFO queues only.
    fn send_grouped(&mut self, seconds: u64, queue: &str, body: &str, group: &str, deduplication: &str) -> Sent {
        self.ids += 1;
        let message = Message {
            id: Uuid::from_u128(self.ids),
            body: body.into(),
            body_md5: [0; 16],
            attributes: [].into(),
            trace_header: None,
            group: Some(group.into()),
            deduplication: Some(deduplication.into()),
            sequence: None,
            sent_ms: at(seconds).wall_ms,
        };
        self.registry.send(at(seconds), queue, message, None).unwrap().sent
    }

    fn receive(&mut self, seconds: u64, queue: &str) -> Vec<Stored> {
        self.receive_up_to(seconds, queue, 10)
    }

    fn receive_up_to(&mut self, seconds: u64, queue: &str, max: usize) -> Vec<Stored> {
        let taken = self.registry.receive(at(seconds), queue, max, None, None).unwrap();
        taken.deliveries.into_iter().map(|delivery| delivery.stored).collect()
    }

    fn visible(&mut self, seconds: u64, queue: &str) -> usize {
        self.registry.counts(at(seconds).elapsed, queue).unwrap().visible
    }

    /// Whether a receiver of this queue would be woken now.
    fn rings(&mut self, queue: &str) -> bool {
        let arrivals = Arc::clone(&self.registry.slot(queue).unwrap().arrivals);
        arrivals.notified().now_or_never().is_some()
    }
}

fn bodies(messages: &[Stored]) -> Vec<&str> {
    messages.iter().map(|stored| &*stored.message.body).collect()
}

fn redrive(target: &str, count: u32) -> String {
    format!(r#"{{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:{target}","maxReceiveCount":{count}}}"#)
}

#[test]
fn a_dead_letter_keeps_its_age_on_standard_queues() {
    let policy = redrive("dead", 1);
    let mut world = World::new(&[("dead", &[]), ("q", &[("RedrivePolicy", &policy)])]);
    let sent = world.send(0, "q", "poison");
    assert_eq!(bodies(&world.receive(0, "q")), ["poison"]);
    assert!(!world.rings("dead"));
    assert_eq!(world.receive(30, "q"), []);
    assert!(world.rings("dead"));
    assert_eq!(world.visible(RETENTION_SECONDS - 1, "dead"), 1);
    let letter = world.receive(100, "dead").remove(0);
    assert_eq!((letter.message.id, letter.receive_count), (sent.id, 2));
    assert_eq!(letter.first_received_ms, Some(at(0).wall_ms));
    assert_eq!(letter.dead_letter_source.as_deref(), Some("arn:aws:sqs:us-east-1:000000000000:q"));
    assert_eq!(world.visible(RETENTION_SECONDS, "dead"), 0, "four days after it was sent, not after it was set aside");
}

#[test]
fn a_dead_letter_starts_anew_on_fifo_queues() {
    let policy = redrive("dead.fifo", 1);
    let attributes: &[(&str, &str)] = &[("FifoQueue", "true"), ("RedrivePolicy", &policy)];
    let mut world = World::new(&[("dead.fifo", &[("FifoQueue", "true")]), ("q.fifo", attributes)]);
    let sent = world.send(0, "q.fifo", "poison");
    world.receive(0, "q.fifo");
    world.receive(1_000, "q.fifo");
    assert_eq!(world.visible(RETENTION_SECONDS + 999, "dead.fifo"), 1);
    let letter = world.receive(1_001, "dead.fifo").remove(0);
    assert_eq!(letter.message.deduplication.as_deref(), Some(sent.id.to_string().as_str()));
    assert_eq!(letter.message.sequence, Some(sent.sequence));
}

#[test]
fn without_its_dead_letter_queue_a_queue_goes_on_delivering() {
    let policy = redrive("dead", 1);
    let mut world = World::new(&[("dead", &[]), ("q", &[("RedrivePolicy", &policy)])]);
    world.registry.delete(at(0).elapsed, "dead").unwrap();
    world.send(0, "q", "poison");
    for round in 0..3 {
        assert_eq!(bodies(&world.receive(round * 30, "q")), ["poison"]);
    }
}

#[test]
fn a_queue_that_names_itself_keeps_its_messages() {
    let mut world = World::new(&[("q", &[])]);
    let policy = BTreeMap::from([("RedrivePolicy".to_owned(), redrive("q", 1))]);
    world.registry.change(at(0), "q", &policy).unwrap();
    world.send(0, "q", "round");
    for round in 0..3 {
        assert_eq!(bodies(&world.receive(round * 30, "q")), ["round"]);
    }
}

#[test]
fn a_duplicate_gets_the_first_ones_numbers_for_five_minutes() {
    let mut world = World::new(&[("q.fifo", &[("FifoQueue", "true")])]);
    let first = world.send_grouped(0, "q.fifo", "first", "g", "same");
    assert_eq!(world.send_grouped(299, "q.fifo", "again", "other", "same"), first);
    let other = world.send_grouped(299, "q.fifo", "other", "g", "other");
    assert!(other.sequence > first.sequence && other.id != first.id);
    assert_eq!(bodies(&world.receive(299, "q.fifo")), ["first", "other"]);
    assert_ne!(world.send_grouped(300, "q.fifo", "later", "g", "same"), first);
    assert_eq!(world.visible(300, "q.fifo"), 1);
}

#[test]
fn ids_count_within_their_group_where_the_queue_says_so() {
    let mut world = World::new(&[("q.fifo", &[("FifoQueue", "true"), ("DeduplicationScope", "messageGroup")])]);
    for group in ["a", "b", "a"] {
        world.send_grouped(0, "q.fifo", group, group, "same");
    }
    assert_eq!(bodies(&world.receive(0, "q.fifo")), ["a", "b"]);
}

#[test]
fn purging_forgets_deduplication_ids_and_rests_for_a_minute() {
    let mut world = World::new(&[("q.fifo", &[("FifoQueue", "true")])]);
    world.send(0, "q.fifo", "m");
    world.registry.purge(at(0).elapsed, "q.fifo").unwrap();
    world.send(1, "q.fifo", "m");
    assert_eq!(world.visible(1, "q.fifo"), 1);
    let again =
        |world: &mut World, seconds| world.registry.purge(at(seconds).elapsed, "q.fifo").map_err(|error| error.code);
    assert_eq!(again(&mut world, 59), Err(Code::PurgeQueueInProgress));
    assert_eq!(again(&mut world, 60), Ok(()));
}

#[test]
fn a_name_rests_for_a_minute_after_its_queue_was_deleted() {
    let mut world = World::new(&[("q", &[])]);
    world.registry.delete(at(10).elapsed, "q").unwrap();
    assert_eq!(world.create(69, "q", &[]), Err(Code::QueueDeletedRecently));
    assert_eq!(world.create(70, "q", &[]), Ok("http://127.0.0.1:1/000000000000/q".to_owned()));
}

#[test]
fn a_queue_is_found_by_its_address_on_any_host_and_by_its_name() {
    let world = World::new(&[("q", &[])]);
    for address in ["q", "http://127.0.0.1:1/000000000000/q", "https://sqs.us-east-1.amazonaws.com/000000000000/q"] {
        assert_eq!(world.registry.resolve(address).as_deref(), Ok("q"), "{address}");
    }
    let code = |address: &str| world.registry.resolve(address).map_err(|error| error.code);
    assert_eq!(code("http://127.0.0.1:1/111111111111/q"), Err(Code::QueueDoesNotExist));
    assert_eq!(code("http://127.0.0.1:1/000000000000/Q"), Err(Code::QueueDoesNotExist));
    assert_eq!(code(""), Err(Code::InvalidAddress));
    assert_eq!(code("http://127.0.0.1:1/000000000000/"), Err(Code::InvalidAddress));
}

#[test]
fn receivers_wake_each_other_but_never_for_nothing() {
    let mut world = World::new(&[("q", &[])]);
    for number in 0..limits::IN_FLIGHT_MAX + 2 {
        world.send(0, "q", &number.to_string());
    }
    assert!(world.rings("q"));
    world.receive_up_to(0, "q", limits::IN_FLIGHT_MAX - 1);
    assert!(world.rings("q"), "messages were left behind");
    assert_eq!(world.receive(0, "q").len(), 1);
    assert!(world.rings("q"));
    assert_eq!(world.receive(0, "q").len(), 0, "too many are in flight");
    assert!(!world.rings("q"), "a receiver that got nothing would wake itself for ever");
}

#[test]
fn the_alarm_is_set_for_the_next_message_that_comes_back() {
    let mut world = World::new(&[("a", &[("VisibilityTimeout", "20")]), ("b", &[])]);
    let moved = world.registry.alarm_moved();
    let rang = || moved.notified().now_or_never().is_some();
    assert_eq!(world.registry.advance(at(0).elapsed), None);
    world.send(0, "b", "m");
    world.receive(0, "b");
    assert!(rang(), "from never to 30 s");
    world.send(1, "a", "m");
    world.receive(1, "a");
    assert!(rang(), "from 30 s to 21 s");
    world.send(2, "b", "n");
    world.receive(2, "b");
    assert!(!rang(), "32 s is later than what it is set for");
    assert!(world.rings("a") && world.rings("b"), "from the sending");
    assert_eq!(world.registry.advance(at(21).elapsed), Some(Duration::from_secs(30)));
    assert!(world.rings("a") && !world.rings("b"));
}
