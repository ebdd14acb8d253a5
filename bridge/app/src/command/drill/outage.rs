//! How a site is made to fail, and how it is brought back.

use std::{io::IsTerminal, pin::pin, process::Stdio, time::Duration};

use anyhow::{Context, bail};
use bridge_adapters::{clock::SystemClock, endpoint};
use bridge_core::{event::SiteId, port::Clock};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use tokio::process::Command;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::{exit::Misuse, tell::tell};

/// How long an answer of localcloud may take.
const ADMIN_LIMIT: Duration = Duration::from_secs(5);

/// How long a command of the operator's may take. Ours: changing a cloud's setting takes a minute at most.
const COMMAND_LIMIT: Duration = Duration::from_secs(300);

/// What fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Trouble {
    /// All services of the site: no connections and no answers
    Site,
    /// The site's store: no connections and no answers
    Store,
    /// The site's queue, through which its peers and its users reach it
    Peer,
    /// The site's worker is killed, by the commands that you give
    Worker,
    /// The worker's permission to write: it halts
    Halt,
}

impl Trouble {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Site => "site",
            Self::Store => "store",
            Self::Peer => "peer",
            Self::Worker => "worker",
            Self::Halt => "halt",
        }
    }

    /// What of a site it is about.
    pub(super) fn thing(self) -> &'static str {
        match self {
            Self::Site => "site",
            Self::Store => "store",
            Self::Peer => "queue",
            Self::Worker => "worker",
            Self::Halt => "worker's permission",
        }
    }

    /// Whether users of the site cannot write there, and are sent to another one.
    pub(super) fn moves_users(self) -> bool {
        matches!(self, Self::Site | Self::Peer)
    }

    /// localcloud's faults; none where it has none.
    fn faults(self, site: &SiteId) -> Vec<String> {
        let aws = site.cloud() == "aws";
        let (store, queue) = if aws { ("dynamodb", "sqs") } else { ("cosmos", "service-bus") };
        let writes: &[&str] = if aws { &["PutItem"] } else { &["create-item", "replace-item"] };
        let region = site.region();
        match self {
            Self::Site => vec![format!("{}@{region}:*:dark", site.cloud())],
            Self::Store => vec![format!("{store}@{region}:*:dark")],
            Self::Peer => vec![format!("{queue}@{region}:*:dark")],
            Self::Halt => writes.iter().map(|write| format!("{store}@{region}:{write}:denied")).collect(),
            Self::Worker => Vec::new(),
        }
    }
}

/// How a site is made to fail, and how it is brought back.
#[derive(Debug)]
pub(super) enum Outage {
    /// localcloud injects faults, which workers meet too.
    Localcloud {
        admin: Url,
        /// As its notation has them.
        faults: Vec<String>,
        /// The faults, once they are there.
        ids: Vec<u64>,
    },
    /// Two command lines, for `sh -c`.
    Commands { fail: String, restore: String },
    /// Somebody does it, and says when.
    ByHand,
}

impl Outage {
    /// One of localcloud's faults.
    pub(super) fn of_localcloud(admin: &Url, trouble: Trouble, site: &SiteId) -> Result<Self, Misuse> {
        let faults = trouble.faults(site);
        if faults.is_empty() {
            let advice = "--trouble worker: localcloud kills no worker; give --fail COMMAND and --restore COMMAND instead of --admin";
            return Err(Misuse(advice.to_owned()));
        }
        Ok(Self::Localcloud { admin: admin.clone(), faults, ids: Vec::new() })
    }

    /// Whether real clouds are concerned.
    pub(super) fn is_real(&self) -> bool {
        !matches!(self, Self::Localcloud { .. })
    }

    /// For the report.
    pub(super) fn words(&self) -> String {
        match self {
            Self::Localcloud { faults, .. } => format!("localcloud's fault {}", faults.join(" and ")),
            Self::Commands { fail, restore } => format!("by the commands `{fail}` and `{restore}`"),
            Self::ByHand => "by hand".to_owned(),
        }
    }

