//! The rounds: some pages at each call, suspects first. Owns what a look leads to.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use oriel_sdk::linux::Absence;
use oriel_sdk::{Host, Level};

use super::Watch;
use super::begin::COMPLETE;
use crate::look::{Finding, Look, Looker};
use crate::news::News;
use crate::settings::Settings;
use crate::sheet::{self, Sheet};
use crate::trap;

/// The most suspects that are looked at in one call.
const AGAIN: usize = 64;
/// The most pages of one call while each of them is trapped for the first time: each takes a command.
const TRAPPED: u32 = 256;

impl Watch {
    /// Looks at the suspects.
    pub(super) fn look_again(&mut self, host: &mut impl Host) {
        for page in self.suspects.first(AGAIN) {
            for (page, sheet) in sheet::read(&self.image, page, 1, host) {
                self.look(page, &sheet, host);
            }
        }
    }

    /// Looks at the pages that are next. At their end a new round begins, at the next call.
    pub(super) fn go_round(&mut self, settings: &Settings, host: &mut impl Host) {
        let mut left = settings.pages;
        if self.trapping.is_on() && self.rounds == 0 {
            left = left.min(TRAPPED);
        }
        while left > 0 {
            let sheets = sheet::read(&self.image, self.next, left, host);
            if sheets.is_empty() {
                self.end_round(settings, host);
                return;
            }
            for (page, sheet) in sheets {
                // Suspects were looked at in this call.
                if !self.suspects.contains(page) {
                    self.look(page, &sheet, host);
                }
                self.next = page + 1;
                left = left.saturating_sub(1);
            }
        }
    }

    fn look(&mut self, page: u32, sheet: &Result<Sheet, Absence>, host: &mut impl Host) {
        let mut looker = Looker {
            image: &self.image,
            sites: &mut self.sites,
            baseline: &mut self.baseline,
            probes: &self.probes,
            code: &mut self.code,
        };
        match looker.look(page, sheet, host) {
            Look::New => {
                self.sites_unkept = true;
                self.found_clean(page, sheet, host);
            }
            Look::Clean => self.found_clean(page, sheet, host),
            Look::Busy(sites) => {
                if let Some(site) = self.suspects.overdue(page, &sites, self.now) {
                    let new = vec![0xcc];
                    self.found_odd(page, vec![Finding::Patched { site, new }]);
                }
            }
            Look::Refused(refusal) => {
                self.gaps.insert(format!("pages are not read: {refusal}"));
            }
            Look::Odd(findings) => {
                if self.suspects.is_odd(page) {
                    self.found_odd(page, findings);
                }
            }
        }
    }

    fn found_clean(&mut self, page: u32, sheet: &Result<Sheet, Absence>, host: &mut impl Host) {
        self.suspects.clear(page);
        if self.told.is_over(&name(page)) {
            let start = self.image.page(page).map_or(0, |page| page.start);
            let line = format!("the page at {start:#x} is as it has to be again");
            host.log(Level::Info, &line);
        }
        if let Ok(sheet) = sheet {
            self.trapping.arm(page.into(), sheet.gpa, host);
        }
    }

    fn found_odd(&mut self, page: u32, findings: Vec<Finding>) {
        if self.told.is_news(&name(page), mark(&findings)) {
            self.news.extend(findings.into_iter().map(News::Page));
        }
    }

    fn end_round(&mut self, settings: &Settings, host: &mut impl Host) {
        if settings.vcpus {
            self.look_at_vcpu(host);
        }
        if self.rounds == 0 {
            self.end_first(host);
        }
        if self.sites_unkept {
            self.keep_sites(host);
        }
        (self.next, self.rounds) = (0, self.rounds + 1);
        host.log(Level::Debug, &format!("round {} is over", self.rounds));
        host.gauge("rounds", i64::try_from(self.rounds).unwrap_or(i64::MAX));
    }

    fn end_first(&mut self, host: &mut impl Host) {
        let (pages, sites) = (self.image.pages(), self.sites.count());
        host.info(format_args!("{pages} pages with {sites} sites are guarded"));
        host.gauge("pages", pages.into());
        let unreadable = self.baseline.unreadable();
        if unreadable > 0 {
            self.gaps
                .insert(format!("{unreadable} pages cannot be read"));
        }
        trap::arm_gates(&mut self.trapping, host);
        self.gaps.extend(self.trapping.gap());
    }

    fn keep_sites(&mut self, host: &mut impl Host) {
        let kept = self.sites.keep(&self.image, host);
        match kept.and_then(|()| host.set_number(COMPLETE, 1)) {
            Ok(()) => self.sites_unkept = false,
            Err(refusal) => drop(self.gaps.insert(format!("the store: {refusal}"))),
        }
    }
}

/// By what name a page is told of.
fn name(page: u32) -> String {
    format!("page/{page}")
}

/// What stands for findings among what was told.
fn mark(findings: &[Finding]) -> u64 {
    let mut hash = DefaultHasher::new();
    format!("{findings:?}").hash(&mut hash);
    hash.finish()
}
