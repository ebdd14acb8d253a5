//! Which requests a proxy of the environment sees: none to this machine, and all that leave it over HTTPS.

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    sync::{Arc, Mutex},
};

use crate::program::{Clouds, bridge, day};

/// Something that is no proxy, and keeps what it was asked first.
fn proxy() -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let kept = Arc::clone(&asked);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            let mut line = String::new();
            let _ = BufReader::new(&stream).read_line(&mut line);
            kept.lock().unwrap().push(line.trim().to_owned());
            let _ = stream.write_all(b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        }
    });
    (address, asked)
}

const NAME_OF_THE_MACHINE: &str = "GET http://169.254.169.254/metadata/instance?";

const NAMES: [&str; 6] = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"];

#[test]
fn nothing_for_this_machine_goes_to_a_proxy() {
    let (address, asked) = proxy();
    let variables: Vec<(&str, &str)> = NAMES.iter().map(|name| (*name, address.as_str())).collect();
    let clouds = Clouds::start_with(&[], &variables);
    let event = serde_json::json!({
        "event_id": "01936d6e-8a3c-7c61-9d0b-0f3a5a3c9e11", "source_region": "aws:us-east-1", "op_type": "create",
        "payload": { "id": "order-42" }, "timestamp": format!("{}T00:00:00Z", day()),
    });
    let file = clouds.file("event.json");
    std::fs::write(&file, format!("{event}\n")).unwrap();
    let run = |arguments: &[&str]| {
        let mut command = bridge();
        command.args(arguments).arg("--config").arg(clouds.config()).envs(variables.iter().copied());
        let output = command.output().unwrap();
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr),
        )
    };
    let sent = run(&["publish", file.to_str().unwrap()]);
    assert_eq!(sent.0, Some(0), "{}", sent.1);
    let mut got = run(&["get", "order-42"]);
    for _ in 0..300 {
        if got.1.contains("all 2 sites agree") {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
        got = run(&["get", "order-42"]);
    }
    assert!(got.1.contains("all 2 sites agree"), "{}", got.1);
    let doctor = run(&["doctor", "--json"]);
    assert_eq!(doctor.0, Some(0), "{}", doctor.1);
    // The SDK of Cosmos DB asks for its machine's name by a client of its own (docs/identity.md). That carries nothing.
    let asked: Vec<String> =
        asked.lock().unwrap().iter().filter(|line| !line.starts_with(NAME_OF_THE_MACHINE)).cloned().collect();
    assert_eq!(asked, [""; 0]);
}

#[test]
fn what_leaves_this_machine_over_https_goes_to_the_proxy_unless_it_is_named() {
    let text =
        |file: &str| std::fs::read_to_string(format!("{}/end_to_end/{file}", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let config = text("good-configurations/keys-with-a-line-end.toml").replace(
        "service_bus_namespace = \"example.servicebus.windows.net\"",
        "service_bus_connection_string = \"Endpoint=sb://example.servicebus.windows.net/;SharedAccessKeyName=n;SharedAccessKey=aHVzaA==\"",
    );
    let hosts = [
        "sqs.us-east-1.amazonaws.com:443",
        "dynamodb.us-east-1.amazonaws.com:443",
        "example.servicebus.windows.net:443",
        "example.documents.azure.com:443",
    ];
    for excepted in ["", "amazonaws.com,example.servicebus.windows.net"] {
        let (address, asked) = proxy();
        let mut command = bridge();
        command.args(["doctor", "--read-only", "--json", "--config", &config]);
        for name in NAMES {
            command.env_remove(name);
        }
        command.env("HTTPS_PROXY", &address).env_remove("no_proxy").env("NO_PROXY", excepted);
        command.output().unwrap();
        let asked = asked.lock().unwrap();
        for host in hosts {
            let seen = asked.iter().any(|line| line.starts_with(&format!("CONNECT {host} ")));
            let wanted = excepted.is_empty() || host.contains("documents");
            assert_eq!(seen, wanted, "{host}, NO_PROXY={excepted}: {asked:#?}");
        }
    }
}

/// Sources of credentials ask by the same rules: services on the Internet by the proxy, and those of the machine past it.
#[test]
fn issuers_of_credentials_are_asked_by_the_proxy_and_the_machine_is_not() {
    let file = format!("{}/end_to_end/good-configurations/least.toml", env!("CARGO_MANIFEST_DIR"));
    let asked = |variables: &[(&str, &str)], prepare: &dyn Fn(&std::path::Path)| {
        let (address, asked) = proxy();
        let (mut command, home) = crate::identity::program();
        prepare(home.path());
        let home = home.path().display().to_string();
        command
            .args(["doctor", "--read-only", "--json", "--config", &file])
            .env("HTTP_PROXY", &address)
            .env("HTTPS_PROXY", &address);
        command.envs(variables.iter().map(|(name, value)| (*name, value.replace("HOME", &home)))).output().unwrap();
        let asked = asked.lock().unwrap().clone();
        assert!(!asked.iter().any(|line| line.contains(":5671")), "AMQP: {asked:#?}");
        asked
    };
    let token = |home: &std::path::Path| std::fs::write(home.join("token"), "a.b.c").unwrap();
    let principal = [("AZURE_TENANT_ID", "t"), ("AZURE_CLIENT_ID", "c"), ("AZURE_CLIENT_SECRET", "s")];
    let web = [("AWS_WEB_IDENTITY_TOKEN_FILE", "HOME/token"), ("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/r")];
    let by_proxy = asked(&[&principal[..], &web[..]].concat(), &token);
    for host in ["sts.us-east-1.amazonaws.com:443", "login.microsoftonline.com:443"] {
        assert!(by_proxy.iter().any(|line| line.starts_with(&format!("CONNECT {host} "))), "{host}: {by_proxy:#?}");
    }
    let sso = |home: &std::path::Path| {
        let sso = "sso_start_url = https://example.awsapps.com/start\nsso_region = us-east-1\nsso_account_id = 123456789012\nsso_role_name = ops\n";
        std::fs::create_dir_all(home.join(".aws/sso/cache")).unwrap();
        std::fs::write(home.join(".aws/config"), format!("[profile ops]\n{sso}")).unwrap();
        let cached = serde_json::json!({ "accessToken": "signed-in", "expiresAt": "2099-01-01T00:00:00Z" });
        let name = ".aws/sso/cache/e8be5486177c5b5392bd9aa76563515b29358e6e.json";
        std::fs::write(home.join(name), cached.to_string()).unwrap();
    };
    let by_proxy = asked(&[("AWS_PROFILE", "ops")], &sso);
    assert!(
        by_proxy.iter().any(|line| line.starts_with("CONNECT portal.sso.us-east-1.amazonaws.com:443 ")),
        "{by_proxy:#?}"
    );
    // Both metadata services: no proxy sees the questions for credentials.
    let by_proxy = asked(&[("AWS_EC2_METADATA_DISABLED", "false")], &|_| {});
    let of_machine: Vec<_> =
        by_proxy.iter().filter(|line| line.contains("169.254.") && !line.starts_with(NAME_OF_THE_MACHINE)).collect();
    assert!(of_machine.is_empty(), "{of_machine:#?}");
}
