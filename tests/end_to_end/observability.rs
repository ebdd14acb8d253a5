//! `deploy/observability` against a real Prometheus that scrapes real workers: every expression of the dashboard and of the
//! rules finds what it asks for, and every alert is shown firing and not firing.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use bridge_core::metric;
use bridge_tests::cloud::runtime;
use serde_json::Value;

use crate::{
    doctor::send_to_sqs,
    program::{Clouds, Running, bridge, must},
    telemetry::event,
};

/// For a scrape each second, and rules each fifteen.
const PATIENCE: Duration = Duration::from_secs(90);

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../deploy/observability")
}

/// Prometheus' own programs.
fn prometheus(program: &str) -> Command {
    let folder = std::env::var_os("BRIDGE_PROMETHEUS")
        .expect("BRIDGE_PROMETHEUS names a folder with prometheus and promtool: run the tests through ./just test");
    Command::new(Path::new(&folder).join(program))
}

#[test]
fn every_alert_fires_and_does_not_fire() {
    let rules = folder().join("prometheus-rules.yaml");
    must(prometheus("promtool").args(["check", "rules"]).arg(&rules));
    must(prometheus("promtool").args(["test", "rules", "prometheus-rules.test.yaml"]).current_dir(folder()));
    let tests = std::fs::read_to_string(folder().join("prometheus-rules.test.yaml")).unwrap();
    for alert in alerts() {
        let cases: Vec<&str> = tests.split(&format!("alertname: {alert}\n")).skip(1).collect();
        let quiet = |case: &&str| case.trim_start().starts_with("exp_alerts: []");
        assert!(cases.iter().any(quiet), "{alert} is nowhere shown not to fire");
        assert!(cases.iter().any(|case| !quiet(case)), "{alert} is nowhere shown to fire");
    }
}

/// Each alert leads to a page that exists and says what to do.
#[test]
fn every_alert_names_its_runbook() {
    let rules = std::fs::read_to_string(folder().join("prometheus-rules.yaml")).unwrap();
    for part in rules.split("- alert: ").skip(1) {
        let alert = part.lines().next().unwrap();
        let field = |name: &str| part.lines().find_map(|line| line.trim().strip_prefix(name)).map(str::trim);
        let runbook = field("runbook:").unwrap_or_else(|| panic!("{alert} names no runbook"));
        assert!(folder().join("../..").join(runbook).exists(), "{alert}: {runbook}");
        assert!(field("summary:").is_some() && field("description:").is_some(), "{alert}");
    }
}

fn alerts() -> Vec<String> {
    let rules = std::fs::read_to_string(folder().join("prometheus-rules.yaml")).unwrap();
    rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).map(str::to_owned).collect()
}

fn dashboard() -> Value {
    serde_json::from_str(&std::fs::read_to_string(folder().join("grafana-dashboard.json")).unwrap()).unwrap()
}

/// Every expression of the dashboard, with what Grafana puts in the place of its variables.
fn dashboard_expressions() -> Vec<String> {
    let dashboard = dashboard();
    let panels = dashboard["panels"].as_array().unwrap().clone();
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().cloned().unwrap_or_default());
    let filled = |text: &str| text.replace("$site", ".*").replace("$__rate_interval", "1m");
    targets.map(|target| filled(target["expr"].as_str().unwrap())).collect()
}

/// What is compared or combined in an alert: each side must find something, although the alert as a whole must not.
fn alert_operands(expression: &str) -> Vec<String> {
    if let Some(inner) = expression.strip_prefix("absent(").and_then(|rest| rest.strip_suffix(')')) {
        return vec![inner.to_owned()];
    }
    if let Some((left, right)) = expression.split_once(" unless on (from, to) ") {
        return vec![left.to_owned(), right.to_owned()];
    }
    let compared = [" > ", " == "].into_iter().find_map(|sign| expression.rsplit_once(sign));
    vec![compared.unwrap_or_else(|| panic!("{expression} compares nothing")).0.to_owned()]
}

/// Prometheus itself, scraping each second what a worker tells.
struct Prometheus {
    address: String,
    _server: Running,
}

