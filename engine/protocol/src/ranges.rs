//! Sets of numbers, as ranges: MSRs, ports, addresses. Owns their arithmetic and their words;
//! never knows what the numbers stand for.

use std::{ops::RangeInclusive, str::FromStr};

use serde::{Serialize, Serializer};
use thiserror::Error;

/// A set of numbers as sorted ranges that neither touch nor overlap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranges<T>(Vec<RangeInclusive<T>>);

/// A word that is no range.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum RangeError {
    /// It is no number.
    #[error("{0:?} is no number: write `4096` or `0x1000`")]
    Number(String),
    /// It ends before it begins.
    #[error("{0:?} ends before it begins: write the lower number first")]
    Backwards(String),
}

impl Ranges<u64> {
    /// No number.
    pub const NONE: Self = Self(Vec::new());

    /// Every number.
    pub fn all() -> Self {
        Self(vec![0..=u64::MAX])
    }

    /// Puts a range into the set; an empty one changes nothing.
    pub fn insert(&mut self, range: RangeInclusive<u64>) {
        if range.is_empty() {
            return;
        }
        let (mut first, mut last) = range.into_inner();
        self.0.retain(|known| {
            let apart =
                known.end().saturating_add(1) < first || last.saturating_add(1) < *known.start();
            if !apart {
                first = first.min(*known.start());
                last = last.max(*known.end());
            }
            apart
        });
        let at = self.0.partition_point(|known| *known.start() < first);
        self.0.insert(at, first..=last);
    }

    /// Whether the number is in it.
    pub fn contains(&self, number: u64) -> bool {
        self.around(number).is_some()
    }

    /// Whether so many numbers from `first` on are all in it. None at all always are; those that
    /// would go past the last number there is never are.
    pub fn covers(&self, first: u64, length: u64) -> bool {
        let Some(more) = length.checked_sub(1) else {
            return true;
        };
        let Some(last) = first.checked_add(more) else {
            return false;
        };
        // Ranges do not touch, so what is all in the set is all in one of them.
        self.around(first).is_some_and(|known| last <= *known.end())
    }

    /// The range that the number lies in.
    fn around(&self, number: u64) -> Option<&RangeInclusive<u64>> {
        let at = self.0.partition_point(|known| *known.end() < number);
        self.0.get(at).filter(|known| known.contains(&number))
    }

    /// What is in both.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        let common = |a: &RangeInclusive<u64>, b: &RangeInclusive<u64>| {
            *a.start().max(b.start())..=*a.end().min(b.end())
        };
        let pairs = self
            .0
            .iter()
            .flat_map(|a| other.0.iter().map(move |b| (a, b)));
        pairs.map(|(a, b)| common(a, b)).collect()
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The ranges, lowest first.
    pub fn iter(&self) -> impl Iterator<Item = &RangeInclusive<u64>> {
        self.0.iter()
    }

    /// The highest number in it.
    pub fn last(&self) -> Option<u64> {
        self.0.last().map(|range| *range.end())
    }

    /// Puts another set into this one.
    pub fn extend(&mut self, other: &Self) {
        other.iter().for_each(|range| self.insert(range.clone()));
    }

    /// Reads words such as `0x1000-0x1fff`, `4096` or `0xc0000080`; both ends are in the range.
    ///
    /// # Errors
    /// [`RangeError`] names the word that is no range.
    pub fn read<'a>(words: impl IntoIterator<Item = &'a str>) -> Result<Self, RangeError> {
        words.into_iter().map(range).collect()
    }

    /// The ranges as words that [`read`](Self::read) takes.
    pub fn words(&self) -> impl Iterator<Item = String> {
        self.0
            .iter()
            .map(|range| match (range.start(), range.end()) {
                (first, last) if first == last => format!("{first:#x}"),
                (first, last) => format!("{first:#x}-{last:#x}"),
            })
    }
}

fn range(word: &str) -> Result<RangeInclusive<u64>, RangeError> {
    let (first, last) = match word.split_once('-') {
        Some((first, last)) => (number(first)?, number(last)?),
        None => (number(word)?, number(word)?),
    };
    if first > last {
        return Err(RangeError::Backwards(word.to_owned()));
    }
    Ok(first..=last)
}

