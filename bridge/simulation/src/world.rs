//! A world: sites on memory, wired as the real ones are, with faults, waits and observers on every way.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use bridge_adapters::{
    layer::{FaultPlan, Faults, LayeredQueue, LayeredStore, Timeout},
    memory::{ManualClock, MemoryQueue, MemoryQueueOptions, MemoryStore},
};
use bridge_core::{
    carry_out::work_off,
    circuit::CircuitPolicy,
    decision::{Limits, Rules},
    event::SiteId,
    excerpts::Excerpts,
    health::Health,
    limits,
    marks::Marks,
    peer::Peer,
    port::{Clock, Message, Properties, Queue, Scan, Store},
    retry::Backoff,
    settlement::Settlement,
    worker::{Forward, Policy, Verdict, Worker},
};
use chrono::TimeDelta;

use crate::{
    books::{Actor, Books, Kind, Line, Place, Queues},
    by_hand::ByHandStore,
    seed::stream,
    site::{Shelf, Site, SiteClock},
    told::{Reports, Told},
    watch::{WatchQueue, WatchStore},
    wire::{Traffic, Wiring},
};

/// When every world begins.
pub const START: &str = "2026-11-21T01:02:03Z";

/// Bytes that a message of the narrowest site may have.
pub(crate) const MESSAGE_BYTES_MAX: usize = 256 * 1024;

/// How long a call takes at most before its caller gives up on it.
const CALL_MAX: Duration = Duration::from_secs(5);

/// Deliveries of a message after which a broker sets it aside by itself: what `bridge doctor` asks for, as outages of a store count there too.
const DELIVERIES_MAX: u32 = limits::DELIVERIES_MIN;

/// By which rule the stores write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rule {
    /// The bridge's.
    #[default]
    Bridge,
    /// The one that people write by hand: [`by_hand`](crate::by_hand), and no fence.
    ByHand,
}

/// What a world is like.
#[derive(Clone, Debug)]
pub struct Options {
    /// Decides on everything that chance decides.
    pub seed: u64,
    /// The sites.
    pub sites: Vec<SiteId>,
    /// How hard the workers try.
    pub policy: Policy,
    /// By which rule the stores write.
    pub rule: Rule,
    /// What the ways between them are like.
    pub traffic: Traffic,
    /// How likely the broker delivers a message once more, from 0 to 1.
    pub duplicates: f64,
    /// Whether to keep a trace.
    pub traced: bool,
}

/// The policy of worlds that are worked by hand.
pub fn policy() -> Policy {
    Policy {
        key_pointer: "/id".to_owned(),
        tombstone_life: limits::TOMBSTONE_LIFE,
        attempts_max: 5,
        retry: Backoff { base: Duration::from_secs(1), max: Duration::from_mins(1) },
        store_wait_max: limits::STORE_WAIT_MAX,
        peer_attempts_max: 3,
        peer_retry: Backoff { base: Duration::from_millis(100), max: Duration::from_secs(2) },
        peer_time: Duration::from_secs(10),
        circuit: CircuitPolicy { failures: 2, pause: Duration::from_secs(10) },
        forward: Forward::All,
        concurrent_writes: 4,
        trace_ratio: Some(0.0),
    }
}

/// Sites, their clock, and the books of what happens among them.
#[derive(Debug)]
pub struct World {
    /// Time, as the brokers and the stores have it.
    pub clock: Arc<ManualClock>,
    /// The sites by name.
    pub sites: BTreeMap<SiteId, Site>,
    /// Who works them where they are worked by hand; a host hires its own at each start.
    pub workers: BTreeMap<SiteId, Worker>,
    /// What really happened.
    pub books: Arc<Books>,
    /// What it is like.
    pub options: Options,
}

