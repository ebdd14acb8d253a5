//! Every link of both clouds' chains of identities, against local endpoints that keep what they were asked (docs/identity.md).

use std::{
    collections::BTreeMap,
    io::Write,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use serde_json::json;
use tempfile::TempDir;

use crate::{
    places::{Asked, Places, Served},
    program::{Running, bridge},
};

const CLIENT: &str = "6f2b1a52-6f0a-4f0e-9d53-0c1b7c9a2f11";
const OTHER_CLIENT: &str = "11111111-6f0a-4f0e-9d53-0c1b7c9a2f11";

/// The program without anything of this machine's own identity.
pub(crate) fn program() -> (Command, TempDir) {
    let home = tempfile::tempdir().unwrap();
    let mut command = bridge();
    for (name, _) in std::env::vars() {
        let upper = name.to_ascii_uppercase();
        if ["AWS_", "AZURE_", "IDENTITY_", "MSI_"].iter().any(|prefix| upper.starts_with(prefix))
            || upper.ends_with("_PROXY")
        {
            command.env_remove(name);
        }
    }
    // Neither az nor azd is found.
    command.env("HOME", home.path()).env("PATH", home.path()).env("AWS_EC2_METADATA_DISABLED", "true");
    (command, home)
}

fn text(path: PathBuf, text: &str) -> PathBuf {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::File::create(&path).unwrap().write_all(text.as_bytes()).unwrap();
    path
}

/// Reads a record from the store of AWS, which is one of the places, and returns whose key signed the request.
fn signed_by(places: &Places, variables: &[(&str, &str)], prepare: impl FnOnce(&Path)) -> Option<String> {
    let (mut command, home) = program();
    prepare(home.path());
    let at = places.address();
    let config = format!(
        "[sites.\"aws:us-east-1\"]\ndynamodb_endpoint = \"{at}\"\nsqs_endpoint = \"{at}\"\ntable = \"bridge-records\"\n         queue_url = \"{at}/123456789012/q\"\ndead_letter_queue_url = \"{at}/123456789012/d\"\n"
    );
    let home = home.path().display().to_string();
    let variables = variables.iter().map(|(name, value)| (*name, value.replace("PLACE", at).replace("HOME", &home)));
    let output = command.args(["get", "k", "--config", &config]).envs(variables).output().unwrap();
    let of_table = places
        .asked()
        .into_iter()
        .rfind(|asked| asked.header("x-amz-target").is_some_and(|target| target.ends_with("GetItem")));
    let signed = of_table.map(|asked| asked.header("authorization").unwrap().to_owned());
    let Some(signed) = signed else { panic!("nothing was signed: {}", String::from_utf8_lossy(&output.stdout)) };
    Some(signed.split_once("Credential=")?.1.split_once('/')?.0.to_owned())
}

fn found(places: &Places, path: &str) -> Asked {
    let asked = places.asked();
    let one = asked.iter().rfind(|asked| asked.path == path);
    one.cloned().unwrap_or_else(|| panic!("{path} was not asked: {asked:#?}"))
}

#[test]
fn aws_takes_a_key_of_the_environment_without_its_lines_end() {
    let places = Places::start();
    let keys = [("AWS_ACCESS_KEY_ID", "AKIDENVIRONMENT\n"), ("AWS_SECRET_ACCESS_KEY", "s\n")];
    assert_eq!(signed_by(&places, &keys, |_| {}).as_deref(), Some("AKIDENVIRONMENT"));
}

#[test]
fn aws_asks_the_container_with_its_token() {
    let places = Places::start();
    let variables =
        [("AWS_CONTAINER_CREDENTIALS_FULL_URI", "PLACE/container"), ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "let-me-in")];
    assert_eq!(signed_by(&places, &variables, |_| {}).as_deref(), Some("AKIDCONTAINER"));
    assert_eq!(found(&places, "/container").header("authorization"), Some("let-me-in"));
}

