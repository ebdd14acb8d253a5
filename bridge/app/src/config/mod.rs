//! The configuration: one TOML file that all sites share, the environment over it, every error at once.

pub(crate) mod keys;
pub(crate) mod layers;
mod reader;
mod secret;
pub(crate) mod site;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    io::Read,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use bridge_adapters::aws::QueueIdentity;
use bridge_core::{
    circuit::CircuitPolicy,
    decision::{Limits, Rules},
    event::SiteId,
    limits,
    retry::Backoff,
    worker::{Forward, Policy},
};
use bridge_ops::replay::frame::Frame;
use chrono::TimeDelta;
use serde::Serialize;

use layers::{Given, Values};
use reader::{Reader, Section};
pub(crate) use secret::Secret;
pub(crate) use site::SiteConfig;
use site::{read_aws, read_azure};

/// Everything that is configured.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// The site that this process works for, where one is named.
    pub(crate) site: Option<SiteId>,
    /// Every site.
    pub(crate) sites: BTreeMap<SiteId, SiteConfig>,
    /// How hard a worker tries.
    pub(crate) policy: Policy,
    /// How far ahead of the origin's clock an event may be stamped.
    pub(crate) clock_skew_max: Duration,
    /// How far ahead of any site's clock an event may be stamped.
    pub(crate) future_max: Duration,
    /// How a container takes messages, but for what its memory allows: [`Config::container_of`].
    pub(crate) container: ContainerConfig,
    /// Bytes of messages that a worker may have in hand.
    pub(crate) inflight_bytes_max: usize,
    /// How an Azure Function takes its time.
    pub(crate) function: FunctionConfig,
    /// Messages a second that a worker brings by itself of what letters owe; none if it brings nothing.
    pub(crate) auto_replay: Option<u32>,
    /// Whether the latest conflicts are kept.
    pub(crate) keep_conflicts: bool,
    /// What the worker's clock is shifted by.
    pub(crate) clock_offset: TimeDelta,
    /// What a worker tells of itself.
    pub(crate) telemetry: TelemetryConfig,
    /// Every key with its value and origin, for `bridge config`.
    pub(crate) entries: Vec<Entry>,
}

/// How a container takes messages.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ContainerConfig {
    pub(crate) concurrent_batches: usize,
    pub(crate) batch_messages_max: usize,
    pub(crate) receive_wait: Duration,
    /// From one heartbeat to the next; none if zero.
    pub(crate) heartbeat: Duration,
    /// From one word of its state in its own store to the next; on a change only if zero.
    pub(crate) state: Duration,
}

impl ContainerConfig {
    /// Takes no more at once than fits into so many bytes, should every message be as large as its queue takes them. One message
    /// is always taken.
    fn within(self, inflight_bytes_max: usize, message_bytes_max: usize) -> Self {
        let messages = (inflight_bytes_max / message_bytes_max.max(1)).max(1);
        let concurrent_batches = self.concurrent_batches.min(messages);
        let batch_messages_max = self.batch_messages_max.min(messages / concurrent_batches);
        Self { concurrent_batches, batch_messages_max, ..self }
    }
}

/// How an Azure Function takes its time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FunctionConfig {
    pub(crate) hold: Duration,
    pub(crate) halt: Duration,
}

/// What a worker tells of itself. Where traces and metrics are sent stands in OpenTelemetry's own variables.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TelemetryConfig {
    pub(crate) metrics_listen: Option<SocketAddr>,
    pub(crate) trace_ratio: f64,
    pub(crate) flush: Duration,
}

/// One key as `bridge config` shows it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) value: Option<String>,
    pub(crate) unit: &'static str,
    pub(crate) origin: String,
    pub(crate) help: &'static str,
}

/// All that is wrong with a configuration.
#[derive(Clone, Debug)]
pub(crate) struct ConfigErrors(pub(crate) Vec<String>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.len();
        write!(f, "the configuration has {count} error{}:", if count == 1 { "" } else { "s" })?;
        self.0.iter().try_for_each(|error| write!(f, "\n  - {error}"))?;
        write!(f, "\n`bridge config --explain` lists every key; docs/configuration.md has an example")
    }
}

