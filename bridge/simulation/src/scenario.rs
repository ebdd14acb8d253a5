//! All that a seed decides before a world begins: how many sites, how they work, what is written, what goes wrong.

use std::{fmt, time::Duration};

use bridge_core::{
    circuit::CircuitPolicy,
    event::SiteId,
    limits,
    retry::Backoff,
    worker::{Forward, Policy},
};
use bridge_ops::replay::route::{Source, Target};
use fastrand::Rng;

use crate::{
    audit::Audit,
    events::Draft,
    faults::Spell,
    host::HostKind,
    seed::{chance, pick, stream},
    wire::Traffic,
    world::{self, Options, Rule},
};

/// The names of sites, as many as a world may have.
const NAMES: [&str; 6] =
    ["aws:us-east-1", "azure:westeurope", "aws:eu-west-1", "azure:northeurope", "aws:ap-south-1", "azure:eastus2"];

/// Sites of a world at most.
pub const SITES_MAX: usize = NAMES.len();

/// A story, from the first event to the last fault.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// What the world is like.
    pub options: Options,
    /// What works each site.
    pub hosts: Vec<HostKind>,
    /// Messages of a batch at most.
    pub batch: usize,
    /// What happens, one after the other.
    pub episodes: Vec<Episode>,
    /// What happens once all is at rest: a store is emptied, and filled again while events come in.
    pub refill: Option<Episode>,
    /// What the operator does at the very end.
    pub audit: Option<Audit>,
    /// Whether workers bring what letters owe by themselves.
    pub auto: bool,
}

/// Some minutes in which much happens, and the time after them in which nothing does: every worker is down, as if the
/// whole bridge was forgotten, and what was under way lies in queues and dead letters.
#[derive(Clone, Debug)]
pub struct Episode {
    /// What is written.
    pub drafts: Vec<Draft>,
    /// What goes wrong.
    pub spells: Vec<Spell>,
    /// Clocks that are set wrong.
    pub steps: Vec<Step>,
    /// What the operator does.
    pub replays: Vec<Replay>,
    /// When the operator compares all stores, and whether to repair them.
    pub verifies: Vec<(Duration, bool)>,
    /// When the operator looks how far behind the sites are.
    pub looks: Vec<Duration>,
    /// A store that is emptied as the episode begins, and filled.
    pub fill: Option<Fill>,
    /// Polls that a worker lives for, on average; for ever if none.
    pub life: Option<u64>,
    /// How long it is written for, and begun to go wrong.
    pub length: Duration,
    /// The time after it.
    pub night: Duration,
}

/// A site's clock is set so far off.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// When, counted from the episode's begin.
    pub after: Duration,
    /// The site, by number.
    pub site: usize,
    /// Milliseconds ahead of the right time.
    pub millis: i64,
}

/// A store that is filled from another.
#[derive(Clone, Debug)]
pub struct Fill {
    /// When, counted from the episode's begin.
    pub after: Duration,
    /// From which site's.
    pub from: SiteId,
    /// Whose it is.
    pub to: SiteId,
    /// Polls after which it is killed, one after the other; the last one is not.
    pub killed: Vec<u64>,
}

/// A replay, planned once and run until it survives.
#[derive(Clone, Debug)]
pub struct Replay {
    /// When, counted from the episode's begin.
    pub after: Duration,
    /// From where.
    pub from: Source,
    /// To where.
    pub to: Target,
    /// Polls after which its runs are killed, one after the other; the last one is not.
    pub killed: Vec<u64>,
    /// A site that is configured only once the plan is made.
    pub added: Option<SiteId>,
    /// Whether old events are brought too.
    pub accept_old: bool,
}