#[test]
fn aws_asks_the_instance_with_a_session() {
    let places = Places::start();
    let variables = [("AWS_EC2_METADATA_SERVICE_ENDPOINT", "PLACE"), ("AWS_EC2_METADATA_DISABLED", "false")];
    assert_eq!(signed_by(&places, &variables, |_| {}).as_deref(), Some("AKIDINSTANCE"));
    let asked = places.asked();
    let role = asked.iter().find(|asked| asked.path.ends_with("/worker-role")).unwrap();
    assert_eq!(role.header("x-aws-ec2-metadata-token"), Some("a-session"));
}

#[test]
fn aws_assumes_a_role_by_a_web_identity() {
    let places = Places::start();
    let variables = [
        ("AWS_WEB_IDENTITY_TOKEN_FILE", "HOME/token"),
        ("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/bridge"),
        ("AWS_ENDPOINT_URL_STS", "PLACE/sts"),
    ];
    let token = |home: &Path| drop(text(home.join("token"), "a.web.token"));
    assert_eq!(signed_by(&places, &variables, token).as_deref(), Some("AKIDROLE"));
    let asked = found(&places, "/sts/").body;
    for part in ["Action=AssumeRoleWithWebIdentity", "WebIdentityToken=a.web.token", "role%2Fbridge"] {
        assert!(asked.contains(part), "{asked}");
    }
}

#[test]
fn aws_profiles_run_a_credential_process() {
    let places = Places::start();
    let profile = |home: &Path| {
        let answer = json!({ "Version": 1, "AccessKeyId": "AKIDPROCESS", "SecretAccessKey": "s" });
        let script = text(home.join("process"), &format!("#!/bin/sh\necho '{answer}'\n"));
        std::fs::set_permissions(&script, PermissionsExt::from_mode(0o700)).unwrap();
        text(home.join(".aws/config"), &format!("[profile ops]\ncredential_process = {}\n", script.display()));
    };
    let variables = [("AWS_PROFILE", "ops"), ("PATH", "/usr/bin:/bin")];
    assert_eq!(signed_by(&places, &variables, profile).as_deref(), Some("AKIDPROCESS"));
}

#[test]
fn aws_profiles_use_what_sso_signed_in() {
    let places = Places::start();
    let profile = |home: &Path| {
        let sso = "sso_start_url = https://example.awsapps.com/start\nsso_region = us-east-1\nsso_account_id = 123456789012\nsso_role_name = ops\n";
        text(home.join(".aws/config"), &format!("[profile ops]\n{sso}"));
        // Named after the SHA-1 of the start URL, as `aws sso login` does.
        let cached = json!({ "accessToken": "signed-in", "expiresAt": "2099-01-01T00:00:00Z" });
        text(home.join(".aws/sso/cache/e8be5486177c5b5392bd9aa76563515b29358e6e.json"), &cached.to_string());
    };
    let variables = [("AWS_PROFILE", "ops"), ("AWS_ENDPOINT_URL_SSO", "PLACE/sso")];
    assert_eq!(signed_by(&places, &variables, profile).as_deref(), Some("AKIDSSO"));
    let asked = found(&places, "/sso/federation/credentials");
    assert_eq!(asked.header("x-amz-sso_bearer_token"), Some("signed-in"));
    assert!(
        asked.query.contains("role_name=ops") && asked.query.contains("account_id=123456789012"),
        "{}",
        asked.query
    );
}

/// What `bridge doctor` says of a site of AWS whose identity is broken: one finding. Nothing was signed.
fn broken_on_aws(variables: &[(&str, &str)]) -> String {
    let places = Places::start();
    let (mut command, home) = program();
    let at = places.address();
    let config = format!(
        "[sites.\"aws:us-east-1\"]\ndynamodb_endpoint = \"{at}\"\nsqs_endpoint = \"{at}\"\ntable = \"bridge-records\"\nqueue_url = \"{at}/123456789012/q\"\ndead_letter_queue_url = \"{at}/123456789012/d\"\n"
    );
    let home = home.path().display().to_string();
    let variables = variables.iter().map(|(name, value)| (*name, value.replace("PLACE", at).replace("HOME", &home)));
    let output =
        command.args(["doctor", "--read-only", "--json", "--config", &config]).envs(variables).output().unwrap();
    let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let findings = said["findings"].as_array().unwrap().iter();
    let bad: Vec<_> = findings.filter(|finding| finding["state"] == "bad").collect();
    assert!(bad.len() == 1 && bad[0]["check"] == "credentials", "{said:#}");
    assert!(places.asked().iter().all(|asked| asked.header("x-amz-target").is_none()), "something was signed");
    bad[0]["found"].as_str().unwrap().to_owned()
}

