//! What else a replay must keep: windows of duplicate detection, the broker's own dead letters, filters, files, edits, and
//! words for what it cannot do.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use bridge_adapters::azure::service_bus::{ServiceBusOptions, ServiceBusQueue, Timeouts};
use bridge_core::port::Queue;
use bridge_tests::cloud::{runtime, start};
use localcloud::{LocalCloud, service_bus::QueueSettings};

use super::sites::{HERE, Site, THERE, body, fill, letter, look, outcome, replay};
use crate::program::{Clouds, bridge, day};

/// A cloud of the test's own whose queue on Azure has these settings, and a configuration for it.
fn cloud(settings: &QueueSettings) -> (LocalCloud, String, Arc<dyn Queue>) {
    let cloud = runtime().block_on(start());
    cloud.azure()[0].service_bus.create_queue("special", settings.clone());
    let (aws, azure) = (&cloud.aws()[0].site, &cloud.azure()[0].site);
    let config = format!(
        r#"
        [sites."aws:us-east-1"]
        queue_url = "{}"
        dead_letter_queue_url = "{}"
        table = "{}"
        sqs_endpoint = "{}"
        dynamodb_endpoint = "{}"
        access_key_id = "{}"
        secret_access_key = "{}"
        [sites."azure:westeurope"]
        service_bus_connection_string = "{}"
        service_bus_http_endpoint = "{}"
        queue = "special"
        dead_letter_queue = "{}"
        cosmos_endpoint = "{}"
        cosmos_key = "{}"
        database = "{}"
        container = "{}"
        "#,
        aws.queue_url,
        aws.dead_letter_queue_url,
        aws.table,
        aws.sqs_endpoint,
        aws.dynamodb_endpoint,
        aws.access_key_id,
        aws.secret_access_key,
        azure.service_bus_connection_string,
        azure.service_bus_http_endpoint,
        azure.dead_letter_queue,
        azure.cosmos_endpoint,
        azure.cosmos_key,
        azure.database,
        azure.container,
    );
    let queue = Arc::new(ServiceBusQueue::new(ServiceBusOptions {
        label: "special".to_owned(),
        connection: azure.service_bus_connection_string.parse().unwrap(),
        http_endpoint: Some(azure.service_bus_http_endpoint.parse().unwrap()),
        queue: "special".to_owned(),
        lease: settings.lock_duration,
        message_bytes_max: 256 * 1024,
        timeouts: Timeouts::default(),
    }));
    (cloud, config, queue)
}

