//! Questions and answers over a pair of links (`$cbs`, `QUEUE/$management`), matched by message id.
//!
//! Dropping a question is safe: its late answer is thrown away. Operations as in "AMQP 1.0 in Azure Service Bus:
//! request-response-based operations", read 2026-11.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use bridge_core::failure::FailureKind;
use bytes::Bytes;
use fe2o3_amqp::{
    Receiver, Sender,
    link::SendError,
    session::SessionHandle,
    types::{
        messaging::{AmqpValue, ApplicationProperties, Message, MessageId, Outcome, Properties},
        primitives::{SimpleValue, Timestamp, Value},
    },
};
use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};
use uuid::Uuid;

use super::{
    encoding::{Item, Malformed, described, item, pairs, split, values},
    failure::{Failure, kind_of},
    wire::Line,
};
use crate::azure::service_bus::{
    message::{Wrapped, id_text, unwrapped},
    sas::Token,
};

type Question = Message<AmqpValue<Value>>;
type Asked = (String, Question, oneshot::Sender<Result<Bytes, Failure>>);

/// Questions that wait for their turn. Ours: more than are ever asked at once.
const QUESTIONS_MAX: usize = 64;

/// A pair of links; a task owns them, and ends when the last clone of this is gone.
#[derive(Clone, Debug)]
pub(crate) struct RequestLink {
    questions: mpsc::Sender<Asked>,
    address: String,
    limit: Duration,
}

impl RequestLink {
    pub(crate) async fn attach(
        session: &mut SessionHandle<()>,
        line: &Arc<Line>,
        node: &str,
        limit: Duration,
    ) -> Result<Self, Failure> {
        let address = format!("answers-{}", Uuid::new_v4());
        let sender = Sender::builder().name(format!("{address}-out")).source(address.as_str()).target(node);
        let sender = sender.attach(session).await?;
        let receiver = Receiver::builder().name(format!("{address}-in")).source(node).target(address.as_str());
        let receiver = receiver.attach(session).await?;
        let (questions, inbox) = mpsc::channel(QUESTIONS_MAX);
        tokio::spawn(serve(sender, receiver, Arc::clone(line), inbox));
        Ok(Self { questions, address, limit })
    }

    /// Whether the links are gone.
    pub(crate) fn is_ended(&self) -> bool {
        self.questions.is_closed()
    }

    /// Asks one question; returns the encoded value that is the body of its answer.
    async fn ask(&self, mut named: Vec<(String, SimpleValue)>, body: Value) -> Result<Bytes, Failure> {
        let id = Uuid::new_v4().to_string();
        let limit_ms = u32::try_from(self.limit.as_millis()).unwrap_or(u32::MAX);
        named.push(("com.microsoft:server-timeout".to_owned(), SimpleValue::Uint(limit_ms)));
        let properties = Properties {
            message_id: Some(MessageId::String(id.clone())),
            reply_to: Some(self.address.clone()),
            ..Properties::default()
        };
        let question = Message::builder()
            .properties(properties)
            .application_properties(ApplicationProperties(named.into_iter().collect()))
            .value(body)
            .build();
        let exchange = async {
            let (answer, answered) = oneshot::channel();
            let gone = || Failure::unavailable("the connection ended before the answer");
            self.questions.send((id, question, answer)).await.map_err(|_| gone())?;
            answered.await.map_err(|_| gone())?
        };
        let answer = timeout(self.limit, exchange).await.map_err(|_| Failure::timed_out("request"))??;
        read(&answer)
    }

    /// Asks the management node to do something; returns what it answered.
    pub(crate) async fn manage(&self, order: &Order) -> Result<Bytes, Failure> {
        let operation = SimpleValue::String(format!("com.microsoft:{}", order.operation));
        let fields =
            order.fields.iter().map(|(name, value)| (Value::String((*name).to_owned()), value.clone())).collect();
        self.ask(vec![("operation".to_owned(), operation)], Value::Map(fields)).await
    }