impl World {
    /// A world that is worked by hand: calls take no time, and nothing goes wrong but what a test asks for.
    pub fn by_hand(seed: u64, names: &[&str], policy: &Policy) -> Self {
        Self::new(Options {
            seed,
            sites: names.iter().map(|name| name.parse().expect("a site's name")).collect(),
            policy: policy.clone(),
            rule: Rule::Bridge,
            traffic: Traffic::None,
            duplicates: 0.0,
            traced: false,
        })
    }

    /// A world in which nothing has happened.
    pub fn new(options: Options) -> Self {
        let clock = ManualClock::new(START.parse().expect("a time"));
        let sites: BTreeMap<SiteId, Site> = options
            .sites
            .iter()
            .enumerate()
            .map(|(number, id)| (id.clone(), site(&options, &clock, number, id)))
            .collect();
        let queues = |id| Queues { queue: Arc::clone(&sites[id].queue), letters: Arc::clone(&sites[id].letters) };
        let queues = options.sites.iter().map(queues).collect();
        let books = Arc::new(Books::new(Arc::clone(&clock), options.sites.clone(), queues, options.traced));
        if options.rule == Rule::Bridge {
            books.open().life = TimeDelta::from_std(options.policy.tombstone_life).ok();
        }
        let mut world = Self { clock, sites, workers: BTreeMap::new(), books, options };
        world.workers = world.sites.values().map(|site| (site.id.clone(), world.hire(site, "by hand"))).collect();
        world
    }

    /// The site of this name.
    pub fn site(&self, name: &str) -> &Site {
        &self.sites[&name.parse::<SiteId>().expect("a site's name")]
    }

    /// The site of this number.
    pub fn numbered(&self, number: usize) -> &Site {
        &self.sites[&self.options.sites[number]]
    }

    /// The worker of a site that is worked by hand.
    pub fn worker(&self, name: &str) -> &Worker {
        &self.workers[&name.parse::<SiteId>().expect("a site's name")]
    }

    /// A new worker for `own`, with memories of nothing: its circuits are closed. `life` names its streams of chance.
    pub fn hire(&self, own: &Site, life: &str) -> Worker {
        let lines = Lines::new(self, Actor::Worker(own.number), life);
        let policy = &self.options.policy;
        let peers = self.sites.values().filter(|peer| peer.number != own.number);
        let peers = peers.map(|peer| Peer::new(peer.id.clone(), lines.queue(peer, Kind::Queue), policy.circuit));
        let fence = match self.options.rule {
            Rule::Bridge => None,
            Rule::ByHand => Some(Duration::from_hours(24 * 365 * 1000)),
        };
        Worker {
            rules: Rules {
                site: own.id.clone(),
                sites: self.options.sites.iter().cloned().collect(),
                limits: Limits {
                    clock_skew_max: fence.unwrap_or(limits::CLOCK_SKEW_MAX),
                    future_max: fence.unwrap_or(limits::FUTURE_MAX),
                    age_max: fence.unwrap_or(limits::age_max(policy.tombstone_life)),
                    message_bytes_max: MESSAGE_BYTES_MAX,
                },
            },
            policy: policy.clone(),
            store: lines.store(own),
            peers: peers.collect(),
            clock: Arc::clone(&own.clock) as Arc<dyn Clock>,
            rng: Mutex::new(stream(self.options.seed, &format!("worker of {} {life}", own.id))),
            incidents: Reports::of(&self.books, format!("worker of {}", own.id)),
            excerpts: Excerpts::default(),
            health: Health::default(),
        }
    }

    /// A queue of a site as `actor` sees it, with what goes wrong on the way.
    pub fn queue(&self, site: &Site, kind: Kind, actor: Actor, life: &str) -> Arc<dyn Queue> {
        Lines::new(self, actor, life).queue(site, kind)
    }

    /// The store of a site as `actor` sees it.
    pub fn store(&self, site: &Site, actor: Actor, life: &str) -> Arc<dyn Store> {
        Lines::new(self, actor, life).store(site)
    }

    /// Whether nothing was found wrong so far.
    pub fn is_sound(&self) -> bool {
        self.books.open().violations.is_empty()
    }

