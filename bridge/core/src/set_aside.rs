//! Sets messages aside: sends their letters, in smaller and smaller forms where the dead-letter queue refuses them, and finds another place
//! where none of them fits. The only place where letters are sent, whatever the host (decision record 0017).

use crate::{
    failure::{PortError, Recovery},
    incident::Incident,
    letter::Form,
    port::{Delivery, Message, Queue},
    settlement::Letter,
    worker::Worker,
};

/// Where a site's messages come from, and where its letters go.
#[derive(Clone, Copy)]
pub(crate) struct Desk<'a> {
    /// The site's queue.
    pub(crate) queue: &'a dyn Queue,
    /// Whether the worker settles the deliveries itself, so that it may hand one to the broker's own dead letters.
    pub(crate) settles: bool,
    /// The site's dead-letter queue.
    pub(crate) dead_letters: &'a dyn Queue,
}

/// What became of a message that was to be set aside.
#[derive(Debug)]
pub(crate) enum Aside {
    /// Its letter lies in the dead-letter queue, with the whole body: the message may go.
    Sent,
    /// It lies among the broker's own dead letters, with its reason, and no longer in its queue.
    Buried,
    /// No letter holds it. An excerpt lies in the dead-letter queue, and the message must stay in its queue.
    Kept {
        /// Whether the excerpt was sent now, and not at an earlier delivery.
        told: bool,
    },
    /// The dead-letter queue could not be asked: to be tried again.
    Failed(PortError),
    /// Neither a letter nor the broker's own dead letters took it: it is left to the broker, which counts.
    Left(PortError),
}

/// Sets messages aside; answers for each.
pub(crate) async fn set_aside(worker: &Worker, desk: Desk<'_>, letters: &[(&Delivery, &Letter)]) -> Vec<Aside> {
    let mut sending: Vec<Sending> = letters.iter().map(|_| Sending::default()).collect();
    let source = desk.queue.to_string();
    for form in Form::WITH_BODY {
        let mut places = Vec::new();
        let mut messages = Vec::new();
        for (at, (delivery, letter)) in letters.iter().enumerate() {
            let message = letter.message(form, delivery, &source, worker.fresh_id());
            if sending[at].needs(&message) {
                places.push(at);
                messages.push(message);
            }
        }
        if messages.is_empty() {
            continue;
        }
        for (at, answer) in places.into_iter().zip(desk.dead_letters.send(&messages).await) {
            match answer {
                Ok(()) => sending[at].sent = true,
                Err(error) if error.kind.recovery() == Recovery::DeadLetter => sending[at].refused = Some(error),
                Err(error) => sending[at].failed = Some(error),
            }
        }
    }
    let mut asides = Vec::with_capacity(letters.len());
    for ((delivery, letter), sending) in letters.iter().zip(sending) {
        let message_id = &delivery.message_id;
        asides.push(match sending {
            Sending { failed: Some(error), .. } => undelivered(worker, desk, delivery, letter, error).await,
            Sending { sent: true, refused: None, .. } => Aside::Sent,
            Sending { sent: true, refused: Some(error), .. } => {
                worker.incidents.report(Incident::LetterShortened { message_id, error: &error });
                Aside::Sent
            }
            Sending { .. } => without_letter(worker, desk, delivery, letter).await,
        });
    }
    asides
}

/// How far the sending of one letter has come.
#[derive(Default)]
struct Sending {
    sent: bool,
    /// The last refusal of a form.
    refused: Option<PortError>,
    /// Why the queue could not be asked.
    failed: Option<PortError>,
    /// Bytes of the last form.
    bytes: Option<usize>,
}

impl Sending {
    /// Whether this form is to be sent. One that is no smaller than the last would be refused as that was.
    fn needs(&mut self, message: &Message) -> bool {
        let bytes = message.properties.iter().map(|(name, value)| name.len() + value.len()).sum();
        let smaller = self.bytes.replace(bytes).is_none_or(|last| bytes < last);
        smaller && !self.sent && self.failed.is_none()
    }
}

/// The dead-letter queue is away. A message that has had its tries waits for it no longer where the broker takes it, and without a copy
/// where not.
async fn undelivered(worker: &Worker, desk: Desk<'_>, delivery: &Delivery, letter: &Letter, error: PortError) -> Aside {
    if error.kind.recovery() == Recovery::Halt || !worker.is_last(delivery) {
        return Aside::Failed(error);
    }
    match bury(desk, delivery, letter).await {
        Ok(true) => Aside::Buried,
        Ok(false) => Aside::Kept { told: false },
        Err(_) => Aside::Left(error),
    }
}

/// No letter with the whole body was taken.
async fn without_letter(worker: &Worker, desk: Desk<'_>, delivery: &Delivery, letter: &Letter) -> Aside {
    match bury(desk, delivery, letter).await {
        Ok(true) => return Aside::Buried,
        Ok(false) => {}
        Err(error) => return Aside::Left(error),
    }
    let message_id = &delivery.message_id;
    if worker.excerpts.has(message_id) {
        return Aside::Kept { told: false };
    }
    let excerpt = letter.message(Form::Excerpt, delivery, &desk.queue.to_string(), worker.fresh_id());
    match desk.dead_letters.send(&[excerpt]).await.pop() {
        Some(Err(error)) => Aside::Failed(error),
        _ => {
            worker.excerpts.add(message_id);
            let (reason, body_bytes) = (letter.refusal.reason, delivery.body.len());
            worker.incidents.report(Incident::LetterExcerpted { message_id, reason, body_bytes });
            Aside::Kept { told: true }
        }
    }
}

/// Hands a message to the broker's own dead letters, if there is a way.
async fn bury(desk: Desk<'_>, delivery: &Delivery, letter: &Letter) -> Result<bool, PortError> {
    if !desk.settles {
        return Ok(false);
    }
    desk.queue.bury(delivery, &letter.refusal).await
}
