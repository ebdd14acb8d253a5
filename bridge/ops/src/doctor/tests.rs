//! Each rule both ways: what keeps the promises is good, one step off is found, with how to mend it.

use std::time::Duration;

use chrono::TimeDelta;

use super::*;
use bridge_core::{
    failure::{CredentialsRefused, FailureKind, PortError},
    limits,
};

const DAY: Duration = Duration::from_hours(24);

fn queue() -> QueueFacts {
    QueueFacts {
        retention: Some(14 * DAY),
        lease: Some(Duration::from_secs(30)),
        redrive: Some(Redrive { deliveries_max: 1_000, target: "broken".to_owned() }),
        retries_count: true,
        message_bytes_max: 262_144,
        duplicate_detection: None,
        sessions: false,
        forwards_to: None,
        idle_life: None,
    }
}

fn store() -> StoreFacts {
    StoreFacts {
        partition_key: PartitionKey::Fits,
        key_bytes_max: limits::KEY_BYTES_MAX,
        expiry: Ok(Expiry::ByRecord),
        write_regions: Ok(BTreeSet::from(["here".to_owned()])),
    }
}

fn look<T>(at: &str, seen: T) -> Look<T> {
    Look { at: at.to_owned(), seen: Ok(seen) }
}

fn site(name: &str) -> SiteFacts {
    SiteFacts {
        site: name.parse().unwrap(),
        message_bytes_max: 262_144,
        lease: Duration::from_secs(30),
        allowed: BTreeSet::new(),
        looks: Looks {
            queue: look("queue q", queue()),
            dead_letter_queue: look("queue dead", QueueFacts { redrive: None, ..queue() }),
            store: look("store s", store()),
        },
        clocks: vec![look("broker", TimeDelta::zero())],
        tries: Some(Tries { read: Ok(()), write: Ok(()), send: Ok(()) }),
    }
}

const FIGURES: Figures = Figures {
    tombstone_life: limits::TOMBSTONE_LIFE,
    attempts_max: 20,
    store_wait_max: limits::STORE_WAIT_MAX,
    clock_skew_max: limits::CLOCK_SKEW_MAX,
    sites: 1,
};

fn failure(kind: FailureKind) -> PortError {
    PortError::new("queue q", "look", kind).caused_by("because")
}

/// What is found of a site that `bend` has bent, apart from what is good.
fn found(bend: impl FnOnce(&mut SiteFacts)) -> Vec<(&'static str, State, Mend)> {
    let mut facts = site("aws:us-east-1");
    bend(&mut facts);
    let findings = examine(&[facts], &FIGURES);
    let wanting = findings.into_iter().filter(|finding| finding.state != State::Good);
    wanting.map(|finding| (finding.check, finding.state, finding.mend.expect("says how to mend it"))).collect()
}

#[test]
fn what_keeps_the_promises_is_good() {
    assert_eq!(found(|_| {}), []);
    let findings = examine(&[site("aws:us-east-1"), site("azure:westeurope")], &FIGURES);
    assert!(findings.iter().all(|finding| finding.state == State::Good && finding.mend.is_none()), "{findings:#?}");
    assert_eq!(findings.iter().filter(|finding| finding.check == "store.write").count(), 2);
}

#[test]
fn what_is_missing_is_to_be_created() {
    let missing = |facts: &mut SiteFacts| facts.looks.queue.seen = Err(failure(FailureKind::Missing));
    assert_eq!(found(missing), [("queue", State::Bad, Mend::Create(Thing::Queue))]);
    let missing = |facts: &mut SiteFacts| facts.looks.store.seen = Err(failure(FailureKind::Missing));
    assert_eq!(found(missing), [("store", State::Bad, Mend::Create(Thing::Store))]);
}

#[test]
fn settings_that_may_not_be_read_break_nothing() {
    let refused = |facts: &mut SiteFacts| facts.looks.queue.seen = Err(failure(FailureKind::Unauthorized));
    assert_eq!(found(refused), [("queue", State::Warning, Mend::AllowLook(Thing::Queue))]);
    let away = |facts: &mut SiteFacts| facts.looks.queue.seen = Err(failure(FailureKind::TimedOut));
    assert_eq!(found(away), [("queue", State::Bad, Mend::Reach)]);
}

