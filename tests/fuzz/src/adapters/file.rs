//! A file of events and saved letters, the source of a replay.

use std::{cell::RefCell, collections::BTreeSet, fs::File, io::Write, time::Duration};

use bridge_adapters::file::FileQueue;
use bridge_core::port::{Place, Queue};
use futures_util::FutureExt;

thread_local! {
    /// One file for all inputs of this process.
    static PATH: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Whatever form it has, receiving and browsing show the same, each message under a name of its own; or both refuse it.
pub(crate) fn run(bytes: &[u8]) {
    let path = PATH.with_borrow_mut(|path| {
        path.get_or_insert_with(|| {
            let name = format!("bridge-fuzz-{}.jsonl", uuid::Uuid::now_v7());
            std::env::temp_dir().join(name).to_string_lossy().into_owned()
        })
        .clone()
    });
    File::create(&path).unwrap().write_all(bytes).unwrap();
    let queue = FileQueue::open(&path);
    let _ = std::fs::remove_file(&path);
    let Ok(queue) = queue else { return };
    let received = queue.receive(usize::MAX, Duration::ZERO).now_or_never().expect("files do not wait");
    let browsed = queue.browse(&mut Place::default(), usize::MAX).now_or_never().expect("files do not wait");
    let (received, browsed) = match (received, browsed) {
        (Ok(received), Ok(browsed)) => (received, browsed),
        (Err(received), Err(browsed)) => return assert_eq!(received.kind, browsed.kind),
        (received, browsed) => panic!("{received:?} and {browsed:?}"),
    };
    let names: BTreeSet<_> = received.iter().map(|one| &one.message_id).collect();
    assert_eq!(names.len(), received.len());
    let told = |deliveries: &[bridge_core::port::Delivery]| {
        deliveries
            .iter()
            .map(|one| (one.message_id.clone(), one.body.clone(), one.properties.clone()))
            .collect::<Vec<_>>()
    };
    assert_eq!(told(&received), told(&browsed));
}