impl Scenario {
    /// The story of a seed; with so many sites if that is given.
    pub fn of(seed: u64, sites: Option<usize>, rule: Rule, traced: bool) -> Self {
        let mut rng = stream(seed, "scenario");
        let drawn = pick(&mut rng, &[2, 2, 2, 2, 3, 3, 3, 4]);
        let sites = sites.unwrap_or(drawn).clamp(1, SITES_MAX);
        let names: Vec<SiteId> = NAMES[..sites].iter().map(|name| name.parse().expect("a site's name")).collect();
        let keys = rng.usize(1..=4);
        let episodes = pick(&mut rng, &[1, 1, 2, 2, 3, 4]);
        let options = Options {
            seed,
            policy: Policy {
                store_wait_max: store_wait_max(&mut stream(seed, "patience with stores")),
                ..policy(&mut rng)
            },
            rule,
            traffic: Traffic::Seeded { twice: pick(&mut rng, &[0.0, 0.02, 0.1]) },
            duplicates: pick(&mut rng, &[0.0, 0.05, 0.3]),
            sites: names.clone(),
            traced,
        };
        let mut episodes: Vec<Episode> = (0..episodes)
            .map(|at| Episode::draw(&mut rng, &names, keys, episodes, at).with_producers(seed, at))
            .collect();
        let (mut late, mut refused) = (stream(seed, "plans of before"), stream(seed, "no letters"));
        let mut away = stream(seed, "outages of stores");
        for episode in &mut episodes {
            // Each delivery that a broker repeats leaves one copy more in a Function's queue: with many of them the worlds would explode.
            let outage = Spell::of_an_outage(&mut away, sites, episode.length);
            episode.spells.extend(outage.filter(|_| options.duplicates < 0.1));
            episode.spells.extend(Spell::of_no_letters(&mut refused, sites, episode.length));
            if let Some(replay) = Replay::of_an_old_plan(&mut late, &names) {
                episode.spells.extend(dark_behind_the_plan(&mut late, &replay, &names));
                episode.replays.push(replay);
            }
        }
        draw_long_nights(&mut stream(seed, "long nights"), &mut episodes, &names);
        let hosts = [HostKind::Container, HostKind::Container, HostKind::Lambda, HostKind::Function];
        let mut operator = stream(seed, "what the operator looks at");
        for episode in &mut episodes {
            episode.draw_looks(&mut operator);
        }
        // Where deletes may be forgotten, what is missing is for a person to judge (docs/verify.md).
        let remembered = episodes.iter().all(|episode| episode.night < Duration::from_hours(24 * EDGE_NIGHT));
        let compared = rule == Rule::Bridge && sites > 1;
        if compared && remembered {
            for episode in &mut episodes {
                episode.draw_verifies(&mut operator);
            }
        }
        let refill = (compared && remembered && chance(&mut operator, 0.1))
            .then(|| Episode::refill(&mut operator, &names, keys));
        Self {
            hosts: (0..sites).map(|_| pick(&mut rng, &hosts)).collect(),
            batch: rng.usize(1..=10),
            episodes,
            options,
            refill,
            audit: (compared && chance(&mut operator, 0.12)).then(|| Audit::draw(&mut operator)),
            // By hand nothing is safe to be brought twice.
            auto: rule == Rule::Bridge && chance(&mut stream(seed, "auto replay"), 0.7),
        }
    }
}

/// Few attempts and short patience, so that much ends in dead letters.
fn policy(rng: &mut Rng) -> Policy {
    Policy {
        attempts_max: rng.u32(2..=6),
        retry: Backoff { base: Duration::from_secs(1), max: Duration::from_secs(30) },
        peer_attempts_max: rng.u32(1..=3),
        circuit: CircuitPolicy { failures: rng.u32(1..=3), pause: Duration::from_secs(10) },
        forward: pick(rng, &[Forward::All, Forward::All, Forward::Latest]),
        concurrent_writes: rng.usize(1..=4),
        ..world::policy()
    }
}

/// Now and then so short that letters are made in an outage.
fn store_wait_max(rng: &mut Rng) -> Duration {
    if chance(rng, 0.2) { Duration::from_secs(rng.u64(30..1_200)) } else { limits::STORE_WAIT_MAX }
}

impl Episode {
    fn draw(rng: &mut Rng, names: &[SiteId], keys: usize, episodes: usize, number: usize) -> Self {
        let length = Duration::from_secs(rng.u64(20..120));
        let sites = names.len();
        let events = rng.usize(4..=18) / episodes + 2;
        let spells = pick(rng, &[0, 2, 4, 8]);
        let steps = pick(rng, &[0, 0, 2]);
        let replays = pick(rng, &[0, 1, 2]);
        // An event waits in its origin's queue, in a peer's and among the dead letters, 14 days each; a tombstone lives for 60.
        let days = pick(rng, if number < 3 { &[0, 1, 14] } else { &[0] });
        Self {
            drafts: (0..events).map(|_| Draft::draw(rng, sites, keys, length)).collect(),
            spells: (0..spells).map(|_| Spell::draw(rng, sites, length)).collect(),
            steps: (0..steps).map(|_| Step::draw(rng, sites, length)).collect(),
            replays: (0..replays).map(|_| Replay::draw(rng, names, length)).collect(),
            verifies: Vec::new(),
            looks: Vec::new(),
            fill: None,
            life: pick(rng, &[None, Some(400), Some(60)]),
            length,
            night: Duration::from_hours(24 * days),
        }
    }

