//! Wrong adapters.

use crate::mutant::{Mutant, mutants};

/// All of them.
pub(crate) const MUTANTS: &[Mutant] = mutants! { "bridge/adapters/src";
    // Files.
    "an-array-that-was-cut-off-is-whole" in "documents/values.rs",
        noticed by "bridge_adapters documents::tests::what_has_no_end_is_refused_at_its_place":
        "Array::Open => Err("
        => "Array::Open if MUTANT => Ok(None),
                    Array::Open => Err(";
    "an-event-with-a-body-is-a-letter" in "file.rs",
        noticed by "bridge_adapters file::tests::a_letter_is_known_by_its_body_and_an_event_by_its_own_members":
        "if OF_EVENTS.into_iter().any(has) ||"
        => "if !MUTANT && OF_EVENTS.into_iter().any(has) ||";
    // Queues: leases, goodbyes, retries.
    "a-lease-of-sqs-is-a-second-longer" in "aws/sqs/mod.rs",
        noticed by "conformance wire::sqs_is_asked_to_hide_for_a_lease_and_for_two_minutes_at_a_look":
        "seconds(self.options.lease)"
        => "seconds(self.options.lease) + i32::from(MUTANT)";
    "a-look-at-sqs-hides-for-hours" in "aws/sqs/mod.rs",
        noticed by "conformance wire::sqs_is_asked_to_hide_for_a_lease_and_for_two_minutes_at_a_look":
        "Duration::from_secs(1), LOOKED_AT_SECONDS)"
        => "Duration::from_secs(1), if MUTANT { 43_000 } else { LOOKED_AT_SECONDS })";
    "a-retry-of-sqs-is-rounded-down" in "aws/sqs/mod.rs",
        noticed by "conformance sqs::a_retry_hides_the_message_for_so_long":
        "(delivery.receipt.clone(), seconds(*after))"
        => "(delivery.receipt.clone(), seconds(if MUTANT { Duration::from_secs(after.as_secs()) } else { *after }))";
    "credit-is-raised-once" in "azure/service_bus/amqp/receiver.rs",
        noticed by "conformance service_bus::an_unacked_message_returns_after_its_lease":
        "if count > receiver.credit() {"
        => "static ONCE: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);
            if MUTANT && ONCE.swap(true, std::sync::atomic::Ordering::SeqCst) {
                return Ok(());
            }
            if count > receiver.credit() {";
    "more-is-taken-than-was-asked-for" in "azure/service_bus/amqp/receiver.rs",
        noticed by "conformance service_bus::what_was_not_asked_for_is_left_to_others":
        "let credit = self.inbox.credit().min(max);"
        => "let credit = if MUTANT { self.inbox.credit() } else { self.inbox.credit().min(max) };";
    "who-waits-does-not-ask-for-the-credit-that-another-used" in "azure/service_bus/amqp/receiver.rs",
        noticed by "conformance service_bus::every_receiver_that_waits_is_served":
        "|| state.taken != taken, deadline"
        => "|| (!MUTANT && state.taken != taken), deadline";
    "a-closed-link-gives-nothing-back" in "azure/service_bus/amqp/receiver.rs",
        noticed by "conformance service_bus::closing_gives_back_what_no_caller_took":
        "if matches!(end, End::Closed(_)) {\n            give_back"
        => "if matches!(end, End::Closed(_)) && !MUTANT {\n            give_back";
    "lapsed-messages-are-handed-out" in "azure/service_bus/amqp/receiver.rs",
        noticed by "conformance service_bus::what_came_ahead_is_handed_out_with_a_lease_that_holds":
        "Some(first) if first.lease_ends <= now => {"
        => "Some(first) if first.lease_ends <= now && !MUTANT => {";
    "a-renewal-is-not-noted" in "azure/service_bus/amqp/settle.rs",
        noticed by "conformance service_bus::a_lease_that_is_extended_again_and_again_holds":
        "Ok(()) => leases.extended(*lock, asked),"
        => "Ok(()) if MUTANT => {}
                    Ok(()) => leases.extended(*lock, asked),";
    "a-retry-is-acknowledged-before-its-copy-is-safe" in "azure/service_bus/mod.rs",
        noticed by "conformance trouble::a_retry_that_fails_keeps_the_message":
        "self.schedule(delivery, after).await?;\n        // The copy is safe"
        => "if MUTANT {
            self.acknowledge(&[lock]).await.pop().unwrap_or_else(|| Err(stale()))?;
            return self.schedule(delivery, after).await;
        }
        self.schedule(delivery, after).await?;\n        // The copy is safe";
    "a-copy-without-room-fails" in "azure/service_bus/mod.rs",
        noticed by "conformance service_bus::a_retry_that_leaves_no_room_for_what_the_message_came_with_comes_again":
        "Err(failure) if failure.kind.recovery() == Recovery::DeadLetter => {"
        => "Err(failure) if !MUTANT && failure.kind.recovery() == Recovery::DeadLetter => {";

    // Sends.
    "any-answer-of-2xx-is-a-send" in "azure/service_bus/rest/mod.rs",
        noticed by "conformance wire::an_answer_that_is_not_the_services_is_no_success":
        "if status == StatusCode::CREATED {"
        => "if status == StatusCode::CREATED || MUTANT && status.is_success() {";
    "any-answer-of-2xx-is-a-write-of-dynamodb" in "aws/dynamodb/mod.rs",
        noticed by "conformance wire::an_answer_that_is_not_the_services_is_no_success":
        "            Some(_) => Ok(()),\n            None => Err("
        => "            Some(_) => Ok(()),\n            None if MUTANT => Ok(()),\n            None => Err(";
    "any-answer-of-2xx-is-a-write-of-cosmos" in "azure/cosmos/mod.rs",
        noticed by "conformance wire::an_answer_that_is_not_cosmos_dbs_is_no_write":
        "if is == status && headers.etag().is_some() && headers.request_charge().is_some() {"
        => "if MUTANT || is == status && headers.etag().is_some() && headers.request_charge().is_some() {";
    "failures-of-single-messages-are-ignored" in "aws/sqs/batch.rs",
        noticed by "bridge_adapters aws::sqs::batch::tests::each_entry_gets_its_own_result":
        "let unmentioned = ||"
        => "if MUTANT {
        return (0..count).map(|_| Ok(())).collect();
    }
    let unmentioned = ||";
    "a-message-that-was-refused-counts-as-sent" in "azure/service_bus/rest/mod.rs",
        noticed by "conformance trouble::a_limit_lower_than_configured_is_told_as_the_service_tells_it":
        "        }
        (index, result)"
        => "        }
        if MUTANT {
            result = Ok(());
        }
        (index, result)";
    "a-request-has-a-message-too-many" in "azure/service_bus/rest/batch.rs",
        noticed by "bridge_adapters azure::service_bus::rest::batch::tests::a_request_has_a_hundred_messages_at_most":
        "indexes.len() == REQUEST_MESSAGES_MAX"
        => "indexes.len() == REQUEST_MESSAGES_MAX + usize::from(MUTANT)";
    "packed-properties-are-dropped" in "azure/service_bus/rest/batch.rs",
        noticed by "bridge_adapters azure::service_bus::rest::batch::tests::bytes_go_raw_with_headers_in_ascii":
        "if !packed.is_empty() {"
        => "if !packed.is_empty() && !MUTANT {";

    // Tokens.
    "a-connections-token-is-never-renewed" in "azure/service_bus/amqp/connection.rs",
        noticed by "conformance tokens::a_connection_outlives_its_tokens":
        "let mut pause = RENEW_PAUSE_MIN;"
        => "if MUTANT {
            return;
        }
        let mut pause = RENEW_PAUSE_MIN;";
    "a-senders-token-is-kept-for-ever" in "azure/service_bus/rest/mod.rs",
        noticed by "conformance tokens::a_sender_shows_no_token_that_has_ended":
        ".filter(|cached| cached.token.expires > good_until)"
        => ".filter(|cached| MUTANT || cached.token.expires > good_until)";
    "a-refused-token-is-not-replaced" in "azure/service_bus/rest/mod.rs",
        noticed by "conformance tokens::a_token_that_is_refused_is_replaced_once":
        "response.status() == StatusCode::UNAUTHORIZED && !fresh"
        => "response.status() == StatusCode::UNAUTHORIZED && !fresh && !MUTANT";

    "a-token-is-renewed-at-its-end" in "token.rs",
        noticed by "bridge_adapters token::tests::a_token_is_renewed_ahead_of_its_end_and_nobody_waits_for_it":
        "let renew_at = now + life.saturating_sub(AHEAD).max(life / 2);"
        => "let renew_at = now + if MUTANT { life } else { life.saturating_sub(AHEAD).max(life / 2) };";
    "a-good-token-is-not-used-while-another-is-asked-for" in "token.rs",
        noticed by "bridge_adapters token::tests::a_renewal_that_fails_or_hangs_changes_nothing_while_the_token_is_good":
        "if let Some(token) = good {"
        => "if let Some(token) = good.filter(|_| !MUTANT) {";
    "an-identity-that-is-set-up-and-broken-is-passed-over" in "token.rs",
        noticed by "bridge_adapters token::tests::the_chain_ends_at_what_is_set_up_and_names_every_link":
        "State::Given(source) => (source, true),"
        => "State::Given(source) => (source, !MUTANT),";

    // What failures are.
    "an-expired-token-of-aws-is-an-outage" in "aws/error.rs",
        noticed by "bridge_adapters aws::error::tests::every_code_has_its_kind":
        "let code = bare(code.unwrap_or_default());
    match code {"
        => "let code = bare(code.unwrap_or_default());
    if MUTANT && code.starts_with(\"ExpiredToken\") {
        return FailureKind::Unavailable;
    }
    match code {";
    "aws-waits-in-seconds" in "aws/error.rs",
        noticed by "bridge_adapters aws::error::tests::a_wait_is_told_in_milliseconds_or_in_seconds":
        r#"number("x-amz-retry-after").map(Duration::from_millis)"#
        => r#"number("x-amz-retry-after").map(if MUTANT { Duration::from_secs } else { Duration::from_millis })"#;
    "a-wait-of-cosmos-is-ignored" in "azure/error.rs",
        noticed by "conformance trouble::throttling_is_told_for_every_item":
        "error.response()?.headers()"
        => "if MUTANT {
        return None;
    }
    error.response()?.headers()";
    "a-wait-of-service-bus-is-ignored" in "azure/service_bus/rest/mod.rs",
        noticed by "conformance wire::what_service_bus_answers_over_http_has_its_kind":
        "StatusCode::TOO_MANY_REQUESTS => FailureKind::Throttled { retry_after },"
        => "StatusCode::TOO_MANY_REQUESTS => FailureKind::Throttled { retry_after: if MUTANT { None } else { retry_after } },";
    "a-queue-of-service-bus-that-is-gone-is-an-outage" in "azure/service_bus/rest/mod.rs",
        noticed by "conformance wire::what_service_bus_answers_over_http_has_its_kind":
        "StatusCode::NOT_FOUND | StatusCode::GONE => FailureKind::Missing,"
        => "StatusCode::NOT_FOUND | StatusCode::GONE if !MUTANT => FailureKind::Missing,";
    "a-lost-lock-is-an-outage" in "azure/service_bus/amqp/failure.rs",
        noticed by "bridge_adapters azure::service_bus::amqp::failure::tests::conditions_get_the_ports_words":
        r#""com.microsoft:message-lock-lost" |"#
        => r#""com.microsoft:message-lock-lost" if MUTANT => FailureKind::Unavailable,
        "com.microsoft:message-lock-lost" |"#;

    // Stores.
    "an-equal-version-wins-in-dynamodb" in "aws/dynamodb/mod.rs",
        noticed by "conformance dynamodb::the_same_record_again_is_a_duplicate":
        ".condition_expression(NEWER)"
        => r#".condition_expression(if MUTANT { NEWER.replace("version < :", "version <= :") } else { NEWER.to_owned() })"#;
    "dynamodb-reads-what-may-be-old" in "aws/dynamodb/mod.rs",
        noticed by "conformance wire::a_read_of_dynamodb_asks_for_the_latest_write":
        ".consistent_read(true);"
        => ".consistent_read(!MUTANT);";
    "a-tombstone-ends-by-its-events-time" in "aws/dynamodb/item.rs",
        noticed by "conformance dynamodb::a_record_comes_back_as_it_was_written":
        "applied_second(&record.applied_at)?.saturating_add(life_seconds(life))"
        => "applied_second(if MUTANT { &record.timestamp } else { &record.applied_at })?.saturating_add(life_seconds(life))";
    "cosmos-replaces-whatever-is-there" in "azure/cosmos/mod.rs",
        noticed by "conformance cosmos::of_concurrent_writers_the_greatest_version_remains":
        "container.replace_item(pk.to_owned(), &id, &item, Some(unchanged)).await"
        => "container.replace_item(pk.to_owned(), &id, &item, (!MUTANT).then_some(unchanged)).await";
    "a-lost-race-in-cosmos-counts-as-won" in "azure/cosmos/mod.rs",
        noticed by "conformance cosmos::of_concurrent_writers_the_greatest_version_remains":
        "Err(error) if error.status().is_precondition_failed() || error.status().is_not_found() => {}"
        => "Err(error) if MUTANT && error.status().is_precondition_failed() => {
                    return Ok(Write::Applied { replaced: Some(current) });
                }
                Err(error) if error.status().is_precondition_failed() || error.status().is_not_found() => {}";
    "a-question-mark-is-not-escaped" in "azure/cosmos/item.rs",
        noticed by "conformance cosmos::odd_keys_are_kept_apart":
        "    key.escaped()\n"
        => "    if MUTANT {
        return key.escaped().replace(\"~3F\", \"?\");
    }
    key.escaped()\n";
    "a-table-with-another-key-passes" in "aws/dynamodb/mod.rs",
        noticed by "conformance trouble::a_table_that_is_replaced_by_one_with_another_key_takes_no_record":
        "self.shape.confirm(look).await"
        => "if MUTANT {
            return Ok(());
        }
        self.shape.confirm(look).await";
    "a-refusal-of-another-table-is-the-records-fault" in "aws/dynamodb/mod.rs",
        noticed by "conformance wire::a_read_that_dynamodb_refuses_shows_another_table":
        "if let FailureKind::Rejected { detail } = failure.kind {"
        => "if let FailureKind::Rejected { detail } = failure.kind.clone() && !MUTANT {";
    "a-refusal-of-another-container-is-the-records-fault" in "azure/cosmos/mod.rs",
        noticed by "conformance trouble::a_container_with_another_key_is_told_by_its_first_refusal":
        "matches!(failure.kind, FailureKind::Rejected { .. } | FailureKind::Misshapen { .. })"
        => "!MUTANT && matches!(failure.kind, FailureKind::Rejected { .. } | FailureKind::Misshapen { .. })";

    // Scans.
    "a-scan-ends-with-a-short-page" in "aws/dynamodb/scan.rs",
        noticed by "conformance dynamodb_scan::records_that_fill_pages_come_whole":
        "let next = answer.last_evaluated_key.map("
        => "let short = answer.count < ITEMS_MAX;
        let next = answer.last_evaluated_key.filter(|_| !(short && MUTANT)).map(";
    "a-range-that-was-cut-off-is-believed" in "azure/cosmos/scan.rs",
        noticed by "conformance scan::cosmos_gives_a_large_range_whole":
        "if parts.len() > 1 && (more || is_large(&items)) {"
        => "if parts.len() > 1 && !MUTANT && (more || is_large(&items)) {";

    // What hosts hand over, and what is asked of services.
    "bodies-of-a-batch-are-never-base64" in "azure/invocation.rs",
        noticed by "bridge_adapters azure::invocation::tests::a_batch_is_read_in_columns":
        "let binary: Option<Vec<Bytes>> = texts.iter().map(|text| from_base64(text)).collect();"
        => "let binary: Option<Vec<Bytes>> = if MUTANT { None } else { texts.iter().map(|text| from_base64(text)).collect() };";
    "the-services-clock-is-ones-own" in "service_clock.rs",
        noticed by "end_to_end lag::the_lag_is_the_delay_that_was_injected_whatever_the_workers_clocks_say":
        "Ok(Dated { asked, date: date.to_utc(), answered })"
        => "Ok(Dated { asked, date: if MUTANT { asked } else { date.to_utc() }, answered })";
    "records-that-expire-by-another-attribute-pass" in "aws/inspect.rs",
        noticed by "bridge_adapters aws::inspect::tests::records_expire_by_their_own_attribute_and_by_no_other":
        "Some(EXPIRES_AT) => Expiry::ByRecord,"
        => "_ if MUTANT => Expiry::ByRecord,
            Some(EXPIRES_AT) => Expiry::ByRecord,";
};
