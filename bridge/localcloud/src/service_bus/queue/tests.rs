//! The queue in virtual time.

use super::*;
use crate::service_bus::encoding::Item;
use crate::service_bus::message::{APPLICATION_PROPERTIES, DATA, PROPERTIES};
use bytes::BytesMut;

const LOCK: i64 = 60_000;
const MAIN: Part = Part::Main;
const DEAD: Part = Part::DeadLetter;

fn at(tick: i64) -> Now {
    Now { tick, wall: tick + 1_700_000_000_000 }
}

fn queue(settings: QueueSettings) -> Queue {
    Queue::new("Orders", settings, at(0), fastrand::Rng::with_seed(1))
}

/// An encoded message; `id` is also its body.
fn message(id: &str, ttl: Option<u32>, due: Option<Now>) -> Vec<u8> {
    let mut out = BytesMut::new();
    if let Some(ttl) = ttl {
        encoding::put_descriptor(&mut out, 0x70);
        let fields = encoding::encoded(|out| {
            encoding::put_bool(out, true);
            encoding::put_ubyte(out, 4);
            encoding::put_uint(out, ttl);
        });
        encoding::put_list(&mut out, 3, &fields);
    }
    if let Some(due) = due {
        encoding::put_descriptor(&mut out, 0x72);
        let pair = encoding::encoded(|out| {
            encoding::put_symbol(out, "x-opt-scheduled-enqueue-time");
            encoding::put_timestamp(out, due.wall);
        });
        encoding::put_map(&mut out, 2, &pair);
    }
    encoding::put_descriptor(&mut out, PROPERTIES);
    encoding::put_list(&mut out, 1, &encoding::encoded(|out| encoding::put_text(out, id)));
    encoding::put_descriptor(&mut out, DATA);
    encoding::put_binary(&mut out, id.as_bytes());
    out.to_vec()
}

fn send(queue: &mut Queue, now: Now, bytes: &[u8]) -> Option<i64> {
    queue.publish(now, &[Parsed::new(bytes).unwrap()]).unwrap()[0]
}

fn take(queue: &mut Queue, now: Now) -> Option<Delivery> {
    queue.take(now, MAIN, Mode::PeekLock)
}

fn whole(delivery: &Delivery) -> Vec<u8> {
    [&delivery.bytes.0[..], &delivery.bytes.1[..]].concat()
}

fn id(bytes: &[u8]) -> String {
    Parsed::new(bytes).unwrap().message_id.unwrap()
}

fn delivery_count(delivery: &Delivery) -> u64 {
    let mut rest = &delivery.bytes.0[..];
    let (_, header) = encoding::described(encoding::split(&mut rest).unwrap()).unwrap();
    let (_, mut fields) = encoding::elements(header).unwrap();
    let fields: Vec<_> =
        std::iter::from_fn(|| (!fields.is_empty()).then(|| encoding::next(&mut fields).unwrap())).collect();
    match fields[4] {
        Item::Unsigned(count) => count,
        other => panic!("{other:?}"),
    }
}

fn property(bytes: &[u8], wanted: &str) -> Option<String> {
    let mut rest = bytes;
    while !rest.is_empty() {
        let section = encoding::split(&mut rest).unwrap();
        let (descriptor, value) = encoding::described(section).unwrap();
        if descriptor == Item::Unsigned(u64::from(APPLICATION_PROPERTIES)) {
            for (key, value) in encoding::pairs(value).unwrap() {
                if encoding::read(key).unwrap() == Item::Text(wanted)
                    && let Item::Text(text) = encoding::read(value).unwrap()
                {
                    return Some(text.to_owned());
                }
            }
        }
    }
    None
}

fn abandon() -> Verdict {
    Verdict::Return { failed: true, changes: Changes::new() }
}

#[test]
fn a_message_is_delivered_once_and_gone_when_completed() {
    let mut queue = queue(QueueSettings::default());
    assert_eq!(send(&mut queue, at(0), &message("a", None, None)), Some(1));
    assert_eq!(queue.offered(MAIN), 1);
    let delivery = take(&mut queue, at(1)).unwrap();
    assert_eq!((id(&whole(&delivery)), delivery_count(&delivery)), ("a".into(), 0));
    assert!(take(&mut queue, at(1)).is_none());
    assert_eq!(queue.counts(), Counts { active: 1, locked: 1, ..Counts::default() });
    assert_eq!(queue.settle(at(2), MAIN, delivery.token, Verdict::Complete), Ok(()));
    assert_eq!(queue.counts(), Counts::default());
    assert_eq!((queue.size_bytes(), queue.next_deadline()), (0, NEVER));
    assert_eq!(queue.settle(at(3), MAIN, delivery.token, Verdict::Complete), Err(LockLost));
}

