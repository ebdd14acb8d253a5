//! `bridge config`: each key with its value, unit and origin; secrets as `***`.

use super::{
    SiteArg,
    table::{Column, table},
};
use serde_json::{Value, json};

use crate::{
    assemble,
    config::{
        Config, ConfigErrors, Entry,
        keys::{self, KeySpec},
        masked::masked,
    },
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
        if args.json {
            super::print(&format!("{:#}\n", explained()))?;
        } else {
            super::print_fitted(&explain())?;
        }
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
    } else {
        super::print_fitted(&as_text(&config))?;
    }
    Ok(Code::Done)
}

/// The sections as the file has them, each key with its value, unit and origin.
fn as_text(config: &Config) -> String {
    let mut text = String::new();
    if let Some(site) = &config.site {
        text += &format!("# this process works for {site}\n\n");
    }
    let section = |entry: &Entry| entry.key.rsplit_once('.').map_or("", |(section, _)| section).to_owned();
    for entries in config.entries.chunk_by(|one, other| section(one) == section(other)) {
        let head = section(&entries[0]);
        text += &match head.split_once('.') {
            Some((sites, id)) => format!("[{sites}.\"{id}\"]\n"),
            None => format!("[{head}]\n"),
        };
        let row = |entry: &Entry| {
            let name = entry.key.rsplit_once('.').map_or(entry.key.as_str(), |(_, name)| name);
            let value = entry.value.as_deref().unwrap_or("-");
            vec![format!("  {name}"), format!("{value}  ({}; {})", entry.unit, entry.origin)]
        };
        text += &table(&[Column::Left(0)], &entries.iter().map(row).collect::<Vec<_>>());
        text += "\n";
    }
    text
}

/// Fills in the addresses that the file does not name: those of the environment, of its profile, or of the region.
async fn show_endpoints(config: &mut Config) -> anyhow::Result<()> {
    for (key, url) in assemble::endpoints(config).await? {
        for entry in config.entries.iter_mut().filter(|entry| entry.key == key && entry.value.is_none()) {
            entry.value = Some(masked(url.as_str()).into_owned());
            entry.origin = String::from("the AWS environment or region");
        }
    }
    Ok(())
}

/// The sections of a file, with how the variable of a key begins.
const SECTIONS: [(&str, &str, &[KeySpec]); 3] = [
    ("worker", "BRIDGE_WORKER_", keys::WORKER),
    ("sites.\"aws:REGION\"", "BRIDGE_SITES_AWS_REGION_", keys::AWS),
    ("sites.\"azure:REGION\"", "BRIDGE_SITES_AZURE_REGION_", keys::AZURE),
];

fn explain() -> String {
    let mut text = String::new();
    for (section, _, specs) in SECTIONS {
        text += &format!("[{section}]\n");
        for spec in specs {
            let default = spec.default.map_or(String::new(), |default| format!(", default {default}"));
            let secret = if spec.secret { ", secret" } else { "" };
            text += &format!("  {}  ({}{default}{secret})\n      {}\n", spec.name, spec.unit, spec.help);
        }
        text += "\n";
    }
    text + "A variable overrides each key: BRIDGE_WORKER_ATTEMPTS_MAX is worker.attempts_max,\n\
            BRIDGE_SITES_AWS_US_EAST_1_TABLE is the table of sites.\"aws:us-east-1\".\n"
}

/// The same for programs.
fn explained() -> Value {
    let key = |section: &str, variable: &str, spec: &KeySpec| {
        json!({
            "section": section, "name": spec.name, "variable": format!("{variable}{}", spec.name.to_ascii_uppercase()),
            "help": spec.help, "unit": spec.unit, "allowed": spec.allowed(), "default": spec.default, "example": spec.example,
            "secret": spec.secret,
        })
    };
    let section = |(section, variable, specs): (&str, &str, &[KeySpec])| -> Vec<Value> {
        specs.iter().map(|spec| key(section, variable, spec)).collect()
    };
    SECTIONS.into_iter().flat_map(section).collect()
}
