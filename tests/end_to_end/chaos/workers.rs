//! Two workers a site, each a process of its own, and the books of those that end in an orderly way.

use std::{
    fs::File,
    path::PathBuf,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{AWS, AZURE};
use crate::program::{Clouds, Running, bridge};

/// Workers that give up within a second: so that letters arise while a service is dark for three.
/// They bring nothing by themselves: the operator's replays have to find letters.
pub(super) const PATIENCE: [(&str, &str); 7] = [
    ("BRIDGE_WORKER_AUTO_REPLAY", "off"),
    ("BRIDGE_WORKER_ATTEMPTS_MAX", "3"),
    ("BRIDGE_WORKER_RETRY_DELAY_BASE_MS", "100"),
    ("BRIDGE_WORKER_RETRY_DELAY_MAX_MS", "500"),
    ("BRIDGE_WORKER_PEER_RETRY_DELAY_BASE_MS", "50"),
    ("BRIDGE_WORKER_PEER_RETRY_DELAY_MAX_MS", "200"),
    ("BRIDGE_WORKER_CIRCUIT_PAUSE_MS", "1000"),
];

/// How long a worker may take to end after SIGTERM, its batches done.
const ENDING_MAX: Duration = Duration::from_secs(30);

/// One place for a worker: 0 and 1 are of AWS, 2 and 3 of Azure.
pub(super) struct Workers<'a> {
    clouds: &'a Clouds,
    places: [Option<Worker>; 4],
    ending: Vec<Worker>,
    lives: usize,
    /// The last words of those that ended in an orderly way.
    pub(super) books: Vec<Value>,
}

struct Worker {
    place: usize,
    program: Running,
    log: PathBuf,
    frozen: bool,
    told_to_end: Instant,
}

impl<'a> Workers<'a> {
    pub(super) fn start_all(clouds: &'a Clouds) -> Self {
        let mut workers = Self { clouds, places: [const { None }; 4], ending: Vec::new(), lives: 0, books: Vec::new() };
        for place in 0..4 {
            workers.start(place, &[]);
        }
        workers
    }

    /// Fills a place that is empty; whether it was.
    pub(super) fn start(&mut self, place: usize, variables: &[(&str, &str)]) -> bool {
        if self.places[place].is_some() {
            return false;
        }
        self.lives += 1;
        let log = self.clouds.file(&format!("worker-{place}-{}.log", self.lives));
        let mut command = bridge();
        command.args(["run", "--site", [AWS, AWS, AZURE, AZURE][place], "--log", "info", "--log-format", "json"]);
        command.arg("--config").arg(self.clouds.config()).stderr(File::create(&log).unwrap());
        command.envs(PATIENCE).envs(variables.iter().copied());
        let program = Running::start(&mut command);
        self.places[place] = Some(Worker { place, program, log, frozen: false, told_to_end: Instant::now() });
        true
    }

    /// SIGKILL; whether there was one. A frozen one is spared: it is to wake up.
    pub(super) fn kill(&mut self, place: usize) -> bool {
        // Dropped, it is killed and waited for.
        self.places[place].take_if(|worker| !worker.frozen).is_some()
    }

    /// Whether somebody has one of these places.
    pub(super) fn any_at(&self, places: &[usize]) -> bool {
        places.iter().any(|place| self.places[*place].is_some())
    }

    pub(super) fn freeze(&mut self, place: usize) -> bool {
        let Some(worker) = self.places[place].as_mut().filter(|worker| !worker.frozen) else { return false };
        worker.program.signal("STOP");
        worker.frozen = true;
        true
    }

    pub(super) fn thaw(&mut self, place: usize) -> bool {
        let Some(worker) = self.places[place].as_mut().filter(|worker| worker.frozen) else { return false };
        worker.program.signal("CONT");
        worker.frozen = false;
        true
    }

    /// SIGTERM. Its place is free at once: a successor begins while it finishes its batches.
    pub(super) fn stop(&mut self, place: usize) -> bool {
        if self.places[place].as_ref().is_none_or(|worker| worker.frozen) {
            return false;
        }
        let mut worker = self.places[place].take().unwrap();
        worker.program.signal("TERM");
        worker.told_to_end = Instant::now();
        self.ending.push(worker);
        true
    }

    /// Stops all, and waits for the last of them.
    pub(super) fn stop_all(&mut self) {
        for place in 0..4 {
            self.thaw(place);
            self.stop(place);
        }
        while !self.ending.is_empty() {
            self.look();
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Reads the books of those that have ended.
    ///
    /// # Panics
    /// If a worker ended by itself, with an error, too late, or without its books.
    pub(super) fn look(&mut self) {
        for worker in self.places.iter_mut().flatten() {
            let ended = worker.program.has_ended();
            assert!(ended.is_none(), "worker {} ended by itself, {ended:?}:\n{}", worker.place, worker.said());
        }
        for mut worker in std::mem::take(&mut self.ending) {
            let Some(status) = worker.program.has_ended() else {
                assert!(worker.told_to_end.elapsed() < ENDING_MAX, "SIGTERM does not end it:\n{}", worker.said());
                self.ending.push(worker);
                continue;
            };
            assert!(status.success(), "worker {} ended with {status}:\n{}", worker.place, worker.said());
            let last = worker.said().lines().last().and_then(|line| serde_json::from_str(line).ok());
            let books: Value = last.unwrap_or_else(|| panic!("no last word:\n{}", worker.said()));
            let count = |field: &str| books[field].as_u64().unwrap_or_else(|| panic!("no {field}: {books}"));
            let ended = count("acked") + count("retried") + count("dead_lettered") + count("left");
            assert_eq!(count("delivered"), ended, "the books do not balance: {books}");
            self.books.push(books);
        }
    }
}

impl Worker {
    fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}
