//! One batch of deliveries, from bytes to settlements. Read this file first.
//!
//! The steps stand in [`Worker::replicate`]. Nothing is acknowledged before it is durable here and with every peer, or
//! in the dead-letter queue.

use std::{
    collections::BTreeMap,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, PoisonError},
};

use chrono::{DateTime, Utc};
use futures_util::{
    FutureExt, Stream, StreamExt,
    future::{self, BoxFuture, Shared},
    stream,
};

use crate::{
    conclude::{Applied, Attempt, Forwarded, conclude},
    decision::{Decision, decide},
    envelope,
    event::{Event, Key, SiteId},
    failure::{FailureKind, PortError, Recovery},
    forwarded,
    marks::Marks,
    peer::{Peer, Tries},
    port::{Delivery, Message},
    portion,
    record::Record,
    reserved,
    settlement::{Letter, Settlement},
    trace::{self, Carried, Step, StepKind, TraceParent},
    worker::{Forward, Policy, Unwritten, Verdict, Worker},
};

/// A delivery that is an event, and what is to be done with it.
struct Task {
    /// Its place in the batch.
    index: usize,
    event: Event,
    decision: Decision,
    trace: Option<trace::Open>,
}

/// What a peer answered, by place in the batch.
type ToPeer = (SiteId, BTreeMap<usize, Forwarded>);

impl Worker {
    /// Decides, applies and forwards a batch; answers how to settle each delivery, in the order of the batch.
    ///
    /// # Cancel safety
    /// Safe to drop at any await: what was not answered is not settled, and is delivered again.
    pub async fn replicate(&self, batch: &[Delivery]) -> Vec<Verdict> {
        let verdicts: Mutex<BTreeMap<usize, Verdict>> = Mutex::default();
        let note =
            |index, verdict| drop(verdicts.lock().unwrap_or_else(PoisonError::into_inner).insert(index, verdict));
        self.replicate_each(batch, &note).await;
        verdicts.into_inner().unwrap_or_else(PoisonError::into_inner).into_values().collect()
    }

    /// As [`replicate`](Self::replicate), but tells each verdict as soon as there is one, with the delivery's place in the batch: one
    /// that takes long keeps no other from being settled.
    ///
    /// # Cancel safety
    /// As there; the verdicts that were told stand.
    pub async fn replicate_each(&self, batch: &[Delivery], tell: &(dyn Fn(usize, Verdict) + Send + Sync)) {
        for portion in portion::portions(batch, portion::PORTION_BYTES_MAX) {
            let begin = portion.start;
            let tell = |index, verdict| tell(begin + index, verdict);
            self.replicate_portion(&batch[portion], &tell).await;
        }
    }

    async fn replicate_portion(&self, batch: &[Delivery], tell: &(dyn Fn(usize, Verdict) + Send + Sync)) {
        let start = self.clock.now();
        // 1. Decode, validate and decide, without I/O.
        let mut tasks = Vec::with_capacity(batch.len());
        for (index, delivery) in batch.iter().enumerate() {
            let mut member = None;
            let prepared = self.prepare(delivery, &mut member);
            let carried = trace::carried(&delivery.properties, member.as_ref());
            let trace = self.begin(carried.map(|carried| carried.parent), start);
            match prepared {
                Ok((event, decision)) => tasks.push(Task { index, event, decision, trace }),
                Err(settlement) => {
                    let trace = trace.map(|trace| trace.end(self.clock.now()));
                    tell(index, Verdict { settlement, write: None, event: None, trace });
                }
            }
        }

        // 2. Apply here and forward to every peer, at the same time. What comes again has most likely been forwarded
        //    before, so its peers wait until the store's answer ends the delivery: a store that is down, or halted, would
        //    otherwise have the peers get each event as often as it is tried.
        let first: Vec<&Task> = tasks.iter().filter(|task| is_first(&batch[task.index])).collect();
        let at_once = self.forward(first, batch).boxed().shared();
        let round = Round { worker: self, batch, tasks: &tasks, at_once: at_once.clone(), tell };
        let applied = self.apply(&tasks).ready_chunks(batch.len().max(1));
        // Boxed, as the compiler finds no proof otherwise that it may move between threads.
        let concluding = applied.for_each_concurrent(None, |applied| round.conclude(applied.concat())).boxed();
        future::join(concluding, at_once).await;
    }

    /// From what became of a task's write and its sends to its verdict.
    fn conclude(&self, task: &Task, delivery: &Delivery, applied: &Applied, forwarded: &[ToPeer]) -> Verdict {
        let forwarded = forwarded.iter().filter_map(|(site, sent)| Some((site, sent.get(&task.index)?)));
        let attempt = self.attempt(delivery);
        let mut settlement = self.with_rng(|rng| conclude(&attempt, applied, forwarded, rng));
        // The next heartbeat or state says more than one that did not get through: nobody is owed it.
        if matches!(settlement, Settlement::DeadLetter(_)) && reserved::is_own_word(&task.event.key, &task.event.origin)
        {
            settlement = Settlement::Ack;
        }
        let write = if let Applied::Done(write) = applied { Some(write.clone()) } else { None };
        let event = Some((task.event.key.clone(), task.event.version().clone()));
        let trace = task.trace.as_ref().map(|trace| trace.end(self.clock.now()));
        Verdict { settlement, write, event, trace }
    }

