//! A tap on one vCPU: what introspection adds to whoever runs it.
//!
//! The owner of `KVM_RUN` keeps its loop and calls the tap around it:
//! ```text
//!   loop {
//!       if tap.before_run(fd)? { ran(fd.run()) → tap.after_run(interrupted) }
//!       match tap.decode(fd, bus)? {
//!           Seen::Event(event) => tap.apply(fd, bus, judge(event))?,
//!           Seen::Handled      => {}                 // enter again
//!           Seen::NotOurs(exit) => the owner's own business
//!       }
//!   }
//! ```
//! Kicks go through [`Tap::kicker`], as the tap uses `immediate_exit` itself: to let KVM finish
//! an instruction whose exit it has reported, which has to be done before the instruction pointer
//! is moved or the state is shown to anybody (KVM API, section 5, note on `KVM_EXIT_IO`).

use std::{io, sync::Arc};

use kvm_bindings::KVM_MAX_CPUID_ENTRIES;
use kvm_ioctls::{VcpuFd, VmFd};
use oriel_protocol::{Event, EventKind, Verdict, x86::Exception};
use rustix::io::Errno;

use super::{
    apply,
    arm::{Armed, Arming},
    bus::{Bus, Effect},
    decode::{self, At, Subject},
    entry::{Entry, KvmRun, Ran, ran},
    exit::RawExit,
    habits::Habits,
    kick::Kick,
    msr_rules::Features,
    msrs::MsrBank,
    pending::{Access, Pending},
    seats::Seat,
    sys::{page::RunPage, signal::KickSignal},
};
use crate::{End, Kicker, MachineError};

mod breakpoint;
mod carry;
mod debug;
mod inject;
mod over;
mod page;
mod point;
mod unseen;

use over::Over;

/// A tap on one vCPU.
pub struct Tap {
    index: u32,
    habits: Habits,
    pub(super) page: RunPage,
    entry: Box<dyn Entry>,
    kick: Arc<Kick>,
    arming: Arc<Arming>,
    armed: Arc<Armed>,
    generation: u64,
    pub(super) msrs: MsrBank,
    pending: Option<Pending>,
    instruction: Instruction,
    /// Where the instruction pointer is to go once an instruction in several fragments is done.
    destination: Option<u64>,
    /// An exit lies in the page that nobody has decoded: `KVM_RUN` must wait.
    unread: bool,
    /// What a command has asked to raise at the next entry.
    staged: Option<Exception>,
    /// The exception of the next entry was asked for, and nobody has been told of it yet.
    untold: bool,
    debug: debug::Debug,
    /// A HLT has been run for the guest, and whoever runs the vCPU has not been told.
    halts: bool,
    /// A trap is to be lifted for the next instruction.
    over: Option<Over>,
    /// It is lifted.
    lifted: bool,
    /// It was, at the last entry.
    passed: Option<Over>,
    /// What lies under bytes that are shown to the instruction.
    planted_over: Option<Vec<u8>>,
    /// The last `KVM_RUN` said EFAULT.
    faulted: bool,
    /// What was decided on the last fragment of an instruction; and whether the exit that is to
    /// be decoded belongs to the same.
    judged: Option<page::Judged>,
    so_far: page::SoFar,
    unseen: unseen::News,
    /// A trap could not be put back.
    trouble: Option<io::Error>,
    seat: Arc<Seat>,
    /// What the tap has to tell by itself before `KVM_RUN`.
    own: Option<Pending>,
}

/// Whether the instruction of the last exit is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Instruction {
    /// KVM has nothing left to do for it.
    Done,
    /// KVM completes it at the next `KVM_RUN`; the instruction pointer was here at the exit.
    Open { ip: u64 },
}

/// What an exit was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Something that is to be judged; then [`Tap::apply`].
    Event(Event),
    /// Done already; enter again.
    Handled,
    /// For whoever runs the vCPU.
    NotOurs(RawExit),
}

