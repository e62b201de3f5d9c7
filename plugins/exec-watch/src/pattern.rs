//! Paths as an operator writes them: one, or all that begin so. Owns what they look like and what they
//! cover; knows nothing of execs.

use oriel_sdk::{Config, Failure};

/// Which paths.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Pattern {
    Exact(String),
    Prefix(String),
}

impl Pattern {
    fn read(key: &str, text: &str) -> Result<Self, Failure> {
        let prefix = text.strip_suffix('*');
        let path = prefix.unwrap_or(text);
        let is_path = is_plain(path.as_bytes()) || text == "*";
        if !is_path || path.contains('*') {
            let rule = "a path begins with /, has no `..`, and a * may end it";
            return Err(format!("`{key}` holds {text:?}: {rule}").into());
        }
        let path = path.to_owned();
        Ok(match prefix {
            Some(_) => Self::Prefix(path),
            None => Self::Exact(path),
        })
    }

    fn covers(&self, path: &[u8]) -> bool {
        match self {
            Self::Exact(exact) => path == exact.as_bytes(),
            Self::Prefix(prefix) => path.starts_with(prefix.as_bytes()),
        }
    }
}

/// Whether one of them covers a path, byte for byte.
pub(crate) fn any(patterns: &[Pattern], path: &[u8]) -> bool {
    patterns.iter().any(|pattern| pattern.covers(path))
}

/// A path that says where it leads: from the root, and never back.
pub(crate) fn is_plain(path: &[u8]) -> bool {
    let mut names = path.split(|byte| *byte == b'/');
    path.starts_with(b"/") && names.all(|name| name != b"..")
}

/// Those of a setting.
pub(crate) fn patterns(config: &mut Config, key: &str) -> Result<Vec<Pattern>, Failure> {
    let texts: Vec<String> = config.get_or(key, Vec::new())?;
    texts.iter().map(|text| Pattern::read(key, text)).collect()
}