#[test]
fn a_refused_try_is_a_missing_right() {
    let refused = |facts: &mut SiteFacts| {
        let denied = || Err(failure(FailureKind::Unauthorized));
        facts.tries = Some(Tries { read: Ok(()), write: denied(), send: denied() });
    };
    assert_eq!(
        found(refused),
        [
            ("store.write", State::Bad, Mend::AllowUse(Thing::Store)),
            ("queue.send", State::Bad, Mend::AllowUse(Thing::Queue))
        ]
    );
    let mut facts = site("aws:us-east-1");
    facts.tries = None;
    let findings = examine(&[facts], &FIGURES);
    assert!(!findings.iter().any(|finding| finding.check == "queue.send"), "nothing was tried");
}

/// Another right does not help who is not recognised.
#[test]
fn refused_credentials_are_no_missing_right() {
    let refused = |facts: &mut SiteFacts| {
        let ended = || failure(FailureKind::Unauthorized).caused_by(CredentialsRefused("403 ExpiredToken".to_owned()));
        facts.looks.queue.seen = Err(ended());
        facts.tries = Some(Tries { read: Ok(()), write: Err(ended()), send: Ok(()) });
    };
    let expected =
        [("queue", State::Bad, Mend::Prove(Thing::Queue)), ("store.write", State::Bad, Mend::Prove(Thing::Store))];
    assert_eq!(found(refused), expected);
    assert_eq!(forbids(refused), [""; 0]);
}

/// Advice that has nothing to do with what was said sends an operator the wrong way.
#[test]
fn each_failure_has_its_own_mend() {
    let tried = |kind: FailureKind| {
        let found = found(|facts| {
            facts.tries =
                Some(Tries { read: Ok(()), write: Err(failure(kind.clone())), send: Err(failure(kind.clone())) });
        });
        let [("store.write", State::Bad, store), ("queue.send", State::Bad, queue)] = found[..] else {
            panic!("{found:?}")
        };
        (store, queue)
    };
    let both = |mend: fn(Thing) -> Mend| (mend(Thing::Store), mend(Thing::Queue));
    let detail = || "because".to_owned();
    assert_eq!(tried(FailureKind::Misshapen { detail: detail() }), both(Mend::Replace));
    assert_eq!(tried(FailureKind::Missing), both(Mend::Create));
    assert_eq!(tried(FailureKind::Unauthorized), both(Mend::AllowUse));
    assert_eq!(tried(FailureKind::Rejected { detail: detail() }), both(Mend::Accept));
    assert_eq!(tried(FailureKind::TooLarge { size_bytes: 2, limit_bytes: 1 }), both(Mend::Accept));
    assert_eq!(tried(FailureKind::Throttled { retry_after: None }), both(Mend::Scale));
    assert_eq!(tried(FailureKind::Unavailable), (Mend::Reach, Mend::Reach));
    assert_eq!(tried(FailureKind::TimedOut), (Mend::Reach, Mend::Reach));
}

#[test]
fn the_broker_sets_a_message_aside_later_than_the_worker() {
    let redrive = |bend: fn(&mut QueueFacts)| found(|facts| bend(facts.looks.queue.seen.as_mut().unwrap()));
    let mend = Mend::Redrive { deliveries_max: 1_000 };
    assert_eq!(redrive(|queue| queue.redrive = None), [("queue.redrive", State::Bad, mend)]);
    assert_eq!(
        redrive(|queue| queue.redrive.as_mut().unwrap().deliveries_max = 20),
        [("queue.redrive", State::Bad, mend)]
    );
    let few = [("queue.redrive", State::Warning, mend)];
    assert_eq!(
        redrive(|queue| queue.redrive.as_mut().unwrap().deliveries_max = 21),
        few,
        "a store's outage uses them up"
    );
    assert_eq!(redrive(|queue| queue.redrive.as_mut().unwrap().deliveries_max = 599), few);
    assert_eq!(redrive(|queue| queue.redrive.as_mut().unwrap().deliveries_max = 600), []);
    let where_retries_are_new_messages = |most| {
        found(|facts| {
            let queue = facts.looks.queue.seen.as_mut().unwrap();
            (queue.retries_count, queue.redrive.as_mut().unwrap().deliveries_max) = (false, most);
        })
    };
    assert_eq!(where_retries_are_new_messages(3), []);
    let mend = Mend::Redrive { deliveries_max: 10 };
    assert_eq!(where_retries_are_new_messages(2), [("queue.redrive", State::Warning, mend)]);
}

