//! The program `localcloud`: what it prints, and how it ends.

#![allow(clippy::unwrap_used, reason = "a step that fails must fail its test")]

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn localcloud() -> Command {
    Command::new(env!("CARGO_BIN_EXE_localcloud"))
}

#[test]
fn it_says_where_every_site_is_until_it_is_told_to_end() {
    let file = std::env::temp_dir().join(format!("localcloud-{}.json", std::process::id()));
    let mut command = localcloud();
    // Sites in AWS alone: Service Bus's port may be another program's.
    command
        .args(["--site", "aws:us-east-1", "--site", "aws:eu-west-1", "--queue", "orders", "--ready-file"])
        .arg(&file);
    let mut program = Running(command.stdout(Stdio::piped()).spawn().unwrap());
    let start = Instant::now();
    while !file.exists() {
        assert!(
            program.0.try_wait().unwrap().is_none() && start.elapsed() < Duration::from_secs(10),
            "it did not start"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
    let ready: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    assert!(ready["admin"].as_str().unwrap().starts_with("http://127.0.0.1:"), "{ready:#}");
    for site in ["aws:us-east-1", "aws:eu-west-1"] {
        assert!(ready["sites"][site]["queue_url"].as_str().unwrap().ends_with("/orders"), "{ready:#}");
        assert!(ready["sites"][site]["dead_letter_queue_url"].as_str().unwrap().ends_with("/orders-dead"), "{ready:#}");
    }
    assert!(Command::new("kill").arg(program.0.id().to_string()).status().unwrap().success());
    let printed: Value = serde_json::from_reader(program.0.stdout.take().unwrap()).unwrap();
    assert_eq!(printed, ready);
    assert!(program.0.wait().unwrap().success());
    assert!(!file.exists(), "nobody must find what is gone");
}

#[test]
fn what_it_cannot_do_it_refuses_with_what_to_do() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    for (arguments, words) in [
        (&["--site", "gcp:europe-west1"][..], "aws:REGION or azure:REGION"),
        (&["--site", "aws:us-east-1", "--sqs-port", &port], "choose another with --sqs-port"),
        (&["--site", "aws:us-east-1", "--cosmos-port", "1"], "--cosmos-port"),
        (&["--site", "aws:us-east-1", "--site", "aws:us-east-1"], "named twice"),
        (&["--site", "aws:us-east-1", "--fault", "aws@eu-west-1:*:dark"], "there are sqs@us-east-1"),
    ] {
        let output = localcloud().args(arguments).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && error.contains(words), "{arguments:?}: {error}");
    }
}
