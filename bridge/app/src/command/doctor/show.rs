//! The findings, for people and for programs.

use std::io::IsTerminal;

use bridge_core::text::visible;
use bridge_ops::doctor::{Finding, State};
use serde_json::{Value, json};

use crate::{config::Config, doctor};

/// One line a finding; how to mend it stands indented under what is not good.
pub(super) fn lines(findings: &[Finding], config: &Config) -> String {
    let coloured = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty());
    let width = findings.iter().map(|finding| site(finding).len()).max().unwrap_or_default();
    let mut text = String::new();
    for finding in findings {
        let (state, site) = (state(finding.state, coloured), site(finding));
        let found = format!("{}: {}", finding.looked_at, finding.found);
        text += &format!("{state}  {site:width$}  {}  {}\n", finding.check, visible(&found));
        if let Some(mend) = doctor::mend(finding, config) {
            text += &format!("        mend: {}\n", visible(&mend));
        }
    }
    let [good, warnings, bad] = counts(findings);
    format!("{text}{good} ok, {warnings} warn, {bad} bad\n")
}

pub(super) fn json(findings: &[Finding], config: &Config) -> String {
    let [good, warnings, bad] = counts(findings);
    let finding = |finding: &Finding| {
        json!({
            "site": finding.site.as_ref().map_or(Value::Null, |site| json!(site.as_str())),
            "check": finding.check,
            "looked_at": finding.looked_at,
            "found": finding.found,
            "state": word(finding.state),
            "mend": doctor::mend(finding, config),
        })
    };
    let findings: Vec<Value> = findings.iter().map(finding).collect();
    format!("{:#}\n", json!({ "findings": findings, "ok": good, "warn": warnings, "bad": bad }))
}

fn counts(findings: &[Finding]) -> [usize; 3] {
    [State::Good, State::Warning, State::Bad]
        .map(|state| findings.iter().filter(|finding| finding.state == state).count())
}

fn site(finding: &Finding) -> &str {
    finding.site.as_ref().map_or("all", |site| site.as_str())
}

fn word(state: State) -> &'static str {
    match state {
        State::Good => "ok",
        State::Warning => "warn",
        State::Bad => "bad",
    }
}

/// The state's word, padded; green, yellow or red where somebody looks.
fn state(state: State, coloured: bool) -> String {
    let colour = match state {
        State::Good => 32,
        State::Warning => 33,
        State::Bad => 31,
    };
    let padded = format!("{:4}", word(state));
    if coloured { format!("\u{1b}[{colour}m{padded}\u{1b}[0m") } else { padded }
}