/// What is found of the way through two sites, whose first one keeps messages for so many days in its queue and among its dead
/// letters; none for ever.
fn way(here: Option<u32>, dead: Option<u32>, life: u32) -> Finding {
    let mut first = site("aws:us-east-1");
    first.looks.queue.seen.as_mut().unwrap().retention = here.map(|days| days * DAY);
    first.looks.dead_letter_queue.seen.as_mut().unwrap().retention = dead.map(|days| days * DAY);
    let figures = Figures { tombstone_life: life * DAY, ..FIGURES };
    let findings = examine(&[first, site("azure:westeurope")], &figures);
    findings.into_iter().find(|finding| finding.check == "queue.tombstones").unwrap()
}

#[test]
fn tombstones_outlive_the_way_through_all_sites() {
    let judged = |here, dead, life| {
        let finding = way(here, dead, life);
        (finding.state, finding.mend, finding.site.map(|site| site.to_string()))
    };
    let (days, ours) = (
        |value| Some(Mend::Configure { of_site: false, key: "tombstone_life_days", value }),
        || Some("aws:us-east-1".to_owned()),
    );
    let keep = |thing| Some(Mend::Keep(thing, 14 * DAY));
    assert_eq!(judged(Some(14), Some(14), 60), (State::Good, None, None));
    assert_eq!(judged(Some(14), Some(14), 57), (State::Good, None, None), "42, a margin of one, two weeks to act");
    assert_eq!(judged(Some(14), Some(14), 56), (State::Warning, days(57), None));
    assert_eq!(judged(Some(14), Some(14), 44), (State::Warning, days(57), None), "one day to act");
    assert_eq!(judged(Some(14), Some(14), 43), (State::Bad, days(57), None));
    assert_eq!(judged(Some(14), Some(14), 35), (State::Bad, days(57), None), "the queues of one site are not all");
    assert_eq!(judged(Some(40), Some(14), 60), (State::Bad, keep(Thing::Queue), ours()));
    assert_eq!(judged(None, Some(14), 60), (State::Bad, keep(Thing::Queue), ours()));
    assert_eq!(judged(Some(14), None, 60), (State::Bad, keep(Thing::DeadLetterQueue), ours()));
    assert_eq!(
        way(Some(13), Some(12), 60).found,
        "an event can wait 13 d in the queue of aws:us-east-1, 14 d in the queue of azure:westeurope, 14 d among the dead letters of \
         azure:westeurope, 41 d in all; tombstones live for 60 d, which leaves 18 d to act"
    );
}

#[test]
fn letters_stay_where_they_are_looked_at_and_a_queue_is_no_end_of_itself() {
    let moved = found(|facts| {
        let redrive = facts.looks.queue.seen.as_ref().unwrap().redrive.clone();
        facts.looks.dead_letter_queue.seen.as_mut().unwrap().redrive = redrive;
    });
    assert_eq!(moved, [("dead-letter-queue.redrive", State::Bad, Mend::KeepLetters)]);
    let itself = found(|facts| {
        let own = facts.looks.queue.at.rsplit(['/', ' ']).next().unwrap().to_owned();
        facts.looks.queue.seen.as_mut().unwrap().redrive.as_mut().unwrap().target = own;
    });
    assert!(matches!(itself[..], [("queue.redrive", State::Bad, Mend::Redrive { .. })]), "{itself:?}");
}