fn number(word: &str) -> Result<u64, RangeError> {
    let word = word.trim();
    let parsed = match word.strip_prefix("0x") {
        // A sign is no digit, though the parser would take one.
        Some(digits) if digits.starts_with('+') => None,
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None if word.starts_with('+') => None,
        None => u64::from_str(word).ok(),
    };
    parsed.ok_or_else(|| RangeError::Number(word.to_owned()))
}

impl FromIterator<RangeInclusive<u64>> for Ranges<u64> {
    fn from_iter<I: IntoIterator<Item = RangeInclusive<u64>>>(ranges: I) -> Self {
        let mut set = Self::NONE;
        ranges.into_iter().for_each(|range| set.insert(range));
        set
    }
}

impl Serialize for Ranges<u64> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.words())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn some() -> impl Strategy<Value = Vec<RangeInclusive<u64>>> {
        let one = (0u64..64, 0u64..64).prop_map(|(first, last)| first..=last);
        proptest::collection::vec(one, 0..12)
    }

    proptest! {
        #[test]
        fn a_set_holds_what_its_ranges_hold(ranges in some(), number in 0u64..66) {
            let set: Ranges<u64> = ranges.iter().cloned().collect();
            prop_assert_eq!(set.contains(number), ranges.iter().any(|range| range.contains(&number)));
            let parts: Vec<_> = set.iter().collect();
            prop_assert!(parts.windows(2).all(|pair| pair[0].end() + 1 < *pair[1].start()));
        }

        #[test]
        fn a_run_is_covered_if_each_of_its_numbers_is(
            ranges in some(), first in 0u64..66, length in 0u64..20,
        ) {
            let set: Ranges<u64> = ranges.into_iter().collect();
            let each = (first..first + length).all(|number| set.contains(number));
            prop_assert_eq!(set.covers(first, length), each);
        }

        #[test]
        fn what_is_in_both_is_in_the_intersection(a in some(), b in some(), number in 0u64..66) {
            let a: Ranges<u64> = a.into_iter().collect();
            let b: Ranges<u64> = b.into_iter().collect();
            let both = a.contains(number) && b.contains(number);
            prop_assert_eq!(a.intersection(&b).contains(number), both);
        }

        #[test]
        fn a_set_is_read_back_from_its_words(ranges in some()) {
            let set: Ranges<u64> = ranges.into_iter().collect();
            let words: Vec<_> = set.words().collect();
            prop_assert_eq!(Ranges::read(words.iter().map(String::as_str)), Ok(set));
        }
    }

    #[test]
    fn all_numbers_are_one_range() {
        let mut set = Ranges::all();
        set.insert(5..=9);
        set.insert(0..=u64::MAX);
        assert_eq!(set, Ranges::all());
        assert!(set.contains(u64::MAX));
    }

    #[test]
    fn a_run_past_the_last_number_is_not_covered() {
        let set = Ranges::all();
        assert!(set.covers(u64::MAX, 1) && set.covers(0, u64::MAX));
        assert!(!set.covers(u64::MAX, 2) && !set.covers(2, u64::MAX));
    }

    #[test]
    fn words_are_hexadecimal_or_decimal() {
        let set = Ranges::read(["0xc0000080", "16-0x1f"]).unwrap();
        let words: Vec<_> = set.words().collect();
        assert_eq!(words, ["0x10-0x1f", "0xc0000080"]);
    }

    #[test]
    fn what_is_no_range_is_named() {
        for word in [
            "",
            "-",
            "x",
            "0x",
            "1-",
            "-1",
            "0x+1",
            "1 2",
            "0x10000000000000000",
        ] {
            let error = Ranges::read([word]).unwrap_err();
            assert!(matches!(error, RangeError::Number(_)), "{word:?}: {error}");
        }
        assert_eq!(
            Ranges::read(["5-3"]),
            Err(RangeError::Backwards("5-3".into()))
        );
    }
}