#[test]
fn an_unsettled_message_returns_after_its_lock_in_its_old_place() {
    let mut queue = queue(QueueSettings::default());
    send(&mut queue, at(0), &message("a", None, None));
    send(&mut queue, at(0), &message("b", None, None));
    let first = take(&mut queue, at(0)).unwrap();
    assert_eq!(queue.next_deadline(), LOCK);
    queue.advance(at(LOCK - 1));
    assert_eq!(queue.counts().locked, 1);
    let second = take(&mut queue, at(LOCK)).unwrap();
    assert_eq!((second.sequence, delivery_count(&second)), (first.sequence, 1));
    assert_ne!(first.token, second.token);
    assert_eq!(queue.settle(at(LOCK), MAIN, first.token, Verdict::Complete), Err(LockLost));
    assert_eq!(queue.settle(at(LOCK), MAIN, second.token, Verdict::Complete), Ok(()));
}

#[test]
fn a_renewed_lock_ends_later_and_a_lost_one_cannot_be_renewed() {
    let mut queue = queue(QueueSettings::default());
    send(&mut queue, at(0), &message("a", None, None));
    let delivery = take(&mut queue, at(0)).unwrap();
    assert_eq!(queue.renew(at(50_000), MAIN, &[delivery.token]), Ok(vec![at(50_000 + LOCK).wall]));
    assert!(take(&mut queue, at(LOCK)).is_none());
    assert_eq!(queue.next_deadline(), 50_000 + LOCK);
    assert_eq!(queue.renew(at(50_000 + LOCK), MAIN, &[delivery.token]), Err(LockLost));
    assert_eq!(queue.renew(at(50_000 + LOCK), MAIN, &[Uuid::nil()]), Err(LockLost));
}

#[test]
fn too_many_deliveries_end_in_the_dead_letter_queue() {
    let mut queue = queue(QueueSettings { max_delivery_count: 3, ..QueueSettings::default() });
    send(&mut queue, at(0), &message("a", None, None));
    for attempt in 0..3 {
        let delivery = take(&mut queue, at(1)).unwrap();
        assert_eq!(delivery_count(&delivery), attempt);
        queue.settle(at(1), MAIN, delivery.token, abandon()).unwrap();
    }
    assert_eq!(queue.counts(), Counts { dead_letter: 1, ..Counts::default() });
    assert_eq!(queue.offered(DEAD), 1);
    let dead = queue.take(at(9), DEAD, Mode::PeekLock).unwrap();
    assert_eq!(property(&whole(&dead), "DeadLetterReason").unwrap(), "MaxDeliveryCountExceeded");
    // However often it is abandoned there, it stays.
    let mut token = dead.token;
    for _ in 0..5 {
        queue.settle(at(9), DEAD, token, abandon()).unwrap();
        token = queue.take(at(9), DEAD, Mode::PeekLock).unwrap().token;
    }
    assert_eq!(queue.counts().dead_letter, 1);
}

#[test]
fn released_messages_return_without_a_count() {
    let mut queue = queue(QueueSettings { max_delivery_count: 1, ..QueueSettings::default() });
    send(&mut queue, at(0), &message("a", None, None));
    for _ in 0..5 {
        let delivery = take(&mut queue, at(0)).unwrap();
        assert_eq!(delivery_count(&delivery), 0);
        let back = Verdict::Return { failed: false, changes: Changes::new() };
        queue.settle(at(0), MAIN, delivery.token, back).unwrap();
    }
}

#[test]
fn dead_letters_carry_reason_description_and_changes() {
    let mut queue = queue(QueueSettings::default());
    send(&mut queue, at(0), &message("a", None, None));
    let delivery = take(&mut queue, at(0)).unwrap();
    let changes = vec![("owed".to_owned(), encoding::encoded(|out| encoding::put_text(out, "aws")))];
    let verdict = Verdict::DeadLetter { reason: Some("poison".into()), description: Some("bad json".into()), changes };
    queue.settle(at(0), MAIN, delivery.token, verdict).unwrap();
    let dead = queue.take(at(0), DEAD, Mode::ReceiveAndDelete).unwrap();
    let bytes = whole(&dead);
    for (name, text) in [("DeadLetterReason", "poison"), ("DeadLetterErrorDescription", "bad json"), ("owed", "aws")] {
        assert_eq!(property(&bytes, name).as_deref(), Some(text));
    }
    assert_eq!(queue.counts(), Counts::default());
}

