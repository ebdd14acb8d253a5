//! The report of an earlier drill, to compare the new one with.

use std::path::{Path, PathBuf};

use anyhow::Context;
use bridge_ops::{drill::Figures, lag::report::RecoveryPoint};
use serde::Deserialize;
use serde_json::Value;

use super::{Args, noticed::Told};
use crate::exit::Misuse;

/// What is compared of it.
#[derive(Debug, Deserialize)]
pub(super) struct Earlier {
    pub(super) run: String,
    pub(super) began_at: String,
    failed_site: String,
    /// A report from before there was any but one has none.
    #[serde(default = "site")]
    trouble: String,
    pub(super) figures: Option<Figures>,
    pub(super) predicted_rpo: Option<RecoveryPoint>,
    #[serde(default)]
    pub(super) told: Told,
    #[serde(skip)]
    pub(super) file: PathBuf,
}

fn site() -> String {
    "site".to_owned()
}

impl Earlier {
    /// The report that is named, or else the last one of the same site and trouble in the folder of the new one.
    pub(super) fn find(args: &Args, new: &Path) -> anyhow::Result<Option<Self>> {
        if let Some(file) = &args.compare {
            let read = Self::read(file).map_err(|error| Misuse(format!("--compare {}: {error:#}", file.display())))?;
            return Ok(Some(read));
        }
        let folder = new.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let files = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
        let reports = files.filter(|file| file.extension().is_some_and(|extension| extension == "json"));
        let same = |one: &Self| one.failed_site == args.failing.as_str() && one.trouble == args.trouble.as_str();
        let all = reports.filter_map(|file| Self::read(&file).ok()).filter(same);
        Ok(all.filter(|one| one.figures.is_some()).max_by(|one, other| one.began_at.cmp(&other.began_at)))
    }

    fn read(file: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(file)?;
        let value: Value = serde_json::from_str(&text)?;
        anyhow::ensure!(value.get("bridge_drill").is_some(), "this is no report of a drill");
        let read = Self::deserialize(value).context("this report is of another version")?;
        Ok(Self { file: file.to_owned(), ..read })
    }
}