/// Another identity in the place of one that is set up and broken would hide what is wrong with it. The container would give a key.
#[test]
fn aws_does_not_go_on_past_a_link_that_is_broken() {
    let container = ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "PLACE/container");
    for (variable, told) in [
        (("AWS_PROFILE", "nobody"), "profile: AWS_PROFILE names \"nobody\", and no file has a profile of this name"),
        (("AWS_ACCESS_KEY_ID", "AKIDLONELY"), "environment: AWS_ACCESS_KEY_ID is set without AWS_SECRET_ACCESS_KEY"),
        (("AWS_SECRET_ACCESS_KEY", "hush"), "environment: AWS_SECRET_ACCESS_KEY is set without AWS_ACCESS_KEY_ID"),
        (
            ("AWS_WEB_IDENTITY_TOKEN_FILE", "HOME/token"),
            "web identity: AWS_WEB_IDENTITY_TOKEN_FILE is set without AWS_ROLE_ARN",
        ),
        (
            ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "let\nme-in"),
            "container: AWS_CONTAINER_AUTHORIZATION_TOKEN has a character",
        ),
    ] {
        let found = broken_on_aws(&[container, variable]);
        assert!(found.contains(told) && found.contains("asked in this order: environment: "), "{found}");
        assert!(!found.contains("hush") && !found.contains("instance"), "{found}");
    }
    let gone =
        [("AWS_WEB_IDENTITY_TOKEN_FILE", "HOME/gone"), ("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/bridge")];
    let found = broken_on_aws(&[gone[0], gone[1], container]);
    assert!(found.contains("web identity: ") && found.contains("No such file"), "{found}");
}

#[test]
fn an_identity_service_that_hangs_is_named_and_is_an_outage() {
    let found = broken_on_aws(&[("AWS_CONTAINER_CREDENTIALS_FULL_URI", "PLACE/hangs")]);
    assert!(found.contains("container: did not answer within 3 s"), "{found}");
    let places = Places::start();
    let variables = [("IDENTITY_ENDPOINT", "PLACE/hangs"), ("IDENTITY_HEADER", "let-me-in")];
    let (shown, said) = tokens(&places, &variables, "", |_| {});
    assert_eq!(shown, BTreeMap::new());
    assert!(said.contains("a container app: did not answer within 3 s"), "{said}");
}

/// The end does not wait for one either.
#[test]
fn a_worker_ends_at_once_while_its_identity_service_hangs() {
    let places = Places::start();
    let at = places.address();
    let config = format!(
        "[sites.\"azure:westeurope\"]\nservice_bus_namespace = \"example.servicebus.windows.net\"\nservice_bus_http_endpoint = \"{at}/bus\"\nqueue = \"q\"\ndead_letter_queue = \"d\"\ncosmos_endpoint = \"{at}/\"\ndatabase = \"b\"\ncontainer = \"r\"\n\n[sites.\"aws:us-east-1\"]\ndynamodb_endpoint = \"{at}\"\nsqs_endpoint = \"{at}\"\ntable = \"bridge-records\"\nqueue_url = \"{at}/123456789012/q\"\ndead_letter_queue_url = \"{at}/123456789012/d\"\n"
    );
    for site in ["aws:us-east-1", "azure:westeurope"] {
        // At the start, and once it works.
        for after in [1, 9] {
            let (mut command, _home) = program();
            command.env("AWS_CONTAINER_CREDENTIALS_FULL_URI", format!("{at}/hangs"));
            command.env("IDENTITY_ENDPOINT", format!("{at}/hangs")).env("IDENTITY_HEADER", "let-me-in");
            let mut worker =
                Running::start(command.args(["run", "--site", site, "--log", "error", "--config", &config]));
            std::thread::sleep(Duration::from_secs(after));
            worker.signal("TERM");
            worker.end(Duration::from_secs(5));
        }
    }
}

