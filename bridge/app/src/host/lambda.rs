//! The host for AWS Lambda behind SQS: a batch for each invocation, answered message by message; and heartbeats on a
//! schedule. `docs/hosts.md` states the contract.

use std::{
    ffi::OsString,
    io::{Read, Write},
    net::{TcpStream, ToSocketAddrs},
    time::{Duration, Instant, SystemTime},
};

use axum::http::uri::Authority;
use bridge_adapters::aws::{
    fifo,
    invocation::{LambdaEvent, LambdaRecord, answer, parse},
};
use bridge_core::{
    halt::{Halt, Spot},
    invocation::partial::{Budget, Worked, work_off},
    port::Delivery,
};
use lambda_runtime::{Diagnostic, LambdaEvent as Invocation, service_fn};
use serde_json::{Value, json, value::RawValue};

use super::{BRING_MAX, own_queue::Trigger, send_one_heartbeat, state, tell, variable};
use crate::{assemble::Worksite, doctor::Diagnosis, exit::Misuse};

/// Time of an invocation that is kept for the last letters, for giving back what was not done, and for the answer; a third of a short one. Ours:
/// giving back ten messages is one request of some 10 ms, and there may be 1,000.
const RESERVE: Duration = Duration::from_secs(2);

/// Time of a heartbeat's invocation that is kept for the answer and for giving back letters. Ours: a stopped pass has 3 s, its lease 3 s more.
const BEATS_END: Duration = Duration::from_secs(8);

/// Why an invocation fails as a whole: Lambda then keeps every message of the batch, and counts an error.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("{0}")]
    Payload(String),
    #[error("{0}")]
    ForeignQueue(String),
    #[error("this function is triggered by a queue that it cannot work with: {0}")]
    FifoQueue(String),
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
            Failed::ForeignQueue(_) => "Bridge.ForeignQueue",
            Failed::FifoQueue(_) => "Bridge.FifoQueue",
            Failed::Halted(_) => "Bridge.Halted",
            Failed::Nameless => "Bridge.Nameless",
            Failed::Heartbeat(_) => "Bridge.Heartbeat",
        };
        Self { error_type: error_type.to_owned(), error_message: failed.to_string() }
    }
}

