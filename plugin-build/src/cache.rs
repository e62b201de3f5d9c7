//! What is kept between checkouts: where it is, and how it comes to be there whole or not at all.
//!
//! Knows nothing of what is kept.

use std::env;
use std::ffi::OsString;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::process;

use anyhow::{Context, Result};

/// A directory outside the checkout. May be deleted at any time; `setup` makes it anew.
pub struct Cache {
    root: PathBuf,
}

impl Cache {
    /// `$ORIEL_CACHE`, else `$XDG_CACHE_HOME/oriel`, else `~/.cache/oriel`.
    pub fn open() -> Result<Self> {
        let root = root(|name| env::var_os(name).filter(|value| !value.is_empty()))
            .context("no place for the cache: set ORIEL_CACHE to a directory")?;
        let root = std::path::absolute(root).context("where the cache is")?;
        Ok(Self { root })
    }

    /// The path of something kept.
    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.root.join(name)
    }

    /// Waits until no other set-up is at work here. Free again when the answer is dropped.
    pub fn lock(&self) -> Result<File> {
        let path = self.join("lock");
        fs::create_dir_all(&self.root)
            .and_then(|()| File::create(&path))
            .and_then(wait_for)
            .with_context(|| format!("cannot lock {}", path.display()))
    }

    /// Lets `make` fill an empty directory, then moves it to `place` in one go.
    ///
    /// Only for the holder of the lock: what interrupted runs left is removed. A directory of
    /// our own, because a program that such a run started may still be at work in its.
    pub fn make(&self, place: &Path, make: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
        let left_over = self.join("unfinished");
        fs::remove_dir_all(&left_over).ok();
        let unfinished = left_over.join(process::id().to_string());
        fs::create_dir_all(&unfinished)?;
        make(&unfinished)?;
        fs::create_dir_all(place.parent().context("a place in the cache")?)?;
        remove(place)?;
        fs::rename(&unfinished, place)
            .with_context(|| format!("cannot move {} to its place", unfinished.display()))?;
        fs::remove_dir(&left_over).ok();
        Ok(())
    }
}

fn root(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let own = variable("ORIEL_CACHE").map(PathBuf::from);
    let xdg = || variable("XDG_CACHE_HOME").map(|base| Path::new(&base).join("oriel"));
    let home = || variable("HOME").map(|home| Path::new(&home).join(".cache/oriel"));
    own.or_else(xdg).or_else(home)
}

fn wait_for(file: File) -> std::io::Result<File> {
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            eprintln!("setup: waiting for another set-up to end");
            file.lock()?;
        }
        Err(TryLockError::Error(error)) => return Err(error),
    }
    Ok(file)
}

/// Removes a directory with all that is in it, if it is there.
pub fn remove(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("removing {}", folder.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root_with(variables: &[(&str, &str)]) -> Option<PathBuf> {
        root(|name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| OsString::from(value))
        })
    }

    #[test]
    fn the_most_specific_variable_says_where_the_cache_is() {
        let all = [
            ("HOME", "/h"),
            ("XDG_CACHE_HOME", "/x"),
            ("ORIEL_CACHE", "/o"),
        ];
        assert_eq!(root_with(&all), Some("/o".into()));
        assert_eq!(root_with(&all[..2]), Some("/x/oriel".into()));
        assert_eq!(root_with(&all[..1]), Some("/h/.cache/oriel".into()));
        assert_eq!(root_with(&[]), None);
    }

    #[test]
    fn what_fails_half_way_is_not_there_and_does_not_stay() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let cache = Cache {
            root: folder.path().into(),
        };
        let place = cache.join("kept/thing");
        let broken = cache.make(&place, |at| {
            fs::write(at.join("half"), "")?;
            anyhow::bail!("interrupted")
        });
        assert!(broken.is_err() && !place.exists());

        cache.make(&place, |at| Ok(fs::write(at.join("whole"), "")?))?;
        assert!(place.join("whole").exists() && !place.join("half").exists());
        Ok(())
    }
}