    /// Somebody who is not the bridge empties the store of a site.
    pub fn empty(&self, id: &SiteId) {
        let site = &self.sites[id];
        let Some(memory) = &site.shelf else { return };
        self.books.note(|| format!("the store of {id} is emptied"));
        for key in memory.snapshot().keys() {
            memory.remove(key);
        }
        self.books.open().emptied(site.number);
    }

    /// The store of a site as the operator reads it from end to end; none where it cannot be read so.
    pub fn scan(&self, site: &Site, life: &str) -> Option<Arc<dyn Scan>> {
        Some(Lines::new(self, Actor::Operator, life).scan(site, site.shelf.as_ref()?))
    }

    /// Puts bodies into a site's queue, as a producer does.
    pub fn send(&self, site: &str, bodies: &[String]) {
        self.send_marked(site, bodies, &Marks::default());
    }

    /// Puts bodies into a site's queue, as the worker of their `origin` does.
    pub fn forward(&self, origin: &str, site: &str, bodies: &[String]) {
        self.send_marked(site, bodies, &Marks::default().forwarded(&origin.parse().expect("a site's name")));
    }

    /// Puts bodies with these marks into a site's queue.
    pub fn send_marked(&self, site: &str, bodies: &[String], marks: &Marks) {
        let numbered = bodies.iter().zip(0..);
        let messages: Vec<_> = numbered
            .map(|(body, number)| {
                let mut message = message(number, body);
                marks.write(&mut message.properties);
                message
            })
            .collect();
        let sent = self.clock.drive(self.site(site).queue.send(&messages));
        assert!(sent.iter().all(Result::is_ok), "{sent:?}");
    }

    /// Works off one batch at a site; answers the verdicts with the bodies they are about.
    pub fn work(&self, site: &str, max: usize) -> Vec<(String, Verdict)> {
        let site = self.site(site);
        self.clock.drive(async {
            let batch = site.queue.receive(max, Duration::ZERO).await.expect("memory");
            let (verdicts, _) = work_off(&self.workers[&site.id], &*site.queue, &*site.letters, &batch).await;
            let bodies = batch.iter().map(|delivery| String::from_utf8_lossy(&delivery.body).into_owned());
            bodies.zip(verdicts).collect()
        })
    }

    /// Works at every site until all queues are empty. An event that never comes to rest is found by its count.
    pub fn drain(&self, batch: usize) {
        let mut deliveries = 0;
        for _ in 0..10_000 {
            if self.sites.values().all(|site| site.queue.is_empty()) {
                return;
            }
            let worked: Vec<_> = self.sites.keys().flat_map(|id| self.work(id.as_str(), batch)).collect();
            let waits = |(_, verdict): &(String, Verdict)| matches!(verdict.settlement, Settlement::Wait { .. });
            deliveries += worked.len();
            assert!(deliveries < 5_000, "the same events are delivered again and again");
            // A message that waits for its store is back at once, and is not tried before the next second.
            if worked.iter().all(waits) {
                self.clock.advance(Duration::from_secs(1));
            }
        }
        panic!("the queues were not empty after 10,000 rounds");
    }
}

/// A message with this body.
pub fn message(number: u32, body: &str) -> Message {
    Message { id: number.to_string(), body: body.to_owned().into(), properties: Properties::new() }
}

