//! What happened, a line each, in virtual time.

use std::{sync::Arc, time::Duration};

use bridge_adapters::memory::ManualClock;

/// The lines of one run. Kept only where somebody will read them: putting them together takes longer than the run.
#[derive(Debug)]
pub struct Trace {
    clock: Arc<ManualClock>,
    lines: Option<Vec<String>>,
}

impl Trace {
    /// A trace of what happens by `clock`.
    pub fn new(clock: Arc<ManualClock>, kept: bool) -> Self {
        Self { clock, lines: kept.then(Vec::new) }
    }

    /// Adds a line.
    pub fn line(&mut self, text: impl FnOnce() -> String) {
        if let Some(lines) = &mut self.lines {
            lines.push(format!("{} {}", at(self.clock.elapsed()), text()));
        }
    }

    /// All lines so far.
    pub fn take(&mut self) -> Vec<String> {
        self.lines.as_mut().map(std::mem::take).unwrap_or_default()
    }
}

/// Virtual time as in `13d 00:02:05.250`: since the world began.
pub fn at(elapsed: Duration) -> String {
    let (seconds, millis) = (elapsed.as_secs(), elapsed.subsec_millis());
    let (days, clock) = (seconds / 86_400, seconds % 86_400);
    format!("{days:2}d {:02}:{:02}:{:02}.{millis:03}", clock / 3600, clock / 60 % 60, clock % 60)
}
