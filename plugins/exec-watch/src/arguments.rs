//! The arguments of an exec: texts one behind the other, where the kernel has copied them to. Owns
//! which of them are known; a count is the kernel's word, a text is what lies there.

use std::fmt;

use oriel_sdk::MemoryRead;

use crate::bytes::Space;
use crate::words::shown;

/// The most that are read, and in how many bytes.
const MOST: u32 = 64;
const BYTES: u64 = 4096;
/// The most characters that are shown of all, and of one.
const SHOWN: usize = 1024;
const SHOWN_EACH: usize = 256;

/// What is known of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Arguments {
    /// How many there are.
    pub(crate) count: Option<u32>,
    /// The first of them.
    known: Vec<Vec<u8>>,
    /// There are more, which nobody has tried to read.
    cut: bool,
}

/// Reads those that begin there.
pub(crate) fn read(count: u32, gva: u64, space: Space, host: &mut impl MemoryRead) -> Arguments {
    let wanted = count.min(MOST);
    let bytes = space.up_to(gva, BYTES, wanted, host);
    let mut texts: Vec<Vec<u8>> = bytes.split(|byte| *byte == 0).map(<[u8]>::to_vec).collect();
    // What follows the last zero is none, or has no end.
    texts.pop();
    texts.truncate(wanted.try_into().unwrap_or(usize::MAX));
    let is_full = u64::try_from(bytes.len()).is_ok_and(|length| length == BYTES);
    Arguments {
        count: Some(count),
        cut: is_full || count > MOST,
        known: texts,
    }
}

impl Arguments {
    /// Of which no text is known.
    pub(crate) const fn unknown(count: Option<u32>) -> Self {
        Self {
            count,
            known: Vec::new(),
            cut: false,
        }
    }

    /// How many are not known.
    fn missing(&self) -> Option<usize> {
        let count = usize::try_from(self.count?).ok()?;
        Some(count.saturating_sub(self.known.len()))
    }
}

/// As a list of quoted texts. What cannot be read is `unknown`, without quotes; what is too long to
/// be shown is `…`.
impl fmt::Display for Arguments {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.count.is_none() {
            return to.write_str("unknown");
        }
        let mut left = SHOWN;
        let mut words = Vec::new();
        for text in &self.known {
            let text = shown(text, SHOWN_EACH.min(left));
            left = left.saturating_sub(text.chars().count() + 4);
            if left == 0 {
                break;
            }
            words.push(format!("\"{text}\""));
        }
        if words.len() < self.known.len() || self.cut && self.missing() != Some(0) {
            words.push("…".to_owned());
        } else if self.missing() != Some(0) {
            words.push("unknown".to_owned());
        }
        write!(to, "[{}]", words.join(", "))
    }
}
