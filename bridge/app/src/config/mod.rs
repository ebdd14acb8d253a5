//! The configuration: one TOML file that all sites share, the environment over it, every error at once.

mod check;
pub(crate) mod keys;
pub(crate) mod layers;
pub(crate) mod masked;
mod nearest;
mod reader;
mod regions;
pub(crate) mod schema;
mod secret;
pub(crate) mod site;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    io::Read,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

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

use layers::{File, Form, Given};
use reader::{Reader, Section};
pub(crate) use secret::Secret;
pub(crate) use site::SiteConfig;
use site::{read_aws, read_azure, settle_ways};

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
    /// What is odd, and can be so on purpose.
    pub(crate) warnings: Vec<String>,
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

/// All that is wrong with a configuration. What an error quotes may be a secret in the wrong place.
#[derive(Clone, Debug)]
pub(crate) struct ConfigErrors(pub(crate) Vec<String>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.len();
        write!(f, "the configuration has {count} error{}:", if count == 1 { "" } else { "s" })?;
        self.0.iter().try_for_each(|error| write!(f, "\n  - {}", masked::masked(error)))?;
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
        let strays = strays(&sources.environment);
        let file = sources.file.as_deref().ok_or_else(|| {
            let none = "no configuration: name the file with --config PATH or BRIDGE_CONFIG (a path, or the text)";
            ConfigErrors([none.to_owned()].into_iter().chain(strays.clone()).collect())
        })?;
        let (text, name) = read_file(file)?;
        let mut file = layers::from_toml(&text, &name).map_err(ConfigErrors)?;
        let mut refused = Vec::new();
        let ids = site_ids(&file, &mut refused);
        overlay(&mut file, &ids, &sources.environment, &mut refused);
        refuse_unknown(&file, &ids, &mut refused);
        let mut reader = Reader::new(&file);
        reader.errors = refused;
        reader.warnings = strays;

        let mut worker = Section { reader: &mut reader, prefix: "worker".into(), keys: keys::WORKER };
        let policy = read_policy(&mut worker);
        let (clock_skew_max, future_max) = read_fences(&mut worker);
        let (container, function) = read_hosts(&mut worker);
        let inflight_bytes_max = size(worker.number("inflight_bytes_max"));
        let auto_replay = read_auto_replay(&mut worker);
        let (keep_conflicts, clock_offset) = read_watching(&mut worker);
        let telemetry = read_telemetry(&mut worker);
        let mut sites = BTreeMap::new();
        for id in ids {
            let prefix = format!("sites.{id}");
            let aws = id.cloud() == "aws";
            let keys = if aws { keys::AWS } else { keys::AZURE };
            let mut section = Section { reader: &mut reader, prefix, keys };
            let site = if aws {
                read_aws(&mut section).map(SiteConfig::Aws)
            } else {
                read_azure(&mut section).map(SiteConfig::Azure)
            };
            sites.extend(site.map(|site| (id, site)));
        }
        let site = own_site(sources.site.as_deref(), &sites, &mut reader);
        settle_ways(&mut sites, site.as_ref());
        check::shared_places(&sites, &mut reader);
        check::other_regions(&sites, &mut reader);
        check::unknown_regions(&sites, &mut reader);
        if sites.is_empty() && reader.errors.is_empty() {
            reader.errors.push(format!(
                "{}: sites: found none; allowed are sections [sites.\"aws:REGION\"] and [sites.\"azure:REGION\"], as in \
                 [sites.\"aws:us-east-1\"]",
                file.name
            ));
        }
        if reader.errors.is_empty() {
            let Reader { entries, warnings, .. } = reader;
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
                warnings,
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

/// `BRIDGE_CONFIG` may hold the text itself, which suits functions.
fn read_file(file: &str) -> Result<(String, String), ConfigErrors> {
    if is_text(file) {
        return Ok((file.to_owned(), "BRIDGE_CONFIG".to_owned()));
    }
    let wrong = |what: String| {
        ConfigErrors(vec![format!("{file} {what}; --config and BRIDGE_CONFIG take a path, or the TOML text itself")])
    };
    let mut text = String::new();
    std::fs::File::open(file)
        .and_then(|opened| opened.take(CONFIG_BYTES_MAX + 1).read_to_string(&mut text))
        .map_err(|error| wrong(format!("cannot be read: {error}")))?;
    if text.len() as u64 > CONFIG_BYTES_MAX {
        return Err(wrong(format!("has over {CONFIG_BYTES_MAX} bytes, and is no configuration")));
    }
    Ok((text, file.to_owned()))
}

/// A path has no line's end. One line without a file behind it is a text if it has a character that TOML and no usual path has.
fn is_text(file: &str) -> bool {
    file.contains('\n') || file.contains(['=', '[', ']', '{', '}', '"', '#']) && !std::path::Path::new(file).exists()
}

/// Bytes of a configuration's text. Ours: a thousand sites fit in.
const CONFIG_BYTES_MAX: u64 = 1024 * 1024;

fn site_ids(file: &File, refused: &mut Vec<String>) -> BTreeSet<SiteId> {
    let mut ids = BTreeSet::new();
    for (section, place) in &file.sections {
        let Some(name) = section.strip_prefix("sites.") else { continue };
        match name.parse::<SiteId>() {
            Ok(id) if matches!(id.cloud(), "aws" | "azure") => drop(ids.insert(id)),
            // A table where a text belongs, which `refuse_unknown` tells of.
            _ if name.contains('.') => {}
            Ok(id) => refused.push(format!(
                "{place}: {section}: found the cloud {:?}; the cloud must be aws or azure, as in [sites.\"aws:us-east-1\"]",
                id.cloud()
            )),
            // A key that stands a level too high is told of as unknown, and its section is none.
            Err(error) => refused.push(format!("{place}: {section}: {error}")),
        }
    }
    ids
}

/// Lets the environment override every key that could be in the file.
fn overlay(file: &mut File, ids: &BTreeSet<SiteId>, environment: &BTreeMap<String, String>, refused: &mut Vec<String>) {
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
            Some(key) => {
                let given = Given { text: text.clone(), origin: variable.clone(), form: Form::Untyped };
                file.values.insert(key.clone(), given);
            }
            None if variable.starts_with("BRIDGE_SITES_") || variable.starts_with("BRIDGE_WORKER_") => {
                let meant = nearest::of(variable, known.keys().map(String::as_str));
                let hint = meant.map_or_else(
                    || "a site must stand in the file to be overridden".to_owned(),
                    |meant| format!("did you mean {meant}?"),
                );
                refused.push(format!("{variable}: overrides no key; {hint}"));
            }
            None => {}
        }
    }
}

