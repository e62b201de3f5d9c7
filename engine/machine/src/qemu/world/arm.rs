//! Arming: what the stub is to stop at becomes what the judges want, or nothing changes.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
};

use oriel_protocol::{Gpa, Gva, HardwarePoint, Refusal};

use super::World;
use crate::{
    ArmError, GuestMemory as _, Wants, paging, points as debug_registers,
    qemu::{gdb::Point, mappings, registers},
};

/// Linux with page-table isolation has two top tables side by side, the kernel's without this bit.
const USER_TABLES: u64 = 1 << 12;

impl World {
    /// Arms the union.
    pub(in crate::qemu) fn arm(&mut self, wants: &Wants) -> Result<(), ArmError> {
        self.check(wants)?;
        let hardware = debug_registers::fit(&wants.hardware, &self.points.hardware)?;
        let difference = self.points.difference(wants, &hardware);
        let found = self.find(&difference.new)?;
        self.place(&found, &difference.points_new)?;
        self.remove(&difference.gone, &difference.points_gone);
        self.points.hardware = hardware;
        self.points.wants = wants.clone();
        Ok(())
    }

    /// What this machine never reports.
    fn check(&self, wants: &Wants) -> Result<(), ArmError> {
        let reports = |kind: &oriel_protocol::EventKind| !self.capabilities.reports(*kind);
        let kind = wants.events.iter().find(reports);
        let paged = (!wants.pages.is_empty()).then_some(oriel_protocol::EventKind::Page);
        let Some(kind) = kind.or(paged) else {
            return Ok(());
        };
        let known = self.capabilities.get(kind.name());
        Err(ArmError::Unsupported {
            what: kind.name().to_owned(),
            reason: known.map(|known| known.reason.clone()).unwrap_or_default(),
        })
    }

    /// Where these lie in virtual memory, as any vCPU sees it now.
    fn find(&mut self, new: &BTreeSet<Gpa>) -> Result<BTreeMap<Gpa, BTreeSet<Gva>>, ArmError> {
        let mut all = BTreeMap::new();
        for vcpu in 0..self.gdb.vcpus() {
            let missing: BTreeSet<_> = new
                .iter()
                .filter(|gpa| !all.contains_key(*gpa))
                .copied()
                .collect();
            if missing.is_empty() {
                break;
            }
            all.extend(
                self.seen_by(vcpu, &missing)
                    .map_err(|no| failed("breakpoints", no))?,
            );
        }
        match new.iter().find(|gpa| !all.contains_key(*gpa)) {
            Some(gpa) => Err(ArmError::Unsupported {
                what: format!("a breakpoint at {gpa:#x}"),
                reason: "QEMU breaks at virtual addresses, and no vCPU has this page mapped to be executed just now: place it while its code is mapped".to_owned(),
            }),
            None => Ok(all),
        }
    }

    fn seen_by(
        &mut self,
        vcpu: u32,
        wanted: &BTreeSet<Gpa>,
    ) -> Result<BTreeMap<Gpa, BTreeSet<Gva>>, Refusal> {
        let all = self.on_gdb(|gdb| gdb.registers(vcpu))?;
        let control = registers::control(self.gdb.layout(), &all);
        let control = control.ok_or(Refusal::Unavailable)?;
        let mode = paging::Mode::by(&control);
        let view = self.view();
        let mut found = mappings::find(&view, mode, control.cr3, wanted);
        if found.len() < wanted.len() {
            // In user mode; elsewhere this is another page, in which there is nothing to be found.
            let kernel = control.cr3 & !USER_TABLES;
            for (gpa, gvas) in mappings::find(&view, mode, kernel, wanted) {
                found.entry(gpa).or_insert(gvas);
            }
        }
        Ok(found)
    }

    /// Has the stub stop at new ones. If it does not at one of them, none of them stays.
    fn place(
        &mut self,
        found: &BTreeMap<Gpa, BTreeSet<Gva>>,
        points: &[HardwarePoint],
    ) -> Result<(), ArmError> {
        let known: BTreeSet<Gva> = self.points.managed.values().flatten().copied().collect();
        let software = found.values().flatten().filter(|gva| !known.contains(gva));
        let software: BTreeSet<Gva> = software.copied().collect();
        self.note_originals(found.keys());
        let new = software.into_iter().map(Point::Software);
        let new = new.chain(points.iter().copied().map(Point::Hardware));
        let mut done = Vec::new();
        for point in new {
            if let Err(refusal) = self.on_gdb(|gdb| gdb.insert(point)) {
                done.into_iter().for_each(|point| self.take_away(point));
                found
                    .keys()
                    .for_each(|gpa| self.points.originals.remove(*gpa));
                return Err(failed("a breakpoint", refusal));
            }
            done.push(point);
        }
        self.points.managed.extend(found.clone());
        Ok(())
    }

    /// Where QEMU is about to write INT3s, what is there now.
    fn note_originals<'a>(&mut self, gpas: impl Iterator<Item = &'a Gpa>) {
        if !self.kvm {
            return;
        }
        for gpa in gpas {
            let mut byte = [0];
            if self.view().read_at(*gpa, &mut byte).is_ok() {
                self.points.originals.insert(*gpa, byte[0]);
            }
        }
    }

    fn remove(&mut self, gone: &[Gpa], points: &[HardwarePoint]) {
        let software = self
            .points
            .addresses_of(gone)
            .into_iter()
            .map(Point::Software);
        let points = points.iter().copied().map(Point::Hardware);
        for point in software.chain(points) {
            self.take_away(point);
        }
        for gpa in gone {
            self.points.managed.remove(gpa);
            self.points.originals.remove(*gpa);
        }
    }

    fn take_away(&mut self, point: Point) {
        if let Err(error) = self.on_gdb(|gdb| gdb.remove(point)) {
            tracing::debug!(?point, %error, "a breakpoint is not taken away");
        }
    }

    /// Takes these away for a moment; only where QEMU keeps INT3s in guest memory.
    pub(super) fn lift(&mut self, gvas: &[Gva]) -> Result<(), Refusal> {
        gvas.iter()
            .try_for_each(|gva| self.on_gdb(|gdb| gdb.remove(Point::Software(*gva))))
    }

    /// Puts them back.
    pub(super) fn lower(&mut self, gvas: &[Gva]) -> Result<(), Refusal> {
        gvas.iter()
            .try_for_each(|gva| self.on_gdb(|gdb| gdb.insert(Point::Software(*gva))))
    }

    /// Has the stub stop at everything again: it has forgotten.
    pub(super) fn arm_again(&mut self) -> Result<(), Refusal> {
        let mut all = self.points.all().into_iter();
        all.try_for_each(|point| self.on_gdb(|gdb| gdb.insert(point)))
    }

    /// Has the stub stop at nothing any more.
    pub(super) fn disarm(&mut self) {
        for point in self.points.all() {
            self.take_away(point);
        }
        self.points.managed.clear();
        self.points.hardware.clear();
    }
}

fn failed(what: &str, refusal: Refusal) -> ArmError {
    ArmError::Host {
        what: what.to_owned(),
        source: io::Error::other(refusal),
    }
}