#[test]
fn an_outage_of_a_week_loses_no_event() {
    let kept = |days: u32| found(|facts| facts.looks.queue.seen.as_mut().unwrap().retention = Some(days * DAY));
    let keep = Mend::Keep(Thing::Queue, 14 * DAY);
    let wait_no_longer_than = |value| {
        ("queue.store-wait", State::Bad, Mend::Configure { of_site: false, key: "store_wait_max_hours", value })
    };
    assert_eq!(kept(4), [("queue.retention", State::Warning, keep)], "what SQS has unless told otherwise");
    assert_eq!(kept(3), [("queue.retention", State::Warning, keep), wait_no_longer_than(60)]);
    assert_eq!(kept(1), [("queue.retention", State::Warning, keep), wait_no_longer_than(12)]);
    assert_eq!(kept(0), [("queue.retention", State::Bad, keep), wait_no_longer_than(1)]);
    assert_eq!(kept(7), []);
    let letters =
        |days: u32| found(|facts| facts.looks.dead_letter_queue.seen.as_mut().unwrap().retention = Some(days * DAY));
    let keep = Mend::Keep(Thing::DeadLetterQueue, 14 * DAY);
    assert_eq!(letters(6), [("dead-letter-queue.retention", State::Warning, keep)]);
    assert_eq!(letters(0), [("dead-letter-queue.retention", State::Bad, keep)]);
    assert_eq!(letters(7), []);
}

#[test]
fn a_queue_keeps_its_messages_for_the_bridge() {
    let both = |bend: fn(&mut QueueFacts)| {
        found(|facts| {
            bend(facts.looks.queue.seen.as_mut().unwrap());
            bend(facts.looks.dead_letter_queue.seen.as_mut().unwrap());
        })
    };
    let bad = |checks: [&'static str; 2], mend: fn(Thing) -> Mend| {
        [(checks[0], State::Bad, mend(Thing::Queue)), (checks[1], State::Bad, mend(Thing::DeadLetterQueue))]
    };
    let kind = ["queue.kind", "dead-letter-queue.kind"];
    assert_eq!(both(|queue| queue.sessions = true), bad(kind, Mend::Replace));
    assert_eq!(both(|queue| queue.forwards_to = Some("other".to_owned())), bad(kind, Mend::StopForwarding));
    let idle = ["queue.idle", "dead-letter-queue.idle"];
    assert_eq!(both(|queue| queue.idle_life = Some(1_000 * DAY)), bad(idle, Mend::Stay));
}

/// `bridge doctor --site` sees one stop of a way that leads through all.
#[test]
fn a_check_of_one_site_does_not_speak_for_all() {
    for (sites, alone) in [(1, false), (2, true)] {
        let findings = examine(&[site("aws:us-east-1")], &Figures { sites, ..FIGURES });
        for finding in findings.iter().filter(|finding| finding.site.is_none()) {
            assert_eq!(finding.found.ends_with("; only 1 of 2 sites was checked"), alone, "{}", finding.found);
            assert_eq!(finding.looked_at, if alone { "aws:us-east-1 alone" } else { "all sites" }, "{}", finding.check);
        }
        assert_eq!(findings.iter().filter(|finding| finding.site.is_none()).count(), 3);
    }
}

/// What was not seen is a finding of its own, and the way of the others is told.
#[test]
fn the_way_is_that_of_the_sites_that_were_seen() {
    let mut dark = site("azure:westeurope");
    dark.looks.queue.seen = Err(failure(FailureKind::TimedOut));
    let findings = examine(&[site("aws:us-east-1"), dark], &FIGURES);
    let way = findings.iter().find(|finding| finding.check == "queue.tombstones").unwrap();
    let told = "28 d in all, not counting azure:westeurope, whose queues were not seen; tombstones";
    assert!(way.state == State::Good && way.found.contains(told), "{}", way.found);
}

