//! `bridge`: replicates events between AWS and Azure. Boot, as a story.

// It panics where nobody reads; `tell!` does not.
#![warn(clippy::print_stderr)]

mod assemble;
mod command;
mod config;
mod dashboard;
mod doctor;
mod exit;
mod host;
mod links;
mod serve;
mod tally;
mod telemetry;
mod tell;
mod trust;

use std::process::ExitCode;

use clap::Parser;

/// localcloud holds messages in memory, and must give it back once they are gone (docs/decisions/0004).
#[cfg(feature = "local")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    // 1. What was asked for: by a person, or by the host that started this process.
    let cli = match command::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Without arguments it was the environment that is wrong, and in Lambda its console should say so.
            if std::env::args_os().len() == 1 {
                host::lambda::report_start_error(&error.to_string());
            }
            return exit::usage(&error);
        }
    };
    let function = cli.function();

    // 2. Logs, before anything can go wrong.
    telemetry::logs::init(&cli.log, cli.log_default(), matches!(function, Ok(Some(_))));
    let function = match function.and_then(|function| trust::check(|name| std::env::var_os(name)).map(|()| function)) {
        Ok(function) => function,
        Err(misuse) => {
            host::lambda::report_start_error(&misuse.to_string());
            return exit::failed(&misuse.into());
        }
    };

    // 3. One runtime for all hosts and commands.
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return exit::failed(&anyhow::Error::new(error).context("the runtime did not start")),
    };

    // 4. Do it.
    let result = runtime.block_on(command::run(cli, function));
    // Whatever still runs in the background must not hold the process open.
    runtime.shutdown_timeout(std::time::Duration::from_millis(500));
    match result {
        Ok(code) => code.into(),
        Err(error) => exit::failed(&error),
    }
}
