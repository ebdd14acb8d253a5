//! Starting and ending the programs that a test needs. What a test starts, it ends, also when it fails.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::LazyLock,
    time::{Duration, Instant},
};

use bridge_adapters::clock::SystemClock;
use bridge_core::port::Clock;
use bridge_tests::cloud::runtime;
use serde_json::Value;
use tempfile::TempDir;

use crate::packages::packages;

/// The binary that was built beside this test.
pub(crate) fn bridge() -> Command {
    let test = std::env::current_exe().unwrap();
    let program = test.ancestors().nth(2).unwrap().join("bridge");
    bridge_with(program)
}

/// This binary, with nothing of the environment that it would take for its configuration.
fn bridge_with(program: PathBuf) -> Command {
    assert!(program.exists(), "{} is not built: run the tests through ./just test", program.display());
    let mut command = Command::new(program);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("BRIDGE_") || name.starts_with("OTEL_")) {
        command.env_remove(name);
    }
    // Some errors of the SDKs capture a backtrace each, where one is asked for: that would be most of a run.
    command.env("RUST_LIB_BACKTRACE", "0").stdin(Stdio::null());
    command
}

/// Python with the official clients.
pub(crate) fn python(script: &str) -> Command {
    let python = std::env::var_os("BRIDGE_PYTHON")
        .expect("BRIDGE_PYTHON names a Python with the official clients: run the tests through ./just test");
    let mut command = Command::new(python);
    command.arg(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("clients").join(script));
    command
}

/// A script for Node.js with the official clients.
pub(crate) fn node(script: &str) -> Command {
    let modules = std::env::var_os("BRIDGE_NODE")
        .expect("BRIDGE_NODE names a folder with the official clients for Node.js: run the tests through ./just test");
    let mut command = Command::new("node");
    command.arg("--no-warnings").env("BRIDGE_NODE", modules);
    command.arg(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("clients").join(script));
    command
}

/// Runs to the end, and says what was printed if it failed.
pub(crate) fn must(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?} ended with {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// A program in the background; killed when dropped.
pub(crate) struct Running(Child);

impl Running {
    pub(crate) fn start(command: &mut Command) -> Self {
        Self(command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}")))
    }

    pub(crate) fn signal(&self, name: &str) {
        must(Command::new("kill").args([format!("-{name}"), self.0.id().to_string()]));
    }

    pub(crate) fn has_ended(&mut self) -> Option<ExitStatus> {
        self.0.try_wait().unwrap()
    }

    /// Waits for the end, which must come within `limit`.
    pub(crate) fn end(&mut self, limit: Duration) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.has_ended() {
                return status;
            }
            assert!(start.elapsed() < limit, "the program did not end within {limit:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The most memory that it has held so far, in MB; none if it has just ended.
    pub(crate) fn memory_now_mb(&self) -> Option<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        Some(line.trim().trim_end_matches(" kB").parse::<f64>().ok()? / 1024.0)
    }

    /// The CPU seconds that it has used so far, all threads together.
    pub(crate) fn cpu_seconds(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0.id())).unwrap();
        // The name in parentheses may hold blanks; user and system time are the 12th and 13th field after it.
        let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        let ticks = |at: usize| fields[at].parse::<f64>().unwrap();
        (ticks(11) + ticks(12)) / 100.0
    }

    /// The most memory that it ever held, in MB.
    pub(crate) fn peak_memory_mb(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1024.0
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Both clouds, from `bridge local`.
pub(crate) struct Clouds {
    pub(crate) program: Running,
    pub(crate) ready: Value,
    folder: TempDir,
}

impl Clouds {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::start_with(arguments, &[])
    }

    /// With these variables in the environment of both clouds and their workers.
    pub(crate) fn start_with(arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ready.json");
        let mut command = bridge();
        command.args(["local", "--quiet", "--ready-file"]).arg(&file);
        command.args(["--service-bus-address", &loopback()]).args(arguments).envs(variables.iter().copied());
        let mut program = Running::start(&mut command);
        let start = Instant::now();
        while !file.exists() {
            assert!(program.has_ended().is_none(), "bridge local ended early");
            assert!(start.elapsed() < Duration::from_secs(30), "bridge local was not ready within 30 s");
            std::thread::sleep(Duration::from_millis(10));
        }
        let ready = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
        Self { program, ready, folder }
    }

    /// A folder of the test's own.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn ready_file(&self) -> PathBuf {
        self.folder.path().join("ready.json")
    }

    /// A path for a file of the test's own.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn config(&self) -> &Path {
        Path::new(self.ready["config"].as_str().unwrap())
    }

    /// Asks the admin endpoint; the answer's body.
    pub(crate) fn admin(&self, method: &str, path: &str, body: &str) -> String {
        // One for all: to make one reads the system's certificates, which takes longer than a call.
        static CLIENT: LazyLock<reqwest::Client> = LazyLock::new(reqwest::Client::new);
        let address = format!("{}{path}", self.ready["admin"].as_str().unwrap());
        let request = CLIENT.request(method.parse().unwrap(), address).body(body.to_owned());
        runtime().block_on(async {
            let answer = request.send().await.unwrap();
            let (status, text) = (answer.status(), answer.text().await.unwrap());
            assert!(status.is_success(), "{method} {path}: {status} {text}");
            text
        })
    }

    /// A worker of its own process.
    pub(crate) fn worker(&self, site: &str) -> Running {
        self.worker_with(site, &[])
    }

    /// A worker of its own process, with variables that override its configuration.
    pub(crate) fn worker_with(&self, site: &str, variables: &[(&str, &str)]) -> Running {
        self.start_worker(bridge(), site, variables)
    }

    /// A worker of its own process, of the binary that is released.
    pub(crate) fn released_worker(&self, site: &str) -> Running {
        self.start_worker(bridge_with(packages().join("function/bridge")), site, &[])
    }

    fn start_worker(&self, mut command: Command, site: &str, variables: &[(&str, &str)]) -> Running {
        command.args(["run", "--site", site, "--log", "warn", "--config"]).arg(self.config());
        Running::start(command.envs(variables.iter().copied()))
    }

    /// Starts a fault, as localcloud's admin interface has it.
    pub(crate) fn fault(&self, fault: &str) {
        self.admin("POST", "/faults", fault);
    }

    /// Ends all faults.
    pub(crate) fn clear_faults(&self) {
        self.admin("DELETE", "/faults", "");
    }

    /// Runs one of the official clients' scripts against these clouds.
    pub(crate) fn script(&self, name: &str, arguments: &[&str]) -> Output {
        must(python(name).arg(self.ready_file()).args(arguments))
    }
}

/// A loopback address that no other test of this run has, as Service Bus clients insist on their port.
pub(crate) fn loopback() -> String {
    let id = std::process::id();
    format!("127.1.{}.{}", id / 250 % 250, id % 250 + 1)
}

/// Yesterday, in UTC, as events say it: young enough to be taken, whenever the tests run.
pub(crate) fn day() -> &'static str {
    static DAY: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    DAY.get_or_init(|| (SystemClock.now() - chrono::TimeDelta::days(1)).format("%F").to_string())
}
