//! A saved plan and the configuration that it is run with.

use std::process::{Command, Output};

use bridge_adapters::clock::SystemClock;
use bridge_core::port::Clock;
use serde_json::Value;

use super::sites::{HERE, Site, THERE, body, fill, letter, look, outcome, replay};
use crate::program::{Clouds, bridge};

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Whom a message is owed to depends on the configuration, so a plan is run for its own or not at all.
#[test]
fn a_plan_is_run_for_the_configuration_that_it_was_made_for() {
    let clouds = Clouds::start(&["--without-workers"]);
    let (here, there) = (Site::of(&clouds, HERE), Site::of(&clouds, THERE));
    fill(&*here.letters, &[letter(body(1, HERE, "order-1", 1), "peer_unavailable", THERE)]);
    let plan = clouds.file("plan.jsonl");
    let file = plan.to_str().unwrap();
    let from = format!("{HERE}/dlq");
    let made = replay(&clouds, &["--from", &from, "--to", "owed", "--dry-run", "--plan", file]).output().unwrap();
    assert!(made.status.success(), "{}", said(&made));
    let text = std::fs::read_to_string(&plan).unwrap();
    assert!(
        text.contains("\"bridge_replay_plan\":2") && text.contains("\"made_for\":{\"key_pointer\":\"/id\""),
        "{text}"
    );
    assert!(!text.contains("SharedAccessKey"), "no secret stands in a plan");

    let config = std::fs::read_to_string(clouds.config()).unwrap();
    let azure = config.split_once(&format!("[sites.\"{THERE}\"]")).unwrap().1;
    let azure = azure.split_once("\n[").map_or(azure, |(section, _)| section);
    let third = azure.replace("bridge-events", "bridge-other").replace("records", "others");
    let with = |old: &str, new: &str| {
        let changed = config.replace(old, new);
        assert_ne!(changed, config, "{old}");
        changed
    };
    let cases = [
        (
            format!("{config}\n[sites.\"azure:northeurope\"]{third}\n"),
            "azure:northeurope is configured now, and was not",
        ),
        (with(THERE, "azure:northeurope"), "azure:westeurope is configured no more"),
        (with("[worker]\n", "[worker]\nkey_pointer = \"/number\"\n"), "key_pointer is /number now, and was /id"),
        (with("queue = \"bridge-events\"", "queue = \"bridge-other\""), "the queue of azure:westeurope is"),
        (with("records\"", "others\""), "the store of"),
    ];
    for (config, expected) in cases {
        for more in [&["--yes"][..], &["--dry-run"], &["--yes", "--resume"]] {
            let output = bridge().args(["replay", "--plan", file, "--config", &config]).args(more).output().unwrap();
            assert_eq!(output.status.code(), Some(64), "{more:?} {expected}: {}", said(&output));
            let told = said(&output);
            assert!(told.contains(expected) && told.contains("make a new plan"), "{expected}: {told}");
        }
    }
    for (flags, expected) in
        [(["--edit-with", "cat"], "with --edit-with nothing"), (["--accept-old", "--json"], "with no --accept-old")]
    {
        let output = replay(&clouds, &[&["--plan", file], &flags[..], &["--dry-run"]].concat()).output().unwrap();
        assert!(output.status.code() == Some(64) && said(&output).contains(expected), "{flags:?}: {}", said(&output));
    }
    // The queue in which SQS sets messages aside itself is part of the source.
    let policy = |policy: &str| {
        let clients = super::sites::aws_clients(&clouds, HERE);
        let url = clouds.ready["sites"][HERE]["queue_url"].as_str().unwrap().to_owned();
        let name = aws_sdk_sqs::types::QueueAttributeName::RedrivePolicy;
        let request = clients.sqs.set_queue_attributes().queue_url(url).attributes(name, policy);
        bridge_tests::cloud::runtime().block_on(request.send()).unwrap();
    };
    policy("");
    let output = replay(&clouds, &["--plan", file, "--yes"]).output().unwrap();
    assert_eq!(output.status.code(), Some(64), "{}", said(&output));
    assert!(
        said(&output).contains("its messages lay in sqs bridge-events-dead, sqs bridge-events-dlq"),
        "{}",
        said(&output)
    );
    policy(r#"{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:bridge-events-dlq","maxReceiveCount":"40"}"#);

    assert_eq!((look(&*here.letters).len(), look(&*there.queue).len()), (1, 0), "nothing was done");
    let (code, said) = outcome(&mut replay(&clouds, &["--plan", file, "--yes"]));
    assert_eq!((code, &said["all"]["removed"]), (Some(0), &1.into()), "{said:#}");
}

/// What is named as a file is read in bounded memory, or refused with what to do.
#[test]
fn what_is_no_file_is_refused() {
    let clouds = Clouds::start(&["--without-workers"]);
    let pipe = clouds.file("pipe");
    crate::program::must(std::process::Command::new("mkfifo").arg(&pipe));
    let pipe = pipe.to_str().unwrap();
    let folder = clouds.folder().to_str().unwrap().to_owned();
    let long = clouds.file("long.jsonl");
    std::fs::write(&long, "x".repeat(9 * 1024 * 1024) + "\n").unwrap();
    let long = long.to_str().unwrap();
    for (source, code, expected) in [
        ("/dev/zero", 64, "this is a pipe or a device"),
        (pipe, 64, "save it to a file"),
        (&folder, 64, "this is a folder"),
        ("/no/such/file", 64, "/no/such/file"),
        (long, 1, "line 1 has over 8388608 bytes"),
    ] {
        let output = replay(&clouds, &["--from", source, "--to", "owed", "--yes"]).output().unwrap();
        let told = said(&output);
        assert!(output.status.code() == Some(code) && told.contains(expected), "{source}: {:?} {told}", output.status);
    }
    for (plan, expected) in
        [("/dev/zero", "this is a pipe or a device"), (pipe, "this is a pipe"), (long, "line 1 has over")]
    {
        let output = replay(&clouds, &["--plan", plan, "--yes", "--resume"]).output().unwrap();
        assert!(output.status.code() == Some(64) && said(&output).contains(expected), "{plan}: {}", said(&output));
    }
    // A journal that is none.
    let plan = clouds.file("plan.jsonl");
    let file = plan.to_str().unwrap();
    let from = format!("{HERE}/dlq");
    let made = replay(&clouds, &["--from", &from, "--to", "owed", "--dry-run", "--plan", file]).output().unwrap();
    assert!(made.status.success(), "{}", said(&made));
    std::os::unix::fs::symlink("/dev/zero", clouds.file("plan.jsonl.journal")).unwrap();
    let output = replay(&clouds, &["--plan", file, "--yes", "--resume"]).output().unwrap();
    assert!(
        output.status.code() == Some(64) && said(&output).contains("this is a pipe or a device"),
        "{}",
        said(&output)
    );
}

/// `publish` reads once, so it takes a pipe; what it cannot read ends it, and what stood before is sent and told.
#[test]
fn publish_sends_what_stands_before_a_line_without_an_end() {
    let clouds = Clouds::start(&["--without-workers"]);
    let there = Site::of(&clouds, THERE);
    let now = SystemClock.now().to_rfc3339();
    let event = |number: u64| {
        let event = serde_json::json!({
            "event_id": format!("01936d6e-8a3c-7c61-9d0b-{number:012}"), "source_region": THERE, "op_type": "upsert",
            "payload": { "id": format!("order-{number}") }, "timestamp": now,
        });
        format!("{event}\n")
    };
    let file = clouds.file("events.jsonl");
    let long = "x".repeat(9 * 1024 * 1024);
    std::fs::write(&file, [event(1), event(2), long, "\n".to_owned(), event(3)].concat()).unwrap();
    let output = bridge().args(["publish", "--config"]).arg(clouds.config()).arg(&file).output().unwrap();
    let told = said(&output);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("line 3 has over 8388608 bytes") && told.contains("nothing behind it was sent"), "{told}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "sent 2, refused 0, failed 1\n");
    assert_eq!(look(&*there.queue).len(), 2);
    for (file, expected) in
        [("/dev/zero", "line 1 has over 8388608 bytes"), ("/", "this is a folder"), ("/no", "/no: ")]
    {
        let output = bridge().args(["publish", file, "--config"]).arg(clouds.config()).output().unwrap();
        assert!(output.status.code() == Some(1) && said(&output).contains(expected), "{file}: {}", said(&output));
    }
}

/// A plan that nobody named is its owner's alone, in the folder for such, until a command removes it.
#[test]
fn plans_that_are_left_are_listed_and_removed() {
    let clouds = Clouds::start(&["--without-workers"]);
    let here = Site::of(&clouds, HERE);
    let owed = |number| letter(body(number, HERE, &format!("order-{number}"), number), "peer_unavailable", THERE);
    fill(&*here.letters, &(0..3).map(owed).collect::<Vec<_>>());
    clouds.fault("sqs:DeleteMessageBatch:denied");
    let state = clouds.file("state");
    let from = format!("{HERE}/dlq");
    let run = |mut command: Command| command.env("XDG_STATE_HOME", &state).output().unwrap();
    let left = run(replay(&clouds, &["--from", &from, "--to", "owed", "--limit", "3", "--yes"]));
    assert_eq!(left.status.code(), Some(2), "{}", said(&left));
    let plans = |flags: &[&str]| -> Value {
        let mut command = bridge();
        command.args(["plans", "--json"]).args(flags);
        let output = run(command);
        assert!(output.status.success(), "{}", said(&output));
        serde_json::from_slice::<Value>(&output.stdout).unwrap()["plans"].clone()
    };
    let listed = plans(&["--clean"]);
    let plan = &listed[0];
    assert_eq!(
        (listed.as_array().unwrap().len(), &plan["messages"], &plan["open"]),
        (1, &3.into(), &3.into()),
        "{listed:#}"
    );
    assert_eq!((&plan["from"], &plan["to"], &plan["removed"]), (&from.as_str().into(), &"owed".into(), &false.into()));
    let file = plan["file"].as_str().unwrap();
    let mode = |path: &std::path::Path| {
        std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(path).unwrap().permissions()) & 0o777
    };
    let file_path = std::path::Path::new(file);
    let journal = format!("{file}.journal");
    let modes = [file_path, std::path::Path::new(&journal), file_path.parent().unwrap()].map(mode);
    assert_eq!(modes, [0o600, 0o600, 0o700]);

    clouds.clear_faults();
    let ended = run(replay(&clouds, &["--plan", file, "--resume", "--yes"]));
    assert!(ended.status.success(), "{}", said(&ended));
    assert_eq!(plans(&["--clean"])[0]["removed"], true);
    assert_eq!(plans(&[]), Value::Array(Vec::new()));
    assert_eq!(std::fs::read_dir(file_path.parent().unwrap()).unwrap().count(), 0);
}

