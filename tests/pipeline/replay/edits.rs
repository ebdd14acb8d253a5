//! What `--edit-with` may change, and where a changed event goes.

use async_trait::async_trait;
use bridge_core::{property, reason::Refusal};
use bridge_ops::replay::{filter::Filter, setting::Editor};
use bytes::Bytes;

use super::*;

/// An editor that replaces texts, all of them.
struct Replace(&'static [(&'static str, &'static str)]);

#[async_trait]
impl Editor for Replace {
    async fn edit(&self, body: &Bytes) -> Result<Bytes, Refusal> {
        let text = String::from_utf8_lossy(body).into_owned();
        Ok(self.0.iter().fold(text, |text, (old, new)| text.replace(old, new)).into())
    }
}

const NEW_NAME: (&str, &str) = ("00000000-0000-0000-0000-000000000001", "00000000-0000-0000-0000-0000000000ff");

const LATER: (&str, &str) = ("01:02:04", "01:02:05");

fn edited<'a>(world: &World, to: &str, editor: &'a Replace, valid: bool) -> Setting<'a> {
    Setting { editor: Some(editor), edit_valid: valid, ..setting(world, "aws:us-east-1/dlq", to) }
}

/// One letter in the dead letters of one site.
fn with_letter(body: &str, reason: &str, owed: &str) -> World {
    let world = world();
    world.clock.drive(world.site(HERE).letters.send(&[letter(1, body, reason, owed)]));
    world
}

fn valid() -> String {
    body(1, HERE, "k", 1)
}

/// What the plan says of the one letter, and whether the run has removed it.
fn replayed(world: &World, setting: &Setting<'_>) -> (Entry, bool) {
    let entry = world.clock.drive(plan(setting)).remove(0);
    let (end, tallies) = world.clock.drive(run(setting, std::slice::from_ref(&entry), &Kept::default()));
    assert!(matches!(end, End::Finished), "{end:?}");
    let removed = tallies.values().map(|tally| tally.removed).sum::<u64>() == 1;
    assert_eq!(removed, world.site(HERE).letters.snapshot().is_empty());
    (entry, removed)
}

#[test]
fn a_valid_letter_is_brought_as_it_is() {
    let world = with_letter(&valid(), "peer_unavailable", THERE);
    let (entry, removed) = replayed(&world, &edited(&world, "owed", &Replace(&[("\"k\"", "\"other\"")]), false));
    assert!(removed && entry.key.as_deref() == Some("k"), "{entry:?}");
    let (sent, _) = world.site(THERE).queue.snapshot().remove(0);
    assert_eq!(sent, valid());
}

#[test]
fn an_edit_of_a_valid_letter_under_its_old_name_is_refused() {
    let edits: [&'static [(&str, &str)]; 4] = [
        &[("\"k\"", "\"other\"")],
        &[("upsert", "delete")],
        &[("upsert", "update")],
        &[("\"payload\":{", "\"payload\":{\"more\":1,")],
    ];
    for edit in edits {
        for target in ["owed", "aws:us-east-1/queue", "azure:westeurope/store"] {
            let world = with_letter(&valid(), "peer_unavailable", THERE);
            let (entry, removed) = replayed(&world, &edited(&world, target, &Replace(edit), true));
            assert!(!removed, "{edit:?} {target}");
            let refused = entry.refused.unwrap();
            assert!(refused.detail.contains("Give it a new event_id and timestamp"), "{refused:?}");
            assert_eq!(entry.event_id.as_deref(), Some(NEW_NAME.0), "the plan tells which event it is");
            assert!(
                world.sites.values().all(|site| site.queue.snapshot().is_empty() && site.store.snapshot().is_empty())
            );
        }
    }
}

/// A new event, whoever the letter says is owed the old one: its origin's worker brings it to all.
#[test]
fn an_edit_under_a_new_name_goes_to_all_sites_through_its_origin() {
    let world = with_letter(&valid(), "peer_unavailable", THERE);
    let edit = Replace(&[NEW_NAME, LATER, ("\"payload\":{", "\"payload\":{\"more\":1,")]);
    let (entry, removed) = replayed(&world, &edited(&world, "owed", &edit, true));
    assert!(removed);
    let to: Vec<&str> = entry.errands.iter().map(|errand| errand.to.as_str()).collect();
    assert_eq!(to, ["aws:us-east-1/queue"]);
    world.drain(10);
    assert_eq!(version(&world, HERE, "k"), version(&world, THERE, "k"));
    assert!(version(&world, HERE, "k").is_some());
}

