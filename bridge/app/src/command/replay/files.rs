//! The plan's file and its journal. Both are read and written line by line, so that neither has to fit into memory.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufRead, BufReader, BufWriter, Seek, Write},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use anyhow::Context;
use bridge_adapters::lines;
use bridge_ops::replay::{
    journal::{Journal, Receipt},
    ledger::Ledger,
    plan::{Entry, Foot, Hash, Head, Line, Reader},
    planner::{Spool, SpooledLines},
};

use chrono::{DateTime, Utc};

use super::{folder, sums::Sums};
use crate::exit::Misuse;

/// Where a plan is kept.
#[derive(Debug)]
pub(super) struct PlanFile {
    path: PathBuf,
    there: bool,
    /// Whether somebody named it; otherwise it goes when it has done its work.
    named: bool,
}

impl PlanFile {
    /// The file at `path`, or one of this run's own in the folder for such.
    pub(super) fn at(path: Option<PathBuf>) -> anyhow::Result<Self> {
        if let Some(path) = path {
            let there = path.try_exists().with_context(|| path.display().to_string())?;
            if path.is_dir() {
                return Err(Misuse(format!("--plan {}: this is a folder; name a file in it", path.display())).into());
            }
            return Ok(Self { path, there, named: true });
        }
        let path = folder::create()?.join(format!("{}.jsonl", uuid::Uuid::now_v7()));
        Ok(Self { path, there: false, named: false })
    }

    /// One that nobody named, and that is still there.
    pub(super) fn left_over(path: PathBuf) -> Self {
        Self { path, there: true, named: false }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn journal(&self) -> PathBuf {
        beside(&self.path, "journal")
    }

    /// The file, where somebody named it.
    pub(super) fn named(&self) -> Option<&Path> {
        self.named.then_some(&self.path)
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
        let none = || Misuse(format!("{} is no plan of a replay", self.path.display()));
        let mut lines = lines::Lines::of(&self.path).map_err(misuse)?;
        let line = lines.read().map_err(misuse)?.ok_or_else(none)?;
        let text = text(&line).map_err(|_| none())?;
        match Reader::default().line(text) {
            Ok(Line::Head(head)) => Ok(Some(head)),
            // One of another version.
            Err(error) if serde_json::from_str::<Line>(text).is_ok() => {
                Err(Misuse(format!("{}: {error}", self.path.display())).into())
            }
            _ => Err(none().into()),
        }
    }

    /// Gives its place to another plan where it has no message, so that nothing can be left of it.
    pub(super) fn discard_if_empty(&mut self) -> anyhow::Result<()> {
        if self.there && self.head()?.is_some() && self.is_empty()? {
            fs::remove_file(&self.path).with_context(|| self.path.display().to_string())?;
            match fs::remove_file(self.journal()) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
                _ => self.there = false,
            }
        }
        Ok(())
    }

    fn is_empty(&self) -> anyhow::Result<bool> {
        let mut lines = lines::Lines::of(&self.path).map_err(misuse)?;
        lines.read().map_err(misuse)?;
        let second = lines.read().map_err(misuse)?;
        Ok(second.is_some_and(|line| serde_json::from_slice::<Foot>(line.bytes).is_ok()))
    }

    /// Passes each entry of a plan that was [loaded](Self::load) to `each`.
    pub(super) fn entries(&self, mut each: impl FnMut(Entry) -> anyhow::Result<()>) -> anyhow::Result<()> {
        let mut lines = lines::Lines::of(&self.path).map_err(misuse)?;
        while let Some(line) = lines.read().map_err(misuse)? {
            if let Line::Entry(entry) = serde_json::from_slice(line.bytes)? {
                each(*entry)?;
            }
        }
        Ok(())
    }

    /// The words for a plan that cannot be run here. `why`: what is not as it was.
    pub(super) fn is_of_another(&self, why: &str) -> Misuse {
        let path = self.path.display();
        Misuse(format!(
            "{path} was made for another configuration: {why}. It does not say what is owed now: make a new plan under \
             another name, and run that; what this one has brought stays brought"
        ))
    }

    /// A file of this process's own beside the plan, for what is not ready yet.
    pub(super) fn draft(&self, name: &str) -> PathBuf {
        beside(&self.path, &format!("{}.{name}", std::process::id()))
    }

    /// Reads the whole plan, and what its journal has of it. Writes from before `forgotten` may have been deleted since, and the delete
    /// forgotten.
    pub(super) fn load(&self, forgotten: DateTime<Utc>) -> anyhow::Result<Loaded> {
        let wrong = |error: String| Misuse(format!("{}: {error}", self.path.display()));
        let mut reader = Reader::default();
        let (mut ledger, mut sums) = (Ledger::default(), Sums::default());
        let mut lines = lines::Lines::of(&self.path).map_err(misuse)?;
        while let Some(line) = lines.read().map_err(misuse)? {
            match reader.line(text(&line).map_err(wrong)?).map_err(wrong)? {
                Line::Head(head) => {
                    ledger = Ledger::of(&head.from.parse().map_err(wrong)?);
                    sums.head = Some(head);
                }
                Line::Entry(entry) => {
                    ledger.plan(&entry);
                    sums.add(&entry, forgotten);
                }
                Line::Foot(_) => {}
            }
        }
        sums.sha256 = reader.end().map_err(wrong)?.sha256;
        let journal_bytes = FileJournal::recall(&self.journal(), &sums.sha256, &mut ledger)?;
        (sums.brought, sums.open) = (ledger.brought(), ledger.open());
        Ok(Loaded { ledger, sums, journal_bytes })
    }

