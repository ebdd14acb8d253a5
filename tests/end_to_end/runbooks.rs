//! Every command of every runbook, run against the local clouds in the state that the page is for.
//!
//! What a page can rely on:
//! - Each fenced `sh` block is run by bash, block by block, with `bridge` on the `PATH`, `BRIDGE_CONFIG` set, and a folder of
//!   its own. It must exit with 0, or with the code that a comment in it names: `bridge doctor # exits with 2`.
//! - A fenced block without a language that comes next is what it prints, errors included. There `...` on a line of its own
//!   stands for any lines, `...` within a line for any text, and `<name>` for a text that varies.
//! - `console` blocks are not run: they need a cloud's own tools and a real account. The page says so.
//!
//! A new page gets a line in [`STATES`].

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use crate::{
    doctor::{admin, letters, send_to_sqs},
    own_site::make_global,
    program::{Clouds, bridge, day, must},
};

/// How to bring about what a page is for.
type State = fn() -> Clouds;

/// Every page, by its name, with its state.
const STATES: &[(&str, State)] = &[
    ("after-the-outage.md", after_an_outage_of_azure),
    ("aws-down.md", without_compute),
    ("azure-down.md", without_compute),
    ("clock-skew.md", with_an_event_from_the_future),
    ("dead-letters.md", with_dead_letters),
    ("does-not-start.md", with_a_global_table),
    ("halted.md", halted),
    ("lag.md", without_compute),
    ("store-away.md", with_a_store_that_is_away),
    ("stores-differ.md", with_lost_records),
    ("two-contents.md", with_an_event_rendered_twice),
];

/// The parts that every page has, in their order.
const PARTS: [&str; 6] = ["Symptom", "Impact", "Check", "Fix", "Undo", "Why"];

/// For what depends on another process: a block that does not yet print what the page says is run again until then.
const PATIENCE: Duration = Duration::from_secs(30);

/// Three letters: one that is no event at all, one with a number that no store keeps, and one that names another site.
fn with_dead_letters() -> Clouds {
    let clouds = Clouds::start(&[]);
    send_to_sqs(&clouds, "not an event");
    send_to_sqs(&clouds, &order("aws:us-east-1").replace("1999", "9007199254740993"));
    send_to_sqs(&clouds, &order("azure:westeurope").replace("order-42", "order-43").replace("9e11", "9e12"));
    wait_for_letters(&clouds, 3);
    clouds
}

/// Queues that can be read, with an order in each, and nobody who takes it.
fn without_compute() -> Clouds {
    let clouds = Clouds::start(&["--without-workers"]);
    for site in ["aws:us-east-1", "azure:westeurope"] {
        publish(&clouds, site);
    }
    clouds
}

/// An order that AWS has and owes to Azure, which is back.
fn after_an_outage_of_azure() -> Clouds {
    // The page's commands are for where workers do not bring it by themselves.
    let clouds = Clouds::start_with(&[], &[("BRIDGE_WORKER_AUTO_REPLAY", "off")]);
    admin(&clouds, "POST", "/faults", "azure:*:dark");
    publish(&clouds, "aws:us-east-1");
    wait_for_letters(&clouds, 1);
    admin(&clouds, "DELETE", "/faults", "");
    clouds
}

fn order(site: &str) -> String {
    let event = r#"{"event_id":"01936d6e-8a3c-7c61-9d0b-0f3a5a3c9e11","source_region":"SITE","op_type":"create","payload":{"id":"order-42","total":1999},"timestamp":"2026-11-21T01:02:03Z"}"#;
    event.replace("SITE", site).replace("2026-11-21", day())
}

fn publish(clouds: &Clouds, site: &str) {
    let file = clouds.file("order.json");
    std::fs::write(&file, order(site)).unwrap();
    must(bridge().arg("publish").arg(&file).arg("--config").arg(clouds.config()));
}

