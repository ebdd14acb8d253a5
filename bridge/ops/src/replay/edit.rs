//! What a message may become by an edit. The letter goes once it is brought, so whoever has the event as it was must end with
//! what it became, like everybody else.

use super::subject::Subject;
use bridge_core::{event::Event, reason::Reason};

const SAME_NAME: &str = "--edit-with: the edit changes what the event says and keeps its event_id and timestamp; some site may \
                         have it as it was. Give it a new event_id and timestamp, too";
const SAME_ORIGIN: &str = "--edit-with: the edit leaves the event's origin as it is. Give it another source_region (a CloudEvent has source); \
                           a member of the payload may have that name too, and stand before it. If the origin is right, replay the \
                           message without an edit";
const NOT_LATER: &str = "--edit-with: some site may have the event as it was, and another would never get it. Keep its key, and \
                         give it a new event_id and a later timestamp";

/// The message as it goes on: `edited`, unless it must not. `lies`: as it lies there.
pub(super) fn admit(lies: &Subject, edited: Subject) -> Subject {
    let Ok(event) = &edited.event else { return edited };
    let wrong_origin = lies.reason == Reason::NotForwarded.as_str();
    // Other sites may have the event: a site took it, or a letter names the sites that lack it, or its origin has forwarded it.
    let forwarded_by = lies.marks.forwarded_by.as_ref();
    let owed = lies.owed.as_ref().is_some_and(|owed| !owed.is_empty());
    let known = lies.event.is_ok() && !wrong_origin || owed || forwarded_by.is_some();
    let before = lies.event.as_ref().ok().or(lies.refused.as_ref());
    if let Some(before) = before {
        let name = |event: &Event| (event.timestamp.utc, event.origin.clone(), event.id);
        let same_name = name(before) == name(event);
        let same_write = before.version() == event.version() && before.key == event.key;
        if wrong_origin && lies.event.is_ok() && before.origin == event.origin {
            return edited.refuse(SAME_ORIGIN);
        }
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
    // Its origin read it and this site does not, so nobody here can tell which write it was.
    if let (None, Some(origin)) = (before, forwarded_by) {
        return edited.refuse(&format!(
            "--edit-with: {origin} has the event as it was, as it forwarded it. Give this site the configuration and the version of \
             {origin}, and replay the message as it is"
        ));
    }
    Subject { is_new: true, ..edited }
}

#[cfg(test)]
mod tests {
    use bridge_core::{
        event::{Change, Op, Payload, Timestamp},
        marks::Marks,
        reason::{Reason, Refusal},
    };
    use chrono::DateTime;
    use uuid::Uuid;

    use super::*;

    fn subject(event: Result<Event, Refusal>, refused: Option<Event>, marks: Marks) -> Subject {
        Subject { refused, marks, ..Subject::sample(event) }
    }

    #[test]
    fn an_edit_never_changes_an_event_that_its_origin_has_forwarded() {
        let event = |key: &str| {
            Event::from(Change {
                id: Uuid::nil(),
                origin: "aws:us-east-1".parse().unwrap(),
                op: Op::Delete,
                key: key.parse().unwrap(),
                payload: Payload::default(),
                timestamp: Timestamp { utc: DateTime::default(), text: String::new() },
                trace: None,
            })
        };
        let forwarded = Marks::default().forwarded(&"aws:us-east-1".parse().unwrap());
        let refusal = || Err(Refusal::new(Reason::InvalidKey, "none"));
        let edited = || subject(Ok(event("edited")), None, forwarded.clone());
        // This site cannot read it, and its origin could.
        let refused = admit(&subject(refusal(), None, forwarded.clone()), edited()).event.unwrap_err();
        assert!(refused.detail.contains("aws:us-east-1 has the event as it was"), "{refused}");
        // This site can read it, and takes it not.
        let known = admit(&subject(refusal(), Some(event("as it was")), forwarded.clone()), edited());
        assert!(known.event.is_err());
        // Nobody has an event that came straight from a producer and that no site takes.
        assert!(admit(&subject(refusal(), None, Marks::default()), edited()).is_new);
    }
}
