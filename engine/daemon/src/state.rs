//! The last committed set of policies, on disk: written whole after every change, read when the VM
//! starts again. A half-written set is never read, and one that cannot be read is never taken for
//! an empty one.
//!
//! ```text
//!   DIR/lock                      held as long as a VM writes here
//!   DIR/set.json                  the set: names, revisions, terms, the SHA-256 of each component
//!   DIR/components/SHA-256.wasm   the components, checked against their name when they are read
//! ```

mod set;
mod steps;

use std::{
    collections::BTreeMap,
    fs::{DirBuilder, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use thiserror::Error;

use crate::{plan::StatePlan, steward::Member};

/// A set of policies, and how far their revisions were counted.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Committed {
    /// Those in force, in order.
    pub(crate) members: Vec<Member>,
    /// The highest number that was given to a revision, by the policy's name; of those that are gone
    /// too, so that no number ever names two things.
    pub(crate) counts: Counts,
}

/// The highest number that was given to a revision, by the policy's name.
pub(crate) type Counts = BTreeMap<String, u64>;

/// Where the last committed set is.
#[derive(Debug)]
pub(crate) struct StateDirectory {
    path: PathBuf,
    /// Whose set it is.
    vm: String,
    _lock: File,
}

/// Why the last committed set cannot be had, or kept.
#[derive(Debug, Error)]
pub(crate) enum StateError {
    /// The directory cannot be used.
    #[error("the state directory {} cannot be used", .0.display())]
    Directory(PathBuf, #[source] io::Error),
    /// Another VM writes there.
    #[error(
        "the state directory {} is another running VM's: give each VM its own (`--state DIR`)", .0.display()
    )]
    InUse(PathBuf),
    /// It cannot be read.
    #[error(
        "the last committed set of policies cannot be read ({}): put the file back, or begin anew with `--state-reset`", .0.display()
    )]
    Read(PathBuf, #[source] io::Error),
    /// It is not a set.
    #[error(
        "{} is not a set of policies: put it back from a copy, or begin anew with `--state-reset`", .0.display()
    )]
    NotASet(PathBuf, #[source] serde_json::Error),
    /// It is of a version that is not known.
    #[error(
        "{} is a set of version {found}, this Oriel reads version {known}: run the Oriel that wrote it, or begin anew with `--state-reset`", .file.display(), known = set::VERSION
    )]
    Version {
        /// The set.
        file: PathBuf,
        /// Its version.
        found: u32,
    },
    /// It is the set of another VM.
    #[error(
        "{} holds the policies of the VM {theirs:?}, and this is {ours:?}: give each VM its own directory, or begin anew with `--state-reset`", .file.display()
    )]
    AnotherVm {
        /// The set.
        file: PathBuf,
        /// Whose it is.
        theirs: String,
        /// Who asks.
        ours: String,
    },
    /// A component is not what was committed.
    #[error(
        "{} is not the component that was committed (its SHA-256 is {found}): put it back, or begin anew with `--state-reset`", .file.display()
    )]
    AnotherComponent {
        /// The component.
        file: PathBuf,
        /// Its digest.
        found: String,
    },
    /// It cannot be written.
    #[error("{} cannot be written; make room, and the next change will be kept", .0.display())]
    Write(PathBuf, #[source] io::Error),
}

impl StateDirectory {
    /// Takes the directory for this VM; it is made if it is not there.
    ///
    /// # Errors
    /// [`StateError`] if it cannot be used, or another VM uses it.
    pub(crate) fn open(path: &Path, vm: &str) -> Result<Self, StateError> {
        let unusable = |error| StateError::Directory(path.to_owned(), error);
        let mut private = DirBuilder::new();
        private.recursive(true).mode(0o700);
        private.create(set::components(path)).map_err(unusable)?;
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        let lock = options.open(path.join("lock")).map_err(unusable)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self {
                path: path.to_owned(),
                vm: vm.to_owned(),
                _lock: lock,
            }),
            Err(TryLockError::WouldBlock) => Err(StateError::InUse(path.to_owned())),
            Err(TryLockError::Error(error)) => Err(unusable(error)),
        }
    }

    /// The last committed set; none if there has not been any.
    ///
    /// # Errors
    /// [`StateError`] if there is one and it cannot be read, or is not what was committed.
    pub(crate) fn read(&self) -> Result<Option<Committed>, StateError> {
        set::read(&self.path, &self.vm)
    }

    /// Keeps this set in place of the last one: all of it, or nothing.
    ///
    /// # Errors
    /// [`StateError::Write`]; then the last one is still there.
    pub(crate) fn commit(&self, set: &[Member], counts: &Counts) -> Result<(), StateError> {
        let text = set::write(&self.vm, set, counts);
        for step in steps::commit(&self.path, &text, set) {
            step.perform()
                .map_err(|error| StateError::Write(step.path().to_owned(), error))?;
        }
        steps::sweep(&self.path, set);
        Ok(())
    }
}

/// The set with which a VM begins, if one is kept and counts.
pub(crate) fn opening(
    state: &StateDirectory,
    plan: &StatePlan,
) -> Result<Option<Committed>, StateError> {
    if plan.reset { Ok(None) } else { state.read() }
}

#[cfg(test)]
mod tests;
