//! What is found of a report, and below which cause.

use bridge_core::state::State;

use super::{
    report::{Bringing, DeadLetters, Finding, Lag, LagState, Level, RecoveryPoint, Report, Site, Worker, WorkerState},
    verdict::findings,
};

const HERE: &str = "aws:us-east-1";
const THERE: &str = "azure:westeurope";

/// A site with which all is well.
fn site(name: &str, peer: &str) -> Site {
    Site {
        site: name.to_owned(),
        unreachable: false,
        trouble: Vec::new(),
        backlog_messages: Some(0),
        in_flight_messages: Some(0),
        backing_off_messages: None,
        delayed_messages: Some(0),
        oldest_age_seconds: None,
        dead_letters: Some(DeadLetters::default()),
        worker: Some(Worker {
            heard_at: "2026-11-21T01:02:00Z".to_owned(),
            age_seconds: 3.0,
            every_seconds: 30.0,
            instance: "one".to_owned(),
            clock_skew_seconds: Some(0.02),
            circuits: [(peer.to_owned(), "closed".to_owned())].into(),
            events: [].into(),
            conflicts: 0,
        }),
        state: None,
        recovery_point: RecoveryPoint { events: Some(0), seconds: Some(0.0) },
    }
}

fn way(from: &str, to: &str) -> Lag {
    Lag {
        from: from.to_owned(),
        to: to.to_owned(),
        state: LagState::Heard,
        seconds: Some(0.041),
        heard_at: Some("2026-11-21T01:02:00Z".to_owned()),
        age_seconds: Some(3.0),
    }
}

/// A report with which all is well.
fn report() -> Report {
    Report {
        sites: vec![site(HERE, THERE), site(THERE, HERE)],
        lag: vec![way(HERE, THERE), way(THERE, HERE)],
        ..Report::default()
    }
}

/// Everything that is found once `change` was made to a good report.
fn all_found(change: impl FnOnce(&mut Report)) -> Vec<Finding> {
    let mut report = report();
    change(&mut report);
    findings(&report.sites, &report.lag)
}

/// Level, place and runbook of it.
fn found(change: impl FnOnce(&mut Report)) -> Vec<(Level, String, Option<String>)> {
    all_found(change).into_iter().map(|finding| (finding.level, finding.place, finding.runbook)).collect()
}

fn worker(report: &mut Report) -> &mut Worker {
    report.sites[0].worker.as_mut().unwrap()
}

#[test]
fn nothing_is_found_where_all_is_well() {
    assert_eq!(found(|_| {}), []);
}

#[test]
fn each_trouble_is_found_where_it_shows_and_with_its_runbook() {
    type Change = fn(&mut Report);
    let cases: [(Change, Level, &str, Option<&str>); 21] = [
        (|r| r.sites[0].trouble = vec!["table: denied".into()], Level::Warn, "reach/aws:us-east-1", Some("aws-down")),
        (|r| r.sites[0].worker = None, Level::Unknown, "worker/aws:us-east-1", Some("halted")),
        (|r| worker(r).age_seconds = 61.0, Level::Warn, "worker/aws:us-east-1", Some("halted")),
        (|r| worker(r).age_seconds = 121.0, Level::Bad, "worker/aws:us-east-1", Some("halted")),
        (
            |r| *worker(r).circuits.get_mut(THERE).unwrap() = "open".into(),
            Level::Warn,
            "circuits/aws:us-east-1",
            Some("azure-down"),
        ),
        (|r| worker(r).clock_skew_seconds = Some(-6.0), Level::Warn, "clock/aws:us-east-1", Some("clock-skew")),
        (|r| worker(r).clock_skew_seconds = Some(31.0), Level::Bad, "clock/aws:us-east-1", Some("clock-skew")),
        (|r| r.sites[0].delayed_messages = Some(1), Level::Warn, "delayed/aws:us-east-1", Some("lag")),
        (|r| r.sites[0].oldest_age_seconds = Some(60.0), Level::Warn, "oldest_age/aws:us-east-1", Some("lag")),
        (|r| r.sites[0].oldest_age_seconds = Some(300.0), Level::Bad, "oldest_age/aws:us-east-1", Some("lag")),
        (|r| r.sites[0].dead_letters = None, Level::Unknown, "dead_letters/aws:us-east-1", None),
        (|r| letters(r, "peer_unavailable"), Level::Bad, "dead_letters/aws:us-east-1", Some("dead-letters")),
        (|r| letters(r, "not_json"), Level::Warn, "dead_letters/aws:us-east-1", Some("dead-letters")),
        (|r| letters(r, "clock_skew"), Level::Warn, "dead_letters/aws:us-east-1", Some("dead-letters")),
        (|r| owed(r, "clock_skew", 1), Level::Bad, "dead_letters/aws:us-east-1", Some("dead-letters")),
        (|r| r.lag[0].seconds = Some(10.0), Level::Warn, "lag/aws:us-east-1/azure:westeurope", Some("lag")),
        (|r| r.lag[0].seconds = Some(30.0), Level::Bad, "lag/aws:us-east-1/azure:westeurope", Some("lag")),
        (|r| r.lag[1].state = LagState::Unknown, Level::Bad, "lag/azure:westeurope/aws:us-east-1", Some("lag")),
        (|r| r.lag[0].state = LagState::Late, Level::Warn, "lag/aws:us-east-1/azure:westeurope", Some("lag")),
        (|r| r.lag[0].state = LagState::Silent, Level::Bad, "lag/aws:us-east-1/azure:westeurope", Some("lag")),
        (|r| r.lag[0].state = LagState::Never, Level::Unknown, "lag/aws:us-east-1/azure:westeurope", Some("lag")),
    ];
    for (change, level, place, runbook) in cases {
        assert_eq!(found(change), [(level, place.to_owned(), runbook.map(str::to_owned))]);
    }
}