impl std::error::Error for ConfigErrors {}

/// Where the configuration comes from.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sources {
    /// The file's text, or a path to it, as given by `--config` or `BRIDGE_CONFIG`.
    pub(crate) file: Option<String>,
    /// `--site` or `BRIDGE_SITE`.
    pub(crate) site: Option<String>,
    /// The environment.
    pub(crate) environment: BTreeMap<String, String>,
}

impl Config {
    /// Reads and checks everything.
    pub(crate) fn load(sources: &Sources) -> Result<Self, ConfigErrors> {
        let file = sources.file.as_deref().ok_or_else(|| {
            ConfigErrors(vec![
                "no configuration: name the file with --config PATH or BRIDGE_CONFIG (a path, or the text)".into(),
            ])
        })?;
        let (text, origin) = read_file(file)?;
        let mut values = layers::from_toml(&text, &origin).map_err(ConfigErrors)?;
        let mut reader = Reader::default();
        let ids = site_ids(&values, &mut reader);
        overlay(&mut values, &ids, &sources.environment, &mut reader);
        refuse_unknown(&values, &ids, &mut reader);

        let mut worker = Section { reader: &mut reader, values: &values, prefix: "worker".into(), keys: keys::WORKER };
        let policy = read_policy(&mut worker);
        let (clock_skew_max, future_max) = read_fences(&mut worker);
        let (container, function) = read_hosts(&mut worker);
        let inflight_bytes_max = size(worker.number("inflight_bytes_max", 1_048_576..=68_719_476_736));
        let auto_replay = read_auto_replay(&mut worker);
        let (keep_conflicts, clock_offset) = read_watching(&mut worker);
        let telemetry = read_telemetry(&mut worker);
        let mut sites = BTreeMap::new();
        for id in ids {
            let prefix = format!("sites.{id}");
            let aws = id.cloud() == "aws";
            let keys = if aws { keys::AWS } else { keys::AZURE };
            let mut section = Section { reader: &mut reader, values: &values, prefix, keys };
            let site = if aws {
                read_aws(&mut section).map(SiteConfig::Aws)
            } else {
                read_azure(&mut section).map(SiteConfig::Azure)
            };
            sites.extend(site.map(|site| (id, site)));
        }
        let site = own_site(sources.site.as_deref(), &sites, &mut reader);
        refuse_shared_places(&sites, &mut reader);
        refuse_other_regions(&sites, &mut reader);
        if sites.is_empty() && reader.errors.is_empty() {
            reader.errors.push("no site is configured: add [sites.\"aws:REGION\"] and [sites.\"azure:REGION\"]".into());
        }
        if reader.errors.is_empty() {
            let entries = reader.entries;
            Ok(Self {
                site,
                sites,
                policy,
                clock_skew_max,
                future_max,
                container,
                inflight_bytes_max,
                function,
                auto_replay,
                keep_conflicts,
                clock_offset,
                telemetry,
                entries,
            })
        } else {
            Err(ConfigErrors(reader.errors))
        }
    }

    /// The site that this process works for.
    pub(crate) fn own_site(&self) -> Result<&SiteId, ConfigErrors> {
        self.site.as_ref().ok_or_else(|| {
            let known: Vec<_> = self.sites.keys().map(SiteId::as_str).collect();
            ConfigErrors(vec![format!("which site is this? Set --site or BRIDGE_SITE to one of: {}", known.join(", "))])
        })
    }

    /// That `site` is one of the configured ones; else the words that say which these are.
    pub(crate) fn knows(&self, site: &SiteId) -> Result<(), String> {
        if self.sites.contains_key(site) {
            return Ok(());
        }
        let known: Vec<_> = self.sites.keys().map(SiteId::as_str).collect();
        Err(format!("{site} is not a configured site; these are: {}", known.join(", ")))
    }

    /// What the worker of `site` must know to decide.
    pub(crate) fn rules(&self, site: &SiteId) -> Rules {
        Rules {
            site: site.clone(),
            sites: self.sites.keys().cloned().collect(),
            limits: Limits {
                clock_skew_max: self.clock_skew_max,
                future_max: self.future_max,
                age_max: limits::age_max(self.policy.tombstone_life),
                message_bytes_max: self.message_bytes_max(),
            },
        }
    }

