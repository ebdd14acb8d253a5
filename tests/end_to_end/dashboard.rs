//! The dashboard: in a real browser, and how it starts and refuses to. `tests/dashboard` is what the browser does.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use crate::{
    doctor::send_to_sqs,
    program::{Clouds, Running, bridge, day, must},
};

const HERE: &str = "aws:us-east-1";
const THERE: &str = "azure:westeurope";

/// Heartbeats often enough to see rates and silence soon, and conflicts that are kept.
const WORKERS: [(&str, &str); 2] = [("BRIDGE_WORKER_HEARTBEAT_SECONDS", "5"), ("BRIDGE_WORKER_CONFLICTS", "keep")];

fn order(site: &str, minute: u32, total: &str) -> String {
    let id = uuid::Uuid::new_v4();
    format!(
        r#"{{"event_id":"{id}","source_region":"{site}","op_type":"upsert","payload":{{"id":"order-42","total":{total}}},"timestamp":"{day}T01:{minute:02}:00Z"}}"#,
        day = day()
    )
}

fn publish(clouds: &Clouds, event: &str) {
    let file = clouds.file("order.json");
    std::fs::write(&file, event).unwrap();
    must(bridge().arg("publish").arg(&file).arg("--config").arg(clouds.config()));
}

/// Waits until every site has the same record of the order.
fn wait_until_equal(clouds: &Clouds) {
    for _ in 0..100 {
        let get = bridge().args(["get", "order-42", "--json", "--config"]).arg(clouds.config()).output().unwrap();
        if get.status.success() && String::from_utf8_lossy(&get.stdout).contains("\"version\"") {
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("the sites did not agree within 10 s");
}

/// The browser's script, with what it needs below `BRIDGE_BROWSER`.
fn browser(arguments: &[&Path]) -> Command {
    let modules = std::env::var_os("BRIDGE_BROWSER")
        .expect("BRIDGE_BROWSER names a folder with Playwright: run the tests through ./just test");
    let mut command = Command::new("node");
    command.arg("--no-warnings").env("BRIDGE_BROWSER", modules);
    command.arg(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("dashboard/checks.mjs")).args(arguments);
    command
}

/// A letter of each of two reasons, and a write of Azure that loses to a later one of AWS: then the browser looks.
#[test]
fn the_page_tells_in_a_real_browser_what_is_so() {
    let clouds = Clouds::start(&["--without-workers"]);
    let _workers: [Running; 2] = [HERE, THERE].map(|site| clouds.worker_with(site, &WORKERS));
    send_to_sqs(&clouds, "not an event");
    send_to_sqs(&clouds, &order(HERE, 1, "9007199254740993"));
    publish(&clouds, &order(HERE, 5, "1999"));
    wait_until_equal(&clouds);
    publish(&clouds, &order(THERE, 4, "5"));
    let screenshots = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/dashboard");
    let program = PathBuf::from(bridge().get_program());
    let output = must(&mut browser(&[&clouds.ready_file(), &program, &screenshots]));
    let checks = String::from_utf8_lossy(&output.stdout);
    println!("{checks}");
    assert!(checks.lines().filter(|line| line.starts_with("ok ")).count() >= 16, "{checks}");
}

#[test]
fn beyond_loopback_it_refuses_to_start_without_a_token() {
    let clouds = Clouds::start(&["--without-workers"]);
    let start = |token: Option<&str>| {
        let mut command = bridge();
        command.args(["dashboard", "--listen", "0.0.0.0:0", "--config"]).arg(clouds.config());
        command.envs(token.map(|token| ("BRIDGE_DASHBOARD_TOKEN", token)));
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    for (token, expected) in [(None, "set BRIDGE_DASHBOARD_TOKEN to 32 characters"), (Some("short"), "openssl rand")] {
        let (code, error) = start(token);
        assert_eq!(code, Some(64), "{error}");
        assert!(error.contains(expected), "{error}");
    }
}
