//! Reads the files on a thread of its own: Ctrl-C must be heard while a pipe gives nothing.

use std::{
    io::{self, Read},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bridge_adapters::documents::{Document, Documents};
use bytes::Bytes;
use tokio::sync::mpsc;

/// Documents that are read ahead. Ours: each has up to 8 MiB.
const AHEAD: usize = 4;

/// A document, and where it stands.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) file: Arc<str>,
    pub(super) line: u64,
    pub(super) body: Bytes,
}

/// The documents of several files, one after the other.
pub(super) struct Reading {
    documents: mpsc::Receiver<io::Result<Found>>,
    read: Arc<AtomicU64>,
    /// The bytes of all files, where that is known.
    pub(super) total: Option<u64>,
}

impl Reading {
    /// Begins to read `files`; `-` is standard input.
    pub(super) fn of(files: Vec<PathBuf>) -> Self {
        let size =
            |file: &PathBuf| std::fs::metadata(file).ok().filter(std::fs::Metadata::is_file).map(|file| file.len());
        let total = files.iter().map(size).sum();
        let read = Arc::new(AtomicU64::new(0));
        let (sender, documents) = mpsc::channel(AHEAD);
        let count = Arc::clone(&read);
        // It ends with its process if a pipe still holds it.
        std::thread::spawn(move || {
            for file in files {
                if let Err(error) = pass(&file, &count, &sender) {
                    // Nobody listens any more, or one is told.
                    let _ = sender.blocking_send(Err(error));
                    return;
                }
            }
        });
        Self { documents, read, total }
    }

    /// The next document; none at the end of the last file.
    pub(super) async fn next(&mut self) -> Option<io::Result<Found>> {
        self.documents.recv().await
    }

    /// Bytes that were read so far, of the files as they are.
    pub(super) fn read_bytes(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }
}

/// Passes the documents of `file` on.
fn pass(file: &Path, count: &Arc<AtomicU64>, to: &mpsc::Sender<io::Result<Found>>) -> io::Result<()> {
    let (name, mut documents) = if file.as_os_str() == "-" {
        let name = "standard input";
        (name.to_owned(), Documents::new(name, io::stdin())?)
    } else {
        let counted = |opened| Counted { inner: opened, count: Arc::clone(count) };
        (file.display().to_string(), Documents::open(file, counted)?)
    };
    let name: Arc<str> = name.into();
    while let Some(Document { line, bytes, .. }) = documents.read()? {
        let read = Found { file: Arc::clone(&name), line, body: Bytes::copy_from_slice(bytes) };
        if to.blocking_send(Ok(read)).is_err() {
            break;
        }
    }
    Ok(())
}

/// Counts what is read.
struct Counted<R> {
    inner: R,
    count: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(into)?;
        self.count.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}
