//! Runs the errands of a batch: to each site at the same time, again within a budget what may succeed later.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    sync::{Arc, Mutex, PoisonError},
};

use futures_util::{StreamExt, future, stream};

use super::{
    errand::{Errand, Way},
    journal::Outcome,
    setting::{Place, Setting},
    subject::Subject,
};
use bridge_core::{
    event::{Event, SiteId},
    failure::{FailureKind, PortError, Recovery},
    forwarded,
    marks::Marks,
    port::Message,
    record::Record,
    retry,
};

/// Writes to one store at the same time.
const WRITES: usize = 32;

/// An event on its way to one site.
pub(super) struct Payment<'a> {
    pub(super) subject: &'a Subject,
    pub(super) event: &'a Event,
    pub(super) errand: &'a Errand,
}

type Answer<T = Outcome> = Result<T, Arc<PortError>>;

/// Sites that cannot be reached or used, each with what it said.
#[derive(Debug, Default)]
pub(super) struct Dark(Mutex<BTreeMap<Errand, String>>);

impl Dark {
    pub(super) fn all(&self) -> BTreeMap<Errand, String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn has(&self, errand: &Errand) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains_key(errand)
    }

    pub(super) fn note(&self, errand: &Errand, error: &PortError) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(errand.clone(), error.chain());
    }
}

/// Runs all errands; one answer each, in their order.
pub(super) async fn pay(setting: &Setting<'_>, dark: &Dark, payments: &[Payment<'_>]) -> Vec<Answer> {
    let places: BTreeSet<&Errand> = payments.iter().map(|payment| payment.errand).collect();
    let runs = places.into_iter().map(|errand| async move {
        let indexes: Vec<usize> = (0..payments.len()).filter(|at| payments[*at].errand == errand).collect();
        let own: Vec<&Payment<'_>> = indexes.iter().map(|at| &payments[*at]).collect();
        let answers = pay_one_place(setting, dark, errand, &own).await;
        indexes.into_iter().zip(answers)
    });
    let mut answers: Vec<Option<Answer>> = vec![None; payments.len()];
    for (at, answer) in future::join_all(runs).await.into_iter().flatten() {
        answers[at] = Some(answer);
    }
    let unanswered = || Err(Arc::new(PortError::new("replay", "pay", FailureKind::Unavailable)));
    answers.into_iter().map(|answer| answer.unwrap_or_else(unanswered)).collect()
}

async fn pay_one_place(setting: &Setting<'_>, dark: &Dark, errand: &Errand, payments: &[&Payment<'_>]) -> Vec<Answer> {
    let Some(place) = setting.places.get(&errand.site).filter(|_| !dark.has(errand)) else {
        let error = PortError::new(errand.to_string(), "replay", FailureKind::Unavailable)
            .caused_by("not tried: it could not be used a moment ago");
        return vec![Err(Arc::new(error)); payments.len()];
    };
    let answers = match errand.way {
        Way::Queue => {
            // Named once for all tries: a queue that has it already may say so, and a later replay has other names.
            let messages: Vec<Message> = payments.iter().map(|payment| message(setting, payment)).collect();
            let send = async |indexes: Vec<usize>| {
                let portion: Vec<Message> = indexes.iter().map(|at| messages[*at].clone()).collect();
                let sent = place.queue.send(&portion).await;
                sent.into_iter().map(|sent| sent.map(|()| Outcome::Sent)).collect()
            };
            until_final(setting, payments.len(), send).await
        }
        Way::Store => {
            let write = async |indexes: Vec<usize>| {
                let writes = indexes.into_iter().map(|at| put(setting, place, &errand.site, payments[at].event));
                stream::iter(writes).buffered(WRITES).collect().await
            };
            until_final(setting, payments.len(), write).await
        }
    };
    // Nothing got through, and not for what the messages hold: the others need not try.
    let failed = |answer: &Answer| match answer {
        Ok(_) => false,
        Err(error) => error.kind.recovery() != Recovery::DeadLetter,
    };
    if let Some(Err(error)) = answers.first().filter(|_| answers.iter().all(failed)) {
        dark.note(errand, error);
    }
    answers
}

/// Calls again for the items whose failure may pass, within the budget of a peer.
pub(super) async fn until_final<T, F>(
    setting: &Setting<'_>,
    count: usize,
    call: impl Fn(Vec<usize>) -> F,
) -> Vec<Answer<T>>
where
    T: Clone,
    F: Future<Output = Vec<Result<T, PortError>>>,
{
    let mut answers: Vec<Option<Answer<T>>> = vec![None; count];
    let pause = |attempts, hint| setting.pause(attempts, hint);
    retry::until_final(&*setting.clock, setting.attempts_max, None, pause, &mut answers, call).await;
    let unanswered = || Err(Arc::new(PortError::new("replay", "pay", FailureKind::Unavailable)));
    answers.into_iter().map(|answer| answer.unwrap_or_else(unanswered)).collect()
}

async fn put(setting: &Setting<'_>, place: &Place, site: &SiteId, event: &Event) -> Result<Outcome, PortError> {
    let record = Record::new(event, site, setting.clock.now(), setting.tombstone_life);
    let write = place.store.put_if_newer(&record).await?;
    Ok(Outcome::from(&write))
}

/// The event as its origin forwards it: the operator stands in for the origin.
fn message(setting: &Setting<'_>, payment: &Payment<'_>) -> Message {
    let Payment { subject, event, errand } = payment;
    let forwarded_by = (errand.site != event.origin).then(|| event.origin.clone());
    let marks = Marks { forwarded_by, ..subject.marks.clone() };
    let id = uuid::Builder::from_random_bytes(setting.with_rng(|rng| rng.u128(..)).to_be_bytes()).into_uuid();
    forwarded::message(event, &subject.body, &marks, subject.trace.as_ref(), id)
}
