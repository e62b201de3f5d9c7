//! Plan → vCPU: carries out what a verdict asks for.

use kvm_bindings::kvm_regs;
use kvm_ioctls::VcpuFd;
use oriel_protocol::{VerdictKind, x86::Exception};
use rustix::io::Errno;

use super::{Instruction, Tap, Then, over};
use crate::{
    End, MachineError,
    kvm::{
        bus::{Bus, Effect},
        decode,
        exit::RawExit,
        pending::{Access, Place, Plan},
    },
};

/// More than any instruction has.
const MOST_FRAGMENTS: usize = 16;

/// Where an instruction leaves off that is to have no effect.
#[derive(Clone, Copy)]
enum Undone {
    /// It is passed over.
    Behind,
    /// It is still to come.
    Before,
}

impl Tap {
    pub(super) fn carry_out(
        &mut self,
        vcpu: &mut VcpuFd,
        bus: &dyn Bus,
        plan: Plan,
    ) -> Result<Then, MachineError> {
        match plan {
            Plan::WriteMsr { msr, value } => {
                let written = self.msrs.write(vcpu, &mut self.page, msr, value);
                self.page.answer_msr(!written, 0);
            }
            Plan::AnswerRead(value) => self.page.answer_msr(false, value),
            Plan::Fault => self.page.answer_msr(true, 0),
            Plan::DropWrite => self.page.answer_msr(false, 0),
            Plan::DropRead => self.undo(vcpu, Undone::Behind)?,
            Plan::Again => self.undo(vcpu, Undone::Before)?,
            Plan::Raise(exception) => {
                self.undo(vcpu, Undone::Before)?;
                self.raise_asked(vcpu, exception)?;
            }
            Plan::Perform(access) => return Ok(asked(self.perform(bus, &access))),
            Plan::PerformWith(access, value) => {
                self.page
                    .set_data(0, first_bytes(&value.to_le_bytes(), access.size));
                return Ok(asked(self.perform(bus, &access)));
            }
            Plan::Ignore(access) => self.ignore(&access),
            Plan::GoOver(int3) => self.go_over(int3),
            Plan::RaiseInt3(int3) => self.raise_int3(vcpu, int3)?,
            Plan::PassOver(int3) => self.pass_over(int3),
            Plan::GoThrough(touch) => self.go_through(touch),
            Plan::Plant(touch, bytes) => self.plant(touch, &bytes),
            Plan::StoreInstead(touch, value) => self.store_instead(touch, value),
            Plan::StepBehind(touch) => self.step_behind(touch),
            Plan::Put(touch, value) => self.put(touch, value),
            Plan::Load(None) => {}
            Plan::Load(Some(bytes)) => self.answer_load(&bytes),
            Plan::FaultBefore => {
                self.undo(vcpu, Undone::Before)?;
                self.raise_exception(vcpu, Exception::GP0)?;
            }
            Plan::FaultHere => self.raise_exception(vcpu, Exception::GP0)?,
            Plan::RaiseHere(exception) => self.raise_asked(vcpu, exception)?,
            Plan::Enter => {}
            Plan::Reset => return Ok(Then::Reset),
            Plan::End(end) => return Ok(Then::End(end)),
            Plan::Impossible(kind) => return Ok(Then::End(impossible(kind))),
        }
        Ok(Then::Enter)
    }

    /// Has a port or memory access that is not judged done by the devices.
    pub fn serve(&mut self, bus: &dyn Bus, exit: &RawExit) -> Effect {
        let Some(access) = decode::access(exit, self.habits) else {
            return Effect::None;
        };
        if !access.write {
            self.ask_device(bus, &access);
        }
        self.perform(bus, &access)
    }

    /// Hands the device what was written; for input the answer is in place already.
    fn perform(&mut self, bus: &dyn Bus, access: &Access) -> Effect {
        let mut effect = Effect::None;
        for (at, place) in elements(access).filter(|_| access.write) {
            let mut bytes = [0; 8];
            let bytes = first_bytes_mut(&mut bytes, access.size);
            self.page.data(at, bytes);
            let this = bus.write(self.index, place, bytes);
            if effect == Effect::None {
                effect = this;
            }
        }
        effect
    }

    /// Puts what the device answers where KVM takes it from.
    pub(super) fn ask_device(&mut self, bus: &dyn Bus, access: &Access) {
        for (at, place) in elements(access) {
            let mut bytes = [0; 8];
            let bytes = first_bytes_mut(&mut bytes, access.size);
            bus.read(self.index, place, bytes);
            self.page.set_data(at, bytes);
        }
    }

    /// The first element of an access.
    pub(super) fn first_element(&self, access: &Access) -> u64 {
        let mut bytes = [0; 8];
        self.page.data(0, first_bytes_mut(&mut bytes, access.size));
        u64::from_le_bytes(bytes)
    }

    /// The device sees nothing; input is all ones, as where no device answers.
    fn ignore(&mut self, access: &Access) {
        for (at, _) in elements(access).filter(|_| !access.write) {
            self.page.set_data(at, first_bytes(&[0xff; 8], access.size));
        }
    }

