//! Whatever is refused ends in one letter with its reason: on the rules of both clouds' queues, at any size that they take, whatever the message
//! came with, and whichever host settles it.

use std::{sync::Arc, time::Duration};

use bridge_adapters::{
    layer::{Fault, FaultPlan, Faults, LayeredQueue, Rule},
    memory::{Carries, MemoryQueue, MemoryQueueOptions},
};
use bridge_core::{
    carry_out::work_off,
    failure::FailureKind,
    invocation::{partial, whole},
    limits,
    port::{Clock, Delivery, Message, Properties, Queue, Receipt},
    reason::Reason,
    settlement::Settlement,
    worker::{Policy, Worker},
};
use sha2::{Digest, Sha256};

use crate::{
    contract,
    world::{Reported, START, World, event, policy},
};

const HERE: &str = "aws:us-east-1";
const THERE: &str = "azure:westeurope";

/// "Amazon SQS message quotas" and "Service Bus quotas", the Standard tier, read 2026-11.
const SQS_BYTES: usize = 1024 * 1024;
const SERVICE_BUS_BYTES: usize = 256 * 1024;

/// Longer than any message is hidden.
const LONG: Duration = Duration::from_hours(12);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Host {
    SqsContainer,
    Lambda,
    ServiceBusContainer,
    Function,
}

impl Host {
    const ALL: [Self; 4] = [Self::SqsContainer, Self::Lambda, Self::ServiceBusContainer, Self::Function];

    fn rules(self) -> (Carries, usize) {
        match self {
            Self::SqsContainer | Self::Lambda => (Carries::Sqs, SQS_BYTES),
            Self::ServiceBusContainer | Self::Function => (Carries::ServiceBus, SERVICE_BUS_BYTES),
        }
    }
}

/// A site on one cloud's rules, outcome by one host.
struct Bench {
    world: World,
    host: Host,
    queue: Arc<MemoryQueue>,
    letters: Arc<MemoryQueue>,
    /// The letters, as the worker reaches them.
    dead: Arc<dyn Queue>,
}

impl Bench {
    fn new(host: Host) -> Self {
        let world = World::by_hand(7, &[HERE, THERE], &Policy { attempts_max: 20, ..policy() });
        let (carries, message_bytes_max) = host.rules();
        let queue = |name: &str, buries| {
            let options = MemoryQueueOptions {
                name: name.to_owned(),
                carries,
                message_bytes_max,
                buries,
                deliveries_max: Some(if host == Host::Function { 10 } else { 40 }),
                ..MemoryQueueOptions::default()
            };
            Arc::new(MemoryQueue::new(options, world.clock.clone()))
        };
        let (events, letters) = (queue("events", host == Host::ServiceBusContainer), queue("letters", false));
        Self { queue: events, dead: letters.clone(), letters, world, host }
    }

    /// Puts a message into the queue; false if the queue does not take it.
    fn send(&self, body: &[u8], properties: &Properties) -> bool {
        let message = Message { id: "1".to_owned(), body: body.to_vec().into(), properties: properties.clone() };
        self.world.clock.drive(self.queue.send(&[message])).remove(0).is_ok()
    }

    /// Works off what is there; true if there was anything.
    fn work(&self, worker: &Worker) -> bool {
        let Self { world, host, queue, dead, .. } = self;
        let clock = &world.clock;
        let batch = clock.drive(queue.receive(100, LONG)).unwrap();
        let receipts: Vec<_> = batch.iter().map(|delivery| delivery.receipt.clone()).collect();
        match host {
            Host::SqsContainer | Host::ServiceBusContainer => {
                clock.drive(work_off(worker, &**queue, &**dead, &batch));
            }
            Host::Lambda => {
                let budget = partial::Budget { work: LONG, give_back: LONG, portion: 32 };
                let outcome = clock.drive(partial::work_off(worker, &**queue, &**dead, &batch, budget));
                let done = receipts.iter().zip(&outcome.ended).filter(|(_, ended)| ended.is_settled());
                clock.drive(queue.ack(&done.map(|(receipt, _)| receipt.clone()).collect::<Vec<_>>()));
            }
            Host::Function => {
                let budget = whole::Budget { attempt: LONG, hold: Duration::ZERO, halt: Duration::ZERO };
                let outcome = clock.drive(whole::work_off(worker, &**queue, &**queue, &**dead, batch.clone(), budget));
                match outcome.failed {
                    None => drop(clock.drive(queue.ack(&receipts))),
                    Some(_) => drop(clock.drive(queue.release(&receipts))),
                }
            }
        }
        !batch.is_empty()
    }

