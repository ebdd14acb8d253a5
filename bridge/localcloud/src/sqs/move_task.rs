//! Message move tasks: bringing dead letters back, at a bounded rate, in the background.
//!
//! A moved message is a new one: new id, new age, no receipts. A task takes only what can be received, and ends when
//! nothing is left. It dies with the server.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::limits;
use super::message::Message;
use super::protocol::{Code, SqsError, parse, required};
use super::queue::Now;
use super::registry::Registry;
use super::service::Service;

/// How often a task moves some messages, if its rate is greater.
const STEPS_PER_SECOND: i64 = 10;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct StartMessageMoveTask {
    source_arn: Option<String>,
    destination_arn: Option<String>,
    max_number_of_messages_per_second: Option<i64>,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Handle {
    task_handle: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListMessageMoveTasks {
    source_arn: Option<String>,
    max_results: Option<i64>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Cancelled {
    approximate_number_of_messages_moved: usize,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Listed {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    results: Vec<ListedTask>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ListedTask {
    #[serde(skip_serializing_if = "Option::is_none")]
    task_handle: Option<String>,
    status: Status,
    source_arn: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    destination_arn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_number_of_messages_per_second: Option<i64>,
    approximate_number_of_messages_moved: usize,
    approximate_number_of_messages_to_move: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure_reason: Option<&'static str>,
    started_timestamp: u64,
}

/// What a task's handle says, in the form of the service's own.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct HandleText {
    task_id: String,
    source_arn: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
enum Status {
    Running,
    Completed,
    Cancelled,
    Failed,
}

/// One task, as its source queue remembers it.
pub(super) struct Task {
    id: Uuid,
    status: Status,
    destination_arn: Option<String>,
    rate: Option<i64>,
    moved: usize,
    to_move: usize,
    failure: Option<&'static str>,
    started_ms: u64,
}

impl Service {
    pub(super) fn start_message_move_task(self: &Arc<Self>, body: &[u8]) -> Result<Handle, SqsError> {
        let request: StartMessageMoveTask = parse(body)?;
        let source_arn = required(request.source_arn, "SourceArn")?;
        let rate = request.max_number_of_messages_per_second;
        if let Some(rate) = rate.filter(|rate| !limits::MOVED_PER_SECOND.contains(rate)) {
            let reason = "Must be between 1 and 500, if provided.";
            return Err(SqsError::invalid("MaxNumberOfMessagesPerSecond", rate, reason));
        }
        let now = self.now();
        let mut registry = self.registry();
        let source = registry.by_arn(&source_arn).ok_or_else(|| no_resource("SourceArn"))?.to_owned();
        let destination = request.destination_arn;
        if let Some(arn) = &destination {
            registry.by_arn(arn).ok_or_else(|| no_resource("DestinationArn"))?;
        }
        let refused = |message: &str| Err(SqsError::new(Code::InvalidParameterValue, message));
        if destination.as_ref() == Some(&source_arn) {
            return refused("The source and the destination must be different queues.");
        }
        if registry.sources_of(&source_arn).is_empty() {
            return refused("Source queue must be configured as a Dead Letter Queue.");
        }
        let slot = registry.slot(&source)?;
        if slot.tasks.iter().any(|task| task.status == Status::Running) {
            return refused(
                "There is already a task running. Only one active task is allowed for a source queue arn at a given \
                 time.",
            );
        }
        slot.queue.advance(now.elapsed);
        let task = Task {
            id: Uuid::new_v4(),
            status: Status::Running,
            destination_arn: destination,
            rate,
            moved: 0,
            to_move: slot.queue.counts().visible,
            failure: None,
            started_ms: now.wall_ms,
        };
        let id = task.id;
        slot.tasks.push_front(task);
        slot.tasks.truncate(usize::try_from(*limits::MOVE_TASKS.end()).unwrap_or(1));
        drop(registry);
        tokio::spawn(run(Arc::clone(self), source, id, rate.unwrap_or(*limits::MOVED_PER_SECOND.end())));
        Ok(Handle { task_handle: Some(write_handle(id, &source_arn)) })
    }

    pub(super) fn list_message_move_tasks(&self, body: &[u8]) -> Result<Listed, SqsError> {
        let request: ListMessageMoveTasks = parse(body)?;
        let source_arn = required(request.source_arn, "SourceArn")?;
        let max = request.max_results.unwrap_or(1);
        if !limits::MOVE_TASKS.contains(&max) {
            return Err(SqsError::invalid("MaxResults", max, "Must be between 1 and 10, if provided."));
        }
        let mut registry = self.registry();
        let source = registry.by_arn(&source_arn).ok_or_else(|| no_resource("SourceArn"))?.to_owned();
        let tasks = registry.slot(&source)?.tasks.iter().take(usize::try_from(max).unwrap_or(1));
        Ok(Listed { results: tasks.map(|task| task.listed(&source_arn)).collect() })
    }

    pub(super) fn cancel_message_move_task(&self, body: &[u8]) -> Result<Cancelled, SqsError> {
        let handle = required(parse::<Handle>(body)?.task_handle, "TaskHandle")?;
        let text = read_handle(&handle)
            .ok_or_else(|| SqsError::new(Code::InvalidParameterValue, "Value for parameter TaskHandle is invalid."))?;
        let mut registry = self.registry();
        let source = registry.by_arn(&text.source_arn).ok_or_else(|| no_resource("SourceArn"))?.to_owned();
        let mut tasks = registry.slot(&source)?.tasks.iter_mut();
        let task = tasks
            .find(|task| task.id.to_string() == text.task_id)
            .ok_or_else(|| SqsError::new(Code::ResourceNotFound, "Task does not exist."))?;
        if task.status != Status::Running {
            return Err(SqsError::new(Code::InvalidParameterValue, "Only active tasks can be cancelled."));
        }
        task.status = Status::Cancelled;
        Ok(Cancelled { approximate_number_of_messages_moved: task.moved })
    }
}

fn no_resource(name: &str) -> SqsError {
    let message = format!("The resource that you specified for the {name} parameter doesn't exist.");
    SqsError::new(Code::ResourceNotFound, message)
}

fn write_handle(task_id: Uuid, source_arn: &str) -> String {
    let text = HandleText { task_id: task_id.to_string(), source_arn: source_arn.to_owned() };
    STANDARD.encode(serde_json::to_vec(&text).expect("an id and a string can be written"))
}

fn read_handle(handle: &str) -> Option<HandleText> {
    serde_json::from_slice(&STANDARD.decode(handle).ok()?).ok()
}

impl Task {
    fn listed(&self, source_arn: &str) -> ListedTask {
        ListedTask {
            task_handle: (self.status == Status::Running).then(|| write_handle(self.id, source_arn)),
            status: self.status,
            source_arn: source_arn.to_owned(),
            destination_arn: self.destination_arn.clone(),
            max_number_of_messages_per_second: self.rate,
            approximate_number_of_messages_moved: self.moved,
            approximate_number_of_messages_to_move: self.to_move,
            failure_reason: self.failure,
            started_timestamp: self.started_ms,
        }
    }
}

/// Moves messages step by step until the task is over, or the server stops.
async fn run(service: Arc<Service>, source: String, id: Uuid, rate: i64) {
    let (steps, per_step) =
        if rate < STEPS_PER_SECOND { (rate, 1) } else { (STEPS_PER_SECOND, rate / STEPS_PER_SECOND) };
    let pause = Duration::from_secs(1) / u32::try_from(steps).unwrap_or(1);
    loop {
        let now = service.now();
        let running = service.registry().move_some(now, &source, id, per_step);
        if !running {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = service.stopping.cancelled() => return,
        }
    }
}

impl Registry {
    /// Moves up to so many messages; says whether the task goes on.
    fn move_some(&mut self, now: Now, source: &str, id: Uuid, count: i64) -> bool {
        for _ in 0..count {
            match self.move_one(now, source, id) {
                Some(Status::Running) => {}
                Some(ended) => {
                    if let Some(task) = self.task(source, id) {
                        task.status = ended;
                    }
                    return false;
                }
                // The queue was deleted, and its task with it.
                None => return false,
            }
        }
        true
    }

    fn move_one(&mut self, now: Now, source: &str, id: Uuid) -> Option<Status> {
        let task = self.task(source, id)?;
        if task.status != Status::Running {
            return Some(task.status);
        }
        let destination_arn = task.destination_arn.clone();
        let Some(stored) = self.slot_named(source)?.queue.pop(now.elapsed) else {
            return Some(Status::Completed);
        };
        let arn = destination_arn.or_else(|| stored.dead_letter_source.as_deref().map(str::to_owned));
        let destination = arn.as_deref().and_then(|arn| self.by_arn(arn)).map(str::to_owned);
        let Some(destination) = destination else {
            self.slot_named(source)?.queue.push(now.elapsed, stored, Duration::ZERO);
            let unknown = arn.is_none();
            self.task(source, id)?.failure = Some(if unknown {
                "CouldNotDetermineMessageSource"
            } else {
                "AWS.SimpleQueueService.NonExistentQueue"
            });
            return Some(Status::Failed);
        };
        let message = Arc::unwrap_or_clone(stored.message);
        let message = Message { id: Uuid::new_v4(), sent_ms: now.wall_ms, ..message };
        let url = self.place.url(&destination);
        // The service's own deduplication must not swallow what it moves.
        let message =
            Message { deduplication: message.deduplication.map(|_| message.id.to_string().into()), ..message };
        if self.send(now, &url, message, None).is_err() {
            return Some(Status::Failed);
        }
        self.task(source, id)?.moved += 1;
        Some(Status::Running)
    }

    fn task(&mut self, source: &str, id: Uuid) -> Option<&mut Task> {
        self.slot_named(source)?.tasks.iter_mut().find(|task| task.id == id)
    }
}
