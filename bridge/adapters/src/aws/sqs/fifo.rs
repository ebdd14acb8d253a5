//! FIFO queues, which the bridge does not work with.

/// Refuses a FIFO queue, by its name or its address. "Amazon SQS queue and message identifiers", read 2026-11: the name
/// of a FIFO queue, and no other, ends in `.fifo`. `docs/decisions/0014-no-fifo.md` has the reasons.
///
/// # Errors
/// Why, and what to do.
pub fn refuse(queue: &str) -> Result<(), String> {
    let name = queue.trim_end_matches('/').rsplit('/').next().unwrap_or(queue);
    // Names are told apart by their case, and this end is in lower case.
    if name.rsplit_once('.').is_none_or(|(_, end)| end != "fifo") {
        return Ok(());
    }
    Err(format!(
        "{name} is a FIFO queue: its five minutes of deduplication would swallow a replay, and one failed message would \
         hold back its whole group; make a standard queue and use that"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fifo_queue_is_known_by_the_end_of_its_name() {
        for queue in ["q.fifo", "https://sqs.us-east-1.amazonaws.com/1/q.fifo", "http://127.0.0.1:1/1/q.fifo/"] {
            assert!(refuse(queue).unwrap_err().starts_with("q.fifo is a FIFO queue"), "{queue}");
        }
        for queue in ["q", "fifo", "q-fifo", "https://sqs.us-east-1.amazonaws.com/1/q", "https://sqs.fifo/1/q"] {
            assert_eq!(refuse(queue), Ok(()), "{queue}");
        }
    }
}