fn letters(report: &mut Report, reason: &str) {
    let by_reason = [(reason.to_owned(), 5)].into();
    report.sites[0].dead_letters = Some(DeadLetters { messages: 5, by_reason, ..DeadLetters::default() });
}

/// So many of the five are owed to a site.
fn owed(report: &mut Report, reason: &str, count: u64) {
    letters(report, reason);
    let owed_by_reason = [(reason.to_owned(), count)].into();
    let letters = report.sites[0].dead_letters.take().unwrap();
    report.sites[0].dead_letters = Some(DeadLetters { owed_by_reason, ..letters });
}

#[test]
fn a_site_that_is_gone_is_told_once_and_first() {
    let all = found(|report| {
        let gone = &mut report.sites[1];
        (gone.unreachable, gone.dead_letters, gone.backlog_messages) = (true, None, None);
        report.lag[0] = Lag { state: LagState::Unknown, seconds: None, ..way(HERE, THERE) };
        *worker(report).circuits.get_mut(THERE).unwrap() = "open".into();
    });
    let places: Vec<_> = all.iter().map(|(level, place, _)| (*level, place.as_str())).collect();
    assert_eq!(places, [(Level::Bad, "reach/azure:westeurope")]);
}

#[test]
fn where_a_site_is_gone_silence_leads_to_its_runbook() {
    let all = all_found(|report| {
        report.sites[0].unreachable = true;
        report.lag[0].state = LagState::Silent;
    });
    assert_eq!(places(&all), ["reach/aws:us-east-1", "  lag/aws:us-east-1/azure:westeurope"]);
    assert_eq!(all[0].consequences[0].runbook.as_deref(), Some("aws-down"));
}

/// The places of findings, those of consequences further in.
fn places(findings: &[Finding]) -> Vec<String> {
    let deeper = |one: &Finding| places(&one.consequences).into_iter().map(|place| format!("  {place}"));
    findings.iter().flat_map(|one| [one.place.clone()].into_iter().chain(deeper(one)).collect::<Vec<_>>()).collect()
}

/// What the worker of the first site says, so many seconds ago.
fn says(report: &mut Report, state: State, ago: f64) {
    report.sites[0].state = Some(WorkerState {
        state,
        since: "2026-11-21T01:00:00Z".to_owned(),
        for_seconds: 90.0,
        detail: (state != State::Working).then(|| "table: denied".to_owned()),
        looks_in_seconds: (state == State::Halted).then_some(42.0),
        peers_away: [].into(),
        auto_replay: true,
        bringing: None,
        told_at: "2026-11-21T01:01:30Z".to_owned(),
        age_seconds: ago,
        again_seconds: Some(2.0),
        instance: "one".to_owned(),
    });
}

