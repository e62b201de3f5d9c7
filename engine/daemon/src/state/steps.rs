//! How a set is committed: the steps, in an order in which the power may fail after any of them.
//!
//! ```text
//!   each component that is not there    write beside it, sync, rename      nothing names it yet
//!   its directory                       sync                               it will be found
//!   the set                             write beside it, sync, rename      here the set changes
//!   the directory                       sync                               it stays changed
//!   what no set names any more          remove
//! ```

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::set;
use crate::steward::Member;

/// One step of a commit.
#[derive(Debug)]
pub(super) enum Step {
    /// Bytes into a new file, down to the disk.
    Write { file: PathBuf, bytes: Arc<[u8]> },
    /// A file takes another's place.
    Rename { from: PathBuf, to: PathBuf },
    /// The names in a directory, down to the disk.
    Sync(PathBuf),
}

impl Step {
    /// What it is about.
    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Write { file: path, .. } | Self::Rename { to: path, .. } | Self::Sync(path) => {
                path
            }
        }
    }

    pub(super) fn perform(&self) -> io::Result<()> {
        match self {
            Self::Write { file, bytes } => write(file, bytes).inspect_err(|_| {
                // A disk that is full is not to stay so for half a file.
                let _ = std::fs::remove_file(file);
            }),
            Self::Rename { from, to } => std::fs::rename(from, to),
            Self::Sync(directory) => File::open(directory)?.sync_all(),
        }
    }
}

fn write(file: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut open = options.open(file)?;
    open.write_all(bytes)?;
    open.sync_all()
}

/// The steps that commit a set.
pub(super) fn commit(directory: &Path, set: &[u8], members: &[Member]) -> Vec<Step> {
    let mut steps = Vec::new();
    for member in members {
        let code = &member.entry.code;
        let file = set::component(directory, &set::digest(code));
        // One that is there and is not what its name says is written again.
        if std::fs::read(&file).is_ok_and(|there| *there == **code) {
            continue;
        }
        steps.extend(replace(&file, code.clone()));
    }
    if !steps.is_empty() {
        steps.push(Step::Sync(set::components(directory)));
    }
    steps.extend(replace(&set::set(directory), set.into()));
    steps.push(Step::Sync(directory.to_owned()));
    steps
}

fn replace(file: &Path, bytes: Arc<[u8]>) -> [Step; 2] {
    let new = file.with_extension("new");
    let write = Step::Write {
        file: new.clone(),
        bytes,
    };
    let rename = Step::Rename {
        from: new,
        to: file.to_owned(),
    };
    [write, rename]
}

/// Removes the components that no set names any more, and what a crash has left.
pub(super) fn sweep(directory: &Path, members: &[Member]) {
    let named = |member: &Member| set::component(directory, &set::digest(&member.entry.code));
    let named: Vec<_> = members.iter().map(named).collect();
    let there = std::fs::read_dir(set::components(directory));
    for file in there.into_iter().flatten().flatten() {
        if !named.contains(&file.path()) {
            // What stays is in nobody's way, and is tried again after the next change.
            let _ = std::fs::remove_file(file.path());
        }
    }
}
