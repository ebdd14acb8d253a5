//! Every configuration key: its unit, its default, whether it is a secret, and what it is for. `bridge config` and the
//! README's table are printed from here.

/// One configuration key.
#[derive(Debug)]
pub(crate) struct KeySpec {
    /// The name within its section.
    pub(crate) name: &'static str,
    /// The unit of its value, or what kind of value it is.
    pub(crate) unit: &'static str,
    /// The value where none is given.
    pub(crate) default: Option<&'static str>,
    /// Shown as `***`.
    pub(crate) secret: bool,
    /// What it is for.
    pub(crate) help: &'static str,
}

const fn key(name: &'static str, unit: &'static str, default: Option<&'static str>, help: &'static str) -> KeySpec {
    KeySpec { name, unit, default, secret: false, help }
}

/// The same in both clouds; the names are those of [`ALLOWABLE`](bridge_ops::doctor::ALLOWABLE).
const ALLOW: KeySpec = key(
    "allow",
    "names",
    None,
    "bad findings of bridge doctor with which the site starts all the same, separated by commas: store.regions, store.key-size, queue.redrive",
);

const fn secret(name: &'static str, help: &'static str) -> KeySpec {
    KeySpec { name, unit: "text", default: None, secret: true, help }
}

/// `[worker]`: how hard every worker tries.
pub(crate) const WORKER: &[KeySpec] = &[
    key("key_pointer", "JSON pointer", Some("/id"), "where an entity's key stands in a payload"),
    key("clock_skew_max_seconds", "seconds", Some("60"), "how far ahead of the origin's clock an event may be stamped"),
    key(
        "future_max_seconds",
        "seconds",
        Some("3600"),
        "how far ahead of any site's clock an event may be stamped; clock_skew_max_seconds or more",
    ),
    key(
        "tombstone_life_days",
        "days",
        Some("60"),
        "how long a store remembers a delete; a day less is how old an event may be; 2 more than replay_window_days at least",
    ),
    key(
        "replay_window_days",
        "days",
        Some("56"),
        "the oldest event that can still arrive: 14 in its origin's queue + 14 in a peer's + 14 among dead letters + 14 to act",
    ),
    key(
        "attempts_max",
        "deliveries",
        Some("20"),
        "deliveries of one message before it is set aside; below the broker's own",
    ),
    key("retry_delay_base_ms", "milliseconds", Some("1000"), "longest delay after the first failed delivery; doubles"),
    key("retry_delay_max_ms", "milliseconds", Some("300000"), "longest delay after any failed delivery"),
    key("peer_attempts_max", "sends", Some("3"), "sends to a peer before its event is set aside as owed"),
    key("peer_retry_delay_base_ms", "milliseconds", Some("100"), "longest delay after the first failed send; doubles"),
    key("peer_retry_delay_max_ms", "milliseconds", Some("2000"), "longest delay after any failed send"),
    key(
        "peer_time_max_seconds",
        "seconds",
        Some("10"),
        "time for all sends of one delivery to a peer; below a function's own, or nobody is told whom an event is owed to",
    ),
    key("circuit_failures", "sends", Some("5"), "failed sends in a row after which a peer is left alone for a while"),
    key("circuit_pause_ms", "milliseconds", Some("10000"), "how long a peer is left alone"),
    key(
        "forward",
        "all or latest",
        Some("all"),
        "what a peer gets of one batch: every event, or the latest of each key",
    ),
    key("concurrent_writes", "records", Some("16"), "records of one batch that are written at the same time"),
    key("concurrent_batches", "batches", Some("2"), "batches that one container works on at the same time"),
    key("batch_messages_max", "messages", Some("32"), "messages of one batch"),
    key(
        "inflight_bytes_max",
        "bytes",
        Some("67108864"),
        "messages in hand at the same time, should each be as large as its queue takes: a container takes fewer, a Function lets calls wait",
    ),
    key("receive_wait_seconds", "seconds", Some("20"), "how long one receive waits for a message"),
    key(
        "heartbeat_seconds",
        "seconds",
        Some("30"),
        "from one heartbeat of the site to the next; 0: the container sends none",
    ),
    key(
        "conflicts",
        "count or keep",
        Some("count"),
        "writes that lost to another site's: counted only, or the latest kept in the store too",
    ),
    key(
        "clock_offset_ms",
        "milliseconds",
        Some("0"),
        "added to the worker's clock, to see in a drill what a wrong one does",
    ),
    key(
        "function_hold_seconds",
        "seconds",
        Some("10"),
        "how long an Azure Function holds a message between tries before it schedules a copy",
    ),
    key(
        "function_halt_seconds",
        "seconds",
        Some("120"),
        "how long a halted Azure Function waits for an operator before a copy takes the message's place",
    ),
    key(
        "metrics_listen",
        "port or address:port",
        None,
        "where a container serves /metrics for Prometheus, and /health; a port alone is on loopback",
    ),
    key(
        "trace_ratio",
        "part from 0 to 1",
        Some("0"),
        "of the events that come without a trace, how many begin one; those that come with one are traced anyway",
    ),
    key(
        "telemetry_flush_ms",
        "milliseconds",
        Some("1000"),
        "the longest that a function waits for its telemetry to be taken",
    ),
];

/// `[sites."aws:..."]`.
pub(crate) const AWS: &[KeySpec] = &[
    key("queue_url", "URL", None, "the site's queue in SQS; not a FIFO queue"),
    key("dead_letter_queue_url", "URL", None, "where the bridge sets messages aside; not a FIFO queue"),
    key("table", "name", None, "the site's table in DynamoDB"),
    key("lease_seconds", "seconds", Some("30"), "visibility timeout of a received message; extended while work lasts"),
    key("message_bytes_max", "bytes", Some("1048576"), "what the queue takes, attributes included (SQS: 1 MiB)"),
    key("sqs_endpoint", "URL", None, "instead of the region's own, for localcloud or a private endpoint"),
    key("dynamodb_endpoint", "URL", None, "instead of the region's own, for localcloud or a private endpoint"),
    key("access_key_id", "text", None, "only where no role can be had; else the default credential chain"),
    secret("secret_access_key", "belongs to access_key_id"),
    ALLOW,
];

/// `[sites."azure:..."]`.
pub(crate) const AZURE: &[KeySpec] = &[
    key("service_bus_namespace", "host name", None, "NAME.servicebus.windows.net, with managed identity"),
    secret("service_bus_connection_string", "instead of the namespace, where no identity can be had"),
    key("service_bus_http_endpoint", "URL", None, "where to send, if not https://NAMESPACE; for localcloud"),
    key("queue", "name", None, "the site's queue in Service Bus"),
    key("dead_letter_queue", "name", None, "where the bridge sets messages aside; an ordinary queue"),
    key("lease_seconds", "seconds", Some("30"), "the queue's lock duration; renewed while work lasts"),
    key(
        "message_bytes_max",
        "bytes",
        Some("262144"),
        "what the queue takes (Standard: 256 KiB; Premium: 1 MiB and more)",
    ),
    key("cosmos_endpoint", "URL", None, "the Cosmos DB account"),
    secret("cosmos_key", "only where no identity can be had"),
    key("database", "name", None, "the Cosmos DB database"),
    key("container", "name", None, "the Cosmos DB container, partitioned by /pk, default time to live -1"),
    ALLOW,
];