#[test]
fn the_lease_is_what_the_broker_says() {
    let lease = |seconds: Option<u64>| {
        found(|facts| facts.looks.queue.seen.as_mut().unwrap().lease = seconds.map(Duration::from_secs))
    };
    let set = |value| Mend::Configure { of_site: true, key: "lease_seconds", value };
    assert_eq!(lease(None), []);
    assert_eq!(lease(Some(29)), [("queue.lease", State::Bad, set(29))]);
    assert_eq!(lease(Some(60)), [("queue.lease", State::Warning, set(60))]);
}

#[test]
fn a_queue_takes_what_is_configured_and_its_dead_letters_too() {
    let narrow =
        |bend: fn(&mut Looks) -> &mut QueueFacts| found(|facts| bend(&mut facts.looks).message_bytes_max = 262_143);
    let widen = |thing| Mend::Widen(thing, 262_144);
    assert_eq!(
        narrow(|looks| looks.queue.seen.as_mut().unwrap()),
        [("queue.message-size", State::Bad, widen(Thing::Queue))]
    );
    assert_eq!(
        narrow(|looks| looks.dead_letter_queue.seen.as_mut().unwrap()),
        [("dead-letter-queue.message-size", State::Bad, widen(Thing::DeadLetterQueue))]
    );
}

#[test]
fn sessions_stop_everything_and_remembered_ids_nothing() {
    let sessions = |facts: &mut SiteFacts| facts.looks.queue.seen.as_mut().unwrap().sessions = true;
    assert_eq!(found(sessions), [("queue.kind", State::Bad, Mend::Replace(Thing::Queue))]);
    let sessions = |facts: &mut SiteFacts| facts.looks.dead_letter_queue.seen.as_mut().unwrap().sessions = true;
    assert_eq!(found(sessions), [("dead-letter-queue.kind", State::Bad, Mend::Replace(Thing::DeadLetterQueue))]);
    let mut facts = site("azure:westeurope");
    facts.looks.queue.seen.as_mut().unwrap().duplicate_detection = Some(Duration::from_mins(10));
    let findings = examine(&[facts], &FIGURES);
    let finding = findings.into_iter().find(|finding| finding.check == "queue.duplicates").unwrap();
    assert_eq!(finding.state, State::Good);
    assert!(finding.found.contains("within 10 min; no harm"), "{}", finding.found);
}

#[test]
fn records_expire_when_they_say_so_and_never_else() {
    let expiry = |expiry| found(|facts| facts.looks.store.seen.as_mut().unwrap().expiry = Ok(expiry));
    let mend = |elsewhere| Mend::Expire { elsewhere };
    assert_eq!(expiry(Expiry::Off), [("store.expiry", State::Warning, mend(false))]);
    assert_eq!(expiry(Expiry::OtherAttribute("ttl".to_owned())), [("store.expiry", State::Warning, mend(true))]);
    assert_eq!(expiry(Expiry::Every(DAY)), [("store.expiry", State::Bad, mend(false))], "it loses live records");
    let key = |facts: &mut SiteFacts| {
        let other = PartitionKey::Other { is: "/id".to_owned(), must_be: "/pk" };
        facts.looks.store.seen.as_mut().unwrap().partition_key = other;
    };
    assert_eq!(found(key), [("store.key", State::Bad, Mend::Replace(Thing::Store))]);
}

