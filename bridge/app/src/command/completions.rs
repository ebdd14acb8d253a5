//! `bridge completions`: a completion script for a shell.

use clap::CommandFactory;

use crate::exit::Code;

#[derive(Debug, clap::Args)]
#[command(after_help = "Example: bridge completions bash > ~/.local/share/bash-completion/completions/bridge")]
pub(crate) struct Args {
    /// The shell
    shell: clap_complete::Shell,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<Code> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut super::Cli::command(), "bridge", &mut script);
    super::print(&String::from_utf8_lossy(&script))?;
    Ok(Code::Done)
}
