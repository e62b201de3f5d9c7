//! Where the names are, and how many. Owns their lengths and markers.

use super::tokens::Tokens;
use crate::words;

/// How many names there are from one marker to the next.
const STRIDE: usize = 256;
/// The bytes that so many names can take: a length and a kind at least, two bytes of length and
/// 512 letters at the most.
const SPAN: std::ops::RangeInclusive<u32> = 512..=(256 * 516);
/// How far before the token table the markers are looked for: behind them is the sequence, three
/// bytes for each of at most some million symbols.
const FARTHEST: usize = 16 << 20;
/// How many places that look like markers are tried, the longest first.
const TRIES: usize = 8;
/// A table of fewer markers is not looked for: it is too easily something else.
const FEWEST: usize = 2;
/// More symbols than any kernel has.
const MOST: usize = 4 << 20;

/// The names of a table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Names {
    /// Where the number of them stands.
    pub(super) count_at: usize,
    /// How many there are.
    pub(super) count: usize,
    /// Where the first one begins.
    pub(super) start: usize,
}

/// A row of ascending numbers that may be markers.
#[derive(Clone, Copy, Debug)]
struct Row {
    at: usize,
    length: usize,
}

impl Names {
    /// The names that are before this token table.
    pub(super) fn before(bytes: &[u8], tokens: &Tokens<'_>) -> Option<Self> {
        let mut rows = rows(bytes, tokens.start);
        rows.sort_by_key(|row| std::cmp::Reverse(row.length));
        rows.truncate(TRIES);
        rows.into_iter().find_map(|row| row.names(bytes))
    }
}

/// Every row of numbers that ascend from 0 as markers do.
fn rows(bytes: &[u8], end: usize) -> Vec<Row> {
    let mut at = end.saturating_sub(FARTHEST).next_multiple_of(4);
    let mut rows = Vec::new();
    while at < end {
        let length = row(bytes, at, end);
        if length >= FEWEST {
            rows.push(Row { at, length });
        }
        at += 4 * length.max(1);
    }
    rows
}

/// How many numbers ascend from here on; 0 if the first is not 0.
fn row(bytes: &[u8], at: usize, end: usize) -> usize {
    if words::u32_at(bytes, at) != Some(0) {
        return 0;
    }
    let (mut length, mut last) = (1, 0u32);
    while at + 4 * length < end {
        let next = words::u32_at(bytes, at + 4 * length).unwrap_or(0);
        if !next
            .checked_sub(last)
            .is_some_and(|span| SPAN.contains(&span))
        {
            break;
        }
        (length, last) = (length + 1, next);
    }
    length
}

impl Row {
    /// The names that these are the markers of. The row may go on by accident into what follows.
    fn names(self, bytes: &[u8]) -> Option<Names> {
        let lengths = (FEWEST..=self.length).rev().take(3);
        lengths
            .map(|length| Self { length, ..self })
            .find_map(|row| row.exactly(bytes))
    }

    /// The names, if there are as many of them as this row has room for.
    fn exactly(self, bytes: &[u8]) -> Option<Names> {
        let last = words::size_at(bytes, self.at + 4 * (self.length - 1))?;
        let highest = self.at.checked_sub(last)?;
        let lowest = highest.saturating_sub(STRIDE * 516 + 16);
        let places = (lowest.next_multiple_of(4)..highest).step_by(4).rev();
        let counted = places.filter_map(|at| self.counted(bytes, at));
        counted
            .flat_map(|(at, count)| starts(at).map(move |start| (at, count, start)))
            .find(|(_, count, start)| self.agrees(bytes, *start, *count))
            .map(|(count_at, count, start)| Names {
                count_at,
                count,
                start,
            })
    }

    /// A number here that is as many names as there are markers for.
    fn counted(self, bytes: &[u8], at: usize) -> Option<(usize, usize)> {
        let count = words::size_at(bytes, at)?;
        let fits = count.div_ceil(STRIDE) == self.length && count <= MOST;
        fits.then_some((at, count))
    }

    /// Whether so many names from here on begin where the markers say, and end before them.
    fn agrees(self, bytes: &[u8], start: usize, count: usize) -> bool {
        let mut at = start;
        for index in 0..count {
            let marked = index % STRIDE == 0;
            if marked && self.marker(bytes, index / STRIDE) != at.checked_sub(start) {
                return false;
            }
            let Some((length, begins)) = length(bytes, at) else {
                return false;
            };
            at = begins + length;
        }
        at <= self.at && self.at - at < 8
    }

    fn marker(self, bytes: &[u8], number: usize) -> Option<usize> {
        words::size_at(bytes, self.at + 4 * number)
    }
}

/// Where the first name can be, if their number stands here: at the next label.
fn starts(count_at: usize) -> impl Iterator<Item = usize> {
    [count_at + 4, count_at + 8].into_iter()
}

/// How many tokens a name has, and where they begin.
pub(super) fn length(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    let low = usize::from(*bytes.get(at)?);
    if low & 0x80 == 0 {
        return Some((low, at + 1));
    }
    let high = usize::from(*bytes.get(at + 1)?);
    Some((low & 0x7f | high << 7, at + 2))
}
