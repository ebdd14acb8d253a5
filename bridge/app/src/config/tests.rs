//! What is accepted, what is refused, and in which words.

use super::*;

/// A site in each cloud.
pub(crate) const GOOD: &str = r#"
[sites."aws:us-east-1"]
queue_url = "https://sqs.us-east-1.amazonaws.com/123456789012/bridge-events"
dead_letter_queue_url = "https://sqs.us-east-1.amazonaws.com/123456789012/bridge-events-dead"
table = "bridge-records"

[sites."azure:westeurope"]
service_bus_namespace = "example.servicebus.windows.net"
queue = "bridge-events"
dead_letter_queue = "bridge-events-dead"
cosmos_endpoint = "https://example.documents.azure.com/"
database = "bridge"
container = "records"
"#;

fn load(text: &str, environment: &[(&str, &str)]) -> Result<Config, Vec<String>> {
    let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let sources = Sources { file: Some(text.to_owned()), site: Some("aws:us-east-1".to_owned()), environment };
    Config::load(&sources).map_err(|errors| errors.0)
}

#[test]
fn a_file_with_both_clouds_is_enough() {
    let config = load(GOOD, &[]).unwrap();
    assert_eq!(config.sites.len(), 2);
    assert_eq!(config.own_site().unwrap().as_str(), "aws:us-east-1");
    assert_eq!(config.message_bytes_max(), 262_144, "the narrowest site decides");
}

#[test]
fn every_key_can_be_overridden_and_says_where_its_value_is_from() {
    let environment = [("BRIDGE_WORKER_ATTEMPTS_MAX", "7"), ("BRIDGE_SITES_AWS_US_EAST_1_TABLE", "other")];
    let config = load(GOOD, &environment).unwrap();
    assert_eq!(config.policy.attempts_max, 7);
    let entry = |key: &str| config.entries.iter().find(|entry| entry.key == key).unwrap();
    assert_eq!(entry("sites.aws:us-east-1.table").origin, "BRIDGE_SITES_AWS_US_EAST_1_TABLE");
    assert_eq!(entry("worker.attempts_max").value.as_deref(), Some("7"));
    assert_eq!(entry("worker.forward").origin, "default");
}

#[test]
fn all_errors_are_reported_at_once() {
    let bad = GOOD
        .replace("table = \"bridge-records\"", "tablet = \"x\"")
        .replace("https://example.doc", "http://example.doc")
        + "[worker]\nattempts_max = 0\ntombstone_life_days = 20\nforward = \"some\"\n";
    let errors = load(&bad, &[("BRIDGE_WORKER_NOPE", "1"), ("BRIDGE_WORKER_CONCURRENT_WRITES", "many")]).unwrap_err();
    for expected in [
        "BRIDGE_CONFIG:5: sites.aws:us-east-1.tablet: unknown; did you mean table, as in table = \"bridge-records\"?",
        "plain http is for loopback only",
        "BRIDGE_CONFIG:15: worker.attempts_max: found 0; allowed is a whole number of deliveries from 1 to 1000, as in attempts_max = 20",
        "worker.tombstone_life_days: found 20; must be 58 or more for a worker.replay_window_days of 56",
        "worker.forward: found \"some\"; allowed is one of \"all\", \"latest\", as in forward = \"all\"",
        "BRIDGE_WORKER_NOPE: overrides no key",
        "BRIDGE_WORKER_CONCURRENT_WRITES: worker.concurrent_writes: found \"many\"; allowed is a whole number of records",
    ] {
        assert!(errors.iter().any(|error| error.contains(expected)), "{expected} is not in {errors:#?}");
    }
    assert_eq!(errors.len(), 7, "one for each mistake: {errors:#?}");
    let missing = load(&GOOD.replace("table = \"bridge-records\"", ""), &[]).unwrap_err();
    let expected = "BRIDGE_CONFIG:2: sites.aws:us-east-1.table: is missing: the site's table in DynamoDB; set it here or as BRIDGE_SITES_AWS_US_EAST_1_TABLE, as in table = \"bridge-records\"";
    assert_eq!(missing, [expected]);
}

