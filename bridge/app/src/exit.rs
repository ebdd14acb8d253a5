//! How the process ends: one table of exit codes, and what is printed beside them.

use std::process::ExitCode;

use crate::{config::ConfigErrors, tell::tell};

/// The exit codes of all commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    /// Done.
    Done,
    /// Failed.
    Failed,
    /// Done, and there is something to look at: drift, dead letters left, or what doctor or `lag --strict` found.
    Remains,
    /// Wrong flags or configuration.
    Usage,
    /// It was stopped, by Ctrl-C or another signal, before its work was done.
    Interrupted,
    /// Nobody reads its output any more.
    Unread,
}

impl From<Code> for ExitCode {
    fn from(code: Code) -> Self {
        Self::from(match code {
            Code::Done => 0,
            Code::Failed => 1,
            Code::Remains => 2,
            // EX_USAGE of sysexits.h.
            Code::Usage => 64,
            // What a shell says of a command that SIGINT ended.
            Code::Interrupted => 130,
            // The same of one that SIGPIPE ended, as it does other tools.
            Code::Unread => 141,
        })
    }
}

/// A command that was asked for what it cannot do, with what to ask instead.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Misuse(pub(crate) String);

/// Nobody reads standard output any more, as under `head`.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("nobody reads standard output any more")]
pub(crate) struct Unread;

/// Prints what clap has to say, in colour where that is wanted: help and version are no errors.
pub(crate) fn usage(error: &clap::Error) -> ExitCode {
    match error.print() {
        _ if error.use_stderr() => Code::Usage.into(),
        Ok(()) => Code::Done.into(),
        Err(error) => failed(&unwritten(error)),
    }
}

/// What came of writing to standard output.
pub(crate) fn unwritten(error: std::io::Error) -> anyhow::Error {
    if error.kind() == std::io::ErrorKind::BrokenPipe {
        return Unread.into();
    }
    anyhow::Error::new(error).context("standard output cannot be written")
}

/// Prints an error with its causes.
pub(crate) fn failed(error: &anyhow::Error) -> ExitCode {
    if error.is::<Unread>() {
        return Code::Unread.into();
    }
    if let Some(errors) = error.downcast_ref::<ConfigErrors>() {
        tell!("bridge: {errors}");
        return Code::Usage.into();
    }
    tell!("bridge: {error:#}");
    if error.is::<Misuse>() {
        return Code::Usage.into();
    }
    Code::Failed.into()
}
