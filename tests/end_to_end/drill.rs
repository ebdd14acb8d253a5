//! `bridge drill` tells the truth: an oracle with the official clients watches from outside what happens to every write.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::program::{Clouds, Running, bridge, must, python};

const AWS: &str = "aws:us-east-1";
const AZURE: &str = "azure:westeurope";

/// Runs a drill under the oracle's eyes; its report, after the oracle agreed, and its exit code.
fn drill(clouds: &Clouds, oracle: &[&str], arguments: &[&str]) -> (Value, i64) {
    let base = clouds.file("drill");
    let program = bridge();
    let mut command = python("drill.py");
    command.arg(clouds.ready_file()).arg(&base).args(oracle).arg("--").arg(program.get_program());
    command.args(["drill", "--steady", "4", "--report"]).arg(&base).args(arguments);
    command.arg("--config").arg(clouds.config()).env("RUST_LIB_BACKTRACE", "0");
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("BRIDGE_")) {
        command.env_remove(name);
    }
    let output = must(&mut command);
    let last = String::from_utf8(output.stdout).unwrap().lines().last().unwrap().to_owned();
    let seen: Value = serde_json::from_str(&last).unwrap();
    let report = std::fs::read_to_string(base.with_extension("json")).unwrap();
    (serde_json::from_str(&report).unwrap(), seen["exit_code"].as_i64().unwrap())
}

fn admin(clouds: &Clouds) -> String {
    clouds.ready["admin"].as_str().unwrap().to_owned()
}

fn commands(report: &Value) -> Vec<&str> {
    report["commands"].as_array().unwrap().iter().map(|one| one["command"].as_str().unwrap()).collect()
}

/// Where only an operator brings what is owed.
const OPERATOR: [(&str, &str); 1] = [("BRIDGE_WORKER_AUTO_REPLAY", "off")];

/// All services of the site go dark, its users go on elsewhere, and what it is owed comes from the dead letters.
#[test]
fn a_dark_site_is_failed_over_and_gets_what_it_is_owed() {
    // Workers that bring nothing by themselves leave it to the drill's operator.
    let clouds = Clouds::start_with(&[], &OPERATOR);
    // As docs/drill.md has it, only shorter.
    let page = include_str!("../../docs/drill.md");
    let line = page.split("```sh\nbridge drill ").nth(1).and_then(|rest| rest.lines().next()).unwrap();
    let line = line.replace("$ADMIN", &admin(&clouds));
    let arguments: Vec<&str> = line.split_whitespace().chain(["--outage", "8"]).collect();
    let (report, code) = drill(&clouds, &[], &arguments);
    assert_eq!((code, &report["verdict"]), (0, &"passed".into()), "{report:#}");
    let figures = &report["figures"];
    assert!(figures["rto"]["readable_seconds"].as_f64() < Some(8.0), "before it came back: {figures:#}");
    assert!(figures["fates"]["late"].as_u64() > Some(20), "what was written meanwhile came late to it: {figures:#}");
    assert!(figures["lacking_at_return"].as_u64() >= figures["fates"]["late"].as_u64());
    let owed = format!("bridge replay --from {AZURE}/dlq --to owed");
    assert!(commands(&report).iter().any(|command| command.starts_with(&owed)), "{report:#}");
    assert!(commands(&report).iter().any(|command| command.starts_with("bridge verify")), "{report:#}");
    assert!(report["timeline"].to_string().contains("own records are deleted everywhere"), "{report:#}");
    let page = std::fs::read_to_string(clouds.file("drill.md")).unwrap();
    assert!(page.contains("aws:us-east-1 failed, and the drill PASSED"), "{page}");
    let faults: Value = serde_json::from_str(&clouds.admin("GET", "/faults", "")).unwrap();
    assert_eq!(faults["faults"], Value::Array(vec![]), "the fault is gone");
}