/// How it goes on after a verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Then {
    /// Enter the guest.
    Enter,
    /// Reset the VM.
    Reset,
    /// The VM ends.
    End(End),
    /// A device was asked for something that is not the tap's business.
    Asked(Effect),
}

impl Tap {
    /// Taps a vCPU whose CPUID is set, on the KVM that `arming` was made for.
    ///
    /// # Errors
    /// Whatever KVM says.
    pub fn new(
        vm: &VmFd,
        vcpu: &VcpuFd,
        index: u32,
        arming: Arc<Arming>,
        signal: KickSignal,
    ) -> io::Result<Self> {
        let mut page = RunPage::map(vcpu, vm.run_size())?;
        page.ask_for_registers();
        let kick = Kick::new(page.immediate_exit(), signal);
        let cpuid = vcpu.get_cpuid2(KVM_MAX_CPUID_ENTRIES)?;
        let habits = arming.habits();
        let mut tap = Self {
            index,
            habits,
            page,
            entry: Box::new(KvmRun),
            seat: arming.seats().take(index, kick.clone()),
            kick,
            generation: arming.generation(),
            armed: arming.current(),
            arming,
            msrs: MsrBank::new(Features::of(cpuid.as_slice())),
            debug: debug::Debug::default(),
            halts: false,
            over: None,
            lifted: false,
            passed: None,
            planted_over: None,
            faulted: false,
            judged: None,
            so_far: page::SoFar::default(),
            unseen: unseen::News::default(),
            trouble: None,
            pending: None,
            instruction: Instruction::Done,
            destination: None,
            unread: false,
            staged: None,
            untold: false,
            own: None,
        };
        tap.msrs.set_guarded_misc_enable(habits.guarded_misc_enable);
        tap.read_state(vcpu)?;
        Ok(tap)
    }

    /// What makes the vCPU leave the guest.
    pub fn kicker(&self) -> Arc<dyn Kicker> {
        self.kick.clone()
    }

    pub(super) fn kick(&self) -> &Arc<Kick> {
        &self.kick
    }

    /// Takes the registers from KVM, after something else than `KVM_RUN` has set them, and forgets
    /// all that was in the air.
    pub(super) fn read_state(&mut self, vcpu: &VcpuFd) -> io::Result<()> {
        self.page.note_regs(&vcpu.get_regs()?);
        self.page.note_sregs(&vcpu.get_sregs()?);
        self.page.note_events(&vcpu.get_vcpu_events()?);
        self.page.forget_dirty();
        self.msrs.forget();
        (self.pending, self.staged, self.destination) = (None, None, None);
        (self.unread, self.instruction) = (false, Instruction::Done);
        (self.untold, self.own) = (false, None);
        (self.over, self.passed, self.faulted) = (None, None, false);
        (self.judged, self.so_far) = (None, page::SoFar::default());
        self.debug.forget();
        self.halts = false;
        Ok(())
    }

    /// Gets the vCPU ready for `KVM_RUN`; false if there is something to decode first. From a yes
    /// on the vCPU counts as being in the guest, until [`after_run`](Self::after_run) or
    /// [`stay_out`](Self::stay_out).
    ///
    /// # Errors
    /// [`MachineError`] when the vCPU cannot go on.
    pub fn before_run(&mut self, vcpu: &mut VcpuFd) -> Result<bool, MachineError> {
        if let Some(source) = self.trouble.take() {
            return Err(self.error("putting a page's protection back", source));
        }
        let open = self.staged.is_some() || self.debug.steps() || self.judged.is_some();
        if open || self.moved_to().is_some() {
            self.finish(vcpu)?;
        }
        self.keep_judged();
        if self.unread {
            return Ok(false);
        }
        self.settle_over();
        self.tell_debugged();
        if self.own.is_none() {
            self.halt_instead(vcpu);
            if self.halts {
                return Ok(false);
            }
            self.tell_debugged();
        }
        if self.own.is_none() {
            if let Some(exception) = self.staged.take() {
                self.raise_staged(vcpu, exception)?;
            }
            self.tell_delivery();
        }
        if self.own.is_some() {
            return Ok(false);
        }
        self.go_in(vcpu)?;
        Ok(true)
    }

