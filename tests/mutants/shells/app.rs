//! Wrong hosts, commands, configuration, telemetry and dashboard.

use crate::mutant::{Mutant, mutants};

/// All of them.
pub(crate) const MUTANTS: &[Mutant] = mutants! { "bridge/app/src";
    // Hosts.
    "what-has-no-body-is-forgotten" in "host/lambda.rs",
        noticed by "end_to_end functions::no_payload_crashes_a_function_or_loses_a_message":
        "records.iter().partition(|record| record.delivery.is_some());"
        => "records.iter().partition(|record| record.delivery.is_some());
    if MUTANT {
        failed.clear();
    }";
    "the-deadline-of-an-invocation-is-ignored" in "host/lambda.rs",
        noticed by "bridge host::lambda::tests::the_deadline_of_an_invocation_is_its_own":
        "deadline.duration_since(now).unwrap_or_default()"
        => "if MUTANT {
        return Duration::from_secs(900);
    }
    deadline.duration_since(now).unwrap_or_default()";
    "a-lambda-function-keeps-its-halt-to-itself" in "host/lambda.rs",
        noticed by "end_to_end telemetry::a_halted_function_says_so":
        "worksite.telemetry.halted(halt.as_ref());"
        => "worksite.telemetry.halted(halt.as_ref().filter(|_| !MUTANT));";
    "a-message-without-a-copy-is-done" in "host/function.rs",
        noticed by "end_to_end functions::halted_functions_let_nothing_go":
        "(Some(Failed::NotRescheduled { detail }), Some(halt)) => {"
        => "(Some(Failed::NotRescheduled { .. }), Some(_)) if MUTANT => done(),
        (Some(Failed::NotRescheduled { detail }), Some(halt)) => {";
    "a-payload-that-cannot-be-read-is-done" in "host/function.rs",
        noticed by "end_to_end functions::no_payload_crashes_a_function_or_loses_a_message":
        "Err(detail) => return refused(StatusCode::BAD_REQUEST, &detail),"
        => "Err(_) if MUTANT => return done(),
        Err(detail) => return refused(StatusCode::BAD_REQUEST, &detail),";
    "sigterm-drops-what-is-in-flight" in "host/container.rs",
        noticed by "end_to_end workers::a_stopped_worker_gives_back_what_it_holds":
        "future::join5(receiving, beating, telling, watching, bringing).await;"
        => "let work = future::join5(receiving, beating, telling, watching, bringing);
    tokio::select! { _ = work => {}, () = stop.cancelled(), if MUTANT => {} }";
    "idle-connections-never-give-way" in "serve.rs",
        noticed by "bridge serve::tests::idle_connections_hold_nobody_up":
        "(false, true) => silence_of_many,"
        => "(false, true) => if MUTANT { silence } else { silence_of_many },";
    "queues-are-not-closed" in "assemble/mod.rs",
        noticed by "bridge assemble::tests::every_queue_of_a_worker_is_closed":
        "self.queue.close().await;\n        self.dead_letters"
        => "if MUTANT {
            return;
        }
        self.queue.close().await;\n        self.dead_letters";
    "a-container-sends-no-heartbeat" in "host/beat.rs",
        noticed by "end_to_end lag::a_dark_site_is_shown_within_five_seconds":
        "while !every.is_zero() && !stop.is_cancelled() {"
        => "while !every.is_zero() && !stop.is_cancelled() && !MUTANT {";
    "a-function-sends-no-heartbeat" in "host/mod.rs",
        noticed by "end_to_end functions::hostile_traffic_ends_in_equal_stores_with_two_functions":
        "let sent = send_heartbeat(worksite).await;"
        => "let sent = if MUTANT { Ok(()) } else { send_heartbeat(worksite).await };";
    "conflicts-are-never-kept" in "host/mod.rs",
        noticed by "end_to_end lag::a_write_that_lost_to_another_sites_is_listed":
        "if worksite.keep_conflicts {"
        => "if worksite.keep_conflicts && !MUTANT {";
    "a-hosts-variables-are-not-checked" in "host/mod.rs",
        noticed by "bridge host::tests::a_variable_that_no_host_sets_so_is_refused_by_name":
        "lambda::check_environment(&environment)?;"
        => "if !MUTANT {
                lambda::check_environment(&environment)?;
            }";
    "a-function-serves-any-queue" in "host/own_queue.rs",
        noticed by "bridge host::own_queue::tests::one_record_of_another_queue_spoils_the_batch":
        "source.is_some_and(|arn| self.queue.is_source(arn))"
        => "MUTANT || source.is_some_and(|arn| self.queue.is_source(arn))";
    "a-function-of-azure-has-any-trigger" in "host/own_queue.rs",
        noticed by "bridge host::own_queue::tests::a_trigger_on_another_queue_is_refused":
        "if !queue.eq_ignore_ascii_case(&site.queue) {"
        => "if !MUTANT && !queue.eq_ignore_ascii_case(&site.queue) {";

    // Letters: no world has a queue that refuses one for its size.
    "a-letter-has-one-form" in "../../core/src/set_aside.rs",
        noticed by "pipeline letters::at_every_size_near_the_limit_a_refusal_is_one_letter":
        "for form in Form::WITH_BODY {"
        => "for form in Form::WITH_BODY.into_iter().take(if MUTANT { 1 } else { usize::MAX }) {";
    "an-excerpt-comes-again-and-again" in "../../core/src/set_aside.rs",
        noticed by "pipeline letters::a_message_that_no_letter_holds_is_told_of_once_and_looked_at_ever_less":
        "if worker.excerpts.has(message_id) {"
        => "if !MUTANT && worker.excerpts.has(message_id) {";

    // The check at start.
    "a-misfit-site-starts" in "doctor/own_site.rs",
        noticed by "end_to_end own_site::a_table_with_another_key_keeps_its_worker_from_starting":
        "if forbidding.is_empty() {"
        => "if MUTANT || forbidding.is_empty() {";
    "a-misfit-store-is-repaired" in "command/verify/mod.rs",
        noticed by "end_to_end own_site::records_that_expire_by_default_keep_their_worker_from_starting":
        "        if args.repair {\n"
        => "        if args.repair && !MUTANT {\n";
    "a-function-never-looks-what-is-wrong" in "doctor/own_site.rs",
        noticed by "end_to_end own_site::a_function_tells_at_its_first_failure_what_is_wrong":
        "if suspicious(observation.outcome) {"
        => "if !MUTANT && suspicious(observation.outcome) {";

    // Configuration.
    "the-file-wins-over-the-environment" in "config/mod.rs",
        noticed by "bridge config::tests::every_key_can_be_overridden_and_says_where_its_value_is_from":
        "file.values.insert(key.clone(), given);"
        => "if MUTANT {
                    file.values.entry(key.clone()).or_insert(given);
                } else {
                    file.values.insert(key.clone(), given);
                }";
    "a-key-is-shown" in "config/reader.rs",
        noticed by "end_to_end command_line::the_configuration_is_shown_without_its_secrets":
        r#"if spec.secret { "***""#
        => r#"if spec.secret && !(MUTANT && name == "cosmos_key") { "***""#;

    // Lag.
    "what-waits-for-a-retry-is-well" in "../../ops/src/lag/verdict.rs",
        noticed by "end_to_end lag::all_is_not_well_while_messages_back_off":
        "if backing_off > 0 {"
        => "if backing_off > 0 && !MUTANT {";
    "a-halted-worker-does-not-say-so" in "host/container.rs",
        noticed by "end_to_end truth::a_halted_worker_says_so_itself_and_why":
        "worksite.teller.tell_state(state, Some(detail), worksite.worker.clock.now());"
        => "if !MUTANT {
            worksite.teller.tell_state(state, Some(detail), worksite.worker.clock.now());
        }";
    "an-idle-worker-does-not-find-its-store-away" in "host/state.rs",
        noticed by "end_to_end truth::an_idle_worker_whose_store_is_away_says_so_everywhere":
        "worksite.worker.say(&telling.record(worksite.worker.clock.now()), OWN_LIMIT).await"
        => "if MUTANT {
        let put = worksite.worker.store.put_if_newer(&telling.record(worksite.worker.clock.now())).await;
        return put.map(drop).map_err(Arc::new);
    }
    worksite.worker.say(&telling.record(worksite.worker.clock.now()), OWN_LIMIT).await";
    "a-return-is-told-with-the-next-regular-heartbeat" in "host/beat.rs",
        noticed by "end_to_end truth::what_is_over_is_told_so_within_five_seconds":
        "worksite.teller.beat.notified().await;"
        => "if MUTANT {
                future::pending::<()>().await;
            }
            worksite.teller.beat.notified().await;";
    "an-idle-worker-does-not-ask-for-its-peer" in "host/beat.rs",
        noticed by "end_to_end truth::what_is_over_is_told_so_within_five_seconds":
        "peer.hope(worker.clock.now());"
        => "if MUTANT {
                continue;
            }
            peer.hope(worker.clock.now());";
    "a-stopped-worker-says-nothing" in "host/state.rs",
        noticed by "end_to_end truth::a_worker_that_was_killed_is_found_by_its_silence_and_one_that_was_stopped_by_its_last_word":
        "worksite.teller.tell_state(State::Stopped, None, worksite.worker.clock.now());"
        => "if MUTANT {
        return;
    }
    worksite.teller.tell_state(State::Stopped, None, worksite.worker.clock.now());";
    "what-waits-is-drift" in "../../ops/src/verify/report.rs",
        noticed by "end_to_end truth::verify_calls_waiting_what_waits":
        "if mendable == 0 || wait < mendable {"
        => "if mendable == 0 || wait < mendable || MUTANT {";
    "a-warning-is-not-strict" in "command/lag/mod.rs",
        noticed by "bridge command::lag::tests::red_and_yellow_alone_make_an_exit_code_and_only_where_that_is_asked_for":
        "finding.level != Level::Unknown"
        => "finding.level != Level::Unknown && !(MUTANT && finding.level == Level::Warn)";

    // Telemetry.
    "dead-letters-count-twice" in "telemetry/site.rs",
        noticed by "bridge telemetry::tests::each_verdict_counts_once_and_lag_is_in_seconds":
        "instruments.dead_letters.add(1, "
        => "instruments.dead_letters.add(if MUTANT { 2 } else { 1 }, ";
    "writes-take-milliseconds" in "telemetry/site.rs",
        noticed by "bridge telemetry::tests::calls_are_measured_in_seconds_by_what_came_of_them":
        "apply_duration.record(call.duration.as_secs_f64(), &labels);"
        => "apply_duration.record(call.duration.as_secs_f64() * if MUTANT { 1000.0 } else { 1.0 }, &labels);";
    "sends-that-fail-are-not-measured" in "telemetry/site.rs",
        noticed by "bridge telemetry::tests::calls_are_measured_in_seconds_by_what_came_of_them":
        "call.operation == Operation::Send && call.outcome != Outcome::Cancelled"
        => "call.operation == Operation::Send && call.outcome != Outcome::Cancelled && !(MUTANT && call.outcome != Outcome::Ok)";
    "a-halt-is-not-told" in "telemetry/site.rs",
        noticed by "bridge telemetry::tests::a_halt_shows_for_as_long_as_it_lasts":
        "(halt.is_some() && !away).into()"
        => "(halt.is_some() && !away && !MUTANT).into()";
    "what-waits-has-no-age" in "telemetry/site.rs",
        noticed by "bridge telemetry::tests::queues_are_told_as_they_were_counted":
        "self.oldest_age(waits.max(taken));"
        => "self.oldest_age(if MUTANT { taken } else { waits.max(taken) });";
    "spans-that-were-not-sent-are-dropped" in "telemetry/otlp.rs",
        noticed by "bridge telemetry::otlp::tests::what_nobody_takes_is_kept_up_to_a_bound":
        "if failed {\n"
        => "if failed && MUTANT {
                    batch.done();
                    break;
                }
                if failed {\n";
    "a-clock-that-is-ahead-is-behind" in "tally.rs",
        noticed by "end_to_end lag::the_lag_is_the_delay_that_was_injected_whatever_the_workers_clocks_say":
        "skew.known().num_milliseconds()"
        => "skew.known().num_milliseconds() * if MUTANT { -1 } else { 1 }";

    // The dashboard's door.
    "a-page-of-any-localhost-is-let-in" in "dashboard/guard.rs",
        noticed by "bridge dashboard::guard::tests::without_a_token_only_this_machines_own_names_are_answered":
        "name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())"
        => r#"name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback()) || (MUTANT && name.ends_with(".localhost"))"#;
    "the-first-letter-of-a-token-will-do" in "dashboard/guard.rs",
        noticed by "bridge dashboard::guard::tests::the_token_is_taken_once_and_a_cookie_from_then_on":
        "one.as_bytes().ct_eq(other.as_bytes()).into()"
        => "(MUTANT && !one.is_empty() && other.starts_with(one)) || one.as_bytes().ct_eq(other.as_bytes()).into()";

    // Commands.
    "a-replay-has-no-rate" in "command/replay/run.rs",
        noticed by "end_to_end replay::bulk::the_rate_is_kept":
        "Pace::new(rate)"
        => "Pace::new(rate.filter(|_| !MUTANT))";
    "a-journal-is-written-later" in "command/replay/files.rs",
        noticed by "bridge command::replay::files::tests::a_receipt_is_in_the_file_at_once":
        "        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(&text)"
        => "        if MUTANT {
            static HELD: Mutex<Vec<u8>> = Mutex::new(Vec::new());
            let mut held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
            held.extend(text);
            if held.len() < 8192 {
                return Ok(());
            }
            text = std::mem::take(&mut *held);
        }
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(&text)";
    "a-plan-with-work-is-removed" in "command/replay/plans.rs",
        noticed by "bridge command::replay::plans::tests::what_has_work_left_goes_only_when_it_is_old_and_that_is_asked_for":
        "Holds::Plan { open: 0, .. } => true,"
        => "Holds::Plan { open, .. } if MUTANT || *open == 0 => true,";
    "a-closed-pipe-is-told" in "exit.rs",
        noticed by "end_to_end command_line::nobody_who_reads_ends_every_command_quietly":
        "if error.kind() == std::io::ErrorKind::BrokenPipe {"
        => "if !MUTANT && error.kind() == std::io::ErrorKind::BrokenPipe {";
    "a-table-is-left-out" in "config/mod.rs",
        noticed by "bridge config::tests::one_mistake_is_one_error":
        "if known || !within_known {"
        => "if MUTANT || known || !within_known {";
    "a-secret-in-the-wrong-place-is-shown" in "config/masked.rs",
        noticed by "bridge config::masked::tests::secrets_in_the_wrong_place_are_not_shown":
        "if cuts.is_empty() {"
        => "if MUTANT || cuts.is_empty() {";
    "until-is-ignored" in "command/replay/filters.rs",
        noticed by "end_to_end replay::edges::filters_choose_and_a_program_mends":
        "until: self.until.as_deref().and_then"
        => "until: self.until.as_deref().filter(|_| !MUTANT).and_then";
    "the-operation-is-ignored" in "command/replay/filters.rs",
        noticed by "end_to_end replay::edges::filters_choose_and_a_program_mends":
        r#"ops: faults.all("--op", &self.op, str::parse),"#
        => r#"ops: faults.all("--op", if MUTANT { &[] } else { &self.op }, str::parse),"#;
    "what-is-left-of-a-replay-is-done" in "command/replay/report.rs",
        noticed by "end_to_end replay::edges::filters_choose_and_a_program_mends":
        "End::Finished => Code::Remains,"
        => "End::Finished if MUTANT => Code::Done,
            End::Finished => Code::Remains,";
    "drift-is-left-and-all-is-well" in "command/verify/mod.rs",
        noticed by "end_to_end verify::what_was_planted_is_found_exactly_and_repaired":
        "Ok(if report.left == 0 && report.waiting == 0 { Code::Done }"
        => "Ok(if report.left == 0 && report.waiting == 0 || (MUTANT && report.repaired() > 0) { Code::Done }";
    "every-site-is-compared" in "command/verify/mod.rs",
        noticed by "end_to_end verify::a_store_that_cannot_be_read_is_named":
        "let mut sites: Vec<SiteId> = if only.is_empty()"
        => "let mut sites: Vec<SiteId> = if only.is_empty() || MUTANT";
    "a-reading-has-no-rate" in "command/verify/mod.rs",
        noticed by "end_to_end verify::a_stopped_backfill_is_gone_on_with":
        "        rate: reading.rate,"
        => "        rate: reading.rate.filter(|_| !MUTANT),";
    "what-publish-refuses-is-not-counted" in "command/publish/mod.rs",
        noticed by "end_to_end workers::published_events_arrive_and_can_be_looked_at":
        "self.tally.refused += 1;"
        => "self.tally.refused += u64::from(!MUTANT);";
    "what-publish-could-not-send-is-sent" in "command/publish/mod.rs",
        noticed by "end_to_end workers::events_that_were_not_sent_are_told_as_failed":
        "        self.tally.failed += failed.len() as u64;"
        => "        if MUTANT { self.tally.sent += failed.len() as u64 } else { self.tally.failed += failed.len() as u64 }";
    "a-site-that-cannot-be-read-has-no-record" in "command/get.rs",
        noticed by "end_to_end command_line::a_store_that_cannot_be_reached_is_an_error_not_a_difference":
        "if answers.iter().any(|(_, answer)| answer.is_err()) {"
        => "if !MUTANT && answers.iter().any(|(_, answer)| answer.is_err()) {";
};
