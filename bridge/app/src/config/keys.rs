//! Every configuration key: its kind, its unit, its bounds, its default, an example, and what it is for. The reader, `bridge config`,
//! `bridge schema config` and the errors all take them from here.

use bridge_ops::doctor::ALLOWABLE;

/// One configuration key.
#[derive(Debug)]
pub(crate) struct KeySpec {
    /// The name within its section.
    pub(crate) name: &'static str,
    /// What it takes.
    pub(crate) kind: Kind,
    /// The unit of its value, or what kind of value it is.
    pub(crate) unit: &'static str,
    /// The value where none is given.
    pub(crate) default: Option<&'static str>,
    /// A value as one could write it, where there is no default.
    pub(crate) example: Option<&'static str>,
    /// The form of its text for editors, where its kind does not say enough.
    pub(crate) pattern: Option<&'static str>,
    /// Shown as `***`.
    pub(crate) secret: bool,
    /// What it is for.
    pub(crate) help: &'static str,
}

/// What a key takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A text.
    Text,
    /// A URL.
    Address,
    /// A whole number, from the first to the second.
    Number(u64, u64),
    /// A whole number of 32 bits, also below zero.
    Signed,
    /// A number from 0 to 1.
    Part,
    /// One of these texts.
    OneOf(&'static [&'static str]),
    /// Some of these names, separated by commas, or none.
    Names(&'static [&'static str]),
    /// A text, or a whole number.
    TextOrNumber,
}

impl Kind {
    /// Whether its values stand in TOML without quotes.
    pub(crate) fn is_bare(self) -> bool {
        matches!(self, Self::Number(..) | Self::Signed | Self::Part)
    }
}

impl KeySpec {
    /// What the key takes, in words.
    pub(crate) fn allowed(&self) -> String {
        match self.kind {
            Kind::Text => format!("a text in quotes ({})", self.unit),
            Kind::TextOrNumber => self.unit.to_owned(),
            Kind::Address => "an https address, or plain http to this machine, in quotes".to_owned(),
            Kind::Number(least, most) => format!("a whole number of {} from {least} to {most}", self.unit),
            Kind::Signed => format!("a whole number of {}", self.unit),
            Kind::Part => "a number from 0 to 1".to_owned(),
            Kind::OneOf(words) => format!("one of \"{}\"", words.join("\", \"")),
            Kind::Names(names) => format!("some of {}, separated by commas, in quotes", names.join(", ")),
        }
    }

    /// A line of the file that sets the key, where one can be shown.
    pub(crate) fn line(&self) -> Option<String> {
        let value = self.example.or(self.default)?;
        let Self { name, kind, .. } = self;
        Some(if kind.is_bare() { format!("{name} = {value}") } else { format!("{name} = \"{value}\"") })
    }

    const fn like(mut self, example: &'static str) -> Self {
        self.example = Some(example);
        self
    }

    const fn formed(mut self, pattern: &'static str) -> Self {
        self.pattern = Some(pattern);
        self
    }
}

const fn key(
    name: &'static str,
    kind: Kind,
    unit: &'static str,
    default: Option<&'static str>,
    help: &'static str,
) -> KeySpec {
    KeySpec { name, kind, unit, default, example: None, pattern: None, secret: false, help }
}

/// The same in both clouds.
const ALLOW: KeySpec = key(
    "allow",
    Kind::Names(&ALLOWABLE),
    "names",
    None,
    "bad findings of bridge doctor that do not stop the site from starting, separated by commas: store.regions, store.key-size, queue.redrive",
)
.like("store.regions");

const fn secret(name: &'static str, help: &'static str) -> KeySpec {
    KeySpec { secret: true, ..key(name, Kind::Text, "text", None, help) }
}

// The forms of texts, as JSON Schema has them. Blanks around a value are no part of it.
const POINTER: &str = r"^\s*(/([^~]|~[01])*)\s*$";
const LISTEN: &str = r"^\s*([0-9]{1,5}|[0-9.]+:[0-9]{1,5}|\[[0-9A-Fa-f:.]+\]:[0-9]{1,5})\s*$";
const QUEUE_URL: &str = r"^\s*(https://[^/?#@\s]+|http://(localhost|127(\.[0-9]+){3}|\[::1\])(:[0-9]+)?)/([^?#%\s]*/)?(?![^/?#%\s]*\.fifo\s*$)[^/?#%\s]+\s*$";
const TABLE: &str = r"^\s*(arn:[a-z-]+:dynamodb:[a-z0-9-]+:[0-9]{12}:table/)?[A-Za-z0-9_.-]{3,255}\s*$";
const NAMESPACE: &str = r"^\s*((https|sb|amqps)://)?[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+\.?(:(443|5671))?/?\s*$";
const CONNECTION: &str =
    r"^(?=[\s\S]*SharedAccessKeyName=[^;\s])(?=[\s\S]*SharedAccessKey=[^;\s])\s*[^\x00-\x1f\x7f]+\s*$";