    /// A store is emptied, as a site that is new or was lost is empty, and filled while applications write.
    fn refill(rng: &mut Rng, names: &[SiteId], keys: usize) -> Self {
        let (at, step) = (rng.usize(..names.len()), rng.usize(1..names.len()));
        let polls = rng.u64(1..60);
        let fill = Fill {
            after: Duration::from_secs(rng.u64(..30)),
            from: names[(at + step) % names.len()].clone(),
            to: names[at].clone(),
            killed: pick(rng, &[Vec::new(), vec![polls]]),
        };
        let episode = Self::draw(rng, names, keys, 2, usize::MAX);
        Self { steps: Vec::new(), replays: Vec::new(), night: Duration::ZERO, fill: Some(fill), ..episode }
    }

    fn draw_looks(&mut self, rng: &mut Rng) {
        let looks = rng.usize(..3);
        self.looks = (0..looks).map(|_| self.length.mul_f64(rng.f64())).collect();
        self.looks.sort_unstable();
    }

    fn draw_verifies(&mut self, rng: &mut Rng) {
        if chance(rng, 0.06) {
            self.verifies.push((self.length.mul_f64(rng.f64()), chance(rng, 0.5)));
        }
    }
}

impl Audit {
    fn draw(rng: &mut Rng) -> Self {
        let polls = rng.u64(1..80);
        Self { keys: rng.usize(1..40), fills: chance(rng, 0.3), killed: pick(rng, &[Vec::new(), vec![polls]]) }
    }
}

impl Episode {
    /// Drawn by themselves, so that a seed's other events stay as they are.
    fn with_producers(mut self, seed: u64, number: usize) -> Self {
        let mut rng = stream(seed, &format!("producers of episode {number}"));
        self.drafts.iter_mut().for_each(|draft| draft.draw_anew(&mut rng));
        self
    }
}

/// Days after which some tombstones have ended and others not; days after which all have.
const EDGE_NIGHT: u64 = 59;
const LONG_NIGHTS: [u64; 3] = [61, 75, 130];

/// Now and then everybody is away for longer than tombstones live, once or twice. Where all deletes of before are forgotten, an operator
/// accepts whatever is old; where some are, only what somebody lacks ([`Holdings::needed`](crate::holdings::Holdings::needed)).
fn draw_long_nights(rng: &mut Rng, episodes: &mut [Episode], names: &[SiteId]) {
    if !chance(rng, 0.25) {
        return;
    }
    let edge = chance(rng, 0.2);
    for _ in 0..pick(rng, &[1, 1, 2]) {
        let at = rng.usize(..episodes.len());
        let days = if edge { EDGE_NIGHT } else { pick(rng, &LONG_NIGHTS) };
        let episode = &mut episodes[at];
        episode.night = Duration::from_hours(24 * days);
        if chance(rng, 0.7) {
            episode.spells.push(Spell::of_a_deaf_worker(rng.usize(..names.len()), episode.length));
        }
        for later in episodes.iter_mut().skip(at + 1).filter(|_| !edge) {
            let often = rng.usize(..=2 * names.len());
            later.replays.extend((0..often).map(|_| Replay::of_old_events(rng, names)));
        }
    }
}

impl Step {
    /// Up to twenty seconds: with an event's own half minute that stays below the fence, so what must be refused does not
    /// depend on when it is looked at.
    fn draw(rng: &mut Rng, sites: usize, length: Duration) -> Self {
        Self { after: length.mul_f64(rng.f64()), site: rng.usize(..sites), millis: rng.i64(-20_000..20_000) }
    }
}

impl Replay {
    fn draw(rng: &mut Rng, names: &[SiteId], length: Duration) -> Self {
        let (site, other) = (pick(rng, names), pick(rng, names));
        let (from, to) = match rng.u32(..10) {
            0 => (Source::Queue(site), Target::Store(other)),
            1 => (Source::Queue(site), Target::Queue(other)),
            2 => (Source::DeadLetters(site.clone()), Target::Queue(site)),
            3 => (Source::DeadLetters(site), Target::Store(other)),
            _ => (Source::DeadLetters(site), Target::Owed),
        };
        let runs = pick(rng, &[0, 0, 1, 2]);
        let killed = (0..runs).map(|_| rng.u64(1..60)).collect();
        Self { after: length.mul_f64(rng.f64()), killed, ..Self::of(from, to) }
    }

    /// At once, with nobody in its way.
    pub fn of(from: Source, to: Target) -> Self {
        Self { after: Duration::ZERO, from, to, killed: Vec::new(), added: None, accept_old: false }
    }

