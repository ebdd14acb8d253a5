//! Plays a schedule on running clouds and workers, and notes what it really hit.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    process::Stdio,
    time::{Duration, Instant},
};

use bridge_core::port::Depth;
use bridge_tests::cloud::runtime;
use serde_json::Value;

use super::{
    AWS, AZURE,
    schedule::{Act, Step},
    workers::Workers,
};
use crate::{
    program::{Clouds, Running},
    replay::sites::replay,
};

pub(super) struct Conductor<'a> {
    clouds: &'a Clouds,
    /// Counts the messages in the hands of the workers of AWS; Service Bus does not say.
    queue: &'a dyn Depth,
    pub(super) workers: Workers<'a>,
    /// Live faults: what they are, and their ids at the admin endpoint.
    live: BTreeMap<usize, (String, u64)>,
    replays: Vec<Replay>,
    plans: usize,
    /// The plans of the replays that were killed last, by whose letters they bring.
    pub(super) killed: BTreeMap<&'static str, PathBuf>,
    pub(super) hits: Hits,
    pub(super) last: String,
}

/// A `bridge replay` whose end is to come.
struct Replay {
    site: &'static str,
    program: Running,
    plan: PathBuf,
    /// Whether it is time to kill it.
    due: bool,
}

/// What was done, how often, and what it hit.
#[derive(Debug, Default)]
pub(super) struct Hits(pub(super) BTreeMap<String, (u64, u64)>);

impl Hits {
    pub(super) fn add(&mut self, what: &str, hit: u64) {
        let (times, hits) = self.0.entry(what.to_owned()).or_default();
        *times += 1;
        *hits += hit;
    }

    /// What all whose name begins so have hit.
    pub(super) fn of(&self, what: &str) -> u64 {
        self.0.iter().filter(|(name, _)| name.starts_with(what)).map(|(_, (_, hits))| hits).sum()
    }
}

impl<'a> Conductor<'a> {
    pub(super) fn new(clouds: &'a Clouds, queue: &'a dyn Depth) -> Self {
        Self {
            clouds,
            queue,
            workers: Workers::start_all(clouds),
            live: BTreeMap::new(),
            replays: Vec::new(),
            plans: 0,
            killed: BTreeMap::new(),
            hits: Hits::default(),
            last: String::new(),
        }
    }

    /// Plays all steps, each at its time; `tell` is called after each.
    pub(super) fn play(&mut self, steps: Vec<Step>, mut tell: impl FnMut(&Self)) {
        let begin = Instant::now();
        for Step { at, act } in steps {
            std::thread::sleep(at.saturating_sub(begin.elapsed()));
            self.workers.look();
            self.look_at_replays();
            self.last = format!("{act:?}");
            self.act(act);
            tell(self);
        }
    }

    /// Ends what goes wrong.
    pub(super) fn calm(&mut self) {
        self.clouds.clear_faults();
        for place in 0..4 {
            self.workers.thaw(place);
            self.workers.start(place, &[]);
        }
        self.end_replays();
    }

    /// Begins a replay and kills it in mid-run, if that has not happened yet: faults may have ended all others before.
    pub(super) fn kill_one_replay(&mut self) {
        for site in [AWS, AZURE] {
            if self.hits.of("replay: killed in mid-run") == 0 {
                self.begin_replay(site);
                self.end_replays();
            }
        }
    }

