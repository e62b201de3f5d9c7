//! What a policy may be called: a name that a package, a file and a configuration take.

use crate::plan::Usage;

/// The most letters.
const MOST: usize = 64;

/// What a package cannot be called, or had better not.
const TAKEN: [&str; 14] = [
    "alloc",
    "bincode",
    "build",
    "core",
    "deps",
    "examples",
    "incremental",
    "oriel",
    "oriel-sdk",
    "proc-macro",
    "std",
    "test",
    "target",
    "wit-bindgen",
];

/// Words of Rust, which cannot be the name of a crate.
const KEYWORDS: &str = "abstract as async await become box break const continue crate do dyn else \
    enum extern false final fn for gen if impl in let loop macro match mod move mut override priv \
    pub ref return self static struct super trait true try type typeof unsafe unsized use virtual \
    where while yield";

/// Whether a policy can be called so.
pub(super) fn check(name: &str) -> Result<(), Usage> {
    let letters = |letter: char| matches!(letter, 'a'..='z' | '0'..='9' | '-');
    let begins = name.starts_with(|letter: char| letter.is_ascii_lowercase());
    if !begins || !name.chars().all(letters) || name.ends_with('-') || name.contains("--") {
        return Err(Usage::new(&format!(
            "{name:?} cannot be a policy's name: it begins with a small letter, and goes on with \
             small letters, digits and single dashes, such as `lstar-guard`"
        )));
    }
    if name.len() > MOST {
        return Err(Usage::new(&format!(
            "a policy's name has {MOST} letters at most"
        )));
    }
    if TAKEN.contains(&name) || KEYWORDS.split_whitespace().any(|word| word == name) {
        return Err(Usage::new(&format!(
            "{name:?} means something else already; take another name"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_packages_and_files() {
        for good in ["a", "lstar-guard", "w3"] {
            assert!(check(good).is_ok(), "{good}");
        }
        let long = "a".repeat(65);
        for bad in [
            "", "Guard", "3w", "a_b", "a-", "a--b", "../a", "a b", "é", "match", "std", &long,
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }
}