#[test]
fn a_new_event_reaches_all_sites_or_none() {
    let edit = Replace(&[NEW_NAME, LATER, ("upsert", "delete")]);
    for target in ["azure:westeurope/store", "azure:westeurope/queue"] {
        let world = with_letter(&valid(), "peer_unavailable", THERE);
        let (entry, removed) = replayed(&world, &edited(&world, target, &edit, true));
        assert!(!removed && entry.refused.unwrap().detail.contains("--to owed"), "{target}");
    }
}

/// Of a message that no site took, no site has anything: also where its letter lies at a peer of its origin, who else would
/// count as the only one who lacks it.
#[test]
fn a_mended_message_goes_to_all_sites_through_its_origin() {
    let broken = body(1, THERE, "k", 1).replace("upsert", "upsrt");
    let world = with_letter(&broken, "invalid_event", "");
    let (entry, removed) = replayed(&world, &edited(&world, "owed", &Replace(&[("upsrt", "upsert")]), false));
    assert!(removed && entry.errands[0].to == "azure:westeurope/queue" && entry.errands.len() == 1, "{entry:?}");
    world.drain(10);
    assert_eq!(version(&world, HERE, "k"), version(&world, THERE, "k"));
    assert!(version(&world, HERE, "k").is_some());
}

/// An excerpt holds the head of a message, whose rest lies elsewhere: an event made of it would lose that rest.
#[test]
fn an_excerpt_is_never_edited() {
    let world = world();
    let mut excerpt = letter(1, &valid().replace("upsert", "upsrt"), "too_large", "");
    excerpt.properties.insert(property::BODY_SHA256.to_owned(), "0".repeat(64));
    world.clock.drive(world.site(HERE).letters.send(&[excerpt]));
    let edit = Replace(&[("upsrt", "upsert")]);
    for every_letter in [false, true] {
        let (entry, removed) = replayed(&world, &edited(&world, "owed", &edit, every_letter));
        assert!(!removed && entry.refused.is_some() && entry.errands.is_empty(), "{entry:?}");
    }
}

/// The wrong origin, put right: the event is new to everybody, its right origin's worker brings it.
#[test]
fn an_event_whose_origin_is_mended_goes_to_its_new_origin() {
    let world = with_letter(&body(1, "aws:mars", "k", 1), "unknown_origin", "");
    let (entry, removed) = replayed(&world, &edited(&world, "owed", &Replace(&[("aws:mars", THERE)]), false));
    assert!(removed && entry.errands[0].to == "azure:westeurope/queue" && entry.errands.len() == 1, "{entry:?}");
}

/// Whoever has the event as it was must end with what it became: so that has to win over it, at every site.
#[test]
fn a_new_event_in_the_place_of_one_that_some_site_has_is_later_and_of_the_same_key() {
    let edits: [&'static [(&str, &str)]; 4] = [
        &[NEW_NAME, LATER, ("\"id\":\"k\"", "\"id\":\"other\"")],
        &[NEW_NAME, ("01:02:04", "01:02:03")],
        &[("00000000-0000-0000-0000-000000000001", "00000000-0000-0000-0000-000000000000")],
        &[("aws:us-east-1", "a:a")],
    ];
    for edit in edits {
        let world = World::by_hand(5, &[HERE, THERE, "a:a"], &policy());
        world.clock.drive(world.site(HERE).letters.send(&[letter(1, &valid(), "peer_unavailable", THERE)]));
        let (entry, removed) = replayed(&world, &edited(&world, "owed", &Replace(edit), true));
        assert!(!removed && entry.refused.unwrap().detail.contains("a later timestamp"), "{edit:?}");
    }
}

/// What only looks different is the same event: its letter says whom it is owed to.
#[test]
fn an_edit_that_changes_nothing_of_the_write_keeps_its_letter() {
    let world = with_letter(&valid(), "peer_unavailable", THERE);
    let edit = Replace(&[("\"op_type\"", " \"note\" : true, \"op_type\"")]);
    let (entry, removed) = replayed(&world, &edited(&world, "owed", &edit, true));
    assert!(removed && entry.errands[0].to == "azure:westeurope/queue" && entry.errands.len() == 1, "{entry:?}");
    assert_eq!(world.site(HERE).queue.len(), 0);
}

