//! `bridge dashboard`: the lag and all that belongs to it as a live page.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use bridge_ops::lag::{Observer, Report};
use tokio_util::sync::CancellationToken;

use crate::{
    assemble,
    config::Config,
    dashboard::{Dashboard, Look, Options},
    exit::Code,
    host,
};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "The binary holds the whole page; it asks no other host. On loopback, everyone on this machine can read it. Elsewhere, set a token and put TLS in front.\n\nExample: bridge dashboard --config bridge.toml"
)]
pub(crate) struct Args {
    /// Listen on ADDRESS:PORT, or on this port of 127.0.0.1; port 0 lets the system choose
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8421", value_parser = address)]
    listen: SocketAddr,
    /// Token for viewers, at least 32 characters; required beyond loopback. Open the page once as `/?token=TOKEN`
    #[arg(long, env = "BRIDGE_DASHBOARD_TOKEN", value_name = "TOKEN", hide_env_values = true)]
    token: Option<String>,
}

fn address(text: &str) -> Result<SocketAddr, String> {
    let port = text.parse().map(|port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port));
    port.or_else(|_| text.parse()).map_err(|_| "neither a port nor ADDRESS:PORT, as in 127.0.0.1:8421".to_owned())
}

/// How long a look waits for an answer. With the pause between looks it is less than the 5 s within which the page shall tell
/// that a site has gone dark; no answer of a healthy one takes nearly as long.
const LIMIT: Duration = Duration::from_secs(2);

/// From one look to the next while nobody watches: 5,760 looks a day, for an hour of charts when somebody comes.
const UNWATCHED: Duration = Duration::from_secs(15);

pub(crate) async fn run(args: Args, config: Config) -> anyhow::Result<Code> {
    let stop = host::stop_signal()?;
    let with_token = args.token.is_some();
    let dashboard = start(&config, args.listen, args.token, Some(UNWATCHED), stop).await?;
    let token = if with_token { "/?token=TOKEN, with the token that was set" } else { "" };
    super::print(&format!("dashboard: {}{token}\nCtrl-C ends it.\n", dashboard.url()))?;
    dashboard.ended().await?;
    Ok(Code::Done)
}

/// Serves the dashboard of all sites of `config`.
pub(super) async fn start(
    config: &Config,
    listen: SocketAddr,
    token: Option<String>,
    unwatched: Option<Duration>,
    stop: CancellationToken,
) -> anyhow::Result<Dashboard> {
    let observer = assemble::observer(config, LIMIT).await?;
    let sites = config.sites.keys().map(ToString::to_string).collect();
    Dashboard::start(Arc::new(observer), Options { listen, token, sites, unwatched }, stop).await
}

#[async_trait]
impl Look for Observer {
    async fn look(&self, conflicts: bool) -> Report {
        self.look(conflicts).await
    }
}