    /// Shows a token for `audience`.
    pub(crate) async fn put_token(&self, audience: &str, token: &Token) -> Result<(), Failure> {
        let text = |text: &str| SimpleValue::String(text.to_owned());
        let expires = token.expires.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let expires = Timestamp::from_milliseconds(i64::try_from(expires).unwrap_or(i64::MAX));
        let named = vec![
            ("operation".to_owned(), text("put-token")),
            ("type".to_owned(), text(token.kind)),
            ("name".to_owned(), text(audience)),
            ("expiration".to_owned(), SimpleValue::Timestamp(expires)),
        ];
        self.ask(named, Value::String(token.text.clone())).await.map(drop)
    }
}

/// Something that a queue's management node can do.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    operation: &'static str,
    fields: Vec<(&'static str, Value)>,
}

impl Order {
    /// Locks messages for a whole lock duration from now: all of them, or none where one of the locks is lost.
    pub(crate) fn renew(locks: &[Uuid]) -> Self {
        Self { operation: "renew-lock", fields: vec![("lock-tokens", lock_tokens(locks))] }
    }

    /// Completes messages by their locks: all of them, or none where one of the locks is lost.
    pub(crate) fn complete(locks: &[Uuid]) -> Self {
        Self::dispose("completed", locks)
    }

    /// Gives a message back at once.
    pub(crate) fn abandon(lock: Uuid) -> Self {
        Self::dispose("abandoned", &[lock])
    }

    /// Gives messages back at once: all of them, or none where one of the locks is lost.
    pub(crate) fn abandon_all(locks: &[Uuid]) -> Self {
        Self::dispose("abandoned", locks)
    }

    /// Moves a message to the queue's own dead letters, with a reason and its words.
    pub(crate) fn bury(lock: Uuid, reason: &str, description: &str) -> Self {
        let mut order = Self::dispose("suspended", &[lock]);
        order.fields.push(("deadletter-reason", Value::String(reason.to_owned())));
        order.fields.push(("deadletter-description", Value::String(description.to_owned())));
        order
    }

    fn dispose(status: &str, locks: &[Uuid]) -> Self {
        let fields =
            vec![("disposition-status", Value::String(status.to_owned())), ("lock-tokens", lock_tokens(locks))];
        Self { operation: "update-disposition", fields }
    }

    /// Shows up to `count` messages from a sequence number on, without locking them; see [`peeked`].
    pub(crate) fn peek(from: i64, count: i32) -> Self {
        let fields = vec![("from-sequence-number", Value::Long(from)), ("message-count", Value::Int(count))];
        Self { operation: "peek-message", fields }
    }
}

/// The encoded messages in the answer to [`Order::peek`]. With nothing to show there is no body.
pub(crate) fn peeked(answer: &Bytes) -> Vec<Bytes> {
    let Some(Ok(items)) = field(answer, "messages").map(values) else { return Vec::new() };
    let messages = items.flatten().filter_map(|entry| match field(entry, "message").map(item) {
        Some(Item::Binary(bytes)) => Some(answer.slice_ref(bytes)),
        _ => None,
    });
    messages.collect()
}

fn lock_tokens(locks: &[Uuid]) -> Value {
    Value::Array(locks.iter().map(|lock| Value::Uuid((*lock.as_bytes()).into())).collect::<Vec<_>>().into())
}

/// The value of that name in an encoded map.
fn field<'a>(map: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let is_it = |key| matches!(item(key), Item::Text(text) | Item::Symbol(text) if text == name);
    pairs(map).ok()?.flatten().find(|(key, _)| is_it(*key)).map(|(_, value)| value)
}

/// The sections of an answer that are of interest, encoded.
#[derive(Default)]
struct Answer<'a> {
    properties: &'a [u8],
    named: &'a [u8],
    body: &'a [u8],
}

impl<'a> Answer<'a> {
    fn of(mut encoded: &'a [u8]) -> Result<Self, Malformed> {
        let mut answer = Self::default();
        while let Some(&first) = encoded.first() {
            let section = split(&mut encoded)?;
            match described(section).ok_or(Malformed::Unexpected(first))? {
                (Item::Unsigned(0x73) | Item::Symbol("amqp:properties:list"), value) => answer.properties = value,
                (Item::Unsigned(0x74) | Item::Symbol("amqp:application-properties:map"), value) => answer.named = value,
                (Item::Unsigned(0x77) | Item::Symbol("amqp:amqp-value:*"), value) => answer.body = value,
                _ => {}
            }
        }
        Ok(answer)
    }