/// Variables that nothing reads, and whose names are near to one that is read. Others may share the prefix.
fn strays(environment: &BTreeMap<String, String>) -> Vec<String> {
    let stray = |name: &String| {
        let meant = match name.strip_prefix("BRIDGE_")? {
            _ if VARIABLES.contains(&name.as_str()) => return None,
            rest if keys::WORKER.iter().any(|spec| rest.eq_ignore_ascii_case(spec.name)) => {
                format!("BRIDGE_WORKER_{rest}")
            }
            _ => nearest::within(name, VARIABLES.into_iter(), 2)?.to_owned(),
        };
        Some(format!("{name}: the bridge reads no variable of this name; did you mean {meant}?"))
    };
    environment.keys().filter_map(stray).collect()
}

/// Variables that are read beside those of keys: by flags, and by the host of an Azure Function.
const VARIABLES: [&str; 7] = [
    "BRIDGE_CONFIG",
    "BRIDGE_SITE",
    "BRIDGE_LOG",
    "BRIDGE_LOG_FORMAT",
    "BRIDGE_DASHBOARD_TOKEN",
    "BRIDGE_QUEUE",
    "BRIDGE_SERVICE_BUS",
];

fn refuse_unknown(file: &File, ids: &BTreeSet<SiteId>, refused: &mut Vec<String>) {
    for (key, Given { origin, .. }) in &file.values {
        let (section, name) = key.rsplit_once('.').unwrap_or(("", key));
        let site = section.strip_prefix("sites.");
        let specs = match site.and_then(|id| id.parse::<SiteId>().ok()) {
            // Of a site that is refused nobody knows its keys.
            Some(id) if !ids.contains(&id) => continue,
            Some(id) if id.cloud() == "aws" => keys::AWS,
            Some(_) => keys::AZURE,
            None if section == "worker" => keys::WORKER,
            // A table where a text belongs is told of below.
            None if section.contains('.') => continue,
            None => &[],
        };
        if specs.iter().any(|spec| spec.name == name) {
            continue;
        }
        let sections = [("[worker]", keys::WORKER), ("a site of aws", keys::AWS), ("a site of azure", keys::AZURE)];
        let elsewhere = sections.iter().find(|(_, specs)| specs.iter().any(|spec| spec.name == name));
        let meant = nearest::of(name, specs.iter().map(|spec| spec.name));
        let hint = match (meant, elsewhere) {
            (_, Some((place, _))) => format!("it is a key of {place}"),
            (Some(meant), None) => {
                let line =
                    specs.iter().find(|spec| spec.name == meant).and_then(keys::KeySpec::line).unwrap_or_default();
                format!("did you mean {meant}, as in {line}?")
            }
            (None, None) if specs.is_empty() => "sections are [worker] and [sites.\"aws:us-east-1\"]".to_owned(),
            (None, None) => "`bridge config --explain` lists the keys of its section".to_owned(),
        };
        refused.push(format!("{origin}: {key}: unknown; {hint}"));
    }
    for (section, place) in &file.sections {
        let (outer, name) = section.rsplit_once('.').unwrap_or(("", section));
        let is_site = outer == "sites" && !name.is_empty();
        // A section within an unknown one is told of with that.
        let known = ["worker", "sites"].contains(&section.as_str()) || is_site;
        let within_known = outer.is_empty() || outer == "worker" || ids.iter().any(|id| outer == format!("sites.{id}"));
        if known || !within_known {
            continue;
        }
        let specs = match outer {
            "" => &[],
            "worker" => keys::WORKER,
            _ if outer.starts_with("sites.aws:") => keys::AWS,
            _ => keys::AZURE,
        };
        refused.push(match specs.iter().find(|spec| spec.name == name) {
            Some(spec) => {
                let line = spec.line().map_or(String::new(), |line| format!(", as in {line}"));
                format!("{place}: {section}: found a table; allowed is {}{line}", spec.allowed())
            }
            None => {
                format!("{place}: {section}: an unknown section; sections are [worker] and [sites.\"aws:us-east-1\"]")
            }
        });
    }
}

