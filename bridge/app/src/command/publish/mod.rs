//! `bridge publish`: validates events and sends them to a site's queue.

mod reading;
mod telling;

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use bridge_adapters::{clock::SystemClock, file};
use bridge_core::{
    decision::decide,
    envelope,
    event::{Event, SiteId},
    failure::PortError,
    marks::{AcceptOld, Accepted, Marks},
    port::{Clock, Message, Properties, Queue},
    property,
    reason::Refusal,
    retry::{self, Backoff},
};
use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use self::{
    reading::{Found, Reading},
    telling::{Place, Refused, Telling},
};
use super::progress::Progress;
use crate::{
    assemble,
    config::Config,
    exit::{Code, Misuse},
    host,
};

/// Events that are sent with one call: the adapters cut them into the batches of their queue.
const PORTION: usize = 100;

/// Tries of one event, and the pauses between them. Ours: a queue that throttles takes it by then; an outage ends the command's patience
/// after some 20 s a portion.
const ATTEMPTS_MAX: u32 = 8;
const BACKOFF: Backoff = Backoff { base: Duration::from_millis(200), max: Duration::from_secs(5) };

/// How long a queue may still answer after Ctrl-C. Ours: a healthy one takes far less.
const FAREWELL: Duration = Duration::from_secs(2);

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Each event is a JSON object: one a line, the elements of an array, or laid out over several lines; UTF-8, plain or packed by gzip or zstd. An event goes only to the queue of the site in its source_region. publish reports each event that the worker would refuse, and does not send it: the first ten, then a sum.\n\nExit codes: 0 all were sent, 1 some were not, 64 wrong flags or configuration, 130 Ctrl-C.\n\nExample: bridge publish orders.jsonl --config bridge.toml"
)]
pub(crate) struct Args {
    /// Files of events; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Send only events of this site; refuse all others
    #[arg(long, value_name = "SITE")]
    to: Option<SiteId>,
    /// Accept events that are older than the tombstones' life. Only for a first import, of keys that were never deleted
    #[arg(long)]
    import: bool,
    /// Only validate
    #[arg(long)]
    dry_run: bool,
    /// Print JSON: a line for each event that was not sent, then the counts
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: Args, config: Config) -> anyhow::Result<Code> {
    if let Some(site) = &args.to {
        config.knows(site).map_err(|error| Misuse(format!("--to {error}")))?;
    }
    let stop = host::stop_signal()?;
    let mut reading = Reading::of(args.files);
    let progress = reading.total.map_or_else(|| Progress::new("events"), |total| Progress::of_bytes(total, "events"));
    let mut publisher = Publisher {
        config: &config,
        to: args.to.clone(),
        marks: Marks {
            accept_old: args.import.then(|| Accepted { by: AcceptOld::Import, at: SystemClock.now() }),
            ..Marks::default()
        },
        dry_run: args.dry_run,
        queues: BTreeMap::new(),
        waiting: BTreeMap::new(),
        tally: Tally::default(),
        telling: Telling::new(progress, args.json),
        stop: &stop,
    };
    let mut last = None;
    loop {
        let next = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            next = reading.next() => next,
        };
        match next {
            None => break,
            Some(Ok(Found { file, line, body })) => {
                let place = Place { file, line };
                publisher.take(body, &place).await;
                publisher.telling.progress.reached(reading.read_bytes());
                last = Some(place);
            }
            // What stands before it is sent, and told.
            Some(Err(error)) => {
                publisher.tally.failed += 1;
                publisher.telling.say(&format!("{error}; nothing behind it was sent"));
                break;
            }
        }
    }
    publisher.flush_all().await;
    let tally = publisher.finish().await;
    let verb = if args.dry_run { "valid" } else { "sent" };
    let Tally { sent, refused, failed } = tally;
    let stopped_at = stop.is_cancelled().then(|| last.map_or("the beginning".to_owned(), |place| place.to_string()));
    let text = if args.json {
        let mut json = serde_json::json!({ verb: sent, "refused": refused, "failed": failed });
        if let Some(place) = &stopped_at {
            json["stopped_at"] = place.as_str().into();
        }
        format!("{json}\n")
    } else {
        let stopped = stopped_at.as_ref().map(|place| format!("stopped at {place}: nothing behind it was looked at\n"));
        format!("{}{verb} {sent}, refused {refused}, failed {failed}\n", stopped.unwrap_or_default())
    };
    super::print(&text)?;
    Ok(if stopped_at.is_some() {
        Code::Interrupted
    } else if refused + failed == 0 {
        Code::Done
    } else {
        Code::Failed
    })
}

#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    sent: u64,
    refused: u64,
    failed: u64,
}

struct Publisher<'a> {
    config: &'a Config,
    to: Option<SiteId>,
    marks: Marks,
    dry_run: bool,
    queues: BTreeMap<SiteId, Arc<dyn Queue>>,
    waiting: BTreeMap<SiteId, Vec<(Message, Place)>>,
    tally: Tally,
    telling: Telling,
    stop: &'a CancellationToken,
}

