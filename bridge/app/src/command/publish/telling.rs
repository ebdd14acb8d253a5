//! What is said of events that were not sent: the first few and a sum for people, each of them for programs.

use std::{collections::BTreeMap, fmt, sync::Arc};

use crate::command::progress::Progress;

/// Refusals that people are shown one by one.
const SHOWN: u64 = 10;

/// Where an event stands.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) file: Arc<str>,
    pub(super) line: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// Why an event is not sent.
#[derive(Clone, Debug)]
pub(super) struct Refused {
    pub(super) reason: &'static str,
    pub(super) detail: String,
}

/// Says what comes of events.
pub(super) struct Telling {
    pub(super) progress: Progress,
    /// Whether programs read it.
    pub(super) json: bool,
    refused: u64,
    /// Refusals that were not shown.
    more: BTreeMap<&'static str, u64>,
}

impl Telling {
    pub(super) fn new(progress: Progress, json: bool) -> Self {
        Self { progress, json, refused: 0, more: BTreeMap::new() }
    }

    pub(super) fn refused(&mut self, place: &Place, Refused { reason, detail }: &Refused) {
        self.refused += 1;
        if self.json {
            let Place { file, line } = place;
            print_line(&serde_json::json!({ "file": file, "line": line, "refused": reason, "detail": detail }));
        } else if self.refused <= SHOWN {
            self.say(&format!("{place}: {reason}: {detail}"));
        } else {
            *self.more.entry(reason).or_default() += 1;
        }
    }

    /// Events that were not sent, and why.
    pub(super) fn failed(&mut self, places: &[&Place], error: &str) {
        if self.json {
            for Place { file, line } in places {
                print_line(&serde_json::json!({ "file": file, "line": line, "failed": error }));
            }
            return;
        }
        match places {
            [] => {}
            [place] => self.say(&format!("{place}: {error}")),
            [first, .., last] => {
                self.say(&format!("{first} to {last}: none of {} events was sent: {error}", places.len()));
            }
        }
    }

    pub(super) fn say(&self, text: &str) {
        self.progress.say(text);
    }

    /// The sum of what was not shown.
    pub(super) fn finish(&self) {
        self.progress.finish();
        let more: u64 = self.more.values().sum();
        if more > 0 {
            let reasons: Vec<_> = self.more.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
            self.say(&format!("and {more} more were refused: {}; --json names each", reasons.join(", ")));
        }
    }
}

/// A reader that has gone away is told of at the end: what is half sent is sent first.
fn print_line(value: &serde_json::Value) {
    let _ = crate::command::print(&format!("{value}\n"));
}