#[test]
fn a_deferred_message_is_had_by_its_number_only() {
    let mut queue = queue(QueueSettings::default());
    send(&mut queue, at(0), &message("a", None, None));
    let delivery = take(&mut queue, at(0)).unwrap();
    queue.settle(at(0), MAIN, delivery.token, Verdict::Defer { changes: Changes::new() }).unwrap();
    assert!(take(&mut queue, at(0)).is_none());
    assert_eq!(queue.take_deferred(at(0), MAIN, &[1, 2], Mode::PeekLock).unwrap_err(), NotDeferred(2));
    let again = queue.take_deferred(at(0), MAIN, &[1], Mode::PeekLock).unwrap();
    assert_eq!(queue.counts(), Counts { active: 1, locked: 1, ..Counts::default() });
    // Its lock runs out: it is deferred again, not active.
    assert!(take(&mut queue, at(LOCK)).is_none());
    assert_eq!(queue.counts(), Counts { deferred: 1, ..Counts::default() });
    assert_eq!(queue.settle(at(LOCK), MAIN, again[0].token, Verdict::Complete), Err(LockLost));
    assert_eq!(queue.take_deferred(at(LOCK), MAIN, &[1], Mode::ReceiveAndDelete).unwrap().len(), 1);
    assert_eq!(queue.counts(), Counts::default());
}

#[test]
fn a_scheduled_message_waits_for_its_time_and_can_be_cancelled() {
    let mut queue = queue(QueueSettings::default());
    send(&mut queue, at(0), &message("a", None, Some(at(5_000))));
    send(&mut queue, at(0), &message("b", None, Some(at(6_000))));
    send(&mut queue, at(0), &message("past", None, Some(at(-1))));
    assert_eq!(id(&whole(&take(&mut queue, at(0)).unwrap())), "past");
    assert_eq!((queue.counts().scheduled, queue.next_deadline()), (2, 5_000));
    queue.cancel(at(0), &[2, 77]);
    assert!(take(&mut queue, at(4_999)).is_none());
    queue.offered(MAIN);
    queue.advance(at(5_000));
    assert_eq!(queue.offered(MAIN), 1);
    assert_eq!(id(&whole(&take(&mut queue, at(5_000)).unwrap())), "a");
    assert!(take(&mut queue, at(60_000 - 1)).is_none(), "b was cancelled");
    queue.cancel(at(60_000), &[1]);
    assert_eq!(queue.counts().active, 2, "only what is still scheduled can be cancelled");
}

#[test]
fn messages_expire_but_not_while_they_are_locked() {
    let mut queue = queue(QueueSettings { dead_letter_on_expiry: true, ..QueueSettings::default() });
    send(&mut queue, at(0), &message("a", Some(1_000), None));
    send(&mut queue, at(0), &message("b", Some(1_000), None));
    let a = take(&mut queue, at(999)).unwrap();
    assert!(take(&mut queue, at(1_000)).is_none(), "b has expired");
    assert_eq!(queue.counts(), Counts { active: 1, dead_letter: 1, locked: 1, ..Counts::default() });
    queue.settle(at(2_000), MAIN, a.token, abandon()).unwrap();
    assert_eq!(queue.counts().dead_letter, 2);
    queue.advance(at(1_000_000));
    assert_eq!(queue.counts().dead_letter, 2, "lifetimes do not count among dead letters");
    let dead = queue.take(at(1_000_000), DEAD, Mode::PeekLock).unwrap();
    assert_eq!(property(&whole(&dead), "DeadLetterReason").unwrap(), "TTLExpiredException");
}

#[test]
fn expired_messages_vanish_unless_the_queue_keeps_them() {
    let mut queue = queue(QueueSettings { default_ttl: Some(Duration::from_secs(1)), ..QueueSettings::default() });
    send(&mut queue, at(0), &message("a", None, None));
    send(&mut queue, at(0), &message("long", Some(5_000), None));
    send(&mut queue, at(0), &message("later", None, Some(at(10_000))));
    assert_eq!(queue.next_deadline(), 1_000);
    queue.advance(at(1_000));
    assert_eq!(queue.counts(), Counts { scheduled: 1, ..Counts::default() });
    queue.advance(at(10_999));
    assert_eq!(queue.counts().active, 1, "its lifetime began when it came due");
    queue.advance(at(11_000));
    assert_eq!(queue.counts(), Counts::default());
}

#[test]
fn duplicates_are_dropped_within_the_window() {
    let window = Duration::from_mins(10);
    let mut queue = queue(QueueSettings { duplicate_detection: Some(window), ..QueueSettings::default() });
    assert_eq!(send(&mut queue, at(0), &message("a", None, None)), Some(1));
    assert_eq!(send(&mut queue, at(0), &message("b", None, None)), Some(2));
    let first = take(&mut queue, at(1)).unwrap();
    queue.settle(at(1), MAIN, first.token, Verdict::Complete).unwrap();
    assert_eq!(send(&mut queue, at(599_999), &message("a", None, None)), None, "also after it was completed");
    assert_eq!(send(&mut queue, at(600_000), &message("a", None, None)), Some(3));
    queue.advance(at(1_200_000));
    assert_eq!(queue.next_deadline(), NEVER, "nothing is left to forget");
}