    /// Counts as in the guest, with the newest of what is armed.
    fn go_in(&mut self, vcpu: &VcpuFd) -> Result<(), MachineError> {
        loop {
            self.refresh();
            self.tell_debug(vcpu)?;
            self.arming.seats().go_in(&self.seat, self.generation);
            if self.arming.generation() == self.generation {
                return self.lift();
            }
            self.stay_out();
        }
    }

    /// The vCPU does not go into the guest after all.
    pub fn stay_out(&mut self) {
        self.lower();
        self.arming.seats().come_out(&self.seat);
    }

    /// Runs the vCPU until it comes out.
    pub(super) fn run(&mut self, vcpu: &mut VcpuFd) -> Result<(), Errno> {
        self.entry.run(vcpu)
    }

    /// Answers in the place of `KVM_RUN` from now on.
    #[cfg(test)]
    pub(super) fn enter_by(&mut self, entry: impl Entry + 'static) {
        self.entry = Box::new(entry);
    }

    /// Notes what `KVM_RUN` has said.
    ///
    /// # Errors
    /// Gives back what nothing can be made of.
    pub(super) fn ran(&mut self, said: Result<(), Errno>) -> Result<Ran, Errno> {
        let ran = ran(said);
        match ran {
            Ok(Ran::Exit) => self.after_run(false),
            Ok(Ran::Fault) => self.after_fault(),
            Ok(Ran::Interrupted) | Err(_) => {
                self.after_run(true);
                self.kick.release_entry();
            }
        }
        ran
    }

    /// Notes that `KVM_RUN` has returned: with an exit to decode, or interrupted.
    pub fn after_run(&mut self, interrupted: bool) {
        self.stay_out();
        self.unread = !interrupted;
        if interrupted {
            self.instruction = Instruction::Done;
        } else {
            self.passed = self.over.take();
        }
    }

    /// Notes that `KVM_RUN` has failed with EFAULT: there is something to decode, though no exit.
    pub fn after_fault(&mut self) {
        self.after_run(false);
        self.faulted = true;
    }

    /// What the exit in the page is.
    ///
    /// # Errors
    /// [`MachineError`] when the vCPU cannot go on.
    pub fn decode(&mut self, vcpu: &mut VcpuFd, bus: &dyn Bus) -> Result<Seen, MachineError> {
        if let Some(own) = self.own.take() {
            return Ok(Seen::Event(self.raise(own)));
        }
        if self.take_halt() {
            return Ok(Seen::NotOurs(RawExit::Halt));
        }
        self.unread = false;
        let stale = self.arming.generation() != self.generation;
        self.refresh();
        let exit = match std::mem::take(&mut self.faulted) {
            true => RawExit::Fault,
            false => self.page.exit(),
        };
        self.open(&exit);
        if let Some(seen) = self.fragment(vcpu, bus, exit)? {
            return Ok(seen);
        }
        match decode::subject(&exit, &self.armed.wants, self.habits) {
            Subject::Wanted(pending) => {
                let pending = self.fill_in(vcpu, bus, pending);
                Ok(Seen::Event(self.raise(pending)))
            }
            Subject::Silent(pending) => {
                let pending = self.fill_in(vcpu, bus, pending);
                self.carry_out(vcpu, bus, apply::plan(pending, Verdict::Continue))?;
                Ok(Seen::Handled)
            }
            // What blocked it may be gone.
            Subject::Blocked if stale => Ok(Seen::Handled),
            Subject::Blocked => self.blocked(vcpu, bus, exit),
            Subject::Int3 => self.int3(vcpu, bus),
            Subject::Debugged(debug) => self.debugged(vcpu, debug),
            Subject::NotOurs => {
                // KVM does not step over a halt: it is done, and that is all there is to it.
                self.debug.stepped = exit == RawExit::Halt && self.debug.steps();
                Ok(Seen::NotOurs(exit))
            }
        }
    }

