//! The host for AWS Lambda behind SQS: a batch for each invocation, answered message by message; and heartbeats on a
//! schedule. `docs/hosts.md` states the contract.

use std::time::{Duration, SystemTime};

use bridge_adapters::aws::lambda_event::{LambdaEvent, LambdaRecord, answer, parse};
use bridge_core::{
    invocation::{
        Halted,
        partial::{Budget, work_off},
    },
    port::Delivery,
};
use lambda_runtime::{Diagnostic, LambdaEvent as Invocation, service_fn};
use serde_json::{Value, json, value::RawValue};

use super::{send_one_heartbeat, tell};
use crate::assemble::Worksite;

/// Time of an invocation that is kept for giving back what was not done, and for the answer. Ours: a give-back is one
/// request for each message, of some 10 ms.
const RESERVE: Duration = Duration::from_secs(2);

/// Why an invocation fails as a whole: Lambda then keeps every message of the batch, and counts an error.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("{0}")]
    Payload(String),
    #[error("this function works for {ours}, and is triggered by the queue {theirs}: mend the trigger or queue_url")]
    ForeignQueue { ours: String, theirs: String },
    #[error("halted: {0}; nothing is lost; see runbooks/halted.md")]
    Halted(String),
    #[error("a message without an id is to come again, which only the whole batch can")]
    Nameless,
    #[error("no heartbeat was sent: {0}")]
    Heartbeat(String),
}

impl From<Failed> for Diagnostic {
    /// The type is what alarms can filter by.
    fn from(failed: Failed) -> Self {
        let error_type = match &failed {
            Failed::Payload(_) => "Bridge.Payload",
            Failed::ForeignQueue { .. } => "Bridge.ForeignQueue",
            Failed::Halted(_) => "Bridge.Halted",
            Failed::Nameless => "Bridge.Nameless",
            Failed::Heartbeat(_) => "Bridge.Heartbeat",
        };
        Self { error_type: error_type.to_owned(), error_message: failed.to_string() }
    }
}

/// Serves invocations until the environment is shut down.
pub(crate) async fn serve(worksite: &Worksite, portion: usize, flush: Duration) -> anyhow::Result<()> {
    tracing::info!(site = %worksite.worker.rules.site, queue = %worksite.queue, "serving as a Lambda function");
    let handle = async |invocation: Invocation<Box<RawValue>>| {
        let remaining = || remaining(invocation.context.deadline(), SystemTime::now());
        let result = invoke(worksite, invocation.payload.get(), remaining(), portion).await;
        worksite.telemetry.halted(matches!(result, Err(Failed::Halted(_))));
        // The process is frozen with the answer. What is sent must be sent now, and never costs the answer its time.
        worksite.telemetry.flush(flush.min(remaining() / 2)).await;
        result.inspect_err(|error| tracing::error!(%error))
    };
    lambda_runtime::run(service_fn(handle)).await.map_err(|error| anyhow::anyhow!("the Lambda runtime ended: {error}"))
}

/// Time until `deadline`; none once it has passed.
fn remaining(deadline: SystemTime, now: SystemTime) -> Duration {
    deadline.duration_since(now).unwrap_or_default()
}

async fn invoke(worksite: &Worksite, payload: &str, remaining: Duration, portion: usize) -> Result<Value, Failed> {
    let records = match parse(payload).map_err(Failed::Payload)? {
        LambdaEvent::Batch(records) => records,
        LambdaEvent::Heartbeat => {
            send_one_heartbeat(worksite).await.map_err(|error| Failed::Heartbeat(error.chain()))?;
            return Ok(json!({}));
        }
    };
    refuse_foreign(worksite, &records)?;

    // What has no body comes again, and goes to the queue's own dead letters in the end.
    let (readable, mut failed): (Vec<&LambdaRecord>, Vec<&LambdaRecord>) =
        records.iter().partition(|record| record.delivery.is_some());
    let batch: Vec<Delivery> = readable.iter().filter_map(|record| record.delivery.clone()).collect();
    let groups: Vec<Option<String>> = readable.iter().map(|record| record.group.clone()).collect();
    let reserve = RESERVE.min(remaining / 2);
    let budget = Budget { work: remaining.saturating_sub(reserve), give_back: reserve / 2, portion };
    let Worksite { worker, queue, dead_letters, .. } = worksite;
    let ended = work_off(worker, &**queue, &**dead_letters, &batch, &groups, budget)
        .await
        .map_err(|Halted { detail }| Failed::Halted(detail))?;

    tell(worksite, batch.iter().zip(&ended).filter_map(|(delivery, ended)| Some((delivery, ended.verdict()?)))).await;
    failed.extend(readable.iter().zip(&ended).filter(|(_, ended)| !ended.is_settled()).map(|(record, _)| *record));
    tracing::debug!(messages = records.len(), again = failed.len(), "worked off a batch");
    answer(failed).ok_or(Failed::Nameless)
}

/// A trigger on another queue would have its messages hidden and set aside in ours.
fn refuse_foreign(worksite: &Worksite, records: &[LambdaRecord]) -> Result<(), Failed> {
    let ours = worksite.queue.to_string();
    let is_ours = |theirs: &&str| ours.rsplit(' ').next() == Some(*theirs);
    match records.iter().filter_map(|record| record.queue.as_deref()).find(|theirs| !is_ours(theirs)) {
        Some(theirs) => Err(Failed::ForeignQueue { theirs: theirs.to_owned(), ours }),
        None => Ok(()),
    }
}
