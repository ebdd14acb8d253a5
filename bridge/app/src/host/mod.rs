//! Hosts: deliveries in, settlements out. They hold no decisions.

pub(crate) mod container;

use tokio_util::sync::CancellationToken;

/// A token that is cancelled by Ctrl-C or a termination signal; a second signal ends the process at once.
pub(crate) fn stop_signal() -> anyhow::Result<CancellationToken> {
    use tokio::signal::unix::{SignalKind, signal};
    let stop = CancellationToken::new();
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let token = stop.clone();
    tokio::spawn(async move {
        let mut next = async || tokio::select! { _ = interrupt.recv() => 130, _ = terminate.recv() => 143 };
        next().await;
        token.cancel();
        let code = next().await;
        std::process::exit(code);
    });
    Ok(stop)
}
