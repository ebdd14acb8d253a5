//! How far long work has come: a bar on a terminal, a line a second elsewhere.

use std::{
    io::IsTerminal,
    time::{Duration, Instant},
};

use bridge_ops::verify::{Trouble, Waiting};

use crate::tell::tell;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

const LINE_EVERY: Duration = Duration::from_secs(1);

/// How often the trouble with stores is a line of its own. Ours: many calls are under way at a time, and all tell the same.
const TROUBLE_EVERY: Duration = Duration::from_secs(2);

/// Progress of work whose end is not known.
pub(crate) struct Progress {
    bar: ProgressBar,
    /// When the last line was written, where lines are written.
    line: Option<Instant>,
    what: &'static str,
    done: u64,
    total: Option<u64>,
    /// When trouble was told last.
    trouble: Option<Instant>,
}

impl Progress {
    pub(crate) fn new(what: &'static str) -> Self {
        if !std::io::stderr().is_terminal() {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
            return Self { bar, line: Some(Instant::now()), what, done: 0, total: None, trouble: None };
        }
        let style = ProgressStyle::with_template("{spinner} {human_pos} {msg} ({per_sec})").expect("a fixed template");
        let bar = ProgressBar::new_spinner().with_style(style).with_message(what);
        bar.enable_steady_tick(Duration::from_millis(100));
        Self { bar, line: None, what, done: 0, total: None, trouble: None }
    }

    /// Progress of work on `total` things.
    pub(crate) fn of(total: u64, what: &'static str) -> Self {
        let progress = Self::new(what);
        if progress.line.is_none() {
            let bar = "{bar:30} {human_pos} of {human_len} {msg} ({per_sec}, {eta} left)";
            progress.bar.set_style(ProgressStyle::with_template(bar).expect("a fixed template"));
            progress.bar.set_length(total);
        }
        Self { total: Some(total), ..progress }
    }

    pub(crate) fn inc(&mut self) {
        self.add(1);
    }

    /// So many more are done.
    pub(crate) fn add(&mut self, count: u64) {
        self.done += count;
        self.bar.inc(count);
        if let Some(line) = self.line.as_mut().filter(|line| line.elapsed() >= LINE_EVERY) {
            *line = Instant::now();
            match self.total {
                Some(total) => tell!("{} of {total} {}", self.done, self.what),
                None => tell!("{} {}", self.done, self.what),
            }
        }
    }

    /// Writes a line of its own, above the bar.
    pub(crate) fn say(&self, text: &str) {
        self.bar.suspend(|| tell!("{text}"));
    }

    /// Says which store keeps this waiting: beside the bar, or in a line.
    pub(crate) fn trouble(&mut self, trouble: &Trouble) {
        let Trouble { site, attempt, attempts_max, waiting } = trouble;
        let text = match waiting {
            Waiting::Over => return self.bar.set_message(self.what),
            Waiting::ForAnswer { silent } => {
                format!("{site} has not answered for {} s, attempt {attempt} of {attempts_max}", silent.as_secs())
            }
            Waiting::ForNext { delay, error } => {
                let (seconds, next, why) = (delay.as_secs_f64(), attempt + 1, error.chain());
                format!("{site}: {why}; again in {seconds:.1} s, attempt {next} of {attempts_max}")
            }
        };
        if self.line.is_none() {
            self.bar.set_message(format!("{}; {text}", self.what));
        } else if self.trouble.is_none_or(|told| told.elapsed() >= TROUBLE_EVERY) {
            self.trouble = Some(Instant::now());
            tell!("{text}");
        }
    }

    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