const SERVICE_BUS_QUEUE: &str = r"^\s*[A-Za-z0-9]([A-Za-z0-9._/-]{0,258}[A-Za-z0-9])?\s*$";
const COSMOS: &str = r"^\s*[^/\\#?\s\x00-\x1f\x7f]([^/\\#?\x00-\x1f\x7f]{0,253}[^/\\#?\s\x00-\x1f\x7f])?\s*$";
const BASE64: &str = r"^\s*[A-Za-z0-9+/]+={0,2}\s*$";
const ROLE_ARN: &str = r"^\s*arn:aws[a-z-]*:iam::[0-9]{12}:role/[A-Za-z0-9+=,.@_/-]+\s*$";
const AUDIENCE: &str = r"^(?![\s\S]*/\.default\s*$)\s*[\x21-\x7e]+\s*$";
const UUID: &str = r"^\s*(urn:uuid:)?\{?[0-9A-Fa-f]{8}-?([0-9A-Fa-f]{4}-?){3}[0-9A-Fa-f]{12}\}?\s*$";

/// `[worker]`: how hard every worker tries.
pub(crate) const WORKER: &[KeySpec] = &[
    key("key_pointer", Kind::Text, "JSON pointer", Some("/id"), "place of the entity's key in a payload")
        .formed(POINTER),
    key(
        "clock_skew_max_seconds",
        Kind::Number(0, 86_400),
        "seconds",
        Some("60"),
        "maximum time that a timestamp may be ahead of the origin's clock",
    ),
    key(
        "future_max_seconds",
        Kind::Number(60, 86_400),
        "seconds",
        Some("3600"),
        "maximum time that a timestamp may be ahead of any site's clock; at least clock_skew_max_seconds",
    ),
    key(
        "tombstone_life_days",
        Kind::Number(1, 3650),
        "days",
        Some("60"),
        "life of a tombstone; events older than this less one day are refused; at least replay_window_days + 2",
    ),
    key(
        "replay_window_days",
        Kind::Number(1, 3650),
        "days",
        Some("56"),
        "age of the oldest event that can still arrive: 14 in its origin's queue + 14 in a peer's + 14 among dead letters + 14 to act",
    ),
    key(
        "attempts_max",
        Kind::Number(1, 1000),
        "deliveries",
        Some("20"),
        "deliveries of one message before it becomes a dead letter; keep it below the broker's own limit",
    ),
    key(
        "retry_delay_base_ms",
        Kind::Number(1, 3_600_000),
        "milliseconds",
        Some("1000"),
        "longest delay after the first failed delivery; doubles",
    ),
    key(
        "retry_delay_max_ms",
        Kind::Number(1, 43_200_000),
        "milliseconds",
        Some("300000"),
        "longest delay after any failed delivery",
    ),
    key(
        "store_wait_max_hours",
        Kind::Number(1, 8760),
        "hours",
        Some("84"),
        "how long a message waits for a store that is away before it becomes a dead letter; keep it half a day below the queue's retention",
    ),
    key(
        "peer_attempts_max",
        Kind::Number(1, 100),
        "sends",
        Some("3"),
        "sends to a peer before the event becomes a dead letter that the peer is owed",
    ),
    key(
        "peer_retry_delay_base_ms",
        Kind::Number(1, 3_600_000),
        "milliseconds",
        Some("100"),
        "longest delay after the first failed send; doubles",
    ),
    key(
        "peer_retry_delay_max_ms",
        Kind::Number(1, 3_600_000),
        "milliseconds",
        Some("2000"),
        "longest delay after any failed send",
    ),
    key(
        "peer_time_max_seconds",
        Kind::Number(1, 3600),
        "seconds",
        Some("10"),
        "time limit for all sends of one delivery to a peer; keep it below a function's own timeout, so that the worker can still record which peers are owed",
    ),
    key(
        "circuit_failures",
        Kind::Number(1, 1000),
        "sends",
        Some("5"),
        "consecutive failed sends that open a peer's circuit",
    ),
    key(
        "circuit_pause_ms",
        Kind::Number(1, 3_600_000),
        "milliseconds",
        Some("10000"),
        "pause before the next send to a peer with an open circuit",
    ),
    key(
        "forward",
        Kind::OneOf(&["all", "latest"]),
        "all or latest",
        Some("all"),
        "events of one batch that a peer receives: all, or the latest of each key",
    ),
    key(
        "auto_replay",
        Kind::OneOf(&["owed", "off"]),
        "owed or off",
        Some("owed"),
        "whether a worker brings what its site's dead letters owe to a peer that answers again: owed, or off (bridge replay does it)",
    ),
    key(
        "auto_replay_per_second",
        Kind::Number(1, 100_000),
        "messages a second",
        Some("3000"),
        "limit of what one site brings that way; new events are forwarded beside it",
    ),
    key("concurrent_writes", Kind::Number(1, 1000), "records", Some("16"), "records of one batch written concurrently"),
    key(
        "concurrent_batches",
        Kind::Number(1, 100),
        "batches",
        Some("2"),
        "batches that one container processes concurrently",
    ),
    key("batch_messages_max", Kind::Number(1, 1000), "messages", Some("32"), "maximum messages in one batch"),
    key(
        "inflight_bytes_max",
        Kind::Number(1_048_576, 68_719_476_736),
        "bytes",
        Some("67108864"),
        "budget for messages in flight, each counted at its queue's maximum size: a container takes fewer messages, a Function lets calls wait",
    ),
    key("receive_wait_seconds", Kind::Number(1, 20), "seconds", Some("20"), "how long one receive waits for a message"),
    key(
        "heartbeat_seconds",
        Kind::Number(0, 3600),
        "seconds",
        Some("30"),
        "interval between the site's heartbeats; 0: the container sends none",
    ),
    key(
        "state_seconds",
        Kind::Number(0, 60),
        "seconds",
        Some("2"),
        "how often a container writes its worker's state to its own store; 0: only on a change",
    ),
    key(
        "conflicts",
        Kind::OneOf(&["count", "keep"]),
        "count or keep",
        Some("count"),
        "lost writes: only count them, or also keep the latest in the store",
    ),
    key(
        "clock_offset_ms",
        Kind::Signed,
        "milliseconds",
        Some("0"),
        "offset added to the worker's clock, to rehearse a wrong clock in a drill",
    ),
    key(
        "function_hold_seconds",
        Kind::Number(0, 200),
        "seconds",
        Some("10"),
        "how long an Azure Function holds a message between tries before it schedules a copy",
    ),
    key(
        "function_halt_seconds",
        Kind::Number(0, 200),
        "seconds",
        Some("120"),
        "how long a halted Azure Function waits for an operator before a copy takes the message's place",
    ),
    key(
        "metrics_listen",
        Kind::TextOrNumber,
        "port or address:port",
        None,
        "address where a container serves /metrics for Prometheus, and /health; a port alone listens on loopback",
    )
    .like("0.0.0.0:9464")
    .formed(LISTEN),
    key(
        "trace_ratio",
        Kind::Part,
        "part from 0 to 1",
        Some("0"),
        "fraction of untraced events that start a trace; events with a trace are always traced",
    ),
    key(
        "telemetry_flush_ms",
        Kind::Number(1, 60_000),
        "milliseconds",
        Some("1000"),
        "maximum time that a function waits to deliver its telemetry",
    ),
];