/// Waits until AWS has set so many messages aside.
fn wait_for_letters(clouds: &Clouds, count: u32) {
    let start = Instant::now();
    while letters(clouds) < count {
        assert!(start.elapsed() < PATIENCE, "{} letters instead of {count}", letters(clouds));
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// A letter from a producer whose clock is off by years.
fn with_an_event_from_the_future() -> Clouds {
    let clouds = Clouds::start(&[]);
    send_to_sqs(&clouds, &order("aws:us-east-1").replace(day(), "2099-01-01"));
    wait_for_letters(&clouds, 1);
    clouds
}

/// Three records that one site has lost.
fn with_lost_records() -> Clouds {
    let clouds = Clouds::start(&[]);
    clouds.script("drift.py", &["fill", "3"]);
    clouds
}

/// Workers that keep conflicts, and an event whose producer rendered it anew for its second try.
fn with_an_event_rendered_twice() -> Clouds {
    let clouds = Clouds::start_with(&[], &[("BRIDGE_WORKER_CONFLICTS", "keep")]);
    send_to_sqs(&clouds, &order("aws:us-east-1"));
    send_to_sqs(&clouds, &order("aws:us-east-1").replace("1999", "2000"));
    clouds
}

/// A worker whose role may not write to its table.
fn halted() -> Clouds {
    let clouds = Clouds::start(&[]);
    admin(&clouds, "POST", "/faults", "dynamodb:PutItem:denied");
    clouds
}

/// A table whose service refuses connections.
fn with_a_store_that_is_away() -> Clouds {
    let clouds = Clouds::start(&[]);
    admin(&clouds, "POST", "/faults", "dynamodb:*:dark");
    clouds
}

/// A table that another region can be written in too.
fn with_a_global_table() -> Clouds {
    let clouds = Clouds::start(&["--without-workers"]);
    make_global(&clouds, "eu-west-1");
    clouds
}

#[test]
fn after_the_outage() {
    run("after-the-outage.md");
}

#[test]
fn aws_down() {
    run("aws-down.md");
}

#[test]
fn azure_down() {
    run("azure-down.md");
}

#[test]
fn clock_skew() {
    run("clock-skew.md");
}

#[test]
fn lag() {
    run("lag.md");
}

#[test]
fn dead_letters() {
    let clouds = run("dead-letters.md");
    // The number that no double holds, to its last digit: the letter with the original is gone.
    let output = must(bridge().args(["get", "order-42", "--json", "--config"]).arg(clouds.config()));
    let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    for site in ["aws:us-east-1", "azure:westeurope"] {
        assert_eq!(said["sites"][site]["record"]["payload"]["total"], "9007199254740993", "{said:#}");
    }
}

#[test]
fn halted_worker() {
    run("halted.md");
}

#[test]
fn does_not_start() {
    run("does-not-start.md");
}

#[test]
fn store_away() {
    run("store-away.md");
}

#[test]
fn stores_differ() {
    run("stores-differ.md");
}

#[test]
fn two_contents() {
    run("two-contents.md");
}

#[test]
fn every_page_is_run_and_has_every_part() {
    let mut pages: Vec<String> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| Path::new(name).extension().is_some_and(|extension| extension == "md"))
        .collect();
    pages.sort();
    let mut known: Vec<&str> = STATES.iter().map(|(page, _)| *page).collect();
    known.sort_unstable();
    assert_eq!(pages, known, "a page without a state in STATES, or the other way round");
    let here =
        std::fs::read_to_string(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("end_to_end/runbooks.rs")).unwrap();
    for page in &pages {
        let text = read(page);
        let parts: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("## ")).collect();
        let first_words: Vec<&str> = parts.iter().map(|part| part.split([',', ':']).next().unwrap()).collect();
        assert_eq!(first_words, PARTS, "{page}");
        assert!(!steps(&text).is_empty(), "{page} has no command to check anything with");
        assert!(here.contains(&format!("run(\"{page}\");")), "{page} has no test that runs it");
    }
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../runbooks")
}

fn read(page: &str) -> String {
    std::fs::read_to_string(folder().join(page)).unwrap()
}

/// One block of commands.
#[derive(Debug, PartialEq, Eq)]
struct Step {
    commands: String,
    code: i32,
    /// What it prints, where the page says.
    prints: Option<String>,
}

/// The blocks of a page that are run, each with what is printed under it.
fn steps(page: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    // Whether the last block was of commands, so that the next one may be what they print.
    let mut open = false;
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        // In a list a block is indented.
        let indent = line.len() - line.trim_start().len();
        let Some(language) = line[indent..].strip_prefix("```") else { continue };
        let body = lines.by_ref().take_while(|line| !line.trim_start().starts_with("```"));
        let body: Vec<&str> = body.map(|line| line.get(indent..).unwrap_or_default()).collect();
        let body = body.join("\n");
        match language {
            "sh" => steps.push(Step { code: exit_code(&body), commands: body, prints: None }),
            "" if open => steps.last_mut().unwrap().prints = Some(body),
            _ => {}
        }
        open = language == "sh";
    }
    steps
}

