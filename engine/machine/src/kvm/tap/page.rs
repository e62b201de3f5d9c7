//! Accesses to trapped pages: what an instruction was about to do, and how it goes on.
//!
//! ```text
//!   KVM_RUN says EFAULT, or that it cannot      the instruction has not run: the code says what
//!   emulate the instruction                     it touches; going on lifts the traps and steps
//!   KVM_EXIT_MMIO for RAM: KVM emulates, and    a store is left to us, behind the instruction;
//!   its access failed                           a load waits for what we say is there
//! ```
//! EFAULT comes without an address (KVM API, 4.35 and 5), so nothing is taken from it but the fact.

use kvm_ioctls::VcpuFd;
use oriel_protocol::{EventKind, Verdict, page::frame};

use super::{Seen, Tap, Then, over::Over};
use crate::{
    GuestMemory as _, MachineError,
    kvm::{
        access, apply,
        bus::Bus,
        exit::RawExit,
        pending::{Pending, Reach, Touch},
        traps::Traps,
    },
};

mod fragment;
mod involved;

pub(super) use fragment::{Judged, SoFar};
use involved::Involved;

impl Tap {
    /// The instruction could not be run. If it touches trapped pages, that is why.
    #[inline(never)]
    pub(super) fn blocked(
        &mut self,
        vcpu: &mut VcpuFd,
        bus: &dyn Bus,
        exit: RawExit,
    ) -> Result<Seen, MachineError> {
        let Some(traps) = self.arming.traps() else {
            return Ok(Seen::NotOurs(exit));
        };
        if traps.is_empty() && self.passed.is_none() {
            return Ok(Seen::NotOurs(exit));
        }
        let involved = self.involved();
        if let Some(touch) = self.next_unjudged(&involved) {
            if self.so_far.on(&touch, touch.ip).is_some() {
                // Its load was let through already; only then did KVM's emulator give up.
                self.go_through(touch);
                return Ok(Seen::Handled);
            }
            return self.touched(vcpu, bus, touch);
        }
        let lacks = matches!(exit, RawExit::Internal(error) if error.instruction().is_some());
        if lacks && involved.frames.is_empty() {
            // KVM lacks the instruction, which touches nothing that is trapped.
            return Ok(Seen::NotOurs(exit));
        }
        if let [touch] = involved.silent[..]
            && involved.forbidden.is_empty()
            && self.moves_for_guest(touch, &[])
        {
            return Ok(Seen::Handled);
        }
        Ok(self.pass_unseen(exit, involved.frames))
    }

    /// Nothing of it is forbidden, or all is judged. Where nothing is known of its doing, every
    /// trap is lifted for it, and that is counted: the guest may do this without being seen.
    fn pass_unseen(&mut self, exit: RawExit, frames: Vec<u64>) -> Seen {
        let ip = self.page.rip();
        let mut over = self.over_here(ip);
        let fresh = |frames: &[u64]| frames.iter().any(|frame| !over.frames.contains(frame));
        let known = !self.is_delivering() && fresh(&frames);
        let all = self.arming.traps().map_or_else(Vec::new, Traps::frames);
        if !known && !fresh(&all) {
            // It does not run with every trap lifted either: that is not why.
            return Seen::NotOurs(exit);
        }
        if known {
            over.frames.extend(frames);
            self.note_open(&over);
        } else {
            (over.blind, over.frames) = (true, all);
            self.note_unknown(ip);
        }
        self.over = Some(over);
        Seen::Handled
    }

    /// Whether it is not the instruction, but the delivery of an event that touches memory.
    fn is_delivering(&self) -> bool {
        let events = self.page.events();
        events.exception.injected | events.interrupt.injected | events.nmi.injected != 0
    }

    fn touched(
        &mut self,
        vcpu: &mut VcpuFd,
        bus: &dyn Bus,
        touch: Touch,
    ) -> Result<Seen, MachineError> {
        if self.armed.wants.kind(EventKind::Page) {
            return Ok(Seen::Event(self.raise(Pending::Page(touch))));
        }
        let plan = apply::plan(Pending::Page(touch), Verdict::Continue);
        let then = self.carry_out(vcpu, bus, plan)?;
        debug_assert_eq!(then, Then::Enter, "nothing else comes of going on");
        Ok(Seen::Handled)
    }

