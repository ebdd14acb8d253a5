//! `bridge simulate`, as its document shows it.

use crate::program::bridge;

fn simulate(arguments: &str) -> (Option<i32>, String) {
    let output = bridge().arg("simulate").args(arguments.split_whitespace()).output().unwrap();
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
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
    let (code, text) = simulate("--seed 108 --rule by-hand --sites 3 --json");
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((code, report["seeds"].as_u64(), report["bad"].as_u64()), (Some(1), Some(1), Some(1)));
    let checkers = report["failed"][0]["violations"].as_array().unwrap().iter();
    let checkers: Vec<_> = checkers.map(|violation| violation["checker"].as_str().unwrap()).collect();
    assert_eq!(checkers, ["no resurrection", "converged"]);
    assert_eq!(report["failed"][0]["repeat"], "bridge simulate --seed 108 --sites 3 --rule by-hand --trace");
}
