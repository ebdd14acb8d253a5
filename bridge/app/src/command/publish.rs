//! `bridge publish`: validates events and sends them to a site's queue.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use bridge_adapters::{clock::SystemClock, lines::Lines};
use bridge_core::{
    decision::decide,
    envelope,
    event::{Event, SiteId},
    failure::PortError,
    marks::{AcceptOld, Accepted, Marks},
    port::{Clock, Message, Properties, Queue},
    property,
    retry::{self, Backoff},
};
use bytes::Bytes;

use super::progress::Progress;
use crate::{
    assemble,
    config::Config,
    exit::{Code, Misuse},
};

/// Events that are sent with one call: the adapters cut them into the batches of their queue.
const PORTION: usize = 100;

/// Tries of one event, and the pauses between them. Ours: a queue that throttles takes it by then; an outage ends the command's patience
/// after some 20 s a portion.
const ATTEMPTS_MAX: u32 = 8;
const BACKOFF: Backoff = Backoff { base: Duration::from_millis(200), max: Duration::from_secs(5) };

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Each line is one event. An event goes only to the queue of the site in its source_region. publish reports each line that the worker would refuse, and does not send it.\n\nExample: bridge publish orders.jsonl --config bridge.toml"
)]
pub(crate) struct Args {
    /// Files with one event per line; `-` is standard input
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
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: Args, config: Config) -> anyhow::Result<Code> {
    if let Some(site) = &args.to {
        config.knows(site).map_err(|error| Misuse(format!("--to {error}")))?;
    }
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
        progress: Progress::new("events"),
    };
    for file in &args.files {
        let read = if file.as_os_str() == "-" {
            publish(&mut publisher, Lines::new("standard input", std::io::stdin())).await
        } else {
            match Lines::of_anything(file) {
                Ok(lines) => publish(&mut publisher, lines).await,
                Err(error) => Err(error),
            }
        };
        // What stands before it is sent, and told.
        if let Err(error) = read {
            publisher.tally.failed += 1;
            publisher.say(&format!("{error}; nothing behind it was sent"));
            break;
        }
    }
    publisher.flush_all().await;
    let tally = publisher.finish().await;
    let verb = if args.dry_run { "valid" } else { "sent" };
    if args.json {
        let json = serde_json::json!({ verb: tally.sent, "refused": tally.refused, "failed": tally.failed });
        super::print(&format!("{json}\n"))?;
    } else {
        super::print(&format!("{verb} {}, refused {}, failed {}\n", tally.sent, tally.refused, tally.failed))?;
    }
    Ok(if tally.refused + tally.failed == 0 { Code::Done } else { Code::Failed })
}

async fn publish(publisher: &mut Publisher<'_>, mut lines: Lines<impl std::io::Read>) -> std::io::Result<()> {
    let name = lines.name().to_owned();
    while let Some(line) = lines.read()? {
        let body = line.bytes.trim_ascii();
        if !body.is_empty() {
            publisher.take(Bytes::copy_from_slice(body), &format!("{name}:{}", line.number)).await;
        }
    }
    Ok(())
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
    waiting: BTreeMap<SiteId, Vec<(Message, String)>>,
    tally: Tally,
    progress: Progress,
}

impl Publisher<'_> {
    async fn take(&mut self, body: Bytes, place: &str) {
        self.progress.inc();
        let (site, message) = match self.check(&body) {
            Ok(checked) => checked,
            Err(refusal) => {
                self.tally.refused += 1;
                self.say(&format!("{place}: {refusal}"));
                return;
            }
        };
        if self.dry_run {
            self.tally.sent += 1;
            return;
        }
        let waiting = self.waiting.entry(site.clone()).or_default();
        waiting.push((message, place.to_owned()));
        if waiting.len() >= PORTION {
            self.flush(&site).await;
        }
    }

    /// The very checks that the origin's worker makes, and that `--to` is the origin.
    fn check(&self, body: &Bytes) -> Result<(SiteId, Message), String> {
        let event = envelope::decode(body, &self.config.policy.key_pointer).map_err(|refusal| refusal.to_string())?;
        let site = event.origin.clone();
        if let Some(to) = self.to.as_ref().filter(|to| **to != site) {
            if self.config.knows(&site).is_err() {
                return Err(format!(
                    "not sent to {to}: the event names {site} as its source_region, which is not configured"
                ));
            }
            return Err(format!(
                "not sent to {to}: the event names {site} as its source_region, and only the queue of {site} takes it; use --to {site}, \
                 leave --to out, or name {to} in the event if the write was accepted there"
            ));
        }
        let body = envelope::forwardable(body);
        decide(&self.config.rules(&site), &event, &self.marks, body.len(), SystemClock.now())
            .map_err(|letter| letter.refusal.to_string())?;
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
                self.say(&format!("{site}: {error:#}; {} events from {} on were not sent", messages.len(), places[0]));
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
        retry::until_final(&SystemClock, ATTEMPTS_MAX, None, pause, &mut answers, send).await;
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
        if let ([(first, error), .., (last, _)], true) = (&failed[..], failed.len() == answers.len()) {
            self.say(&format!("{first} to {last}: none of {} events was sent: {error}", failed.len()));
            return;
        }
        for (place, error) in failed {
            self.say(&format!("{place}: {error}"));
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

    fn say(&self, text: &str) {
        self.progress.say(text);
    }

    async fn finish(self) -> Tally {
        self.progress.finish();
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
