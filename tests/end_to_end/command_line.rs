//! The command line: help, exit codes, and errors that say what to do.

use std::{
    io::{BufRead, BufReader},
    process::Stdio,
    time::{Duration, Instant},
};

use crate::program::{bridge, must};

const CONFIG: &str = r#"
[sites."aws:us-east-1"]
queue_url = "http://127.0.0.1:1/1/bridge-events"
dead_letter_queue_url = "http://127.0.0.1:1/1/bridge-events-dead"
table = "bridge-records"
sqs_endpoint = "http://127.0.0.1:1"
dynamodb_endpoint = "http://127.0.0.1:1"
access_key_id = "id"
secret_access_key = "hush-aws"

[sites."azure:westeurope"]
service_bus_connection_string = "Endpoint=sb://127.0.0.1;SharedAccessKeyName=n;SharedAccessKey=hush-bus;UseDevelopmentEmulator=true"
service_bus_http_endpoint = "http://127.0.0.1:1"
queue = "bridge-events"
dead_letter_queue = "bridge-events-dead"
cosmos_endpoint = "http://127.0.0.1:1/"
cosmos_key = "aHVzaC1jb3Ntb3M="
database = "bridge"
container = "records"
"#;

fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = bridge().args(arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn every_command_has_help_with_an_example() {
    let (code, help, _) = run(&["--help"]);
    assert_eq!(code, Some(0));
    let commands: Vec<&str> = help
        .split("Commands:")
        .nth(1)
        .unwrap()
        .lines()
        .skip(1)
        .take_while(|line| !line.trim().is_empty())
        .map(|line| line.split_whitespace().next().unwrap())
        .filter(|name| *name != "help")
        .collect();
    assert!(commands.contains(&"local") && commands.contains(&"publish"), "{commands:?}");
    for command in commands {
        let (code, help, _) = run(&[command, "--help"]);
        assert_eq!(code, Some(0), "{command}");
        assert!(help.contains(&format!("Example: bridge {command}")), "{command}: {help}");
    }
}

#[test]
fn wrong_flags_and_configurations_exit_with_64_and_say_what_to_do() {
    let cases: &[(&[&str], &str)] = &[
        (&["frobnicate"], "unrecognized subcommand"),
        (&["get"], "<KEY>"),
        (&["run", "--what"], "--what"),
        (&["run"], "no configuration: name the file with --config PATH or BRIDGE_CONFIG"),
        (&["run", "--config", "/no/such/file"], "/no/such/file cannot be read"),
        (&["run", "--config", "a = "], "is not TOML"),
        (&["run", "--config", "[sites.\"gcp:x\"]\na = 1"], "the cloud must be aws or azure"),
        (&["run", "--config", CONFIG], "which site is this? Set --site or BRIDGE_SITE to one of: aws:us-east-1"),
        (&["run", "--config", CONFIG, "--site", "aws:mars"], "aws:mars is not configured"),
    ];
    for (arguments, expected) in cases {
        let (code, _, error) = run(arguments);
        assert_eq!(code, Some(64), "{arguments:?}: {error}");
        assert!(error.contains(expected), "{arguments:?}: {error}");
    }
}

/// A variable of a host that is set alone, or by hand, ended in a panic.
#[test]
fn a_hosts_variable_that_no_host_sets_so_is_refused() {
    for (name, value, expected) in [
        ("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:1", "AWS_LAMBDA_FUNCTION_NAME is not set, and AWS Lambda sets it"),
        ("AWS_LAMBDA_RUNTIME_API", "", "AWS_LAMBDA_RUNTIME_API is \"\""),
        ("FUNCTIONS_CUSTOMHANDLER_PORT", "70000", "FUNCTIONS_CUSTOMHANDLER_PORT is \"70000\""),
    ] {
        let output = bridge().env(name, value).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains(&format!("bridge: {expected}")) && !said.contains("panic"), "{name}={value}: {said}");
        assert_eq!(output.status.code(), Some(64), "{name}={value}: {said}");
        // Whoever gives a command wants that.
        let config = bridge().env(name, value).args(["config", "--config", CONFIG]).output().unwrap();
        assert_eq!(config.status.code(), Some(0));
    }
}

