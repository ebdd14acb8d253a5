//! A wrong source, and the sources in which all of them sleep: each of their changes asks a switch, so that one build serves all.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

/// One wrong source.
#[derive(Debug)]
pub(crate) struct Mutant {
    /// Its name.
    pub(crate) name: &'static str,
    /// The folder and the file that it changes.
    pub(crate) file: (&'static str, &'static str),
    /// The text that is there, exactly once.
    pub(crate) old: &'static str,
    /// The text instead; `MUTANT` in it is true while this mutant is on trial.
    pub(crate) new: &'static str,
    /// Who must notice. Its table says how that is written.
    pub(crate) noticed_by: &'static str,
}

macro_rules! mutants {
    ($folder:literal; $($name:literal in $file:literal, noticed by $by:literal: $old:literal => $new:literal;)*) => {
        &[$(crate::mutant::Mutant { name: $name, file: ($folder, $file), old: $old, new: $new, noticed_by: $by }),*]
    };
}
pub(crate) use mutants;

impl Mutant {
    /// The path of its file from the root.
    pub(crate) fn path(&self) -> String {
        let (folder, file) = self.file;
        match file.strip_prefix("../../") {
            Some(elsewhere) => format!("bridge/{elsewhere}"),
            None => format!("{folder}/{file}"),
        }
    }
}

/// The switch, for a crate's root. Tests have the number from their environment.
pub(crate) const SWITCH: &str = r#"
const UNSET: usize = usize::MAX;
static MUTANT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(UNSET);
/// Puts one mutant on trial.
pub fn put_on_trial(number: usize) {
    MUTANT.store(number, std::sync::atomic::Ordering::SeqCst);
}
/// Whether this mutant is on trial.
pub fn on_trial(number: usize) -> bool {
    let mut on_trial = MUTANT.load(std::sync::atomic::Ordering::Relaxed);
    if on_trial == UNSET {
        on_trial = std::env::var("MUTANT").map_or(UNSET - 1, |number| number.parse().expect("a number"));
        put_on_trial(on_trial);
    }
    on_trial == number
}
"#;

/// Every source below `root` that a mutant changes, with all of them asleep; or which of them do not fit any more. `switch`: the crate that
/// holds the switch, for a path.
pub(crate) fn asleep<'a>(
    root: &Path,
    mutants: impl IntoIterator<Item = &'a Mutant>,
    switch: impl Fn(&str) -> &'static str,
) -> Result<BTreeMap<PathBuf, String>, Vec<String>> {
    let (mut sources, mut misfits) = (BTreeMap::new(), Vec::new());
    for (number, mutant) in mutants.into_iter().enumerate() {
        let (name, path) = (mutant.name, mutant.path());
        let source = sources
            .entry(PathBuf::from(&path))
            .or_insert_with(|| fs::read_to_string(root.join(&path)).unwrap_or_default());
        if !mutant.new.contains("MUTANT") {
            misfits.push(format!("{name}: it changes nothing"));
        }
        if source.matches(mutant.old).count() != 1 {
            misfits.push(format!("{name}: not once in {path}: {}", mutant.old));
            continue;
        }
        let new = mutant.new.replace("MUTANT", &format!("{}::on_trial({number})", switch(&path)));
        *source = source.replacen(mutant.old, &new, 1);
    }
    if misfits.is_empty() { Ok(sources) } else { Err(misfits) }
}

/// Writes into the copy `tree` what [`asleep`] made of it, and the switch.
pub(crate) fn put_to_sleep<'a>(
    tree: &Path,
    mutants: impl IntoIterator<Item = &'a Mutant>,
    switch: impl Fn(&str) -> &'static str,
    roots: &[&str],
) {
    let sources = asleep(tree, mutants, switch);
    let sources = sources.unwrap_or_else(|misfits| panic!("write these mutants anew:\n{}", misfits.join("\n")));
    for (path, text) in sources {
        write(&tree.join(path), &text);
    }
    for root in roots {
        let path = tree.join(root);
        write(&path, &(read(&path) + SWITCH));
    }
}

/// Copies a folder with all that is in it, but for folders of these names.
pub(crate) fn copy(from: &Path, to: &Path, without: &[&str]) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (name, kind) = (entry.file_name(), entry.file_type()?);
        let to = to.join(&name);
        if without.iter().any(|without| name == *without) {
            continue;
        }
        if kind.is_dir() {
            copy(&entry.path(), &to, without)?;
        } else {
            fs::copy(entry.path(), &to)?;
        }
    }
    Ok(())
}

pub(crate) fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

pub(crate) fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().expect("it lies in the copy")).expect("the copy can be written");
    fs::write(path, text).expect("the copy can be written");
}