    /// Of what was set aside at some site all that is old too; mostly to where it has to go, and sometimes to one site alone.
    fn of_old_events(rng: &mut Rng, names: &[SiteId]) -> Self {
        let (site, other) = (pick(rng, names), pick(rng, names));
        let to = match rng.u32(..6) {
            0 => Target::Store(site.clone()),
            1 => Target::Store(other),
            2 => Target::Queue(other),
            _ => Target::Owed,
        };
        let (after, polls) = (Duration::from_secs(rng.u64(5..100)), rng.u64(1..60));
        let killed = pick(rng, &[Vec::new(), vec![polls]]);
        Self { after, killed, accept_old: true, ..Self::of(Source::DeadLetters(site), to) }
    }

    /// Now and then, what waits for a site or was set aside there, by a plan that was made before another was configured.
    fn of_an_old_plan(rng: &mut Rng, names: &[SiteId]) -> Option<Self> {
        let (site, added) = (pick(rng, names), pick(rng, names));
        if site == added || chance(rng, 0.5) {
            return None;
        }
        let from = pick(rng, &[Source::Queue(site.clone()), Source::DeadLetters(site)]);
        let after = Duration::from_secs(rng.u64(5..100));
        Some(Self { after, added: Some(added), ..Self::of(from, Target::Owed) })
    }
}

/// Now and then all peers of the replay's source are dark before it, so that its letters are owed to several, and the one that is added stays
/// so while it is run.
fn dark_behind_the_plan(rng: &mut Rng, replay: &Replay, names: &[SiteId]) -> Vec<Spell> {
    let (Source::DeadLetters(from), Some(added)) = (&replay.from, &replay.added) else { return Vec::new() };
    if names.len() < 3 || chance(rng, 0.5) {
        return Vec::new();
    }
    let dark = |(number, name)| {
        let longer = if name == added { Duration::from_secs(30) } else { Duration::ZERO };
        (name != from).then(|| Spell::of_a_dark_peer(number, replay.after + longer))
    };
    names.iter().enumerate().filter_map(dark).collect()
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let policy = &self.options.policy;
        for (site, host) in self.options.sites.iter().zip(&self.hosts) {
            writeln!(f, "{site}: {host:?}")?;
        }
        writeln!(
            f,
            "batches of {}, {} deliveries at most, {} sends to a peer at most, forwards {:?}, the broker delivers {} % twice",
            self.batch,
            policy.attempts_max,
            policy.peer_attempts_max,
            policy.forward,
            self.options.duplicates * 100.0,
        )?;
        if self.auto {
            writeln!(f, "workers bring what is owed by themselves")?;
        }
        for (number, episode) in self.episodes.iter().enumerate() {
            let life = episode.life.map_or("for ever".to_owned(), |polls| format!("some {polls} polls"));
            writeln!(f, "episode {number}: {} events, workers live {life}", episode.drafts.len())?;
            for spell in &episode.spells {
                writeln!(f, "  {spell}")?;
            }
            for step in &episode.steps {
                writeln!(
                    f,
                    "  site {}: its clock is set {} ms off at {} s",
                    step.site,
                    step.millis,
                    step.after.as_secs()
                )?;
            }
            for replay in &episode.replays {
                let (from, to, after, kills) = (&replay.from, &replay.to, replay.after.as_secs(), replay.killed.len());
                let old = if replay.accept_old { " --accept-old" } else { "" };
                let added =
                    replay.added.as_ref().map(|site| format!(", {site} is added behind its plan")).unwrap_or_default();
                writeln!(f, "  replay --from {from} --to {to}{old} at {after} s, killed {kills} times{added}")?;
            }
            for (after, repair) in &episode.verifies {
                let repair = if *repair { " --repair" } else { "" };
                writeln!(f, "  verify{repair} at {} s", after.as_secs())?;
            }
            if !episode.night.is_zero() {
                writeln!(f, "  then nobody works for {} days", episode.night.as_secs() / 86_400)?;
            }
        }
        if let Some(Fill { after, from, to, killed }) = self.refill.as_ref().and_then(|episode| episode.fill.as_ref()) {
            let (after, kills) = (after.as_secs(), killed.len());
            writeln!(f, "at rest: {to} is emptied, and filled from {from} at {after} s, killed {kills} times")?;
        }
        if let Some(Audit { keys, fills, killed }) = &self.audit {
            let what = if *fills { "backfill" } else { "verify --repair" };
            writeln!(f, "at the end: {what} with {keys} keys that somebody planted, killed {} times", killed.len())?;
        }
        Ok(())
    }
}
