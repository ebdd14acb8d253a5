//! Carries a plan out, and says what came of it.

use std::{
    sync::{Mutex, PoisonError},
    time::Instant,
};

use bridge_core::property::rfc3339;
use bridge_ops::replay::{
    journal::{Journal, Receipt},
    pace::Pace,
    run::{End, Run},
    setting::Setting,
};
use tokio_util::sync::CancellationToken;

use super::{
    files::{FileJournal, Loaded, PlanFile},
    report::{self, Closing},
};
use crate::{command::progress::Progress, exit::Code, tell::tell};

/// How a plan is carried out.
pub(super) struct Manner<'a> {
    /// Messages a second.
    pub(super) rate: Option<f64>,
    pub(super) json: bool,
    /// The command that goes on with it.
    pub(super) resume: String,
    pub(super) stop: &'a CancellationToken,
}

/// Runs what the plan's journal does not have yet.
pub(super) async fn carry_out(
    setting: &Setting<'_>,
    loaded: Loaded,
    file: &PlanFile,
    manner: Manner<'_>,
) -> anyhow::Result<Code> {
    let Loaded { ledger, sums, journal_bytes } = loaded;
    let Manner { rate, json, resume, stop } = manner;
    let journal = FileJournal::open(&file.journal(), journal_bytes)?;
    journal.append(&[Receipt::Begin { plan: sums.sha256.clone(), at: rfc3339(setting.clock.now()) }])?;
    let open = ledger.open();
    tell!("{open} of {} messages to bring; if this is interrupted, go on with: {resume}", ledger.len());

    let started = Instant::now();
    let progress = Mutex::new(Progress::of(open as u64, "messages"));
    let tell = |count: usize| progress.lock().unwrap_or_else(PoisonError::into_inner).add(count as u64);
    let stopped = || stop.is_cancelled();
    let ended = Run::new(setting, ledger, &journal, Pace::new(rate), &tell, &stopped).work().await;
    progress.into_inner().unwrap_or_else(PoisonError::into_inner).finish();

    let closing = Closing {
        brought: ended.brought,
        seconds: started.elapsed().as_secs_f64(),
        tallies: ended.ledger.tallies(),
        failures: ended.failures,
        end: &ended.end,
        resume,
    };
    file.end(matches!(ended.end, End::Finished) && closing.is_complete());
    if json {
        crate::command::print(&report::closing_json(Some(file), &sums, &closing))?;
    } else {
        crate::command::print_fitted(&report::closing_table(&sums, &closing))?;
    }
    Ok(closing.code(&sums))
}