/// What takes the place of a wrong value is nobody's, and a table is no text.
#[test]
fn one_mistake_is_one_error() {
    let worker = |text: &str| load(&format!("{GOOD}[worker]\n{text}\n"), &[]).unwrap_err();
    for (text, expected) in [
        ("tombstone_life_days = 0", "worker.tombstone_life_days: found 0; allowed is"),
        ("clock_skew_max_seconds = -1", "worker.clock_skew_max_seconds: found -1; allowed is"),
        ("key_pointer = 1", "worker.key_pointer: found 1; allowed is a text"),
        (
            "key_pointer = {}",
            "BRIDGE_CONFIG:15: worker.key_pointer: found a table; allowed is a text in quotes (JSON pointer), as in",
        ),
        ("attempts_max = { least = 1 }", "worker.attempts_max: found a table; allowed is a whole number"),
        ("attemps_max = 1", "worker.attemps_max: unknown; did you mean attempts_max, as in attempts_max = 20?"),
    ] {
        let errors = worker(text);
        assert!(errors.len() == 1 && errors[0].contains(expected), "{text}: {errors:#?}");
    }
    for key in ["table", "allow", "sqs_endpoint", "lease_seconds"] {
        let text = GOOD.replace(
            "table = \"bridge-records\"",
            &format!("{key} = {{}}\n{}", if key == "table" { "" } else { "table = \"bridge-records\"" }),
        );
        let errors = load(&text, &[]).unwrap_err();
        let expected = format!("BRIDGE_CONFIG:5: sites.aws:us-east-1.{key}: found a table; allowed is ");
        assert!(errors.len() == 1 && errors[0].starts_with(&expected), "{key}: {errors:#?}");
    }
}

/// A key in the wrong place is not shown, neither by an error nor by `bridge config`.
#[test]
fn no_address_shows_a_secret() {
    for (variable, value) in [
        (
            "BRIDGE_SITES_AZURE_WESTEUROPE_COSMOS_ENDPOINT",
            "AccountEndpoint=https://x.documents.azure.com:443/;AccountKey=hush==;",
        ),
        ("BRIDGE_SITES_AZURE_WESTEUROPE_COSMOS_ENDPOINT", "https://user:hush@x.documents.azure.com/"),
        ("BRIDGE_SITES_AZURE_WESTEUROPE_QUEUE", "Endpoint=sb://x/;SharedAccessKeyName=n;SharedAccessKey=hush"),
        ("BRIDGE_SITES_AWS_US_EAST_1_SQS_ENDPOINT", "http://user:hush@10.0.0.1"),
        ("BRIDGE_WORKER_METRICS_LISTEN", "http://u:hush@0.0.0.0:1"),
    ] {
        let errors = ConfigErrors(load(GOOD, &[(variable, value)]).unwrap_err()).to_string();
        assert!(!errors.contains("hush") && errors.contains(variable), "{errors}");
    }
    let config = load(GOOD, &[("BRIDGE_SITES_AZURE_WESTEUROPE_COSMOS_ENDPOINT", "https://x/?sig=hush")]).unwrap();
    assert!(config.entries.iter().all(|entry| !entry.value.as_deref().unwrap_or_default().contains("hush")));
}

#[test]
fn a_variable_that_nothing_reads_is_warned_of() {
    let config = load(
        GOOD,
        &[
            ("BRIDGE_LGO", "debug"),
            ("BRIDGE_PRIDE", "others"),
            ("BRIDGE_TRACE_RATIO", "1"),
            ("BRIDGE_SERVICE_BUS__clientId", "x"),
        ],
    )
    .unwrap();
    let expected = [
        "BRIDGE_LGO: the bridge reads no variable of this name; did you mean BRIDGE_LOG?",
        "BRIDGE_TRACE_RATIO: the bridge reads no variable of this name; did you mean BRIDGE_WORKER_TRACE_RATIO?",
    ];
    assert_eq!(config.warnings, expected);
    let sources = Sources { environment: [("BRIDGE_CONFG".to_owned(), "x".to_owned())].into(), ..Sources::default() };
    let errors = Config::load(&sources).unwrap_err().0;
    assert!(errors[1].contains("did you mean BRIDGE_CONFIG?"), "{errors:?}");
}

