//! A tap on one vCPU: what introspection adds to whoever runs it.
//!
//! The owner of `KVM_RUN` keeps its loop and calls the tap around it:
//! ```text
//!   loop {
//!       if tap.before_run(fd)? { tap.go_in(fd)?; ran(fd.run()) → tap.after_run(interrupted) }
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

use std::{io, sync::Arc, thread::ThreadId};

use kvm_bindings::KVM_MAX_CPUID_ENTRIES;
use kvm_ioctls::{VcpuFd, VmFd};
use oriel_protocol::{Event, Verdict, x86::Exception};

use super::{
    apply,
    arm::{Armed, Arming},
    bus::{Bus, Effect},
    entry::{Entry, KvmRun},
    exit::RawExit,
    habits::Habits,
    kick::Kick,
    msr_rules::Features,
    msrs::MsrBank,
    pending::Pending,
    seats::Seat,
    sys::{files, page::RunPage, signal::KickSignal},
};
use crate::{End, Kicker, MachineError};

mod breakpoint;
mod carry;
mod debug;
mod enter;
mod inject;
mod look;
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
    /// The thread that is known to enter the vCPU.
    runner: Option<ThreadId>,
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
    over: Option<Box<Over>>,
    /// It is lifted.
    lifted: bool,
    /// It was, at the last entry.
    passed: Option<Box<Over>>,
    /// What lies under bytes that are shown to the instruction.
    planted_over: Option<Vec<u8>>,
    /// The last `KVM_RUN` said EFAULT.
    faulted: bool,
    /// What was decided on the last fragment of an instruction; and whether the exit that is to
    /// be decoded belongs to the same.
    judged: Option<Box<page::Judged>>,
    so_far: page::SoFar,
    unseen: unseen::News,
    /// A trap could not be put back.
    trouble: Option<io::Error>,
    seat: Arc<Seat>,
    /// What the tap has to tell by itself before `KVM_RUN`.
    own: Option<Box<Pending>>,
}

/// Whether the instruction of the last exit is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Instruction {
    /// KVM has nothing left to do for it.
    Done,
    /// KVM completes it at the next `KVM_RUN`.
    Open,
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
        let page = RunPage::map(vcpu, vm.run_size())?.backed_by(files::same_vcpu(vm, vcpu)?);
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
            runner: None,
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
        tap.page.ask_for(tap.looked_at());
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

    fn error(&self, action: &'static str, source: impl Into<io::Error>) -> MachineError {
        MachineError::Host {
            vcpu: self.index,
            action,
            source: source.into(),
        }
    }
}