    /// How the container of `site` takes messages.
    pub(crate) fn container_of(&self, site: &SiteId) -> ContainerConfig {
        self.container.within(self.inflight_bytes_max, self.sites[site].message_bytes_max())
    }

    /// What a plan of a replay is made for.
    pub(crate) fn frame(&self) -> Frame {
        let sites = self.sites.iter().map(|(id, site)| (id.to_string(), site.at(id))).collect();
        Frame { key_pointer: self.policy.key_pointer.clone(), sites }
    }

    /// What the narrowest queue takes.
    pub(crate) fn message_bytes_max(&self) -> usize {
        self.sites.values().map(SiteConfig::message_bytes_max).min().unwrap_or_default()
    }
}

/// `BRIDGE_CONFIG` may hold the text itself, which suits functions: a path has neither a line's end nor an `=`.
fn read_file(file: &str) -> Result<(String, String), ConfigErrors> {
    if file.contains(['\n', '=']) {
        return Ok((file.to_owned(), "BRIDGE_CONFIG".to_owned()));
    }
    let wrong = |what: String| ConfigErrors(vec![format!("{file} {what}; see --config and BRIDGE_CONFIG")]);
    let mut text = String::new();
    std::fs::File::open(file)
        .and_then(|opened| opened.take(CONFIG_BYTES_MAX + 1).read_to_string(&mut text))
        .map_err(|error| wrong(format!("cannot be read: {error}")))?;
    if text.len() as u64 > CONFIG_BYTES_MAX {
        return Err(wrong(format!("has over {CONFIG_BYTES_MAX} bytes, and is no configuration")));
    }
    Ok((text, file.to_owned()))
}

/// Bytes of a configuration's text. Ours: a thousand sites fit in.
const CONFIG_BYTES_MAX: u64 = 1024 * 1024;

fn site_ids(values: &Values, reader: &mut Reader) -> BTreeSet<SiteId> {
    let names: BTreeSet<&str> =
        values.keys().filter_map(|key| key.strip_prefix("sites.")?.rsplit_once('.').map(|(site, _)| site)).collect();
    let mut ids = BTreeSet::new();
    for name in names {
        match name.parse::<SiteId>() {
            Ok(id) if matches!(id.cloud(), "aws" | "azure") => drop(ids.insert(id)),
            Ok(id) => reader.errors.push(format!("sites.{id}: the cloud must be aws or azure")),
            Err(error) => reader.errors.push(format!("sites: {error}")),
        }
    }
    ids
}

/// Lets the environment override every key that could be in the file.
fn overlay(values: &mut Values, ids: &BTreeSet<SiteId>, environment: &BTreeMap<String, String>, reader: &mut Reader) {
    let mut known: BTreeMap<String, String> = BTreeMap::new();
    let mut add = |prefix: &str, specs: &[keys::KeySpec]| {
        for spec in specs {
            let key = format!("{prefix}.{}", spec.name);
            known.insert(layers::variable(&key), key);
        }
    };
    add("worker", keys::WORKER);
    for id in ids {
        add(&format!("sites.{id}"), if id.cloud() == "aws" { keys::AWS } else { keys::AZURE });
    }
    for (variable, text) in environment {
        match known.get(variable) {
            Some(key) => drop(values.insert(key.clone(), Given { text: text.clone(), origin: variable.clone() })),
            None if variable.starts_with("BRIDGE_SITES_") || variable.starts_with("BRIDGE_WORKER_") => {
                reader
                    .errors
                    .push(format!("{variable}: overrides no key; a site must stand in the file to be overridden"));
            }
            None => {}
        }
    }
}