fn site(options: &Options, clock: &Arc<ManualClock>, number: usize, id: &SiteId) -> Site {
    let time = || Arc::clone(clock) as Arc<dyn Clock>;
    let drawn = |name: &str| stream(options.seed, &format!("{id}/{name}")).u64(..);
    let queue = |name: &str| {
        let memory = MemoryQueueOptions {
            name: format!("{id}/{name}"),
            seed: drawn(name),
            duplicates: options.duplicates,
            deliveries_max: (name == "queue").then_some(DELIVERIES_MAX),
            ..MemoryQueueOptions::default()
        };
        Arc::new(MemoryQueue::new(memory, time()))
    };
    let plan = |name| Arc::new(FaultPlan::new(drawn(name), Vec::new()));
    let shelf = (options.rule == Rule::Bridge).then(|| Arc::new(MemoryStore::new(format!("{id}/store"), time())));
    let by_hand = || Arc::new(ByHandStore::new(format!("{id}/store"))) as Arc<dyn Shelf>;
    let store = shelf.clone().map_or_else(by_hand, |shelf| shelf as Arc<dyn Shelf>);
    Site {
        id: id.clone(),
        number,
        queue: queue("queue"),
        letters: queue("dlq"),
        store,
        shelf,
        clock: SiteClock::new(Arc::clone(clock)),
        reads: plan("reads"),
        inbound: plan("inbound"),
        asides: plan("asides"),
        writes: plan("writes"),
    }
}

/// The ways of one caller: to memory through an observer, faults, the wire and a bound on every call.
struct Lines<'a> {
    clock: &'a Arc<ManualClock>,
    actor: Actor,
    wiring: Wiring,
}

impl<'a> Lines<'a> {
    fn new(world: &'a World, actor: Actor, life: &str) -> Self {
        let wiring = Wiring {
            traffic: world.options.traffic.clone(),
            clock: Arc::clone(&world.clock),
            books: Arc::clone(&world.books),
            seed: world.options.seed,
            caller: format!("{} {life}", crate::books::name(&world.options.sites, actor)),
        };
        Self { clock: &world.clock, actor, wiring }
    }

    fn queue(&self, site: &Site, kind: Kind) -> Arc<dyn Queue> {
        let (memory, plan) = match kind {
            Kind::Queue if self.actor == Actor::Worker(site.number) => (&site.queue, &site.reads),
            Kind::Queue => (&site.queue, &site.inbound),
            Kind::Letters => (&site.letters, &site.asides),
        };
        let place = Place { site: site.number, kind };
        let watched = WatchQueue::new(Arc::clone(memory), place, self.actor, Arc::clone(&self.wiring.books));
        let faulty = LayeredQueue::new(watched, Faults::new(Arc::clone(plan), self.time()));
        let mut queue = self.wiring.queue(Arc::new(faulty));
        // Whoever works by hand sets the bounds.
        if !matches!(self.wiring.traffic, Traffic::None) {
            queue = Arc::new(LayeredQueue::new(queue, Timeout::new(self.time(), CALL_MAX)));
        }
        let Actor::Worker(own) = self.actor else { return queue };
        let line = match kind {
            Kind::Letters => Line::Letters,
            Kind::Queue if own == site.number => Line::Queue,
            Kind::Queue => Line::Peer(site.number),
        };
        Arc::new(LayeredQueue::new(queue, Told::new(Arc::clone(&self.wiring.books), own, line)))
    }

    fn store(&self, site: &Site) -> Arc<dyn Store> {
        let books = Arc::clone(&self.wiring.books);
        let watched = WatchStore::new(Arc::clone(&site.store), site.number, self.actor, books);
        let faulty = LayeredStore::new(watched, Faults::new(Arc::clone(&site.writes), self.time()));
        let mut store = self.wiring.store(Arc::new(faulty));
        if !matches!(self.wiring.traffic, Traffic::None) {
            store = Arc::new(LayeredStore::new(store, Timeout::new(self.time(), CALL_MAX)));
        }
        let Actor::Worker(own) = self.actor else { return store };
        Arc::new(LayeredStore::new(store, Told::new(Arc::clone(&self.wiring.books), own, Line::Store)))
    }

    fn scan(&self, site: &Site, memory: &Arc<MemoryStore>) -> Arc<dyn Scan> {
        let faults = Faults::new(Arc::clone(&site.writes), self.time());
        self.wiring.scan(Arc::clone(memory) as Arc<dyn Scan>, faults, Timeout::new(self.time(), CALL_MAX))
    }

    fn time(&self) -> Arc<dyn Clock> {
        Arc::clone(self.clock) as Arc<dyn Clock>
    }
}
