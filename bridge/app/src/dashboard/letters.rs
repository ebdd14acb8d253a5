//! The dead letters of a report, one row for each site and reason: what it means, its runbook, and the command to copy.

use bridge_ops::{
    lag::{
        reasons,
        report::{Report, Site},
    },
    replay::owed::BY_THEMSELVES,
};
use serde::Serialize;

/// Letters of one site and reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Row {
    pub(super) site: String,
    pub(super) reason: String,
    pub(super) messages: u64,
    pub(super) meaning: String,
    /// The page and the place on it.
    pub(super) runbook: String,
    /// Shows its plan and asks before it does anything.
    pub(super) command: String,
    /// Sites that the letters may be owed to and that do not answer: the command would bring nothing over.
    pub(super) wait_for: Vec<String>,
    /// Whether the site's workers bring them over by themselves.
    pub(super) by_themselves: bool,
}

/// The rows of all sites, most letters first within a site.
pub(super) fn rows(report: &Report) -> Vec<Row> {
    report.sites.iter().flat_map(|site| of_site(site, &site.away(&report.sites))).collect()
}

fn of_site(site: &Site, away: &[String]) -> Vec<Row> {
    let Some(letters) = &site.dead_letters else { return Vec::new() };
    let mut rows: Vec<Row> = {
        let owed = |reason| letters.owed_by_reason.get(reason).copied().unwrap_or_default();
        letters.by_reason.iter().map(|(reason, count)| row(&site.site, reason, *count, owed(reason))).collect()
    };
    let brings = site.state.as_ref().is_some_and(|told| told.auto_replay);
    for row in &mut rows {
        row.by_themselves = brings
            && letters.owed_by_reason.contains_key(&row.reason)
            && BY_THEMSELVES.iter().any(|reason| reason.as_str() == row.reason);
    }
    for row in rows.iter_mut().filter(|row| row.reason == "peer_unavailable") {
        row.wait_for = away.to_vec();
    }
    rows.sort_by_key(|row| std::cmp::Reverse(row.messages));
    if letters.unread > 0 {
        rows.push(Row {
            site: site.site.clone(),
            reason: "not read".to_owned(),
            messages: letters.unread,
            meaning: format!(
                "{} of {} letters: there are more than a look reads, or somebody else has them in hand. This lists all that can be read.",
                letters.unread, letters.messages
            ),
            runbook: "dead-letters".to_owned(),
            command: format!("bridge replay --from {}/dlq --to owed --dry-run", site.site),
            wait_for: Vec::new(),
            by_themselves: false,
        });
    }
    rows
}

/// `owed`: of the messages, those that say whom they are owed to.
fn row(site: &str, reason: &str, messages: u64, owed: u64) -> Row {
    let known = reasons::meaning(reason);
    let meaning = known.map_or_else(
        || "The broker set it aside itself: a worker died on it again and again.".to_owned(),
        |known| match &known.if_owed {
            Some(if_owed) if owed == messages => if_owed.clone(),
            Some(if_owed) if owed > 0 => format!("{} {owed} of them are owed to a site: {if_owed}", known.meaning),
            _ => known.meaning.clone(),
        },
    );
    let runbook = known.map_or_else(|| "dead-letters".to_owned(), |known| format!("dead-letters#{}", known.code));
    // What would come back as it is can be looked at only; the runbook tells how to correct it on the way.
    let as_it_is = known.is_none_or(|known| known.replay.starts_with("Yes"));
    let look_only = if as_it_is { "" } else { " --dry-run" };
    // A broker's reasons are words of others: nothing in them may run. No argument holds a NUL.
    let word = shlex::try_quote(reason).unwrap_or_default();
    let command = format!("bridge replay --from {site}/dlq --to owed --reason {word}{look_only}");
    let (site, reason, wait_for) = (site.to_owned(), reason.to_owned(), Vec::new());
    Row { site, reason, messages, meaning, runbook, command, wait_for, by_themselves: false }
}

#[cfg(test)]
mod tests {
    use bridge_ops::lag::{reasons::is_producers, report::DeadLetters};

