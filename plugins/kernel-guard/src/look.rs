//! One look at one page: what the kernel may change there is taken out, the rest is compared. Owns the
//! comparison; who is told, and after how many looks, is the round's.

use oriel_sdk::Refusal;
use oriel_sdk::linux::{Absence, ReadKernel};

use crate::baseline::{self, Baseline, Digest, UNREADABLE};
use crate::code::Code;
use crate::form::Form;
use crate::image::Image;
use crate::probes::Probes;
use crate::sheet::Sheet;
use crate::sites::{Allowed, Site, Sites};

/// The most bytes that a finding shows.
const SHOWN: usize = 16;

/// What a page is like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// As it has to be.
    Clean,
    /// Seen for the first time.
    New,
    /// The kernel is patching at these.
    Busy(Vec<Site>),
    /// The engine did not let it be read; the page has nothing to do with it.
    Refused(Refusal),
    /// Not as it has to be.
    Odd(Vec<Finding>),
}

/// What is not as it has to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Finding {
    /// Other bytes stand there; the old ones are known where there is a copy.
    Changed {
        at: u64,
        old: Option<Vec<u8>>,
        new: Vec<u8>,
        /// Bytes of the page that differ, where that is known.
        count: usize,
        /// Of the page as it is.
        digest: Digest,
    },
    /// What stands at a site is not what the kernel puts there.
    Patched { site: Site, new: Vec<u8> },
    /// The page cannot be read any more.
    Gone { at: u64, why: String },
}

/// What a look compares with.
pub(crate) struct Looker<'a> {
    pub(crate) image: &'a Image,
    pub(crate) sites: &'a mut Sites,
    pub(crate) baseline: &'a mut Baseline,
    pub(crate) probes: &'a Probes,
    pub(crate) code: &'a mut Code,
}

impl Looker<'_> {
    /// Looks at a page.
    pub(crate) fn look(
        &mut self,
        page: u32,
        sheet: &Result<Sheet, Absence>,
        host: &mut impl ReadKernel,
    ) -> Look {
        match sheet {
            Ok(sheet) => self.compare(page, sheet, host),
            Err(Absence::Refused(refusal)) if *refusal != Refusal::NotFound => {
                Look::Refused(*refusal)
            }
            Err(absence) => self.missing(page, absence),
        }
    }

    fn missing(&mut self, page: u32, absence: &Absence) -> Look {
        match self.baseline.digest(page) {
            None => {
                self.baseline.set(page, UNREADABLE);
                Look::New
            }
            Some(UNREADABLE) => Look::Clean,
            Some(_) => Look::Odd(vec![Finding::Gone {
                at: self.image.page(page).map_or(0, |page| page.start),
                why: absence.to_string(),
            }]),
        }
    }

    fn compare(&mut self, page: u32, sheet: &Sheet, host: &mut impl ReadKernel) -> Look {
        if self.baseline.digest(page) == Some(UNREADABLE) {
            self.baseline.forget(page);
        }
        let is_new = self.baseline.digest(page).is_none();
        if let Some(busy) = self.settle(page, sheet) {
            return Look::Busy(vec![busy]);
        }
        let (mut findings, busy) = self.judge_sites(page, sheet, host);
        let blank = self.blank(page, sheet);
        findings.extend(self.difference(page, sheet, &blank));
        match (findings.is_empty(), busy.is_empty()) {
            (false, _) => Look::Odd(findings),
            (true, false) => Look::Busy(busy),
            (true, true) if is_new => Look::New,
            (true, true) => Look::Clean,
        }
    }

    /// Sees how long the sites are, and takes for none what holds no such instruction at the start: records
    /// of functions that were dropped when the kernel was linked do. The one that the kernel is patching,
    /// if it is.
    fn settle(&mut self, page: u32, sheet: &Sheet) -> Option<Site> {
        let is_one = |site: &Site| Form::of(site.at, own(sheet, site)) != Form::Other;
        self.sites.settle(page, |at| rest(sheet, at), is_one)
    }

    /// What stands at the sites and may not; and where the kernel is patching.
    fn judge_sites(
        &mut self,
        page: u32,
        sheet: &Sheet,
        host: &mut impl ReadKernel,
    ) -> (Vec<Finding>, Vec<Site>) {
        let (mut findings, mut busy) = (Vec::new(), Vec::new());
        for site in self.sites.on(page) {
            let bytes = own(sheet, site);
            let form = Form::of(site.at, bytes);
            let is_fine = match site.kind.allows(form) {
                Allowed::Yes => true,
                Allowed::No => false,
                Allowed::IfCode(to) => self.code.may_be_entered(to, self.image, host),
            };
            if !is_fine {
                let (site, new) = (*site, bytes.to_vec());
                findings.push(Finding::Patched { site, new });
            } else if form == Form::Breakpoint {
                busy.push(*site);
            }
        }
        (findings, busy)
    }

    /// The page without what the kernel may change: sites are zero, probes undone.
    fn blank(&self, page: u32, sheet: &Sheet) -> Vec<u8> {
        let mut blank = sheet.bytes.get(..sheet.length).unwrap_or_default().to_vec();
        self.probes.undo(sheet.start, &sheet.bytes, &mut blank);
        for site in self.sites.touching(page, sheet.start) {
            for at in site.at..site.end() {
                let offset = at
                    .checked_sub(sheet.start)
                    .and_then(|at| usize::try_from(at).ok());
                if let Some(byte) = offset.and_then(|at| blank.get_mut(at)) {
                    *byte = 0;
                }
            }
        }
        blank
    }

    /// Compares with the copy, else with the digest; where there is neither, makes both.
    fn difference(&mut self, page: u32, sheet: &Sheet, blank: &[u8]) -> Option<Finding> {
        if self.baseline.copy(page) == Some(blank) {
            return None;
        }
        let sites = self.sites.touching(page, sheet.start);
        let digest = baseline::digest(blank, sites);
        if let Some(copy) = self.baseline.copy(page) {
            return first_change(sheet, copy, blank, digest);
        }
        match self.baseline.digest(page) {
            Some(known) if known != digest => Some(Finding::Changed {
                at: sheet.start,
                old: None,
                new: Vec::new(),
                count: 0,
                digest,
            }),
            Some(_) => {
                self.baseline.set_copy(page, blank);
                None
            }
            None => {
                self.baseline.set(page, digest);
                self.baseline.set_copy(page, blank);
                None
            }
        }
    }
}

/// What a page holds from an address on.
fn rest(sheet: &Sheet, at: u64) -> &[u8] {
    let offset = at
        .checked_sub(sheet.start)
        .and_then(|at| usize::try_from(at).ok());
    offset
        .and_then(|at| sheet.bytes.get(at..))
        .unwrap_or_default()
}

/// What it holds at a site.
fn own<'a>(sheet: &'a Sheet, site: &Site) -> &'a [u8] {
    let rest = rest(sheet, site.at);
    rest.get(..site.length.into()).unwrap_or(rest)
}

fn first_change(sheet: &Sheet, old: &[u8], new: &[u8], digest: Digest) -> Option<Finding> {
    let differs = |at: &usize| old.get(*at) != new.get(*at);
    let all = old.len().max(new.len());
    let first = (0..all).find(differs)?;
    let last = (first..all.min(first + SHOWN)).rfind(differs)?;
    let shown = |bytes: &[u8]| bytes.get(first..=last).unwrap_or_default().to_vec();
    Some(Finding::Changed {
        at: sheet.start.saturating_add(first as u64),
        old: Some(shown(old)),
        new: shown(new),
        count: (0..all).filter(differs).count(),
        digest,
    })
}