    /// Works a message off, once more if it comes again, then answers its letters: each reason, and whether the letter holds the body.
    fn letters_of(&self, body: &[u8]) -> Vec<(String, bool)> {
        let worker = self.world.worker(HERE);
        for _ in 0..2 {
            if !self.work(worker) {
                break;
            }
        }
        let excerpt = |properties: &Properties| {
            let digest: String = format!("{:x}", Sha256::digest(body));
            assert_eq!(properties["bridge_body_sha256"], digest);
            assert_eq!(properties["bridge_body_bytes"], body.len().to_string());
        };
        let letters = self.letters.snapshot().into_iter().map(|(lies, properties)| {
            if lies != body {
                excerpt(&properties);
            }
            (properties["bridge_reason"].clone(), lies == body)
        });
        let buried =
            self.queue.buried().into_iter().filter_map(|(_, why)| why).map(|why| (why.reason.to_string(), true));
        letters.chain(buried).collect()
    }

    /// Whether the message itself still lies where its broker keeps it.
    fn keeps(&self, body: &[u8]) -> bool {
        let waits = self.queue.snapshot().into_iter().map(|(body, _)| body);
        let buried = self.queue.buried().into_iter().map(|(body, _)| body);
        waits.chain(buried).any(|kept| kept == body)
    }
}

/// Sends a message of so many bytes in all, and holds what becomes of it against the rule. Answers whether its letter holds it whole; none if
/// the queue did not take the message.
fn one_letter(host: Host, body: &[u8], properties: &Properties, reason: &str) -> Option<bool> {
    let bench = Bench::new(host);
    if !bench.send(body, properties) {
        return None;
    }
    let letters = bench.letters_of(body);
    let told = format!("{host:?}, {} bytes and {} properties: {letters:?}", body.len(), properties.len());
    assert!(matches!(&letters[..], [(said, _)] if said == reason), "{reason}: {told}");
    assert!(letters[0].1 || bench.keeps(body), "lost: {told}");
    assert_eq!(bench.world.site(THERE).queue.len(), 0, "{told}");
    Some(bench.letters.snapshot().iter().any(|(lies, _)| *lies == body))
}

/// A body that is refused for the same reason, of so many bytes: JSON may end in blanks.
fn padded(body: &[u8], bytes: usize) -> Vec<u8> {
    let mut padded = body.to_vec();
    padded.resize(bytes.max(body.len()), b' ');
    padded
}

/// Properties of so many bytes in all, as a producer of this cloud may send them.
fn properties(host: Host, bytes: usize, rng: &mut fastrand::Rng) -> Properties {
    let names: &[&str] = match host.rules().0 {
        Carries::Sqs => &["Trace-Id", "x.y", "N", "bridge_owed", "traceparent", "z-9", "_"],
        _ => &["Trace Id", "größe", "N", "bridge_owed", "traceparent", "X-Header", "\u{1}", "Über", "a", "b"],
    };
    let mut properties = Properties::new();
    let mut left = bytes;
    for name in names {
        // No property of Service Bus may have more than 32 KB.
        let value = rng.usize(0..=left.min(31 * 1024));
        if value > name.len() + limits::PROPERTY_OVERHEAD_BYTES {
            let letter = if host.rules().0 == Carries::ServiceBus && rng.bool() { "\u{1}" } else { "x" };
            properties.insert((*name).to_owned(), letter.repeat(value - name.len() - limits::PROPERTY_OVERHEAD_BYTES));
            left -= value;
        }
    }
    properties
}

