//! The strings that names are made of. Owns how they are found and put together.

use memchr::memmem;

use crate::words;

/// The tokens of the digits, which are 48 to 57.
const DIGITS: &[u8] = b"0\x001\x002\x003\x004\x005\x006\x007\x008\x009\0";
const FIRST_DIGIT: usize = b'0' as usize;
/// How many tokens there are.
const TOKENS: usize = 256;
/// Far more than the tokens before the digits take: they are some letters each.
const FARTHEST: usize = 0x1000;
/// How many places that look like it are tried; a kernel has one or two.
const TRIES: usize = 16;
/// No kernel's names are longer (`KSYM_NAME_LEN` is 512).
const LONGEST_NAME: usize = 1024;
/// Labels are on multiples of this, or of 8.
const ALIGN: usize = 4;

/// A token table.
#[derive(Clone, Debug)]
pub(super) struct Tokens<'b> {
    /// Where it begins.
    pub(super) start: usize,
    /// Behind its index.
    pub(super) end: usize,
    strings: Vec<&'b [u8]>,
}

impl<'b> Tokens<'b> {
    /// Every one in these bytes whose index agrees with it.
    pub(super) fn all(bytes: &'b [u8]) -> impl Iterator<Item = Self> {
        let digits = memmem::find_iter(bytes, DIGITS).take(TRIES);
        digits.filter_map(|digits| Self::around(bytes, digits))
    }

    /// The one that has its digits here: as many strings before them as there are bytes before '0'.
    fn around(bytes: &'b [u8], digits: usize) -> Option<Self> {
        let from = digits.saturating_sub(FARTHEST);
        let nuls = memchr::memrchr_iter(0, bytes.get(from..digits)?);
        let mut ends = nuls.skip(FIRST_DIGIT - 1).map(|end| from + end);
        // The end of the first string, and that of what lies before the table, which need not be
        // right before it.
        let (first, before) = (ends.next()?, ends.next());
        let lowest = before.map_or(from, |before| before + 1);
        let mut starts = (lowest.next_multiple_of(ALIGN)..=first).step_by(ALIGN);
        starts.find_map(|start| Self::at(bytes, start))
    }

    /// The table that begins here, if the index behind it says so.
    fn at(bytes: &'b [u8], start: usize) -> Option<Self> {
        let mut strings = Vec::with_capacity(TOKENS);
        let mut begins = Vec::with_capacity(TOKENS);
        let mut at = start;
        for _ in 0..TOKENS {
            let rest = bytes.get(at..)?.get(..FARTHEST).or(bytes.get(at..))?;
            let length = memchr::memchr(0, rest)?;
            begins.push(u16::try_from(at - start).ok()?);
            strings.push(&rest[..length]);
            at += length + 1;
        }
        let end = index_end(bytes, at, &begins)?;
        Some(Self {
            start,
            end,
            strings,
        })
    }

    /// Appends what these tokens stand for, up to more than any name has.
    pub(super) fn expand(&self, tokens: &[u8], to: &mut Vec<u8>) {
        for token in tokens {
            if to.len() > LONGEST_NAME {
                return;
            }
            let string = self.strings.get(usize::from(*token));
            to.extend_from_slice(string.copied().unwrap_or_default());
        }
    }
}

/// Behind the index, if it begins at the next label and says where each string begins.
fn index_end(bytes: &[u8], behind: usize, begins: &[u16]) -> Option<usize> {
    let labels = [behind.next_multiple_of(4), behind.next_multiple_of(8)];
    let says = |label: &usize| {
        let mut numbers = (0..begins.len()).map(|index| words::u16_at(bytes, label + index * 2));
        begins
            .iter()
            .all(|begin| numbers.next() == Some(Some(*begin)))
    };
    let label = labels.into_iter().find(says)?;
    Some(label + begins.len() * 2)
}
