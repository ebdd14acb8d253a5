//! How soon the stores are equal after an outage under steady traffic, by an oracle with the official clients. `BRIDGE_OUTAGE_SECONDS` makes it as
//! long as one likes: `just measure-outages`.

use crate::program::Clouds;

/// What a loaded machine may take; docs/hosts.md has what a quiet one takes.
const EQUAL_MAX: &str = "30";

#[allow(clippy::print_stdout, reason = "the figures, for whoever reads the test's output")]
fn outage(what: &str, rate: &str) {
    let seconds = std::env::var("BRIDGE_OUTAGE_SECONDS").unwrap_or_else(|_| "8".to_owned());
    let clouds = Clouds::start(&[]);
    let options = ["--outage", what, "--rate", rate, "--seconds", &seconds, "--equal-max", EQUAL_MAX];
    println!("{}", String::from_utf8_lossy(&clouds.script("container_outage.py", &options).stdout));
}

#[test]
fn containers_are_equal_soon_after_a_store_is_back_and_no_letter_is_left() {
    outage("store", "50");
}

#[test]
fn containers_are_equal_soon_after_a_peer_is_back_and_no_letter_is_left() {
    outage("peer", "200");
}