/// `[sites."aws:..."]`.
pub(crate) const AWS: &[KeySpec] = &[
    key("queue_url", Kind::Address, "URL", None, "the site's queue in SQS; not a FIFO queue")
        .like("https://sqs.us-east-1.amazonaws.com/123456789012/bridge-events")
        .formed(QUEUE_URL),
    key("dead_letter_queue_url", Kind::Address, "URL", None, "the site's dead-letter queue; not a FIFO queue")
        .like("https://sqs.us-east-1.amazonaws.com/123456789012/bridge-events-dead")
        .formed(QUEUE_URL),
    key("table", Kind::Text, "name", None, "the site's table in DynamoDB").like("bridge-records").formed(TABLE),
    key(
        "lease_seconds",
        Kind::Number(2, 43_200),
        "seconds",
        Some("30"),
        "visibility timeout of a received message; extended while the worker still needs it",
    ),
    key(
        "message_bytes_max",
        Kind::Number(16_384, 1_048_576),
        "bytes",
        Some("1048576"),
        "maximum message size of the queue, attributes included (SQS: 1 MiB)",
    ),
    key(
        "sqs_endpoint",
        Kind::Address,
        "URL",
        None,
        "endpoint to use instead of the region's own, for localcloud or a private endpoint",
    )
    .like("https://vpce-0a1b-2c3d.sqs.us-east-1.vpce.amazonaws.com/"),
    key(
        "dynamodb_endpoint",
        Kind::Address,
        "URL",
        None,
        "endpoint to use instead of the region's own, for localcloud or a private endpoint",
    )
    .like("https://vpce-0a1b-2c3d.dynamodb.us-east-1.vpce.amazonaws.com/"),
    key(
        "access_key_id",
        Kind::Text,
        "text",
        None,
        "use only without a role; otherwise the default credential chain applies",
    )
    .like("AKIAIOSFODNN7EXAMPLE"),
    secret("secret_access_key", "belongs to access_key_id").like("..."),
    key(
        "from_azure_role_arn",
        Kind::Text,
        "ARN",
        None,
        "role that a process on Azure assumes by its managed identity; with from_azure_audience",
    )
    .like("arn:aws:iam::123456789012:role/bridge-from-azure")
    .formed(ROLE_ARN),
    key(
        "from_azure_audience",
        Kind::Text,
        "application ID URI",
        None,
        "audience of the managed identity's token, as the identity provider in IAM lists it",
    )
    .like("api://bridge-aws")
    .formed(AUDIENCE),
    ALLOW,
];

