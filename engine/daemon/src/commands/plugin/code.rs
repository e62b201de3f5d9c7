//! The bytes of a plugin's file. A file that can be no policy is not even read.

use std::{fs, path::Path};

use anyhow::{Context, ensure};

/// The most bytes of a plugin. An interpreter with its library has 20 MB.
const MOST: u64 = 64 << 20;

/// Reads a plugin.
pub(super) fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    let unreadable = || format!("{} cannot be read", file.display());
    let length = fs::metadata(file).with_context(unreadable)?.len();
    check(length).with_context(|| file.display().to_string())?;
    fs::read(file).with_context(unreadable)
}

/// Whether a plugin may have so many bytes.
pub(super) fn check(length: u64) -> anyhow::Result<()> {
    ensure!(
        length <= MOST,
        "this has {} MiB, and a policy may have {}: leave out data that it can be configured with, \
         and debug information",
        length >> 20,
        MOST >> 20
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_a_hundred_megabytes_is_not_read() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("large.wasm");
        fs::File::create(&path)?.set_len(100 << 20)?;
        let refused = format!("{:#}", read(&path).expect_err("it is too large"));
        assert!(
            refused.contains("large.wasm: this has 100 MiB"),
            "{refused}"
        );
        Ok(())
    }
}