#[test]
fn a_clock_is_off_by_seconds_or_by_more_than_an_event_may_be() {
    let clock = |seconds| found(|facts| facts.clocks[0].seen = Ok(TimeDelta::seconds(seconds)));
    for good in [-5, 0, 5] {
        assert_eq!(clock(good), [], "{good} s");
    }
    for off in [-60, -6, 6, 60] {
        assert_eq!(clock(off), [("clock", State::Warning, Mend::SetClock)], "{off} s");
    }
    for wrong in [-300, 61, 300] {
        assert_eq!(clock(wrong), [("clock", State::Bad, Mend::SetClock)], "{wrong} s");
    }
    let unread = |facts: &mut SiteFacts| facts.clocks[0].seen = Err(failure(FailureKind::TimedOut));
    assert_eq!(found(unread), [("clock", State::Warning, Mend::Reach)]);
    let said = |seen| {
        let mut facts = site("aws:us-east-1");
        facts.clocks[0].seen = seen;
        let findings = examine(&[facts], &FIGURES);
        findings.into_iter().find(|finding| finding.check == "clock").unwrap().found
    };
    assert!(said(Ok(TimeDelta::seconds(7))).starts_with("is 7 s ahead"));
    assert!(said(Ok(TimeDelta::seconds(-7))).starts_with("is 7 s behind"));
    assert!(said(Ok(TimeDelta::milliseconds(-400))).starts_with("agrees"));
    assert_eq!(said(Err(failure(FailureKind::TimedOut))), "its clock could not be read: timed out: because");
}

fn bent(bend: impl FnOnce(&mut StoreFacts)) -> Vec<(&'static str, State, Mend)> {
    found(|facts| bend(facts.looks.store.seen.as_mut().unwrap()))
}

#[test]
fn a_store_is_written_in_one_region_and_takes_every_key() {
    let regions = |names: &[&str]| {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        bent(|store| store.write_regions = Ok(names))
    };
    assert_eq!(regions(&[]), []);
    assert_eq!(regions(&["here", "there"]), [("store.regions", State::Bad, Mend::OneRegion)]);
    let keys = |most| bent(|store| store.key_bytes_max = most);
    assert_eq!(keys(limits::KEY_BYTES_MAX - 1), [("store.key-size", State::Bad, Mend::Replace(Thing::Store))]);
    assert_eq!(keys(limits::KEY_BYTES_MAX + 1), []);
}

#[test]
fn what_has_a_permission_of_its_own_is_missed_alone() {
    let refused = || Err(failure(FailureKind::Unauthorized));
    let look = Mend::AllowLook(Thing::Store);
    assert_eq!(bent(|store| store.expiry = refused()), [("store.expiry", State::Warning, look)]);
    let key = PartitionKey::Other { is: "id (S)".to_owned(), must_be: "pk (S) alone" };
    assert_eq!(
        bent(|store| (store.write_regions, store.partition_key) = (Err(failure(FailureKind::Unauthorized)), key)),
        [("store.key", State::Bad, Mend::Replace(Thing::Store)), ("store.regions", State::Warning, look)]
    );
}

/// What is found of a site that `bend` has bent and that keeps a worker from starting.
fn forbids(bend: impl FnOnce(&mut SiteFacts)) -> Vec<&'static str> {
    let mut facts = site("aws:us-east-1");
    bend(&mut facts);
    let findings = examine(&[facts], &FIGURES).into_iter();
    findings.filter(|finding| finding.forbids_start).map(|finding| finding.check).collect()
}

#[test]
fn a_setting_that_breaks_a_promise_forbids_the_start_and_an_outage_does_not() {
    let bend_store = |bend: fn(&mut StoreFacts)| forbids(|facts| bend(facts.looks.store.seen.as_mut().unwrap()));
    let bend_queue = |bend: fn(&mut QueueFacts)| forbids(|facts| bend(facts.looks.queue.seen.as_mut().unwrap()));
    assert_eq!(forbids(|_| {}), [""; 0]);
    assert_eq!(bend_store(|store| store.expiry = Ok(Expiry::Every(DAY))), ["store.expiry"]);
    assert_eq!(bend_store(|store| store.expiry = Ok(Expiry::Off)), [""; 0], "that only costs room");
    assert_eq!(bend_queue(|queue| queue.sessions = true), ["queue.kind"]);
    assert_eq!(bend_queue(|queue| queue.retention = Some(60 * DAY)), ["queue.tombstones"]);
    for kind in [FailureKind::Unavailable, FailureKind::TimedOut, FailureKind::Missing, FailureKind::Unauthorized] {
        let failed = || failure(kind.clone());
        assert_eq!(forbids(|facts| facts.looks.queue.seen = Err(failed())), [""; 0], "{kind}");
        assert_eq!(forbids(|facts| facts.looks.store.seen = Err(failed())), [""; 0], "{kind}");
        let parts = |facts: &mut SiteFacts| {
            let store = facts.looks.store.seen.as_mut().unwrap();
            (store.expiry, store.write_regions) = (Err(failed()), Err(failed()));
        };
        assert_eq!(forbids(parts), [""; 0], "{kind}");
    }
    assert_eq!(forbids(|facts| facts.clocks[0].seen = Ok(TimeDelta::hours(1))), [""; 0], "the clock can be set later");
}

