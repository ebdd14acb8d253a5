//! `bridge config`: each key with its value, unit and origin; secrets as `***`.

use super::{
    SiteArg,
    table::{Column, table},
};
use crate::{
    assemble,
    config::{Config, ConfigErrors, Entry, keys},
    exit::Code,
};

#[derive(Debug, clap::Args)]
#[command(after_help = "Example: bridge config --config bridge.toml")]
pub(crate) struct Args {
    #[command(flatten)]
    pub(super) site: SiteArg,
    /// List every key and its purpose, set or not; needs no configuration
    #[arg(long)]
    explain: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: &Args, load: impl FnOnce() -> Result<Config, ConfigErrors>) -> anyhow::Result<Code> {
    if args.explain {
        super::print(&explain())?;
        return Ok(Code::Done);
    }
    let mut config = load()?;
    show_endpoints(&mut config).await?;
    for (key, value) in assemble::identities(&config).await {
        let origin = "the configuration and this process's environment".to_owned();
        let help = "by which this process signs in (docs/identity.md)";
        config.entries.push(Entry { key, value: Some(value), unit: "identity", origin, help });
    }
    if args.json {
        super::print(&format!("{}\n", serde_json::to_string_pretty(&config.entries)?))?;
        return Ok(Code::Done);
    }
    let mut text = String::new();
    if let Some(site) = &config.site {
        text += &format!("# this process works for {site}\n");
    }
    let row = |entry: &Entry| {
        let value = entry.value.as_deref().unwrap_or("-");
        vec![entry.key.clone(), format!("{value}  ({}; {})", entry.unit, entry.origin)]
    };
    text += &table(&[Column::Left(0)], &config.entries.iter().map(row).collect::<Vec<_>>());
    super::print(&text)?;
    Ok(Code::Done)
}

/// Fills in the addresses that the file does not name: those of the environment, of its profile, or of the region.
async fn show_endpoints(config: &mut Config) -> anyhow::Result<()> {
    for (key, url) in assemble::endpoints(config).await? {
        for entry in config.entries.iter_mut().filter(|entry| entry.key == key && entry.value.is_none()) {
            entry.value = Some(url.to_string());
            entry.origin = String::from("the AWS environment or region");
        }
    }
    Ok(())
}

fn explain() -> String {
    let mut text = String::new();
    let sections =
        [("[worker]", keys::WORKER), ("[sites.\"aws:REGION\"]", keys::AWS), ("[sites.\"azure:REGION\"]", keys::AZURE)];
    for (section, specs) in sections {
        text += &format!("{section}\n");
        for spec in specs {
            let default = spec.default.map_or(String::new(), |default| format!(", default {default}"));
            let secret = if spec.secret { ", secret" } else { "" };
            text += &format!("  {:30} {} ({}{default}{secret})\n", spec.name, spec.help, spec.unit);
        }
        text += "\n";
    }
    text + "Every key can be overridden: worker.attempts_max by BRIDGE_WORKER_ATTEMPTS_MAX,\n\
            sites.\"aws:us-east-1\".table by BRIDGE_SITES_AWS_US_EAST_1_TABLE.\n"
}
