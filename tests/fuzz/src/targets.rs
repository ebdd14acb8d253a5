//! The list of targets: what each is handed, and within which bounds.

use std::{env, fmt, path::PathBuf, sync::OnceLock};

use crate::{adapters, app, core, localcloud};

/// Names a target to libFuzzer's process.
pub const TARGET: &str = "BRIDGE_FUZZ_TARGET";

/// One parser, and what must hold of it.
pub struct Target {
    /// Its name, and that of its corpus below `tests/fuzz/corpus`.
    pub name: &'static str,
    run: fn(&[u8]),
    /// Bytes of an input at most. Ours: room for some hundred members, lines or frames. Limits of a megabyte have tests of
    /// their own; here longer inputs would only make each try slower.
    pub bytes_max: usize,
    /// Further corpora, from the root of the repository.
    pub examples: &'static [&'static str],
}

impl Target {
    /// Tries one input.
    ///
    /// # Panics
    /// Something does not hold.
    pub fn run(&self, bytes: &[u8]) {
        (self.run)(bytes);
    }

    /// The folders with inputs for this target.
    pub fn corpora(&self) -> Vec<PathBuf> {
        let own = folder().join("corpus").join(self.name);
        let examples = self.examples.iter().map(|place| folder().join("../..").join(place));
        std::iter::once(own).chain(examples).filter(|place| place.is_dir()).collect()
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

const fn target(name: &'static str, run: fn(&[u8]), bytes_max: usize) -> Target {
    Target { name, run, bytes_max, examples: &[] }
}

/// Examples of the contract, good and bad.
const EVENTS: &[&str] = &["schema/examples/good", "schema/examples/bad"];

/// All targets.
pub static ALL: &[Target] = &[
    Target { examples: EVENTS, ..target("event", core::event::run, 4096) },
    target("payload", core::payload::run, 1024),
    target("numbers", core::numbers::run, 64),
    target("timestamp", core::timestamp::run, 128),
    target("version", core::version::run, 128),
    target("trace", core::trace::run, 128),
    target("names", core::names::run, 2048),
    target("heartbeat", core::heartbeat::run, 4096),
    target("letter", core::letter::run, 4096),
    target("plan", core::plan::run, 4096),
    target("ledger", core::ledger::run, 4096),
    target("lambda_event", adapters::lambda_event::run, 4096),
    target("function_payload", adapters::function_payload::run, 4096),
    target("dynamodb_item", adapters::dynamodb_item::run, 1024),
    target("cosmos_item", adapters::cosmos_item::run, 4096),
    target("sqs_message", adapters::sqs_message::run, 512),
    target("amqp_message", adapters::amqp_message::run, 4096),
    target("amqp_answer", adapters::amqp_answer::run, 4096),
    target("amqp_stream", adapters::amqp_stream::run, 4096),
    target("queue_facts", adapters::queue_facts::run, 2048),
    target("retry_after", adapters::retry_after::run, 64),
    target("connection_string", adapters::connection_string::run, 512),
    target("cursor", adapters::cursor::run, 512),
    target("file", adapters::file::run, 4096),
    target("config", app::config::run, 1024),
    target("dashboard_guard", app::guard::run, 512),
    target("localcloud_faults", localcloud::faults::run, 512),
    target("localcloud_frames", localcloud::service_bus_frames::run, 4096),
    target("localcloud_message", localcloud::service_bus_message::run, 4096),
    target("localcloud_rest", localcloud::service_bus_rest::run, 2048),
    target("localcloud_sqs", localcloud::sqs::run, 2048),
];

/// The target that this process is for.
///
/// # Panics
/// None is named, or one that is not there.
pub fn chosen() -> &'static Target {
    static CHOSEN: OnceLock<&Target> = OnceLock::new();
    CHOSEN.get_or_init(|| {
        let name = env::var(TARGET).unwrap_or_default();
        named(&name).unwrap_or_else(|| panic!("{TARGET}: no target is called {name:?}"))
    })
}

/// The target of that name.
pub fn named(name: &str) -> Option<&'static Target> {
    ALL.iter().find(|target| target.name == name)
}

/// This package's folder.
pub fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}
