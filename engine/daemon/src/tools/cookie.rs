//! The secret that a tool has to know: its SHA-1 is what goes over the wire (KVMI's
//! `introspector2qemu.cookie_hash`).

use std::path::Path;

use anyhow::{Context, bail};
use sha1::{Digest, Sha1};

/// The hash of a shared secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cookie([u8; 20]);

impl Cookie {
    /// Of the secret in this file; a line feed at its end does not count.
    pub(crate) fn load(path: &Path) -> anyhow::Result<Self> {
        let secret = std::fs::read(path)
            .with_context(|| format!("the cookie {} cannot be read", path.display()))?;
        let secret = secret.strip_suffix(b"\n").unwrap_or(&secret);
        if secret.is_empty() {
            bail!("the cookie {} is empty", path.display());
        }
        Ok(Self(Sha1::digest(secret).into()))
    }

    /// Whether a tool knows the secret. How long that takes says nothing about it.
    pub(crate) fn is(&self, shown: &[u8; 20]) -> bool {
        let differs = self.0.iter().zip(shown);
        differs.fold(0, |all, (mine, theirs)| all | (mine ^ theirs)) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_that_of_the_secret_without_its_line_feed() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "abc\n").unwrap();
        let cookie = Cookie::load(file.path()).unwrap();
        // FIPS 180-1, appendix A: SHA-1 of "abc".
        let abc = [
            0xa9, 0x99, 0x3e, 0x36, 0x47, 0x06, 0x81, 0x6a, 0xba, 0x3e, 0x25, 0x71, 0x78, 0x50,
            0xc2, 0x6c, 0x9c, 0xd0, 0xd8, 0x9d,
        ];
        assert!(cookie.is(&abc));
        assert!(!cookie.is(&[0; 20]));
    }

    #[test]
    fn an_empty_secret_is_none() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(Cookie::load(file.path()).is_err());
        assert!(Cookie::load(Path::new("/nonexistent")).is_err());
    }
}
