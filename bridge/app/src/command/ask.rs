//! Asks the person at the terminal.

use std::io::{IsTerminal, Write};

/// Whether there is somebody to ask; with `--json` there is not.
pub(super) fn is_possible(json: bool) -> bool {
    !json && std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// What is answered, in a line.
pub(super) fn line(question: &str) -> anyhow::Result<String> {
    let mut terminal = std::io::stderr();
    write!(terminal, "{question} ")?;
    terminal.flush()?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(answer.trim().to_owned())
}

/// Whether it is a yes; anything else is a no.
pub(super) fn yes(question: &str) -> anyhow::Result<bool> {
    Ok(matches!(line(&format!("{question} [y/N]"))?.as_str(), "y" | "Y" | "yes"))
}