/// A queue that remembers names for ten minutes swallows neither the event's first sending nor any replay of it.
#[test]
fn a_replay_within_a_window_of_duplicate_detection_arrives() {
    let window = Some(Duration::from_mins(10));
    let (_cloud, config, queue) = cloud(&QueueSettings { duplicate_detection: window, ..QueueSettings::default() });
    let event = body(1, THERE, "order-1", 1);
    fill(&*queue, &[bridge_tests::message(event.as_str())]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("events.jsonl");
    std::fs::write(&file, &event).unwrap();
    for sent in 2..=3 {
        let mut command = bridge();
        command.args(["replay", "--to", "azure:westeurope/queue", "--yes", "--config", &config, "--from"]).arg(&file);
        let (code, said) = outcome(&mut command);
        assert_eq!(code, Some(0), "{said:#}");
        assert_eq!(look(&*queue).len(), sent, "each sending has a name of its own");
    }
}

/// What the broker itself has set aside is part of the dead letters, and is brought back like them.
#[test]
fn the_brokers_own_dead_letters_are_seen_and_brought() {
    let (lock_duration, max_delivery_count) = (Duration::from_secs(1), 1);
    let (cloud, config, queue) =
        cloud(&QueueSettings { lock_duration, max_delivery_count, ..QueueSettings::default() });
    fill(&*queue, &[bridge_tests::message(body(1, THERE, "order-1", 1))]);
    runtime().block_on(async {
        assert_eq!(queue.receive(1, Duration::from_secs(5)).await.unwrap().len(), 1);
        tokio::time::sleep(Duration::from_millis(1_500)).await;
    });
    let run = |from: &str, to: &str| {
        outcome(bridge().args(["replay", "--from", from, "--to", to, "--yes", "--config", &config]))
    };
    let (code, said) = run("azure:westeurope/dlq", "azure:westeurope/queue");
    assert_eq!(code, Some(0), "{said:#}");
    assert_eq!(said["reasons"]["broker:MaxDeliveryCountExceeded"]["removed"], 1, "{said:#}");
    assert_eq!(look(&*queue).len(), 1, "it is back in the queue");

    // SQS: the queue that the redrive policy names.
    let aside = cloud.aws()[0].site.queue_url.replace("events", "events-dlq");
    let clients = runtime().block_on(bridge_tests::cloud::aws_clients(&cloud));
    let send = clients.sqs.send_message().queue_url(aside).message_body(body(2, HERE, "order-2", 1)).send();
    runtime().block_on(send).unwrap();
    let (code, said) = run("aws:us-east-1/dlq", "aws:us-east-1/queue");
    assert_eq!(code, Some(0), "{said:#}");
    assert_eq!(said["reasons"]["broker:too_many_receives"]["removed"], 1, "{said:#}");
}

/// Filters choose, the limit limits, what is not chosen stays; a program mends what is not valid.
#[test]
fn filters_choose_and_a_program_mends() {
    let clouds = Clouds::start(&["--without-workers"]);
    let (here, there) = (Site::of(&clouds, HERE), Site::of(&clouds, THERE));
    let bad = body(7, HERE, "order-7", 7).replace("\"number\":7", "\"number\":9007199254740993");
    let letters = [
        letter(body(1, HERE, "order-1", 1), "peer_unavailable", THERE),
        letter(body(2, HERE, "order-2", 2), "peer_unavailable", THERE),
        letter(body(3, HERE, "order-3", 3), "retries_exhausted", HERE),
        letter(body(4, THERE, "order-4", 4).replace("upsert", "delete"), "retries_exhausted", HERE),
        letter(bad, "not_portable", ""),
    ];
    fill(&*here.letters, &letters);
    let from = format!("{HERE}/dlq");
    let planned = |filters: &[&str]| {
        let (code, said) =
            outcome(&mut replay(&clouds, &[&["--from", &from, "--to", "owed", "--dry-run"], filters].concat()));
        assert_eq!(code, Some(0), "{said:#}");
        said["plan"]["messages"].as_u64().unwrap()
    };
    let [since, until] = [3, 4].map(|second| format!("{}T01:00:0{second}Z", day()));
    for (filters, count) in [
        (&["--reason", "peer_unavailable"][..], 2),
        (&["--reason", "peer_unavailable,not_portable"], 3),
        (&["--key", "order-2"], 1),
        (&["--key", "order-2", "--key", "order-3"], 2),
        (&["--event-id", "01936d6e-8a3c-7c61-9d0b-000000000003"], 1),
        (&["--source-region", THERE], 1),
        (&["--op", "delete"], 1),
        (&["--since", &since, "--until", &until], 1),
        (&["--limit", "2"], 2),
        (&["--reason", "panicked"], 0),
    ] {
        assert_eq!(planned(filters), count, "{filters:?}");
    }
    let owed = ["--from", &from, "--to", "owed", "--yes"];
    let (code, said) = outcome(&mut replay(&clouds, &[&owed[..], &["--op", "delete"]].concat()));
    assert_eq!((code, &said["all"]["applied"]), (Some(0), &1.into()), "{said:#}");
    assert!(here.get("order-4").unwrap().deleted());
    assert_eq!(look(&*here.letters).len(), 4, "the others stay");

    // A number that no store can hold is turned into a text; a program that fails leaves everything as it is.
    let edit = |program: &str| {
        let filters = ["--reason", "not_portable", "--edit-with", program];
        outcome(&mut replay(&clouds, &[&owed[..], &filters].concat()))
    };
    let (code, said) = edit("exit 3");
    assert_eq!((code, &said["all"]["left"]), (Some(2), &1.into()), "{said:#}");
    let (code, said) = edit(r#"sed 's/9007199254740993/"9007199254740993"/'"#);
    assert_eq!((code, &said["all"]["removed"]), (Some(0), &1.into()), "{said:#}");
    // An edited event goes to all sites, through the queue of its origin: no worker runs here, so it lies there.
    let edited = look(&*here.queue);
    assert!(edited.len() == 1 && String::from_utf8_lossy(&edited[0].body).contains(r#""number":"9007199254740993""#));
    assert!(here.get("order-7").is_none());
    assert!(look(&*there.queue).iter().all(|one| !String::from_utf8_lossy(&one.body).contains("order-7")));
}

/// Wrong flags are told before anything is done, with what to write instead.
#[test]
fn what_cannot_be_done_is_said_with_what_to_do() {
    let clouds = Clouds::start(&["--without-workers"]);
    let good = ["--from", "aws:us-east-1/dlq", "--to", "owed"];
    let cases: &[(&[&str], &str)] = &[
        (&good, "add --yes to run it, or --dry-run"),
        (&["--dry-run"], "--from and --to are needed"),
        (&["--plan", "typo.jsonl", "--yes"], "there is no plan at typo.jsonl; --from and --to are needed"),
        (&["--plan", "/", "--yes"], "--plan /: this is a folder"),
        (
            &["--from", "azure:westeurope", "--to", "owed", "--yes"],
            "write azure:westeurope/dlq or azure:westeurope/queue",
        ),
        (&["--from", "aws:us-east-1/dql", "--to", "owed", "--yes"], "write aws:us-east-1/dlq"),
        (&["--from", "aws:mars/dlq", "--to", "owed", "--yes"], "aws:mars is not a configured site"),
        (&["--from", "aws:us-east-1/dlq", "--to", "somewhere", "--yes"], "write owed, SITE/queue or SITE/store"),
        (&["--from", "aws:us-east-1/queue", "--to", "aws:us-east-1/queue", "--yes"], "is where the messages are"),
        (&["--from", "-", "--to", "owed", "--yes"], "save it to a file"),
        (&["--from", "aws:us-east-1/dlq", "--to", "owed", "--yes", "--rate", "0"], "--rate: must be over 0"),
        (
            &["--from", "aws:us-east-1/dlq", "--to", "owed", "--yes", "--reason", "what"],
            "is no reason; there are not_json",
        ),
        (&["--from", "aws:us-east-1/dlq", "--to", "owed", "--yes", "--since", "yesterday"], "--since"),
        (&["--from", "aws:us-east-1/dlq", "--to", "owed", "--yes", "--resume"], "--plan"),
    ];
    for (arguments, expected) in cases {
        let output = replay(&clouds, arguments).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(64), "{arguments:?}: {error}");
        assert!(error.contains(expected), "{arguments:?}: {error}");
    }

    // A plan is kept, shown, and not begun twice by accident; one that was changed is not run.
    let here = Site::of(&clouds, HERE);
    fill(&*here.letters, &[letter(body(1, HERE, "order-1", 1), "peer_unavailable", THERE)]);
    let plan = clouds.file("plan.jsonl");
    let file = plan.to_str().unwrap();
    let with = |more: &[&str]| replay(&clouds, &[&["--plan", file], more].concat()).output().unwrap();
    let made = with(&[&good[..], &["--dry-run"]].concat());
    let table = String::from_utf8_lossy(&made.stdout).into_owned();
    assert!(made.status.success() && table.contains("peer_unavailable"), "{table}");
    let lies = std::fs::read_to_string(&plan).unwrap();
    std::fs::write(&plan, lies.replace("order-1", "order-2")).unwrap();
    let changed = with(&["--yes"]);
    assert_eq!(changed.status.code(), Some(64));
    assert!(String::from_utf8_lossy(&changed.stderr).contains("changed after it was made"));
    std::fs::write(&plan, lies).unwrap();
    let ran = with(&["--yes"]);
    let table = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert_eq!(ran.status.code(), Some(0), "{table}");
    assert!(table.contains("removed") && table.contains("a second"), "{table}");
    let again = with(&["--yes"]);
    assert_eq!(again.status.code(), Some(64));
    assert!(String::from_utf8_lossy(&again.stderr).contains("add --resume"));
    // What came since is not in it, and must not be taken for brought.
    fill(&*here.letters, &[letter(body(2, HERE, "order-2", 1), "peer_unavailable", THERE)]);
    let done = with(&["--yes", "--resume"]);
    assert_eq!(done.status.code(), Some(64), "{done:?}");
    assert!(
        String::from_utf8_lossy(&done.stderr).contains("is done already; what came since is not in it"),
        "{done:?}"
    );
    assert!(done.stdout.is_empty() && look(&*here.letters).len() == 1, "{done:?}");
    let other = with(&["--to", "azure:westeurope/store", "--yes", "--resume"]);
    assert!(String::from_utf8_lossy(&other.stderr).contains("holds a plan already"), "{other:?}");
}

/// SQS shows nothing of what somebody has in hand: who plans a replay meanwhile hears of it, and does not take the queue for empty.
#[test]
fn messages_in_somebodys_hands_are_told_of() {
    let clouds = Clouds::start(&["--without-workers"]);
    for (from, hides) in [(HERE, true), (THERE, false)] {
        let site = Site::of(&clouds, from);
        let owed = |number: u64| letter(body(number, from, &format!("order-{number}"), 1), "peer_unavailable", from);
        fill(&*site.letters, &(0..5).map(owed).collect::<Vec<_>>());
        let held = runtime().block_on(site.letters.receive(3, Duration::from_secs(5))).unwrap();
        let source = format!("{from}/dlq");
        let plan = || {
            let output = replay(&clouds, &["--from", &source, "--to", "owed", "--dry-run", "--json"]).output().unwrap();
            let plan: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
            let hidden = plan["plan"]["hidden"].as_u64().unwrap();
            assert!(output.status.success(), "to look is all that was asked for");
            (plan["plan"]["messages"].as_u64().unwrap(), hidden, String::from_utf8(output.stderr).unwrap())
        };
        let (planned, hidden, said) = plan();
        assert_eq!(hidden, if hides { held.len() as u64 } else { 0 });
        assert_eq!(planned, if hides { 5 - held.len() as u64 } else { 5 }, "{said}");
        assert_eq!(said.contains(&format!("about {} more are in somebody's hands", held.len())), hides, "{said}");
        if hides {
            // All of the plan is brought, and not all that lies there.
            let (code, said) =
                outcome(&mut replay(&clouds, &["--from", &source, "--to", "owed", "--limit", "1", "--yes"]));
            assert_eq!(
                (code, &said["all"]["removed"], &said["plan"]["hidden"]),
                (Some(2), &1.into(), &hidden.into()),
                "{said:#}"
            );
        }
        let receipts: Vec<_> = held.into_iter().map(|delivery| delivery.receipt).collect();
        runtime().block_on(site.letters.release(&receipts));
        let (planned, hidden, said) = plan();
        assert!(planned == if hides { 4 } else { 5 } && hidden == 0 && !said.contains("hands"), "{planned} {said}");
    }
}

/// A queue that is written to all the time, as one of a site that has no compute: the replay ends all the same, and brings at least
/// what lay there before.
#[test]
fn a_replay_of_a_queue_that_never_empties_ends() {
    let clouds = Clouds::start(&["--without-workers"]);
    for (from, to) in [(HERE, THERE), (THERE, HERE)] {
        let (source, target) = (Site::of(&clouds, from), Site::of(&clouds, to));
        let event = |number: u64| bridge_tests::message(body(number, from, &format!("order-{number}"), number));
        fill(&*source.queue, &(0..50).map(event).collect::<Vec<_>>());
        let (done, sent) = (AtomicBool::new(false), AtomicU64::new(50));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                // At least one for each look; without an end it would be followed until then.
                while !done.load(Ordering::Relaxed) && sent.load(Ordering::Relaxed) < 200_000 {
                    fill(&*source.queue, &[event(sent.fetch_add(1, Ordering::Relaxed))]);
                }
            });
            let arguments = ["--from", &format!("{from}/queue"), "--to", &format!("{to}/store"), "--yes"];
            let (code, said) = outcome(&mut replay(&clouds, &arguments));
            done.store(true, Ordering::Relaxed);
            assert_eq!(code, Some(0), "{said:#}");
            let (planned, sent) = (said["plan"]["messages"].as_u64().unwrap(), sent.load(Ordering::Relaxed));
            assert!((50..sent - 100).contains(&planned), "it followed what came: {planned} of {sent}");
        });
        for number in 0..50 {
            assert!(target.get(&format!("order-{number}")).is_some(), "{number} was there before");
        }
    }
}
