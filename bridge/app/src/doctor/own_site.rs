//! What a worker learns of its own store and queues: in a container before it starts, in a function after the first failure. One look at
//! everything, by the doctor's rules.

use std::{
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use bridge_adapters::layer::{LayeredQueue, LayeredStore, Meter, Observation, Observe, Outcome};
use bridge_core::{
    event::SiteId,
    failure::{FailureKind, PortError},
    halt::Halt,
};
use bridge_ops::doctor::{self, Finding, Inspect, State};
use futures_util::future::{Either, select};
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

use crate::{
    assemble::{self, Worksite},
    config::Config,
    exit::Misuse,
};

/// For all looks together. Ours: each is an answer of some milliseconds, and a worker that starts while a service is away waits for no
/// longer than this.
const LIMIT: Duration = Duration::from_secs(5);

/// A worker's own site, to be looked at.
#[derive(Clone, Debug)]
pub(crate) struct OwnSite {
    config: Config,
    site: SiteId,
    inspect: Arc<dyn Inspect>,
}

impl OwnSite {
    pub(crate) fn of(config: &Config, worksite: &Worksite) -> Self {
        let (site, inspect) = (worksite.worker.rules.site.clone(), worksite.inspect.clone());
        Self { config: config.clone(), site, inspect }
    }

    /// Refuses to start with settings that will break a promise. Of what costs something, cannot be reached or may not be looked at, it
    /// warns: an outage keeps no worker from starting.
    ///
    /// # Errors
    /// The settings, each with its mend.
    pub(crate) async fn check(&self) -> anyhow::Result<()> {
        let findings = self.look(LIMIT).await;
        let (forbidding, others): (Vec<_>, Vec<_>) = findings.iter().partition(|finding| finding.forbids_start);
        for finding in others {
            self.warn(finding);
        }
        let site = &self.site;
        self.refuse(&forbidding, |lines| {
            format!(
                "{site} cannot keep its promises as it is set up, and does not start:{lines}\n`bridge doctor --site {site}` looks again; see runbooks/does-not-start.md"
            )
        })
    }

    /// As [`Self::check`], of a site whose halt is over but for this: what failed works again, and may be another thing than before.
    ///
    /// # Errors
    /// The settings, each with its mend.
    pub(crate) async fn check_again(&self) -> Result<(), PortError> {
        let findings = self.look(LIMIT).await;
        let lines: Vec<_> = findings.iter().filter(|finding| finding.forbids_start).map(|one| self.tell(one)).collect();
        if lines.is_empty() {
            return Ok(());
        }
        let (site, detail) = (&self.site, lines.join("; "));
        tracing::error!(%site, detail, "still halted: what failed works again, and the site cannot keep its promises as it is set up now");
        Err(PortError::new(site.to_string(), "examine", FailureKind::Misshapen { detail }))
    }

    /// Refuses to fill the store of `site` if it would not keep what it gets: repairs and backfills write where no worker would start.
    ///
    /// # Errors
    /// The settings of the store, each with its mend.
    pub(crate) async fn check_store(config: &Config, site: &SiteId) -> anyhow::Result<()> {
        let inspect = assemble::ports(config, site).await?.inspect;
        let own = Self { config: config.clone(), site: site.clone(), inspect };
        let findings = own.look(LIMIT).await;
        let of_store = |finding: &&Finding| finding.forbids_start && finding.check.starts_with("store");
        let forbidding: Vec<_> = findings.iter().filter(of_store).collect();
        own.refuse(&forbidding, |lines| format!("the store of {site} cannot keep what it would get:{lines}"))
    }

    /// An error in these words if anything forbids it; `words` gets a line for each finding.
    fn refuse(&self, forbidding: &[&Finding], words: impl FnOnce(&str) -> String) -> anyhow::Result<()> {
        if forbidding.is_empty() {
            return Ok(());
        }
        let lines: Vec<String> = forbidding.iter().map(|finding| format!("\n  - {}", self.tell(finding))).collect();
        Err(Misuse(words(&lines.concat())).into())
    }

    /// All that is not as it should be.
    async fn look(&self, limit: Duration) -> Vec<Finding> {
        let facts = super::look(&self.config, &self.site, &*self.inspect, limit).await;
        let mut findings = doctor::examine(&[facts], &super::figures(&self.config));
        findings.retain(|finding| finding.state != State::Good);
        findings
    }

    fn tell(&self, finding: &Finding) -> String {
        let Finding { check, looked_at, found, .. } = finding;
        let mend = super::mend(finding, &self.config).unwrap_or_default();
        format!("{check}: {looked_at}: {found}; mend: {mend}")
    }

    fn warn(&self, finding: &Finding) {
        let Finding { check, looked_at, found, .. } = finding;
        let mend = super::mend(finding, &self.config);
        tracing::warn!(site = %self.site, check, mend, "{looked_at}: {found}");
    }
}

/// What a function finds once something of its own has failed. It looks once in the life of its process.
#[derive(Debug)]
pub(crate) struct Diagnosis {
    own: OwnSite,
    failed: CancellationToken,
    /// What is bad, in one line; none if nothing is.
    told: OnceCell<Option<String>>,
}

impl Diagnosis {
    /// Listens to the store and the queues of `worksite`.
    pub(crate) fn of(config: &Config, worksite: &mut Worksite) -> Self {
        let failed = CancellationToken::new();
        let observe: Observe = Arc::new({
            let failed = failed.clone();
            move |observation: &Observation<'_>| {
                if suspicious(observation.outcome) {
                    failed.cancel();
                }
            }
        });
        for queue in [&mut worksite.queue, &mut worksite.dead_letters] {
            *queue = Arc::new(LayeredQueue::new(queue.clone(), Meter::new(observe.clone())));
        }
        worksite.worker.store = Arc::new(LayeredStore::new(worksite.worker.store.clone(), Meter::new(observe)));
        Self { own: OwnSite::of(config, worksite), failed, told: OnceCell::new() }
    }

    /// Does `work`, and looks beside it once something has failed. The look takes a third at most of the time that is left until `end`.
    pub(crate) async fn beside<T>(&self, end: Instant, work: impl Future<Output = T>) -> T {
        let look = pin!(async {
            self.failed.cancelled().await;
            let left = end.saturating_duration_since(Instant::now());
            self.told.get_or_init(|| self.diagnose(LIMIT.min(left / 3))).await;
        });
        match select(pin!(work), look).await {
            Either::Left((done, look)) => {
                if self.failed.is_cancelled() {
                    look.await;
                }
                done
            }
            Either::Right(((), work)) => work.await,
        }
    }

    async fn diagnose(&self, limit: Duration) -> Option<String> {
        let findings = self.own.look(limit).await;
        for finding in &findings {
            self.own.warn(finding);
        }
        if findings.is_empty() {
            tracing::info!(site = %self.own.site, "something failed, and the settings of the store and the queues are as they should be");
        }
        let bad: Vec<_> = findings.iter().filter(|finding| finding.state == State::Bad).collect();
        (!bad.is_empty()).then(|| bad.iter().map(|finding| self.own.tell(finding)).collect::<Vec<_>>().join("; "))
    }

    /// A halt, its cause with what was found.
    pub(crate) fn explain(&self, mut halt: Halt) -> Halt {
        if let Some(found) = self.told.get().and_then(Option::as_ref) {
            halt.detail = format!("{}; bridge doctor finds {found}", halt.detail);
        }
        halt
    }
}

/// Whether a call failed for what the store or the queue is. One that is away says nothing of that.
fn suspicious(outcome: Outcome) -> bool {
    match outcome {
        Outcome::Rejected | Outcome::Unauthorized | Outcome::Missing | Outcome::Misshapen | Outcome::Panicked => true,
        Outcome::Ok
        | Outcome::Throttled
        | Outcome::Unavailable
        | Outcome::TimedOut
        | Outcome::LeaseLost
        | Outcome::TooLarge
        | Outcome::Cancelled => false,
    }
}
