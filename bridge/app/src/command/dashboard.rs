//! `bridge dashboard`: the lag and all that belongs to it as a live page.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
};

use crate::{
    config::Config,
    dashboard::{Dashboard, Options},
    exit::Code,
    host,
};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Everything is in the binary; the page asks no other host. On loopback everybody on this machine may look; elsewhere a token is needed, and TLS in front of it.\n\nExample: bridge dashboard --config bridge.toml"
)]
pub(crate) struct Args {
    /// Where to serve: ADDRESS:PORT, or a port of 127.0.0.1; 0 lets the system choose one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8421", value_parser = address)]
    listen: SocketAddr,
    /// What viewers have to know, 32 characters or more; needed beyond loopback. Open the page as `/?token=TOKEN` once
    #[arg(long, env = "BRIDGE_DASHBOARD_TOKEN", value_name = "TOKEN", hide_env_values = true)]
    token: Option<String>,
}

fn address(text: &str) -> Result<SocketAddr, String> {
    let port = text.parse().map(|port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port));
    port.or_else(|_| text.parse()).map_err(|_| "neither a port nor ADDRESS:PORT, as in 127.0.0.1:8421".to_owned())
}

pub(crate) async fn run(args: Args, config: Config) -> anyhow::Result<Code> {
    let stop = host::stop_signal()?;
    let sites = config.sites.keys().map(ToString::to_string).collect();
    let options = Options { listen: args.listen, token: args.token, sites };
    let has_token = options.token.is_some();
    let look = Arc::new(crate::dashboard::Nothing);
    let dashboard = Dashboard::start(look, options, stop).await?;
    let token = if has_token { "/?token=TOKEN, with the token that was set" } else { "" };
    super::print(&format!("dashboard: {}{token}\nCtrl-C ends it.\n", dashboard.url()))?;
    dashboard.ended().await?;
    Ok(Code::Done)
}
