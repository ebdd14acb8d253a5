//! The message that brings an event to another site.

use bytes::Bytes;
use uuid::Uuid;

use crate::{
    envelope,
    event::Event,
    marks::Marks,
    port::{Message, Properties},
    property,
    trace::Carried,
};

/// The message with which an event's origin, or a replay in its place, sends the event: the received bytes, the bridge's own
/// properties and the trace, and nothing else of the producer's properties. `id` must differ for each send: a queue that detects
/// duplicates must never take a replay for one.
pub fn message(event: &Event, body: &Bytes, marks: &Marks, trace: Option<&Carried>, id: Uuid) -> Message {
    let mut properties = Properties::from([(property::EVENT_ID.to_owned(), event.id.to_string())]);
    marks.write(&mut properties);
    if let Some(carried) = trace {
        carried.write(&mut properties);
    }
    Message { id: id.to_string(), body: envelope::forwardable(body), properties }
}
