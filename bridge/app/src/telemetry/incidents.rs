//! The log's lines of what a worker or a replay dealt with by itself.

use bridge_core::incident::{Incident, Incidents};

/// Writes a line for each incident.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Log;

impl Incidents for Log {
    fn report(&self, incident: Incident<'_>) {
        match incident {
            Incident::LetterShortened { message_id, error } => tracing::warn!(
                message_id,
                error = error.chain(),
                "the dead-letter queue refused this letter, and took a smaller form of it"
            ),
            Incident::LetterExcerpted { message_id, reason, body_bytes } => tracing::error!(
                message_id,
                reason = reason.as_str(),
                body_bytes,
                "the dead-letter queue takes no letter that holds this message: it has an excerpt, and the message stays in its queue until the \
                 broker's retention ends; see runbooks/dead-letters.md"
            ),
            Incident::NotSetAside { message_id, more, error } => {
                tracing::warn!(message_id, more, error = error.chain(), "not set aside: the messages come again");
            }
            Incident::LeasesNotExtended { lost, error } => {
                tracing::debug!(lost, error = error.chain(), "some leases were not extended");
            }
            Incident::NotGivenBack(error) => tracing::debug!(
                error = error.chain(),
                "not given back at once: the messages come again when their leases end"
            ),
            Incident::NotHidden(error) => tracing::debug!(error = error.chain(), "not hidden for the chosen time"),
            Incident::Halted { detail } => tracing::error!(detail, "halted: nothing is lost; see runbooks/halted.md"),
            Incident::NotCounted(error) => {
                tracing::debug!(error = error.chain(), "what is in somebody's hands is not counted");
            }
        }
    }
}
