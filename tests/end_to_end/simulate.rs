//! `bridge simulate`, as its document shows it.

use std::{fs::File, time::Duration};

use crate::program::{Running, bridge};

fn simulate(arguments: &str) -> (Option<i32>, String) {
    let (code, printed, _) = simulate_and_say(arguments);
    (code, printed)
}

/// With what it says on standard error.
fn simulate_and_say(arguments: &str) -> (Option<i32>, String, String) {
    let output = bridge().arg("simulate").args(arguments.split_whitespace()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn a_good_seed_exits_with_0_and_its_story_is_the_same_each_time() {
    let (code, story) = simulate("--seed 42 --trace");
    assert_eq!(code, Some(0), "{story}");
    assert!(story.lines().count() > 50 && story.contains("1 seeds, 0 bad"), "{story}");
    assert_eq!(simulate("--seed 42 --trace").1, story);
    assert_ne!(simulate("--seed 43 --trace").1, story);
}

#[test]
fn a_bad_seed_exits_with_1_and_names_the_line_that_repeats_it() {
    let (code, story) = simulate("--seed 106 --seeds 5 --rule by-hand");
    assert_eq!(code, Some(1));
    let line = story.lines().find_map(|line| line.strip_prefix("repeat it with: bridge simulate ")).unwrap();
    let (code, repeated) = simulate(line);
    assert_eq!(code, Some(1));
    let bad = |story: &str| story.lines().find(|line| line.contains("***")).unwrap().to_owned();
    assert_eq!(bad(&repeated), bad(&story));
}

#[test]
fn for_machines_it_is_json() {
    let (code, text) = simulate("--seed 189 --rule by-hand --sites 3 --json");
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((code, report["seeds"].as_u64(), report["bad"].as_u64()), (Some(1), Some(1), Some(1)));
    let checkers = report["failed"][0]["violations"].as_array().unwrap().iter();
    let checkers: Vec<_> = checkers.map(|violation| violation["checker"].as_str().unwrap()).collect();
    assert_eq!(checkers, ["no resurrection", "converged"]);
    assert_eq!(report["failed"][0]["repeat"], "bridge simulate --seed 189 --sites 3 --rule by-hand --trace");
}

/// Workers that are simulated log nothing, as it would read like trouble with real ones: the story has what they report.
#[test]
fn the_story_tells_what_simulated_workers_report() {
    let said = |arguments: &str| simulate_and_say(arguments).2.lines().filter(|line| line.contains("WARN")).count();
    assert_eq!(said("--seed 1 --seeds 40 --log warn"), 0);
    let tells = |seed: u64| simulate(&format!("--seed {seed} --trace")).1.contains(" reports NotSetAside");
    assert!((1..=40).any(tells));
}

#[test]
fn a_story_is_told_for_machines_too_and_no_seeds_are_refused() {
    let (code, text) = simulate("--seed 42 --trace --json");
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    let story = simulate("--seed 42 --trace").1;
    let trace: Vec<_> = report["trace"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
    assert!(code == Some(0) && trace.len() > 50);
    assert!(story.contains(&trace.join("\n")), "the same story");
    assert_eq!(simulate("--seeds 0").0, Some(64));
}

#[test]
fn a_sweep_that_is_stopped_tells_what_was_run() {
    let folder = tempfile::tempdir().unwrap();
    let (out, err) = (folder.path().join("out"), folder.path().join("err"));
    let mut command = bridge();
    command.args(["simulate", "--seeds", "1000000000"]);
    command.stdout(File::create(&out).unwrap()).stderr(File::create(&err).unwrap());
    let mut program = Running::start(&mut command);
    std::thread::sleep(Duration::from_secs(2));
    program.signal("INT");
    assert_eq!(program.end(Duration::from_secs(30)).code(), Some(130));
    let (sum, said) = (std::fs::read_to_string(out).unwrap(), std::fs::read_to_string(err).unwrap());
    assert!(sum.contains(" seeds, 0 bad; "), "{sum}");
    assert!(said.contains("stopped: ") && said.contains(" of 1000000000 seeds were run"), "{said}");
}
