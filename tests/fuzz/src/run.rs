//! Starts libFuzzer: this very program once more for each target, as many at a time as there are cores.
//!
//! ```text
//! [all|TARGET] [SECONDS|FILE]
//! ```
//!
//! For so many seconds each (3 unless said), or one file that was found once more.

use std::{
    env,
    fmt::Write as _,
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::{self, Command, Output},
    sync::Mutex,
    thread,
};

use crate::targets::{self, ALL, TARGET, Target};

/// Bytes of a stack: what tokio gives its threads, on which all of this is read.
const STACK_KB: u32 = 2048;

/// Megabytes in memory at most. Ours: a process with nothing to do has 40; ten times that is no parser of 4 KB.
const MEMORY_MB: u32 = 512;

/// Seconds for one input at most. Ours: each takes microseconds, and a busy machine may stop for a moment.
const INPUT_SECONDS: u32 = 10;

/// Lets libFuzzer take over where a target is named in the environment; elsewhere starts it for each target, and ends the process.
pub fn begin() {
    if env::var_os(TARGET).is_some() {
        targets::chosen();
        return;
    }
    process::exit(match run(&env::args().skip(1).collect::<Vec<_>>()) {
        Ok(true) => 0,
        Ok(false) => 1,
        Err(error) => {
            let _ = writeln!(io::stderr(), "fuzz: {error}");
            64
        }
    });
}

/// What is asked of each target.
enum Task {
    Seconds(u32),
    File(PathBuf),
}

/// Whether every target held.
fn run(arguments: &[String]) -> Result<bool, String> {
    let name = arguments.first().map_or("all", String::as_str);
    let wanted: Vec<&Target> = match name {
        "all" => ALL.iter().collect(),
        name => vec![targets::named(name).ok_or_else(|| format!("no target is called {name}; there are {ALL:?}"))?],
    };
    let task = match arguments.get(1) {
        None => Task::Seconds(3),
        // `cargo test` starts this in the package's folder, and people name files from the root.
        Some(given) => {
            given.parse().map_or_else(|_| Task::File(targets::folder().join("../..").join(given)), Task::Seconds)
        }
    };
    let (queue, failed) = (Mutex::new(wanted.iter()), Mutex::new(0));
    let cores = thread::available_parallelism().map_or(1, usize::from).min(wanted.len());
    thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().unwrap().next();
                    let Some(target) = next else { break };
                    let held = one(target, &task).unwrap_or_else(|error| {
                        say(&format!("{}: {error}", target.name));
                        false
                    });
                    *failed.lock().unwrap() += u32::from(!held);
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    say(&format!("{} targets, {failed} failed", wanted.len()));
    Ok(failed == 0)
}

/// Runs one target; whether it held.
fn one(target: &Target, task: &Task) -> io::Result<bool> {
    let place = env::current_exe()?.ancestors().nth(3).unwrap_or(Path::new(".")).join("fuzz");
    // What libFuzzer finds of interest goes into the first folder, and is where it goes on the next time.
    let found = place.join(target.name);
    fs::create_dir_all(&found)?;
    let mut command = Command::new("sh");
    command.arg("-c").arg(format!("ulimit -s {STACK_KB} && exec \"$0\" \"$@\"")).arg(env::current_exe()?);
    command
        .env(TARGET, target.name)
        .arg(format!("-artifact_prefix={}-", place.join(target.name).display()))
        .arg(format!("-rss_limit_mb={MEMORY_MB}"))
        .arg(format!("-timeout={INPUT_SECONDS}"));
    match task {
        Task::File(path) => command.arg(path),
        Task::Seconds(seconds) => command
            .arg(format!("-max_len={}", target.bytes_max))
            .arg(format!("-max_total_time={seconds}"))
            .arg(format!("-dict={}", targets::folder().join("words.dict").display()))
            .args(["-print_final_stats=1", "-verbosity=1"])
            .arg(found)
            .args(target.corpora()),
    };
    let output = command.output()?;
    say(&tell(target, &output));
    Ok(output.status.success())
}

/// One line of what came of a target, and all that libFuzzer said of a failure.
fn tell(target: &Target, output: &Output) -> String {
    let log = String::from_utf8_lossy(&output.stderr);
    let last = |name: &str| {
        let found = log.lines().rev().find_map(|line| line.split_once(name)?.1.split_whitespace().next());
        found.unwrap_or("?").to_owned()
    };
    let (runs, memory) = (last("stat::number_of_executed_units:"), last("stat::peak_rss_mb:"));
    let mut line = format!("{:20} {runs:>10} runs, {:>6} edges, {memory:>4} MB", target.name, last("cov:"));
    if !output.status.success() {
        let from = log.find("panicked at").or_else(|| log.find("ERROR: libFuzzer")).unwrap_or_default();
        let _ = write!(line, "  FAILED ({})\n{}", output.status, &log[from..]);
    }
    line
}

fn say(text: &str) {
    let _ = writeln!(io::stdout(), "{text}");
}
