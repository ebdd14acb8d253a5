//! `bridge run`: works for one site until it is stopped.

use crate::{assemble, config::Config, exit::Code, host};

#[derive(Debug, clap::Args)]
#[command(after_help = "Example: bridge run --config bridge.toml --site aws:us-east-1")]
pub(crate) struct Args {}

pub(crate) async fn run(Args {}: Args, config: Config) -> anyhow::Result<Code> {
    let site = config.own_site()?.clone();
    let stop = host::stop_signal()?;
    let worksite = assemble::worksite(&config, &site).await?;
    host::container::work(&worksite, config.container, stop).await;
    Ok(Code::Done)
}