/// Nobody replays, and somebody takes letters away: what is owed is told from what is lost.
#[test]
fn what_is_still_owed_is_told_from_what_is_lost() {
    // What workers held when the cloud went dark comes again within the drill's patience.
    let clouds = Clouds::start_with(&["--lease-seconds", "5"], &OPERATOR);
    // The stores had drifted before.
    clouds.script("drift.py", &["plant"]);
    let arguments = [AZURE, "--admin", &admin(&clouds), "--outage", "8", "--by-hand", "--patience", "15"];
    let (report, code) = drill(&clouds, &["--steal", "5"], &arguments);
    assert_eq!((code, &report["verdict"]), (1, &"failed".into()), "{report:#}");
    assert!(report["figures"]["fates"]["owed"].as_u64() > Some(5), "{report:#}");
    assert!(report["figures"]["fates"]["lost"].as_u64() > Some(0), "{report:#}");
    assert!(commands(&report).iter().all(|command| !command.contains("--yes")), "it replayed nothing: {report:#}");
    let said = report["failures"].to_string();
    assert!(said.contains("LOST") && said.contains("still owed"), "{said}");
    assert!(said.contains("differ in 37 keys, which may be older than the drill"), "{said}");
}

/// The services answer and nobody works: silence is noticed, and what lies in the queue goes into the other site's store.
#[test]
fn a_site_without_compute_is_failed_over_from_its_queue() {
    let clouds = Clouds::start(&["--without-workers"]);
    let _other = clouds.worker(AZURE);
    let (script, pid) = (clouds.file("worker.sh"), clouds.file("worker.pid"));
    let worker = format!(
        "'{}' run --site {AWS} --log warn --config '{}' </dev/null >/dev/null 2>&1 & echo $! > '{}'\n",
        PathBuf::from(bridge().get_program()).display(),
        clouds.config().display(),
        pid.display()
    );
    std::fs::write(&script, worker).unwrap();
    let (start, stop) = (format!("sh '{}'", script.display()), format!("kill -KILL $(cat '{}')", pid.display()));
    must(Command::new("sh").args(["-c", &start]));
    let arguments = [AWS, "--fail", &stop, "--restore", &start, "--outage", "5", "--yes"];
    let result = std::panic::catch_unwind(|| drill(&clouds, &["--compute"], &arguments));
    must(Command::new("sh").args(["-c", &stop]));
    let (report, code) = result.unwrap();
    assert_eq!((code, &report["verdict"]), (0, &"passed".into()), "{report:#}");
    assert!(report["figures"]["missing_at_failover"]["events"].as_u64() > Some(10), "{report:#}");
    assert_eq!(report["figures"]["rpo"]["events"], 0, "{report:#}");
    let over = format!("bridge replay --from {AWS}/queue --to {AZURE}/store --yes");
    assert!(commands(&report).contains(&over.as_str()), "{report:#}");
}

/// What an operator is told of each trouble, and how long it lasts after its end; the second report shows the first beside it.
#[test]
fn each_trouble_is_found_by_its_name_and_compared_with_the_last_time() {
    let clouds = Clouds::start(&[]);
    let drill = |trouble: &str, site: &str, name: &str| {
        let mut command = bridge();
        command.args(["drill", site, "--trouble", trouble, "--steady", "3", "--outage", "8", "--without-verify"]);
        command.args(["--admin", &admin(&clouds), "--report"]).arg(clouds.file(name));
        let output = command.arg("--config").arg(clouds.config()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.code(), report(&clouds, name), said)
    };
    for (trouble, site, words) in [
        ("store", AWS, "the store of aws:us-east-1"),
        ("halt", AZURE, "has been halted for"),
        ("peer", AZURE, "azure:westeurope"),
    ] {
        let (code, report, said) = drill(trouble, site, trouble);
        assert_eq!(
            (code, &report["verdict"], &report["trouble"]),
            (Some(0), &"passed".into(), &trouble.into()),
            "{said}"
        );
        let told = &report["told"];
        assert!(told["finding"].as_str().unwrap().contains(words), "{told:#}");
        assert!(told["found_after_seconds"].as_f64() < Some(8.0), "{told:#}");
        assert!(told["well_after_seconds"].as_f64().is_some(), "{told:#}");
        assert_eq!(report["figures"]["fates"]["lost"], 0, "{report:#}");
    }
    let (_, report, said) = drill("store", AWS, "again");
    assert!(report["compared_with"]["file"].as_str().unwrap().ends_with("store.json"), "{report:#}");
    let rows = said.lines().find(|line| line.starts_with("until bridge lag found it")).unwrap();
    assert_eq!(rows.matches(" s").count(), 2, "{said}");
    let mut command = bridge();
    command.args(["drill", AWS, "--trouble", "worker", "--admin", &admin(&clouds), "--config"]).arg(clouds.config());
    let output = command.current_dir(clouds.folder()).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(64) && error.contains("--fail COMMAND and --restore"), "{error}");
}

