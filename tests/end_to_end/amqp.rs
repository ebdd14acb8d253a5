//! What a sender may do to a worker with AMQP alone.

use crate::program::{Clouds, bridge};

/// Values nested a hundred thousand times overflow the stack of a decoder with recursion, and with it ends the process: at
/// each delivery again, and whoever looks through the queue. Good events lie among them, and must not wait.
#[test]
fn values_nested_without_end_are_set_aside_and_the_queue_goes_on() {
    let clouds = Clouds::start(&["--without-workers"]);
    clouds.script("deep_amqp.py", &["--only", "send"]);

    let route = ["--from", "azure:westeurope/queue", "--to", "azure:westeurope/store"];
    let plan =
        bridge().arg("replay").args(route).args(["--dry-run", "--json", "--config"]).arg(clouds.config()).output();
    let plan = plan.unwrap();
    let told: serde_json::Value =
        serde_json::from_slice(&plan.stdout).unwrap_or_else(|error| panic!("{error}: {plan:?}"));
    let predicted = &told["plan"]["predicted"]["waiting"];
    assert_eq!((&predicted["apply"], &predicted["invalid"]), (&6.into(), &5.into()), "{told}");

    let mut workers = ["aws:us-east-1", "azure:westeurope"].map(|site| clouds.worker(site));
    clouds.script("deep_amqp.py", &["--only", "check"]);
    for worker in &mut workers {
        assert!(worker.has_ended().is_none());
    }
}
