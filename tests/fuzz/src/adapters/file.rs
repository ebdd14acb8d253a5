//! A file of events and saved letters, the source of a replay.

use std::{cell::RefCell, fs::File, io::Write, time::Duration};

use bridge_adapters::file::FileQueue;
use bridge_core::port::{Place, Queue};
use futures_util::FutureExt;

thread_local! {
    /// One file for all inputs of this process.
    static PATH: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Every line that is not blank is a message, in order; receiving and browsing show the same.
pub(crate) fn run(bytes: &[u8]) {
    let path = PATH.with_borrow_mut(|path| {
        path.get_or_insert_with(|| {
            let name = format!("bridge-fuzz-{}.jsonl", uuid::Uuid::now_v7());
            std::env::temp_dir().join(name).to_string_lossy().into_owned()
        })
        .clone()
    });
    File::create(&path).unwrap().write_all(bytes).unwrap();
    let queue = FileQueue::open(&path).unwrap();
    let _ = std::fs::remove_file(&path);
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()).count();
    let received = queue.receive(usize::MAX, Duration::ZERO).now_or_never().expect("files do not wait").unwrap();
    let browsed = queue.browse(&mut Place::default(), usize::MAX).now_or_never().expect("files do not wait").unwrap();
    assert_eq!(received.len(), lines);
    let told = |deliveries: &[bridge_core::port::Delivery]| {
        deliveries
            .iter()
            .map(|one| (one.message_id.clone(), one.body.clone(), one.properties.clone()))
            .collect::<Vec<_>>()
    };
    assert_eq!(told(&received), told(&browsed));
}