/// `[sites."azure:..."]`.
pub(crate) const AZURE: &[KeySpec] = &[
    key("service_bus_namespace", Kind::Text, "host name", None, "NAME.servicebus.windows.net, with managed identity")
        .like("example.servicebus.windows.net")
        .formed(NAMESPACE),
    key(
        "identity_client_id",
        Kind::Text,
        "client id",
        None,
        "client id of the user-assigned managed identity to use; otherwise AZURE_CLIENT_ID, or the system-assigned one",
    )
    .like("00000000-0000-0000-0000-000000000000")
    .formed(UUID),
    key(
        "from_aws_client_id",
        Kind::Text,
        "client id",
        None,
        "client id of the app or user-assigned identity that trusts the role of a process on AWS; with from_aws_tenant_id",
    )
    .like("00000000-0000-0000-0000-000000000000")
    .formed(UUID),
    key("from_aws_tenant_id", Kind::Text, "tenant id", None, "tenant of from_aws_client_id")
        .like("00000000-0000-0000-0000-000000000000")
        .formed(UUID),
    key(
        "from_aws_audience",
        Kind::Text,
        "text",
        Some("api://AzureADTokenExchange"),
        "audience of the federated credential; other clouds of Azure have another one",
    )
    .formed(AUDIENCE),
    secret("service_bus_connection_string", "use instead of the namespace, only without an identity")
        .like("Endpoint=sb://example.servicebus.windows.net/;SharedAccessKeyName=NAME;SharedAccessKey=...")
        .formed(CONNECTION),
    key(
        "service_bus_http_endpoint",
        Kind::Address,
        "URL",
        None,
        "endpoint for sends, if not https://NAMESPACE; for localcloud",
    )
    .like("http://127.0.0.1:8080/"),
    key("queue", Kind::Text, "name", None, "the site's queue in Service Bus")
        .like("bridge-events")
        .formed(SERVICE_BUS_QUEUE),
    key("dead_letter_queue", Kind::Text, "name", None, "the site's dead-letter queue; an ordinary queue")
        .like("bridge-events-dead")
        .formed(SERVICE_BUS_QUEUE),
    key(
        "lease_seconds",
        Kind::Number(2, 300),
        "seconds",
        Some("30"),
        "the queue's lock duration; renewed while the worker still needs it",
    ),
    key(
        "message_bytes_max",
        Kind::Number(16_384, 104_857_600),
        "bytes",
        Some("262144"),
        "maximum message size of the queue (Standard: 256 KiB; Premium: 1 MiB and more)",
    ),
    key("cosmos_endpoint", Kind::Address, "URL", None, "the Cosmos DB account")
        .like("https://example.documents.azure.com/"),
    secret("cosmos_key", "use only without an identity").like("...").formed(BASE64),
    key("database", Kind::Text, "name", None, "the Cosmos DB database").like("bridge").formed(COSMOS),
    key("container", Kind::Text, "name", None, "the Cosmos DB container, partitioned by /pk, default time to live -1")
        .like("records")
        .formed(COSMOS),
    ALLOW,
];