/// Serves invocations until the environment is shut down.
pub(crate) async fn serve(
    worksite: &Worksite,
    diagnosis: &Diagnosis,
    trigger: &Trigger,
    portion: usize,
    flush: Duration,
) -> anyhow::Result<()> {
    tracing::info!(site = %worksite.worker.rules.site, queue = %worksite.queue, "serving as a Lambda function");
    let handle = async |invocation: Invocation<Box<RawValue>>| {
        let remaining = || remaining(invocation.context.deadline(), SystemTime::now());
        let result = invoke(worksite, diagnosis, trigger, invocation.payload.get(), remaining(), portion).await;
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

async fn invoke(
    worksite: &Worksite,
    diagnosis: &Diagnosis,
    trigger: &Trigger,
    payload: &str,
    remaining: Duration,
    portion: usize,
) -> Result<Value, Failed> {
    let records = match parse(payload).map_err(Failed::Payload)? {
        LambdaEvent::Batch(records) => records,
        LambdaEvent::Heartbeat => {
            let time = remaining.saturating_sub(BEATS_END);
            send_one_heartbeat(worksite, time.min(BRING_MAX))
                .await
                .map_err(|error| Failed::Heartbeat(error.chain()))?;
            return Ok(json!({}));
        }
    };
    refuse_foreign(trigger, &records)?;

    // What has no body comes again, and goes to the queue's own dead letters in the end.
    let (readable, mut failed): (Vec<&LambdaRecord>, Vec<&LambdaRecord>) =
        records.iter().partition(|record| record.delivery.is_some());
    let batch: Vec<Delivery> = readable.iter().filter_map(|record| record.delivery.clone()).collect();
    let (begun, reserve) = (Instant::now(), RESERVE.min(remaining / 3));
    let budget = Budget { work: remaining.saturating_sub(reserve), give_back: reserve / 2, portion };
    let Worksite { worker, queue, dead_letters, .. } = worksite;
    let work = work_off(worker, &**queue, &**dead_letters, &batch, budget);
    let Worked { ended, halt, unfinished } = diagnosis.beside(begun + remaining, work).await;
    let halt = halt.map(|halt| diagnosis.explain(halt));

    tell(worksite, batch.iter().zip(&ended).filter_map(|(delivery, ended)| Some((delivery, ended.verdict()?)))).await;
    worksite.telemetry.halted(halt.as_ref());
    worksite.telemetry.tell_store_away(halt.as_ref());
    let applied = ended.iter().any(|ended| ended.verdict().is_some_and(|verdict| verdict.write.is_some()));
    // In what is left of the time for the work: a store that answers slowly must not cost the answer its time, again and again.
    let left = budget.work.saturating_sub(begun.elapsed());
    let _ = tokio::time::timeout(left, state::tell_of_function(worksite, halt.as_ref(), applied)).await;
    failed.extend(readable.iter().zip(&ended).filter(|(_, ended)| !ended.is_settled()).map(|(record, _)| *record));
    let (messages, again) = (records.len(), failed.len());
    tracing::debug!(messages, again, unfinished, "worked off a batch");
    let nothing_settled = again == messages;
    match halt {
        // It passes by itself, and each message comes again in its own time.
        Some(Halt { at: Spot::Away, .. }) => {}
        // An error is what alarms see. Nothing that was settled may come again by it.
        Some(halt) if nothing_settled => return Err(Failed::Halted(halt.detail)),
        Some(halt) => {
            tracing::error!(detail = halt.detail, "halted: nothing is lost; see runbooks/halted.md");
        }
        None if nothing_settled && unfinished > 0 => tracing::error!(
            messages,
            unfinished,
            worked_seconds = budget.work.as_secs_f64(),
            "this invocation settled nothing: lower the mapping's batch size, or raise the function's timeout or memory; see docs/hosts.md"
        ),
        None => {}
    }
    answer(failed).ok_or(Failed::Nameless)
}

/// A FIFO queue needs an answer of its own, which this host does not give; and a function serves its own site's queue alone.
fn refuse_foreign(trigger: &Trigger, records: &[LambdaRecord]) -> Result<(), Failed> {
    let sources = || records.iter().map(|record| record.source.as_deref());
    sources()
        .flatten()
        .filter_map(|arn| arn.rsplit(':').next())
        .try_for_each(fifo::refuse)
        .map_err(Failed::FifoQueue)?;
    trigger.check(sources()).map_err(Failed::ForeignQueue)
}

/// How long the report of a failed start may take, step by step. Ours: the Runtime API is on this machine.
const REPORT: Duration = Duration::from_secs(2);

/// Tells the Runtime API why this process does not start, so that the console shows it to whoever invokes the function.
/// One request of its own, as the runtime's client serves invocations only. It never fails: the same words stand in the log.
pub(crate) fn report_start_error(message: &str) {
    let Ok(api) = std::env::var(RUNTIME_API) else { return };
    let body = json!({ "errorMessage": message, "errorType": START_ERROR, "stackTrace": [] }).to_string();
    let request = format!(
        "POST /2018-06-01/runtime/init/error HTTP/1.1\r\nHost: {api}\r\nContent-Type: application/json\r\n\
         Lambda-Runtime-Function-Error-Type: {START_ERROR}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    let report = || -> std::io::Result<()> {
        let address = api.to_socket_addrs()?.next().ok_or(std::io::ErrorKind::AddrNotAvailable)?;
        let mut stream = TcpStream::connect_timeout(&address, REPORT)?;
        stream.set_read_timeout(Some(REPORT))?;
        stream.set_write_timeout(Some(REPORT))?;
        stream.write_all(request.as_bytes())?;
        // The answer is awaited, as the process ends next and would take the request along.
        stream.read(&mut [0; 64]).map(drop)
    };
    if let Err(error) = report() {
        tracing::warn!(%error, "the Runtime API was not told why the start failed");
    }
}

/// Names the Runtime API in the environment.
pub(super) const RUNTIME_API: &str = "AWS_LAMBDA_RUNTIME_API";

/// Refuses variables that the runtime's client would panic at. "Defined runtime environment variables" in the AWS Lambda Developer Guide, read
/// 2026-11: Lambda sets all of them.
pub(super) fn check_environment(environment: &impl Fn(&str) -> Option<OsString>) -> Result<(), Misuse> {
    let check = |name, what, is_one: &dyn Fn(&str) -> bool| {
        variable(environment, "AWS Lambda", name, what, |text| is_one(text).then_some(()))
    };
    let is_address = |text: &str| {
        let address = text.parse::<Authority>();
        address.is_ok_and(|address| !address.host().is_empty() && address.port_u16().is_some())
    };
    check(RUNTIME_API, "the host and port of its Runtime API", &is_address)?;
    check("AWS_LAMBDA_FUNCTION_NAME", "the function's name", &|text| !text.is_empty())?;
    check("AWS_LAMBDA_FUNCTION_VERSION", "the function's version", &|text| !text.is_empty())?;
    let is_memory = |text: &str| text.parse::<i32>().is_ok_and(|memory| memory > 0);
    check("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "the function's memory in MB", &is_memory)
}

/// What alarms can filter a failed start by.
const START_ERROR: &str = "Bridge.Start";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deadline_of_an_invocation_is_its_own() {
        let now = SystemTime::now();
        assert_eq!(remaining(now + Duration::from_secs(3), now), Duration::from_secs(3));
        assert_eq!(remaining(now, now + Duration::from_secs(3)), Duration::ZERO, "it has passed");
    }

    #[test]
    fn a_queue_that_is_not_the_sites_is_refused_and_a_fifo_queue_with_its_reason() {
        let url = |name: &str| format!("https://sqs.us-east-1.amazonaws.com/123456789012/{name}").parse().unwrap();
        let trigger = Trigger::new(&"aws:us-east-1".parse().unwrap(), &url("orders"), &url("dead")).unwrap();
        let refuse = |name: &str| {
            let arn = format!("arn:aws:sqs:us-east-1:123456789012:{name}");
            let payload = json!({ "Records": [{ "messageId": "m", "body": "x", "eventSourceARN": arn }] });
            let Ok(LambdaEvent::Batch(records)) = parse(&payload.to_string()) else { panic!("a batch") };
            refuse_foreign(&trigger, &records).map_err(|failed| Diagnostic::from(failed).error_type)
        };
        assert_eq!(refuse("orders"), Ok(()));
        assert_eq!(refuse("others"), Err("Bridge.ForeignQueue".to_owned()));
        assert_eq!(refuse("orders.fifo"), Err("Bridge.FifoQueue".to_owned()));
    }
}
