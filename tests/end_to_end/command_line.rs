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
    assert!(shown.contains("worker.attempts_max") && shown.contains("(deliveries; default)"), "{shown}");
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
    assert_eq!(status.code(), Some(0));
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