impl Prometheus {
    fn start(clouds: &Clouds) -> Self {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let target =
            clouds.ready["metrics"].as_str().unwrap().trim_start_matches("http://").trim_end_matches("/metrics");
        let rules = folder().join("prometheus-rules.yaml").display().to_string();
        let config = format!(
            "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}\nrule_files: [{rules:?}]\n\
             scrape_configs:\n- job_name: bridge\n  static_configs: [{{ targets: [{target:?}] }}]\n"
        );
        let file = clouds.file("prometheus.yaml");
        std::fs::write(&file, config).unwrap();
        must(prometheus("promtool").args(["check", "config"]).arg(&file));
        let mut command = prometheus("prometheus");
        command.arg(format!("--config.file={}", file.display()));
        command.arg(format!("--storage.tsdb.path={}", clouds.file("tsdb").display()));
        command.args([&format!("--web.listen-address={free}"), "--log.level=warn"]);
        let server = Running::start(command.stdout(Stdio::null()).stderr(Stdio::null()));
        Self { address: format!("http://{free}"), _server: server }
    }

    fn get(&self, path: &str, query: &[(&str, &str)]) -> Option<Value> {
        let mut url: url::Url = format!("{}{path}", self.address).parse().unwrap();
        url.query_pairs_mut().extend_pairs(query);
        runtime().block_on(async {
            let text = reqwest::Client::new().get(url).send().await.ok()?.text().await.ok()?;
            serde_json::from_str(&text).ok()
        })
    }

    /// How many series an expression finds whose value is a number.
    fn found(&self, expression: &str) -> usize {
        let Some(answer) = self.get("/api/v1/query", &[("query", expression)]) else { return 0 };
        assert_eq!(answer["status"], "success", "{expression}: {answer}");
        let series = answer["data"]["result"].as_array().unwrap();
        series.iter().filter(|series| series["value"][1] != "NaN").count()
    }

    /// Waits until the expression finds something.
    #[track_caller]
    fn must_find(&self, expression: &str, start: Instant) {
        while self.found(expression) == 0 {
            assert!(start.elapsed() < PATIENCE, "nothing is found by {expression}");
            std::thread::sleep(Duration::from_millis(250));
        }
    }
}

