//! Carries a plan out, and says what came of it.

use std::{
    sync::{Mutex, PoisonError},
    time::Instant,
};

use bridge_core::{
    replay::{
        journal::{Journal, Receipt},
        ledger::Ledger,
        pace::Pace,
        run::{End, Run, Setting},
    },
    settlement::rfc3339,
};
use tokio_util::sync::CancellationToken;

use super::{
    files::{FileJournal, PlanFile},
    options::Request,
    report::{self, Closing, Sums},
};
use crate::{command::progress::Progress, exit::Code, tell::tell};

/// Runs what the plan's journal does not have yet.
pub(super) async fn carry_out(
    setting: &Setting<'_>,
    mut ledger: Ledger,
    file: &PlanFile,
    sums: &Sums,
    request: &Request,
    json: bool,
    stop: &CancellationToken,
) -> anyhow::Result<Code> {
    let journal = FileJournal::open(&file.journal(), &sums.sha256, &mut ledger)?;
    journal.append(&[Receipt::Begin { plan: sums.sha256.clone(), at: rfc3339(setting.clock.now()) }])?;
    let open: usize = (0..setting.sources.len()).map(|from| ledger.waiting(from)).sum();
    tell!("{open} of {} messages to bring; if this is interrupted, go on with: {}", ledger.len(), file.resume());

    let started = Instant::now();
    let progress = Mutex::new(Progress::of(open as u64, "messages"));
    let tell = |count: usize| progress.lock().unwrap_or_else(PoisonError::into_inner).add(count as u64);
    let stopped = || stop.is_cancelled();
    let run = Run::new(setting, ledger, &journal, Pace::new(request.rate), &tell, &stopped);
    let (end, ledger, failures) = run.work().await;
    let progress = progress.into_inner().unwrap_or_else(PoisonError::into_inner);
    progress.finish();

    let closing = Closing {
        brought: progress.done(),
        seconds: started.elapsed().as_secs_f64(),
        tallies: ledger.tallies(),
        failures,
        end: &end,
        resume: file.resume(),
    };
    super::super::print(&if json {
        report::closing_json(file, sums, &closing)
    } else {
        report::closing_table(sums, &closing)
    })?;
    let code = closing.code();
    file.end(matches!(end, End::Finished) && code == Code::Done);
    Ok(code)
}