/// A drill must not be what turns trouble into an outage.
#[test]
fn nothing_is_made_to_fail_while_something_is_wrong() {
    let clouds = Clouds::start(&["--without-workers"]);
    let _only = clouds.worker(AWS);
    let base = clouds.file("drill");
    let mut command = bridge();
    command
        .args(["drill", AZURE, "--steady", "3", "--patience", "5", "--admin", &admin(&clouds), "--report"])
        .arg(&base);
    let output = command.arg("--config").arg(clouds.config()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("nothing was made to fail") && said.contains("bridge doctor"), "{said}");
    let told = String::from_utf8_lossy(&output.stderr);
    let (before, after) = told.split_once("the drill ends early").expect("it is told at once");
    assert!(!before.contains("own records") && after.contains("own records"), "and not after tidying up: {told}");
    let health: Value = serde_json::from_str(&clouds.admin("GET", "/health", "")).unwrap();
    assert_eq!(health["dark"], Value::Array(vec![]));
}

/// Whoever stops it gets the site back.
#[test]
fn a_stopped_drill_brings_the_site_back() {
    let clouds = Clouds::start(&[]);
    let mut command = bridge();
    command.args(["drill", AZURE, "--steady", "2", "--outage", "60", "--admin", &admin(&clouds), "--report"]);
    command.arg(clouds.file("drill")).arg("--config").arg(clouds.config());
    let mut program = Running::start(&mut command);
    let health = || serde_json::from_str::<Value>(&clouds.admin("GET", "/health", "")).unwrap();
    let start = Instant::now();
    while health()["dark"] == Value::Array(vec![]) {
        assert!(start.elapsed().as_secs() < 30, "it never failed");
        std::thread::sleep(Duration::from_millis(100));
    }
    program.signal("INT");
    let status = program.end(Duration::from_secs(90));
    assert_eq!(status.code(), Some(130));
    assert_eq!(health()["dark"], Value::Array(vec![]));
    let report = report(&clouds, "drill");
    assert_eq!(report["verdict"], "stopped");
    let said = report["failures"].to_string();
    assert!(said.contains("bridge replay --from aws:us-east-1/dlq --to owed; runbooks/after-the-outage.md"), "{said}");
}

fn report(clouds: &Clouds, name: &str) -> Value {
    serde_json::from_str(&std::fs::read_to_string(clouds.file(&format!("{name}.json"))).unwrap()).unwrap()
}

