//! Brings what is owed in one pass over the dead letters, where nothing is to be confirmed first: no plan is made, and no store is asked.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Instant,
};

use bridge_core::port::Delivery;
use bridge_ops::replay::{
    frame::Frame,
    ledger::Tally,
    owed::{Pass, Passed},
    pace::Pace,
    planner::Missed,
    setting::Setting,
    subject::Holds,
};
use tokio_util::sync::CancellationToken;

use super::{
    options::{Request, Route},
    report::{self, Closing},
    sums::Sums,
};
use crate::{command::progress::Progress, exit::Code, tell::tell};

/// Makes the pass, and says what came of it. `again`: the command that goes on with it.
pub(super) async fn bring(
    setting: &Setting<'_>,
    request: &Request,
    (made_for, again, json): (Frame, String, bool),
    stop: &CancellationToken,
) -> anyhow::Result<Code> {
    tell!("if this is interrupted, go on with: {again}");
    let started = Instant::now();
    let progress = Mutex::new(Progress::new("messages"));
    // The pass ends only once its queue gives nothing more; that wait is not part of the rate.
    let last = Mutex::new(started);
    let tell = |count: usize| {
        *last.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        progress.lock().unwrap_or_else(PoisonError::into_inner).add(count as u64);
    };
    let stopped = || stop.is_cancelled();
    let admits = |delivery: &Delivery, holds: Holds| request.filter.judge(delivery, holds, &setting.key_pointer);
    let pace = Mutex::new(Pace::new(request.rate));
    let passed = Pass::new(setting, &pace, &admits, &tell, &stopped).work().await;
    progress.into_inner().unwrap_or_else(PoisonError::into_inner).finish();

    let mut hidden = 0;
    for source in &setting.sources {
        hidden += source.hidden(&*setting.incidents).await;
    }
    let Passed { end, tallies, brought, unreadable, failures, .. } = passed;
    let tallies: BTreeMap<&str, Tally> =
        tallies.iter().map(|(reason, tally)| (reason.as_str(), tally.clone())).collect();
    let head = super::head(setting, request, made_for, Missed { hidden, unreadable });
    let mut sums = Sums::default();
    sums.head = Some(head);
    let last = last.into_inner().unwrap_or_else(PoisonError::into_inner);
    let seconds = last.duration_since(started).as_secs_f64();
    let closing = Closing { brought, seconds, tallies, failures, end: &end, resume: again };
    if json {
        crate::command::print(&report::closing_json(None, &sums, &closing))?;
    } else {
        crate::command::print_fitted(&report::closing_table(&sums, &closing))?;
    }
    Ok(closing.code(&sums))
}

/// The command that was given, in a shell: a pass has nothing to go on with but what lies there.
pub(super) fn again(request: &Request, route: &Route, config: Option<&str>) -> String {
    let filters = request.words.iter().map(|word| format!("--{word}"));
    let rate = request.rate.map(|rate| format!("--rate={rate}"));
    let config = config.map(|path| format!("--config={path}"));
    let words = [format!("--from={}", route.from), format!("--to={}", route.to)].into_iter().chain(filters);
    let words = words.chain(rate).chain(config).chain(["--yes".to_owned()]);
    let quoted: Vec<_> = words.map(|word| shlex::try_quote(&word).unwrap_or_default().into_owned()).collect();
    format!("bridge replay {}", quoted.join(" "))
}
