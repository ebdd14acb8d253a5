//! From an HTTP request to an action and back.
//!
//! One handler for every path: clients post to the endpoint or to a queue's address, and name the action in
//! `X-Amz-Target`. Bodies are read and parsed outside the lock; only what touches queues happens inside it, and nothing
//! waits there.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::UNIX_EPOCH;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::Serialize;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::protocol::{self, Code, SqsError};
use super::queue::Now;
use super::receipt::{Receipt, Seal};
use super::registry::{Place, Registry};
use super::{SqsOptions, auth, limits};
use crate::fault::{self, ServiceFaults};
use crate::http::{BodyError, Call, Connection, Refusal, read_body, suffer};

const TARGET: &str = "x-amz-target";
const TARGET_PREFIX: &str = "AmazonSQS.";

/// The name under which calls of no known action are counted: counting each by its own would let a caller fill the
/// memory.
const UNKNOWN: &str = "unknown";

/// What all actions share.
pub(super) struct Service {
    pub(super) seal: Seal,
    pub(super) stopping: CancellationToken,
    access_key_id: String,
    region: String,
    pub(super) faults: ServiceFaults,
    started: Instant,
    registry: Mutex<Registry>,
}

impl Service {
    pub(super) fn new(options: &SqsOptions) -> Self {
        let place = Place { endpoint: String::new(), region: options.region.clone(), account: options.account.clone() };
        Self {
            access_key_id: options.access_key_id.clone(),
            region: options.region.clone(),
            seal: Seal::new(fastrand::u64(..)),
            stopping: CancellationToken::new(),
            faults: options.faults.service(fault::Service::Sqs, &options.region),
            started: Instant::now(),
            registry: Mutex::new(Registry::new(place)),
        }
    }

    pub(super) fn now(&self) -> Now {
        let wall = self.faults.now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now { elapsed: self.started.elapsed(), wall_ms: u64::try_from(wall.as_millis()).unwrap_or(u64::MAX) }
    }

    pub(super) fn instant(&self, elapsed: std::time::Duration) -> Instant {
        self.started + elapsed
    }

    /// A panic while the lock was held would be a bug in one call; the queues of all others go on.
    pub(super) fn registry(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The delivery behind a handle, if it is of this queue.
    pub(super) fn receipt(&self, handle: &str, queue: u64) -> Result<Receipt, SqsError> {
        let refused = |message: String| SqsError::new(Code::ReceiptHandleIsInvalid, message);
        let receipt = self
            .seal
            .read(handle)
            .ok_or_else(|| refused(format!("The input receipt handle \"{handle}\" is not a valid receipt handle.")))?;
        if receipt.queue != queue {
            return Err(refused(format!("The receipt handle \"{handle}\" is not valid for this queue.")));
        }
        Ok(receipt)
    }

    pub(super) fn create_queue(&self, name: &str, attributes: &[(&str, &str)]) -> Result<String, SqsError> {
        let attributes = attributes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        self.registry().create(self.now(), name, &attributes, BTreeMap::new())
    }

    pub(super) async fn perform(self: &Arc<Self>, action: Action, body: &[u8]) -> Result<Response, SqsError> {
        Ok(match action {
            Action::AddPermission => done(self.add_permission(body)?),
            Action::CancelMessageMoveTask => done(self.cancel_message_move_task(body)?),
            Action::ChangeMessageVisibility => done(self.change_message_visibility(body)?),
            Action::ChangeMessageVisibilityBatch => done(self.change_message_visibility_batch(body)?),
            Action::CreateQueue => done(self.create_queue_action(body)?),
            Action::DeleteMessage => done(self.delete_message(body)?),
            Action::DeleteMessageBatch => done(self.delete_message_batch(body)?),
            Action::DeleteQueue => done(self.delete_queue(body)?),
            Action::GetQueueAttributes => done(self.get_queue_attributes(body)?),
            Action::GetQueueUrl => done(self.get_queue_url(body)?),
            Action::ListDeadLetterSourceQueues => done(self.list_dead_letter_source_queues(body)?),
            Action::ListMessageMoveTasks => done(self.list_message_move_tasks(body)?),
            Action::ListQueueTags => done(self.list_queue_tags(body)?),
            Action::ListQueues => done(self.list_queues(body)?),
            Action::PurgeQueue => done(self.purge_queue(body)?),
            Action::ReceiveMessage => self.receive_message(body).await?,
            Action::RemovePermission => done(self.remove_permission(body)?),
            Action::SendMessage => done(self.send_message(body)?),
            Action::SendMessageBatch => done(self.send_message_batch(body)?),
            Action::SetQueueAttributes => done(self.set_queue_attributes(body)?),
            Action::StartMessageMoveTask => done(self.start_message_move_task(body)?),
            Action::TagQueue => done(self.tag_queue(body)?),
            Action::UntagQueue => done(self.untag_queue(body)?),
        })
    }
}

fn done(body: impl Serialize) -> Response {
    protocol::answer(StatusCode::OK, &body)
}

macro_rules! actions {
    ($($name:ident)*) => {
        /// Everything that a client can ask for.
        #[derive(Clone, Copy, Debug)]
        pub(super) enum Action { $($name),* }

        impl Action {
            pub(super) fn parse(name: &str) -> Option<Self> {
                match name { $(stringify!($name) => Some(Self::$name),)* _ => None }
            }

            fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name)),* }
            }
        }
    };
}