/// `just package --config FILE` puts it there. A command that a person gives takes no file that it was not told to take.
#[test]
fn a_function_finds_the_configuration_in_its_package() {
    let package = tempfile::tempdir().unwrap();
    std::fs::write(package.path().join("bridge.toml"), "[worker]\nattempts = 3\n").unwrap();
    let said = |arguments: &[&str], variables: &[(&str, &str)]| {
        let mut program = bridge();
        program.current_dir(package.path()).args(arguments).envs(variables.iter().copied());
        let output = program.output().unwrap();
        assert_eq!(output.status.code(), Some(64));
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let host = ("FUNCTIONS_CUSTOMHANDLER_PORT", "7071");
    let packaged = said(&[], &[host]);
    assert!(packaged.contains("bridge.toml:2: worker.attempts: unknown"), "{packaged}");
    let named = said(&[], &[host, ("BRIDGE_CONFIG", "[worker]\ntries = 3")]);
    assert!(named.contains("BRIDGE_CONFIG:2: worker.tries: unknown"), "{named}");
    let command = said(&["run"], &[host]);
    assert!(command.contains("no configuration"), "{command}");
}

/// A terminal shows the characters, and not what they do to the line.
#[test]
fn nothing_that_turns_or_hides_text_reaches_a_terminal() {
    for (key, shown) in [("a\u{202E}b", "a\\u202eb"), ("a\u{1b}[2Jb", "a\\u001b[2Jb")] {
        let (_, table, _) = run(&["get", key, "--config", CONFIG]);
        assert!(table.contains(shown) && !table.contains(key), "{table:?}");
        let (_, json, _) = run(&["get", key, "--json", "--config", CONFIG]);
        assert!(!json.contains(key), "{json:?}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&json).unwrap()["key"], key);
    }
    let (code, _, error) = run(&["run", "--config", CONFIG, "--site", "aws:\u{202E}mars"]);
    assert!(code == Some(64) && error.contains("mars") && !error.contains('\u{202E}'), "{error:?}");
}

#[test]
fn the_configuration_is_shown_without_its_secrets() {
    let (code, shown, _) = run(&["config", "--config", CONFIG]);
    assert_eq!(code, Some(0));
    assert!(shown.contains("[worker]\n") && shown.contains("  attempts_max "), "{shown}");
    assert!(shown.contains("[sites.\"aws:us-east-1\"]\n") && shown.contains("(deliveries; default)"), "{shown}");
    let (_, json, _) = run(&["config", "--json", "--config", CONFIG]);
    let entries: Vec<serde_json::Value> = serde_json::from_str(&json).unwrap();
    assert!(entries.iter().any(|entry| entry["key"] == "sites.azure:westeurope.cosmos_key" && entry["value"] == "***"));
    for text in [&shown, &json] {
        assert!(!text.contains("hush") && !text.contains("aHVzaC1jb3Ntb3M="), "{text}");
    }
    let (code, explained, _) = run(&["config", "--explain"]);
    assert_eq!(code, Some(0));
    assert!(explained.contains("tombstone_life_days"), "{explained}");
}

#[test]
fn a_store_that_cannot_be_reached_is_an_error_not_a_difference() {
    let (code, shown, _) = run(&["get", "order-42", "--config", CONFIG]);
    assert_eq!(code, Some(1), "{shown}");
    assert!(shown.contains("not every site could be read"), "{shown}");
}

/// Nobody reads any more, as under `head`.
#[test]
fn a_watch_ends_with_its_reader() {
    let mut command = bridge();
    command.args(["lag", "--watch", "--json", "--config", CONFIG]).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut watch = command.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(watch.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with('{'), "{line}");
    let start = Instant::now();
    let status = loop {
        if let Some(status) = watch.try_wait().unwrap() {
            break status;
        }
        if start.elapsed() > Duration::from_secs(120) {
            watch.kill().unwrap();
            panic!("the watch goes on");
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    assert_eq!(status.code(), Some(141), "as SIGPIPE ends other tools");
}

/// As under `head`: quietly, and with the exit code of other tools, whatever the command.
#[test]
fn nobody_who_reads_ends_every_command_quietly() {
    let folder = tempfile::tempdir().unwrap();
    let events = folder.path().join("events.jsonl");
    std::fs::write(&events, "{}\n").unwrap();
    let events = events.to_str().unwrap();
    let cases: [&[&str]; 15] = [
        &["--help"],
        &["--version"],
        &["help", "replay"],
        &["schema", "config"],
        &["schema", "asyncapi"],
        &["completions", "bash"],
        &["plans"],
        &["simulate", "--seeds", "1"],
        &["config", "--explain"],
        &["config", "--config", CONFIG],
        &["config", "--json", "--config", CONFIG],
        &["get", "order-42", "--config", CONFIG],
        &["doctor", "--config", CONFIG],
        &["publish", events, "--dry-run", "--config", CONFIG],
        &["publish", events, "--dry-run", "--json", "--config", CONFIG],
    ];
    for arguments in cases {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = bridge().args(arguments).env("XDG_STATE_HOME", folder.path()).stdout(writer).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(141), "{arguments:?}: {said}");
        assert!(!said.contains("panic") && !said.contains("bridge:"), "{arguments:?}: {said}");
    }
    // Nor does it matter to what a command does that nobody reads what it says beside it.
    for (arguments, code) in [(&["run", "--config", CONFIG][..], 64), (&["get", "order-42", "--config", CONFIG], 1)] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        assert_eq!(
            bridge().args(arguments).stderr(writer).output().unwrap().status.code(),
            Some(code),
            "{arguments:?}"
        );
    }
}

/// No space is left on the disk: the error says for what.
#[test]
fn a_full_disk_is_told_with_the_file() {
    let full = || std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    for arguments in [&["schema", "event"][..], &["config", "--explain"], &["--help"]] {
        let output = bridge().args(arguments).stdout(full()).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(
            output.status.code() == Some(1) && said.contains("standard output cannot be written: No space left"),
            "{said}"
        );
    }
    // A process that may write no byte into a file, as on a full disk.
    let clouds = crate::program::Clouds::start(&["--without-workers"]);
    let (file, plan) = (clouds.file("events.jsonl"), clouds.file("plan.jsonl"));
    std::fs::write(&file, "{}\n{}\n").unwrap();
    let mut command = std::process::Command::new("bash");
    command.args(["-c", "trap '' XFSZ; ulimit -f 0; exec \"$0\" \"$@\""]).arg(bridge().get_program());
    command.args(["replay", "--to", "owed", "--dry-run", "--from"]).arg(&file).arg("--plan").arg(&plan);
    let output = command.arg("--config").arg(clouds.config()).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    let named = said.contains("plan.jsonl.") && said.contains(" cannot be written: File too large");
    assert!(output.status.code() == Some(1) && named, "{said}");
    assert!(!plan.exists());
}

/// Tables fit 80 columns, and at 60 no word is broken.
#[test]
fn text_fits_its_terminal() {
    for columns in ["80", "60"] {
        for arguments in [
            &["config", "--explain"][..],
            &["config", "--config", CONFIG],
            &["doctor", "--read-only", "--config", CONFIG],
            &["lag", "--config", CONFIG],
            &["get", "order-42", "--config", CONFIG],
        ] {
            let output = bridge().args(arguments).env("COLUMNS", columns).output().unwrap();
            let text = String::from_utf8(output.stdout).unwrap();
            let most = columns.parse().unwrap();
            for line in text.lines().filter(|line| line.chars().count() > most) {
                // A word without blanks, as an address, or a command that is copied whole.
                let words = line.split_whitespace().map(|word| word.chars().count()).max().unwrap();
                assert!(words > most / 2 || line.contains(" --"), "{arguments:?} at {columns}: {line}");
            }
        }
    }
}

/// A command and its tables of keys for programs.
#[test]
fn every_key_is_explained_to_programs_too() {
    let (code, json, _) = run(&["config", "--explain", "--json"]);
    let keys: Vec<serde_json::Value> = serde_json::from_str(&json).unwrap();
    let of = |name: &str| keys.iter().find(|key| key["name"] == name).unwrap();
    assert_eq!(code, Some(0));
    assert_eq!(of("attempts_max")["variable"], "BRIDGE_WORKER_ATTEMPTS_MAX");
    assert_eq!((&of("attempts_max")["default"], &of("cosmos_key")["secret"]), (&"20".into(), &true.into()));
    assert_eq!(of("table")["section"], "sites.\"aws:REGION\"");
}

/// One exit code for one kind of failure: what is not configured or cannot be is 64 everywhere.
#[test]
fn an_unknown_site_is_64_in_every_command() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("x.jsonl").display().to_string();
    std::fs::write(&file, "{}\n").unwrap();
    let cases: [&[&str]; 14] = [
        &["run", "--site", "aws:mars"],
        &["doctor", "--site", "aws:mars"],
        &["config", "--site", "aws:mars"],
        &["publish", "--to", "aws:mars", &file],
        &["replay", "--from", "aws:mars/dlq", "--to", "owed", "--dry-run"],
        &["replay", "--from", "foo/dlq", "--to", "owed", "--dry-run"],
        &["replay", "--from", "aws:us-east-1/dlq", "--to", "aws:mars/store", "--dry-run"],
        &["replay", "--from", "aws:us-east-1/dlq", "--to", "owed", "--reason", "foo", "--dry-run"],
        &["letter", "aws:mars", "id"],
        &["verify", "--only", "aws:mars"],
        &["backfill", "--from", "aws:mars", "--to", "azure:westeurope", "--yes"],
        &["backfill", "--from", "aws:us-east-1", "--to", "aws:mars", "--yes"],
        &["drill", "aws:mars", "--yes"],
        &["get", ""],
    ];
    for arguments in cases {
        let (code, _, said) = run(&[arguments, &["--config", CONFIG]].concat());
        assert_eq!(code, Some(64), "{arguments:?}: {said}");
        let named = ["aws:us-east-1", "peer_unavailable", "key"].iter().any(|allowed| said.contains(allowed));
        assert!(named, "{arguments:?} says what is allowed: {said}");
    }
}

/// A rule of the file that the environment walked around.
#[test]
fn an_endpoint_of_the_environment_is_shown_and_held_to_the_same_rule() {
    let config = |name: &str, url: &str| {
        let file = format!("{}/end_to_end/good-configurations/least.toml", env!("CARGO_MANIFEST_DIR"));
        let output = bridge().args(["config", "--config", &file]).env(name, url).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout) + &text(output.stderr))
    };
    let (code, shown) = config("AWS_ENDPOINT_URL_SQS", "https://sqs.example.com");
    assert!(code == Some(0) && shown.contains("https://sqs.example.com/"), "{shown}");
    assert!(shown.contains("https://dynamodb.us-east-1.amazonaws.com/"), "{shown}");
    for name in ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_SQS", "AWS_ENDPOINT_URL_DYNAMODB", "AWS_ENDPOINT_URL_STS"] {
        let (code, said) = config(name, "http://10.0.0.1:4566");
        assert!(code == Some(64) && said.contains("plain http is for loopback only"), "{name}: {code:?} {said}");
    }
    assert_eq!(config("AWS_ENDPOINT_URL", "http://127.0.0.1:4566").0, Some(0));
}

#[test]
fn the_contracts_can_be_printed() {
    for contract in ["event", "record", "reasons", "config"] {
        let (code, text, _) = run(&["schema", contract]);
        assert_eq!(code, Some(0));
        serde_json::from_str::<serde_json::Value>(&text).unwrap();
    }
    must(bridge().args(["schema", "asyncapi"]));
    must(bridge().args(["completions", "bash"]));
}
