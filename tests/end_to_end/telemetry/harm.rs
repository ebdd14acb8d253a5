//! What a receiver of telemetry can do to events: nothing. Measured with no receiver, with one that nobody listens as,
//! and with one that takes every connection and never answers.

use std::{
    io::Write,
    net::{SocketAddr, TcpListener},
    time::{Duration, Instant},
};

use crate::{
    functions::Host,
    program::{Clouds, bridge, must},
};

use super::{PATIENCE, event, receiver::Receiver, wait};

/// Half of them from each cloud, and each of them traced.
const EVENTS: usize = 400;

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
fn drain(clouds: &Clouds, name: &str) -> Duration {
    let file = clouds.file(&format!("{name}.jsonl"));
    let mut out = std::fs::File::create(&file).unwrap();
    for number in 0..EVENTS {
        let site = if number % 2 == 0 { "aws:us-east-1" } else { "azure:westeurope" };
        let traceparent = format!("00-{:032x}-00f067aa0ba902b7-01", number + 1);
        writeln!(out, "{}", event(site, &format!("{name}-{number}"), Some(&traceparent))).unwrap();
    }
    let start = Instant::now();
    must(bridge().args(["publish", "--config"]).arg(clouds.config()).arg(&file));
    // The last of each way has come, and so, as queues are drained in any order, ask for all of the last ones.
    for number in EVENTS - 20..EVENTS {
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

#[test]
fn a_receiver_that_is_gone_or_hangs_costs_a_container_no_event() {
    let mut took = Vec::new();
    for (name, listener) in [
        ("none", Listener::None),
        ("healthy", Listener::Healthy(Receiver::start())),
        ("refused", Listener::refused()),
        ("hangs", Listener::hangs()),
    ] {
        let address = listener.address();
        let mut variables = vec![("OTEL_METRIC_EXPORT_INTERVAL", "200")];
        variables.extend(address.as_deref().map(|address| ("OTEL_EXPORTER_OTLP_ENDPOINT", address)));
        let mut clouds = Clouds::start_with(&[], &variables);
        let drained = drain(&clouds, name);
        assert_nothing_set_aside(&clouds);
        if let Listener::Healthy(receiver) = &listener {
            wait("all spans", || (receiver.span_count() >= EVENTS * 5).then_some(()));
        }
        let memory = clouds.program.peak_memory_mb();
        let stopping = Instant::now();
        clouds.program.signal("INT");
        assert!(clouds.program.end(PATIENCE).success());
        println!(
            "{name}: {drained:.2?} for {EVENTS} events both ways, {memory:.0} MB, ended within {:.2?}",
            stopping.elapsed()
        );
        took.push(drained);
    }
    // Coarse, as machines differ and others use them: a wait for every batch would cost many times as much.
    let slowest = took.iter().max().unwrap().as_secs_f64();
    assert!(slowest < 5.0 + took[0].as_secs_f64() * 3.0, "{took:?}");
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
        let drained = drain(&clouds, name);
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