    fn end_replays(&mut self) {
        wait(Duration::from_secs(60), "replays go on", || {
            self.replays.iter_mut().for_each(|replay| replay.due = true);
            self.look_at_replays();
            self.replays.is_empty()
        });
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Fault(number, fault) => self.begin_fault(number, fault),
            Act::FaultEnds(number) => self.end_fault(number),
            Act::Cut(scope) => {
                let answer: Value =
                    serde_json::from_str(&self.clouds.admin("POST", &format!("/cut/{scope}"), "")).unwrap();
                let open = answer["cut"].as_object().unwrap().values().filter_map(Value::as_u64).sum();
                self.hits.add("cut: connections", open);
            }
            Act::Kill(places) => {
                let killed = places.iter().filter(|place| self.workers.kill(**place)).count();
                self.hits.add("kill: workers", killed as u64);
                if places == [0, 1] && killed > 0 && !self.workers.any_at(&places) {
                    // Nobody works here now: what is hidden was in the hands of those that were killed.
                    self.hits.add("kill: messages in hands", in_hands(self.queue));
                }
            }
            Act::Stop(place) => {
                let stopped = self.workers.stop(place);
                self.hits.add("stop: workers", stopped.into());
            }
            Act::Freeze(place) => {
                let frozen = self.workers.freeze(place);
                self.hits.add("freeze: workers", frozen.into());
            }
            Act::Thaw(place) => {
                let thawed = self.workers.thaw(place);
                self.hits.add("thaw: workers", thawed.into());
            }
            Act::Start(places) => {
                for place in places {
                    self.workers.start(place, &[]);
                }
            }
            Act::Replay(site) => self.begin_replay(site),
            Act::KillReplay(site) => {
                let due = self.replays.iter_mut().filter(|replay| replay.site == site);
                due.for_each(|replay| replay.due = true);
            }
        }
    }

    fn begin_fault(&mut self, number: usize, fault: String) {
        let answer: Value = serde_json::from_str(&self.clouds.admin("POST", "/faults", &fault)).unwrap();
        self.live.insert(number, (fault, answer["ids"][0].as_u64().unwrap()));
    }

    fn end_fault(&mut self, number: usize) {
        let (fault, id) = self.live.remove(&number).expect("it began");
        let live: Value = serde_json::from_str(&self.clouds.admin("GET", "/faults", "")).unwrap();
        let found = live["faults"].as_array().unwrap().iter().find(|live| live["id"] == id);
        // What has had all its hits is gone from the list.
        let hits = found.map_or(1, |live| live["hits"].as_u64().unwrap());
        if found.is_some() {
            self.clouds.admin("DELETE", &format!("/faults/{id}"), "");
        }
        let (service, rest) = fault.split_once(":*:").unwrap();
        let (kind, after) = (rest.split(',').next().unwrap(), if rest.contains("after,") { " after" } else { "" });
        self.hits.add(&format!("fault {kind}{after}: calls"), hits);
        self.hits.add(&format!("on {service}: calls"), hits);
    }

    fn begin_replay(&mut self, site: &'static str) {
        let plan = self.clouds.file(&format!("plan-{}.jsonl", self.plans));
        self.plans += 1;
        let (from, file) = (format!("{site}/dlq"), plan.display().to_string());
        let arguments = ["--from", &from, "--to", "owed", "--plan", &file, "--rate", "20", "--yes"];
        let mut command = replay(self.clouds, &arguments);
        let program = Running::start(command.stdout(Stdio::null()).stderr(Stdio::null()));
        self.replays.push(Replay { site, program, plan, due: false });
    }

    /// Kills those that are due and have begun to bring what they planned. Until then they only look, which hides letters of SQS
    /// for two minutes if it is cut off (`docs/replay.md`): no run could wait for that.
    fn look_at_replays(&mut self) {
        for mut replay in std::mem::take(&mut self.replays) {
            let works = replay.program.has_ended().is_none();
            let journal = std::fs::read_to_string(replay.plan.with_extension("jsonl.journal")).unwrap_or_default();
            let confirmed = journal.lines().filter(|line| line.contains("\"confirmed\"")).count();
            if works && !(replay.due && confirmed > 0) {
                self.replays.push(replay);
                continue;
            }
            // Dropped, it is killed.
            let Replay { site, program, plan, .. } = replay;
            drop(program);
            self.hits.add("replay: killed in mid-run", works.into());
            self.hits.add("replay: letters confirmed before that", if works { confirmed as u64 } else { 0 });
            if works {
                self.killed.insert(site, plan);
            }
        }
    }
}

/// Messages in the hands of workers; none if the service does not say so at once, as it may be dark.
fn in_hands(queue: &dyn Depth) -> u64 {
    let asked = runtime().block_on(async { tokio::time::timeout(Duration::from_millis(300), queue.depth()).await });
    asked.ok().and_then(Result::ok).and_then(|depth| depth.in_flight).unwrap_or(0)
}

/// Waits until `rested` says so.
///
/// # Panics
/// If it does not within `limit`, with `what`.
pub(super) fn wait(limit: Duration, what: &str, mut rested: impl FnMut() -> bool) {
    let start = Instant::now();
    while !rested() {
        assert!(start.elapsed() < limit, "{what}: not within {limit:?}");
        std::thread::sleep(Duration::from_millis(100));
    }
}
