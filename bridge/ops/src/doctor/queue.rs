//! What a site's two queues must be like.

use std::{cmp::Ordering, time::Duration};

use super::{
    Figures, Findings, Look, Mend, QueueFacts, SiteFacts, Thing,
    access::{Use, failed},
    spell,
};
use bridge_core::limits;

pub(super) const REDRIVE: &str = "queue.redrive";

/// An event that waits for longer than this is gone. Ours: a week for an operator to act.
const RETENTION_MIN: Duration = Duration::from_hours(7 * 24);

/// With less than this no letter and no backlog lives until somebody has looked. Ours: a night.
const RETENTION_FLOOR: Duration = Duration::from_hours(24);

/// Deliveries that a crash may cost a message where nothing else costs one. Ours: three workers that die with it are no
/// accident any more. Service Bus has 10 unless told otherwise ("Service Bus queues", `MaxDeliveryCount`, read 2026-11).
const CRASHES_MIN: u32 = 3;

/// The most receives that SQS allows ("SQS dead-letter queues", maximum receives, read 2026-11): an outage of the store may take more than half of
/// them.
const RECEIVES_MAX: u32 = 1_000;

/// What is left of a message's life for its letter, once it has waited for its store as long as it may. Ours: a night.
const LETTER_TIME: Duration = Duration::from_hours(12);

pub(super) fn examine(facts: &SiteFacts, figures: &Figures, out: &mut Findings) {
    let looks = &facts.looks;
    let queues = [
        (&looks.queue, Thing::Queue, "queue"),
        (&looks.dead_letter_queue, Thing::DeadLetterQueue, "dead-letter-queue"),
    ];
    for (look, thing, check) in queues {
        match &look.seen {
            Ok(_) => out.good(check, &look.at, "is there"),
            Err(error) => failed(check, &look.at, Use::Look(thing), error, out),
        }
    }
    if let Ok(queue) = &looks.queue.seen {
        kind("queue.kind", &looks.queue, queue, Thing::Queue, out);
        idle("queue.idle", &looks.queue, queue, Thing::Queue, out);
        redrive(&looks.queue, queue, figures, out);
        lease(&looks.queue, queue, facts.lease, out);
        duplicates(&looks.queue, queue, out);
        size("queue.message-size", &looks.queue, queue, Thing::Queue, facts.message_bytes_max, out);
        keeping("queue.retention", &looks.queue, queue, Thing::Queue, out);
        waiting(&looks.queue, queue, figures, out);
    }
    if let Ok(dead_letters) = &looks.dead_letter_queue.seen {
        let look = &looks.dead_letter_queue;
        kind("dead-letter-queue.kind", look, dead_letters, Thing::DeadLetterQueue, out);
        idle("dead-letter-queue.idle", look, dead_letters, Thing::DeadLetterQueue, out);
        size(
            "dead-letter-queue.message-size",
            look,
            dead_letters,
            Thing::DeadLetterQueue,
            facts.message_bytes_max,
            out,
        );
        keeping("dead-letter-queue.retention", look, dead_letters, Thing::DeadLetterQueue, out);
        moves("dead-letter-queue.redrive", look, dead_letters, out);
    }
}

/// A queue with sessions takes only messages that name one, and serves them only to who asks for one. One that forwards serves nobody.
fn kind(check: &'static str, look: &Look<QueueFacts>, queue: &QueueFacts, thing: Thing, out: &mut Findings) {
    if queue.sessions {
        let found = "requires sessions, which the bridge does not use: it can neither send nor receive here";
        out.bad(check, &look.at, found, Mend::Replace(thing));
    } else if let Some(target) = &queue.forwards_to {
        let found = format!("hands every message on to {target}: nothing can be received here");
        out.bad(check, &look.at, found, Mend::StopForwarding(thing));
    } else {
        out.good(check, &look.at, "is a plain queue: it has no sessions and forwards nothing");
    }
}

/// A queue that is not used for a while may be just what an outage looks like.
fn idle(check: &'static str, look: &Look<QueueFacts>, queue: &QueueFacts, thing: Thing, out: &mut Findings) {
    match queue.idle_life {
        None => out.good(check, &look.at, "stays, however long nobody uses it"),
        Some(life) => {
            let found = format!(
                "deletes itself with all its messages once nobody has used it for {}: an outage of that length loses them",
                spell(life)
            );
            out.bad(check, &look.at, found, Mend::Stay(thing));
        }
    }
}

/// In SQS a look is a delivery: a letter that was looked at often enough would be moved to where nobody looks. Service Bus counts
/// crashes alone.
fn moves(check: &'static str, look: &Look<QueueFacts>, queue: &QueueFacts, out: &mut Findings) {
    let Some(redrive) = queue.redrive.as_ref().filter(|_| queue.retries_count) else { return };
    let (most, target) = (redrive.deliveries_max, &redrive.target);
    let found = format!("moves a dead letter to {target} after {most} looks, where no replay finds it");
    out.bad(check, &look.at, found, Mend::KeepLetters);
}