fn size(properties: &Properties) -> usize {
    properties.iter().map(|(name, value)| name.len() + value.len()).sum()
}

/// Each byte counts near the limit: where the forms of a letter give way to each other, and to an excerpt.
#[test]
fn at_every_size_near_the_limit_a_refusal_is_one_letter() {
    for host in Host::ALL {
        let (_, limit) = host.rules();
        // Where forms change every byte, and further from the limit as many as take no longer.
        let sizes = (limit - 2 * 1024..limit - 320).step_by(64).chain(limit - 320..=limit);
        let letter =
            |bytes| Some((bytes, one_letter(host, &padded(b"no event", bytes), &Properties::new(), "not_json")?));
        let taken: Vec<(usize, bool)> = sizes.filter_map(letter).collect();
        assert!(taken.len() > 27 + 320 - 130, "{host:?} took {}", taken.len());
        // The least form has the reason alone, beside what a queue counts for each message.
        let whole = taken.iter().filter(|(_, whole)| *whole).map(|(bytes, _)| *bytes).max().unwrap();
        assert!(limit - whole < 180, "{host:?}: no letter holds more than {} bytes less than the limit", limit - whole);
    }
}

/// Every bad example, at sizes and with properties drawn by chance, on the rules of both clouds.
#[test]
fn every_bad_example_ends_in_one_letter_whatever_its_size_and_its_properties() {
    let mut rng = fastrand::Rng::with_seed(14);
    let now = START.parse().unwrap();
    let mut taken = 0;
    for example in contract::examples().into_iter().filter(|example| !example.good && example.pad_to_bytes.is_none()) {
        for [one, other] in [[Host::SqsContainer, Host::Lambda], [Host::ServiceBusContainer, Host::Function]] {
            let host = if rng.bool() { one } else { other };
            let (_, limit) = host.rules();
            let site = if example.file.contains("unknown_origin") { THERE } else { HERE };
            let body = contract::body(&example, site, now);
            for total in [0, limit - rng.usize(0..2 * 1024), limit - rng.usize(0..200)] {
                let bytes = [0, rng.usize(0..8 * 1024), rng.usize(0..64 * 1024)][rng.usize(0..3)];
                let own = properties(host, bytes, &mut rng);
                let body = padded(&body, total.saturating_sub(size(&own)));
                if let Some(reason) = reason(&body) {
                    taken += usize::from(one_letter(host, &body, &own, reason.as_str()).is_some());
                }
            }
        }
    }
    assert!(taken > 1_000, "{taken} is too few to show anything");
}

/// What a worker of this site says of a body.
fn reason(body: &[u8]) -> Option<Reason> {
    let world = World::by_hand(7, &[HERE, THERE], &policy());
    let worker = world.worker(HERE);
    let delivery = Delivery {
        receipt: Receipt(String::new()),
        message_id: String::new(),
        attempt: 1,
        first_seen: None,
        body: body.to_vec().into(),
        properties: Properties::new(),
    };
    let verdict = world.clock.drive(worker.replicate(&[delivery])).remove(0);
    match verdict.settlement {
        Settlement::DeadLetter(letter) => Some(letter.refusal.reason),
        _ => None,
    }
}

/// What an event's member is called is quoted in the letter, and no queue carries all that JSON does.
#[test]
fn a_letter_quotes_no_character_that_its_queue_refuses() {
    let odd = ["\u{1}", "\u{1f}", "\u{7f}", "\u{85}", "\u{fdd0}", "\u{fffe}", "\u{ffff}", "\u{1ffff}", "\u{10ffff}"];
    for name in odd {
        let escaped: String = name.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect::<Vec<_>>().concat();
        for host in Host::ALL {
            let bench = Bench::new(host);
            bench.send(format!("{{\"{escaped}\":1,\"{escaped}\":2}}").as_bytes(), &Properties::new());
            bench.work(bench.world.worker(HERE));
            let letters = bench.letters.snapshot();
            let [(_, properties)] = &letters[..] else { panic!("{host:?}: {} letters", letters.len()) };
            assert_eq!(properties["bridge_reason"], "duplicate_member");
            let shown = format!("\\u{{{:X}}}", u32::from(name.chars().next().unwrap()));
            assert!(properties["bridge_detail"].contains(&shown), "{host:?}: {properties:?}");
        }
    }
}