#[test]
fn what_is_allowed_by_name_is_still_told() {
    let several = |allowed: &'static [&'static str]| {
        move |facts: &mut SiteFacts| {
            let store = facts.looks.store.seen.as_mut().unwrap();
            store.write_regions = Ok(BTreeSet::from(["here".to_owned(), "there".to_owned()]));
            facts.allowed = allowed.iter().copied().collect();
        }
    };
    assert_eq!(forbids(several(&[])), ["store.regions"]);
    assert_eq!(forbids(several(&["queue.redrive"])), ["store.regions"]);
    assert_eq!(forbids(several(&ALLOWABLE)), [""; 0]);
    assert_eq!(found(several(&["store.regions"])), [("store.regions", State::Warning, Mend::OneRegion)]);
    assert_eq!(found(|facts| facts.allowed = ALLOWABLE.into()), [], "what is good stays good");
}

#[test]
fn the_narrowest_queue_is_named_with_what_the_widest_could_carry() {
    let mut wide = site("aws:us-east-1");
    wide.message_bytes_max = 1_048_576;
    wide.looks.queue.seen.as_mut().unwrap().message_bytes_max = 1_048_576;
    wide.looks.dead_letter_queue.seen.as_mut().unwrap().message_bytes_max = 1_048_576;
    let findings = examine(&[wide, site("azure:westeurope")], &FIGURES);
    let wanting: Vec<_> = findings.iter().filter(|finding| finding.state != State::Good).collect();
    let [finding] = wanting.as_slice() else { panic!("{wanting:#?}") };
    assert_eq!((finding.check, finding.state), ("limits.queues", State::Warning));
    assert_eq!(finding.site.as_ref().unwrap().as_str(), "azure:westeurope");
    assert_eq!(finding.mend, Some(Mend::Widen(Thing::Queue, 1_048_576)));
    let limits = findings.iter().find(|finding| finding.check == "limits").unwrap();
    assert!(limits.found.starts_with("an event may have 258048 bytes (azure:westeurope's queue"), "{}", limits.found);
}

#[test]
fn a_duration_is_spelled_in_the_largest_unit_that_it_fills() {
    for (seconds, spelled) in [
        (0, "0 s"),
        (45, "45 s"),
        (60, "1 min"),
        (90, "90 s"),
        (3_600, "1 h"),
        (5_400, "90 min"),
        (86_400, "1 d"),
        (90_000, "25 h"),
    ] {
        assert_eq!(spell(Duration::from_secs(seconds)), spelled);
    }
}

#[test]
fn one_look_that_succeeds_is_something() {
    let failed = || failure(FailureKind::TimedOut);
    let lit = |light: fn(&mut SiteFacts, SiteFacts)| {
        let mut facts = site("aws:us-east-1");
        (facts.looks.queue.seen, facts.looks.dead_letter_queue.seen) = (Err(failed()), Err(failed()));
        facts.looks.store.seen = Err(failed());
        facts.clocks[0].seen = Err(failed());
        light(&mut facts, site("aws:us-east-1"));
        facts.any()
    };
    assert!(!lit(|_, _| {}));
    assert!(lit(|facts, lit| facts.looks.queue = lit.looks.queue));
    assert!(lit(|facts, lit| facts.looks.dead_letter_queue = lit.looks.dead_letter_queue));
    assert!(lit(|facts, lit| facts.looks.store = lit.looks.store));
    assert!(lit(|facts, lit| facts.clocks = lit.clocks));
}
