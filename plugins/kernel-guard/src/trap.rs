//! Writes that are trapped where the machine can: the guarded pages let reads and execution through. Owns
//! which pages are trapped; the writes are judged in a file below.

mod witness;

use std::collections::BTreeSet;

use oriel_sdk::{Access, GuestOs, Machine, PageAccess, Refusal, Support};

use crate::settings::{Settings, Trap};

pub(crate) use witness::Witness;

/// The tag of the interrupt table's page; those of others are their numbers.
pub(crate) const GATES: u64 = u64::MAX;

/// Which pages are trapped.
#[derive(Debug, Default)]
pub(crate) struct Trapping {
    on: bool,
    armed: BTreeSet<u64>,
    gap: Option<String>,
}

impl Trapping {
    /// By the configuration, and what the machine can.
    pub(crate) fn begin(settings: &Settings, host: &mut impl Machine) -> Self {
        let mut trapping = Self::default();
        if settings.trap == Trap::Off {
            return trapping;
        }
        match why_not(host) {
            None => trapping.on = true,
            Some(why) if settings.trap == Trap::On => trapping.gap = Some(why),
            Some(_) => {}
        }
        trapping
    }

    pub(crate) fn is_on(&self) -> bool {
        self.on
    }

    /// What is not trapped, to be told.
    pub(crate) fn gap(&mut self) -> Option<String> {
        self.gap.take()
    }

    /// Has writes to a page trapped from now on.
    pub(crate) fn arm(&mut self, tag: u64, gpa: u64, host: &mut impl PageAccess) {
        if !self.on || self.armed.contains(&tag) {
            return;
        }
        match host.set_page_access(gpa, Access::READ | Access::EXECUTE, tag) {
            Ok(()) => drop(self.armed.insert(tag)),
            Err(refusal) => self.fail(refusal),
        }
    }

    /// With one page that cannot be trapped the others are not given up, unless there is no more room.
    fn fail(&mut self, refusal: Refusal) {
        let count = self.armed.len();
        self.gap = Some(format!(
            "{count} pages are trapped, others are not: {refusal}"
        ));
        self.on = matches!(refusal, Refusal::NotFound | Refusal::Busy);
    }
}

fn why_not(host: &mut impl Machine) -> Option<String> {
    let known = match host.capabilities() {
        Ok(known) => known,
        Err(refusal) => return Some(format!("writes are not trapped: {refusal}")),
    };
    let page = known.into_iter().find(|one| one.name == "page");
    match page {
        Some(page) if page.support != Support::No => None,
        Some(page) => Some(format!("writes are not trapped: {}", page.detail)),
        None => Some("writes are not trapped: the machine knows no page traps".to_owned()),
    }
}

/// Has writes to the interrupt table trapped.
pub(crate) fn arm_gates(trapping: &mut Trapping, host: &mut (impl GuestOs + PageAccess)) {
    let table = host.find_symbol("idt_table", None);
    let pieces = table.and_then(|table| host.locate(table.address, 1));
    if let Some(piece) = pieces.ok().and_then(|pieces| pieces.first().copied()) {
        trapping.arm(GATES, piece.gpa, host);
    }
}
