//! The plan's file and its journal. Both are read and written line by line, so that neither has to fit into memory.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufRead, BufReader, BufWriter, Read, Write},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use anyhow::Context;
use bridge_core::replay::{
    journal::{Journal, Receipt},
    ledger::Ledger,
    plan::{Entry, Foot, Hash, Head, Line, Reader},
};

use chrono::{DateTime, Utc};

use super::report::Sums;
use crate::exit::Misuse;

/// Bytes of a plan's first line. Ours: a hundred thousand keys to filter by fit in.
const HEAD_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// Where a plan is kept.
#[derive(Debug)]
pub(super) struct PlanFile {
    path: PathBuf,
    there: bool,
    /// Whether somebody named it; otherwise it goes when it has done its work.
    named: bool,
}

impl PlanFile {
    /// The file at `path`, or one of this run's own in the folder for temporary files.
    pub(super) fn at(path: Option<PathBuf>) -> anyhow::Result<Self> {
        if let Some(path) = path {
            let there = path.try_exists().with_context(|| path.display().to_string())?;
            return Ok(Self { path, there, named: true });
        }
        let name = format!("bridge-replay-{}.jsonl", uuid::Uuid::now_v7());
        Ok(Self { path: std::env::temp_dir().join(name), there: false, named: false })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn journal(&self) -> PathBuf {
        beside(&self.path, "journal")
    }

    /// Whether a plan stood in it from the beginning.
    pub(super) fn is_there(&self) -> bool {
        self.there
    }

    /// What the plan that is there is about.
    pub(super) fn head(&self) -> anyhow::Result<Option<Head>> {
        if !self.there {
            return Ok(None);
        }
        let mut line = String::new();
        // A head is short; whatever else this is must not be read whole.
        BufReader::new(File::open(&self.path)?.take(HEAD_BYTES_MAX)).read_line(&mut line)?;
        match Reader::default().line(line.trim_end_matches('\n')) {
            Ok(Line::Head(head)) => Ok(Some(head)),
            _ => Err(Misuse(format!("{} is no plan of a replay", self.path.display())).into()),
        }
    }

    /// A file of its own beside the plan, for what is not ready yet.
    pub(super) fn draft(&self, name: &str) -> PathBuf {
        beside(&self.path, name)
    }

    /// Reads the whole plan. Writes from before `forgotten` may have been deleted since, and the delete forgotten.
    pub(super) fn load(&self, forgotten: DateTime<Utc>) -> anyhow::Result<(Ledger, Sums)> {
        let wrong = |error: String| Misuse(format!("{}: {error}", self.path.display()));
        let mut reader = Reader::default();
        let (mut ledger, mut sums) = (Ledger::default(), Sums::default());
        for line in BufReader::new(File::open(&self.path)?).lines() {
            match reader.line(&line?).map_err(wrong)? {
                Line::Head(head) => sums.head = Some(head),
                Line::Entry(entry) => {
                    ledger.plan(&entry);
                    sums.add(&entry, forgotten);
                }
                Line::Foot(_) => {}
            }
        }
        sums.sha256 = reader.end().map_err(wrong)?.sha256;
        Ok((ledger, sums))
    }

    /// How to go on with it.
    pub(super) fn resume(&self) -> String {
        format!("bridge replay --plan {} --resume --yes", self.path.display())
    }

    /// Removes what nobody asked to be kept, unless there is work left in it.
    pub(super) fn end(&self, done: bool) {
        if !self.named && done {
            for path in [&self.path, &self.journal()] {
                // It may not be there; and what cannot be removed is in the folder for such things.
                let _ = fs::remove_file(path);
            }
        }
    }
}

fn beside(path: &Path, name: &str) -> PathBuf {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".");
    beside.push(name);
    beside.into()
}

/// Writes a plan so that nobody ever finds half of it under its name.
pub(super) struct PlanWriter {
    hash: Hash,
    lines: Lines,
}

impl PlanWriter {
    pub(super) fn new(draft: PathBuf, head: &Head) -> anyhow::Result<Self> {
        let (mut hash, mut lines) = (Hash::default(), Lines::create(draft)?);
        hash.head(&lines.write(head)?);
        Ok(Self { hash, lines })
    }

    pub(super) fn entry(&mut self, entry: &Entry) -> anyhow::Result<()> {
        self.hash.entry(&self.lines.write(entry)?);
        Ok(())
    }

    /// Ends the plan, and gives it its name.
    pub(super) fn finish(mut self, path: &Path) -> anyhow::Result<Foot> {
        let foot = self.hash.foot();
        self.lines.write(&foot)?;
        self.lines.writer.flush()?;
        fs::rename(&self.lines.path, path).with_context(|| path.display().to_string())?;
        Ok(foot)
    }
}

/// A file that lines of JSON are written to; removed when dropped, if it still has its name.
pub(super) struct Lines {
    path: PathBuf,
    writer: BufWriter<File>,
}

impl Lines {
    pub(super) fn create(path: PathBuf) -> anyhow::Result<Self> {
        let file = File::create(&path).with_context(|| format!("{} cannot be written", path.display()))?;
        Ok(Self { path, writer: BufWriter::new(file) })
    }

    /// Writes a line; returns it.
    pub(super) fn write(&mut self, value: &impl serde::Serialize) -> anyhow::Result<String> {
        let line = serde_json::to_string(value)?;
        self.writer.write_all(line.as_bytes()).and_then(|()| self.writer.write_all(b"\n"))?;
        Ok(line)
    }

    /// What was written, from the beginning.
    pub(super) fn read(&mut self) -> anyhow::Result<io::Lines<BufReader<File>>> {
        self.writer.flush()?;
        Ok(BufReader::new(File::open(&self.path)?).lines())
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        // A finished plan has another name by now.
        let _ = fs::remove_file(&self.path);
    }
}

/// A journal in a file, one line a receipt, written through at once: SIGKILL loses nothing of it. A machine that loses its
/// power may lose the last lines, and what they say is then done again.
#[derive(Debug)]
pub(super) struct FileJournal(Mutex<File>);

impl FileJournal {
    /// Opens the journal of a plan, tells `ledger` what stands in it, and cuts off half a line that a killed run left.
    pub(super) fn open(path: &Path, sha256: &str, ledger: &mut Ledger) -> anyhow::Result<Self> {
        let wrong = |what: &str| Misuse(format!("{}: {what}", path.display()));
        let file = OpenOptions::new().read(true).append(true).create(true).open(path);
        let file = file.with_context(|| format!("{} cannot be written", path.display()))?;
        let (mut reader, mut line, mut whole) = (BufReader::new(&file), Vec::new(), 0);
        while reader.read_until(b'\n', &mut line)? > 0 && line.ends_with(b"\n") {
            whole += line.len() as u64;
            let receipt: Receipt =
                serde_json::from_slice(&line).map_err(|_| wrong("this is no journal of a replay"))?;
            if matches!(&receipt, Receipt::Begin { plan, .. } if plan != sha256) {
                return Err(wrong("it belongs to another plan: remove it, or name another file with --plan").into());
            }
            ledger.receipt(&receipt);
            line.clear();
        }
        file.set_len(whole)?;
        Ok(Self(Mutex::new(file)))
    }
}

impl Journal for FileJournal {
    fn append(&self, receipts: &[Receipt]) -> io::Result<()> {
        let mut text = Vec::new();
        for receipt in receipts {
            serde_json::to_writer(&mut text, receipt)?;
            text.push(b'\n');
        }
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write_all(&text)
    }
}
