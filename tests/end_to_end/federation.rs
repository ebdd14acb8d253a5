//! From one cloud into the other without a stored secret, by the built program, against endpoints that verify (`trust.rs`), with localcloud
//! behind them (docs/identity.md).

use std::{
    process::Command,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    identity::program,
    places::Served,
    program::{Clouds, Running, bridge, day},
    trust::{AUDIENCE, Books, CLIENT, FOREIGN_ROLE, Setup, TENANT, Trust},
};

/// A life that ends five times while a test runs. The bridge renews at half of it.
const SHORT: Duration = Duration::from_secs(4);

/// Both clouds, and those who vouch for the processes of one in the other.
struct World {
    clouds: Clouds,
    trust: Trust,
}

impl World {
    fn start() -> Self {
        let clouds = Clouds::start(&["--without-workers"]);
        let at = |key: &str| clouds.ready["sites"]["aws:us-east-1"][key].as_str().unwrap().to_owned();
        let trust = Trust::start([&at("sqs_endpoint"), &at("dynamodb_endpoint")]);
        Self { clouds, trust }
    }

    /// The configuration of a process on `cloud`: the other cloud's site has no key.
    fn config(&self, cloud: &str) -> String {
        let text = std::fs::read_to_string(self.clouds.config()).unwrap();
        let at = self.trust.address();
        let (drop, replace): (&[&str], _) = if cloud == "aws" {
            let keys = format!(
                "service_bus_namespace = \"example.servicebus.windows.net\"\nfrom_aws_client_id = \"{CLIENT}\"\nfrom_aws_tenant_id = \"{TENANT}\"\n"
            );
            (&["service_bus_connection_string", "cosmos_key"], ("[sites.\"azure:westeurope\"]\n", keys))
        } else {
            let keys = format!(
                "from_azure_role_arn = \"{FOREIGN_ROLE}\"\nfrom_azure_audience = \"{AUDIENCE}\"\nsqs_endpoint = \"{at}\"\ndynamodb_endpoint = \"{at}\"\n"
            );
            (
                &["access_key_id", "secret_access_key", "sqs_endpoint", "dynamodb_endpoint"],
                ("[sites.\"aws:us-east-1\"]\n", keys),
            )
        };
        let kept = text.lines().filter(|line| !drop.iter().any(|key| line.starts_with(key)));
        let text = kept.fold(String::new(), |text, line| text + line + "\n");
        text.replace(replace.0, &format!("{}{}", replace.0, replace.1))
    }

    /// The program on `cloud`: with what its place sets, and nothing of this machine's own.
    fn on(&self, cloud: &str) -> (Command, TempDir) {
        let (mut command, home) = program();
        let at = self.trust.address();
        if cloud == "aws" {
            command.env("AWS_CONTAINER_CREDENTIALS_FULL_URI", format!("{at}/container"));
        } else {
            command.env("IDENTITY_ENDPOINT", format!("{at}/app/token")).env("IDENTITY_HEADER", "let-me-in\n");
        }
        command
            .env("AWS_ENDPOINT_URL_STS", format!("{at}/sts"))
            .env("AZURE_AUTHORITY_HOST", self.trust.secure_address())
            .env("SSL_CERT_FILE", Served::authority())
            .env("BRIDGE_CONFIG", self.config(cloud));
        (command, home)
    }

    fn worker(&self, site: &str) -> (Running, TempDir) {
        let (mut command, home) = self.on(site.split(':').next().unwrap());
        command.args(["run", "--site", site, "--log", "warn"]);
        (Running::start(&mut command), home)
    }