actions! {
    AddPermission CancelMessageMoveTask ChangeMessageVisibility ChangeMessageVisibilityBatch CreateQueue DeleteMessage
    DeleteMessageBatch DeleteQueue GetQueueAttributes GetQueueUrl ListDeadLetterSourceQueues ListMessageMoveTasks
    ListQueueTags ListQueues PurgeQueue ReceiveMessage RemovePermission SendMessage SendMessageBatch SetQueueAttributes
    StartMessageMoveTask TagQueue UntagQueue
}

/// Answers one request.
pub(super) async fn handle(State(service): State<Arc<Service>>, connection: Connection, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let action = find_action(&head.headers);
    let operation = action.as_ref().map_or(UNKNOWN, |action| action.name());
    let body = match read_body(&head.headers, body, limits::REQUEST_BYTES_MAX).await {
        Ok(body) => body,
        Err(error) => {
            let refused = refuse_body(error).into_response();
            service.faults.record(operation, refused.status().as_str());
            return refused;
        }
    };
    let effect = async {
        let answer = async {
            let now = service.faults.now();
            auth::check(&head.headers, &service.access_key_id, &service.region, now)?;
            service.perform(action?, &body).await
        };
        answer.await.unwrap_or_else(SqsError::into_response)
    };
    let call = Call { faults: &service.faults, operation, connection: &connection };
    suffer(call, refuse, effect).await
}

fn find_action(headers: &HeaderMap) -> Result<Action, SqsError> {
    let unknown = |message: String| SqsError::new(Code::InvalidAction, message);
    let Some(target) = headers.get(TARGET) else {
        return Err(unknown(format!(
            "The header X-Amz-Target is missing. This endpoint speaks the JSON protocol: POST with 'X-Amz-Target: \
             {TARGET_PREFIX}ACTION' and a JSON body, as SDKs since November 2023 do; older ones speak the query \
             protocol, and must be updated."
        )));
    };
    let name = target.to_str().ok().and_then(|target| target.strip_prefix(TARGET_PREFIX));
    name.and_then(Action::parse).ok_or_else(|| {
        let shown = String::from_utf8_lossy(target.as_bytes());
        unknown(format!(
            "The action {shown} is not valid for this endpoint; it must be {TARGET_PREFIX} and an action of SQS."
        ))
    })
}

fn refuse_body(error: BodyError) -> SqsError {
    match error {
        BodyError::TooLarge { limit_bytes } => {
            SqsError::new(Code::RequestTooLarge, format!("The request is larger than {limit_bytes} bytes."))
        }
        BodyError::Broken => SqsError::new(Code::Serialization, "The request's body ended early."),
    }
}

/// The service says nothing of how long to wait, so `retry_after` has no place in its answer.
fn refuse(refusal: Refusal) -> Response {
    let error = match refusal {
        Refusal::Throttle { .. } => SqsError::new(Code::RequestThrottled, "Request is throttled."),
        Refusal::Denied => SqsError::new(
            Code::AccessDenied,
            "Access to the resource is denied: no identity-based policy allows the action.",
        ),
        Refusal::Error { .. } => SqsError::new(
            Code::InternalFailure,
            "The request processing has failed because of an unknown error, exception or failure.",
        ),
    };
    error.into_response()
}
