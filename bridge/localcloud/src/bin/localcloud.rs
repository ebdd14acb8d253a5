//! `localcloud`: the services of this crate, until Ctrl-C.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use localcloud::{Contents, LocalCloud, cli};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

/// SQS, DynamoDB, Service Bus and Cosmos DB on loopback, with their own wire protocols, until Ctrl-C
///
/// Prints where everything is, as JSON, once all is up. Nothing leaves this machine, and nothing is kept.
#[derive(Parser)]
#[command(version, after_help = "Example: localcloud --site aws:eu-west-1 --site aws:us-west-2 --site azure:eastus")]
struct Args {
    #[command(flatten)]
    cloud: cli::CloudArgs,
    /// Write to this file what is printed; it goes with the program
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
    /// Queue of each site
    #[arg(long, value_name = "NAME", default_value_t = Contents::default().queue)]
    queue: String,
    /// Queue of each site for what an application sets aside [default: that of --queue with -dead behind it]
    #[arg(long, value_name = "NAME")]
    dead_letter_queue: Option<String>,
    /// DynamoDB table of each AWS site, with the partition key `pk`
    #[arg(long, value_name = "NAME", default_value_t = Contents::default().table)]
    table: String,
    /// Cosmos DB database of each Azure site
    #[arg(long, value_name = "NAME", default_value_t = Contents::default().database)]
    database: String,
    /// Its container, with the partition key `/pk`
    #[arg(long, value_name = "NAME", default_value_t = Contents::default().container)]
    container: String,
}

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_max_level(tracing::Level::WARN).init();
    match run(Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "localcloud: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let mut interrupted = signal(SignalKind::interrupt())?;
    let mut terminated = signal(SignalKind::terminate())?;
    let contents = Contents {
        redrive_queue: format!("{}-dlq", args.queue),
        dead_letter_queue: args.dead_letter_queue.unwrap_or_else(|| format!("{}-dead", args.queue)),
        queue: args.queue,
        table: args.table,
        database: args.database,
        container: args.container,
        ..Contents::default()
    };
    let cloud = LocalCloud::start(args.cloud.options(contents)?).await?;
    let ready = format!("{:#}\n", json!({ "sites": cloud.sites(), "admin": cloud.admin() }));
    if let Some(file) = &args.ready_file {
        cli::write_whole(file, &ready).map_err(|error| format!("{} cannot be written: {error}", file.display()))?;
    }
    std::io::stdout().write_all(ready.as_bytes())?;
    tokio::select! {
        _ = interrupted.recv() => {}
        _ = terminated.recv() => {}
    }
    cloud.stop().await;
    if let Some(file) = &args.ready_file {
        let _ = std::fs::remove_file(file);
    }
    Ok(())
}