#[test]
fn two_sites_must_not_share_a_queue_or_a_store() {
    let twice = GOOD.to_owned()
        + &GOOD.replace("us-east-1\"]", "us-east-2\"]").replace("azure:westeurope", "azure:northeurope");
    let errors = load(&twice, &[]).unwrap_err();
    let same = "aws:us-east-2.queue_url: is the same as sites.aws:us-east-1.queue_url (BRIDGE_CONFIG:3); each needs one of its own";
    assert!(errors.iter().any(|error| error.contains(same)), "{errors:#?}");
    assert!(
        errors
            .iter()
            .any(|error| error.contains("azure:westeurope.queue: is the same as sites.azure:northeurope.queue")),
        "{errors:#?}"
    );
}

/// A queue of the same name in another region is another queue.
#[test]
fn the_queues_of_a_site_are_in_its_region() {
    let wrong = GOOD.replace("sqs.us-east-1", "sqs.us-west-2");
    let errors = load(&wrong, &[]).unwrap_err();
    for key in ["queue_url", "dead_letter_queue_url"] {
        let expected =
            format!("sites.aws:us-east-1.{key}: the queue is in us-west-2, and its site in us-east-1, as in {key}");
        assert!(errors.iter().any(|error| error.contains(&expected)), "{errors:#?}");
    }
}

#[test]
fn a_fifo_queue_is_refused_wherever_a_site_may_name_one() {
    for key in ["queue_url", "dead_letter_queue_url"] {
        let variable = format!("BRIDGE_SITES_AWS_US_EAST_1_{}", key.to_ascii_uppercase());
        let errors = load(GOOD, &[(&variable, "https://sqs.us-east-1.amazonaws.com/1/orders.fifo")]).unwrap_err();
        let expected = format!("sites.aws:us-east-1.{key}: orders.fifo is a FIFO queue: its five minutes");
        assert!(errors.len() == 1 && errors[0].contains(&expected), "{errors:#?}");
    }
}

#[test]
fn a_finding_is_allowed_by_its_name_and_by_no_other() {
    let allowing = |names: &str| load(GOOD, &[("BRIDGE_SITES_AWS_US_EAST_1_ALLOW", names)]);
    let allowed = |names: &str| {
        let config = allowing(names).unwrap();
        config.sites.values().map(|site| site.allow().iter().copied().collect()).collect::<Vec<Vec<_>>>()
    };
    assert_eq!(allowed(""), [[""; 0], []], "each site for itself");
    assert_eq!(allowed(" store.regions,queue.redrive , "), [vec!["queue.redrive", "store.regions"], vec![]]);
    let errors = allowing("store.regions, store.key").unwrap_err();
    let expected = "sites.aws:us-east-1.allow: found \"store.key\"; allowed is some of store.regions, store.key-size, queue.redrive";
    assert!(errors.len() == 1 && errors[0].contains(expected), "{errors:#?}");
}

/// Sizes first: of messages that are as large as their queue takes them, no more are taken than fit.
#[test]
fn a_container_takes_no_more_than_fits_into_its_bytes() {
    let taken = |bytes: &str, batches: &str, message: &str| {
        let environment = [
            ("BRIDGE_WORKER_INFLIGHT_BYTES_MAX", bytes),
            ("BRIDGE_WORKER_CONCURRENT_BATCHES", batches),
            ("BRIDGE_SITES_AZURE_WESTEUROPE_MESSAGE_BYTES_MAX", message),
        ];
        let config = load(GOOD, &environment).unwrap();
        let ContainerConfig { concurrent_batches, batch_messages_max, .. } =
            config.container_of(&"azure:westeurope".parse().unwrap());
        (concurrent_batches, batch_messages_max)
    };
    assert_eq!(taken("67108864", "2", "1048576"), (2, 32), "the defaults hold the largest messages of SQS");
    assert_eq!(taken("67108863", "2", "1048576"), (2, 31));
    assert_eq!(taken("16777216", "2", "1048576"), (2, 8));
    assert_eq!(taken("3145728", "8", "1048576"), (3, 1));
    assert_eq!(taken("1048576", "2", "104857600"), (1, 1), "one message is always taken");
    assert!(load(GOOD, &[("BRIDGE_WORKER_INFLIGHT_BYTES_MAX", "1000")]).is_err());
}