/// A legal event leaves room for its letter, whatever it came with.
#[test]
fn a_legal_event_whose_peer_is_away_is_one_letter_that_says_so() {
    for host in Host::ALL {
        let bench = Bench::new(host);
        bench.world.site(THERE).inbound.add(Rule::always(Fault::Before(FailureKind::Unavailable)));
        let mut event = event(1, HERE, "upsert", "order-1", 0);
        event["payload"]["note"] = "x".repeat(249_000 - event.to_string().len()).into();
        let body = event.to_string();
        let own: Properties = (0..8).map(|n| (format!("X-Header-{n}"), "v".repeat(1_480))).collect();
        assert!((11_900..12_100).contains(&size(&own)) && bench.send(body.as_bytes(), &own));
        bench.work(bench.world.worker(HERE));
        let letters = bench.letters.snapshot();
        let [(lies, properties)] = &letters[..] else { panic!("{host:?}: {} letters", letters.len()) };
        assert_eq!((lies, properties["bridge_reason"].as_str()), (&body.into(), "peer_unavailable"));
        assert_eq!(properties["bridge_owed"], THERE);
        assert!(properties.contains_key("X-Header-0"), "as many as there is room for: {:?}", properties.keys());
        assert!(bench.queue.is_empty(), "{host:?}");
    }
}

/// The dead-letter queue is full for longer than a message is tried: no copies without end, and no letter is told that was never sent.
#[test]
fn a_message_that_has_had_its_tries_does_not_wait_for_the_dead_letter_queue() {
    for host in Host::ALL {
        let mut bench = Bench::new(host);
        let full = Rule::always(Fault::Before(FailureKind::Throttled { retry_after: None }));
        let plan = Arc::new(FaultPlan::new(1, vec![full]));
        bench.dead = Arc::new(LayeredQueue::new(bench.letters.clone(), Faults::new(plan, bench.world.clock.clone())));
        assert!(bench.send(b"no event", &Properties::new()));
        let works = (0..35).take_while(|_| bench.work(bench.world.worker(HERE))).count();
        assert!(bench.letters.is_empty() && bench.keeps(b"no event"), "{host:?}");
        let buried: Vec<_> = bench.queue.buried().into_iter().map(|(_, why)| why.map(|why| why.reason)).collect();
        let (expected, deliveries) = match host {
            // By the worker, with the last of its tries.
            Host::ServiceBusContainer => (vec![Some(Reason::NotJson)], 20),
            // By the broker, which is handed no copy any more.
            Host::Function => (vec![None], 20 + 9),
            Host::SqsContainer | Host::Lambda => (Vec::new(), 35),
        };
        assert_eq!((buried, works), (expected, deliveries), "{host:?}");
    }
}

/// What cannot be set aside whole must not be tried again and again, nor told of each time.
#[test]
fn a_message_that_no_letter_holds_is_told_of_once_and_looked_at_ever_less() {
    for host in [Host::SqsContainer, Host::Lambda] {
        let mut bench = Bench::new(host);
        let reported = Reported::of(&mut bench.world, HERE);
        let body = vec![b'x'; SQS_BYTES];
        assert!(bench.send(&body, &Properties::new()));
        let start = bench.world.clock.now();
        let works = (0..38).take_while(|_| bench.work(bench.world.worker(HERE))).count();
        let days = (bench.world.clock.now() - start).num_days();
        assert!((works, days) >= (38, 8), "{works} deliveries in {days} days");
        assert_eq!((bench.letters.len(), bench.queue.len()), (1, 1), "{host:?}");
        assert_eq!(reported.lines(), [format!("not_json excerpted from {SQS_BYTES} bytes")], "{host:?}");
    }
}