    /// The id of the question. AMQP 1.0, part 3, section 3.2.4: the sixth field.
    fn question(&self) -> Option<String> {
        values(self.properties).ok()?.nth(5)?.ok().map(item).and_then(id_text)
    }
}

/// The body of an answer, or what it refused. Two spellings of the names are in use.
pub(crate) fn read(encoded: &Bytes) -> Result<Bytes, Failure> {
    let answer = Answer::of(encoded).map_err(Failure::unavailable)?;
    let find = |names: [&str; 2]| names.iter().find_map(|name| field(answer.named, name)).map(item);
    let text = |names| match find(names) {
        Some(Item::Text(text) | Item::Symbol(text)) => text,
        _ => "",
    };
    let Some(Item::Signed(status)) = find(["statusCode", "status-code"]) else {
        return Err(Failure::unavailable("an answer without a status"));
    };
    if (200..300).contains(&status) {
        return Ok(encoded.slice_ref(answer.body));
    }
    let condition = text(["errorCondition", "error-condition"]);
    let kind = match (kind_of(condition), status) {
        (FailureKind::Unavailable, 401 | 403) => FailureKind::Unauthorized,
        (FailureKind::Unavailable, 404) => FailureKind::Missing,
        (FailureKind::Unavailable, 410) => FailureKind::LeaseLost,
        (FailureKind::Unavailable, 408 | 504) => FailureKind::TimedOut,
        (FailureKind::Unavailable, 429) => FailureKind::Throttled { retry_after: None },
        (kind, _) => kind,
    };
    let description = text(["statusDescription", "status-description"]);
    Err(Failure::new(kind, format!("{status} {condition} {description}").replace("  ", " ").trim_end().to_owned()))
}

/// Owns the two links. One task, so that no answer is lost between a question and another.
async fn serve(mut sender: Sender, mut receiver: Receiver, line: Arc<Line>, mut inbox: mpsc::Receiver<Asked>) {
    let mut waiting: HashMap<String, oneshot::Sender<Result<Bytes, Failure>>> = HashMap::new();
    let mut sending = FuturesUnordered::new();
    loop {
        tokio::select! {
            asked = inbox.recv() => {
                let Some((id, question, answer)) = asked else { break };
                waiting.retain(|_, answer| !answer.is_closed());
                waiting.insert(id.clone(), answer);
                // A send that waits for credit may outlive its connection without knowing.
                let sent = tokio::select! {
                    sent = sender.send_batchable(question) => sent,
                    () = line.ended() => break,
                };
                let Ok(sent) = sent else { break };
                sending.push(async move { (id, sent.await) });
            }
            Some((id, sent)) = sending.next() => {
                if let Some(failure) = refusal(sent)
                    && let Some(answer) = waiting.remove(&id)
                {
                    let _ = answer.send(Err(failure));
                }
            }
            delivery = receiver.recv::<Wrapped>() => {
                let Ok(delivery) = delivery else { break };
                if receiver.accept(&delivery).await.is_err() {
                    break;
                }
                let encoded = unwrapped(delivery.into_body());
                let id = Answer::of(&encoded).ok().and_then(|answer| answer.question());
                if let Some(answer) = id.and_then(|id| waiting.remove(&id)) {
                    let _ = answer.send(Ok(encoded));
                }
            }
        }
    }
    inbox.close();
    // Where the connection is gone, so is whoever would answer.
    let _ =
        timeout(Duration::from_millis(500), async { (sender.close().await.ok(), receiver.close().await.ok()) }).await;
}

fn refusal(sent: Result<Outcome, SendError>) -> Option<Failure> {
    match sent {
        Ok(Outcome::Accepted(_)) => None,
        Ok(Outcome::Rejected(rejected)) => {
            let unknown = || Failure::unavailable("the service rejected a request without a reason");
            Some(rejected.error.as_ref().map_or_else(unknown, Failure::from))
        }
        Ok(other) => Some(Failure::unavailable(format!("the service answered a request with {other:?}"))),
        Err(error) => Some(error.into()),
    }
}
