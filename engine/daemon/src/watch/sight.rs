//! What is seen of a file, and whether it is whole. Nothing here reads a file's content.

use std::{
    fs::Metadata,
    os::unix::fs::MetadataExt,
    path::Path,
    time::{Duration, Instant},
};

/// For how long a file has to be still before it is taken for whole.
pub(super) const STILL: Duration = Duration::from_secs(2);

/// What tells one content of a file from another without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    inode: u64,
    bytes: u64,
    /// Seconds and nanoseconds.
    modified: (i64, i64),
    changed: (i64, i64),
}

/// A policy's file, and the file of its terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sight {
    code: Shape,
    terms: Option<Shape>,
}

/// What has been seen of a policy so far.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sighting {
    pub(super) sight: Sight,
    /// Since when it looks like this.
    since: Instant,
    /// It was loaded or refused, and is not looked at again before it changes.
    pub(super) settled: bool,
}

impl Shape {
    fn of(file: &Metadata) -> Self {
        Self {
            inode: file.ino(),
            bytes: file.size(),
            modified: (file.mtime(), file.mtime_nsec()),
            changed: (file.ctime(), file.ctime_nsec()),
        }
    }

    /// Nothing was written into it since it got its name: writing sets both times, renaming (or
    /// setting the mode, or the time) only the second.
    fn is_renamed(&self) -> bool {
        self.changed > self.modified
    }
}

impl Sight {
    /// Of a component; none if it is no file, or is gone.
    pub(super) fn of(code: &Path) -> Option<Self> {
        let shape = |path: &Path| {
            let found = std::fs::metadata(path).ok()?;
            found.is_file().then(|| Shape::of(&found))
        };
        Some(Self {
            code: shape(code)?,
            terms: shape(&code.with_extension("toml")),
        })
    }

    fn is_renamed(&self) -> bool {
        self.code.is_renamed() && self.terms.is_none_or(|terms| terms.is_renamed())
    }
}

impl Sighting {
    pub(super) const fn new(sight: Sight, now: Instant) -> Self {
        Self {
            sight,
            since: now,
            settled: false,
        }
    }

    /// Whether it is whole: renamed into its place, or still for a while.
    pub(super) fn is_whole(&self, now: Instant) -> bool {
        self.sight.is_renamed() || now.saturating_duration_since(self.since) >= STILL
    }
}