fn wait_for(file: &Path) {
    let start = Instant::now();
    while !file.exists() {
        assert!(start.elapsed().as_secs() < 30, "{} never came", file.display());
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The terminal is closed, or whoever read what is said has gone away: the site comes back all the same, and the report is written.
#[test]
fn a_drill_that_nobody_watches_any_more_brings_the_site_back() {
    let clouds = Clouds::start(&[]);
    for (name, signal) in [("hung-up", Some("HUP")), ("unread", None)] {
        let file = |what: &str| clouds.file(&format!("{name}.{what}"));
        let touch = |what: &str| format!("touch '{}'", file(what).display());
        let (reader, writer) = std::io::pipe().unwrap();
        let mut command = bridge();
        // The commands change nothing, so nobody notices a failure: after its patience the drill ends by itself.
        command.args(["drill", AZURE, "--yes", "--steady", "2", "--patience", "4", "--without-verify", "--json"]);
        command.args(["--fail", &touch("failed"), "--restore", &touch("restored"), "--report"]).arg(clouds.file(name));
        command.arg("--config").arg(clouds.config()).stdout(Stdio::null()).stderr(writer);
        let mut program = Running::start(&mut command);
        drop(command);
        wait_for(&file("failed"));
        assert!(!file("restored").exists());
        match signal {
            Some(signal) => program.signal(signal),
            None => drop(reader),
        }
        let code = if signal.is_some() { 130 } else { 1 };
        assert_eq!(program.end(Duration::from_secs(60)).code(), Some(code), "{name}");
        assert!(file("restored").exists(), "{name}: the site is not brought back");
        let report = report(&clouds, name);
        assert_eq!(report["verdict"], if signal.is_some() { "stopped" } else { "failed" }, "{report:#}");
        assert!(report["failures"].to_string().contains("--to owed"), "{report:#}");
    }
}

/// Who types a wrong name, or Ctrl-C at the question, is told what that means; and a refusal leaves nothing behind.
#[test]
fn at_a_terminal_a_drill_by_hand_is_refused_or_stopped_with_words() {
    let clouds = Clouds::start(&[]);
    let drill = |name: &str, steps: &[&str]| {
        let mut command = python("terminal.py");
        command.args(steps).arg("--").arg(bridge().get_program()).args(["drill", AWS, "--steady", "2"]);
        command
            .args(["--patience", "4", "--without-verify", "--report"])
            .arg(clouds.file(name))
            .arg("--config")
            .arg(clouds.config());
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stdout).replace('\r', ""))
    };
    let (code, said) = drill("refused", &["site's name to go on:", AZURE]);
    assert!(code == Some(1) && said.contains("nothing was made to fail"), "{code:?} {said}");
    assert!(!clouds.file("refused.jsonl").exists());

    let (code, said) = drill("asked", &["site's name to go on:", AWS, "press Enter.", "^C"]);
    assert_eq!(code, Some(130), "{said}");
    assert!(said.contains("if you have made aws:us-east-1 fail, BRING IT BACK now"), "{said}");
    assert!(!said.contains("brought back first"), "it never failed: {said}");
    assert_eq!(report(&clouds, "asked")["verdict"], "stopped");

    // At the other question it goes on waiting for the one Enter that says that the site is back.
    let failed = ["site's name to go on:", AWS, "fail now, then press Enter.", ""];
    let away = ["back now, then press Enter.", "^C", "is STILL AWAY", ""];
    let (code, said) = drill("away", &[failed, away].concat());
    assert!(code == Some(130) && said.contains("aws:us-east-1 is back"), "{code:?} {said}");
    let report = report(&clouds, "away");
    assert_eq!(report["verdict"], "stopped", "{report:#}");
}

/// Nothing is begun that cannot be done as asked, and no evidence is written over.
#[test]
fn a_drill_that_makes_no_sense_is_refused() {
    let clouds = Clouds::start(&["--without-workers"]);
    let earlier = clouds.file("earlier.jsonl");
    std::fs::write(&earlier, "evidence").unwrap();
    let (earlier_base, admin) = (clouds.file("earlier").display().to_string(), admin(&clouds));
    for (arguments, why) in [
        (["--rate", "1e-20"], "from 0.01 to 1000"),
        (["--rate", "1e9"], "from 0.01 to 1000"),
        (["--report", &earlier_base], "earlier.jsonl is there already; name another"),
    ] {
        let mut command = bridge();
        command.args(["drill", AWS, "--admin", &admin]).args(arguments).arg("--config").arg(clouds.config());
        let output = command.current_dir(clouds.folder()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(64), "{said}");
        assert!(said.contains(why), "{said}");
    }
    assert_eq!(std::fs::read_to_string(earlier).unwrap(), "evidence");
}