/// A backlog grows, and heartbeats are overdue to and from the site.
fn stalled(report: &mut Report) {
    let site = &mut report.sites[0];
    (site.backlog_messages, site.oldest_age_seconds, site.delayed_messages) = (Some(2_504), Some(90.0), Some(3));
    worker(report).age_seconds = 130.0;
    report.lag.iter_mut().for_each(|lag| lag.state = LagState::Silent);
}

#[test]
fn what_a_worker_says_is_found_at_once_with_what_follows_below_it() {
    for (state, text) in [
        (
            State::Halted,
            "the worker of aws:us-east-1 has been halted for 1 min 30 s; it looks in 42.0 s whether it may go on",
        ),
        (State::StoreAway, "the store of aws:us-east-1 has not answered its worker for 1 min 30 s"),
    ] {
        let all = all_found(|report| says(report, state, 1.0));
        assert_eq!(places(&all), ["worker/aws:us-east-1"]);
        let [one] = &all[..] else { panic!("{all:?}") };
        assert_eq!((one.level, one.text.as_str()), (Level::Bad, text));
        assert_eq!(one.detail.as_deref(), Some("table: denied"));
        assert_eq!(one.since.as_deref(), Some("2026-11-21T01:00:00Z"));
        let all = all_found(|report| {
            says(report, state, 1.0);
            stalled(report);
        });
        let below = ["lag/aws:us-east-1/azure:westeurope", "lag/azure:westeurope/aws:us-east-1"];
        let queue = ["delayed/aws:us-east-1", "oldest_age/aws:us-east-1"];
        let expected: Vec<_> = below.iter().chain(&queue).map(|place| format!("  {place}")).collect();
        assert_eq!(places(&all), [vec!["worker/aws:us-east-1".to_owned()], expected].concat());
    }
}

#[test]
fn a_worker_that_says_nothing_any_more_is_found_within_two_of_its_words() {
    let level = |ago, waiting| {
        let found = all_found(|report| {
            says(report, State::Working, ago);
            report.sites[0].backlog_messages = Some(waiting);
        });
        found.first().map(|one| (one.level, one.place.clone()))
    };
    let place = || "worker/aws:us-east-1".to_owned();
    assert_eq!(level(3.5, 7), None);
    assert_eq!(level(3.6, 0), Some((Level::Warn, place())));
    assert_eq!(level(3.6, 7), Some((Level::Bad, place())), "messages wait, and nobody takes them");
    assert_eq!(level(10.1, 0), Some((Level::Bad, place())));
    let ended = |waiting| {
        let found = all_found(|report| {
            says(report, State::Stopped, 500.0);
            report.sites[0].backlog_messages = Some(waiting);
        });
        (found[0].level, found[0].text.clone())
    };
    let text = "the worker of aws:us-east-1 was stopped 1 min 30 s ago".to_owned();
    assert_eq!(ended(0), (Level::Warn, text.clone()));
    assert_eq!(ended(1), (Level::Bad, text));
    // A function says it on a change alone.
    let function = found(|report| {
        says(report, State::Working, 500.0);
        report.sites[0].state.as_mut().unwrap().again_seconds = None;
    });
    assert_eq!(function, []);
}

/// Heartbeats take the way of the events: they wait in a backlog as these do.
#[test]
fn a_backlog_that_is_worked_off_is_no_silence() {
    let all = all_found(|report| {
        says(report, State::Working, 1.0);
        report.sites[1].state = report.sites[0].state.clone();
        worker(report).age_seconds = 130.0;
        report.sites[0].backlog_messages = Some(2_000);
        (report.lag[0].state, report.lag[0].age_seconds) = (LagState::Silent, Some(25.0));
    });
    let [one] = &all[..] else { panic!("{all:?}") };
    assert_eq!(
        one.text,
        "azure:westeurope is 25.0 s behind aws:us-east-1: 2000 messages wait before the next heartbeat"
    );
    assert_eq!(one.level, Level::Warn);
}

