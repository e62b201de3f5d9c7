//! The guarded part of the kernel's image, in pages with numbers from 0. Owns which address is on
//! which page; reads none of them.

use std::ops::Range;

use oriel_sdk::linux::{Area, AreaKind};

/// Bytes of a page.
pub(crate) const PAGE: u64 = 4096;
/// More pages than any kernel's code and constants have: 64 MiB.
const MOST: u64 = 16384;

/// Areas of the image: whether it is code, where it begins, and where it ends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Image {
    areas: Vec<(bool, u64, u64)>,
}

impl Image {
    /// Of areas that the kernel has; with how many pages were too many.
    pub(crate) fn new(areas: &[Area]) -> (Self, u64) {
        let of = |area: &Area| (matches!(area.kind, AreaKind::Text), area.start, area.end);
        let mut areas: Vec<_> = areas.iter().map(of).collect();
        areas.sort_by_key(|(_, start, _)| *start);
        let (mut image, mut left, mut lost) = (Self::default(), MOST, 0);
        for (text, start, end) in areas {
            let start = start.max(image.end());
            let frames = frames(start, end);
            let taken = frames.min(left);
            (left, lost) = (left - taken, lost + frames - taken);
            if taken > 0 {
                let last = (start & !(PAGE - 1)).saturating_add(taken * PAGE);
                image.areas.push((text, start, end.min(last)));
            }
        }
        (image, lost)
    }

    /// As it was kept.
    pub(crate) fn of(areas: Vec<(bool, u64, u64)>) -> Self {
        Self { areas }
    }

    /// As it is kept.
    pub(crate) fn areas(&self) -> &[(bool, u64, u64)] {
        &self.areas
    }

    fn end(&self) -> u64 {
        self.areas.last().map_or(0, |(_, _, end)| *end)
    }

    /// How many pages it has.
    pub(crate) fn pages(&self) -> u32 {
        let all = self
            .areas
            .iter()
            .map(|(_, start, end)| frames(*start, *end));
        u32::try_from(all.sum::<u64>()).unwrap_or(u32::MAX)
    }

    /// The guarded bytes of a page: all of it, but at an end of an area.
    pub(crate) fn page(&self, number: u32) -> Option<Range<u64>> {
        let mut left = u64::from(number);
        for (_, start, end) in &self.areas {
            let frames = frames(*start, *end);
            if left < frames {
                let at = (start & !(PAGE - 1)) + left * PAGE;
                return Some(at.max(*start)..at.saturating_add(PAGE).min(*end));
            }
            left -= frames;
        }
        None
    }

    /// The number of the page that an address is on.
    pub(crate) fn page_at(&self, gva: u64) -> Option<u32> {
        let mut before = 0;
        for (_, start, end) in &self.areas {
            if (*start..*end).contains(&gva) {
                let page = before + gva / PAGE - start / PAGE;
                return u32::try_from(page).ok();
            }
            before += frames(*start, *end);
        }
        None
    }

    /// Whether code of the image is there.
    pub(crate) fn is_code(&self, gva: u64) -> bool {
        let mut areas = self.areas.iter();
        areas.any(|(code, start, end)| *code && (*start..*end).contains(&gva))
    }

    /// Whether a page is code.
    pub(crate) fn is_code_page(&self, number: u32) -> bool {
        self.page(number)
            .is_some_and(|page| self.is_code(page.start))
    }

    /// Up to so many pages from one on that lie behind each other, as addresses.
    pub(crate) fn run(&self, first: u32, most: u32) -> Option<Range<u64>> {
        let mut run = self.page(first)?;
        for number in (first + 1..).take(most.saturating_sub(1) as usize) {
            match self.page(number) {
                Some(page) if page.start == run.end => run.end = page.end,
                Some(_) | None => break,
            }
        }
        Some(run)
    }
}

/// How many pages a range touches.
fn frames(start: u64, end: u64) -> u64 {
    if start >= end {
        return 0;
    }
    (end - 1) / PAGE - start / PAGE + 1
}
