//! The folder for plans that nobody named: the platform's own for the state of programs, and its owner's alone.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::exit::Misuse;

/// Where plans may lie, the first choice first. A container may have no home, or one that is only read.
pub(crate) fn folders() -> Vec<PathBuf> {
    // The XDG Base Directory Specification 0.8: a path that is not absolute is ignored.
    let variable = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = variable("XDG_STATE_HOME").or_else(|| variable("HOME").map(|home| home.join(".local/state")));
    state.into_iter().chain([std::env::temp_dir()]).map(|folder| folder.join("bridge/replays")).collect()
}

/// The first of them that is there or can be made.
pub(super) fn create() -> anyhow::Result<PathBuf> {
    let mut refused = Vec::new();
    for folder in folders() {
        match private(&folder) {
            Ok(()) => return Ok(folder),
            Err(error) => refused.push(format!("{}: {error}", folder.display())),
        }
    }
    Err(Misuse(format!("no folder for the plan: {}; name a file with --plan FILE", refused.join("; "))).into())
}

/// Makes a folder that is its owner's alone, and refuses one in which nothing can be written.
fn private(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)?;
    let path = folder.join(format!("{}.try", uuid::Uuid::now_v7()));
    fs::File::create_new(&path)?;
    fs::remove_file(path)
}