fn refuse_unknown(values: &Values, ids: &BTreeSet<SiteId>, reader: &mut Reader) {
    for (key, given) in values {
        let (section, name) = key.rsplit_once('.').unwrap_or(("", key));
        let specs: &[keys::KeySpec] = match section.strip_prefix("sites.").and_then(|id| id.parse::<SiteId>().ok()) {
            Some(id) if !ids.contains(&id) => continue,
            Some(id) if id.cloud() == "aws" => keys::AWS,
            Some(_) => keys::AZURE,
            None if section == "worker" => keys::WORKER,
            None if section.starts_with("sites.") => continue,
            None => &[],
        };
        if !specs.iter().any(|spec| spec.name == name) {
            let names: Vec<_> = specs.iter().map(|spec| spec.name).collect();
            let hint = if names.is_empty() {
                "sections are [worker] and [sites.\"cloud:region\"]".into()
            } else {
                names.join(", ")
            };
            reader.errors.push(format!("{key} (in {}): unknown; known here: {hint}", given.origin));
        }
    }
}

const HOUR_MS: u64 = 3_600_000;

fn read_policy(section: &mut Section<'_>) -> Policy {
    let key_pointer: String = section.required("key_pointer").unwrap_or_default();
    let escapes = key_pointer.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
    if !key_pointer.starts_with('/') || !escapes {
        section.reader.errors.push(format!("worker.key_pointer: {key_pointer:?} is not a JSON pointer, as in /id"));
    }
    let tombstone_life = section.days("tombstone_life_days", 1..=3650);
    let replay_window = section.days("replay_window_days", 1..=3650);
    if limits::age_max(tombstone_life) <= replay_window {
        let days = |duration: Duration| duration.as_secs() / 86_400;
        let (least, window) = (days(replay_window) + days(limits::AGE_MARGIN) + 1, days(replay_window));
        section.reader.errors.push(format!(
            "worker.tombstone_life_days: must be {least} or more for a worker.replay_window_days of {window}: a tombstone must outlive \
             the oldest event that can still arrive, with a day to spare"
        ));
    }
    let forward = match section.required::<String>("forward").as_deref() {
        Some("latest") => Forward::Latest,
        Some("all") | None => Forward::All,
        Some(other) => {
            section.reader.errors.push(format!("worker.forward: {other:?} is neither all nor latest"));
            Forward::All
        }
    };
    Policy {
        key_pointer,
        tombstone_life,
        attempts_max: count(section.number("attempts_max", 1..=1000)),
        retry: Backoff {
            base: section.milliseconds("retry_delay_base_ms", 1..=HOUR_MS),
            max: section.milliseconds("retry_delay_max_ms", 1..=12 * HOUR_MS),
        },
        store_wait_max: Duration::from_hours(section.number("store_wait_max_hours", 1..=8760)),
        peer_attempts_max: count(section.number("peer_attempts_max", 1..=100)),
        peer_retry: Backoff {
            base: section.milliseconds("peer_retry_delay_base_ms", 1..=HOUR_MS),
            max: section.milliseconds("peer_retry_delay_max_ms", 1..=HOUR_MS),
        },
        peer_time: section.seconds("peer_time_max_seconds", 1..=3600),
        circuit: CircuitPolicy {
            failures: count(section.number("circuit_failures", 1..=1000)),
            pause: section.milliseconds("circuit_pause_ms", 1..=HOUR_MS),
        },
        forward,
        concurrent_writes: size(section.number("concurrent_writes", 1..=1000)),
        trace_ratio: None, // Until it is known that somebody takes traces.
    }
}

/// How far ahead an event may be stamped: at its origin, and at every site.
fn read_fences(section: &mut Section<'_>) -> (Duration, Duration) {
    let clock_skew_max = section.seconds("clock_skew_max_seconds", 0..=86_400);
    let future_max = section.seconds("future_max_seconds", 60..=86_400);
    if future_max < clock_skew_max {
        section.reader.errors.push(
            "worker.future_max_seconds: must be worker.clock_skew_max_seconds or more, or peers refuse what an origin let through"
                .into(),
        );
    }
    (clock_skew_max, future_max)
}

fn read_hosts(section: &mut Section<'_>) -> (ContainerConfig, FunctionConfig) {
    let container = ContainerConfig {
        concurrent_batches: size(section.number("concurrent_batches", 1..=100)),
        batch_messages_max: size(section.number("batch_messages_max", 1..=1000)),
        receive_wait: section.seconds("receive_wait_seconds", 1..=20),
        heartbeat: section.seconds("heartbeat_seconds", 0..=3600),
        state: section.seconds("state_seconds", 0..=60),
    };
    let function = FunctionConfig {
        hold: section.seconds("function_hold_seconds", 0..=200),
        halt: section.seconds("function_halt_seconds", 0..=200),
    };
    (container, function)
}