#[test]
fn what_is_set_aside_for_a_peer_that_is_away_stands_below_it() {
    let away = |report: &mut Report| {
        says(report, State::Working, 1.0);
        let told = report.sites[0].state.as_mut().unwrap();
        told.peers_away = [(THERE.to_owned(), "2026-11-21T01:01:00Z".to_owned())].into();
        letters(report, "peer_unavailable");
        owed(report, "peer_unavailable", 5);
    };
    let all = all_found(away);
    assert_eq!(places(&all), ["circuits/aws:us-east-1", "  dead_letters/aws:us-east-1"]);
    assert_eq!((all[0].level, all[0].since.as_deref()), (Level::Bad, Some("2026-11-21T01:01:00Z")));
    let all = all_found(|report| {
        away(report);
        report.sites[1].unreachable = true;
    });
    let letters = all[0].consequences.iter().find(|one| one.place.starts_with("dead_letters")).unwrap();
    let by_themselves =
        "nothing: once azure:westeurope answers again, the workers of aws:us-east-1 bring over what was set aside";
    assert_eq!((letters.next.as_str(), all[0].next.as_str()), (by_themselves, "bridge doctor --site azure:westeurope"));
    let link = all[0].consequences.iter().find(|one| one.place.starts_with("circuits")).unwrap();
    assert_eq!(link.next, by_themselves);
    let below = ["  circuits/aws:us-east-1", "  dead_letters/aws:us-east-1"];
    assert_eq!(places(&all)[0], "reach/azure:westeurope");
    let mut found = places(&all)[1..].to_vec();
    found.sort();
    assert_eq!(found, below);
    // Letters of another reason are trouble of their own.
    let all = all_found(|report| {
        away(report);
        owed(report, "store_rejected", 5);
    });
    assert_eq!(places(&all).iter().filter(|place| !place.starts_with(' ')).count(), 2);
}

/// Between two looks some are read and some are not: what is found stays where it is, and as bad as it is.
#[test]
fn letters_that_were_not_read_do_not_change_the_order_of_findings() {
    let found = |read: u64, away: bool| {
        let all = all_found(|report| {
            says(report, State::Working, 1.0);
            if away {
                let told = report.sites[0].state.as_mut().unwrap();
                told.peers_away = [(THERE.to_owned(), "2026-11-21T01:01:00Z".to_owned())].into();
            }
            let by_reason = [("peer_unavailable".to_owned(), read)].into_iter().filter(|(_, read)| *read > 0);
            let by_reason: std::collections::BTreeMap<_, _> = by_reason.collect();
            let letters = DeadLetters { messages: 5, owed_by_reason: by_reason.clone(), by_reason, unread: 5 - read };
            report.sites[0].dead_letters = Some(letters);
            report.lag[1].seconds = Some(40.0);
        });
        let nexts: Vec<_> = all.iter().map(|one| one.next.clone()).collect();
        (places(&all), all.iter().map(|one| one.level).collect::<Vec<_>>(), nexts)
    };
    for away in [false, true] {
        let all = found(5, away);
        assert_eq!(all.1[0], Level::Bad);
        assert_eq!((found(0, away), found(3, away)), (all.clone(), all));
    }
}

/// The services' own answers say what is wrong. Of a worker nothing is known where nobody can read its words.
#[test]
fn a_store_that_cannot_be_read_is_told_once_and_its_worker_is_not_said_to_be_unheard_of() {
    let blind = |report: &mut Report, at: usize| {
        report.sites[at].trouble = vec!["store: unavailable".to_owned()];
        report.lag.iter_mut().filter(|lag| lag.to == report.sites[at].site).for_each(|lag| {
            (lag.state, lag.seconds) = (LagState::Unknown, None);
        });
    };
    let all = all_found(|report| {
        says(report, State::StoreAway, 1.0);
        blind(report, 0);
    });
    assert_eq!(places(&all), ["worker/aws:us-east-1", "  reach/aws:us-east-1"]);
    let both = all_found(|report| {
        blind(report, 0);
        blind(report, 1);
        report.sites.iter_mut().for_each(|site| site.worker = None);
    });
    let said: Vec<_> = both.iter().map(|one| one.text.as_str()).collect();
    assert_eq!(said, ["the store of aws:us-east-1 cannot be read", "the store of azure:westeurope cannot be read"]);
    let gone = all_found(|report| {
        (report.sites[1].unreachable, report.sites[1].worker) = (true, None);
        report.sites[1].trouble = vec!["all: unavailable".to_owned()];
    });
    assert_eq!(places(&gone), ["reach/azure:westeurope"]);
}