    /// How to go on with it, in a shell; `config` and `rate` where they were given by flag.
    pub(super) fn resume(&self, config: Option<&str>, rate: Option<f64>, edit_with: Option<&str>) -> String {
        let flag = |name: &str, value: Option<&str>| {
            value.map(|value| format!(" {name} {}", shlex::try_quote(value).unwrap_or_default())).unwrap_or_default()
        };
        let (config, edit_with) = (flag("--config", config), flag("--edit-with", edit_with));
        let rate = rate.map(|rate| format!(" --rate {rate}")).unwrap_or_default();
        format!(
            "bridge replay --plan {} --resume --yes{rate}{edit_with}{config}",
            shlex::try_quote(&self.path.display().to_string()).unwrap_or_default()
        )
    }

    /// What to type after a look at this plan, so that it is not made once more.
    pub(super) fn offer(&self, config: Option<&str>, edit_with: Option<&str>) -> String {
        if self.named {
            return format!("to run it: {}", self.resume(config, None, edit_with).replace(" --resume", ""));
        }
        "to run just this plan: add --plan FILE, and then run: bridge replay --plan FILE --yes".to_owned()
    }

    /// Removes what nobody asked to be kept, unless there is work left in it.
    pub(super) fn end(&self, done: bool) {
        if !self.named && done {
            for path in [&self.path, &self.journal()] {
                // It may not be there; and bridge plans shows what could not be removed.
                let _ = fs::remove_file(path);
            }
        }
    }
}

/// A plan, and how far it has come.
pub(super) struct Loaded {
    pub(super) ledger: Ledger,
    pub(super) sums: Sums,
    /// Bytes of the journal that are whole lines.
    pub(super) journal_bytes: u64,
}

/// A line of a plan, without its line feed.
fn text<'a>(line: &lines::Line<'a>) -> Result<&'a str, String> {
    let text = std::str::from_utf8(line.bytes).map_err(|_| format!("line {} is not UTF-8", line.number))?;
    Ok(text.strip_suffix('\n').unwrap_or(text))
}

/// What cannot be read as it must be: another file has to be named.
#[allow(clippy::needless_pass_by_value, reason = "for map_err")]
fn misuse(error: io::Error) -> Misuse {
    Misuse(error.to_string())
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

    /// Ends the plan, and gives it its name. A plan that another process made under this name meanwhile stays: what it has brought
    /// stands in its journal.
    pub(super) fn finish(mut self, path: &Path) -> anyhow::Result<Foot> {
        let foot = self.hash.foot();
        self.lines.write(&foot)?;
        self.lines.writer.flush().map_err(|error| unwritten(&self.lines.path, &error))?;
        match fs::hard_link(&self.lines.path, path) {
            // The draft's own name goes with `lines`.
            Ok(()) => Ok(foot),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(Misuse(format!(
                "{}: another replay made its plan in this file meanwhile; name another file, or run this again to go on with that plan",
                path.display()
            ))
            .into()),
            // A file system without links.
            Err(_) => fs::rename(&self.lines.path, path).map(|()| foot).with_context(|| path.display().to_string()),
        }
    }
}

/// The error, with the file that it is about.
pub(super) fn unwritten(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{} cannot be written: {error}", path.display()))
}

/// A new file is its owner's alone to read: it holds keys, and what letters say.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// A file without a name, for what lies between two passes of the planner: it goes with its process, however that ends.
pub(super) struct Nameless {
    /// Where it was made.
    path: PathBuf,
    writer: BufWriter<File>,
    reader: File,
}

impl Nameless {
    /// In the place of `path`, which it has for a moment.
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        let writer = BufWriter::new(private().create(true).truncate(true).open(path)?);
        let reader = File::open(path)?;
        fs::remove_file(path)?;
        Ok(Self { path: path.to_owned(), writer, reader })
    }
}

impl Spool for Nameless {
    fn push(&mut self, line: &str) -> io::Result<()> {
        writeln!(self.writer, "{line}").map_err(|error| unwritten(&self.path, &error))
    }

    fn read(&mut self) -> io::Result<SpooledLines> {
        self.writer.flush().map_err(|error| unwritten(&self.path, &error))?;
        self.reader.rewind()?;
        Ok(Box::new(BufReader::new(self.reader.try_clone()?).lines()))
    }
}

/// A file that lines of JSON are written to; removed when dropped, if it still has its name.
pub(super) struct Lines {
    path: PathBuf,
    writer: BufWriter<File>,
}

