//! Logs: to standard error for commands, so that their output stays clean, and in JSON to standard output for functions,
//! whose hosts take standard error for errors. Never a payload, never a secret.

use bridge_adapters::aws::QUIET_CREDENTIALS;
use std::io::{self, IsTerminal, Write};

use bridge_core::text::visible;
use clap::ValueEnum;
use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt, util::SubscriberInitExt};

/// Flags of logging, the same for every command.
#[derive(Debug, clap::Args)]
pub(crate) struct LogArgs {
    /// Log level (off, error, warn, info, debug, trace), or levels by module as in `bridge=debug,warn`. The default is info, and
    /// off for `bridge simulate`
    #[arg(long, env = "BRIDGE_LOG", global = true, help_heading = "Global options", value_name = "FILTER")]
    log: Option<String>,
    /// Log format; a function always logs JSON
    #[arg(long, env = "BRIDGE_LOG_FORMAT", default_value = "text", global = true, help_heading = "Global options")]
    log_format: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// Lines for people
    Text,
    /// One JSON object per line
    Json,
}

/// Starts logging, at `default` unless told otherwise. The SDKs below log at `warn`: their own retries are ours to report.
pub(crate) fn init(args: &LogArgs, default: &str, in_function: bool) {
    let log = args.log.as_deref().unwrap_or(default);
    let directives = if log.contains(['=', ',']) {
        log.to_owned()
    } else {
        format!("warn,{QUIET_CREDENTIALS},bridge={log},bridge_adapters={log},localcloud={log}")
    };
    let (filter, refused) = match EnvFilter::try_new(&directives) {
        Ok(filter) => (filter, None),
        Err(error) => (EnvFilter::new("info"), Some(error)),
    };
    let registry = tracing_subscriber::registry().with(filter);
    // A log that nobody reads any more must not end the work: of such an error nothing could be told anyway.
    match args.log_format {
        _ if in_function => {
            let lines = fmt::layer().json().flatten_event(true).with_writer(|| Visible(io::stdout()));
            registry.with(lines.log_internal_errors(false)).init();
        }
        Format::Text => {
            let ansi = io::stderr().is_terminal();
            let lines = fmt::layer().with_writer(|| Visible(io::stderr())).with_ansi(ansi).with_target(false);
            registry.with(lines.log_internal_errors(false)).init();
        }
        Format::Json => {
            let lines = fmt::layer().json().flatten_event(true).with_writer(|| Visible(io::stderr()));
            registry.with(lines.log_internal_errors(false)).init();
        }
    }
    if let Some(error) = refused {
        tracing::warn!(%error, "--log {:?} is not a filter; logging at info", log);
    }
}

/// Where lines go. Texts of strangers are quoted in them, which must neither hide nor turn what is read. It is handed whole lines.
struct Visible<W>(W);

impl<W: Write> Write for Visible<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        // The colours of a terminal, which the layer below escapes in what it quotes.
        let parts: Vec<_> = text.split('\u{1b}').map(visible).collect();
        self.0.write_all(parts.join("\u{1b}").as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
