//! What takes half a minute to make is not made twice: whether what was made last time was made of the same
//! inputs, by the same recipe. Knows nothing of languages.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

/// How something is made.
#[derive(Debug)]
pub struct Recipe<'a> {
    /// Who makes it, and how: another word here is another recipe.
    pub words: &'a str,
    /// The directories with all that goes into it.
    pub inputs: &'a [&'a Path],
    /// Where it and the note about its inputs are kept; made if it is not there.
    pub work: &'a Path,
}

impl Recipe<'_> {
    /// The bytes of what `make` puts into the file that it is given, or has put there last time.
    ///
    /// # Errors
    /// If an input cannot be read, or `make` does not succeed.
    pub fn make(&self, make: impl FnOnce(&Path) -> Result<()>) -> Result<Vec<u8>> {
        let (made, note) = (self.work.join("made.wasm"), self.work.join("made.of"));
        let wanted = self.digest()?;
        if fs::read_to_string(&note).is_ok_and(|of| of == wanted)
            && let Ok(bytes) = fs::read(&made)
        {
            return Ok(bytes);
        }
        fs::create_dir_all(self.work)
            .with_context(|| format!("{} cannot be made", self.work.display()))?;
        // Until it is there again, nothing says what is there.
        fs::remove_file(&note).or_else(unless_absent)?;
        make(&made)?;
        let bytes = fs::read(&made).with_context(|| format!("reading {}", made.display()))?;
        fs::write(&note, wanted).with_context(|| format!("writing {}", note.display()))?;
        Ok(bytes)
    }

    /// Of the words, and of every file's path and content.
    fn digest(&self) -> Result<String> {
        let mut digest = Sha256::new();
        part(&mut digest, self.words.as_bytes());
        for folder in self.inputs {
            let files = files(folder)?;
            part(&mut digest, &files.len().to_le_bytes());
            for file in files {
                let content = fs::read(&file);
                let content = content.with_context(|| format!("reading {}", file.display()))?;
                let name = file.strip_prefix(folder).unwrap_or(&file);
                part(&mut digest, name.as_os_str().as_encoded_bytes());
                part(&mut digest, &content);
            }
        }
        let mut text = String::new();
        for byte in digest.finalize() {
            write!(text, "{byte:02x}").context("a string takes what is written to it")?;
        }
        Ok(text)
    }
}

/// With its length before it, so that no two lists of parts are the same bytes.
fn part(digest: &mut Sha256, bytes: &[u8]) {
    digest.update(bytes.len().to_le_bytes());
    digest.update(bytes);
}

/// All files below a directory, in order. What an interpreter keeps beside its sources is no source.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let unreadable = || format!("{} cannot be read", folder.display());
    let entries = fs::read_dir(folder).with_context(unreadable)?;
    let mut paths = entries
        .map(|entry| Ok(entry?.path()))
        .collect::<io::Result<Vec<_>>>()
        .with_context(unreadable)?;
    paths.sort();
    let mut found = Vec::new();
    for path in paths {
        if !path.is_dir() {
            found.push(path);
        } else if path.file_name().is_none_or(|name| name != "__pycache__") {
            found.extend(files(&path)?);
        }
    }
    Ok(found)
}

fn unless_absent(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound {
        return Ok(());
    }
    Err(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Makes it of what is in `folder`, and says how often `make` was called.
    fn make(folder: &Path, words: &str) -> Result<(Vec<u8>, u32)> {
        let (source, work) = (folder.join("src"), folder.join("work"));
        let recipe = Recipe {
            words,
            inputs: &[&source],
            work: &work,
        };
        let mut calls = 0;
        let bytes = recipe.make(|file| {
            calls += 1;
            Ok(fs::write(file, words)?)
        })?;
        Ok((bytes, calls))
    }

    #[test]
    fn the_same_inputs_are_not_made_again_and_others_are() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let source = folder.path().join("src");
        fs::create_dir_all(source.join("__pycache__"))?;
        fs::write(source.join("a"), "1")?;
        assert_eq!(make(folder.path(), "one")?, (b"one".to_vec(), 1));
        fs::write(source.join("__pycache__/a"), "")?;
        assert_eq!(make(folder.path(), "one")?, (b"one".to_vec(), 0));
        fs::write(source.join("a"), "2")?;
        assert_eq!(make(folder.path(), "one")?.1, 1);
        fs::rename(source.join("a"), source.join("b"))?;
        assert_eq!(make(folder.path(), "one")?.1, 1);
        assert_eq!(make(folder.path(), "two")?, (b"two".to_vec(), 1));
        Ok(())
    }

    #[test]
    fn what_failed_is_made_again() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let source = folder.path().join("src");
        fs::create_dir(&source)?;
        make(folder.path(), "one")?;
        let recipe = Recipe {
            words: "two",
            inputs: &[&source],
            work: &folder.path().join("work"),
        };
        let failed = recipe.make(|file| {
            fs::write(file, "half")?;
            anyhow::bail!("interrupted")
        });
        assert!(failed.is_err());
        assert_eq!(make(folder.path(), "one")?, (b"one".to_vec(), 1));
        Ok(())
    }
}
