//! The queue against a model that knows no index and no shortcut: it looks for a message by walking over all of them.
//!
//! Random calls must have the same outcomes and leave the same counts, and hand out only messages that the model has
//! visible; on FIFO queues also in the order that the model demands.

use super::*;

const RETENTION_SECONDS: u64 = 120;
const STEPS: usize = 2_000;
const SEEDS: std::ops::Range<u64> = 0..20;

struct Modelled {
    number: usize,
    group: Option<String>,
    sent: u64,
    hidden_until: u64,
    delivery: Option<u64>,
    received: u32,
}

impl Modelled {
    fn is_hidden(&self, now: u64) -> bool {
        self.hidden_until > now
    }
}

struct Model {
    fifo: bool,
    messages: Vec<Modelled>,
}

impl Model {
    /// Whether a message waits for nobody: it is visible, and on a FIFO queue so are all before it in its group.
    fn can_be_received(&self, message: &Modelled, now: u64) -> bool {
        let before = |other: &&Modelled| self.fifo && other.group == message.group && other.number < message.number;
        !message.is_hidden(now) && self.messages.iter().filter(before).all(|other| !other.is_hidden(now))
    }

    fn find(&mut self, number: usize) -> Option<&mut Modelled> {
        self.messages.iter_mut().find(|message| message.number == number)
    }

    fn counts(&self, now: u64) -> Counts {
        let hidden = || self.messages.iter().filter(|message| message.is_hidden(now));
        let in_flight = hidden().filter(|message| message.delivery.is_some()).count();
        let delayed = hidden().count() - in_flight;
        counts(self.messages.len() - in_flight - delayed, in_flight, delayed)
    }
}

/// Both, side by side, and the receipts that were handed out so far.
struct World {
    now: u64,
    rng: fastrand::Rng,
    queue: Queue,
    model: Model,
    receipts: Vec<(Receipt, usize)>,
}

impl World {
    fn send(&mut self, number: usize) {
        let group = self.model.fifo.then(|| format!("g{}", self.rng.u8(0..4)));
        let delay = if self.rng.bool() { 0 } else { self.rng.u64(0..20) };
        let stored = Stored::new(message(&number.to_string(), group.as_deref()), at(self.now).elapsed);
        self.queue.push(at(self.now).elapsed, stored, Duration::from_secs(delay));
        let hidden_until = self.now + delay;
        self.model.messages.push(Modelled { number, group, sent: self.now, hidden_until, delivery: None, received: 0 });
    }

    fn receive(&mut self) {
        let (lease, max) = (self.rng.u64(0..30), self.rng.usize(1..=10));
        let wish = Take { visibility: Duration::from_secs(lease), ..take(max) };
        let deliveries = self.queue.receive(at(self.now), wish).deliveries;
        let model = &self.model;
        let possible: Vec<usize> = model
            .messages
            .iter()
            .filter(|message| model.can_be_received(message, self.now))
            .map(|message| message.number)
            .collect();
        assert_eq!(deliveries.len(), possible.len().min(max));
        let mut handed_out = Vec::new();
        for delivery in deliveries {
            let number: usize = delivery.stored.message.body.parse().unwrap();
            assert!(possible.contains(&number), "{number} must not be received");
            let group = self.model.find(number).unwrap().group.clone();
            let fifo = self.model.fifo;
            let mut before =
                self.model.messages.iter().filter(|other| fifo && other.group == group && other.number < number);
            assert!(before.all(|other| handed_out.contains(&other.number)), "{number} overtook one of its group");
            handed_out.push(number);
            let message = self.model.find(number).unwrap();
            message.received += 1;
            message.hidden_until = self.now + lease;
            message.delivery = Some(delivery.number);
            assert_eq!(delivery.stored.receive_count, message.received);
            self.receipts.push((receipt(&delivery), number));
        }
    }

    fn delete(&mut self) {
        let Some((receipt, number)) = self.any_receipt() else { return };
        let (now, fifo) = (self.now, self.model.fifo);
        let found =
            self.model.find(number).map(|message| (message.delivery == Some(receipt.delivery), message.is_hidden(now)));
        let expected = match found {
            Some((current, hidden)) if fifo && !(current && hidden) => Err(Stale::Expired),
            _ => Ok(()),
        };
        assert_eq!(self.queue.delete(at(now).elapsed, &receipt), expected);
        if let (Some((true, _)), Ok(())) = (found, expected) {
            self.model.messages.retain(|message| message.number != number);
        }
    }

    fn change_visibility(&mut self) {
        let Some((receipt, number)) = self.any_receipt() else { return };
        let (now, fifo, visibility) = (self.now, self.model.fifo, self.rng.u64(0..40));
        let found = self.model.find(number).filter(|message| message.delivery == Some(receipt.delivery));
        let expected = match &found {
            None => Err(Stale::Gone),
            Some(message) if fifo && !message.is_hidden(now) => Err(Stale::Expired),
            Some(_) => Ok(()),
        };
        if let (Some(message), Ok(())) = (found, expected) {
            message.hidden_until = now + visibility;
        }
        let changed = self.queue.change_visibility(at(now).elapsed, &receipt, Duration::from_secs(visibility));
        assert_eq!(changed, expected);
    }

    fn any_receipt(&mut self) -> Option<(Receipt, usize)> {
        let place = self.rng.usize(0..self.receipts.len().max(1));
        self.receipts.get(place).copied()
    }
}

fn agree(fifo: bool, seed: u64) {
    let mut world = World {
        now: 0,
        rng: fastrand::Rng::with_seed(seed),
        queue: Queue::new(fifo, Duration::from_secs(RETENTION_SECONDS)),
        model: Model { fifo, messages: Vec::new() },
        receipts: Vec::new(),
    };
    for step in 0..STEPS {
        world.now += world.rng.u64(0..4);
        let now = world.now;
        world.model.messages.retain(|message| message.sent + RETENTION_SECONDS > now);
        match world.rng.u8(0..10) {
            0..=3 => world.send(step),
            4..=6 => world.receive(),
            7..=8 => world.delete(),
            _ => world.change_visibility(),
        }
        world.queue.advance(at(now).elapsed);
        assert_eq!(world.queue.counts(), world.model.counts(now), "seed {seed}, step {step}");
    }
    assert!(world.receipts.len() > STEPS / 4, "the walk received next to nothing");
}

#[test]
fn a_standard_queue_agrees_with_the_model() {
    SEEDS.for_each(|seed| agree(false, seed));
}

#[test]
fn a_fifo_queue_agrees_with_the_model() {
    SEEDS.for_each(|seed| agree(true, seed));
}