/// Not even an event that its own site refuses may become another under its name: a peer may have taken it.
#[test]
fn a_refused_event_keeps_its_name_only_with_its_content() {
    let ahead = valid().replace("2026", "2099");
    let edit = Replace(&[("\"payload\":{", "\"payload\":{\"more\":1,")]);
    let world = with_letter(&ahead, "clock_skew", "");
    let (entry, removed) = replayed(&world, &edited(&world, "owed", &edit, false));
    assert!(!removed);
    assert_eq!(entry.refused.unwrap().reason, "clock_skew", "it is refused for what it is");
    let world = with_letter(&ahead, "clock_skew", "");
    let (entry, removed) = replayed(&world, &edited(&world, "owed", &Replace(&[("2099", "2026")]), false));
    assert!(removed && entry.errands[0].to == "aws:us-east-1/queue", "{entry:?}");
}

/// Keeps each body as it is, and counts them.
#[derive(Default)]
struct Counting(std::sync::atomic::AtomicUsize);

#[async_trait]
impl Editor for Counting {
    async fn edit(&self, body: &Bytes) -> Result<Bytes, Refusal> {
        self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Ok(body.clone())
    }
}

/// An operator looks at one edit before the program runs on thousands of letters.
#[test]
fn a_limit_limits_what_the_program_runs_on() {
    let world = world();
    fill(&world);
    for limit in [1, 2] {
        let editor = Counting::default();
        let setting =
            Setting { editor: Some(&editor), edit_valid: true, ..setting(&world, "aws:us-east-1/dlq", "owed") };
        let entries = world.clock.drive(operator::plan_some(&setting, &Filter::default(), limit)).unwrap();
        assert_eq!((entries.len() as u64, editor.0.into_inner() as u64), (limit, limit));
    }
}

/// Nobody has it, so it keeps its name and its true time: a later write stays.
#[test]
fn the_origin_of_an_event_that_nobody_forwarded_is_put_right_and_nothing_else() {
    let names_the_peer = body(1, THERE, "k", 1);
    let world = with_letter(&names_the_peer, "not_forwarded", "");
    world.send(HERE, &[body(2, HERE, "k", 2)]);
    world.drain(10);
    let later = version(&world, HERE, "k");
    let (entry, removed) = replayed(&world, &edited(&world, "owed", &Replace(&[(THERE, HERE)]), true));
    assert!(removed && entry.errands[0].to == "aws:us-east-1/queue" && entry.errands.len() == 1, "{entry:?}");
    assert!(!entry.replaces_later);
    world.drain(10);
    assert_eq!((version(&world, HERE, "k"), version(&world, THERE, "k")), (later.clone(), later));
}

/// An edit that meets a member of the payload instead.
#[test]
fn an_edit_that_leaves_a_wrong_origin_as_it_is_is_refused() {
    let edit = Replace(&[("\"payload\":{", "\"payload\":{\"source_region\":\"aws:us-east-1\",")]);
    let world = with_letter(&body(1, THERE, "k", 1), "not_forwarded", "");
    let (entry, removed) = replayed(&world, &edited(&world, "owed", &edit, true));
    assert!(!removed && entry.refused.as_ref().unwrap().detail.contains("leaves the event's origin"), "{entry:?}");
    let (entry, removed) = replayed(&world, &setting(&world, "aws:us-east-1/dlq", "owed"));
    assert!(removed && entry.errands[0].to == "azure:westeurope/queue", "as it is, if the origin is right: {entry:?}");
}

/// The origin let it pass, so the near fence is behind it.
#[test]
fn what_its_origin_has_forwarded_is_held_against_the_fence_of_peers() {
    for (forwarded, taken) in [(true, true), (false, false)] {
        let world = world();
        let mut ahead = letter(1, &body(1, THERE, "k", 600), "clock_skew", HERE);
        if forwarded {
            ahead.properties.insert(property::FORWARDED_BY.to_owned(), THERE.to_owned());
        }
        world.clock.drive(world.site(HERE).letters.send(&[ahead]));
        let (entry, removed) = replayed(&world, &setting(&world, "aws:us-east-1/dlq", "owed"));
        assert_eq!((entry.refused.is_none(), removed), (taken, taken), "{entry:?}");
    }
}

/// Its stamp was ahead when it came, or was set later: whoever wrote meanwhile loses.
#[test]
fn a_letter_that_would_replace_a_write_of_after_it_came_is_named() {
    for (stamp, replaces) in [(50, true), (20, false)] {
        let world = with_letter(&body(1, HERE, "k", stamp), "clock_skew", "");
        world.clock.advance(Duration::from_secs(30));
        world.send(HERE, &[body(2, HERE, "k", 30)]);
        world.drain(10);
        let entries = world.clock.drive(plan(&setting(&world, "aws:us-east-1/dlq", "owed")));
        assert_eq!(entries[0].replaces_later, replaces, "{entries:?}");
    }
}
