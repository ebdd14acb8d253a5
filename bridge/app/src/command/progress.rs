//! How far long work has come: a bar on a terminal, a line a second elsewhere.

use std::{
    fmt::Write,
    io::IsTerminal,
    time::{Duration, Instant},
};

use bridge_ops::verify::{Trouble, Waiting};

use crate::tell::tell;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

const LINE_EVERY: Duration = Duration::from_secs(1);

/// How often the trouble with stores is a line of its own. Ours: many calls are under way at a time, and all tell the same.
const TROUBLE_EVERY: Duration = Duration::from_secs(2);

/// Progress of work.
pub(crate) struct Progress {
    bar: ProgressBar,
    /// When the last line was written, where lines are written.
    line: Option<Instant>,
    what: &'static str,
    done: u64,
    total: Option<u64>,
    /// How far the bytes have come of which the things are read, and how many these are; since when.
    bytes: Option<(u64, u64, Instant)>,
    /// When trouble was told last.
    trouble: Option<Instant>,
}

impl Progress {
    pub(crate) fn new(what: &'static str) -> Self {
        if !std::io::stderr().is_terminal() {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
            return Self { bar, line: Some(Instant::now()), what, done: 0, total: None, bytes: None, trouble: None };
        }
        let style = style("{spinner} {human_pos} {msg} ({rate})");
        let bar = ProgressBar::new_spinner().with_style(style).with_message(what);
        bar.enable_steady_tick(Duration::from_millis(100));
        Self { bar, line: None, what, done: 0, total: None, bytes: None, trouble: None }
    }

    /// Progress of work on `total` things.
    pub(crate) fn of(total: u64, what: &'static str) -> Self {
        let progress = Self::new(what);
        if progress.line.is_none() {
            let bar = "{bar:30} {human_pos} of {human_len} {msg} ({rate}, {eta} left)";
            progress.bar.set_style(style(bar));
            progress.bar.set_length(total);
        }
        Self { total: Some(total), ..progress }
    }

    /// Progress of things that are read of so many bytes: how many things these are is not known.
    pub(crate) fn of_bytes(total: u64, what: &'static str) -> Self {
        let progress = Self::new(what);
        if progress.line.is_none() {
            let bar = "{bar:30} {percent} % ({eta} left), {msg}";
            progress.bar.set_style(style(bar));
            progress.bar.set_length(total);
        }
        Self { bytes: Some((0, total, Instant::now())), ..progress }
    }

    /// So many bytes were read.
    pub(crate) fn reached(&mut self, read: u64) {
        if let Some((bytes, ..)) = &mut self.bytes {
            *bytes = read;
            self.bar.set_position(read);
            if self.line.is_none() {
                self.bar.set_message(format!("{} {}", self.done, self.what));
            }
        }
    }

    pub(crate) fn inc(&mut self) {
        self.add(1);
    }

    /// So many more are done.
    pub(crate) fn add(&mut self, count: u64) {
        self.done += count;
        if self.bytes.is_none() {
            self.bar.inc(count);
        }
        if let Some(line) = self.line.as_mut().filter(|line| line.elapsed() >= LINE_EVERY) {
            *line = Instant::now();
            match (self.total, self.bytes) {
                (Some(total), _) => tell!("{} of {total} {}", self.done, self.what),
                (None, Some((read, total, since))) => {
                    tell!("{} {}, {}", self.done, self.what, part(read, total, since.elapsed()));
                }
                (None, None) => tell!("{} {}", self.done, self.what),
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

/// A bar's style. Its own rate has four decimals.
fn style(template: &str) -> ProgressStyle {
    let rate = |state: &ProgressState, to: &mut dyn Write| {
        // A String takes all.
        let _ = write!(to, "{:.0} a second", state.per_sec());
    };
    ProgressStyle::with_template(template).expect("a fixed template").with_key("rate", rate)
}

/// Which part is read, and how long the rest takes at this rate.
#[allow(clippy::cast_precision_loss, reason = "a share and a guess, of at most some terabytes")]
fn part(read: u64, total: u64, elapsed: Duration) -> String {
    let part = read as f64 / total.max(1) as f64;
    if read == 0 {
        return "0 %".to_owned();
    }
    let left = elapsed.as_secs_f64() * (1.0 - part).max(0.0) / part;
    format!("{:.0} %, about {} left", part * 100.0, bridge_ops::span::span(left))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_says_how_long_the_rest_takes() {
        let seconds = Duration::from_secs;
        assert_eq!(part(0, 100, seconds(3)), "0 %");
        assert_eq!(part(25, 100, seconds(10)), format!("25 %, about {} left", bridge_ops::span::span(30.0)));
        assert_eq!(part(100, 100, seconds(10)), format!("100 %, about {} left", bridge_ops::span::span(0.0)));
    }
}
