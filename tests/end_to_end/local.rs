//! `bridge local` itself: where everything is, and how it ends.

use std::time::Duration;

use crate::program::{Clouds, bridge};

#[test]
fn the_ready_file_has_the_promised_form_and_goes_with_the_program() {
    let mut clouds = Clouds::start(&[]);
    let text = |pointer: &str| clouds.ready.pointer(pointer).and_then(|value| value.as_str()).unwrap_or_default();
    let aws = [
        "cloud",
        "region",
        "access_key_id",
        "secret_access_key",
        "sqs_endpoint",
        "queue_url",
        "dead_letter_queue_url",
        "dynamodb_endpoint",
        "table",
    ];
    let azure = [
        "cloud",
        "service_bus_connection_string",
        "queue",
        "dead_letter_queue",
        "cosmos_endpoint",
        "cosmos_key",
        "database",
        "container",
    ];
    for name in aws {
        assert_ne!(text(&format!("/sites/aws:us-east-1/{name}")), "", "{name}");
    }
    for name in azure {
        assert_ne!(text(&format!("/sites/azure:westeurope/{name}")), "", "{name}");
    }
    for name in ["config", "admin", "dashboard"] {
        assert_ne!(text(&format!("/{name}")), "", "{name}");
    }
    assert!(clouds.config().exists());
    clouds.program.signal("INT");
    assert!(clouds.program.end(Duration::from_secs(25)).success());
    assert!(!clouds.ready_file().exists(), "nobody must find what is gone");
    assert!(!clouds.config().exists());
}

#[test]
fn a_taken_port_is_named_with_what_to_do() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let output = bridge().args(["local", "--quiet", "--sqs-port", &port]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains(&port) && error.contains("--sqs-port"), "{error}");
}

#[test]
fn only_loopback_is_served() {
    let output = bridge().args(["local", "--quiet", "--service-bus-address", "0.0.0.0"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains("loopback"), "{error}");
}