#[test]
fn every_expression_of_dashboard_and_rules_finds_what_it_asks_for() {
    let clouds = Clouds::start(&[]);
    let prometheus = Prometheus::start(&clouds);
    let start = Instant::now();
    // A growth is seen from the first scrape on.
    prometheus.must_find("bridge_dead_letters_total", start);
    // Traffic that shows on every panel; one of it is set aside.
    send_to_sqs(&clouds, "not an event");
    for _ in 0..5 {
        let events = ["aws:us-east-1", "azure:westeurope"].map(|site| event(site, "a", None)).join("\n");
        let file = clouds.file("events.jsonl");
        std::fs::write(&file, events + "\n").unwrap();
        must(bridge().args(["publish", "--config"]).arg(clouds.config()).arg(&file));
        std::thread::sleep(Duration::from_secs(1));
    }

    let rules = std::fs::read_to_string(folder().join("prometheus-rules.yaml")).unwrap();
    let of_rules: Vec<&str> = rules.lines().filter_map(|line| line.trim().strip_prefix("expr: ")).collect();
    let recorded = rules.lines().filter_map(|line| line.trim().strip_prefix("- record: "));
    let (records, alerts) = of_rules.split_at(recorded.clone().count());
    let mut wanted = dashboard_expressions();
    assert!(wanted.len() >= 15, "{wanted:#?}");
    wanted.extend(recorded.map(str::to_owned));
    wanted.extend(records.iter().map(|expression| (*expression).to_owned()));
    wanted.extend(alerts.iter().flat_map(|expression| alert_operands(expression)));
    for expression in &wanted {
        prometheus.must_find(expression, start);
    }

    // What every metric is called, it is called in the dashboard too; and none is asked for that there is not.
    let known: BTreeSet<String> = metric::ALL.iter().map(metric::Metric::prometheus).collect();
    let text = wanted.join("\n");
    let shown = |name: &String| text.contains(name.as_str()) || *name == metric::DROPPED.prometheus();
    assert!(known.iter().all(shown), "a metric that nothing shows: {known:?}");

    // Prometheus itself says that every rule can be evaluated.
    let answer = prometheus.get("/api/v1/rules", &[]).unwrap();
    let groups = answer["data"]["groups"].as_array().unwrap();
    for rule in groups.iter().flat_map(|group| group["rules"].as_array().unwrap()) {
        assert_eq!((&rule["health"], rule.get("lastError")), (&"ok".into(), None), "{rule}");
    }
    assert_eq!(prometheus.found(r#"up{job="bridge"} == 1"#), 1);
    // The one letter is seen as what it is.
    prometheus.must_find(r#"ALERTS{alertname="BridgeDeadLetters", reason="not_json", alertstate="firing"}"#, start);
}

/// A container serves its metrics where it is told to, and nobody else's.
#[test]
fn a_container_is_scraped_where_it_is_told_to_listen() {
    let clouds = Clouds::start(&["--without-workers"]);
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let listen = [("BRIDGE_WORKER_METRICS_LISTEN", port.as_str())];
    let _worker = clouds.worker_with("aws:us-east-1", &listen);
    let get = |path: &str| {
        let url = format!("http://127.0.0.1:{port}{path}");
        runtime().block_on(async { reqwest::get(url).await.ok()?.text().await.ok() })
    };
    let start = Instant::now();
    let text = loop {
        match get("/metrics") {
            Some(text) => break text,
            None => assert!(start.elapsed() < PATIENCE, "nothing is served"),
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    assert!(text.contains("bridge_halted{site=\"aws:us-east-1\"} 0\n"), "{text}");
    assert!(!text.contains("site=\"azure:westeurope\""), "{text}");
    assert_eq!(get("/health").as_deref(), Some("ok\n"));

    let mut second = bridge();
    second.args(["run", "--site", "azure:westeurope", "--config"]).arg(clouds.config()).envs(listen);
    let output = second.output().unwrap();
    assert_eq!(output.status.code(), Some(1), "a taken place is an error");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains("worker.metrics_listen") && error.contains(&port), "{error}");
}

/// The mend is seen by a look, and needs no message.
#[test]
fn a_halt_is_over_with_its_mend_and_is_logged_once() {
    let clouds = Clouds::start(&["--without-workers"]);
    clouds.fault("dynamodb:PutItem:denied");
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let log = clouds.file("worker.log");
    let mut command = bridge();
    command.args(["run", "--site", "aws:us-east-1", "--config"]).arg(clouds.config());
    command.envs([("BRIDGE_WORKER_METRICS_LISTEN", port.as_str()), ("BRIDGE_WORKER_HEARTBEAT_SECONDS", "0")]);
    let _worker = Running::start(command.stderr(std::fs::File::create(&log).unwrap()));
    let halted = |expected: u8| {
        let start = Instant::now();
        let line = format!("bridge_halted{{site=\"aws:us-east-1\"}} {expected}\n");
        let scrape = || {
            runtime().block_on(async {
                reqwest::get(format!("http://127.0.0.1:{port}/metrics")).await.ok()?.text().await.ok()
            })
        };
        while !scrape().is_some_and(|text| text.contains(&line)) {
            assert!(start.elapsed() < PATIENCE, "{line} never came: {}", std::fs::read_to_string(&log).unwrap());
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    halted(1);
    clouds.clear_faults();
    halted(0);
    let said = std::fs::read_to_string(&log).unwrap();
    assert_eq!(said.matches("halted: nothing is lost").count(), 1, "{said}");
    assert_eq!(said.matches("mended: taking messages again").count(), 1, "{said}");
}

/// The tables of the document are what code and rules say, row by row.
#[test]
fn the_tables_of_the_document_are_true() {
    let document = std::fs::read_to_string(folder().join("../../docs/observability.md")).unwrap();
    let mut wanted: Vec<String> = metric::ALL.iter().map(metric_row).collect();
    let rules = std::fs::read_to_string(folder().join("prometheus-rules.yaml")).unwrap();
    wanted.extend(rules.split("- alert: ").skip(1).map(alert_row));
    let rows: Vec<&str> =
        document.lines().filter(|line| line.starts_with("| `bridge.") || line.starts_with("| `Bridge")).collect();
    assert_eq!(rows, wanted);
}

fn metric_row(metric: &metric::Metric) -> String {
    let metric::Metric { name, kind, unit, labels, stability, help } = metric;
    let labels: Vec<String> = labels.iter().map(|label| format!("`{label}`")).collect();
    let (prometheus, kind, stability) = (metric.prometheus(), kind.as_str(), stability.as_str());
    format!("| `{name}` | `{prometheus}` | {kind} | `{unit}` | {} | {stability} | {help} |", labels.join(", "))
}

fn alert_row(part: &str) -> String {
    let field = |name: &str| part.lines().find_map(|line| line.trim().strip_prefix(name)).map(str::trim);
    let lasts = field("for:").map_or_else(String::new, |time| format!(", for {time}"));
    let (alert, when, runbook) = (part.lines().next().unwrap(), field("expr:").unwrap(), field("runbook:").unwrap());
    format!("| `{alert}` | `{when}`{lasts} | `{runbook}` |")
}

/// No collector can be run here. Its configuration has the form of one: what a pipeline names is defined, and what is
/// defined is used.
#[test]
fn the_collectors_configuration_fits_together() {
    let text = std::fs::read_to_string(folder().join("collector.yaml")).unwrap();
    let section = |name: &str| -> BTreeSet<String> {
        let start = text.find(&format!("\n{name}:\n")).unwrap() + name.len() + 3;
        let lines = text[start..].lines().take_while(|line| line.is_empty() || line.starts_with([' ', '#']));
        let top = lines.filter_map(|line| line.strip_prefix("  ").filter(|rest| !rest.starts_with([' ', '#'])));
        top.filter_map(|line| line.split_once(':')).map(|(name, _)| name.to_owned()).collect()
    };
    let used = |kind: &str| -> BTreeSet<String> {
        let lists = text.lines().filter_map(|line| line.trim().strip_prefix(&format!("{kind}: ["))?.strip_suffix(']'));
        lists.flat_map(|list| list.split(", ").map(str::to_owned)).collect()
    };
    for kind in ["receivers", "processors", "exporters", "extensions"] {
        assert_eq!(used(kind), section(kind), "{kind}");
        assert!(!used(kind).is_empty(), "{kind}");
    }
    for signal in ["metrics", "traces", "logs"] {
        assert!(text.contains(&format!("\n    {signal}:\n      receivers: [")), "{signal} has a pipeline");
    }
    assert!(!text.to_lowercase().contains("password"), "no secret stands in it");
    must(prometheus("promtool").args(["check", "config", "--syntax-only"]).arg(folder().join("prometheus.yaml")));
}

/// Grafana cannot be run here. What its importer needs is there, and no panel lies over another.
#[test]
fn the_dashboard_has_the_form_of_one() {
    let dashboard = dashboard();
    for member in ["title", "uid", "schemaVersion", "panels", "templating", "time", "refresh"] {
        assert!(!dashboard[member].is_null(), "{member}");
    }
    let (mut ids, mut taken) = (BTreeSet::new(), BTreeSet::new());
    for panel in dashboard["panels"].as_array().unwrap() {
        let title = &panel["title"];
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title} has an id of its own");
        let place = |name: &str| panel["gridPos"][name].as_u64().unwrap();
        assert!(place("x") + place("w") <= 24, "{title} is within Grafana's 24 columns");
        for x in place("x")..place("x") + place("w") {
            for y in place("y")..place("y") + place("h") {
                assert!(taken.insert((x, y)), "{title} lies over another panel");
            }
        }
        if panel["type"] == "row" {
            continue;
        }
        assert!(["stat", "timeseries"].contains(&panel["type"].as_str().unwrap()), "{title}");
        assert_eq!(panel["datasource"]["uid"], "${datasource}", "{title} takes the chosen Prometheus");
        assert!(panel["description"].as_str().is_some_and(|text| !text.is_empty()), "{title} says what it shows");
        assert!(panel["fieldConfig"]["defaults"]["unit"].is_string(), "{title} has a unit");
        for target in panel["targets"].as_array().unwrap() {
            assert!(target["refId"].is_string() && target["legendFormat"].is_string(), "{title}");
        }
        for runbook in
            panel["description"].as_str().unwrap().split([' ', ',']).filter(|word| word.starts_with("runbooks/"))
        {
            assert!(folder().join("../..").join(runbook).exists(), "{title}: {runbook}");
        }
    }
}