/// A message whose every delivery kills its worker must end somewhere else than at the end of its retention.
fn redrive(look: &Look<QueueFacts>, queue: &QueueFacts, figures: &Figures, out: &mut Findings) {
    let check = REDRIVE;
    let least = if queue.retries_count { figures.attempts_max + 1 } else { CRASHES_MIN };
    let mend = Mend::Redrive { deliveries_max: if queue.retries_count { RECEIVES_MAX } else { 10 } };
    let Some(redrive) = &queue.redrive else {
        let found = "never sets a message aside by itself: one that kills its worker comes back until its retention ends, and is lost then";
        return out.bad(check, &look.at, found, mend);
    };
    let (most, target) = (redrive.deliveries_max, &redrive.target);
    if look.at.rsplit(['/', ' ']).next() == Some(target.as_str()) {
        let found =
            format!("sets a message aside in itself after {most} deliveries: one that kills its worker never ends");
        return out.bad(check, &look.at, found, mend);
    }
    if queue.retries_count && (least..limits::DELIVERIES_MIN).contains(&most) {
        let found = format!(
            "sets a message aside in {target} after {most} deliveries: a function whose store is away for long uses them up, and a good \
             message lies where its reason is not told"
        );
        return out.warning(check, &look.at, found, mend);
    }
    if most >= least {
        return out.good(check, &look.at, format!("sets a message aside in {target} after {most} deliveries"));
    }
    if queue.retries_count {
        let attempts = figures.attempts_max;
        let found = format!(
            "sets a message aside in {target} after {most} deliveries, without a reason, while the worker still tries: \
             worker.attempts_max is {attempts}"
        );
        return out.bad(check, &look.at, found, mend);
    }
    let found = format!(
        "sets a message aside in {target} after {most} deliveries: a crash or two of a worker do that to a good message"
    );
    out.warning(check, &look.at, found, mend);
}

/// A message that waits for its store must become a letter before its queue forgets it.
fn waiting(look: &Look<QueueFacts>, queue: &QueueFacts, figures: &Figures, out: &mut Findings) {
    let (check, waits) = ("queue.store-wait", figures.store_wait_max);
    match queue.retention {
        Some(retention) if retention < waits + LETTER_TIME => {
            let found = format!(
                "forgets a message after {}, and a message waits for a store that is away for up to {}: an outage of that length loses events",
                spell(retention),
                spell(waits)
            );
            let hours = retention.saturating_sub(LETTER_TIME).as_secs() / 3_600;
            let mend = Mend::Configure { of_site: false, key: "store_wait_max_hours", value: hours.max(1) };
            out.bad(check, &look.at, found, mend);
        }
        _ => out.good(
            check,
            &look.at,
            format!("keeps a message until it is a letter: it waits for its store for up to {}", spell(waits)),
        ),
    }
}

fn lease(look: &Look<QueueFacts>, queue: &QueueFacts, configured: Duration, out: &mut Findings) {
    let check = "queue.lease";
    let Some(lease) = queue.lease else {
        return out.good(check, &look.at, format!("takes the lease of each receive, {}", spell(configured)));
    };
    let (is, says) = (spell(lease), spell(configured));
    let set = |value: Duration| Mend::Configure { of_site: true, key: "lease_seconds", value: value.as_secs() };
    match lease.cmp(&configured) {
        Ordering::Less => {
            let found = format!(
                "locks a message for {is}, lease_seconds says {says}: it is delivered again while it is worked on"
            );
            out.bad(check, &look.at, found, set(lease));
        }
        Ordering::Equal => out.good(check, &look.at, format!("locks a message for {is}, as configured")),
        Ordering::Greater => {
            let found =
                format!("locks a message for {is}, lease_seconds says {says}: locks are renewed sooner than need be");
            out.warning(check, &look.at, found, set(lease));
        }
    }
}

/// Would drop a replay if it carried the ids of what was sent before. It does not: see [`Message::id`](bridge_core::port::Message).
fn duplicates(look: &Look<QueueFacts>, queue: &QueueFacts, out: &mut Findings) {
    let found = match queue.duplicate_detection {
        None => "remembers no message ids".to_owned(),
        Some(window) => format!(
            "drops a message whose id it has seen within {}; no harm: the bridge gives every send a fresh id, so a replay arrives",
            spell(window)
        ),
    };
    out.good("queue.duplicates", &look.at, found);
}

/// What is configured must go through, and what goes through must fit into the dead-letter queue.
fn size(
    check: &'static str,
    look: &Look<QueueFacts>,
    queue: &QueueFacts,
    thing: Thing,
    configured: u64,
    out: &mut Findings,
) {
    let takes = queue.message_bytes_max;
    if takes >= configured {
        return out.good(check, &look.at, format!("takes {takes} bytes a message; message_bytes_max is {configured}"));
    }
    let found =
        format!("takes {takes} bytes a message, message_bytes_max is {configured}: a legal event is refused here");
    out.bad(check, &look.at, found, Mend::Widen(thing, configured));
}

fn keeping(check: &'static str, look: &Look<QueueFacts>, queue: &QueueFacts, thing: Thing, out: &mut Findings) {
    match queue.retention {
        Some(retention) if retention < RETENTION_MIN => {
            let lost = if thing == Thing::Queue { "an outage of that length" } else { "a letter that nobody looks at" };
            let found = format!("forgets a message after {}: {lost} loses events", spell(retention));
            let mend = Mend::Keep(thing, limits::RETENTION_MAX);
            if retention < RETENTION_FLOOR {
                out.bad(check, &look.at, found, mend);
            } else {
                out.warning(check, &look.at, found, mend);
            }
        }
        Some(retention) => out.good(check, &look.at, format!("keeps a message for {}", spell(retention))),
        None => out.good(check, &look.at, "keeps a message for ever"),
    }
}
