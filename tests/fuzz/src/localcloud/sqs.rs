//! Requests of SQS, one a line: an action, a blank, its JSON.

use localcloud::sqs::fuzzing::Actions;

/// Every action is answered, and whatever clients do, none of it is the service's own fault.
pub(crate) fn run(bytes: &[u8]) {
    let actions = Actions::default();
    for line in bytes.split(|byte| *byte == b'\n').take(8) {
        let space = line.iter().position(|byte| *byte == b' ').unwrap_or(line.len());
        let (action, body) = line.split_at(space);
        let Ok(action) = std::str::from_utf8(action) else { continue };
        let status = actions.ask(action, body);
        assert!(status.is_none_or(|status| (200..500).contains(&status)), "{status:?}");
    }
}