#[test]
fn a_header_of_the_environment_loses_its_lines_end_and_nothing_panics() {
    let places = Places::start();
    let variables = [("IDENTITY_ENDPOINT", "PLACE/app/token\n"), ("IDENTITY_HEADER", "let-me-in\r\n")];
    both(&tokens(&places, &variables, "", |_| {}), "token-of-an-app");
    assert_eq!(found(&places, "/app/token").header("x-identity-header"), Some("let-me-in"));
    let places = Places::start();
    let variables = [("IDENTITY_ENDPOINT", "PLACE/app/token"), ("IDENTITY_HEADER", "let\nme-in")];
    let (shown, said) = tokens(&places, &variables, "", |_| {});
    assert!(shown.is_empty() && said.contains("IDENTITY_HEADER has a character that no header carries"), "{said}");
    // Others that become headers of the SDK's own requests.
    for name in ["AWS_SDK_UA_APP_ID", "_X_AMZN_TRACE_ID"] {
        let places = Places::start();
        let keys = [("AWS_ACCESS_KEY_ID", "AKIDENVIRONMENT"), ("AWS_SECRET_ACCESS_KEY", "s"), (name, "a\nb\u{1}c")];
        assert_eq!(signed_by(&places, &keys, |_| {}).as_deref(), Some("AKIDENVIRONMENT"), "{name}");
    }
    let (mut command, _home) = program();
    let file = format!("{}/end_to_end/good-configurations/least.toml", env!("CARGO_MANIFEST_DIR"));
    let output = command.args(["config", "--config", &file]).env("AWS_EXECUTION_ENV", "a\nb").output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(64) && said.contains("AWS_EXECUTION_ENV has a character"), "{said}");
}

