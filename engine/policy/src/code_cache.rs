//! Compiled code that is kept between runs, by wasmtime's own cache: it names an entry by the component's bytes, the
//! engine's settings, the processor's features and its own release.
//!
//! What comes out of it runs unchecked. So the directory must be this user's alone, and vendors' compiled code never
//! gets into it: only what was compiled here does.

use std::{
    fs::{self, DirBuilder},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
};

use thiserror::Error;
use wasmtime::{Cache, CacheConfig};

/// Bytes of all entries together; past them, those that were not used for longest go.
const ROOM: u64 = 1 << 30;
/// What others may do with the directory.
const OTHERS: u32 = 0o077;
/// What its owner may.
const OWNER: u32 = 0o700;

/// Why nothing is kept.
#[derive(Debug, Error)]
pub(crate) enum CodeCacheError {
    /// There is no place.
    #[error("{} cannot be used as a directory", .0.display())]
    Unusable(PathBuf, #[source] io::Error),
    /// Others could put code there, and we would run it.
    #[error(
        "{} is not a directory of this user alone, and code is run from it: `chmod 700` it, or remove it",
        .0.display()
    )]
    Shared(PathBuf),
    /// Wasmtime does not take it.
    #[error("compiled code cannot be kept in {}: {why}", .folder.display())]
    Refused {
        /// The directory.
        folder: PathBuf,
        /// Its own words.
        why: String,
    },
}

/// The cache in this directory, which is made if it is not there.
pub(crate) fn open(folder: &Path) -> Result<Cache, CodeCacheError> {
    let unusable = |error| CodeCacheError::Unusable(folder.into(), error);
    let folder = std::path::absolute(folder).map_err(unusable)?;
    make(&folder).map_err(unusable)?;
    if !is_ours_alone(&folder).map_err(unusable)? {
        return Err(CodeCacheError::Shared(folder));
    }
    let mut config = CacheConfig::new();
    config
        .with_directory(&folder)
        .with_files_total_size_soft_limit(ROOM);
    Cache::new(config).map_err(|error| CodeCacheError::Refused {
        folder,
        why: format!("{error:#}"),
    })
}

fn make(folder: &Path) -> io::Result<()> {
    if let Some(above) = folder.parent() {
        fs::create_dir_all(above)?;
    }
    let made = DirBuilder::new().mode(OWNER).create(folder);
    made.or_else(|error| {
        let there = error.kind() == io::ErrorKind::AlreadyExists;
        if there { Ok(()) } else { Err(error) }
    })
}

/// A link is nobody's: where it leads can change.
fn is_ours_alone(folder: &Path) -> io::Result<bool> {
    let found = fs::symlink_metadata(folder)?;
    let own = found.uid() == rustix::process::geteuid().as_raw();
    Ok(found.is_dir() && own && found.mode() & OTHERS == 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs::Permissions, os::unix::fs::PermissionsExt};

    #[test]
    fn a_new_directory_is_its_users_alone() {
        let above = tempfile::tempdir().unwrap();
        let folder = above.path().join("a/code");
        open(&folder).unwrap();
        assert_eq!(fs::metadata(&folder).unwrap().mode() & 0o777, OWNER);
        open(&folder).unwrap();
    }

    #[test]
    fn what_others_can_reach_is_refused() {
        let above = tempfile::tempdir().unwrap();
        let folder = above.path().join("code");
        open(&folder).unwrap();
        fs::set_permissions(&folder, Permissions::from_mode(0o770)).unwrap();
        let refused = open(&folder).expect_err("the group can write there");
        assert!(refused.to_string().contains("chmod 700"), "{refused}");

        fs::set_permissions(&folder, Permissions::from_mode(OWNER)).unwrap();
        let link = above.path().join("link");
        std::os::unix::fs::symlink(&folder, &link).unwrap();
        assert!(matches!(open(&link), Err(CodeCacheError::Shared(_))));
        let file = above.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(matches!(open(&file), Err(CodeCacheError::Shared(_))));
    }
}