    /// Reads one delivery. A panic is the worker's own bug: it costs this delivery an attempt, the batch goes on.
    /// `member` gets the trace context of the body, which an event that is refused has too.
    fn prepare(&self, delivery: &Delivery, member: &mut Option<Carried>) -> Result<(Event, Decision), Settlement> {
        let read = || {
            let marks = Marks::read(&delivery.properties);
            let event = envelope::decode_marked(&delivery.body, &self.policy.key_pointer, &marks)
                .map_err(|refusal| Settlement::DeadLetter(Letter::owed_to_nobody(refusal)))?;
            member.clone_from(&event.trace);
            let body_bytes = envelope::forwardable(&delivery.body).len();
            let decision = decide(&self.rules, &event, &marks, body_bytes, self.clock.now());
            match decision {
                Ok(decision) => Ok((event, decision)),
                // The next heartbeat or state says more than one that is refused.
                Err(_) if reserved::is_own_word(&event.key, &event.origin) => Err(Settlement::Ack),
                Err(letter) => Err(Settlement::DeadLetter(letter)),
            }
        };
        match std::panic::catch_unwind(AssertUnwindSafe(read)) {
            Ok(result) => result,
            Err(_) => {
                let attempt = self.attempt(delivery);
                let mut settlement =
                    self.with_rng(|rng| conclude(&attempt, &Applied::Panicked, std::iter::empty(), rng));
                if let Settlement::DeadLetter(letter) = &mut settlement {
                    letter.owed.clear(); // It was not even read: nobody knows whom it is owed to, and a replay finds out.
                }
                Err(settlement)
            }
        }
    }

    fn attempt(&self, delivery: &Delivery) -> Attempt<'_> {
        Attempt {
            site: &self.rules.site,
            number: delivery.attempt,
            is_last: self.is_last(delivery),
            has_waited_out: self.has_waited_out(delivery),
            retry: self.policy.retry,
        }
    }

    /// Writes what the batch leaves of each key; answers key by key.
    fn apply<'a>(&'a self, tasks: &'a [Task]) -> impl Stream<Item = Vec<(usize, Applied)>> + Send + 'a {
        let mut keys: BTreeMap<&Key, Vec<&Task>> = BTreeMap::new();
        for task in tasks {
            keys.entry(&task.event.key).or_default().push(task);
        }
        let concurrent = self.policy.concurrent_writes.max(1);
        let mut writes = Vec::with_capacity(keys.len());
        for tasks in keys.into_values() {
            writes.push(self.apply_key(tasks));
        }
        stream::iter(writes).buffer_unordered(concurrent)
    }

    /// Writes the greatest version among `tasks`, which are of one key; the others are superseded by it. Where the
    /// store refuses that one record, the next one gets its chance.
    async fn apply_key(&self, mut tasks: Vec<&Task>) -> Vec<(usize, Applied)> {
        tasks.sort_by(|one, other| one.event.version().cmp(other.event.version()));
        let mut results = Vec::with_capacity(tasks.len());
        while let Some(greatest) = tasks.pop() {
            let start = self.clock.now();
            let put = AssertUnwindSafe(self.put(&greatest.event)).catch_unwind().await;
            let applied = put.unwrap_or(Applied::Panicked);
            self.note(greatest, None, StepKind::Apply, start, || applied.failure());
            let refused = match &applied {
                Applied::Failed(error) => error.kind.recovery() == Recovery::DeadLetter,
                Applied::Panicked => true,
                Applied::Done(_) | Applied::Away(_) => false,
            };
            if !refused {
                let version = greatest.event.version();
                for other in tasks.drain(..) {
                    let same = other.event.version() == version;
                    results.push((other.index, applied.for_coalesced(same, version)));
                }
            }
            results.push((greatest.index, applied));
        }
        results
    }

    async fn put(&self, event: &Event) -> Applied {
        let record = Record::new(event, &self.rules.site, self.clock.now(), self.policy.tombstone_life);
        match self.write(&record).await {
            Ok(write) => Applied::Done(write),
            Err(Unwritten::Failed(error)) => Applied::Failed(error),
            Err(Unwritten::Away(why)) => Applied::Away(why),
        }
    }

    /// Sends to every peer what this site is the origin of; answers by peer and place in the batch.
    async fn forward(&self, tasks: Vec<&Task>, batch: &[Delivery]) -> Vec<ToPeer> {
        let own = tasks.into_iter().filter(|task| task.decision == Decision::ApplyAndForward).collect();
        let chosen = match self.policy.forward {
            Forward::All => own,
            Forward::Latest => latest_of_each_key(own),
        };
        if chosen.is_empty() {
            return Vec::new();
        }
        let Policy { peer_attempts_max: attempts_max, peer_time: time, peer_retry, .. } = self.policy;
        let pause = |attempts, hint| self.with_rng(|rng| peer_retry.delay(attempts, hint, rng)).min(peer_retry.max);
        let tries = Tries { clock: &*self.clock, attempts_max, time, pause: &pause };
        let sends = self.peers.iter().map(|peer| async {
            let spans: Vec<Option<TraceParent>> = chosen.iter().map(|task| self.child(task)).collect();
            let with_spans = chosen.iter().zip(&spans);
            let message = |(task, span): (&&Task, &_)| self.message(&task.event, &batch[task.index], *span);
            let messages = with_spans.clone().map(message).collect();
            let start = self.clock.now();
            let sent = AssertUnwindSafe(peer.send(tries, messages)).catch_unwind().await;
            let sent = sent.unwrap_or_else(|_| vec![Err(panicked(peer)); chosen.len()]);
            for ((task, span), sent) in with_spans.zip(&sent) {
                let failed = || sent.as_ref().err().map(|error| error.chain());
                self.note(task, *span, StepKind::Forward(peer.site.clone()), start, failed);
            }
            let by_index = chosen.iter().map(|task| task.index).zip(sent).collect();
            (peer.site.clone(), by_index)
        });
        future::join_all(sends).await
    }

    /// The message to a peer. Its trace context is the span of the send, or the one that came with the event.
    fn message(&self, event: &Event, delivery: &Delivery, span: Option<TraceParent>) -> Message {
        let marks = Marks::read(&delivery.properties).forwarded(&self.rules.site);
        let came_with = trace::carried(&delivery.properties, event.trace.as_ref());
        let parent = span.or(came_with.as_ref().map(|carried| carried.parent));
        let carried = parent.map(|parent| Carried { parent, state: came_with.and_then(|carried| carried.state) });
        forwarded::message(event, &delivery.body, &marks, carried.as_ref(), self.fresh_uuid())
    }

    fn begin(&self, parent: Option<TraceParent>, start: DateTime<Utc>) -> Option<trace::Open> {
        let ratio = self.policy.trace_ratio?;
        self.with_rng(|rng| trace::Open::begin(parent, ratio, start, rng))
    }

    /// The span of a step of `task`, if that is traced.
    fn child(&self, task: &Task) -> Option<TraceParent> {
        let trace = task.trace.as_ref()?;
        Some(self.with_rng(|rng| trace.child(rng)))
    }

    /// Notes a step that has ended; where it has no `span` yet it gets one.
    fn note(
        &self,
        task: &Task,
        span: Option<TraceParent>,
        kind: StepKind,
        start: DateTime<Utc>,
        failed: impl FnOnce() -> Option<String>,
    ) {
        let (Some(trace), Some(span)) = (&task.trace, span.or_else(|| self.child(task))) else { return };
        trace.note(Step { kind, span: span.span, start, end: self.clock.now(), failed: failed() });
    }
}