impl Publisher<'_> {
    async fn take(&mut self, body: Bytes, place: &Place) {
        self.telling.progress.inc();
        let (site, message) = match self.check(&body) {
            Ok(checked) => checked,
            Err(refusal) => {
                self.tally.refused += 1;
                self.telling.refused(place, &refusal);
                return;
            }
        };
        if self.dry_run {
            self.tally.sent += 1;
            return;
        }
        let waiting = self.waiting.entry(site.clone()).or_default();
        waiting.push((message, place.clone()));
        if waiting.len() >= PORTION {
            self.flush(&site).await;
        }
    }

    /// The very checks that the origin's worker makes, and that `--to` is the origin.
    fn check(&self, body: &Bytes) -> Result<(SiteId, Message), Refused> {
        let refused = |Refusal { reason, detail }: Refusal| Refused { reason: reason.as_str(), detail };
        let event = envelope::decode(body, &self.config.policy.key_pointer).map_err(|refusal| {
            let mut refused = refused(refusal);
            if matches!(file::letter(body), Ok(Some(_))) {
                refused.detail += "; this is a saved letter, which bridge replay --from FILE reads";
            }
            refused
        })?;
        let site = event.origin.clone();
        if let Some(to) = self.to.as_ref().filter(|to| **to != site) {
            let named = format!("not sent to {to}: the event names {site} as its source_region");
            let detail = if self.config.knows(&site).is_err() {
                format!("{named}, which is not configured")
            } else {
                format!(
                    "{named}, and only the queue of {site} takes it; use --to {site}, leave --to out, or name {to} in the event if the \
                     write was accepted there"
                )
            };
            return Err(Refused { reason: "another_site", detail });
        }
        let body = envelope::forwardable(body);
        decide(&self.config.rules(&site), &event, &self.marks, body.len(), SystemClock.now())
            .map_err(|letter| refused(letter.refusal))?;
        Ok((site, message(&event, body, &self.marks)))
    }

    async fn flush_all(&mut self) {
        let sites: Vec<SiteId> = self.waiting.keys().cloned().collect();
        for site in sites {
            self.flush(&site).await;
        }
    }

    async fn flush(&mut self, site: &SiteId) {
        let portion = self.waiting.remove(site).unwrap_or_default();
        let (messages, places): (Vec<_>, Vec<_>) = portion.into_iter().unzip();
        let queue = match self.queue(site).await {
            Ok(queue) => queue,
            Err(error) => {
                self.tally.failed += messages.len() as u64;
                self.telling.failed(&places.iter().collect::<Vec<_>>(), &format!("{site}: {error:#}"));
                return;
            }
        };
        let (queue, messages) = (&*queue, &messages);
        let send = async |open: Vec<usize>| {
            let open: Vec<Message> = open.into_iter().map(|at| messages[at].clone()).collect();
            queue.send(&open).await
        };
        let pause = |attempts, hint| BACKOFF.delay(attempts, hint, &mut fastrand::Rng::new());
        let mut answers = vec![None; messages.len()];
        let sending = retry::until_final(&SystemClock, ATTEMPTS_MAX, None, pause, &mut answers, send);
        let farewell = async {
            self.stop.cancelled().await;
            tokio::time::sleep(FAREWELL).await;
        };
        tokio::select! { () = sending => {} () = farewell => {} }
        let failure = |answer: &Option<Result<(), Arc<PortError>>>| match answer {
            Some(Ok(())) => None,
            Some(Err(error)) => Some(error.chain()),
            None => Some(format!("{queue} did not answer for it")),
        };
        let failed: Vec<_> =
            places.iter().zip(&answers).filter_map(|(place, answer)| Some((place, failure(answer)?))).collect();
        self.tally.failed += failed.len() as u64;
        self.tally.sent += (answers.len() - failed.len()) as u64;
        // An outage is told once for all of a portion.
        if failed.len() == answers.len() {
            let places: Vec<_> = failed.iter().map(|(place, _)| *place).collect();
            self.telling.failed(&places, &failed[0].1);
            return;
        }
        for (place, error) in failed {
            self.telling.failed(&[place], &error);
        }
    }

    async fn queue(&mut self, site: &SiteId) -> anyhow::Result<Arc<dyn Queue>> {
        if let Some(queue) = self.queues.get(site) {
            return Ok(Arc::clone(queue));
        }
        let queue = assemble::ports(self.config, site).await?.queue;
        self.queues.insert(site.clone(), Arc::clone(&queue));
        Ok(queue)
    }

    async fn finish(self) -> Tally {
        self.telling.finish();
        for queue in self.queues.values() {
            queue.close().await;
        }
        self.tally
    }
}

/// The message that carries `event` with `marks` to its origin's queue, under a name of its own.
pub(super) fn message(event: &Event, body: Bytes, marks: &Marks) -> Message {
    let mut properties = Properties::from([(property::EVENT_ID.to_owned(), event.id.to_string())]);
    marks.write(&mut properties);
    Message { id: uuid::Uuid::new_v4().to_string(), body, properties }
}
