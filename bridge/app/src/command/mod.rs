//! The command line. One subcommand a file, each with its flags and one `run`.

mod ask;
mod backfill;
mod completions;
mod config;
mod dashboard;
mod doctor;
mod drill;
mod fit;
mod get;
pub(crate) mod lag;
mod letter;
#[cfg(feature = "local")]
mod local;
mod progress;
mod publish;
mod replay;
mod run;
mod schema;
#[cfg(feature = "local")]
mod simulate;
mod table;
mod verify;

use std::collections::BTreeMap;

use bridge_core::text::visible;
use clap::{CommandFactory, Parser, Subcommand};

use crate::{
    assemble::{self, Worksite},
    config::{Config, ConfigErrors, SiteConfig, Sources},
    doctor::Diagnosis,
    exit::{self, Code, Misuse},
    host::{
        self, Function,
        own_queue::{self, Trigger},
    },
    telemetry::{Settings, Telemetry, logs::LogArgs},
};

/// Replicates events between AWS (SQS, DynamoDB) and Azure (Service Bus, Cosmos DB)
#[derive(Debug, Parser)]
#[command(name = "bridge", version, max_term_width = 110)]
#[command(
    after_help = "Exit codes: 0 done, 1 failed, 2 drift, dead letters or findings left, 64 wrong flags or configuration.\n\
                        AWS Lambda and Azure Functions start it without a command.\n\
                        Try it without any cloud: bridge local"
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) log: LogArgs,
    #[command(flatten)]
    sources: SourceArgs,
    #[command(subcommand)]
    command: Option<Command>,
}

impl Cli {
    /// The host to serve, unless a command was given.
    pub(crate) fn function(&self) -> Result<Option<Function>, Misuse> {
        if self.command.is_some() { Ok(None) } else { Function::of(|name| std::env::var_os(name)) }
    }

    /// What to log unless told otherwise: of workers that are simulated nothing, as it would read like trouble with real ones.
    pub(crate) fn log_default(&self) -> &'static str {
        match self.command {
            #[cfg(feature = "local")]
            Some(Command::Simulate(_)) => "off",
            _ => "info",
        }
    }
}

#[derive(Debug, clap::Args)]
struct SourceArgs {
    /// Configuration that all sites share: a path, or the TOML text itself
    #[arg(
        long,
        env = "BRIDGE_CONFIG",
        global = true,
        help_heading = "Global options",
        value_name = "FILE",
        hide_env_values = true
    )]
    config: Option<String>,
    /// Site that this process works for, as in aws:us-east-1
    #[arg(long, env = "BRIDGE_SITE", value_name = "SITE")]
    site: Option<String>,
}

/// For a command that is about one site. Not a global flag, as `bridge local` takes several.
#[derive(Debug, clap::Args)]
struct SiteArg {
    #[arg(
        long,
        value_name = "SITE",
        help = "Site that this process works for, as in aws:us-east-1 [env: BRIDGE_SITE]"
    )]
    site: Option<String>,
}

impl SourceArgs {
    fn load(&self) -> Result<Config, ConfigErrors> {
        self.load_for(None)
    }

    fn load_for(&self, named: Option<&SiteArg>) -> Result<Config, ConfigErrors> {
        let site = named.and_then(|named| named.site.clone()).or_else(|| self.site.clone());
        let config = Config::load(&Sources { file: self.config.clone(), site, environment: environment("BRIDGE_") })?;
        for warning in &config.warnings {
            tracing::warn!("{warning}");
        }
        Ok(config)
    }

    /// The configuration, where a flag names it and not the environment.
    fn config_flag(&self) -> Option<&str> {
        let environment = std::env::var("BRIDGE_CONFIG").ok();
        self.config.as_deref().filter(|config| Some(*config) != environment.as_deref())
    }
}

/// The environment's variables that begin so.
fn environment(prefix: &str) -> BTreeMap<String, String> {
    std::env::vars_os()
        // A value that is not UTF-8 is no value that anything takes, and is refused as what it is then.
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.to_string_lossy().into_owned())))
        .filter(|(name, _)| name.starts_with(prefix))
        .collect()
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run both clouds on this machine, with a worker for each
    #[cfg(feature = "local")]
    Local(local::Args),
    /// Run the worker of one site, in a container or on a machine
    Run(run::Args),
    /// Validate events and send them to a site's queue
    Publish(publish::Args),
    /// Deliver dead letters, a queue's backlog or a file to the sites that are owed them
    Replay(Box<replay::Args>),
    /// List the plans of replays that were begun, and remove those that are done
    Plans(replay::plans::Args),
    /// Show one dead letter: its properties and its body
    Letter(letter::Args),
    /// Show a key's record at every site, side by side
    Get(get::Args),
    /// Show how far behind each site is, and what would be lost if a site failed now
    Lag(lag::Args),
    /// Serve the lag and the next steps as a live page
    Dashboard(dashboard::Args),
    /// Compare the stores of all sites, list differences, and repair them
    Verify(verify::Args),
    /// Copy one site's store to another site
    Backfill(backfill::Args),
    /// Make a site fail, fail over and back, and measure the effect
    Drill(Box<drill::Args>),
    /// Check settings, permissions, clocks and limits of the accounts
    Doctor(doctor::Args),
    /// Run simulated worlds full of faults, each from a seed, on virtual time
    #[cfg(feature = "local")]
    Simulate(simulate::Args),
    /// Show the configuration: value, unit and origin of each key
    Config(config::Args),
    /// Print the contracts: JSON Schemas, dead-letter reasons, AsyncAPI
    Schema(schema::Args),
    /// Print a shell's completion script
    Completions(completions::Args),
}