    /// The next page of the instruction whose access is forbidden, and not allowed by a verdict.
    fn next_unjudged(&self, involved: &Involved) -> Option<Touch> {
        let ip = self.page.rip();
        let judged = |touch: &&Touch| {
            let of = |over: &Option<Box<Over>>| {
                over.as_ref()
                    .is_some_and(|over| over.admits(ip, frame(touch.gpa), touch.access))
            };
            of(&self.over) || of(&self.passed)
        };
        let mut forbidden = involved.forbidden.iter();
        forbidden.find(|touch| !judged(touch)).copied()
    }

    /// Lets the instruction run once. Another page that it touches is judged first.
    pub(super) fn go_through(&mut self, touch: Touch) {
        let ip = self.page.rip();
        if ip != touch.ip {
            return;
        }
        let mut over = self.over_here(ip);
        over.admit(frame(touch.gpa), touch.access);
        self.over = Some(over);
        let involved = self.involved();
        match self.next_unjudged(&involved) {
            Some(next) if self.armed.wants.kind(EventKind::Page) => {
                self.own = Some(Box::new(Pending::Page(next)));
            }
            Some(_) | None if self.moves_for_guest(touch, &[]) => self.over = None,
            Some(_) | None => {
                if let Some(mut over) = self.over.take() {
                    over.frames.extend(involved.frames);
                    self.note_open(&over);
                    self.over = Some(over);
                }
            }
        }
    }

    /// Where KVM cannot stop the vCPU after an instruction, does a plain MOV for it, with these
    /// bytes in the place of the first ones that it loads; whether it was one.
    fn moves_for_guest(&mut self, touch: Touch, given: &[u8]) -> bool {
        if self.can_step() || touch.reach != (Reach::Before { plain: true }) {
            return false;
        }
        let Some(instruction) = self.instruction_at(touch.ip) else {
            return false;
        };
        let mut regs = self.page.regs();
        match (touch.value, access::loaded(&instruction)) {
            (Some(value), _) => self.put(touch, value),
            (None, Some(register)) => {
                let Some(value) = self.there(touch, given) else {
                    return false;
                };
                access::set(&mut regs, register, value);
                self.page.set_regs(&regs);
            }
            (None, None) => return false,
        }
        self.step_behind(touch);
        true
    }

    /// What lies in memory where the instruction loads from, under the given bytes.
    fn there(&self, touch: Touch, given: &[u8]) -> Option<u64> {
        let mut bytes = [0; 8];
        let length = usize::from(touch.size).min(bytes.len());
        self.arming
            .memory()?
            .read_at(touch.gpa, &mut bytes[..length])
            .ok()?;
        bytes
            .iter_mut()
            .zip(given)
            .for_each(|(to, from)| *to = *from);
        Some(u64::from_le_bytes(bytes))
    }

    /// Lets a load run with these bytes in the place of what is there.
    pub(super) fn plant(&mut self, touch: Touch, bytes: &[u8]) {
        let length = bytes.len().min(touch.size.into());
        let given = bytes.get(..length).unwrap_or_default();
        if self.page.rip() == touch.ip && self.moves_for_guest(touch, given) {
            return;
        }
        self.go_through(touch);
        if let Some(over) = &mut self.over {
            over.planted = Some((touch.gpa, given.into()));
        }
    }

    /// Stores another value for a MOV, and passes over it.
    pub(super) fn store_instead(&mut self, touch: Touch, value: u64) {
        if self.page.rip() == touch.ip {
            self.put(touch, value);
            self.step_behind(touch);
        }
    }

    /// Goes on behind the instruction, unless the vCPU was moved.
    pub(super) fn step_behind(&mut self, touch: Touch) {
        if self.page.rip() == touch.ip {
            let length = self.instruction_length(touch.ip);
            self.set_ip(touch.ip.wrapping_add(length));
        }
    }

    /// Does the store that KVM has left to us.
    pub(super) fn put(&self, touch: Touch, value: u64) {
        let bytes = value.to_le_bytes();
        let length = usize::from(touch.size).min(bytes.len());
        if let Some(memory) = self.arming.memory()
            && memory.write_at(touch.gpa, &bytes[..length]).is_err()
        {
            tracing::warn!(gpa = touch.gpa, "a store to what is no RAM any more");
        }
    }
}
