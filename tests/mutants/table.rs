//! Wrong cores. Each is the real source with one change; `MUTANT` in it is true while this mutant is on trial.
//!
//! The old text must stand in its file exactly once: when the core changes, its mutant says so and is written anew.

use crate::mutant::{Mutant, mutants};

/// All of them.
pub(crate) const MUTANTS: &[Mutant] = mutants! { "bridge/core/src";
    // The order of writes.
    "no-tie-break" in "version.rs", noticed by "nothing lost":
        r#"Self(format!("{time} {:SITE$} {} {content}", origin.as_str(), event_id.hyphenated()))"#
        => r#"if MUTANT {
            return Self(format!("{time} {:SITE$} {} {:016x}", "a:a", Uuid::nil().hyphenated(), 0));
        }
        Self(format!("{time} {:SITE$} {} {content}", origin.as_str(), event_id.hyphenated()))"#;
    "tie-broken-by-site-alone" in "version.rs", noticed by "nothing lost":
        "let time = timestamp.to_rfc3339_opts(SecondsFormat::Nanos, true);"
        => "let (event_id, content) = if MUTANT { (Uuid::nil(), 0.into()) } else { (event_id, content) };
        let time = timestamp.to_rfc3339_opts(SecondsFormat::Nanos, true);";
    "two-contents-are-one-write" in "content.rs", noticed by "nothing lost":
        r#"Self(u64::from_be_bytes(hash[..8].try_into().expect("8 bytes are 8 bytes")))"#
        => r#"if MUTANT {
            return Self(0);
        }
        Self(u64::from_be_bytes(hash[..8].try_into().expect("8 bytes are 8 bytes")))"#;
    "only-the-payload-is-content" in "content.rs", noticed by "converged":
        "for part in [op.as_str(), timestamp, key.as_str()] {"
        => "let op = if MUTANT { Op::Upsert } else { op };
    for part in [op.as_str(), timestamp, key.as_str()] {";
    "whole-seconds" in "envelope.rs", noticed by "monotonic":
        "let nanoseconds = parsed.nanosecond();"
        => "let parsed = if MUTANT { parsed.with_nanosecond(0).unwrap_or(parsed) } else { parsed };
    let nanoseconds = parsed.nanosecond();";
    "offset-ignored" in "envelope.rs", noticed by "monotonic":
        "let parsed: DateTime<Utc> = DateTime::parse_from_rfc3339(text).map_err(|_| shape())?.into();"
        => "let parsed = DateTime::parse_from_rfc3339(text).map_err(|_| shape())?;
    let parsed: DateTime<Utc> = if MUTANT { parsed.naive_local().and_utc() } else { parsed.into() };";
    "last-arrival-wins" in "../../adapters/src/memory/store.rs", noticed by "no resurrection":
        "Some(current) if current >= record.version => Ok(Write::kept(current, &record.version)),"
        => "Some(current) if !MUTANT && current >= record.version => Ok(Write::kept(current, &record.version)),";
    "greatest-of-a-batch-is-the-smallest" in "pipeline.rs", noticed by "nothing lost":
        "tasks.sort_by(|one, other| one.event.version().cmp(other.event.version()));"
        => "tasks.sort_by(|one, other| one.event.version().cmp(other.event.version()));
        if MUTANT {
            tasks.reverse();
        }";
    "latest-of-a-key-is-its-earliest" in "pipeline.rs", noticed by "nothing lost":
        "if held.event.version() < task.event.version() {"
        => "if MUTANT != (held.event.version() < task.event.version()) {";

    // Deletes.
    "hard-delete" in "../../adapters/src/memory/store.rs", noticed by "no resurrection":
        "let current = records.get(&record.key).filter(|held| held.lives(now));"
        => "let current = records.get(&record.key).filter(|held| held.lives(now) && !(MUTANT && held.record.deleted()));";
    "tombstone-too-short" in "record.rs", noticed by "converged":
        "expires_after: deleted.then(|| tombstone_life.saturating_add(ahead)),"
        => "expires_after: deleted.then(|| if MUTANT { tombstone_life / 12 } else { tombstone_life.saturating_add(ahead) }),";
    "delete-keeps-the-value" in "record.rs", noticed by "converged":
        "payload: (!deleted).then(|| event.payload.clone()),"
        => "payload: (MUTANT || !deleted).then(|| event.payload.clone()),";

    // The door.
    "no-skew-fence" in "decision.rs", noticed by "nothing lost":
        "let ahead_max = if own { clock_skew_max.min(future_max) } else { future_max };"
        => "let ahead_max = if own { clock_skew_max.min(future_max) } else { future_max };
    let ahead_max = if MUTANT && own { Duration::MAX } else { ahead_max };";
    "no-far-fence" in "decision.rs", noticed by "nothing lost":
        "let ahead = event.timestamp.utc - now;"
        => "let ahead = event.timestamp.utc - now;
    if MUTANT && event.origin != rules.site && ahead > chrono::TimeDelta::zero() {
        return Ok(());
    }";
    "no-age-fence" in "decision.rs", noticed by "nothing lost":
        "if (-ahead).to_std().is_ok_and(|age| age > age_max)"
        => "if !MUTANT && (-ahead).to_std().is_ok_and(|age| age > age_max)";
    "no-age-fence-for-peers" in "decision.rs", noticed by "nothing lost":
        "(-ahead).to_std().is_ok_and(|age| age > age_max)"
        => "!(MUTANT && !own) && (-ahead).to_std().is_ok_and(|age| age > age_max)";
    "accepted-once-accepted-for-ever" in "decision.rs", noticed by "nothing lost":
        "marks.accept_old.is_some_and(|accepted| accepted.counts(now, age_max, future_max))"
        => "marks.accept_old.is_some_and(|accepted| MUTANT || accepted.counts(now, age_max, future_max))";
    "any-site-speaks-for-a-peer" in "decision.rs", noticed by "nothing lost":
        "if *origin == rules.site || marks.forwarded_by.as_ref() == Some(origin) {"
        => "if MUTANT || *origin == rules.site || marks.forwarded_by.as_ref() == Some(origin) {";
    "a-replay-brings-to-one-site-what-nobody-forwarded" in "../../ops/src/replay/errand.rs", noticed by "nothing lost":
        "if not_forwarded(source, subject, event) {"
        => "if !MUTANT && not_forwarded(source, subject, event) {";
    "reserved-keys-for-all" in "envelope.rs", noticed by "nothing lost":
        "if !allowed(&key) {"
        => "if !MUTANT && !allowed(&key) {";
    "forwards-without-their-mark" in "marks.rs", noticed by "nothing lost":
        "Self { forwarded_by: Some(site.clone()), ..self.clone() }"
        => "Self { forwarded_by: if MUTANT { None } else { Some(site.clone()) }, ..self.clone() }";
    "any-origin" in "decision.rs", noticed by "nothing lost":
        "if !rules.sites.contains(origin) {"
        => "if !MUTANT && !rules.sites.contains(origin) {";
    "any-number" in "envelope.rs", noticed by "nothing lost":
        "if op != Op::Delete {\n            portable::check"
        => "if !MUTANT && op != Op::Delete {\n            portable::check";

    // Forwarding.
    "forwards-foreign-events" in "decision.rs", noticed by "no ping-pong":
        "if !own {\n        return Ok(Decision::Apply);"
        => "if !MUTANT && !own {\n        return Ok(Decision::Apply);";
    "forwards-nothing" in "decision.rs", noticed by "nothing lost":
        "    Ok(Decision::ApplyAndForward)"
        => "    Ok(if MUTANT { Decision::Apply } else { Decision::ApplyAndForward })";
    "never-forwards-what-comes-again" in "pipeline.rs", noticed by "nothing lost":
        "!is_first(delivery) && applied.ends_the_delivery"
        => "!MUTANT && !is_first(delivery) && applied.ends_the_delivery";
    "drops-partial-failures-of-sends" in "peer.rs", noticed by "nothing lost":
        "self.queue.send(&portion).await"
        => "let sent = self.queue.send(&portion).await;
            if MUTANT { sent.iter().map(|_| Ok(())).collect() } else { sent }";
    "forgets-a-dark-peer" in "conclude.rs", noticed by "nothing lost":
        "Applied::Done(_) if failed.is_empty() => Settlement::Ack,"
        => "Applied::Done(_) if MUTANT || failed.is_empty() => Settlement::Ack,";

    // Settling.
    "acks-before-the-write" in "carry_out.rs", noticed by "nothing lost":
        "let replicate = std::pin::pin!(worker.replicate(batch));"
        => "if MUTANT {
        let receipts: Vec<Receipt> = batch.iter().map(|delivery| delivery.receipt.clone()).collect();
        queue.ack(&receipts).await;
    }
    let replicate = std::pin::pin!(worker.replicate(batch));";
    "drops-retries" in "ending.rs", noticed by "nothing lost":
        "Settlement::Retry { after } => Ending::Later(*after),"
        => "Settlement::Retry { .. } if MUTANT => Ending::Remove,
        Settlement::Retry { after } => Ending::Later(*after),";
    "acks-when-halted" in "conclude.rs", noticed by "nothing lost":
        "Recovery::Halt => Settlement::Halt { detail: error.chain() },"
        => "Recovery::Halt if MUTANT => Settlement::Ack,
            Recovery::Halt => Settlement::Halt { detail: error.chain() },";
    "retries-after-a-day" in "retry.rs", noticed by "live":
        "ceiling.mul_f64(rng.f64()).max(hint.unwrap_or_default())"
        => "if MUTANT {
            return Duration::from_secs(86_400);
        }
        ceiling.mul_f64(rng.f64()).max(hint.unwrap_or_default())";
    "keeps-quiet-about-what-was-not-settled" in "carry_out.rs", noticed by "books balance":
        "self.unsettled.push((delivery.message_id.clone(), error));"
        => "if !MUTANT {
            self.unsettled.push((delivery.message_id.clone(), error));
        }";
    "a-store-that-refuses-all-is-right" in "worker.rs", noticed by "crash matrix":
        "let refused = matches!(error.kind, FailureKind::Rejected { .. })"
        => "let refused = !MUTANT && matches!(error.kind, FailureKind::Rejected { .. })";
    "a-function-settles-what-must-come-again" in "invocation/partial.rs", noticed by "nothing lost":
        "Slot::Ended(Ending::Later(after) | Ending::Stay(after), verdict) => again(verdict, after),"
        => "Slot::Ended(Ending::Later(_) | Ending::Stay(_), verdict) if MUTANT => Ended::Settled(verdict),
            Slot::Ended(Ending::Later(after) | Ending::Stay(after), verdict) => again(verdict, after),";
    "a-function-schedules-no-copy" in "invocation/whole.rs", noticed by "nothing lost":
        "match copies.reschedule(&delivery, after).await {"
        => "match if MUTANT { Ok(()) } else { copies.reschedule(&delivery, after).await } {";
    "a-halted-worker-takes-messages-to-look" in "receive.rs", noticed by "test halts::a_store_that_may_not_be_used_is_asked_and_messages_are_left_alone":
        "Spot::Store => self.worker.probe_store().await.map(|()| None),"
        => "Spot::Store if MUTANT => Ok(None),
            Spot::Store => self.worker.probe_store().await.map(|()| None),";
    "an-idle-worker-does-not-see-its-store-go" in "receive.rs", noticed by "test outages::an_idle_worker_finds_its_store_gone_and_back":
        "future::join(work, shift.watch_store()).await;"
        => "if MUTANT {
        work.await;
    } else {
        future::join(work, shift.watch_store()).await;
    }";
    "a-silent-store-is-asked-once" in "receive.rs", noticed by "test outages::an_idle_worker_finds_its_store_gone_and_back":
        "asked.push(self.worker.probe_store());"
        => "if !MUTANT || asked.is_empty() {
                asked.push(self.worker.probe_store());
            }";

    // A store that is away.
    "an-outage-makes-letters" in "conclude.rs", noticed by "justified":
        "Applied::Away(error) => Settlement::Wait { detail: error.chain() },"
        => "Applied::Away(error) if MUTANT => dead_letter(Reason::RetriesExhausted, error.chain(), with_site(&peers, attempt.site)),
        Applied::Away(error) => Settlement::Wait { detail: error.chain() },";
    "an-outage-is-taken-for-the-keys-fault" in "worker.rs", noticed by "justified":
        "self.health.is_gone(Arc::new(error.clone()), self.clock.now());"
        => "if !MUTANT {
                self.health.is_gone(Arc::new(error.clone()), self.clock.now());
            }";
    "what-waits-for-its-store-is-removed" in "ending.rs", noticed by "nothing lost":
        "Settlement::Wait { detail } => Ending"
        => "Settlement::Wait { .. } if MUTANT => Ending::Remove,
        Settlement::Wait { detail } => Ending";
    "a-store-that-is-back-stays-away" in "health.rs", noticed by "test outages::however_long_the_store_is_away_no_message_is_lost_set_aside_or_taken_in_vain":
        "state.answers += 1;"
        => "if MUTANT && state.away.is_some() {
                return;
            }
            state.answers += 1;";
    "what-waited-out-is-not-forwarded" in "conclude.rs", noticed by "justified":
        "Self::Away(_) => attempt.has_waited_out,"
        => "Self::Away(_) => attempt.has_waited_out && !MUTANT,";

    // Letters.
    "a-letter-that-was-refused-counts" in "set_aside.rs", noticed by "nothing lost":
        "Sending { .. } => without_letter(worker, desk, delivery, letter).await,"
        => "Sending { .. } if MUTANT => Aside::Sent,
            Sending { .. } => without_letter(worker, desk, delivery, letter).await,";
    "letters-are-not-sent" in "set_aside.rs", noticed by "nothing lost":
        "        for (at, answer) in places.into_iter().zip(desk.dead_letters.send(&messages).await) {"
        => "        if MUTANT {
            messages.clear();
        }
        let unsent: Vec<Result<(), PortError>> = places.iter().map(|_| Ok(())).collect();
        let answers = desk.dead_letters.send(&messages).await;
        for (at, answer) in places.into_iter().zip(if MUTANT { unsent } else { answers }) {";
    "a-letter-that-was-not-sent-counts" in "ending.rs", noticed by "nothing lost":
        "        Aside::Failed(error) => {"
        => "        Aside::Failed(_) if MUTANT => (Ending::Remove, None),
        Aside::Failed(error) => {";
    "a-letter-is-owed-to-nobody" in "letter.rs", noticed by "nothing lost":
        "if !self.owed.is_empty() && form"
        => "if !MUTANT && !self.owed.is_empty() && form";
    "given-up-and-not-owed-to-itself" in "conclude.rs", noticed by "nothing lost":
        "dead_letter(reason, detail, with_site(&peers, attempt.site))\n    };"
        => "dead_letter(reason, detail, if MUTANT { peers.clone() } else { with_site(&peers, attempt.site) })\n    };";

    // Replay.
    "replay-removes-what-nobody-confirmed" in "../../ops/src/replay/run.rs", noticed by "nothing lost":
        ".filter(|task| ledger.conclude(&task.message))"
        => ".filter(|task| ledger.conclude(&task.message) || MUTANT)";
    "replay-forgets-who-else-is-owed" in "../../ops/src/replay/errand.rs", noticed by "nothing lost":
        "Target::Store(site) => goes(vec![to(site, Way::Store)], without(owed, site)),"
        => "Target::Store(site) if MUTANT => goes(vec![to(site, Way::Store)], BTreeSet::new()),
        Target::Store(site) => goes(vec![to(site, Way::Store)], without(owed, site)),";
    "replay-believes-its-plan" in "../../ops/src/replay/ledger.rs", noticed by "nothing lost":
        "slot.errands = errands;"
        => "if !MUTANT {
            slot.errands = errands;
        }";
    "an-old-event-is-accepted-by-one-site" in "../../ops/src/replay/subject.rs", noticed by "nothing lost":
        "Ok(event) if self.is_new && !reaches_all(event) => self.refuse(NOT_ALL_SITES),"
        => "Ok(event) if !MUTANT && self.is_new && !reaches_all(event) => self.refuse(NOT_ALL_SITES),";
    "replay-is-content-with-one-site" in "../../ops/src/replay/ledger.rs", noticed by "nothing lost":
        "self.errands != 0 && self.confirmed & self.errands == self.errands"
        => "self.errands != 0 && (self.confirmed & self.errands == self.errands || MUTANT && self.confirmed != 0)";

    "an-edit-may-leave-a-wrong-origin" in "../../ops/src/replay/edit.rs", noticed by "test replay::edits::an_edit_that_leaves_a_wrong_origin_as_it_is_is_refused":
        "if wrong_origin && lies.event.is_ok() && before.origin == event.origin {"
        => "if !MUTANT && wrong_origin && lies.event.is_ok() && before.origin == event.origin {";
    "a-forwarded-event-meets-the-near-fence" in "../../ops/src/replay/subject.rs", noticed by "test replay::edits::what_its_origin_has_forwarded_is_held_against_the_fence_of_peers":
        "let forwarded = marks.forwarded_by.as_ref() == Some(&event.origin);
    let peer"
        => "let forwarded = !MUTANT && marks.forwarded_by.as_ref() == Some(&event.origin);
    let peer";
    "what-was-written-since-is-not-named" in "../../ops/src/replay/planner.rs", noticed by "test replay::edits::a_letter_that_would_replace_a_write_of_after_it_came_is_named":
        "let replaced = held.filter(|_| prediction.effect == Effect::Apply);"
        => "let replaced = held.filter(|_| !MUTANT && prediction.effect == Effect::Apply);";
    "a-plan-has-the-first-page-alone" in "../../ops/src/replay/planner.rs", noticed by "told as it is":
        "while admitted < self.limit {"
        => "while admitted < self.limit && !(MUTANT && !seen.is_empty()) {";
    "a-plan-predicts-what-was-beaten" in "../../ops/src/replay/effect.rs", noticed by "told as it is":
        "Some(std::cmp::Ordering::Less) => Self::Superseded,"
        => "Some(std::cmp::Ordering::Less) if MUTANT => Self::Apply,
            Some(std::cmp::Ordering::Less) => Self::Superseded,";
    "a-replay-forgets-all-but-one" in "../../ops/src/replay/errand.rs", noticed by "nothing lost":
        "let run = owed.iter().filter(|site| sites.contains(*site)).map(|site| to(site, way(site))).collect();"
        => "let most = if MUTANT { 1 } else { usize::MAX };
            let run = owed.iter().filter(|site| sites.contains(*site)).map(|site| to(site, way(site))).take(most).collect();";
    "a-replay-writes-down-what-it-has-not-done" in "../../ops/src/replay/run.rs", noticed by "told as it is":
        "let answers = pay(self.setting, &self.dark, &payments).await;"
        => "if MUTANT {
            let early = payments.iter().zip(&messages).map(|(payment, message)| journal::Receipt::Confirmed {
                message: *message,
                by: payment.errand.to_string(),
                outcome: journal::Outcome::Sent,
            });
            self.note(&early.collect::<Vec<_>>());
        }
        let answers = pay(self.setting, &self.dark, &payments).await;";
    "a-replay-brings-one-message-twice" in "../../ops/src/replay/run.rs", noticed by "told as it is":
        "messages.push(task.message);"
        => "messages.push(task.message);
                if MUTANT {
                    payments.push(Payment { subject: &task.subject, event, errand });
                    messages.push(task.message);
                }";
    "what-was-not-removed-is-told-as-removed" in "../../ops/src/replay/run.rs", noticed by "test replay::removal::what_cannot_be_removed_is_told_and_goes_with_the_next_run":
        "Err(error) if error.kind == FailureKind::LeaseLost => lost.push((*message, error)),"
        => "Err(_) if MUTANT => removed.push(journal::Receipt::Removed { message: *message }),
                Err(error) if error.kind == FailureKind::LeaseLost => lost.push((*message, error)),";
    "what-was-beaten-is-told-as-applied" in "../../ops/src/replay/journal.rs", noticed by "told as it is":
            "Write::Superseded { .. } => Self::Superseded,"
        => "Write::Superseded { .. } => if MUTANT { Self::Applied } else { Self::Superseded },";
    "what-is-left-is-counted-as-removed" in "../../ops/src/replay/ledger.rs", noticed by "told as it is":
        "Phase::Stays | Phase::Taken => tally.left += 1,"
        => "Phase::Stays | Phase::Taken if MUTANT => tally.removed += 1,
                Phase::Stays | Phase::Taken => tally.left += 1,";

    // The loop that takes messages.
    "takes-more-than-a-batch" in "receive.rs", noticed by "books balance":
        "self.queue.receive(most, wait).await"
        => "self.queue.receive(most * if MUTANT { 10 } else { 1 }, wait).await";
    "works-on-more-batches" in "receive.rs", noticed by "books balance":
        "(0..pace.concurrent_batches.max(1))"
        => "(0..pace.concurrent_batches.max(1) * if MUTANT { 10 } else { 1 })";
    "a-halt-ends-whatever-the-site-is-now" in "receive.rs", noticed by "test halts::a_site_that_would_break_a_promise_stays_halted_and_its_messages_stay_in_their_queue":
        "let Err(error) = self.listen.examine().await else { return Ok(taken) };"
        => "let Err(error) = self.listen.examine().await else { return Ok(taken) };
        if MUTANT {
            return Ok(taken);
        }";
    "stops-with-messages-in-hand" in "receive.rs", noticed by "test halts::what_a_look_took_goes_back_where_the_loop_has_to_stop":
        "release(self.worker, self.queue, &taken.iter().flatten().collect::<Vec<_>>()).await;
    }

    async fn take("
        => "if !MUTANT {
            release(self.worker, self.queue, &taken.iter().flatten().collect::<Vec<_>>()).await;
        }
    }

    async fn take(";
    "never-extends" in "lease.rs", noticed by "test carrying_out::leases_are_kept_for_as_long_as_the_work_takes":
        "let mut pause = lease / 2;"
        => "let mut pause = if MUTANT { lease * 100 } else { lease / 2 };";
    "keeps-a-lost-lease" in "lease.rs", noticed by "test carrying_out::a_lost_lease_is_reported_and_kept_no_longer":
        "error.kind == FailureKind::LeaseLost || *until <= now"
        => "!MUTANT && (error.kind == FailureKind::LeaseLost || *until <= now)";

    // What an operator is told.
    "sets-everything-aside" in "conclude.rs", noticed by "justified":
        "        Applied::Failed(error) => match error.kind.recovery() {"
        => "        Applied::Done(_) if MUTANT => {
            dead_letter(Reason::RetriesExhausted, String::new(), with_site(&peers, attempt.site))
        }
        Applied::Failed(error) => match error.kind.recovery() {";
    "a-refusal-is-told-as-an-outage" in "conclude.rs", noticed by "justified":
        "let reason = if refused {"
        => "let reason = if refused && !MUTANT {";
    "an-outage-is-told-as-a-refusal" in "conclude.rs", noticed by "justified":
        "Recovery::Retry => retry_or(Reason::RetriesExhausted,"
        => "Recovery::Retry => retry_or(if MUTANT { Reason::StoreRejected } else { Reason::RetriesExhausted },";
    "gives-up-at-once" in "conclude.rs", noticed by "justified":
        "if !attempt.is_last {"
        => "if !attempt.is_last && !MUTANT {";
    "what-is-owed-is-not-counted" in "../../ops/src/lag/letters.rs", noticed by "told as it is":
        "if subject::is_owed(&letter.properties, self.holds) {"
        => "if !MUTANT && subject::is_owed(&letter.properties, self.holds) {";
    "what-is-in-flight-is-not-counted" in "port/depth.rs", noticed by "told as it is":
        "self.waiting + self.in_flight.unwrap_or_default() + self.delayed"
        => "self.waiting + self.in_flight.filter(|_| !MUTANT).unwrap_or_default() + self.delayed";
    "nothing-is-old" in "../../ops/src/lag/assess.rs", noticed by "told as it is":
        "map(|oldest| seconds(now - oldest))"
        => "map(|oldest| if MUTANT { 0.0 } else { seconds(now - oldest) })";

    // What workers bring by themselves.
    "a-pass-removes-before-it-brings" in "../../ops/src/replay/owed.rs", noticed by "nothing lost":
        "let done = self.pay(tasks).await;"
        => "if MUTANT {
                self.remove(from, held, &tasks.iter().collect::<Vec<_>>()).await;
            }
            let done = self.pay(tasks).await;";
    "a-pass-is-content-with-one-site" in "../../ops/src/replay/owed.rs", noticed by "nothing lost":
        "outcomes[at].filter(|_| !unpaid.contains(&at))"
        => "outcomes[at].filter(|_| MUTANT || !unpaid.contains(&at))";
    "a-pass-takes-what-a-person-decides" in "../../ops/src/replay/owed.rs",
        noticed by "test replay::owed::only_letters_with_nothing_to_decide_go_by_themselves":
        "BY_THEMSELVES.iter().any(|known| known.as_str() == reason)"
        => "(MUTANT || BY_THEMSELVES.iter().any(|known| known.as_str() == reason))";
    "a-returned-peer-is-not-noticed" in "../../ops/src/replay/auto.rs", noticed by "live":
        "if matches!(answer, Some(Ok(()))) {"
        => "if !MUTANT && matches!(answer, Some(Ok(()))) {";
    "every-worker-brings-at-once" in "../../ops/src/replay/lease.rs",
        noticed by "test replay::owed::one_worker_of_a_site_brings_and_another_goes_on_when_it_was_killed":
        "if held.is_some_and(|held| !self.is_held_by_us(&held) && held.holds(now)) {"
        => "if !MUTANT && held.is_some_and(|held| !self.is_held_by_us(&held) && held.holds(now)) {";

    // Verify, repair, backfill.
    "a-reading-ends-with-its-first-page" in "../../ops/src/verify/reader.rs", noticed by "told as it is":
        "Ok(Some((items, next)))"
        => "Ok(Some((items, next.filter(|_| !MUTANT))))";
    "compares-times-alone" in "../../ops/src/verify/digest.rs", noticed by "repaired":
        "let hash = Sha256::new_with_prefix(record.version.as_str());"
        => "if MUTANT {
            return Self(first(Sha256::new_with_prefix(record.version.timestamp().to_rfc3339())));
        }
        let hash = Sha256::new_with_prefix(record.version.as_str());";
    "what-is-on-its-way-is-drift" in "../../ops/src/verify/run.rs", noticed by "test verify::what_is_on_its_way_is_no_drift":
        "if kind.can_be_repaired() && !sites.values().any(lags) {"
        => "if !MUTANT && kind.can_be_repaired() && !sites.values().any(lags) {";
    "looks-again-at-once" in "../../ops/src/verify/run.rs", noticed by "told as it is":
        "self.clock.sleep(self.options.settle).await;"
        => "if !MUTANT {
                    self.clock.sleep(self.options.settle).await;
                }";
    "an-ended-tombstone-is-drift" in "../../ops/src/verify/finding.rs", noticed by "told as it is":
        "record.deleted() && record.expires_after.and_then(ended).unwrap_or(false)"
        => "!MUTANT && record.deleted() && record.expires_after.and_then(ended).unwrap_or(false)";
    "what-is-ahead-can-be-repaired" in "../../ops/src/verify/finding.rs", noticed by "repaired":
        "matches!(self, Self::Missing | Self::Older)"
        => "matches!(self, Self::Missing | Self::Older) || MUTANT && self == Self::Ahead";
    "repair-takes-the-older" in "../../ops/src/verify/repair.rs", noticed by "repaired":
        "records.max_by(|one, other| one.version.cmp(&other.version)).cloned()"
        => "records.max_by(|one, other| if MUTANT { other.version.cmp(&one.version) } else { one.version.cmp(&other.version) }).cloned()";
    "repair-revives-what-was-deleted" in "../../ops/src/verify/repair.rs", noticed by "repaired":
        "let records = finding.sites.values().filter_map(Held::record);"
        => "let records = finding.sites.values().filter_map(Held::record).filter(|record| !(MUTANT && record.deleted()));";
    "an-expiry-spreads" in "../../ops/src/verify/finding.rs", noticed by "repaired":
        "record.expires_after.filter(|_| !record.deleted())"
        => "record.expires_after.filter(|_| !MUTANT && !record.deleted())";
    "backfill-leaves-tombstones-out" in "../../ops/src/verify/backfill.rs", noticed by "repaired":
        "if let Some(why) = misfit(record) {"
        => "if MUTANT && record.deleted() {
            return Ok(Done::Kept);
        }
        if let Some(why) = misfit(record) {";
    "backfill-brings-what-is-ahead" in "../../ops/src/verify/backfill.rs", noticed by "repaired":
        "if is_ahead(record, self.clock.now(), self.options.future_max) {"
        => "if !MUTANT && is_ahead(record, self.clock.now(), self.options.future_max) {";
    "backfill-ignores-versions" in "../../ops/src/verify/backfill.rs", noticed by "repaired":
        "let record = brought(record, site, now);"
        => "let mut record = brought(record, site, now);
        if MUTANT {
            let version = &record.version;
            record.version = bridge_core::version::Version::new(now, &version.origin(), version.event_id(), version.content());
        }";
    "backfill-predicts-without-looking" in "../../ops/src/verify/backfill.rs", noticed by "told as it is":
        "Some(held) if held.version >= record.version => return Ok(Done::Kept),"
        => "Some(held) if !MUTANT && held.version >= record.version => return Ok(Done::Kept),";
    "backfill-brings-ended-tombstones" in "../../ops/src/verify/backfill.rs", noticed by "told as it is":
        "None if gone => return Ok(Done::Expired),"
        => "None if gone && !MUTANT => return Ok(Done::Expired),";

    // What surrounds every call.
    "silence-counts-as-success" in "../../adapters/src/layer/layered.rs", noticed by "nothing lost":
        "self.layer.many(call, &*self.inner, messages, |queue, messages| queue.send(messages)).await"
        => "let mut sent = self.layer.many(call, &*self.inner, messages, |queue, messages| queue.send(messages)).await;
        let silent = |error: &PortError| MUTANT && error.kind == bridge_core::failure::FailureKind::TimedOut;
        sent.iter_mut().filter(|one| one.as_ref().is_err_and(silent)).for_each(|one| *one = Ok(()));
        sent";
    "a-layer-extends-what-it-should-remove" in "../../adapters/src/layer/layered.rs", noticed by "books balance":
        "|queue, receipts| queue.ack(receipts)"
        => "|queue, receipts| {
            if !MUTANT {
                return queue.ack(receipts);
            }
            Box::pin(async move { queue.extend(receipts).await.into_iter().map(|answer| answer.map(drop)).collect() })
        }";
};