#[test]
fn peeking_shows_every_state_and_changes_nothing() {
    let mut queue = queue(QueueSettings::default());
    for id in ["locked", "deferred", "ready"] {
        send(&mut queue, at(0), &message(id, None, None));
    }
    send(&mut queue, at(0), &message("scheduled", None, Some(at(5_000))));
    take(&mut queue, at(0)).unwrap();
    let second = take(&mut queue, at(0)).unwrap();
    queue.settle(at(0), MAIN, second.token, Verdict::Defer { changes: Changes::new() }).unwrap();
    let peek = |queue: &mut Queue, from, count, bytes| -> Vec<String> {
        let found = queue.peek(at(0), MAIN, from, count, bytes);
        found.iter().map(|(head, bare)| id(&[&head[..], &bare[..]].concat())).collect()
    };
    assert_eq!(peek(&mut queue, 0, 10, 1_000_000), ["locked", "deferred", "ready", "scheduled"]);
    assert_eq!(peek(&mut queue, 3, 10, 1_000_000), ["ready", "scheduled"]);
    assert_eq!(peek(&mut queue, 0, 2, 1_000_000), ["locked", "deferred"]);
    assert_eq!(peek(&mut queue, 0, 10, 1), ["locked"], "always at least one");
    assert_eq!(queue.counts(), Counts { active: 2, locked: 1, deferred: 1, scheduled: 1, dead_letter: 0 });
}

#[test]
fn a_full_queue_takes_all_of_a_batch_or_nothing() {
    let mut queue = queue(QueueSettings { max_size_bytes: 30, ..QueueSettings::default() });
    let bytes = message("12345", None, None);
    let batch = [Parsed::new(&bytes).unwrap(), Parsed::new(&bytes).unwrap()];
    assert!(queue.publish(at(0), &batch).is_err());
    assert_eq!(queue.counts(), Counts::default());
    assert!(queue.publish(at(0), &batch[..1]).is_ok());
}

#[test]
fn random_histories_keep_the_books() {
    for seed in 0..200 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut queue = queue(QueueSettings {
            max_delivery_count: 3,
            lock_duration: Duration::from_millis(50),
            dead_letter_on_expiry: true,
            ..QueueSettings::default()
        });
        let (mut tick, mut sent, mut gone) = (0, 0, 0);
        let mut held: Vec<(Part, Uuid)> = Vec::new();
        for _ in 0..400 {
            tick += random.i64(0..10);
            let part = if random.bool() { MAIN } else { DEAD };
            match random.u8(..8) {
                0..=2 => {
                    let due = random.bool().then(|| at(tick + random.i64(-5..50)));
                    let ttl = random.bool().then(|| random.u32(1..200));
                    send(&mut queue, at(tick), &message(&sent.to_string(), ttl, due)).unwrap();
                    sent += 1;
                }
                3..=4 => held.extend(queue.take(at(tick), part, Mode::PeekLock).map(|delivery| (part, delivery.token))),
                5 => gone += usize::from(queue.take(at(tick), part, Mode::ReceiveAndDelete).is_some()),
                _ if !held.is_empty() => {
                    let (part, token) = held.swap_remove(random.usize(..held.len()));
                    let (verdict, removes) = match random.u8(..4) {
                        0 => (Verdict::Complete, true),
                        1 => (abandon(), false),
                        2 => (Verdict::Defer { changes: Changes::new() }, false),
                        _ => (Verdict::DeadLetter { reason: None, description: None, changes: Changes::new() }, false),
                    };
                    gone += usize::from(queue.settle(at(tick), part, token, verdict).is_ok() && removes);
                }
                _ => drop(queue.renew(at(tick), part, &held.iter().map(|(_, token)| *token).collect::<Vec<_>>())),
            }
            let counts = queue.counts();
            let there = counts.active + counts.scheduled + counts.deferred + counts.dead_letter;
            assert_eq!(there + gone, sent, "seed {seed}: {counts:?}");
        }
        // Every lock ends, every schedule comes due: what is left can be drained.
        tick += 1_000;
        while queue.take(at(tick), MAIN, Mode::ReceiveAndDelete).is_some() {}
        while queue.take(at(tick), DEAD, Mode::ReceiveAndDelete).is_some() {}
        let left = queue.counts();
        let deferred: Vec<i64> = queue.main.from(0).map(|(sequence, _)| sequence).collect();
        assert_eq!(left.deferred, deferred.len(), "seed {seed}");
        queue.take_deferred(at(tick), MAIN, &deferred, Mode::ReceiveAndDelete).unwrap();
        assert_eq!(queue.main.size_bytes(), 0, "seed {seed}");
    }
}
