//! Wrong clouds.

use crate::mutant::{Mutant, mutants};

/// All of them.
pub(crate) const MUTANTS: &[Mutant] = mutants! { "bridge/localcloud/src";
    "sqs-hides-a-second-longer" in "sqs/queue.rs",
        noticed by "localcloud sqs::queue::tests::a_received_message_is_hidden_until_its_lease_ends":
        "entry.place = Place::InFlight { until: now.elapsed + take.visibility, changed: false };"
        => "let more = Duration::from_secs(u64::from(MUTANT && !take.visibility.is_zero()));
                entry.place = Place::InFlight { until: now.elapsed + take.visibility + more, changed: false };";
    "sqs-delivers-once-too-often" in "sqs/queue.rs",
        noticed by "localcloud sqs::queue::tests::a_message_is_set_aside_by_the_receive_that_would_exceed_its_count":
        "entry.stored.receive_count >= max)"
        => "entry.stored.receive_count >= max + u32::from(MUTANT))";
    "a-released-message-stays-locked" in "service_bus/queue/mod.rs",
        noticed by "localcloud service_bus::queue::tests::released_messages_return_without_a_count":
        "Verdict::Return { failed, changes } => {"
        => "Verdict::Return { failed: false, .. } if MUTANT => self.part(part).insert(sequence, entry),
            Verdict::Return { failed, changes } => {";
    "a-renewal-extends-nothing" in "service_bus/queue/mod.rs",
        noticed by "localcloud service_bus::queue::tests::a_renewed_lock_ends_later_and_a_lost_one_cannot_be_renewed":
        "entries.extend(sequence, now.tick.saturating_add(lock));"
        => "if !MUTANT {
                entries.extend(sequence, now.tick.saturating_add(lock));
            }";
    "a-lock-that-ends-does-not-count" in "service_bus/queue/mod.rs",
        noticed by "localcloud service_bus::queue::tests::too_many_deliveries_end_in_the_dead_letter_queue":
        "State::Locked { .. } => self.give_back(now, part, sequence, entry, true),"
        => "State::Locked { .. } => self.give_back(now, part, sequence, entry, !MUTANT),";
    "service-bus-delivers-once-too-often" in "service_bus/queue/mod.rs",
        noticed by "localcloud service_bus::queue::tests::too_many_deliveries_end_in_the_dead_letter_queue":
        "entry.delivery_count >= limit {"
        => "entry.delivery_count >= limit + u32::from(MUTANT) {";
    "a-scheduled-message-is-there-at-once" in "service_bus/queue/mod.rs",
        noticed by "localcloud service_bus::queue::tests::a_scheduled_message_waits_for_its_time_and_can_be_cancelled":
        "match parsed.scheduled.filter(|due| *due > now.wall) {"
        => "match parsed.scheduled.filter(|due| *due > now.wall && !MUTANT) {";
    "nothing-expires-in-dynamodb" in "dynamodb/expiry.rs",
        noticed by "dynamodb a_shifted_clock_expires_items_and_is_told_to_clients":
        "let mut clock = self.faults.subscribe();"
        => "let mut clock = self.faults.subscribe();
        if MUTANT {
            std::future::pending::<()>().await;
        }";
    "if-match-does-not-count" in "cosmos/gateway.rs",
        noticed by "conformance cosmos::of_concurrent_writers_the_greatest_version_remains":
        "for (name, value) in &message.headers {\n            request"
        => "for (name, value) in &message.headers {
            if MUTANT && name.eq_ignore_ascii_case(\"if-match\") {
                continue;
            }
            request";
    "nothing-expires-in-cosmos" in "cosmos/expiry.rs",
        noticed by "cosmos an_expired_item_is_gone_to_the_second_and_a_rewrite_saves_it":
        "self.state().order.first().is_some_and(|(end, _)| *end <= now)"
        => "!MUTANT && self.state().order.first().is_some_and(|(end, _)| *end <= now)";
    "what-replaces-an-item-expires-with-it" in "cosmos/mod.rs",
        noticed by "cosmos an_expired_item_is_gone_to_the_second_and_a_rewrite_saves_it":
        "Operation::CreateItem | Operation::UpsertItem | Operation::ReplaceItem => {"
        => "Operation::ReplaceItem if MUTANT => {}
            Operation::CreateItem | Operation::UpsertItem | Operation::ReplaceItem => {";
};
