//! Scripts that know nothing of our code, with boto3, azure-servicebus and azure-cosmos, against `bridge local`.

use crate::program::{Clouds, loopback};

#[test]
fn hostile_traffic_in_both_clouds_ends_in_equal_stores() {
    let clouds = Clouds::start(&[]);
    clouds.script("acceptance.py", &["--events", "2000", "--keys", "200"]);
}

/// Two regions in each cloud: each event crosses each link once, counted by the queues' services, and all stores end equal.
#[test]
fn hostile_traffic_at_four_sites_ends_in_equal_stores() {
    let sites = ["aws:us-east-1", "aws:eu-west-1", "azure:westeurope", "azure:eastus"];
    // The second namespace: a neighbour of the first may be another test's.
    let second = loopback().replacen("127.1.", "127.6.", 1);
    let arguments: Vec<&str> = sites.iter().flat_map(|site| ["--site", site]).collect();
    let clouds = Clouds::start_with(
        &[&arguments[..], &["--service-bus-address", &second]].concat(),
        &[("BRIDGE_WORKER_HEARTBEAT_SECONDS", "0")],
    );
    clouds.script("acceptance.py", &["--events", "2000", "--keys", "200", "--once"]);
}

#[test]
fn good_examples_are_applied_everywhere() {
    Clouds::start(&[]).script("good_examples.py", &[]);
}

#[test]
fn bad_examples_are_set_aside_with_their_reason_and_their_bytes() {
    Clouds::start(&[]).script("bad_examples.py", &[]);
}