    /// Notes where the vCPU stands at this exit.
    fn open(&mut self, exit: &RawExit) {
        let ip = self.page.rip();
        self.instruction = match exit {
            RawExit::Port(_) | RawExit::Memory { .. } | RawExit::Msr(_) => Instruction::Open { ip },
            RawExit::Halt | RawExit::Shutdown | RawExit::Interrupted | RawExit::System(_) => {
                Instruction::Done
            }
            RawExit::Internal(_) | RawExit::FailEntry(_) => Instruction::Done,
            RawExit::Debug(_) | RawExit::Fault | RawExit::Other(_) => Instruction::Done,
        };
        if let Some(destination) = self.destination.take() {
            self.set_ip(destination);
        }
    }

    /// Carries out the verdict on the last event.
    ///
    /// # Errors
    /// [`MachineError`] when the vCPU cannot go on.
    pub fn apply(
        &mut self,
        vcpu: &mut VcpuFd,
        bus: &dyn Bus,
        verdict: Verdict,
    ) -> Result<Then, MachineError> {
        match self.pending.take() {
            Some(pending) => {
                self.note_judged(&pending, &verdict);
                self.carry_out(vcpu, bus, apply::plan(pending, verdict))
            }
            None => Ok(Then::Enter),
        }
    }

    /// Raises an event that the owner of `KVM_RUN` has seen; none if nobody wants it.
    pub(super) fn raise_if_wanted(&mut self, kind: EventKind, pending: Pending) -> Option<Event> {
        self.refresh();
        self.armed.wants.kind(kind).then(|| self.raise(pending))
    }

    fn raise(&mut self, pending: Pending) -> Event {
        let ip = match self.instruction {
            Instruction::Open { ip } => ip,
            Instruction::Done => self.page.rip(),
        };
        let at = At {
            ip,
            cr3: self.page.cr3(),
            cpl: self.page.cpl(),
        };
        let event = decode::event(&pending, at);
        self.pending = Some(pending);
        event
    }

    /// Takes what has been armed since the last exit.
    fn refresh(&mut self) {
        let generation = self.arming.generation();
        if self.generation != generation {
            self.generation = generation;
            self.armed = self.arming.current();
            self.msrs.forget();
        }
    }

    /// Adds what an exit does not say: the old value of an MSR, and what a device answers.
    fn fill_in(&mut self, vcpu: &VcpuFd, bus: &dyn Bus, pending: Pending) -> Pending {
        match pending {
            Pending::MsrWrite { msr, new, .. } => Pending::MsrWrite {
                msr,
                old: self.old_msr(vcpu, msr),
                new,
            },
            Pending::MsrRead { msr, .. } => Pending::MsrRead {
                msr,
                value: self.old_msr(vcpu, msr),
            },
            Pending::Access(access) => {
                if !access.write {
                    self.ask_device(bus, &access);
                }
                Pending::Access(Access {
                    value: self.first_element(&access),
                    ..access
                })
            }
            Pending::Breakpoint(_) | Pending::Watched(_) | Pending::Page(_) => pending,
            Pending::Step | Pending::Trap(_) => pending,
            Pending::Reset | Pending::Shutdown { .. } => pending,
        }
    }

    fn old_msr(&mut self, vcpu: &VcpuFd, msr: u32) -> Option<u64> {
        let wants = &self.armed.wants;
        let filtered = wants.kind(EventKind::Msr) && wants.msr_writes.contains(u64::from(msr));
        self.msrs.read(vcpu, &self.page, msr, filtered)
    }

    fn error(&self, action: &'static str, source: impl Into<io::Error>) -> MachineError {
        MachineError::Host {
            vcpu: self.index,
            action,
            source: source.into(),
        }
    }
}
