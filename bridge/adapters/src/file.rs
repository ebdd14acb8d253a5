//! A file as a queue that can only be read: one message a document, and nothing is ever taken out of it.

use std::{
    fmt, io,
    path::Path,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use bridge_core::{
    failure::{FailureKind, PortError},
    port::{Delivery, Message, Place, Properties, Queue, Receipt, Use},
    reason::Refusal,
};
use bytes::Bytes;
use serde_json::{Map, Value};

use crate::documents::{Document, Documents};

/// Bytes of the documents that are handed over together, give or take one. Ours: a thousand events of the usual size.
const BATCH_BYTES: usize = 8 * 1024 * 1024;

/// Members that an event has and a saved letter has not: `schema/event.v1.schema.json`, and `specversion` of a `CloudEvent`.
const OF_EVENTS: [&str; 6] = ["event_id", "source_region", "op_type", "payload", "timestamp", "specversion"];

/// A file of messages: events as they travel, or saved letters. A letter is an object with `body` (the message's text) or `body_hex` (its
/// bytes) and none of an event's members; `properties` may stand beside them.
///
/// Each is received once, in order. Nothing is hidden and nothing removed; sending is refused.
#[derive(Debug)]
pub struct FileQueue {
    path: String,
    /// How far messages were received, and looked at.
    received: Mutex<Documents>,
    shown: Mutex<Documents>,
}

/// The body and the properties of a saved letter; none if `document` is something else. The error says what is wrong with the letter.
///
/// # Errors
/// It has no body that can be sent, or properties that no queue carries.
pub fn letter(document: &[u8]) -> Result<Option<(Bytes, Properties)>, String> {
    let Ok(object) = serde_json::from_slice::<Map<String, Value>>(document) else { return Ok(None) };
    let has = |name: &str| object.contains_key(name);
    if OF_EVENTS.into_iter().any(has) || !(has("body") || has("body_hex")) {
        return Ok(None);
    }
    let body = match (object.get("body"), object.get("body_hex")) {
        (Some(Value::String(text)), None) => text.clone().into(),
        (None, Some(Value::String(digits))) => {
            hex::decode(digits).map_err(|error| format!("body_hex: must be hexadecimal digits: {error}"))?.into()
        }
        (Some(_), Some(_)) => return Err("found body and body_hex; a letter has one of the two".to_owned()),
        (Some(_), None) => return Err("body: must be the message as a text".to_owned()),
        (None, _) => return Err("body_hex: must be a text of hexadecimal digits".to_owned()),
    };
    let properties = match object.get("properties") {
        None | Some(Value::Null) => Properties::new(),
        Some(Value::Object(properties)) => {
            properties.iter().filter_map(|(name, value)| property(name, value).transpose()).collect::<Result<_, _>>()?
        }
        Some(_) => return Err("properties: must be an object".to_owned()),
    };
    Ok(Some((body, properties)))
}

/// A property as the queue has it: a text.
fn property(name: &str, value: &Value) -> Result<Option<(String, String)>, String> {
    let text = match value {
        Value::Null => return Ok(None),
        Value::String(text) => text.clone(),
        Value::Number(_) | Value::Bool(_) => value.to_string(),
        Value::Array(_) | Value::Object(_) => return Err(format!("properties: {name:?} must be a text or a number")),
    };
    Ok(Some((name.to_owned(), text)))
}

impl FileQueue {
    /// The file at `path`.
    ///
    /// # Errors
    /// It cannot be opened, is no regular file, or holds no JSON.
    pub fn open(path: &str) -> io::Result<Self> {
        let documents = || Documents::of(Path::new(path)).map(Mutex::new);
        Ok(Self { path: path.to_owned(), received: documents()?, shown: documents()? })
    }

    fn read_only(&self, operation: &'static str) -> PortError {
        let detail = "a file is only read".to_owned();
        PortError::new(self.to_string(), operation, FailureKind::Rejected { detail })
    }

    /// The next documents.
    fn next(
        &self,
        documents: &Mutex<Documents>,
        max: usize,
        operation: &'static str,
    ) -> Result<Vec<Delivery>, PortError> {
        let wrong = |detail: String| PortError::new(self.to_string(), operation, FailureKind::Rejected { detail });
        let mut documents = documents.lock().unwrap_or_else(PoisonError::into_inner);
        let mut deliveries = Vec::new();
        let mut bytes = 0;
        while deliveries.len() < max && bytes < BATCH_BYTES {
            let Some(document) = documents.read().map_err(|error| wrong(error.to_string()))? else { break };
            bytes += document.bytes.len();
            deliveries.push(delivery(document).map_err(|error| {
                wrong(format!("{}: line {}: this is no saved letter: {error}", self.path, document.line))
            })?);
        }
        Ok(deliveries)
    }
}

fn delivery(Document { line, behind, bytes }: Document<'_>) -> Result<Delivery, String> {
    let (body, properties) = letter(bytes)?.unwrap_or_else(|| (Bytes::copy_from_slice(bytes), Properties::new()));
    let message_id = if behind == 0 { format!("line-{line}") } else { format!("line-{line}.{}", behind + 1) };
    Ok(Delivery { receipt: Receipt(message_id.clone()), message_id, attempt: 1, first_seen: None, body, properties })
}

#[async_trait]
impl Queue for FileQueue {
    async fn receive(&self, max: usize, _: Duration) -> Result<Vec<Delivery>, PortError> {
        self.next(&self.received, max, "receive")
    }

    /// None: nobody else can take one.
    fn lease(&self) -> Duration {
        Duration::ZERO
    }

    async fn extend(&self, receipts: &[Receipt]) -> Vec<Result<Duration, PortError>> {
        receipts.iter().map(|_| Ok(Duration::MAX)).collect()
    }

    async fn ack(&self, receipts: &[Receipt]) -> Vec<Result<(), PortError>> {
        receipts.iter().map(|_| Ok(())).collect()
    }

    async fn retry(&self, later: &[(&Delivery, Duration)]) -> Vec<Result<(), PortError>> {
        later.iter().map(|_| Ok(())).collect()
    }

    async fn bury(&self, _: &Delivery, _: &Refusal) -> Result<bool, PortError> {
        Ok(false)
    }

    async fn probe(&self, what: Use) -> Result<(), PortError> {
        match what {
            Use::Send => Err(self.read_only("probe")),
            Use::Settle => Ok(()),
        }
    }

    async fn send(&self, messages: &[Message]) -> Vec<Result<(), PortError>> {
        messages.iter().map(|_| Err(self.read_only("send"))).collect()
    }

    async fn browse(&self, place: &mut Place, max: usize) -> Result<Vec<Delivery>, PortError> {
        let deliveries = self.next(&self.shown, max, "browse")?;
        *place = Place(place.0 + deliveries.len() as u64);
        Ok(deliveries)
    }

    async fn release(&self, receipts: &[Receipt]) -> Vec<Result<(), PortError>> {
        receipts.iter().map(|_| Ok(())).collect()
    }

    async fn close(&self) {}
}

impl fmt::Display for FileQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "file {}", self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lines::LINE_BYTES_MAX;

    fn queue(text: &str) -> (Scratch, FileQueue) {
        let path = Scratch::with(text);
        let queue = FileQueue::open(path.as_str()).unwrap();
        (path, queue)
    }

    #[tokio::test]
    async fn a_letter_whose_body_is_no_text_comes_back_byte_for_byte() {
        let (_path, queue) = queue(r#"{"body_hex":"fffe7b00","properties":{"bridge_reason":"not_json"}}"#);
        let received = queue.receive(10, Duration::ZERO).await.unwrap();
        assert_eq!((&received[0].body[..], received[0].properties.len()), (&[0xff, 0xfe, 0x7b, 0][..], 1));
    }

    fn taken(text: &str) -> Result<Option<(Bytes, usize)>, String> {
        letter(text.as_bytes()).map(|letter| letter.map(|(body, properties)| (body, properties.len())))
    }

    #[test]
    fn a_letter_is_known_by_its_body_and_an_event_by_its_own_members() {
        for text in
            [r#"{"body":"x"}"#, r#"{"body":"x","properties":null}"#, r#"{"body_hex":"78","properties":{"a":null}}"#]
        {
            assert_eq!(taken(text), Ok(Some(("x".into(), 0))), "{text}");
        }
        let counted = letter(br#"{"body":"","properties":{"a":1,"b":true,"c":1.5,"d":"x"},"queue":"q","attempt":3}"#);
        let values: Vec<_> = counted.unwrap().unwrap().1.into_values().collect();
        assert_eq!(values, ["1", "true", "1.5", "x"]);
        for text in [
            r#"{"event_id":"e","body":"x","properties":{}}"#,
            r#"{"specversion":"1.0","body":"x"}"#,
            r#"{"payload":{},"body_hex":"78"}"#,
            r#"{"properties":{}}"#,
            "[1]",
            "body",
        ] {
            assert_eq!(taken(text), Ok(None), "{text}");
        }
    }

    #[tokio::test]
    async fn a_broken_letter_is_no_event_and_ends_the_file_at_its_line() {
        for (broken, expected) in [
            (r#"{"body":5}"#, "body: must be the message as a text"),
            (r#"{"body_hex":"zz"}"#, "body_hex: must be hexadecimal digits"),
            (r#"{"body":"x","body_hex":"78"}"#, "a letter has one of the two"),
            (r#"{"body":"x","properties":[]}"#, "properties: must be an object"),
            (r#"{"body":"x","properties":{"a":{}}}"#, "properties: \"a\" must be a text or a number"),
        ] {
            let (_path, queue) = queue(&format!("one\n{broken}"));
            assert_eq!(queue.receive(1, Duration::ZERO).await.unwrap().len(), 1);
            let error = queue.receive(1, Duration::ZERO).await.unwrap_err().to_string();
            assert!(error.contains("line 2: this is no saved letter") && error.contains(expected), "{error}");
        }
    }

    #[tokio::test]
    async fn the_elements_of_an_array_have_names_of_their_own() {
        let (_path, queue) = queue(r#"[{"body":"a"},{"body":"b"}]"#);
        let received = queue.receive(10, Duration::ZERO).await.unwrap();
        let texts: Vec<_> = received.iter().map(|one| (one.message_id.as_str(), &one.body[..])).collect();
        assert_eq!(texts, [("line-1", &b"a"[..]), ("line-1.2", b"b")]);
    }

    #[tokio::test]
    async fn lines_are_shown_and_received_once_each_and_stay() {
        let saved = r#"{"body":"{\"a\":1}","properties":{"bridge_reason":"not_json","bridge_first_seen":"2026-11-21T01:02:03.000Z"}}"#;
        let (_path, queue) = queue(&format!("one\n\n  two  \n{saved}\nlast without an end"));
        let mut place = Place::default();
        let mut shown = queue.browse(&mut place, 3).await.unwrap();
        shown.extend(queue.browse(&mut place, 3).await.unwrap());
        assert!(queue.browse(&mut place, 3).await.unwrap().is_empty());
        let received = queue.receive(10, Duration::ZERO).await.unwrap();
        assert!(queue.receive(10, Duration::ZERO).await.unwrap().is_empty());
        for deliveries in [&shown, &received] {
            let texts: Vec<_> = deliveries.iter().map(|one| (one.message_id.as_str(), &one.body[..])).collect();
            let expected: [(&str, &[u8]); 4] =
                [("line-1", b"one"), ("line-3", b"two"), ("line-4", b"{\"a\":1}"), ("line-5", b"last without an end")];
            assert_eq!(texts, expected);
            assert_eq!(deliveries[2].properties["bridge_reason"], "not_json");
            assert_eq!(deliveries[2].properties["bridge_first_seen"], "2026-11-21T01:02:03.000Z");
        }
        let receipts: Vec<_> = received.into_iter().map(|one| one.receipt).collect();
        assert!(queue.ack(&receipts).await.iter().all(Result::is_ok));
        let message = Message { id: String::new(), body: Bytes::new(), properties: Properties::new() };
        assert!(queue.send(&[message]).await[0].is_err(), "a file is only read");
    }

    #[tokio::test]
    async fn a_line_without_bounds_is_refused() {
        let length = usize::try_from(LINE_BYTES_MAX).unwrap() + 1;
        let (_path, queue) = queue(&format!("one\n{}", "x".repeat(length)));
        assert_eq!(queue.receive(1, Duration::ZERO).await.unwrap().len(), 1);
        let error = queue.receive(1, Duration::ZERO).await.unwrap_err();
        assert!(error.to_string().contains("line 2 has over 8388608 bytes"), "{error}");
    }

    #[tokio::test]
    async fn many_long_lines_come_a_few_at_a_time() {
        let long = "x".repeat(BATCH_BYTES / 2 + 1);
        let (_path, queue) = queue(&format!("{long}\n{long}\n{long}\nshort\n"));
        for expected in [2, 2, 0] {
            assert_eq!(queue.receive(100, Duration::ZERO).await.unwrap().len(), expected);
        }
    }

    /// A file for one test; removed when dropped.
    struct Scratch(std::path::PathBuf);

    impl Scratch {
        fn with(text: &str) -> Self {
            let path = std::env::temp_dir().join(format!("bridge-file-{}", uuid::Uuid::new_v4()));
            std::fs::write(&path, text).unwrap();
            Self(path)
        }

        fn as_str(&self) -> &str {
            self.0.to_str().unwrap()
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.0);
        }
    }
}