/// Runs what was asked for.
pub(crate) async fn run(mut cli: Cli, function: Option<Function>) -> anyhow::Result<Code> {
    if let Some(function) = function {
        cli.sources.config = cli.sources.config.or_else(host::packaged_config);
        return Box::pin(serve(function, cli.sources.load())).await;
    }
    let load = || cli.sources.load();
    let Some(command) = cli.command else {
        Cli::command().print_help().map_err(exit::unwritten)?;
        return Ok(Code::Usage);
    };
    match command {
        #[cfg(feature = "local")]
        Command::Local(args) => local::run(args).await,
        Command::Run(args) => Box::pin(run::run(cli.sources.load_for(Some(&args.site))?)).await,
        Command::Publish(args) => publish::run(args, load()?).await,
        Command::Replay(args) => replay::run(*args, load()?, cli.sources.config_flag()).await,
        Command::Plans(args) => replay::plans::run(&args),
        Command::Letter(args) => letter::run(args, load()?).await,
        Command::Get(args) => get::run(args, load()?).await,
        Command::Lag(args) => lag::run(args, load()?).await,
        Command::Dashboard(args) => dashboard::run(args, load()?).await,
        Command::Verify(args) => verify::run(args, load()?).await,
        Command::Backfill(args) => backfill::run(args, load()?).await,
        Command::Drill(args) => drill::run(*args, load()?, cli.sources.config.clone()).await,
        Command::Doctor(args) => doctor::run(&args, cli.sources.load_for(Some(&args.site))?).await,
        #[cfg(feature = "local")]
        Command::Simulate(args) => simulate::run(args).await,
        Command::Config(args) => config::run(&args, || cli.sources.load_for(Some(&args.site))).await,
        Command::Schema(args) => schema::run(&args),
        Command::Completions(args) => completions::run(&args),
    }
}

/// Serves the host that started this process, until it ends it.
async fn serve(function: Function, config: Result<Config, ConfigErrors>) -> anyhow::Result<Code> {
    let started = start(function, config).await;
    if let (Function::Lambda, Err(error)) = (function, &started) {
        host::lambda::report_start_error(&format!("{error:#}"));
    }
    let (config, mut worksite) = started?;
    let diagnosis = Diagnosis::of(&config, &mut worksite);
    match (function, &config.sites[config.own_site()?]) {
        (Function::Lambda, SiteConfig::Aws(site)) => {
            let trigger = Trigger::new(config.own_site()?, &site.queue_url, &site.dead_letter_queue_url)?;
            let portion = config.container.batch_messages_max;
            host::lambda::serve(&worksite, &diagnosis, &trigger, portion, config.telemetry.flush).await?;
        }
        (Function::Azure { port }, SiteConfig::Azure(_)) => {
            host::function::serve(worksite, diagnosis, &config, port).await?;
        }
        _ => anyhow::bail!("a host of another cloud was not refused"),
    }
    Ok(Code::Done)
}

/// All that must be right before a function takes its first invocation.
async fn start(function: Function, config: Result<Config, ConfigErrors>) -> anyhow::Result<(Config, Worksite)> {
    let config = config?;
    let site = config.own_site()?.clone();
    let variable = |name: &str| Some(std::env::var_os(name)?.to_string_lossy().into_owned());
    own_queue::check(function, &config, variable, own_queue::function_file().as_deref())?;
    let telemetry = Telemetry::start(&Settings::of_process()?, false)?;
    let worksite = assemble::worksite(&config, &site, &telemetry).await?;
    Ok((config, worksite))
}

/// Writes to standard output, with everything in it that a terminal would not show.
///
/// # Errors
/// It cannot be written, or nobody reads it any more: [`exit::Unread`].
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    print_styled(&visible(text))
}

/// The same of text for people, which fits their terminal.
///
/// # Errors
/// As for [`print()`].
pub(crate) fn print_fitted(text: &str) -> anyhow::Result<()> {
    print_styled(&fitted(&visible(text)))
}

/// `text` as it fits the terminal.
fn fitted(text: &str) -> String {
    fit::columns().map_or_else(|| text.to_owned(), |columns| fit::fit(text, columns))
}

/// Writes to standard output what has colours, and nothing of strangers that is not made visible.
///
/// # Errors
/// As for [`print()`].
pub(crate) fn print_styled(text: &str) -> anyhow::Result<()> {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(exit::unwritten)
}