/// Looks at a site of Azure, whose services are places too: what was asked, and the tokens that Service Bus and Cosmos DB were shown.
fn tokens(
    places: &Places,
    variables: &[(&str, &str)],
    keys: &str,
    prepare: impl FnOnce(&Path),
) -> (BTreeMap<&'static str, String>, String) {
    let (mut command, home) = program();
    prepare(home.path());
    let at = places.address();
    let config = format!(
        "[sites.\"azure:westeurope\"]\nservice_bus_namespace = \"example.servicebus.windows.net\"\nservice_bus_http_endpoint = \"{at}/bus\"\n         queue = \"q\"\ndead_letter_queue = \"d\"\ncosmos_endpoint = \"{at}/\"\ndatabase = \"b\"\ncontainer = \"r\"\n{keys}\n"
    );
    let home = home.path().display().to_string();
    let secure = places.secure_address();
    // What does not answer is nobody's metadata service.
    command.env("AZURE_POD_IDENTITY_AUTHORITY_HOST", "http://127.0.0.1:1").env("SSL_CERT_FILE", Served::authority());
    let fill = |value: &str| value.replace("SECURE", secure).replace("PLACE", at).replace("HOME", &home);
    let variables = variables.iter().map(|(name, value)| (*name, fill(value)));
    let output =
        command.args(["doctor", "--read-only", "--json", "--config", &config]).envs(variables).output().unwrap();
    let mut shown = BTreeMap::new();
    for asked in places.asked() {
        let Some(token) = asked.header("authorization") else { continue };
        if asked.path == "/bus/q" {
            shown.insert("Service Bus", token.to_owned());
        } else if asked.path == "/" {
            shown.insert("Cosmos DB", token.replace("%2D", "-"));
        }
    }
    (shown, String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Both services were shown a token, and this one.
fn both(shown: &(BTreeMap<&'static str, String>, String), token: &str) {
    for service in ["Service Bus", "Cosmos DB"] {
        assert!(shown.0.get(service).is_some_and(|shown| shown.contains(token)), "{service}: {shown:#?}");
    }
}

/// What the identity services were asked for: each service's own resource, by this client.
fn resources(places: &Places, path: &str, client: Option<&str>) {
    let asked: Vec<Asked> =
        places.asked().into_iter().filter(|asked| asked.path == path && asked.query.contains("resource=")).collect();
    for resource in ["https%3A%2F%2Fservicebus.azure.net", "https%3A%2F%2Fcosmos.azure.com"] {
        let wanted = format!("resource={resource}");
        assert!(asked.iter().any(|asked| asked.query.split('&').any(|part| part == wanted)), "{resource}: {asked:#?}");
    }
    for asked in &asked {
        let named = asked.query.split('&').find_map(|part| part.strip_prefix("client_id="));
        assert_eq!(named, client, "{asked:#?}");
    }
}

#[test]
fn azure_asks_the_virtual_machine_for_the_identity_that_is_named() {
    let metadata = ("AZURE_POD_IDENTITY_AUTHORITY_HOST", "PLACE");
    let path = "/metadata/identity/oauth2/token";
    let places = Places::start();
    both(&tokens(&places, &[metadata], "", |_| {}), "token-of-a-machine");
    resources(&places, path, None);
    let places = Places::start();
    both(&tokens(&places, &[metadata, ("AZURE_CLIENT_ID", CLIENT)], "", |_| {}), "token-of-a-machine");
    resources(&places, path, Some(CLIENT));
    let places = Places::start();
    let key = format!("identity_client_id = \"{OTHER_CLIENT}\"");
    both(&tokens(&places, &[metadata, ("AZURE_CLIENT_ID", CLIENT)], &key, |_| {}), "token-of-a-machine");
    resources(&places, path, Some(OTHER_CLIENT));
}

#[test]
fn azure_asks_the_app_with_its_header_for_the_identity_that_is_named() {
    let places = Places::start();
    let variables =
        [("IDENTITY_ENDPOINT", "PLACE/app/token"), ("IDENTITY_HEADER", "let-me-in"), ("AZURE_CLIENT_ID", CLIENT)];
    both(&tokens(&places, &variables, "", |_| {}), "token-of-an-app");
    resources(&places, "/app/token", Some(CLIENT));
    assert_eq!(found(&places, "/app/token").header("x-identity-header"), Some("let-me-in"));
}

#[test]
fn azure_signs_a_service_principal_in_by_its_secret() {
    let places = Places::start();
    let variables = [
        ("AZURE_AUTHORITY_HOST", "SECURE"),
        ("AZURE_TENANT_ID", "a-tenant"),
        ("AZURE_CLIENT_ID", CLIENT),
        ("AZURE_CLIENT_SECRET", "hush\n"),
    ];
    both(&tokens(&places, &variables, "", |_| {}), "token-of-a-principal");
    let asked = found(&places, "/a-tenant/oauth2/v2.0/token").body;
    for part in ["client_secret=hush&", &format!("client_id={CLIENT}"), "grant_type=client_credentials"] {
        assert!(asked.contains(part), "{asked}");
    }
    assert!(!tokens(&places, &variables, "", |_| {}).1.contains("hush"));
}

#[test]
fn azure_signs_a_workload_in_by_its_federated_token() {
    let places = Places::start();
    let variables = [
        ("AZURE_AUTHORITY_HOST", "SECURE"),
        ("AZURE_TENANT_ID", "a-tenant"),
        ("AZURE_CLIENT_ID", CLIENT),
        ("AZURE_FEDERATED_TOKEN_FILE", "HOME/token"),
    ];
    both(
        &tokens(&places, &variables, "", |home| drop(text(home.join("token"), "a.pod.token"))),
        "token-of-a-principal",
    );
    let asked = found(&places, "/a-tenant/oauth2/v2.0/token").body;
    assert!(
        asked.contains("client_assertion=a.pod.token") && asked.contains(&format!("client_id={CLIENT}")),
        "{asked}"
    );
}

/// One sentence, and no advice on rights.
#[test]
fn a_process_without_any_identity_is_told_so_once_for_each_site() {
    let places = Places::start();
    let (shown, said) = tokens(&places, &[], "", |_| {});
    assert_eq!(shown, BTreeMap::new());
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    let findings: Vec<_> =
        said["findings"].as_array().unwrap().iter().filter(|finding| finding["state"] == "bad").collect();
    assert_eq!(findings.len(), 1, "{said:#}");
    let found = findings[0]["found"].as_str().unwrap();
    for part in
        ["no credentials were found", "AZURE_CLIENT_SECRET is not set", "did not answer within 1 s", "az not found"]
    {
        assert!(found.contains(part), "{found}");
    }
    assert!(findings[0]["mend"].as_str().unwrap().contains("docs/identity.md"));
}
