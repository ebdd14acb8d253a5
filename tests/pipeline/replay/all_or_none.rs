//! Events that go to all sites or to none: those that are older than deletes are remembered, and those that came without their
//! origin's forward.

use super::*;

const OLD: &str = "2026-09-01T00:00:00Z";

fn old(origin: &str) -> String {
    let mut event = event(1, origin, "upsert", "k", 0);
    event["timestamp"] = OLD.into();
    event.to_string()
}

fn with(world: &World, letter: Message) {
    assert!(world.clock.drive(world.site(HERE).letters.send(&[letter])).iter().all(Result::is_ok));
}

fn replayed(world: &World, to: &str, accept_old: bool) -> (Entry, Tally) {
    let setting = Setting { accept_old, ..setting(world, "aws:us-east-1/dlq", to) };
    let entry = world.clock.drive(plan(&setting)).remove(0);
    let (_, mut tallies) = world.clock.drive(run(&setting, std::slice::from_ref(&entry), &Kept::default()));
    (entry, tallies.pop_first().unwrap().1)
}

#[test]
fn what_is_too_old_stays_with_its_reason_unless_it_is_accepted() {
    for (reason, owed) in [("too_old", THERE), ("peer_unavailable", THERE), ("too_old", "")] {
        let world = world();
        with(&world, letter(1, &old(HERE), reason, owed));
        for target in ["owed", "aws:us-east-1/queue", "azure:westeurope/store", "azure:westeurope/queue"] {
            let (entry, tally) = replayed(&world, target, false);
            assert_eq!(entry.refused.unwrap().reason, "too_old", "{reason} {target}");
            assert_eq!((tally.left, tally.removed), (1, 0), "{reason} {target}");
        }
        assert!(world.sites.values().all(|site| site.queue.snapshot().is_empty() && site.store.snapshot().is_empty()));
    }
}

#[test]
fn what_is_accepted_reaches_all_sites_through_its_origin() {
    for (origin, owed) in [(HERE, ""), (THERE, HERE)] {
        let world = world();
        with(&world, letter(1, &old(origin), "too_old", owed));
        let (entry, tally) = replayed(&world, "owed", true);
        assert_eq!((entry.errands.len(), entry.errands[0].to.as_str()), (1, format!("{origin}/queue").as_str()));
        assert_eq!(tally.removed, 1);
        let (_, properties) = world.site(origin).queue.snapshot().remove(0);
        assert_eq!(properties[property::ACCEPT_OLD], "replay 2026-11-21T01:02:03.000Z");
        assert!(!properties.contains_key(property::FORWARDED_BY) && !properties.contains_key(property::REASON));
        world.drain(10);
        assert!(version(&world, HERE, "k").is_some(), "of {origin}");
        assert_eq!(version(&world, HERE, "k"), version(&world, THERE, "k"), "of {origin}");
        assert!(world.sites.values().all(|site| site.letters.snapshot().is_empty()));
    }
}

#[test]
fn what_is_accepted_reaches_no_site_alone() {
    for target in ["azure:westeurope/store", "azure:westeurope/queue", "aws:us-east-1/store"] {
        let world = world();
        with(&world, letter(1, &old(HERE), "too_old", ""));
        let (entry, tally) = replayed(&world, target, true);
        assert!(entry.refused.unwrap().detail.contains("replay it with --to owed"), "{target}");
        assert_eq!((tally.left, tally.removed), (1, 0));
    }
    // What is not old goes as ever, and is not marked.
    let world = world();
    with(&world, letter(1, &body(1, HERE, "k", 1), "peer_unavailable", THERE));
    let (_, tally) = replayed(&world, "azure:westeurope/queue", true);
    let (_, properties) = world.site(THERE).queue.snapshot().remove(0);
    assert!(tally.removed == 1 && !properties.contains_key(property::ACCEPT_OLD));
    assert_eq!(properties[property::FORWARDED_BY], HERE);
}

/// A letter at a peer of the site that the event names: that site's worker applies it, and forwards it to all others.
#[test]
fn what_was_not_forwarded_goes_to_its_origins_queue() {
    let world = world();
    world.send(HERE, &[body(1, THERE, "k", 1)]);
    world.drain(10);
    let letters = world.site(HERE).letters.snapshot();
    assert_eq!(letters[0].1[property::REASON], "not_forwarded");
    let (entry, tally) = replayed(&world, "aws:us-east-1/store", false);
    assert!(tally.removed == 0 && entry.errands.is_empty() && entry.unpaid == [HERE, THERE], "{entry:?}");
    let (entry, tally) = replayed(&world, "owed", false);
    assert_eq!((entry.errands.len(), entry.errands[0].to.as_str(), tally.removed), (1, "azure:westeurope/queue", 1));
    let (_, properties) = world.site(THERE).queue.snapshot().remove(0);
    assert!(!properties.contains_key(property::FORWARDED_BY), "its origin takes it as a producer's");
    world.drain(10);
    assert!(version(&world, HERE, "k").is_some());
    assert_eq!(version(&world, HERE, "k"), version(&world, THERE, "k"));
}

/// Straight into a store nothing goes that the fences refuse, whatever site is asked.
#[test]
fn a_store_is_fenced_like_a_queue() {
    for (timestamp, reason) in [("2099-01-01T00:00:00Z", "clock_skew"), (OLD, "too_old")] {
        for origin in [HERE, THERE] {
            let world = world();
            let body = old(origin).replace(OLD, timestamp);
            with(&world, letter(1, &body, "peer_unavailable", THERE));
            for target in ["azure:westeurope/store", "aws:us-east-1/store"] {
                let (entry, tally) = replayed(&world, target, false);
                assert_eq!((entry.refused.unwrap().reason.as_str(), tally.left), (reason, 1), "{origin} {target}");
            }
            assert!(world.sites.values().all(|site| site.store.snapshot().is_empty()));
        }
    }
}

/// What a producer wrote into the bridge's properties goes nowhere, and neither does what a letter says.
#[test]
fn no_property_of_a_letter_travels() {
    let world = world();
    let mut letter = letter(1, &body(1, HERE, "k", 1), "peer_unavailable", THERE);
    for (name, value) in [
        ("bridge_attempt", "25"),
        ("bridge_first_seen", "2026-11-21T00:00:00Z"),
        ("bridge_copy_of", "m"),
        ("bridge_detail", "x"),
        ("bridge_whatever", "x"),
        ("traceparent", "nonsense"),
        ("tracestate", "\u{1}"),
        ("application", "shop"),
    ] {
        letter.properties.insert(name.to_owned(), value.to_owned());
    }
    with(&world, letter);
    let (_, tally) = replayed(&world, "owed", false);
    let (_, properties) = world.site(THERE).queue.snapshot().remove(0);
    let names: Vec<&str> = properties.keys().map(String::as_str).collect();
    assert_eq!((tally.removed, names), (1, vec![property::EVENT_ID, property::FORWARDED_BY]));
}