/// Whether a message is delivered for the first time.
fn is_first(delivery: &Delivery) -> bool {
    delivery.attempt == 1
}

/// What the tasks of one batch are concluded with.
struct Round<'a> {
    worker: &'a Worker,
    batch: &'a [Delivery],
    tasks: &'a [Task],
    /// What the peers answer to the tasks that did not wait for the store.
    at_once: Shared<BoxFuture<'a, Vec<ToPeer>>>,
    tell: &'a (dyn Fn(usize, Verdict) + Send + Sync),
}

impl Round<'_> {
    /// Forwards those of the applied tasks that waited for it, and tells the verdict of each.
    async fn conclude(&self, applied: Vec<(usize, Applied)>) {
        let task = |index: usize| self.tasks.iter().find(|task| task.index == index).expect("only tasks are applied");
        let ends = |(index, applied): &&(usize, Applied)| {
            let delivery = &self.batch[*index];
            !is_first(delivery) && applied.ends_the_delivery(&self.worker.attempt(delivery))
        };
        let later = applied.iter().filter(ends).map(|(index, _)| task(*index)).collect();
        let mut forwarded = self.worker.forward(later, self.batch).await;
        if applied.iter().any(|(index, _)| is_first(&self.batch[*index])) {
            forwarded.extend(self.at_once.clone().await);
        }
        // 3. Conclude, without I/O.
        for (index, applied) in applied {
            (self.tell)(index, self.worker.conclude(task(index), &self.batch[index], &applied, &forwarded));
        }
    }
}

fn latest_of_each_key(tasks: Vec<&Task>) -> Vec<&Task> {
    let mut latest: BTreeMap<&Key, &Task> = BTreeMap::new();
    for task in tasks {
        let held = latest.entry(&task.event.key).or_insert(task);
        if held.event.version() < task.event.version() {
            *held = task;
        }
    }
    latest.into_values().collect()
}

fn panicked(peer: &Peer) -> Arc<PortError> {
    let error = PortError::new(peer.queue.to_string(), "send", FailureKind::Unavailable);
    Arc::new(error.caused_by("the adapter panicked, see the log"))
}