impl Lines {
    pub(super) fn create(path: PathBuf) -> anyhow::Result<Self> {
        let file = private().create(true).truncate(true).open(&path).map_err(|error| unwritten(&path, &error))?;
        Ok(Self { path, writer: BufWriter::new(file) })
    }

    /// Writes a line; returns it.
    pub(super) fn write(&mut self, value: &impl serde::Serialize) -> anyhow::Result<String> {
        let line = serde_json::to_string(value)?;
        writeln!(self.writer, "{line}").map_err(|error| unwritten(&self.path, &error))?;
        Ok(line)
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
pub(super) struct FileJournal {
    path: PathBuf,
    file: Mutex<File>,
}

impl FileJournal {
    /// Tells `ledger` what stands in the journal of a plan; answers how many bytes of it are whole lines: a killed run may have
    /// left half a one. No journal is an empty one.
    fn recall(path: &Path, sha256: &str, ledger: &mut Ledger) -> anyhow::Result<u64> {
        let wrong = |what: &str| Misuse(format!("{}: {what}", path.display()));
        let mut lines = match lines::Lines::of(path) {
            Ok(lines) => lines,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            Err(error) => return Err(misuse(error).into()),
        };
        let mut whole = 0;
        while let Some(line) = lines.read().map_err(misuse)?.filter(|line| line.bytes.ends_with(b"\n")) {
            whole += line.bytes.len() as u64;
            let receipt: Receipt =
                serde_json::from_slice(line.bytes).map_err(|_| wrong("this is no journal of a replay"))?;
            if matches!(&receipt, Receipt::Begin { plan, .. } if plan != sha256) {
                return Err(wrong("it belongs to another plan: remove it, or name another file with --plan").into());
            }
            ledger.receipt(&receipt);
        }
        Ok(whole)
    }

    /// Opens a journal to go on with; of what it has so many bytes are whole lines.
    pub(super) fn open(path: &Path, whole: u64) -> anyhow::Result<Self> {
        let file = private().append(true).create(true).open(path);
        let file = file.and_then(|file| file.set_len(whole).map(|()| file)).map_err(|error| unwritten(path, &error))?;
        Ok(Self { path: path.to_owned(), file: Mutex::new(file) })
    }
}

impl Journal for FileJournal {
    fn append(&self, receipts: &[Receipt]) -> io::Result<()> {
        let mut text = Vec::new();
        for receipt in receipts {
            serde_json::to_writer(&mut text, receipt)?;
            text.push(b'\n');
        }
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(&text).map_err(|error| unwritten(&self.path, &error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever is killed while it plans leaves no file behind.
    #[test]
    fn a_spool_has_no_name() {
        let folder = std::env::temp_dir().join(format!("bridge-test-{}", uuid::Uuid::now_v7()));
        fs::create_dir(&folder).unwrap();
        let mut spool = Nameless::create(&folder.join("plan.jsonl.draft")).unwrap();
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
        for lines in [&["a"][..], &["a", "b"]] {
            spool.push(lines[lines.len() - 1]).unwrap();
            assert_eq!(spool.read().unwrap().map(Result::unwrap).collect::<Vec<_>>(), lines);
        }
        fs::remove_dir(folder).unwrap();
    }

    /// Whoever is killed right behind a removal has it in the journal.
    #[test]
    fn a_receipt_is_in_the_file_at_once() {
        let path = std::env::temp_dir().join(format!("bridge-test-{}.journal", uuid::Uuid::now_v7()));
        let journal = FileJournal::open(&path, 0).unwrap();
        for count in 1..=2 {
            journal.append(&[Receipt::Begin { plan: "a plan".to_owned(), at: "now".to_owned() }]).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), count);
        }
        fs::remove_file(path).unwrap();
    }

    #[test]
    fn a_plan_takes_no_other_plans_place() {
        let folder = std::env::temp_dir().join(format!("bridge-test-{}", uuid::Uuid::now_v7()));
        fs::create_dir(&folder).unwrap();
        let path = folder.join("plan.jsonl");
        let finish = |name: &str| {
            let mut lines = Lines::create(folder.join(name)).unwrap();
            lines.write(&name).unwrap();
            PlanWriter { hash: Hash::default(), lines }.finish(&path)
        };
        finish("first").unwrap();
        let error = finish("second").unwrap_err();
        assert!(error.is::<Misuse>() && error.to_string().contains("another replay made its plan"), "{error}");
        assert!(fs::read_to_string(&path).unwrap().starts_with("\"first\""));
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "no draft stays");
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn the_line_that_goes_on_is_whole_and_safe_for_a_shell() {
        let at = |path: &str| PlanFile { path: path.into(), there: false, named: true };
        let plain = at("/tmp/owed-2026-11-21.jsonl");
        assert_eq!(plain.resume(None, None, None), "bridge replay --plan /tmp/owed-2026-11-21.jsonl --resume --yes");
        assert_eq!(
            at("my plan's.jsonl").resume(Some("a b.toml"), Some(0.5), None),
            r#"bridge replay --plan "my plan's.jsonl" --resume --yes --rate 0.5 --config 'a b.toml'"#
        );
    }
}