/// One namespace is one namespace, whatever key opens it; and what a plan keeps of a site has no secret.
#[test]
fn a_place_is_known_by_its_address_and_not_by_its_key() {
    let with = |region: &str, key: &str| {
        let secret = format!(
            "service_bus_connection_string = \"Endpoint=sb://Example.servicebus.windows.net/;SharedAccessKeyName=n;SharedAccessKey={key}\""
        );
        let site = GOOD.split_once("[sites.\"azure").unwrap().1;
        let site = site.replace("service_bus_namespace = \"example.servicebus.windows.net\"", &secret);
        format!(
            "[sites.\"azure{}",
            site.replace("westeurope", region).replace("example.documents", &format!("{region}.documents"))
        )
    };
    let errors = load(&format!("{GOOD}{}", with("northeurope", "hush")), &[]).unwrap_err();
    assert!(
        errors
            .iter()
            .any(|error| error.contains("azure:westeurope.queue: is the same as sites.azure:northeurope.queue")),
        "{errors:#?}"
    );
    let aws = GOOD.split_once("[sites.\"azure").unwrap().0;
    let config = load(&format!("{aws}{}", with("northeurope", "hush")), &[]).unwrap();
    let frame = serde_json::to_string(&config.frame()).unwrap();
    assert!(frame.contains("example.servicebus.windows.net bridge-events-dead") && !frame.contains("hush"), "{frame}");
    assert!(frame.contains("\"store\":\"us-east-1 bridge-records\""), "{frame}");
}

