//! Pages that were not as they have to be when they were last looked at. Owns how often a page is looked
//! at before somebody is told.

use std::collections::BTreeMap;

/// Looks after which a page that is not as it has to be is told of.
const ODD: u8 = 2;
/// Nanoseconds after which an INT3 at a site is no patch that is being made. An emulated guest on a busy
/// host takes seconds to patch some hundred sites, and they have theirs together.
const BUSY: u64 = 60_000_000_000;

/// By page, in how many calls in a row it was odd, and since when the kernel has been patching in each look.
#[derive(Debug, Default)]
pub(super) struct Suspects {
    looks: BTreeMap<u32, (u8, Option<u64>)>,
}

impl Suspects {
    /// It is odd; whether that is so for long enough.
    pub(super) fn is_odd(&mut self, page: u32) -> bool {
        let looks = self.looks.entry(page).or_default();
        looks.0 = looks.0.saturating_add(1);
        looks.0 >= ODD
    }

    /// The kernel is patching there; whether it should be done by now.
    pub(super) fn is_busy(&mut self, page: u32, now: u64) -> bool {
        let looks = self.looks.entry(page).or_default();
        let since = looks.1.unwrap_or(now);
        *looks = (0, Some(since));
        now.saturating_sub(since) >= BUSY
    }

    /// It is as it has to be.
    pub(super) fn clear(&mut self, page: u32) {
        self.looks.remove(&page);
    }

    /// All of them, up to so many.
    pub(super) fn first(&self, most: usize) -> Vec<u32> {
        self.looks.keys().copied().take(most).collect()
    }

    /// Whether a page is one.
    pub(super) fn contains(&self, page: u32) -> bool {
        self.looks.contains_key(&page)
    }
}
