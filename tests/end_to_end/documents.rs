//! What the documents tell people to type is typed here, against the real thing.

use std::{
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

use crate::program::{Clouds, bridge, must};

fn read(name: &str) -> String {
    std::fs::read_to_string(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").join(name)).unwrap()
}

/// The blocks of `language` in a Markdown text.
fn blocks<'a>(text: &'a str, language: &str) -> Vec<&'a str> {
    let fence = format!("\n```{language}\n");
    text.split(&fence).skip(1).map(|rest| rest.split("\n```").next().unwrap()).collect()
}

/// The README's tour, line by line; a `bridge get` may need a moment, because the other cloud does.
#[test]
fn the_tour_of_the_readme_works_as_written() {
    let readme = read("README.md");
    let clouds = Clouds::start(&[]);
    let program = bridge();
    let folder = PathBuf::from(program.get_program()).parent().unwrap().display().to_string();
    let mut outputs = Vec::new();
    for line in blocks(&readme, "sh").iter().flat_map(|block| block.lines()) {
        let start = Instant::now();
        loop {
            let mut command = Command::new("bash");
            command.arg("-c").arg(line).env("BRIDGE_CONFIG", clouds.config());
            command.env("PATH", format!("{folder}:{}", std::env::var("PATH").unwrap()));
            let output = command.output().unwrap();
            let shown = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
            let done = output.status.success() && !shown.contains("no site has this key");
            let late = line.contains("bridge get") && outputs.len() > 3 && !shown.contains("tombstone");
            if done && !late {
                outputs.push(shown.into_owned());
                break;
            }
            assert!(start.elapsed() < Duration::from_secs(20), "{line}\n{shown}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
    assert!(outputs[1].contains("all 2 sites agree") && outputs[1].contains("\"total\":1999"), "{}", outputs[1]);
    assert!(outputs[4].contains("(deleted: a tombstone)"), "{}", outputs[4]);
    for line in ["sent 0, refused 1, failed 0", "not_portable: /payload/total: 9007199254740993 would become"] {
        assert!(outputs[5].contains(line) && readme.contains(line), "{}", outputs[5]);
    }
}

#[test]
fn the_example_configuration_is_accepted() {
    let text = read("docs/configuration.md");
    let example = blocks(&text, "toml").remove(0).to_owned();
    must(bridge().args(["config", "--config", &example]));
}
