//! Letters that a store or a queue of the real protocols makes: of an item that is not the bridge's, and of a message that no letter holds.

use crate::program::{Clouds, bridge, must};

const SITES: [&str; 2] = ["aws:us-east-1", "azure:westeurope"];

/// The item stays as it is, the letter names the key and owes the event to that site alone, and the other site has the event.
#[test]
fn an_event_at_an_item_that_is_not_the_bridges_is_a_letter() {
    let clouds = Clouds::start(&["--without-workers"]);
    let _workers = SITES.map(|site| clouds.worker(site));
    clouds.script("foreign_item.py", &[]);
}

/// Service Bus keeps it among its own dead letters, with its reason; SQS keeps it in its queue, and an excerpt tells of it.
#[test]
fn a_message_that_no_letter_holds_is_told_of_as_each_cloud_can() {
    let clouds = Clouds::start(&["--without-workers"]);
    let _workers = SITES.map(|site| clouds.worker(site));
    clouds.script("no_letter_fits.py", &[]);
    let route = ["replay", "--from", "azure:westeurope/dlq", "--to", "owed", "--dry-run", "--json", "--config"];
    let plan = must(bridge().args(route).arg(clouds.config()));
    let told: serde_json::Value = serde_json::from_slice(&plan.stdout).unwrap();
    assert_eq!(told["plan"]["predicted"]["broker:not_json"]["invalid"], 1, "{told}");
}
