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
    /// Ctrl-C at a question: nothing was done.
    Interrupted,
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
        })
    }
}

/// A command that was asked for what it cannot do, with what to ask instead.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Misuse(pub(crate) String);

/// Prints what clap has to say, in colour where that is wanted: help and version are no errors.
pub(crate) fn usage(error: &clap::Error) -> ExitCode {
    // A reader that has gone away, as `head` does, is no error.
    let _ = error.print();
    if error.use_stderr() { Code::Usage.into() } else { Code::Done.into() }
}

/// Prints an error with its causes.
pub(crate) fn failed(error: &anyhow::Error) -> ExitCode {
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
