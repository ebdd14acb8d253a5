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
    "bad findings of bridge doctor that do not stop the site from starting, separated by commas: store.regions, store.key-size, queue.redrive",
);

const fn secret(name: &'static str, help: &'static str) -> KeySpec {
    KeySpec { name, unit: "text", default: None, secret: true, help }
}

/// `[worker]`: how hard every worker tries.
pub(crate) const WORKER: &[KeySpec] = &[
    key("key_pointer", "JSON pointer", Some("/id"), "place of the entity's key in a payload"),
    key(
        "clock_skew_max_seconds",
        "seconds",
        Some("60"),
        "maximum time that a timestamp may be ahead of the origin's clock",
    ),
    key(
        "future_max_seconds",
        "seconds",
        Some("3600"),
        "maximum time that a timestamp may be ahead of any site's clock; at least clock_skew_max_seconds",
    ),
    key(
        "tombstone_life_days",
        "days",
        Some("60"),
        "life of a tombstone; events older than this less one day are refused; at least replay_window_days + 2",
    ),
    key(
        "replay_window_days",
        "days",
        Some("56"),
        "age of the oldest event that can still arrive: 14 in its origin's queue + 14 in a peer's + 14 among dead letters + 14 to act",
    ),
    key(
        "attempts_max",
        "deliveries",
        Some("20"),
        "deliveries of one message before it becomes a dead letter; keep it below the broker's own limit",
    ),
    key("retry_delay_base_ms", "milliseconds", Some("1000"), "longest delay after the first failed delivery; doubles"),
    key("retry_delay_max_ms", "milliseconds", Some("300000"), "longest delay after any failed delivery"),
    key(
        "store_wait_max_hours",
        "hours",
        Some("84"),
        "how long a message waits for a store that is away before it becomes a dead letter; keep it half a day below the queue's retention",
    ),
    key(
        "peer_attempts_max",
        "sends",
        Some("3"),
        "sends to a peer before the event becomes a dead letter that the peer is owed",
    ),
    key("peer_retry_delay_base_ms", "milliseconds", Some("100"), "longest delay after the first failed send; doubles"),
    key("peer_retry_delay_max_ms", "milliseconds", Some("2000"), "longest delay after any failed send"),
    key(
        "peer_time_max_seconds",
        "seconds",
        Some("10"),
        "time limit for all sends of one delivery to a peer; keep it below a function's own timeout, so that the worker can still record which peers are owed",
    ),
    key("circuit_failures", "sends", Some("5"), "consecutive failed sends that open a peer's circuit"),
    key("circuit_pause_ms", "milliseconds", Some("10000"), "pause before the next send to a peer with an open circuit"),
    key(
        "forward",
        "all or latest",
        Some("all"),
        "events of one batch that a peer receives: all, or the latest of each key",
    ),
    key(
        "auto_replay",
        "owed or off",
        Some("owed"),
        "whether a worker brings what its site's dead letters owe to a peer that answers again: owed, or off (bridge replay does it)",
    ),
    key(
        "auto_replay_per_second",
        "messages a second",
        Some("3000"),
        "limit of what one site brings that way; new events are forwarded beside it",
    ),
    key("concurrent_writes", "records", Some("16"), "records of one batch written concurrently"),
    key("concurrent_batches", "batches", Some("2"), "batches that one container processes concurrently"),
    key("batch_messages_max", "messages", Some("32"), "maximum messages in one batch"),
    key(
        "inflight_bytes_max",
        "bytes",
        Some("67108864"),
        "budget for messages in flight, each counted at its queue's maximum size: a container takes fewer messages, a Function lets calls wait",
    ),
    key("receive_wait_seconds", "seconds", Some("20"), "how long one receive waits for a message"),
    key(
        "heartbeat_seconds",
        "seconds",
        Some("30"),
        "interval between the site's heartbeats; 0: the container sends none",
    ),
    key(
        "state_seconds",
        "seconds",
        Some("2"),
        "how often a container writes its worker's state to its own store; 0: only on a change",
    ),
    key(
        "conflicts",
        "count or keep",
        Some("count"),
        "lost writes: only count them, or also keep the latest in the store",
    ),
    key(
        "clock_offset_ms",
        "milliseconds",
        Some("0"),
        "offset added to the worker's clock, to rehearse a wrong clock in a drill",
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
        "address where a container serves /metrics for Prometheus, and /health; a port alone listens on loopback",
    ),
    key(
        "trace_ratio",
        "part from 0 to 1",
        Some("0"),
        "fraction of untraced events that start a trace; events with a trace are always traced",
    ),
    key(
        "telemetry_flush_ms",
        "milliseconds",
        Some("1000"),
        "maximum time that a function waits to deliver its telemetry",
    ),
];

/// `[sites."aws:..."]`.
pub(crate) const AWS: &[KeySpec] = &[
    key("queue_url", "URL", None, "the site's queue in SQS; not a FIFO queue"),
    key("dead_letter_queue_url", "URL", None, "the site's dead-letter queue; not a FIFO queue"),
    key("table", "name", None, "the site's table in DynamoDB"),
    key(
        "lease_seconds",
        "seconds",
        Some("30"),
        "visibility timeout of a received message; extended while the worker still needs it",
    ),
    key(
        "message_bytes_max",
        "bytes",
        Some("1048576"),
        "maximum message size of the queue, attributes included (SQS: 1 MiB)",
    ),
    key(
        "sqs_endpoint",
        "URL",
        None,
        "endpoint to use instead of the region's own, for localcloud or a private endpoint",
    ),
    key(
        "dynamodb_endpoint",
        "URL",
        None,
        "endpoint to use instead of the region's own, for localcloud or a private endpoint",
    ),
    key("access_key_id", "text", None, "use only without a role; otherwise the default credential chain applies"),
    secret("secret_access_key", "belongs to access_key_id"),
    ALLOW,
];

/// `[sites."azure:..."]`.
pub(crate) const AZURE: &[KeySpec] = &[
    key("service_bus_namespace", "host name", None, "NAME.servicebus.windows.net, with managed identity"),
    secret("service_bus_connection_string", "use instead of the namespace, only without an identity"),
    key("service_bus_http_endpoint", "URL", None, "endpoint for sends, if not https://NAMESPACE; for localcloud"),
    key("queue", "name", None, "the site's queue in Service Bus"),
    key("dead_letter_queue", "name", None, "the site's dead-letter queue; an ordinary queue"),
    key("lease_seconds", "seconds", Some("30"), "the queue's lock duration; renewed while the worker still needs it"),
    key(
        "message_bytes_max",
        "bytes",
        Some("262144"),
        "maximum message size of the queue (Standard: 256 KiB; Premium: 1 MiB and more)",
    ),
    key("cosmos_endpoint", "URL", None, "the Cosmos DB account"),
    secret("cosmos_key", "use only without an identity"),
    key("database", "name", None, "the Cosmos DB database"),
    key("container", "name", None, "the Cosmos DB container, partitioned by /pk, default time to live -1"),
    ALLOW,
];
