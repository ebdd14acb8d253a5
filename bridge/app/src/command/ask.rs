//! Asks the person at the terminal.

use std::io::{IsTerminal, Write};

use tokio_util::sync::CancellationToken;

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

/// The same where Ctrl-C only cancels `stop`, as once that is watched for it ends no process by itself: none if it came first. The
/// thread that reads the answer waits on; it does not keep the process from ending.
pub(super) async fn yes_unless(question: &str, stop: &CancellationToken) -> anyhow::Result<Option<bool>> {
    let question = question.to_owned();
    tokio::select! {
        answer = tokio::task::spawn_blocking(move || yes(&question)) => answer?.map(Some),
        () = stop.cancelled() => Ok(None),
    }
}