    /// Whether it could be done; asked before anything is written.
    pub(super) async fn check(&self) -> anyhow::Result<()> {
        match self {
            Self::Localcloud { admin, .. } => {
                ask(admin, "/health", reqwest::Method::GET, String::new()).await.map(drop).with_context(|| {
                    format!("--admin {admin}: no localcloud answers there; `bridge local` prints the address")
                })
            }
            Self::Commands { .. } => Ok(()),
            Self::ByHand if std::io::stdin().is_terminal() => Ok(()),
            Self::ByHand => Err(Misuse(
                "say how the site fails: --admin URL of `bridge local`, or --fail COMMAND and --restore COMMAND; without them the drill asks for it, and this is no terminal to ask on"
                    .to_owned(),
            )
            .into()),
        }
    }

    /// Whether a person does it, and is asked to.
    pub(super) fn is_by_hand(&self) -> bool {
        matches!(self, Self::ByHand)
    }

    /// Makes `site` fail; from when on it counts as failed, which is rather too early than too late. Should this process
    /// die, localcloud heals it `at_most` so much later.
    pub(super) async fn fail(
        &mut self,
        site: &SiteId,
        at_most: Duration,
        stop: &CancellationToken,
    ) -> anyhow::Result<DateTime<Utc>> {
        let began = SystemClock.now();
        match self {
            Self::Localcloud { admin, faults, ids } => {
                #[derive(Deserialize)]
                struct Started {
                    ids: Vec<u64>,
                }
                let faults: Vec<_> = faults.iter().map(|fault| format!("{fault},for={}s", at_most.as_secs())).collect();
                let answer = ask(admin, "/faults", reqwest::Method::POST, faults.join("\n")).await?;
                *ids = serde_json::from_str::<Started>(&answer)?.ids;
            }
            Self::Commands { fail, .. } => shell(fail).await.context("--fail")?,
            Self::ByHand => {
                tell!("Make {site} fail now, then press Enter.");
                tokio::select! {
                    answered = enter() => answered?,
                    () = stop.cancelled() => bail!(super::STOPPED),
                }
                return Ok(SystemClock.now());
            }
        }
        Ok(began)
    }

    /// Brings `site` back.
    pub(super) async fn restore(&mut self, site: &SiteId, stop: &CancellationToken) -> anyhow::Result<()> {
        match self {
            Self::Localcloud { admin, ids, .. } => {
                while let Some(id) = ids.last() {
                    ask(admin, &format!("/faults/{id}"), reqwest::Method::DELETE, String::new()).await?;
                    ids.pop();
                }
                Ok(())
            }
            Self::Commands { restore, .. } => shell(restore).await.context("--restore"),
            Self::ByHand => {
                tell!("Bring {site} back now, then press Enter.");
                // One question for one Enter, whoever asks to stop meanwhile.
                let mut answered = pin!(enter());
                if !stop.is_cancelled() {
                    tokio::select! {
                        answered = &mut answered => return answered,
                        () = stop.cancelled() => {
                            tell!("{site} is STILL AWAY: bring it back, then press Enter; asked to stop once more, the drill just ends");
                        }
                    }
                }
                answered.await
            }
        }
    }
}

async fn ask(admin: &Url, path: &str, method: reqwest::Method, body: String) -> anyhow::Result<String> {
    let request = endpoint::client(admin).build()?.request(method, admin.join(path)?).body(body).timeout(ADMIN_LIMIT);
    let answer = request.send().await?;
    let (status, text) = (answer.status(), answer.text().await?);
    if !status.is_success() {
        bail!("{status}: {}", text.trim());
    }
    Ok(text)
}

/// Runs one to its end. What it prints goes to standard error, as standard output is the drill's own.
async fn shell(line: &str) -> anyhow::Result<()> {
    let mut command = Command::new("sh");
    command.args(["-c", line]).stdin(Stdio::null()).stdout(std::io::stderr()).kill_on_drop(true);
    let status = tokio::time::timeout(COMMAND_LIMIT, command.status()).await;
    let status = status.map_err(|_| anyhow::anyhow!("`{line}` did not end within {} s", COMMAND_LIMIT.as_secs()))??;
    if !status.success() {
        bail!("`{line}`: {status}");
    }
    Ok(())
}

/// Waits until the person at the terminal presses Enter.
async fn enter() -> anyhow::Result<()> {
    let answered = tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new())).await??;
    if answered == 0 {
        bail!("standard input ended");
    }
    Ok(())
}
