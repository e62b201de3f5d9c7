//! Pages that were not as they have to be when they were last looked at. Owns how often a page is looked
//! at before somebody is told.

use std::collections::BTreeMap;

use crate::sites::Site;

/// Looks after which a page that is not as it has to be is told of.
const ODD: u8 = 2;
/// Nanoseconds after which an INT3 at a site is no patch that is being made. An emulated guest on a busy
/// host takes seconds to patch some hundred sites, and they have theirs together.
const BUSY: u64 = 60_000_000_000;

/// By page, what the last looks in a row have found.
#[derive(Debug, Default)]
pub(super) struct Suspects {
    looks: BTreeMap<u32, Looks>,
}

/// In how many it was odd, and since when each of its sites has held an INT3 in all of them. A page of
/// many sites may never be without one: it counts how long the same one has been there.
#[derive(Debug, Default)]
struct Looks {
    odd: u8,
    busy: BTreeMap<u64, u64>,
}

impl Suspects {
    /// It is odd; whether that is so for long enough.
    pub(super) fn is_odd(&mut self, page: u32) -> bool {
        let looks = self.looks.entry(page).or_default();
        looks.odd = looks.odd.saturating_add(1);
        looks.odd >= ODD
    }

    /// The kernel is patching at these sites of a page; the first with which it should be done by now.
    pub(super) fn overdue(&mut self, page: u32, sites: &[Site], now: u64) -> Option<Site> {
        let looks = self.looks.entry(page).or_default();
        let since = |site: &Site| looks.busy.get(&site.at).copied().unwrap_or(now);
        let busy: BTreeMap<_, _> = sites.iter().map(|site| (site.at, since(site))).collect();
        let late = |site: &&Site| {
            let since = busy.get(&site.at).copied().unwrap_or(now);
            now.saturating_sub(since) >= BUSY
        };
        let found = sites.iter().find(late).copied();
        *looks = Looks { odd: 0, busy };
        found
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