/// The code that a comment in the block names.
fn exit_code(commands: &str) -> i32 {
    let named = commands.split("# exits with ").nth(1).and_then(|rest| rest.split_whitespace().next());
    named.map_or(0, |code| code.parse().unwrap())
}

/// Runs all commands of a page; the clouds as they are then.
fn run(page: &str) -> Clouds {
    let (_, state) = STATES.iter().find(|(name, _)| *name == page).expect("every page has a state");
    let clouds = state();
    for step in steps(&read(page)) {
        let start = Instant::now();
        loop {
            let (code, printed) = execute(&clouds, &step.commands);
            let as_written = step.prints.as_deref().is_none_or(|pattern| matches(pattern, &printed));
            if code == Some(step.code) && as_written {
                break;
            }
            assert!(
                start.elapsed() < PATIENCE,
                "{page}:\n{}\nexited with {code:?} instead of {}, and printed\n{printed}\ninstead of\n{}",
                step.commands,
                step.code,
                step.prints.as_deref().unwrap_or("whatever it likes")
            );
            std::thread::sleep(Duration::from_millis(200));
        }
    }
    clouds
}

fn execute(clouds: &Clouds, commands: &str) -> (Option<i32>, String) {
    let program = bridge();
    let place = Path::new(program.get_program()).parent().unwrap().display().to_string();
    let mut command = Command::new("bash");
    command.args(["-euo", "pipefail", "-c", &format!("exec 2>&1\n{commands}")]).current_dir(clouds.folder());
    command.env("BRIDGE_CONFIG", clouds.config()).env("RUST_LIB_BACKTRACE", "0");
    command.env("PATH", format!("{place}:{}", std::env::var("PATH").unwrap()));
    let output = command.output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Whether `text` is what `pattern` says, line by line.
fn matches(pattern: &str, text: &str) -> bool {
    let pattern: Vec<&str> = pattern.lines().map(str::trim_end).collect();
    let text: Vec<&str> = text.trim_end().lines().map(str::trim_end).collect();
    lines_match(&pattern, &text)
}

fn lines_match(pattern: &[&str], text: &[&str]) -> bool {
    match pattern.split_first() {
        None => text.is_empty(),
        Some((line, rest)) if line.trim() == "..." => {
            (0..=text.len()).any(|skipped| lines_match(rest, &text[skipped..]))
        }
        Some((line, rest)) => {
            text.split_first().is_some_and(|(first, others)| line_matches(line, first) && lines_match(rest, others))
        }
    }
}

/// `...` is any text, and `<name>` any that is not empty.
fn line_matches(pattern: &str, text: &str) -> bool {
    let hole = [("...", 0)].into_iter().filter_map(|(word, least)| Some((pattern.find(word)?, word.len(), least)));
    let named = pattern.find('<').and_then(|at| Some((at, pattern[at..].find('>')? + 1, 1)));
    let Some((at, length, least)) = hole.chain(named).min() else { return pattern == text };
    let (before, after) = (&pattern[..at], &pattern[at + length..]);
    let Some(rest) = text.strip_prefix(before) else { return false };
    rest.char_indices()
        .map(|(at, _)| at)
        .chain([rest.len()])
        .filter(|taken| *taken >= least)
        .any(|taken| line_matches(after, &rest[taken..]))
}

#[test]
fn blocks_are_taken_with_what_they_print() {
    let page = "# A\n```sh\nbridge a\n```\nwords\n```\nprinted\n```\n```console\naws x\n```\n```\nnot ours\n```\n1. x\n   ```sh\n   bridge b # exits with 2\n   ```\n";
    let expected = [
        Step { commands: "bridge a".to_owned(), code: 0, prints: Some("printed".to_owned()) },
        Step { commands: "bridge b # exits with 2".to_owned(), code: 2, prints: None },
    ];
    assert_eq!(steps(page), expected);
}

#[test]
fn holes_take_what_varies_and_nothing_else() {
    for (pattern, text, expected) in [
        ("a\n...\nz", "a\nb\nc\nz\n", true),
        ("a\n...\nz", "a\nz", true),
        ("a\n...\nz", "a\nb", false),
        ("...", "", true),
        ("at <time> by <site>", "at 12:00 by aws", true),
        ("at <time> by", "at  by", false),
        ("at <time>", "at ", false),
        ("one ... two", "one and two", true),
        ("one ... two", "one and three", false),
        ("a", "a\nb", false),
    ] {
        assert_eq!(matches(pattern, text), expected, "{pattern:?} {text:?}");
    }
}