fn read_policy(section: &mut Section<'_, '_>) -> Policy {
    let key_pointer: Option<String> = section.required("key_pointer");
    let is_pointer =
        |text: &String| text.starts_with('/') && text.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
    if let Some(text) = key_pointer.as_ref().filter(|text| !is_pointer(text)) {
        section.error("key_pointer", format!("found {text:?}; allowed is a JSON pointer"));
    }
    let key_pointer = key_pointer.unwrap_or_default();
    let errors = section.reader.errors.len();
    let tombstone_life = section.days("tombstone_life_days");
    let replay_window = section.days("replay_window_days");
    // Of two that stand there: what takes the place of a wrong one is nobody's.
    let stand = section.reader.errors.len() == errors;
    if stand && limits::age_max(tombstone_life) <= replay_window {
        let days = |duration: Duration| duration.as_secs() / 86_400;
        let (least, window) = (days(replay_window) + days(limits::AGE_MARGIN) + 1, days(replay_window));
        let found = days(tombstone_life);
        section.error_beside(
            "tombstone_life_days",
            format!(
                "found {found}; must be {least} or more for a worker.replay_window_days of {window}: a tombstone must outlive the \
                 oldest event that can still arrive, with a day to spare"
            ),
            least,
        );
    }
    let forward = if section.word("forward") == "latest" { Forward::Latest } else { Forward::All };
    Policy {
        key_pointer,
        tombstone_life,
        attempts_max: count(section.number("attempts_max")),
        retry: Backoff {
            base: section.milliseconds("retry_delay_base_ms"),
            max: section.milliseconds("retry_delay_max_ms"),
        },
        store_wait_max: Duration::from_hours(section.number("store_wait_max_hours")),
        peer_attempts_max: count(section.number("peer_attempts_max")),
        peer_retry: Backoff {
            base: section.milliseconds("peer_retry_delay_base_ms"),
            max: section.milliseconds("peer_retry_delay_max_ms"),
        },
        peer_time: section.seconds("peer_time_max_seconds"),
        circuit: CircuitPolicy {
            failures: count(section.number("circuit_failures")),
            pause: section.milliseconds("circuit_pause_ms"),
        },
        forward,
        concurrent_writes: size(section.number("concurrent_writes")),
        trace_ratio: None, // Until it is known that somebody takes traces.
    }
}

