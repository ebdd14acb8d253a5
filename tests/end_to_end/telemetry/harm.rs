//! What a receiver of telemetry can do to events: nothing. Measured with no receiver, with one that nobody listens as,
//! and with one that takes every connection and never answers.

use std::{
    collections::BTreeMap,
    io::Write,
    net::{SocketAddr, TcpListener},
    time::{Duration, Instant},
};

use crate::{
    functions::Host,
    program::{Clouds, Running, bridge, must},
};

use super::{PATIENCE, event, receiver::Receiver, wait};

/// Half of them from each cloud, and each of them traced.
const EVENTS: usize = 200;

/// A receiver, or what there is in its place.
enum Listener {
    None,
    Healthy(Receiver),
    /// An address that nobody listens at.
    Refused(SocketAddr),
    /// Connections are taken by the system, and nobody ever reads.
    Hangs(TcpListener),
}

impl Listener {
    fn refused() -> Self {
        Self::Refused(TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap())
    }

    fn hangs() -> Self {
        Self::Hangs(TcpListener::bind("127.0.0.1:0").unwrap())
    }

    fn address(&self) -> Option<String> {
        match self {
            Self::None => None,
            Self::Healthy(receiver) => Some(receiver.address().to_owned()),
            Self::Refused(address) => Some(format!("http://{address}")),
            Self::Hangs(listener) => Some(format!("http://{}", listener.local_addr().unwrap())),
        }
    }
}

/// Publishes traced events at both sites; answers how long it took until every store has all.
fn drain(clouds: &Clouds, name: &str, count: usize) -> Duration {
    let file = clouds.file(&format!("{name}.jsonl"));
    let mut out = std::fs::File::create(&file).unwrap();
    for number in 0..count {
        let site = if number % 2 == 0 { "aws:us-east-1" } else { "azure:westeurope" };
        let traceparent = format!("00-{:032x}-00f067aa0b4902b7-01", number + 1);
        writeln!(out, "{}", event(site, &format!("{name}-{number}"), Some(&traceparent))).unwrap();
    }
    let start = Instant::now();
    must(bridge().args(["publish", "--config"]).arg(clouds.config()).arg(&file));
    // The last of each way has come, and so, as queues are drained in any order, ask for all of the last ones.
    for number in count - 20..count {
        let key = format!("{name}-{number}");
        wait("every event in both stores", || {
            let output = bridge().args(["get", &key, "--config"]).arg(clouds.config()).output().unwrap();
            String::from_utf8_lossy(&output.stdout).contains("all 2 sites agree").then_some(())
        });
    }
    start.elapsed()
}

/// The letters of both sites, which there must be none of.
fn assert_nothing_set_aside(clouds: &Clouds) {
    for site in ["aws:us-east-1", "azure:westeurope"] {
        let mut command = bridge();
        command.args(["replay", "--from", &format!("{site}/dlq"), "--to", "owed", "--dry-run", "--json", "--config"]);
        let output = must(command.arg(clouds.config()));
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains("\"messages\": 0") || text.contains("\"messages\":0"), "{site}: {text}");
    }
}

/// Works off traced events with a container for each site, and ends both; answers seconds, CPU seconds and MB of both workers.
fn work(listener: &Listener, name: &str, count: usize) -> [f64; 3] {
    let address = listener.address();
    let mut variables = vec![("OTEL_METRIC_EXPORT_INTERVAL", "1000")];
    variables.extend(address.as_deref().map(|address| ("OTEL_EXPORTER_OTLP_ENDPOINT", address)));
    let clouds = Clouds::start(&["--without-workers"]);
    let sites = ["aws:us-east-1", "azure:westeurope"];
    let mut workers = sites.map(|site| clouds.worker_with(site, &variables));
    let drained = drain(&clouds, name, count).as_secs_f64();
    assert_nothing_set_aside(&clouds);
    if let Listener::Healthy(receiver) = listener {
        wait("all spans", || (receiver.span_count() >= count * 5).then_some(()));
    }
    let cpu = workers.iter().map(Running::cpu_seconds).sum();
    let memory = workers.iter().map(Running::peak_memory_mb).sum();
    for worker in &mut workers {
        worker.signal("INT");
        assert!(worker.end(PATIENCE).success(), "telemetry does not hold up the end");
    }
    [drained, cpu, memory]
}

#[test]
fn a_receiver_that_is_gone_or_hangs_costs_a_container_no_event() {
    let number = |name: &str, default| std::env::var(name).map_or(default, |text| text.parse().unwrap());
    let (count, rounds) = (number("BRIDGE_TELEMETRY_EVENTS", 400), number("BRIDGE_TELEMETRY_ROUNDS", 1));
    let names = ["none", "healthy", "refused", "hangs"];
    let mut figures: BTreeMap<&str, Vec<[f64; 3]>> = BTreeMap::new();
    for round in 0..rounds {
        // Side by side in each round, and each first in turn, as what else the machine does changes.
        for at in 0..names.len() {
            let name = names[(at + round) % names.len()];
            let listener = match name {
                "healthy" => Listener::Healthy(Receiver::start()),
                "refused" => Listener::refused(),
                "hangs" => Listener::hangs(),
                _ => Listener::None,
            };
            figures.entry(name).or_default().push(work(&listener, name, count));
        }
    }
    let median = |name: &str, of: usize| {
        let mut values: Vec<f64> = figures[name].iter().map(|figures| figures[of]).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    for name in names {
        let [seconds, cpu, memory] = [0, 1, 2].map(|of| median(name, of));
        println!(
            "{name}: {count} traced events both ways in {seconds:.2} s, both workers {cpu:.2} CPU s and {memory:.0} MB"
        );
    }
    // Coarse, as machines differ and others use them: a wait for every batch would cost many times as much.
    let slowest = names.map(|name| median(name, 0)).into_iter().fold(0.0, f64::max);
    assert!(slowest < 5.0 + median("none", 0) * 3.0, "{figures:?}");
}

/// A function waits for its telemetry, and so a receiver that hangs costs it something: once its bound, and then nothing
/// for half a minute.
#[test]
fn a_receiver_that_is_gone_or_hangs_costs_a_function_no_event() {
    for (name, listener) in [("none", Listener::None), ("refused", Listener::refused()), ("hangs", Listener::hangs())] {
        let clouds = Clouds::start(&["--without-workers"]);
        let mut set = vec!["--set".to_owned(), "BRIDGE_WORKER_TELEMETRY_FLUSH_MS=1000".to_owned()];
        set.extend(
            listener
                .address()
                .into_iter()
                .flat_map(|address| ["--set".to_owned(), format!("OTEL_EXPORTER_OTLP_ENDPOINT={address}")]),
        );
        let set: Vec<&str> = set.iter().map(String::as_str).collect();
        let lambda = Host::start(&clouds, "lambda_host.py", "lambda", &set);
        let function = Host::start(&clouds, "function_host.py", "function", &set);
        let drained = drain(&clouds, name, EVENTS);
        assert_nothing_set_aside(&clouds);
        let (lambda, function) = (lambda.end(), function.end());
        println!("{name}: {drained:.2?} for {EVENTS} events both ways; Lambda {lambda}; Functions {function}");
        for told in [&lambda, &function] {
            for never in ["failures", "restarts", "kept", "abandoned"] {
                assert_eq!(told[never].as_u64().unwrap_or(0), 0, "{name}: {told}");
            }
        }
    }
}