/// With no store that takes a record, no worker can say that it lives.
#[test]
fn workers_that_are_silent_together_are_not_taken_for_dead() {
    let why = |ago| {
        let all = all_found(|report| {
            says(report, State::Working, 5.0);
            report.sites[1].state = report.sites[0].state.clone();
            report.sites[1].state.as_mut().unwrap().age_seconds = ago;
        });
        (all[0].text.clone(), all[0].runbook.clone().unwrap())
    };
    let (text, runbook) = why(1.0);
    assert!(text.ends_with(": it is dead, or cut off") && runbook == "halted", "{text}");
    let (text, runbook) = why(5.0);
    assert!(text.ends_with(": no store takes what workers write, or all are dead"), "{text}");
    assert_eq!(runbook, "store-away");
}

#[test]
fn what_workers_bring_by_themselves_is_told_with_its_progress_and_asks_nobody_for_a_replay() {
    let next = |auto| {
        let all = all_found(|report| {
            says(report, State::Working, 1.0);
            owed(report, "peer_unavailable", 5);
            let told = report.sites[0].state.as_mut().unwrap();
            told.auto_replay = auto;
            let since = "2026-11-21T01:01:00Z".to_owned();
            told.bringing = auto.then_some(Bringing { since, for_seconds: 12.0, letters: 1_200 });
        });
        (all[0].text.clone(), all[0].next.clone())
    };
    let replay = "bridge replay --from aws:us-east-1/dlq --to owed --dry-run";
    assert_eq!(next(false), ("5 dead letters at aws:us-east-1".to_owned(), replay.to_owned()));
    let (text, step) = next(true);
    assert_eq!(text, "5 dead letters at aws:us-east-1; its worker has brought over 1200 in 12.0 s");
    assert!(
        step.starts_with("see whether they become fewer") && step.ends_with(&format!("if not: {replay}")),
        "{step}"
    );
}

/// A person who reads only the finding knows which site it is, and what to type.
#[test]
fn each_finding_says_its_site_and_the_next_step() {
    type Change = fn(&mut Report);
    let cases: [(Change, &str, &str, &str); 7] = [
        (
            |r| r.sites[0].unreachable = true,
            HERE,
            "aws:us-east-1 cannot be reached",
            "bridge doctor --site aws:us-east-1",
        ),
        (
            |r| r.sites[1].delayed_messages = Some(752),
            THERE,
            "752 messages wait at azure:westeurope for a later time",
            "see whether it shrinks: bridge lag --watch; if not: bridge doctor --site azure:westeurope",
        ),
        (
            |r| r.sites[0].oldest_age_seconds = Some(90.0),
            HERE,
            "the oldest message at aws:us-east-1 has been waiting for 1 min 30 s",
            "see whether it shrinks: bridge lag --watch; if not: bridge doctor --site aws:us-east-1",
        ),
        (
            |r| *worker(r).circuits.get_mut(THERE).unwrap() = "open".into(),
            HERE,
            "aws:us-east-1 cannot reach azure:westeurope: what it writes is set aside for azure:westeurope",
            "once azure:westeurope answers again: bridge replay --from aws:us-east-1/dlq --to owed",
        ),
        (
            |r| r.sites[0].worker = None,
            HERE,
            "the worker of aws:us-east-1 was never heard of",
            "see whether the worker of aws:us-east-1 runs, and its log; then: bridge doctor --site aws:us-east-1",
        ),
        (
            |r| letters(r, "peer_unavailable"),
            HERE,
            "5 dead letters at aws:us-east-1",
            "bridge replay --from aws:us-east-1/dlq --to owed --dry-run",
        ),
        (|r| r.lag[0].seconds = Some(12.0), THERE, "azure:westeurope is 12.0 s behind aws:us-east-1", "bridge doctor"),
    ];
    for (change, site, text, next) in cases {
        let all = all_found(change);
        let said = all.iter().map(|one| (one.site.as_str(), one.text.as_str(), one.next.as_str()));
        assert_eq!(said.collect::<Vec<_>>(), [(site, text, next)]);
    }
    assert_eq!(all_found(|r| letters(r, "not_json"))[0].detail.as_deref(), Some("not_json 5"));
}
