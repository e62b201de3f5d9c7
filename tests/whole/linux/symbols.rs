//! Addresses of a kernel's symbols, out of the tables that it has for its own messages: kallsyms,
//! as `scripts/kallsyms.c` of Linux 6.1 writes them. Debian's vmlinux has no other symbol table.
//!
//! ```text
//!   offsets   a number of 32 bits each       sequence     the order by name, three bytes each
//!   base      what they count from           token table  256 strings, each with its NUL
//!   count     how many symbols               token index  where each of them begins
//!   names     length, then tokens
//!   markers   where every 256th name begins
//! ```
//! Each begins on a multiple of eight. Nothing says where; the digits, each a token of its own, do.
//! Only for tests: what does not hold together is no answer, never a guess.

use std::collections::HashMap;

/// The tokens of the digits, which are 48 to 57.
const DIGITS: &[u8] = b"0\x001\x002\x003\x004\x005\x006\x007\x008\x009\0";
const FIRST_DIGIT: usize = b'0' as usize;
const TOKENS: usize = 256;
/// Far more than the tokens before the digits take.
const FARTHEST: usize = 0x1000;
/// How many names there are from one marker to the next.
const STRIDE: usize = 256;

/// The symbols of a kernel.
pub(crate) struct Symbols(HashMap<String, u64>);

/// The token table: where it begins, and its strings.
struct Tokens<'a> {
    start: usize,
    strings: Vec<&'a [u8]>,
}

impl Symbols {
    /// The symbols of this vmlinux; none if its tables are laid out in another way.
    pub(crate) fn of(vmlinux: &[u8]) -> Option<Self> {
        let tokens = Tokens::find(vmlinux)?;
        let (count_at, names) = (0..tokens.start)
            .rev()
            .filter(|at| at % 8 == 0)
            .find_map(|at| Some((at, tokens.names_from(vmlinux, at)?)))?;
        let base_at = count_at.checked_sub(8)?;
        let base = u64::from_le_bytes(vmlinux[base_at..count_at].try_into().ok()?);
        let offsets = base_at.checked_sub((names.len() * 4).next_multiple_of(8))?;
        let address = |(index, name)| {
            let offset = number(vmlinux, offsets + index * 4)?.cast_signed();
            Some((name, absolute(base, offset)))
        };
        let symbols: Option<_> = names.into_iter().enumerate().map(address).collect();
        symbols.map(Self)
    }

    /// The address of a symbol.
    pub(crate) fn address(&self, name: &str) -> u64 {
        let address = self.0.get(name);
        *address.unwrap_or_else(|| panic!("the kernel has no symbol {name}"))
    }
}

/// Per-CPU symbols are absolute; all others count down from the base
/// (`CONFIG_KALLSYMS_ABSOLUTE_PERCPU`).
fn absolute(base: u64, offset: i32) -> u64 {
    match u64::try_from(offset) {
        Ok(absolute) => absolute,
        Err(_) => base.wrapping_add(u64::from((!offset).cast_unsigned())),
    }
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
    Some(u32::from_le_bytes(bytes))
}

/// The markers before the token table: from 0 on, each behind the one before.
fn markers(bytes: &[u8], end: usize) -> Option<(usize, Vec<u32>)> {
    let mut at = end.checked_sub(4)?;
    if number(bytes, at)? == 0 {
        at = at.checked_sub(4)?;
    }
    let mut markers = vec![number(bytes, at)?];
    while *markers.last()? != 0 {
        at = at.checked_sub(4)?;
        let before = number(bytes, at)?;
        if before >= *markers.last()? {
            return None;
        }
        markers.push(before);
    }
    markers.reverse();
    Some((at, markers))
}

impl<'a> Tokens<'a> {
    fn find(bytes: &'a [u8]) -> Option<Self> {
        let all = bytes.windows(DIGITS.len()).enumerate();
        let mut found = all.filter(|(_, window)| *window == DIGITS);
        found.find_map(|(digits, _)| {
            let starts = (digits.saturating_sub(FARTHEST)..digits).filter(|at| at % 8 == 0);
            starts
                .filter(|start| nuls(&bytes[*start..digits]) == FIRST_DIGIT)
                .find_map(|start| Self::at(bytes, start))
        })
    }

    /// The table that begins here, if the index behind it says so.
    fn at(bytes: &'a [u8], start: usize) -> Option<Self> {
        let table = bytes.get(start..)?;
        let strings: Vec<_> = table.split(|byte| *byte == 0).take(TOKENS).collect();
        let mut end = 0;
        let begins = strings.iter().map(|string| {
            let begin = end;
            end += string.len() + 1;
            u16::try_from(begin).ok()
        });
        let begins: Vec<u16> = begins.collect::<Option<_>>()?;
        let index = table.get(end.next_multiple_of(8)..)?.get(..2 * TOKENS)?;
        let says: Vec<_> = begins.into_iter().flat_map(u16::to_le_bytes).collect();
        (says == index).then_some(Self { start, strings })
    }

    /// The names, if how many they are is said here and all that follows agrees.
    fn names_from(&self, bytes: &[u8], at: usize) -> Option<Vec<String>> {
        let count = number(bytes, at)? as usize;
        let sequence = count.checked_mul(3)?.checked_next_multiple_of(8)?;
        let markers_end = self.start.checked_sub(sequence)?;
        let (markers_at, markers) = markers(bytes, markers_end)?;
        let fits = count > 0 && count.div_ceil(STRIDE) == markers.len();
        let names = bytes.get(at + 8..markers_at).filter(|_| fits)?;
        self.names(names, count, &markers)
    }

    /// So many names, if they begin where the markers say.
    fn names(&self, names: &[u8], count: usize, markers: &[u32]) -> Option<Vec<String>> {
        let (mut at, mut all) = (0, Vec::with_capacity(count));
        for index in 0..count {
            if index % STRIDE == 0 && *markers.get(index / STRIDE)? as usize != at {
                return None;
            }
            let (name, next) = self.name(names, at)?;
            all.push(name);
            at = next;
        }
        Some(all)
    }

    /// The name that begins here, without the letter of its kind, and where the next one begins.
    fn name(&self, names: &[u8], at: usize) -> Option<(String, usize)> {
        let low = usize::from(*names.get(at)?);
        // From 128 tokens on the length takes two bytes.
        let (length, at) = match low & 0x80 {
            0 => (low, at + 1),
            _ => (low & 0x7f | usize::from(*names.get(at + 1)?) << 7, at + 2),
        };
        let tokens = names.get(at..at + length)?.iter();
        let text: Vec<u8> = tokens
            .flat_map(|token| self.strings[usize::from(*token)])
            .copied()
            .collect();
        let name = String::from_utf8(text.get(1..)?.to_vec()).ok()?;
        Some((name, at + length))
    }
}

fn nuls(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte == 0).count()
}