/// A plan may be a stranger's, and its program would run as whoever runs the plan.
#[test]
fn a_plans_program_is_run_only_for_who_names_it() {
    let clouds = Clouds::start(&["--without-workers"]);
    let here = Site::of(&clouds, HERE);
    let broken = body(1, HERE, "order-1", 1).replace("upsert", "upzert");
    fill(&*here.letters, &[letter(broken, "invalid_event", HERE)]);
    let (plan, mark) = (clouds.file("plan.jsonl"), clouds.file("mark"));
    let program = format!("touch {}; sed s/upzert/upsert/", mark.display());
    let file = plan.to_str().unwrap();
    let from = format!("{HERE}/dlq");
    let flags = ["--from", &from, "--to", "owed", "--edit-with", &program, "--dry-run", "--plan", file];
    let made = replay(&clouds, &flags).output().unwrap();
    assert!(made.status.success() && said(&made).contains(&format!("edits with: {program}")), "{}", said(&made));
    std::fs::remove_file(&mark).unwrap();
    let refused = replay(&clouds, &["--plan", file, "--yes"]).output().unwrap();
    assert_eq!(refused.status.code(), Some(64), "{}", said(&refused));
    assert!(said(&refused).contains("--edit-with 'touch "), "{}", said(&refused));
    assert!(!mark.exists(), "the program was run");
    let run = replay(&clouds, &["--plan", file, "--yes", "--edit-with", &program]).output().unwrap();
    assert!(run.status.success() && mark.exists(), "{}", said(&run));
}
