//! `bridge publish` of what people have: packed, laid out, cut off, of another kind, without an end. No cloud is asked.

use std::{
    fs::File,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use bridge_adapters::clock::SystemClock;
use bridge_core::port::Clock;
use serde_json::Value;

use crate::program::{Running, bridge};

const SITE: &str = "aws:us-east-1";

fn config() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("end_to_end/good-configurations/least.toml")
}

fn event(number: u32) -> Value {
    serde_json::json!({
        "event_id": format!("01936d6e-8a3c-7c61-9d0b-{number:012}"), "source_region": SITE, "op_type": "upsert",
        "payload": { "id": format!("order-{number}") }, "timestamp": SystemClock.now().to_rfc3339(),
    })
}

fn validate() -> Command {
    let mut command = bridge();
    command.args(["publish", "--dry-run", "--config"]).arg(config());
    command
}

fn validated(file: &Path, flags: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = validate().arg(file).args(flags).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

#[test]
fn events_are_read_in_every_form_that_tools_leave() {
    let folder = tempfile::tempdir().unwrap();
    let events: Vec<Value> = (0..250).map(event).collect();
    let joined = |texts: Vec<String>| texts.join("\n") + "\n";
    let lines = joined(events.iter().map(ToString::to_string).collect());
    let wide = joined(events.iter().map(|event| format!("{event:#}")).collect());
    let array = Value::from(events.clone());
    for (name, text) in [
        ("lines.jsonl", lines.clone()),
        ("mark.jsonl", format!("\u{feff}{lines}")),
        ("windows.jsonl", lines.replace('\n', "\r\n")),
        ("wide.json", wide),
        ("array.json", array.to_string()),
        ("wide-array.json", format!("{array:#}")),
    ] {
        let file = folder.path().join(name);
        std::fs::write(&file, text).unwrap();
        let valid = (Some(0), "valid 250, refused 0, failed 0\n".to_owned(), String::new());
        assert_eq!(validated(&file, &[]), valid, "{name}");
        let packed = folder.path().join(format!("{name}.gz"));
        let mut gzip = Command::new("gzip");
        gzip.arg("-c").arg(&file).stdout(File::create(&packed).unwrap());
        assert!(gzip.status().unwrap().success());
        assert_eq!(validated(&packed, &[]), valid, "{name}, packed");
    }
}

#[test]
fn a_wrong_file_is_told_in_a_few_lines_that_say_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("orders");
    let utf16 = format!("\u{feff}{}\n", event(1)).encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>();
    let csv = (0..50_000).fold("id,total\n".to_owned(), |text, number| text + &format!("order-{number},5\n"));
    for (bytes, expected) in [
        (csv.into_bytes(), "orders: this is CSV, and an event is a JSON object"),
        (utf16, "orders: this is UTF-16; save it as UTF-8"),
        (b"PK\x03\x04".repeat(100), "orders: this is a zip archive"),
        (format!("[{}", event(1)).into_bytes(), "orders: the array has no end"),
    ] {
        std::fs::write(&file, bytes).unwrap();
        let (code, _, said) = validated(&file, &[]);
        assert!(code == Some(1) && said.lines().count() == 1 && said.contains(expected), "{said}");
    }
    let text: String =
        (0..50_000).map(|number| if number % 2 == 0 { "<row>\n" } else { "{\"event_id\":1}\n" }).collect();
    std::fs::write(&file, text).unwrap();
    let (code, sum, said) = validated(&file, &[]);
    assert_eq!((code, sum.as_str()), (Some(1), "valid 0, refused 50000, failed 0\n"));
    let refusals = said.lines().filter(|line| line.contains("/orders:")).count();
    let last = said.lines().last().unwrap();
    assert_eq!(refusals, 10, "{said}");
    assert_eq!(last, "and 49990 more were refused: 24995 invalid_event, 24995 not_json; --json names each");
    std::fs::write(&file, r#"{"body":"{}","properties":{"bridge_reason":"not_json"}}"#).unwrap();
    assert!(validated(&file, &[]).2.contains("this is a saved letter, which bridge replay --from FILE reads"));
}

#[test]
fn programs_are_told_of_each_refusal() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("orders.jsonl");
    let lines: String =
        (0..30).map(|number| if number == 7 { format!("{}\n", event(7)) } else { "{}\n".to_owned() }).collect();
    std::fs::write(&file, lines).unwrap();
    let (code, told, _) = validated(&file, &["--json"]);
    let told: Vec<Value> = told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((code, told.len()), (Some(1), 30), "{told:#?}");
    assert_eq!((&told[7]["line"], &told[7]["refused"]), (&9.into(), &"invalid_event".into()));
    assert!(told[7]["file"].as_str().unwrap().ends_with("orders.jsonl") && told[7]["detail"].is_string());
    assert_eq!(told[29], serde_json::json!({ "valid": 1, "refused": 29, "failed": 0 }));
}

/// Whatever somebody names as a file is read in the same memory.
#[test]
fn a_large_file_without_lines_takes_no_more_memory() {
    let folder = tempfile::tempdir().unwrap();
    let sparse = folder.path().join("sparse");
    File::create(&sparse).unwrap().set_len(1 << 30).unwrap();
    let (err, limit) = (folder.path().join("err"), Duration::from_secs(30));
    let mut program = Running::start(validate().arg(&sparse).stdout(Stdio::null()).stderr(File::create(&err).unwrap()));
    let (start, mut most) = (Instant::now(), 0.0_f64);
    while program.has_ended().is_none() {
        most = most.max(program.memory_now_mb().unwrap_or_default());
        assert!(start.elapsed() < limit);
        std::thread::sleep(Duration::from_millis(1));
    }
    let said = std::fs::read_to_string(&err).unwrap();
    assert!(said.contains("sparse: line 1 has over 8388608 bytes"), "{said}");
    assert!(most < 120.0, "{most} MB");
}

/// Also while a pipe gives nothing.
#[test]
fn ctrl_c_tells_how_far_it_came() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let (reader, mut writer) = std::io::pipe().unwrap();
    let mut program = Running::start(validate().arg("-").stdin(reader).stdout(File::create(&out).unwrap()));
    for number in 0..3 {
        writeln!(writer, "{}", event(number)).unwrap();
    }
    std::thread::sleep(Duration::from_secs(2));
    program.signal("INT");
    assert_eq!(program.end(Duration::from_secs(10)).code(), Some(130));
    let told = std::fs::read_to_string(out).unwrap();
    assert_eq!(told, "stopped at standard input:3: nothing behind it was looked at\nvalid 3, refused 0, failed 0\n");
}

/// A file's size is known, so the lines say how much is left.
#[test]
fn progress_says_how_much_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("many.jsonl");
    let one = format!("{}\n", event(1));
    std::fs::write(&file, one.repeat(200_000)).unwrap();
    let (code, sum, said) = validated(&file, &[]);
    assert_eq!((code, sum.as_str()), (Some(0), "valid 200000, refused 0, failed 0\n"));
    let line = said.lines().next().unwrap_or_else(|| panic!("it was done within a second: make the file longer"));
    assert!(line.contains(" events, ") && line.contains(" %, about ") && line.ends_with(" left"), "{line}");
}
