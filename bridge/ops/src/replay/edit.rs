//! What a message may become by an edit. The letter goes once it is brought, so whoever has the event as it was must end with
//! what it became, like everybody else.

use super::subject::Subject;
use bridge_core::event::Event;

const SAME_NAME: &str = "--edit-with: the edit changes what the event says and keeps its event_id and timestamp; some site may \
                         have it as it was. Give it a new event_id and timestamp, too";
const NOT_LATER: &str = "--edit-with: some site may have the event as it was, and another would never get it. Keep its key, and \
                         give it a new event_id and a later timestamp";

/// The message as it goes on: `edited`, unless it must not. `lies`: as it lies there.
pub(super) fn admit(lies: &Subject, edited: Subject) -> Subject {
    let Ok(event) = &edited.event else { return edited };
    // Of a message that is valid, or that a letter says is owed to some sites only, others may have the event.
    let known = lies.event.is_ok() || lies.owed.as_ref().is_some_and(|owed| !owed.is_empty());
    if let Some(before) = lies.event.as_ref().ok().or(lies.refused.as_ref()) {
        let name = |event: &Event| (event.timestamp.utc, event.origin.clone(), event.id);
        let same_name = name(before) == name(event);
        let same_write = before.version() == event.version() && before.key == event.key;
        if same_write && known {
            return edited;
        }
        if same_name && !same_write {
            return edited.refuse(SAME_NAME);
        }
        if known && (before.key != event.key || before.version() >= event.version()) {
            return edited.refuse(NOT_LATER);
        }
    }
    Subject { is_new: true, ..edited }
}
