//! From verdicts to what a host has left to do with each delivery: letters are sent on the way.

use std::time::Duration;

use crate::{
    failure::{PortError, Recovery},
    halt::{Halt, Spot},
    incident::Incident,
    port::Delivery,
    set_aside::{Aside, Desk, set_aside},
    settlement::{Letter, Settlement},
    worker::{Verdict, Worker},
};

/// How a delivery ends.
#[derive(Debug)]
pub(crate) enum Ending {
    /// All is done, or lies in a letter: the message is to be removed.
    Remove,
    /// The broker's own dead letters have it: it is gone.
    Gone,
    /// The message must come again, after this long.
    Later(Duration),
    /// The message must stay in its queue, hidden for this long, and no copy may take its place.
    Stay(Duration),
    /// Nothing can succeed for now: the message goes back untouched.
    Untouched(Halt),
    /// The message is left to its broker.
    Left(PortError),
}

/// Sends the letters among `verdicts`, and says how each delivery of `batch` ends. Each verdict is changed into what was done: a message that
/// was not set aside is retried, and not dead-lettered.
pub(crate) async fn endings(
    worker: &Worker,
    desk: Desk<'_>,
    batch: &[Delivery],
    verdicts: &mut [Verdict],
) -> Vec<Ending> {
    let letters: Vec<(&Delivery, &Letter)> = batch
        .iter()
        .zip(&*verdicts)
        .filter_map(|(delivery, verdict)| match &verdict.settlement {
            Settlement::DeadLetter(letter) => Some((delivery, letter)),
            _ => None,
        })
        .collect();
    let asides = if letters.is_empty() { Vec::new() } else { set_aside(worker, desk, &letters).await };
    report(worker, &letters, &asides);
    let mut asides = asides.into_iter();
    let end = |(delivery, verdict): (&Delivery, &mut Verdict)| match &verdict.settlement {
        Settlement::Ack => Ending::Remove,
        Settlement::Retry { after } => Ending::Later(*after),
        Settlement::Halt { detail } => Ending::Untouched(Halt { at: Spot::Store, detail: detail.clone() }),
        Settlement::Wait { detail } => Ending::Untouched(Halt { at: Spot::Away, detail: detail.clone() }),
        Settlement::DeadLetter(_) => {
            let (ending, done) = of_aside(worker, delivery, asides.next().unwrap_or(Aside::Sent));
            if let Some(done) = done {
                verdict.settlement = done;
            }
            ending
        }
    };
    batch.iter().zip(verdicts).map(end).collect()
}

/// How a delivery ends that was to be set aside, and what was done if not that.
fn of_aside(worker: &Worker, delivery: &Delivery, aside: Aside) -> (Ending, Option<Settlement>) {
    let retry = |after| Some(Settlement::Retry { after });
    match aside {
        Aside::Sent => (Ending::Remove, None),
        Aside::Buried => (Ending::Gone, None),
        Aside::Kept { told } => {
            let after = worker.far(delivery);
            (Ending::Stay(after), if told { None } else { retry(after) })
        }
        Aside::Failed(error) if error.kind.recovery() == Recovery::Halt => {
            let detail = error.chain();
            let done = Settlement::Halt { detail: detail.clone() };
            (Ending::Untouched(Halt { at: Spot::DeadLetters, detail }), Some(done))
        }
        Aside::Failed(error) => {
            let hint = error.kind.retry_after();
            let after = worker.with_rng(|rng| worker.policy.retry.delay(delivery.attempt, hint, rng));
            (Ending::Later(after), retry(after))
        }
        Aside::Left(error) => (Ending::Left(error), retry(Duration::ZERO)),
    }
}

/// One report for all letters that were not sent.
fn report(worker: &Worker, letters: &[(&Delivery, &Letter)], asides: &[Aside]) {
    let mut failed = letters.iter().zip(asides).filter_map(|((delivery, _), aside)| match aside {
        Aside::Failed(error) | Aside::Left(error) => Some((delivery, error)),
        _ => None,
    });
    if let Some((Delivery { message_id, .. }, error)) = failed.next() {
        let more = failed.count();
        worker.incidents.report(Incident::NotSetAside { message_id, more, error });
    }
}