    use super::*;

    #[test]
    fn each_reason_has_its_meaning_runbook_and_command() {
        let owed = row("aws:us-east-1", "peer_unavailable", 3, 3);
        assert_eq!(owed.command, "bridge replay --from aws:us-east-1/dlq --to owed --reason peer_unavailable");
        assert_eq!(owed.runbook, "dead-letters#peer_unavailable");
        assert!(owed.meaning.starts_with("The event is applied at the site"), "{}", owed.meaning);
        assert!(!is_producers("peer_unavailable"));
        let invalid = row("aws:us-east-1", "not_json", 1, 0);
        assert!(invalid.command.ends_with(" --reason not_json --dry-run"), "it would come back: {}", invalid.command);
        assert!(is_producers("not_json"));
    }

    #[test]
    fn a_replay_is_offered_only_if_its_target_answers() {
        let by_reason = [("peer_unavailable".to_owned(), 3), ("not_json".to_owned(), 1)].into();
        let letters = DeadLetters { messages: 4, by_reason, ..DeadLetters::default() };
        let here = Site { site: "aws:us-east-1".to_owned(), dead_letters: Some(letters), ..Site::default() };
        let there = |unreachable| Site { site: "azure:westeurope".to_owned(), unreachable, ..Site::default() };
        let waits = |unreachable| {
            let report = Report { sites: vec![here.clone(), there(unreachable)], ..Report::default() };
            rows(&report).into_iter().map(|row| (row.reason, row.wait_for)).collect::<Vec<_>>()
        };
        let (owed, invalid) = ("peer_unavailable".to_owned(), "not_json".to_owned());
        assert_eq!(waits(false), [(owed.clone(), vec![]), (invalid.clone(), vec![])]);
        assert_eq!(waits(true), [(owed, vec!["azure:westeurope".to_owned()]), (invalid, vec![])]);
        // What the workers bring by themselves is no errand for anybody.
        let told = serde_json::json!({
            "state": "working", "since": "", "for_seconds": 1.0, "detail": null, "peers_away": {}, "auto_replay": true,
            "told_at": "", "age_seconds": 1.0, "again_seconds": 2.0, "instance": "one",
        });
        let mut here = Site { state: serde_json::from_value(told).unwrap(), ..here.clone() };
        let by_themselves = |here: &Site| of_site(here, &[]).iter().map(|row| row.by_themselves).collect::<Vec<_>>();
        assert_eq!(by_themselves(&here), [false, false], "nobody is owed them");
        let letters = here.dead_letters.as_mut().unwrap();
        letters.owed_by_reason = [("peer_unavailable".to_owned(), 3), ("not_json".to_owned(), 1)].into();
        assert_eq!(by_themselves(&here), [true, false]);
    }

    /// Stamped ahead by a producer, or let through by a worker whose clock is wrong.
    #[test]
    fn a_letter_that_is_owed_to_a_site_is_not_its_producers_fault() {
        let meaning = |owed| row("azure:westeurope", "clock_skew", 3, owed).meaning;
        let workers = "a worker's clock is wrong";
        assert!(!meaning(0).contains(workers), "{}", meaning(0));
        assert!(meaning(3).contains(workers) && !meaning(3).contains("clock_skew_max_seconds"), "{}", meaning(3));
        assert!(meaning(1).contains("1 of them are owed") && meaning(1).contains("clock_skew_max_seconds"));
        for known in reasons::all() {
            let other = row("aws:us-east-1", &known.code, 3, 3).meaning;
            assert_eq!(other == known.meaning, known.code != "clock_skew", "{other}");
        }
    }

    #[test]
    fn a_brokers_own_words_are_one_word_of_the_command() {
        let row = row("azure:westeurope", "broker:it's `rm -rf` $(here)", 1, 0);
        let words = shlex::split(&row.command).unwrap();
        assert_eq!(words.last().map(String::as_str), Some("broker:it's `rm -rf` $(here)"), "{}", row.command);
        assert!(!is_producers(&row.reason));
    }
}