    /// Takes back the instruction of an MSR exit, or one that only loads. KVM has to complete it
    /// first; its effects are on general registers and flags, which are put back.
    fn undo(&mut self, vcpu: &mut VcpuFd, undone: Undone) -> Result<(), MachineError> {
        let moved = self.moved_to().is_some();
        let mut before = self.page.regs();
        if matches!(self.page.exit(), RawExit::Msr(_)) {
            self.page.answer_msr(false, 0);
        }
        self.finish_all(vcpu)?;
        self.judged = None;
        match undone {
            Undone::Behind if !moved => before.rip = self.behind(before.rip),
            Undone::Behind => {}
            Undone::Before => self.debug.stepped = false,
        }
        self.page.set_regs(&before);
        Ok(())
    }

    /// Where the vCPU is to go on behind an instruction that KVM has completed: a string
    /// instruction may have turns left, which go with it.
    fn behind(&self, ip: u64) -> u64 {
        let now = self.page.rip();
        let repeats = |found: &iced_x86::Instruction| now == ip && over::repeats(found);
        let instruction = self.instruction_at(ip).filter(repeats);
        instruction.map_or(now, |found| found.next_ip())
    }

    /// Where a judge has moved the instruction pointer while the instruction is still open.
    pub(super) fn moved_to(&self) -> Option<u64> {
        match self.instruction {
            Instruction::Open => self.page.moved_to(),
            Instruction::Done => None,
        }
    }

    /// Lets KVM complete an open instruction, without entering the guest. Should that lead to
    /// another exit (the next fragment of a store that is larger than eight bytes), it is left in
    /// the page to be decoded.
    #[inline(never)]
    pub(in crate::kvm) fn finish(&mut self, vcpu: &mut VcpuFd) -> Result<(), MachineError> {
        if self.instruction == Instruction::Done || self.unread {
            return Ok(());
        }
        let target = self.moved_to();
        if target.is_some() {
            self.set_ip(self.page.exited_at());
        }
        self.kick.hold_at_entry();
        let outcome = self.run(vcpu);
        self.kick.release_entry();
        match outcome {
            // Where the vCPU is stepped, this is how KVM says that the instruction is done.
            Ok(()) if matches!(self.page.exit(), RawExit::Debug(debug) if debug.is_step()) => {
                self.completed(target, true);
            }
            Ok(()) => (self.unread, self.destination) = (true, target),
            Err(Errno::INTR | Errno::AGAIN) => {
                let faulted = self.page.events().exception.injected != 0;
                self.completed(target, !faulted);
            }
            Err(errno) => return Err(self.error("completing an instruction", errno)),
        }
        Ok(())
    }

    /// The open instruction is done; where the vCPU is stepped, that was a step if it has run.
    fn completed(&mut self, target: Option<u64>, has_run: bool) {
        self.instruction = Instruction::Done;
        self.debug.stepped = has_run && self.debug.steps();
        target.into_iter().for_each(|target| self.set_ip(target));
    }

    /// Lets go of an open instruction, whatever comes of it: the vCPU is about to be reset.
    pub(in crate::kvm) fn abandon(&mut self, vcpu: &mut VcpuFd) -> Result<(), MachineError> {
        self.finish_all(vcpu)
    }

    /// Completes an open instruction whose effects do not matter, in all its fragments.
    fn finish_all(&mut self, vcpu: &mut VcpuFd) -> Result<(), MachineError> {
        for _ in 0..MOST_FRAGMENTS {
            self.unread = false;
            self.finish(vcpu)?;
            if !self.unread {
                break;
            }
        }
        self.destination = None;
        Ok(())
    }

    pub(super) fn set_ip(&mut self, ip: u64) {
        let regs = kvm_regs {
            rip: ip,
            ..self.page.regs()
        };
        self.page.set_regs(&regs);
    }
}

/// Each element's offset in the data of the exit, and where its device sits.
fn elements(access: &Access) -> impl Iterator<Item = (usize, Place)> + use<> {
    let (place, size) = (access.place, usize::from(access.size));
    (0..access.count as usize).map(move |element| (element * size, place))
}

fn first_bytes(bytes: &[u8; 8], size: u8) -> &[u8] {
    &bytes[..usize::from(size).min(8)]
}

fn first_bytes_mut(bytes: &mut [u8; 8], size: u8) -> &mut [u8] {
    &mut bytes[..usize::from(size).min(8)]
}

/// A verdict that was not allowed must not turn into another: a no would be lost.
fn impossible(kind: VerdictKind) -> End {
    End::Failed(format!(
        "the verdict `{}` cannot be carried out on this event, which did not allow it",
        kind.name()
    ))
}

fn asked(effect: Effect) -> Then {
    match effect {
        Effect::None => Then::Enter,
        Effect::End(_) | Effect::Reset => Then::Asked(effect),
    }
}
