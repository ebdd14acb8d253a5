//! A file as a queue that can only be read: one message a line, and nothing is ever taken out of it.

use std::{
    fmt,
    fs::File,
    io,
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
use serde::Deserialize;

use crate::lines::Lines;

/// Bytes of the lines that are handed over together, give or take a line. Ours: a thousand events of the usual size.
const BATCH_BYTES: usize = 8 * 1024 * 1024;

/// A file of messages, one a line: an event as it travels, or a saved letter, an object with `body` (the message's text) or
/// `body_hex` (its bytes), and `properties` (texts by name).
///
/// Every line is received once, in order. Nothing is hidden and nothing removed; sending is refused.
#[derive(Debug)]
pub struct FileQueue {
    path: String,
    /// How far messages were received, and looked at.
    received: Mutex<Lines<File>>,
    shown: Mutex<Lines<File>>,
}

/// A saved letter.
#[derive(Deserialize)]
struct Saved {
    /// A text; none where the body is no text.
    body: Option<String>,
    /// Any bytes, as hexadecimal digits, where there is no text.
    body_hex: Option<String>,
    properties: Properties,
}

impl Saved {
    fn bytes(&self) -> Option<Bytes> {
        match (&self.body, &self.body_hex) {
            (Some(text), _) => Some(text.clone().into()),
            (None, Some(digits)) => hex::decode(digits).ok().map(Into::into),
            (None, None) => None,
        }
    }
}

impl FileQueue {
    /// The file at `path`.
    ///
    /// # Errors
    /// It cannot be opened, or is no regular file.
    pub fn open(path: &str) -> io::Result<Self> {
        let lines = || Lines::of(Path::new(path)).map(Mutex::new);
        Ok(Self { path: path.to_owned(), received: lines()?, shown: lines()? })
    }

    fn read_only(&self, operation: &'static str) -> PortError {
        let detail = "a file is only read".to_owned();
        PortError::new(self.to_string(), operation, FailureKind::Rejected { detail })
    }

    /// The next lines that are not blank.
    fn next(
        &self,
        lines: &Mutex<Lines<File>>,
        max: usize,
        operation: &'static str,
    ) -> Result<Vec<Delivery>, PortError> {
        let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
        let mut deliveries = Vec::new();
        let mut bytes = 0;
        while deliveries.len() < max && bytes < BATCH_BYTES {
            let line = lines.read().map_err(|error| {
                let kind = FailureKind::Rejected { detail: error.to_string() };
                PortError::new(self.to_string(), operation, kind)
            })?;
            let Some(line) = line else { break };
            let text = line.bytes.trim_ascii();
            bytes += text.len();
            if !text.is_empty() {
                deliveries.push(delivery(line.number, &Bytes::copy_from_slice(text)));
            }
        }
        Ok(deliveries)
    }
}

fn delivery(number: u64, line: &Bytes) -> Delivery {
    let saved = serde_json::from_slice::<Saved>(line).ok();
    let saved = saved.and_then(|saved| Some((saved.bytes()?, saved.properties)));
    let (body, properties) = saved.unwrap_or_else(|| (line.clone(), Properties::new()));
    let message_id = format!("line-{number}");
    Delivery { receipt: Receipt(message_id.clone()), message_id, attempt: 1, first_seen: None, body, properties }
}

#[async_trait]
impl Queue for FileQueue {
    async fn receive(&self, max: usize, _: Duration) -> Result<Vec<Delivery>, PortError> {
        self.next(&self.received, max, "receive")
    }

    /// None: nobody else can take a line.
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