#[test]
fn what_is_no_configuration_is_read_no_further_than_its_bound() {
    for (file, expected) in [("/dev/zero", "has over 1048576 bytes"), ("/", "cannot be read")] {
        let sources = Sources { file: Some(file.to_owned()), ..Sources::default() };
        let error = &Config::load(&sources).unwrap_err().0[0];
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn metrics_are_served_on_loopback_unless_told_otherwise() {
    let listen = |text: &str| load(GOOD, &[("BRIDGE_WORKER_METRICS_LISTEN", text)]);
    assert_eq!(load(GOOD, &[]).unwrap().telemetry.metrics_listen, None);
    for (text, expected) in [("9464", "127.0.0.1:9464"), ("0.0.0.0:9464", "0.0.0.0:9464"), ("[::1]:1", "[::1]:1")] {
        assert_eq!(listen(text).unwrap().telemetry.metrics_listen, Some(expected.parse().unwrap()), "{text}");
    }
    let error = &listen("everywhere").unwrap_err()[0];
    assert!(
        error.contains("worker.metrics_listen: found \"everywhere\"; allowed is a port or address:port"),
        "{error}"
    );
}

#[test]
fn a_trace_ratio_is_a_part() {
    for ratio in ["-0.1", "1.1", "NaN"] {
        let error = &load(GOOD, &[("BRIDGE_WORKER_TRACE_RATIO", ratio)]).unwrap_err()[0];
        assert!(error.contains("worker.trace_ratio") && error.contains("0 to 1"), "{error}");
    }
}

#[test]
fn secrets_are_not_shown() {
    let text = GOOD.replace(
        "service_bus_namespace = \"example.servicebus.windows.net\"",
        "service_bus_connection_string = \"Endpoint=sb://x/;SharedAccessKeyName=n;SharedAccessKey=hush\"",
    );
    let config = load(&text, &[]).unwrap();
    assert!(!format!("{config:?}").contains("hush"));
}

#[test]
fn fences_that_do_not_fit_together_are_refused() {
    let errors = |worker: &str| load(&format!("{GOOD}[worker]\n{worker}\n"), &[]).err().unwrap_or_default();
    assert_eq!(errors("tombstone_life_days = 58"), [""; 0]);
    let short = errors("tombstone_life_days = 57");
    assert!(short.len() == 1 && short[0].contains("must be 58 or more"), "{short:?}");
    let longer = errors("replay_window_days = 90\ntombstone_life_days = 60");
    assert!(longer.len() == 1 && longer[0].ends_with("as in tombstone_life_days = 92"), "{longer:?}");
    assert_eq!(errors("replay_window_days = 30\ntombstone_life_days = 32"), [""; 0]);
    assert_eq!(errors("replay_window_days = 30\ntombstone_life_days = 31").len(), 1);
    assert_eq!(errors("clock_skew_max_seconds = 3600"), [""; 0]);
    let near = errors("clock_skew_max_seconds = 3601");
    assert!(near.len() == 1 && near[0].contains("worker.future_max_seconds: found 3600; must be"), "{near:?}");
    let config = load(GOOD, &[]).unwrap();
    let rules = config.rules(config.own_site().unwrap());
    assert_eq!((rules.limits.future_max.as_secs(), rules.limits.age_max.as_secs() / 86_400), (3600, 59));
}

/// A spelling is no other place: a worker whose dead letters are its own queue would set them aside for ever.
#[test]
fn no_two_keys_may_name_one_place_however_they_are_spelt() {
    let refused = |variable: &str, value: &str| {
        let errors = load(GOOD, &[(variable, value)]).unwrap_err();
        assert!(errors.iter().any(|error| error.contains("is the same as")), "{value}: {errors:#?}");
    };
    refused("BRIDGE_SITES_AZURE_WESTEUROPE_DEAD_LETTER_QUEUE", "Bridge-Events");
    let queue = load(GOOD, &[]).unwrap().sites.into_values().find_map(|site| match site {
        SiteConfig::Aws(site) => Some(site.queue_url),
        SiteConfig::Azure(_) => None,
    });
    let legacy = queue.unwrap().to_string().replace("sqs.us-east-1.", "us-east-1.queue.");
    refused("BRIDGE_SITES_AWS_US_EAST_1_DEAD_LETTER_QUEUE_URL", &legacy);
}

#[test]
fn what_no_service_takes_is_refused_before_it_is_asked() {
    for (variable, value) in [
        ("BRIDGE_SITES_AZURE_WESTEUROPE_CONTAINER", ""),
        ("BRIDGE_SITES_AZURE_WESTEUROPE_CONTAINER", "a/b"),
        ("BRIDGE_SITES_AZURE_WESTEUROPE_QUEUE", "bridge-events/$DeadLetterQueue"),
        ("BRIDGE_SITES_AZURE_WESTEUROPE_COSMOS_KEY", "not base64"),
        ("BRIDGE_SITES_AWS_US_EAST_1_TABLE", "no table"),
        ("BRIDGE_SITES_AWS_US_EAST_1_QUEUE_URL", "https://sqs.us-east-1.amazonaws.com/123456789012/q/"),
        ("BRIDGE_WORKER_KEY_POINTER", "/a~2"),
    ] {
        assert!(load(GOOD, &[(variable, value)]).is_err(), "{variable}={value:?}");
    }
}

/// No number is too large to be refused.
#[test]
fn numbers_beyond_every_bound_are_errors() {
    for spec in keys::WORKER.iter().filter(|spec| spec.default.is_some_and(|text| text.parse::<u64>().is_ok())) {
        let variable = format!("BRIDGE_WORKER_{}", spec.name.to_ascii_uppercase());
        for value in [u64::MAX, i64::MAX as u64, i64::MAX as u64 - 7] {
            drop(load(GOOD, &[(&variable, &value.to_string())]));
        }
        assert!(load(GOOD, &[(&variable, "18446744073709551615")]).is_err(), "{variable}");
    }
}

/// What a file or a secret store leaves around a value is no part of it, and what no header carries is refused here: SDKs panic at it.
#[test]
fn values_are_trimmed_and_what_no_header_carries_is_refused() {
    let with = |id: &str, secret: &str| {
        let keys = [
            ("BRIDGE_SITES_AWS_US_EAST_1_ACCESS_KEY_ID", id),
            ("BRIDGE_SITES_AWS_US_EAST_1_SECRET_ACCESS_KEY", secret),
        ];
        load(GOOD, &keys)
    };
    let config = with("AKIDEXAMPLE\n", " wJalr\r\n").unwrap();
    let site = config.sites.values().find_map(|site| match site {
        SiteConfig::Aws(site) => site.access_key.clone(),
        SiteConfig::Azure(_) => None,
    });
    let (id, secret) = site.unwrap();
    assert_eq!((id.as_str(), secret.reveal()), ("AKIDEXAMPLE", "wJalr"));
    let errors = with("AKID", "hu\nsh").unwrap_err();
    let expected = "BRIDGE_SITES_AWS_US_EAST_1_SECRET_ACCESS_KEY: sites.aws:us-east-1.secret_access_key: found the control character U+000A at character 3";
    assert!(errors.iter().any(|error| error.starts_with(expected)), "{errors:#?}");
    assert!(errors.iter().all(|error| !error.contains("hu\nsh")), "{errors:#?}");
    let errors = with("AKID", " \n").unwrap_err();
    assert!(errors.iter().any(|error| error.contains("secret_access_key: found an empty value")), "{errors:#?}");
}

/// A local server serves several regions at one address, and keeps their tables apart by the signature's region.
#[test]
fn tables_of_one_name_in_two_regions_are_two() {
    let aws = GOOD.split_once("[sites.\"azure").unwrap().0;
    let local = aws.to_owned() + "dynamodb_endpoint = \"http://127.0.0.1:8000\"\n";
    let both = local.clone() + &local.replace("us-east-1", "eu-west-1");
    assert_eq!(load(&both, &[]).unwrap().sites.len(), 2);
    let same = both.replace("sqs.eu-west-1.amazonaws.com/123456789012", "sqs.us-east-1.amazonaws.com/123456789012");
    assert!(load(&same, &[]).is_err(), "their queues are one");
}

#[test]
fn one_namespace_is_one_however_it_is_written() {
    let site = GOOD.split_once("[sites.\"azure").unwrap().1;
    let twice = |spelling: &str| {
        let other = site.replace("westeurope", "northeurope").replace("https://example.doc", "https://other.doc");
        load(&format!("{GOOD}[sites.\"azure{}", other.replace("example.servicebus.windows.net", spelling)), &[])
    };
    for spelling in [
        "EXAMPLE.servicebus.windows.net",
        "https://example.servicebus.windows.net:443/",
        "example.servicebus.windows.net:5671",
    ] {
        let errors = twice(spelling).unwrap_err();
        assert!(errors.iter().any(|error| error.contains("is the same as")), "{spelling}: {errors:#?}");
    }
    assert_eq!(twice("other.servicebus.windows.net").unwrap().sites.len(), 3);
}

#[test]
fn a_region_that_is_unknown_is_warned_of_and_works() {
    let config = load(&GOOD.replace("westeurope", "westeuropa"), &[]).unwrap();
    let expected =
        "BRIDGE_CONFIG:7: sites.azure:westeuropa: azure had no region westeuropa in 2026-11; did you mean westeurope?";
    assert_eq!(config.warnings, [expected]);
    assert_eq!(load(GOOD, &[]).unwrap().warnings, [""; 0]);
}

/// A text that is broken is no path that is missing.
#[test]
fn a_broken_text_is_told_of_as_a_text() {
    for (file, expected) in
        [("[worker", "BRIDGE_CONFIG:1: is not TOML"), ("/no/such/file", "/no/such/file cannot be read")]
    {
        let error = &Config::load(&Sources { file: Some(file.to_owned()), ..Sources::default() }).unwrap_err().0[0];
        assert!(error.starts_with(expected), "{error}");
    }
}

/// The schema is made of the same table, and takes what the bridge takes.
#[test]
fn the_schema_names_every_key_with_its_bounds() {
    let schema: serde_json::Value = serde_json::from_str(&schema::text()).unwrap();
    let attempts = &schema["properties"]["worker"]["properties"]["attempts_max"];
    assert_eq!(
        (&attempts["minimum"], &attempts["maximum"], &attempts["default"]),
        (&1.into(), &1000.into(), &20.into())
    );
    for (pattern, keys) in [("^aws:[a-z0-9][a-z0-9-]*$", keys::AWS), ("^azure:[a-z0-9][a-z0-9-]*$", keys::AZURE)] {
        let properties = &schema["properties"]["sites"]["patternProperties"][pattern]["properties"];
        assert_eq!(properties.as_object().unwrap().len(), keys.len());
    }
}
