//! Single dead letters: which a filter may mean, what is shown of them, and how one is dropped.

use std::process::Output;

use super::sites::{HERE, Site, THERE, body, fill, letter, look, outcome, replay};
use crate::program::{Clouds, bridge};

const FROM: [&str; 2] = ["--from", "aws:us-east-1/dlq"];

fn clouds() -> (Clouds, Site) {
    let clouds = Clouds::start(&["--without-workers"]);
    let here = Site::of(&clouds, HERE);
    (clouds, here)
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// An event with a number that no store keeps.
fn not_portable(number: u64, key: &str) -> String {
    body(number, HERE, key, 1).replace(&format!("\"number\":{number}"), "\"number\":9007199254740993")
}

/// Nobody knows whether a filter means a letter that cannot be read: it is counted, named with what to do, and not all is done.
#[test]
fn a_letter_that_a_filter_cannot_judge_is_told() {
    let (clouds, here) = clouds();
    let letters = [
        letter(body(1, HERE, "order-1", 1), "peer_unavailable", THERE),
        letter("not an event", "not_json", ""),
        letter(not_portable(2, "order-1"), "not_portable", ""),
        letter(not_portable(3, "order-3"), "not_portable", ""),
    ];
    fill(&*here.letters, &letters);
    let with = |more: &[&str]| replay(&clouds, &[&FROM[..], &["--to", "owed"], more].concat());
    let (code, plan) = outcome(&mut with(&["--dry-run", "--key", "order-1"]));
    assert_eq!((code, &plan["plan"]["messages"], &plan["plan"]["unreadable"]["key"]), (Some(0), &2.into(), &1.into()));
    let shown = text(&with(&["--dry-run", "--key", "order-1"]).output().unwrap());
    assert!(shown.contains("1 message has no readable key: run without --key to see it"), "{shown}");
    let readable = "event 01936d6e-8a3c-7c61-9d0b-000000000002 of order-1 from aws:us-east-1";
    assert!(shown.contains(readable), "{shown}");
    let shown = text(&with(&["--dry-run", "--key", "order-9", "--op", "delete"]).output().unwrap());
    assert!(shown.contains("no readable key or op") && shown.contains("run without --key and --op"), "{shown}");
    // A filter by what can be known of every letter hides none.
    let (_, plan) = outcome(&mut with(&["--dry-run", "--reason", "peer_unavailable"]));
    assert_eq!(plan["plan"]["unreadable"], serde_json::json!({}));
    // The run says it too, and does not end as if all were done.
    let ran = with(&["--yes", "--key", "order-1", "--reason", "peer_unavailable"]).output().unwrap();
    assert_eq!(ran.status.code(), Some(0), "its reason shows that it is not meant: {}", text(&ran));
    let ran = with(&["--yes", "--event-id", "01936d6e-8a3c-7c61-9d0b-000000000001"]).output().unwrap();
    assert_eq!(ran.status.code(), Some(2), "{}", text(&ran));
    assert!(text(&ran).contains("1 message has no readable event-id"), "{}", text(&ran));
}

/// A filter means a letter as it lies, not as the edit makes it.
#[test]
fn a_filter_looks_at_a_letter_before_its_edit() {
    let (clouds, here) = clouds();
    fill(&*here.letters, &[letter(not_portable(1, "order-1"), "not_portable", "")]);
    let edit = r#"sed 's/9007199254740993/"x"/; s/order-1/order-2/'"#;
    let planned = |key: &str| {
        let arguments =
            [&FROM[..], &["--to", "owed", "--dry-run", "--list", "--edit-with", edit, "--key", key]].concat();
        outcome(&mut replay(&clouds, &arguments)).1
    };
    let plan = planned("order-1");
    assert_eq!((&plan["plan"]["messages"], &plan["messages"][0]["key"]), (&1.into(), &"order-2".into()), "{plan:#}");
    assert_eq!(planned("order-2")["plan"]["messages"], 0);
}

/// Every message is listed with what its worker wrote, also where the event is stored already.
#[test]
fn a_list_has_every_letter_with_its_detail() {
    let (clouds, here) = clouds();
    let there = Site::of(&clouds, THERE);
    there.put(&body(1, HERE, "order-1", 1));
    let mut stored = letter(body(1, HERE, "order-1", 1), "peer_rejected", THERE);
    stored.properties.insert("bridge_detail".to_owned(), "the queue was full".to_owned());
    let others = (2..22).map(|number| letter(not_portable(number, &format!("order-{number}")), "not_portable", ""));
    fill(&*here.letters, &others.chain([stored]).collect::<Vec<_>>());
    let shown = |more: &[&str]| {
        text(&replay(&clouds, &[&FROM[..], &["--to", "owed", "--dry-run"], more].concat()).output().unwrap())
    };
    let short = shown(&[]);
    assert!(short.contains("and 10 more; --list shows all") && !short.contains("the queue was full"), "{short}");
    let long = shown(&["--list"]);
    let (listed, last) = long.split_once("every message of the plan:\n").unwrap().1.split_once("\n\n").unwrap();
    assert!(last.ends_with("bridge replay --plan FILE --yes\n"), "what to run is the last line: {long}");
    assert_eq!(listed.lines().count(), 21, "{long}");
    let line = listed.lines().find(|line| line.contains("peer_rejected")).unwrap();
    assert!(line.contains("-> azure:westeurope/queue duplicate") && line.ends_with(": the queue was full"), "{line}");
}

/// What counts as still owed is explained where it is printed, and old events are named by their keys.
#[test]
fn a_plan_explains_its_words() {
    let (clouds, here) = clouds();
    let old = body(3, HERE, "order-old", 1).replace(crate::program::day(), "2019-05-01");
    let letters = [
        letter(body(1, HERE, "order-1", 1), "peer_unavailable", THERE),
        letter(body(2, HERE, "order-2", 1), "peer_unavailable", "gcp:x"),
        letter(old, "too_old", ""),
    ];
    fill(&*here.letters, &letters);
    clouds.fault("cosmos:*:error");
    let arguments = [&FROM[..], &["--to", "owed", "--dry-run", "--accept-old"]].concat();
    let shown = text(&replay(&clouds, &arguments).output().unwrap());
    for words in [
        "count as still_owed: the store behind azure:westeurope/queue does not say",
        "1 stay in the source, because they are still owed to gcp:x",
        "gcp:x is not configured: add it again, or give up what it is owed with --forget-site gcp:x",
        "bridge get KEY:\n  order-old\n",
    ] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
}

/// One letter is printed whole, saved, dropped by its id with a reason in the log, and brought from where it was saved.
#[test]
fn one_letter_is_shown_saved_and_dropped() {
    for name in [HERE, THERE] {
        let clouds = Clouds::start(&["--without-workers"]);
        let site = Site::of(&clouds, name);
        let event = body(2, name, "order-2", 1);
        let letters =
            [letter("not\u{9b}2J an event\n", "not_json", ""), letter(event.as_str(), "retries_exhausted", name)];
        fill(&*site.letters, &letters);
        let lies = look(&*site.letters);
        let id = |wanted: &str| {
            let wanted = lies.iter().find(|one| one.properties["bridge_reason"] == wanted);
            wanted.unwrap().message_id.clone()
        };
        let letter = |id: &str, more: &[&str]| {
            let mut command = bridge();
            command.args(["letter", name, id, "--config"]).arg(clouds.config()).args(more).output().unwrap()
        };
        let shown = letter(&id("not_json"), &[]);
        let printed = text(&shown);
        assert!(shown.status.success() && printed.contains("\nnot\\u{9B}2J an event\n"), "{printed}");
        assert!(printed.contains("  bridge_reason  not_json\n") && !printed.contains('\u{9b}'), "{printed}");
        let none = letter("no-such-id", &[]);
        assert!(none.status.code() == Some(1) && said(&none).contains("no dead letter of"), "{}", said(&none));

        let saved = letter(&id("retries_exhausted"), &["--json"]);
        let file = clouds.file("dropped.jsonl");
        std::fs::write(&file, &saved.stdout).unwrap();
        let from = format!("{name}/dlq");
        let dropping = |id: &str, more: &[&str]| {
            let mut command = replay(&clouds, &["--from", &from, "--to", "nowhere", "--message-id", id]);
            command.args(more).output().unwrap()
        };
        let because = ["--because", "a test of the shop"];
        let unasked = dropping(&id("retries_exhausted"), &because);
        assert!(unasked.status.code() == Some(64) && said(&unasked).contains("add --yes"), "{}", said(&unasked));
        let dry = dropping(&id("retries_exhausted"), &[&because[..], &["--dry-run"]].concat());
        assert!(text(&dry).contains("1 leave the source, and no site gets them"), "{}", text(&dry));
        assert_eq!(look(&*site.letters).len(), 2, "nothing was changed");
        let dropped = dropping(&id("retries_exhausted"), &[&because[..], &["--yes"]].concat());
        assert!(dropped.status.success(), "{}{}", text(&dropped), said(&dropped));
        let log = said(&dropped);
        for words in ["dropping a dead letter", "a test of the shop", "order-2", "retries_exhausted"] {
            assert!(log.contains(words), "{words}: {log}");
        }
        let left = look(&*site.letters);
        assert!(left.len() == 1 && left[0].properties["bridge_reason"] == "not_json", "{left:?}");
        assert!(site.get("order-2").is_none() && look(&*site.queue).is_empty());

        let (code, said) = outcome(&mut replay(&clouds, &["--from", file.to_str().unwrap(), "--to", "owed", "--yes"]));
        assert_eq!((code, &said["all"]["planned"]), (Some(0), &1.into()), "{said:#}");
        let back = look(&*site.queue);
        assert!(back.len() == 1 && back[0].body == event.as_bytes(), "{back:?}");
    }
}

/// What drops nothing in silence is refused with what to write.
#[test]
fn dropping_needs_a_name_and_a_reason() {
    let (clouds, here) = clouds();
    fill(&*here.letters, &[letter(body(1, HERE, "order-1", 1), "peer_unavailable", "gcp:x")]);
    let nowhere = [&FROM[..], &["--to", "nowhere", "--yes"]].concat();
    let cases: &[(&[&str], &str)] = &[
        (&["--because", "x"], "name each letter with --message-id"),
        (&["--message-id", "m"], "say why with --because"),
        (&["--message-id", "m", "--because", " "], "say why with --because"),
        (&["--message-id", "m", "--because", "x", "--accept-old"], "are for messages that are brought"),
    ];
    for (more, words) in cases {
        let output = replay(&clouds, &[&nowhere[..], more].concat()).output().unwrap();
        assert!(output.status.code() == Some(64) && said(&output).contains(words), "{more:?}: {}", said(&output));
    }
    let owed = [&FROM[..], &["--to", "owed", "--yes"]].concat();
    let cases: &[(&[&str], &str)] = &[
        (&["--because", "x"], "it goes with --to nowhere"),
        (&["--forget-site", THERE], "azure:westeurope is configured, so it can get what it is owed"),
        (&["--forget-site", "x"], "--forget-site"),
    ];
    for (more, words) in cases {
        let output = replay(&clouds, &[&owed[..], more].concat()).output().unwrap();
        assert!(output.status.code() == Some(64) && said(&output).contains(words), "{more:?}: {}", said(&output));
    }
    let queue = ["--from", "aws:us-east-1/queue", "--to", "nowhere", "--message-id", "m", "--because", "x", "--yes"];
    let output = replay(&clouds, &queue).output().unwrap();
    assert!(said(&output).contains("only dead letters are dropped"), "{}", said(&output));
    assert_eq!(look(&*here.letters).len(), 1);
    let (code, told) = outcome(&mut replay(&clouds, &[&owed[..], &["--forget-site", "gcp:x"]].concat()));
    assert_eq!((code, &told["all"]["removed"]), (Some(0), &1.into()), "{told:#}");
}

/// A plan that found nothing is no plan that is done: the same command plans once more.
#[test]
fn a_plan_without_a_message_gives_way_to_the_next() {
    let (clouds, here) = clouds();
    let there = Site::of(&clouds, THERE);
    let plan = clouds.file("plan.jsonl");
    let arguments = [&FROM[..], &["--to", "owed", "--yes", "--plan", plan.to_str().unwrap()]].concat();
    for more in [&[][..], &["--resume"], &[]] {
        let (code, told) = outcome(&mut replay(&clouds, &[&arguments[..], more].concat()));
        assert_eq!((code, &told["all"]["planned"]), (Some(0), &0.into()), "{told:#}");
    }
    let alone = replay(&clouds, &["--plan", plan.to_str().unwrap(), "--yes", "--resume"]).output().unwrap();
    assert!(alone.status.code() == Some(64) && said(&alone).contains("add --from and --to"), "{}", said(&alone));
    fill(&*here.letters, &[letter(body(1, HERE, "order-1", 1), "peer_unavailable", THERE)]);
    let (code, told) = outcome(&mut replay(&clouds, &arguments));
    assert_eq!((code, &told["all"]["removed"]), (Some(0), &1.into()), "{told:#}");
    assert_eq!(look(&*there.queue).len(), 1);
}