fn read_auto_replay(section: &mut Section<'_>) -> Option<u32> {
    let rate = count(section.number("auto_replay_per_second", 1..=100_000));
    match section.required::<String>("auto_replay").as_deref() {
        Some("owed") => Some(rate),
        Some("off") | None => None,
        Some(other) => {
            section.reader.errors.push(format!("worker.auto_replay: {other:?} is neither owed nor off"));
            None
        }
    }
}

fn read_watching(section: &mut Section<'_>) -> (bool, TimeDelta) {
    let keep_conflicts = match section.required::<String>("conflicts").as_deref() {
        Some("keep") => true,
        Some("count") | None => false,
        Some(other) => {
            section.reader.errors.push(format!("worker.conflicts: {other:?} is neither count nor keep"));
            false
        }
    };
    let offset_ms = section.required::<i32>("clock_offset_ms").unwrap_or_default();
    (keep_conflicts, TimeDelta::milliseconds(offset_ms.into()))
}

fn read_telemetry(section: &mut Section<'_>) -> TelemetryConfig {
    let listen = section.optional::<String>("metrics_listen");
    let metrics_listen = listen.as_ref().and_then(|text| {
        let port = text.parse().ok().map(|port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        port.or_else(|| text.parse().ok())
    });
    if let (Some(text), None) = (listen, metrics_listen) {
        let error = format!("worker.metrics_listen: {text:?} is neither a port nor address:port, as in 0.0.0.0:9464");
        section.reader.errors.push(error);
    }
    let trace_ratio = section.required("trace_ratio").unwrap_or(0.0);
    if !(0.0..=1.0).contains(&trace_ratio) {
        section.reader.errors.push(format!("worker.trace_ratio: {trace_ratio} is not within 0 to 1"));
    }
    TelemetryConfig { metrics_listen, trace_ratio, flush: section.milliseconds("telemetry_flush_ms", 1..=60_000) }
}

fn own_site(named: Option<&str>, sites: &BTreeMap<SiteId, SiteConfig>, reader: &mut Reader) -> Option<SiteId> {
    let id = match named?.parse::<SiteId>() {
        Ok(id) => id,
        Err(error) => {
            reader.errors.push(format!("--site or BRIDGE_SITE: {error}"));
            return None;
        }
    };
    if !sites.contains_key(&id) && reader.errors.is_empty() {
        let known: Vec<_> = sites.keys().map(SiteId::as_str).collect();
        reader.errors.push(format!("--site or BRIDGE_SITE: {id} is not configured; these are: {}", known.join(", ")));
    }
    Some(id)
}

/// Two sites with one queue would steal each other's messages; with one store they would be no copy of each other. Of a site
/// whose dead letters go to its own queue each letter would be a message again.
fn refuse_shared_places(sites: &BTreeMap<SiteId, SiteConfig>, reader: &mut Reader) {
    let mut taken: BTreeMap<String, (&SiteId, &str)> = BTreeMap::new();
    for (id, site) in sites {
        for (key, place) in site.places(id) {
            if let Some((other, their_key)) = taken.insert(place, (id, key)) {
                reader.errors.push(format!(
                    "sites.{id}.{key}: is the same as sites.{other}.{their_key}; each needs one of its own"
                ));
            }
        }
    }
}

/// A queue of the same name in another region is another queue.
fn refuse_other_regions(sites: &BTreeMap<SiteId, SiteConfig>, reader: &mut Reader) {
    for (id, site) in sites {
        let SiteConfig::Aws(site) = site else { continue };
        for (key, url) in [("queue_url", &site.queue_url), ("dead_letter_queue_url", &site.dead_letter_queue_url)] {
            if let Err(error) = QueueIdentity::of_url(url, id.region()) {
                reader.errors.push(format!("sites.{id}.{key}: {error}"));
            }
        }
    }
}

fn size(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn count(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
pub(crate) mod tests;