    /// Writes a key at `origin`, and waits until both clouds have it.
    fn crosses(&self, origin: &str, number: u32) {
        let event = json!({
            "event_id": format!("01936d6e-8a3c-7c61-9d0b-0f3a5a3c{number:04}"), "source_region": origin, "op_type": "create",
            "payload": { "id": format!("order-{number}") }, "timestamp": format!("{}T00:00:00Z", day()),
        });
        let file = self.clouds.file("event.json");
        std::fs::write(&file, format!("{event}\n")).unwrap();
        let run =
            |arguments: &[&str]| bridge().args(arguments).arg("--config").arg(self.clouds.config()).output().unwrap();
        let sent = run(&["publish", file.to_str().unwrap()]);
        assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
        let start = Instant::now();
        loop {
            let got = run(&["get", &format!("order-{number}")]);
            let got = String::from_utf8_lossy(&got.stdout).into_owned();
            if got.contains("all 2 sites agree") {
                return;
            }
            assert!(start.elapsed() < Duration::from_secs(30), "{number}: {got}\n{:?}", self.trust.books());
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// What `bridge doctor` of a process on `cloud` finds bad at the other's site.
    fn doctor(&self, cloud: &str) -> Vec<Value> {
        let (mut command, _home) = self.on(cloud);
        let other = if cloud == "aws" { "azure:westeurope" } else { "aws:us-east-1" };
        let output = command.args(["doctor", "--read-only", "--json"]).output().unwrap();
        let said: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
        let findings = said["findings"].as_array().unwrap().iter();
        findings.filter(|finding| finding["state"] == "bad" && finding["site"] == other).cloned().collect()
    }

    /// The one sentence about a broken link of trust.
    fn broken(&self, cloud: &str, breaks: impl FnOnce(&mut Setup), parts: &[&str]) {
        self.trust.set(|setup| {
            *setup = Setup::default();
            breaks(setup);
        });
        let found = self.doctor(cloud);
        assert_eq!(found.len(), 1, "{found:#?}");
        let told = found[0]["found"].as_str().unwrap();
        assert_eq!(found[0]["check"], "credentials", "{told}");
        for part in parts {
            assert!(told.contains(part), "{part:?} is not in: {told}");
        }
        assert!(!told.contains("eyJ"), "a token is shown: {told}");
    }
}

#[test]
fn a_worker_on_aws_reaches_azure_over_five_rotations() {
    let world = World::start();
    world.trust.set(|setup| setup.life = SHORT);
    let _here = world.worker("aws:us-east-1");
    let _there = world.clouds.worker("azure:westeurope");
    let bus = "https://servicebus.azure.net/.default";
    let (start, mut number) = (Instant::now(), 0);
    while world.trust.books().entra.get(bus).copied().unwrap_or_default() < 6 {
        assert!(start.elapsed() < Duration::from_secs(60), "{:?}", world.trust.books());
        number += 1;
        world.crosses("aws:us-east-1", number);
    }
    // While STS and Entra ID are away, the token is still good.
    let renewed = world.trust.books();
    world.trust.set(|setup| setup.away = true);
    number += 1;
    world.crosses("aws:us-east-1", number);
    world.trust.set(|setup| setup.away = false);
    let entra = &world.trust.books().entra;
    assert!(renewed.entra[bus] <= entra[bus]);
    // Cosmos DB takes the same identity's own token.
    let (mut get, _home) = world.on("aws");
    let got = get.args(["get", "order-1"]).output().unwrap();
    let got = String::from_utf8_lossy(&got.stdout);
    assert!(got.contains("all 2 sites agree"), "{got}");
    assert!(world.trust.books().entra["https://cosmos.azure.com/.default"] >= 1);
}

#[test]
fn a_worker_on_azure_reaches_aws_over_five_rotations_and_a_freeze() {
    let world = World::start();
    world.trust.set(|setup| setup.life = SHORT);
    let (here, _home) = world.worker("azure:westeurope");
    let _there = world.clouds.worker("aws:us-east-1");
    let (start, mut number) = (Instant::now(), 0);
    while world.trust.books().assumed < 6 {
        assert!(start.elapsed() < Duration::from_secs(60), "{:?}", world.trust.books());
        number += 1;
        world.crosses("azure:westeurope", number);
    }
    // As a function is: the token ends meanwhile.
    here.signal("STOP");
    std::thread::sleep(SHORT + Duration::from_secs(1));
    here.signal("CONT");
    world.crosses("azure:westeurope", number + 1);
    let Books { passed, refused, .. } = world.trust.books();
    assert!(passed > number && refused == 0, "a token that had ended was shown: {:?}", world.trust.books());
}

#[test]
fn each_broken_link_from_aws_to_azure_is_named() {
    let world = World::start();
    world.broken(
        "aws",
        |setup| setup.outbound_enabled = false,
        &["outbound identity federation is not enabled", "enable-outbound-web-identity-federation"],
    );
    world.broken(
        "aws",
        |setup| setup.may_ask_for_token = false,
        &["allow it sts:GetWebIdentityToken", "api://AzureADTokenExchange"],
    );
    let shown = "subject arn:aws:iam::123456789012:role/bridge-worker";
    world.broken(
        "aws",
        |setup| setup.entra_issuer = "https://other",
        &["no federated credential of the app or identity has this issuer", "issuer https://0f1e2d3c", shown],
    );
    world.broken(
        "aws",
        |setup| setup.entra_audience = "api://other",
        &["no federated credential has this audience", "from_aws_audience"],
    );
    world.broken(
        "aws",
        |setup| setup.entra_subject = "arn:aws:iam::123456789012:role/Bridge-Worker",
        &["no federated credential has this subject", shown],
    );
    world.broken("aws", |setup| setup.ended = true, &["has expired", "clock"]);
    world.broken("aws", |setup| setup.keys_changed = true, &["signature", "was not verified"]);
    world.broken(
        "aws",
        |setup| setup.entra_client = "other",
        &["has no app or identity 6f2b1a52", "from_aws_client_id"],
    );
    world.broken("aws", |setup| setup.entra_tenant = "other", &["there is no tenant 0c1b7c9a", "from_aws_tenant_id"]);
    world.broken("aws", |setup| setup.away = true, &["STS:", "503"]);
    world.trust.set(|setup| *setup = Setup::default());
    assert_eq!(world.doctor("aws"), [Value::Null; 0], "with nothing broken, nothing is bad");
}

#[test]
fn each_broken_link_from_azure_to_aws_is_named() {
    let world = World::start();
    world.broken(
        "azure",
        |setup| setup.iam_issuer = None,
        &["no identity provider in IAM for this issuer", "issuer https://sts.windows.net/"],
    );
    world.broken(
        "azure",
        |setup| setup.iam_audience = "api://other",
        &["does not list this audience", "from_azure_audience (api://bridge-aws)"],
    );
    world.broken("azure", |setup| setup.role_subject = "other", &["may not be assumed", "subject c9a2f110"]);
    world.broken("azure", |setup| setup.role = "other", &["may not be assumed", FOREIGN_ROLE]);
    world.broken("azure", |setup| setup.ended = true, &["the token has expired", "clock"]);
    world.broken("azure", |setup| setup.keys_changed = true, &["the token was not verified"]);
    world.broken("azure", |setup| setup.away = true, &["STS:", "503"]);
    world.trust.set(|setup| *setup = Setup::default());
    assert_eq!(world.doctor("azure"), [Value::Null; 0], "with nothing broken, nothing is bad");
}

#[test]
fn the_configuration_shows_which_way_is_used() {
    let world = World::start();
    let shown = |cloud: &str, own: &str| {
        let (mut command, _home) = world.on(cloud);
        let output = command.args(["config", "--json", "--site", own]).output().unwrap();
        let entries: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
        let of = |site: &str| {
            let key = format!("{site} (identity)");
            let entry = entries.iter().find(|entry| entry["key"].as_str().unwrap().ends_with(&key)).unwrap();
            entry["value"].as_str().unwrap().to_owned()
        };
        (of("aws:us-east-1"), of("azure:westeurope"))
    };
    let keys = "service_bus_connection_string and cosmos_key".to_owned();
    assert_eq!(shown("aws", "aws:us-east-1"), ("access_key_id".to_owned(), "role of AWS".to_owned()));
    assert_eq!(shown("azure", "azure:westeurope"), ("identity of Azure".to_owned(), keys));
}