/// How far ahead an event may be stamped: at its origin, and at every site.
fn read_fences(section: &mut Section<'_, '_>) -> (Duration, Duration) {
    let errors = section.reader.errors.len();
    let clock_skew_max = section.seconds("clock_skew_max_seconds");
    let future_max = section.seconds("future_max_seconds");
    let stand = section.reader.errors.len() == errors;
    if stand && future_max < clock_skew_max {
        let (found, least) = (future_max.as_secs(), clock_skew_max.as_secs());
        section.error_beside(
            "future_max_seconds",
            format!(
                "found {found}; must be worker.clock_skew_max_seconds ({least}) or more, or peers refuse what an origin let through"
            ),
            least,
        );
    }
    (clock_skew_max, future_max)
}

fn read_hosts(section: &mut Section<'_, '_>) -> (ContainerConfig, FunctionConfig) {
    let container = ContainerConfig {
        concurrent_batches: size(section.number("concurrent_batches")),
        batch_messages_max: size(section.number("batch_messages_max")),
        receive_wait: section.seconds("receive_wait_seconds"),
        heartbeat: section.seconds("heartbeat_seconds"),
        state: section.seconds("state_seconds"),
    };
    let function = FunctionConfig {
        hold: section.seconds("function_hold_seconds"),
        halt: section.seconds("function_halt_seconds"),
    };
    (container, function)
}

fn read_auto_replay(section: &mut Section<'_, '_>) -> Option<u32> {
    let rate = count(section.number("auto_replay_per_second"));
    (section.word("auto_replay") == "owed").then_some(rate)
}

fn read_watching(section: &mut Section<'_, '_>) -> (bool, TimeDelta) {
    let keep_conflicts = section.word("conflicts") == "keep";
    let offset_ms = section.required::<i32>("clock_offset_ms").unwrap_or_default();
    (keep_conflicts, TimeDelta::milliseconds(offset_ms.into()))
}

fn read_telemetry(section: &mut Section<'_, '_>) -> TelemetryConfig {
    let listen = section.optional::<String>("metrics_listen");
    let metrics_listen = listen.as_ref().and_then(|text| {
        let port = text.parse().ok().map(|port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        port.or_else(|| text.parse().ok())
    });
    if let (Some(text), None) = (listen, metrics_listen) {
        section.error("metrics_listen", format!("found {text:?}; allowed is a {}", "port or address:port"));
    }
    let trace_ratio = section.required("trace_ratio").unwrap_or(0.0);
    if !(0.0..=1.0).contains(&trace_ratio) {
        section.error("trace_ratio", format!("found {trace_ratio}; allowed is a number from 0 to 1"));
    }
    TelemetryConfig { metrics_listen, trace_ratio, flush: section.milliseconds("telemetry_flush_ms") }
}

fn own_site(named: Option<&str>, sites: &BTreeMap<SiteId, SiteConfig>, reader: &mut Reader<'_>) -> Option<SiteId> {
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

fn size(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn count(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
pub(crate) mod tests;
