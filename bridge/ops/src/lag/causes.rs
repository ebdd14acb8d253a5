//! Which findings follow from which: a cause stands first, and what follows from it stands below it.

use super::report::Finding;

/// What a finding is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Topic<'a> {
    /// Nothing of the site answers.
    Gone(&'a str),
    /// Its worker says that it is not working.
    State(&'a str),
    /// Its worker says nothing.
    Worker(&'a str),
    /// A part of the site does not answer.
    Reach(&'a str),
    /// The first site cannot reach the second.
    Link(&'a str, &'a str),
    /// The second site is behind the first.
    Lag(&'a str, &'a str),
    /// What waits at the site.
    Waits(&'a str),
    /// Dead letters at the site that are owed to peers, and nothing else.
    Owed(&'a str),
    /// Something else.
    Alone,
}

impl Topic<'_> {
    /// Whether a finding about `other` follows from this one.
    fn explains(self, other: Topic<'_>) -> bool {
        use Topic::{Gone, Lag, Link, Owed, Reach, State, Waits, Worker};
        match (self, other) {
            (Gone(site), State(of) | Worker(of) | Reach(of) | Waits(of))
            | (State(site), Worker(of) | Reach(of) | Waits(of))
            | (Worker(site), Waits(of))
            | (Reach(site), Link(_, of)) => site == of,
            (Gone(site), Link(from, to) | Lag(from, to))
            | (State(site) | Worker(site) | Reach(site), Lag(from, to)) => site == from || site == to,
            // Its peers have it: what they set aside for others they set aside for this one.
            (Gone(site), Owed(at)) => site != at,
            (Link(from, to), Lag(of, there)) => (from, to) == (of, there),
            (Link(from, _), Owed(at)) => from == at,
            _ => false,
        }
    }
}

/// Puts each finding below the first of its causes; a cause is as bad as the worst of what follows from it. The worst first.
pub(super) fn fold(mut all: Vec<(Topic<'_>, Finding)>) -> Vec<Finding> {
    all.sort();
    let topics: Vec<Topic<'_>> = all.iter().map(|(topic, _)| *topic).collect();
    // Topics are in the order of causes, so nothing is explained by what comes after it.
    let cause = |index: usize| (0..index).find(|before| topics[*before].explains(topics[index]));
    let causes: Vec<Option<usize>> = (0..all.len()).map(cause).collect();
    let mut findings: Vec<Option<Finding>> = all.into_iter().map(|(_, finding)| Some(finding)).collect();
    for index in (0..findings.len()).rev() {
        let Some(cause) = causes[index] else { continue };
        let Some(consequence) = findings[index].take() else { continue };
        if let Some(cause) = &mut findings[cause] {
            cause.level = cause.level.min(consequence.level);
            cause.consequences.push(consequence);
            cause.consequences.sort();
        }
    }
    let mut findings: Vec<Finding> = findings.into_iter().flatten().collect();
    findings.sort();
    findings
}
