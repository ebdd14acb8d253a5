//! What a replay says of what it could not do: letters that it could not remove, a question that nobody answers, a file.

use std::process::Output;

use super::sites::{HERE, Site, THERE, body, fill, letter, look, outcome, replay};
use crate::program::{Clouds, bridge, python};

fn owed(number: u64) -> bridge_core::port::Message {
    letter(body(number, HERE, &format!("order-{number}"), number), "peer_unavailable", THERE)
}

/// The source may be read and not emptied: all is brought, nothing is done, and the same plan removes it once it may.
#[test]
fn letters_that_cannot_be_removed_are_told_of_and_removed_later() {
    let clouds = Clouds::start(&["--without-workers"]);
    let (here, there) = (Site::of(&clouds, HERE), Site::of(&clouds, THERE));
    fill(&*here.letters, &(0..5).map(owed).collect::<Vec<_>>());
    clouds.fault("sqs:DeleteMessageBatch:denied");
    let from = format!("{HERE}/dlq");
    let plan = clouds.file("plan.jsonl");
    let route = ["--from", &from, "--to", "owed", "--yes", "--plan", plan.to_str().unwrap(), "--rate", "50", "--json"];
    let mut first = replay(&clouds, &route);
    let output = first.env("TMPDIR", clouds.folder()).output().unwrap();
    let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said:#}");
    let all = |name: &str| said["all"][name].as_u64().unwrap();
    assert_eq!(["sent", "unremoved", "removed", "left"].map(all), [5, 5, 0, 0], "{said:#}");
    assert!(said["failures"][&from].as_str().unwrap().contains("access denied"), "{said:#}");
    let plan = said["plan"]["file"].as_str().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    let resume = format!("--plan {plan} --resume --yes --rate 50 --config {}", clouds.config().display());
    assert!(told.contains(&resume), "{resume}: {told}");

    // In words, with the command that goes on.
    let resumed = |more: &[&str]| replay(&clouds, &[&["--plan", plan, "--resume", "--yes"], more].concat());
    let table = resumed(&[]).output().unwrap();
    let text = String::from_utf8_lossy(&table.stdout).into_owned();
    assert_eq!(table.status.code(), Some(2), "{text}");
    assert!(text.contains("unremoved") && text.contains("5 are done with, and still in the source"), "{text}");
    assert!(text.contains("0 messages brought in") && !text.contains("untried"), "{text}");

    clouds.clear_faults();
    let (code, said) = outcome(&mut resumed(&[]));
    assert_eq!((code, &said["all"]["removed"], &said["all"]["unremoved"]), (Some(0), &5.into(), &0.into()), "{said:#}");
    assert_eq!((look(&*here.letters).len(), look(&*there.queue).len()), (0, 5), "sent once");
}

/// Ctrl-C at the question ends it at once, changes nothing, and leaves no plan behind.
#[test]
fn a_question_may_be_answered_by_ctrl_c() {
    let clouds = Clouds::start(&["--without-workers"]);
    let here = Site::of(&clouds, HERE);
    fill(&*here.letters, &[owed(1)]);
    let temporary = clouds.file("temporary");
    std::fs::create_dir(&temporary).unwrap();
    let mut command = python("terminal.py");
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("BRIDGE_")) {
        command.env_remove(name);
    }
    command.args(["Run it? [y/N]", "^C", "--"]).arg(bridge().get_program());
    command.args(["replay", "--from", "aws:us-east-1/dlq", "--to", "owed", "--config"]).arg(clouds.config());
    let output = command.env("TMPDIR", &temporary).output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{output:?}");
    assert_eq!(look(&*here.letters).len(), 1, "nothing was changed");
    assert_eq!(std::fs::read_dir(&temporary).unwrap().count(), 0, "nobody named the plan, so it goes");
}

/// Nothing is removed from a file, and nobody else takes its lines.
#[test]
fn a_file_is_told_of_as_a_file() {
    let clouds = Clouds::start(&["--without-workers"]);
    let (file, plan) = (clouds.file("events.jsonl"), clouds.file("plan.jsonl"));
    let event = |number: u64| body(number, HERE, &format!("order-{number}"), 1);
    let text = |output: Output| String::from_utf8(output.stdout).unwrap();
    let route = ["--from", file.to_str().unwrap(), "--to", "owed"];
    std::fs::write(&file, format!("{}\n{}\n", event(1), event(2))).unwrap();
    let (code, said) = outcome(&mut replay(&clouds, &[&route[..], &["--yes"]].concat()));
    let all = |name: &str| said["all"][name].as_u64().unwrap();
    assert_eq!((code, ["sent", "removed", "kept"].map(all)), (Some(0), [2, 0, 2]), "{said:#}");
    let told = text(replay(&clouds, &[&route[..], &["--yes"]].concat()).output().unwrap());
    assert!(told.contains("2 are confirmed by the target; the file stays as it is"), "{told}");

    // It is changed behind the plan.
    let planned = ["--plan", plan.to_str().unwrap()];
    assert!(replay(&clouds, &[&route[..], &planned, &["--dry-run"]].concat()).status().unwrap().success());
    std::fs::write(&file, format!("{}\n{}\n", event(1), event(3))).unwrap();
    let output = replay(&clouds, &[&planned[..], &["--yes"]].concat()).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let told = text(output);
    assert!(told.contains("1 did not come: their lines were changed since the plan was made"), "{told}");
}
