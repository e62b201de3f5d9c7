//! One vCPU of an embedder.

use std::{io, sync::Arc};

use kvm_ioctls::{VcpuFd, VmFd};
use oriel_protocol::{Event, EventKind, Refusal, Verdict, events::ShutdownCause};
use rustix::io::Errno;

use crate::{
    End, Exit, Hold, Kicker, MachineError, Unjudged, Vcpu,
    kvm::{
        bus::{Bus, Effect},
        entry::Ran,
        exit::RawExit,
        pending::Pending,
        sys::xsave::FitsArea,
        tap::{Seen, Tap, Then},
        tapped::Tapped,
        world::{Held, World},
    },
};

/// One vCPU of an embedder, for the thread that runs it. Its state is there to be read and written
/// while it is out of `KVM_RUN`.
pub struct EmbeddedVcpu {
    fd: VcpuFd,
    tap: Tap,
    world: Arc<World>,
    index: u32,
    fits: Option<FitsArea>,
    /// The others are kept out until `KVM_RUN` has returned.
    hold: Option<Hold>,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ready {
    /// Call `KVM_RUN`, then [`EmbeddedVcpu::ran`], whatever comes of it.
    Run,
    /// Call [`EmbeddedVcpu::decode`]: there is something to see already.
    Decode,
    /// Somebody has written to the vCPU, or there is something to tell: go round by the station's
    /// mailbox.
    Kicked,
}

impl EmbeddedVcpu {
    pub(super) fn new((fd, tap): (VcpuFd, Tap), vm: &VmFd, world: Arc<World>, index: u32) -> Self {
        Self {
            fd,
            tap,
            world,
            index,
            fits: FitsArea::check(vm),
            hold: None,
        }
    }

    /// Gets the vCPU ready for `KVM_RUN`. Waits while another vCPU holds the others.
    ///
    /// # Errors
    /// [`MachineError`] when the vCPU cannot go on.
    pub fn ready(&mut self) -> Result<Ready, MachineError> {
        self.tap.attach()?;
        loop {
            if self.tap.kick().is_kicked() || self.tap.has_news() {
                self.tap.finish(&mut self.fd)?;
                return Ok(Ready::Kicked);
            }
            if !self.tap.before_run(&mut self.fd)? {
                return Ok(Ready::Decode);
            }
            if self.hold_for_step()? {
                self.tap.go_in(&self.fd)?;
                if self.world.go_in(self.index, 0) {
                    return Ok(Ready::Run);
                }
                self.tap.stay_out();
            }
            self.wait()?;
        }
    }

    /// Keeps the others out where this vCPU runs an instruction with a trap lifted; false if
    /// another holds them, and this one too.
    fn hold_for_step(&mut self) -> Result<bool, MachineError> {
        if !self.tap.needs_hold() {
            return Ok(true);
        }
        let held = self.world.hold(self.index);
        match held.map_err(|source| self.error("holding the other vCPUs", source))? {
            Held::Yes(Some(hold)) => self.hold = Some(hold),
            Held::Yes(None) => {}
            Held::ByAnother => return Ok(false),
        }
        Ok(true)
    }

    /// Waits while another vCPU holds this one, or until somebody kicks. What the last instruction
    /// has left to do is done first, so that whoever looks meanwhile sees it done.
    #[cold]
    fn wait(&mut self) -> Result<(), MachineError> {
        self.hold = None;
        self.tap.finish(&mut self.fd)?;
        let (world, index) = (&self.world, self.index);
        self.tap.kick().wait_while(|| world.must_wait(index, 0));
        Ok(())
    }

    /// Notes that `KVM_RUN` has returned, with this. EINTR and EAGAIN are no failure: then there is
    /// nothing to decode, and the loop goes round. EFAULT is what a trapped page looks like, and is
    /// decoded; one that is not Oriel's comes back from there as [`RawExit::Fault`].
    ///
    /// # Errors
    /// Gives back what is none of these, for the VMM to make something of.
    pub fn ran(&mut self, outcome: Result<(), kvm_ioctls::Error>) -> Result<Ready, io::Error> {
        self.world.come_out(self.index);
        let said = outcome.map_err(|errno| Errno::from_raw_os_error(errno.errno()));
        let ran = self.tap.ran(said);
        // Only now is back what was lifted.
        self.hold = None;
        Ok(match ran? {
            Ran::Exit | Ran::Fault => Ready::Decode,
            Ran::Interrupted => Ready::Kicked,
        })
    }

    /// What the vCPU has done. Ports and memory that nobody watches come back as
    /// [`Seen::NotOurs`]: hand them to [`serve`](Self::serve), or see to them.
    ///
    /// # Errors
    /// [`MachineError`] when the vCPU cannot go on.
    pub fn decode(&mut self, bus: &dyn Bus) -> Result<Seen, MachineError> {
        self.tap.decode(&mut self.fd, bus)
    }

    /// Carries out the verdict on the last event; without one, does nothing.
    ///
    /// # Errors
    /// [`MachineError`] when the vCPU cannot go on.
    pub fn apply(&mut self, bus: &dyn Bus, verdict: Verdict) -> Result<Then, MachineError> {
        self.tap.apply(&mut self.fd, bus, verdict)
    }

    /// Has a port or memory access that is not judged done by the VMM's devices.
    pub fn serve(&mut self, bus: &dyn Bus, exit: &RawExit) -> Effect {
        self.tap.serve(bus, exit)
    }

    /// The VMM is about to reset the VM, by this vCPU's doing: the event for it, if somebody wants
    /// to judge that. Applying the verdict answers [`Then::Reset`] or [`Then::End`].
    pub fn about_to_reset(&mut self) -> Option<Event> {
        self.tap.raise_if_wanted(EventKind::Reset, Pending::Reset)
    }

    /// The VM is about to end so, by this vCPU's doing: the event for it, if somebody wants to
    /// judge that. Applying the verdict answers [`Then::End`].
    pub fn about_to_end(&mut self, end: End) -> Option<Event> {
        let cause = match end {
            End::Shutdown(cause) => cause,
            End::Finished(_) | End::Crashed(_) | End::Stopped => ShutdownCause::Request,
            End::Cancelled | End::Failed(_) => return None,
        };
        let pending = Pending::Shutdown { cause, end };
        self.tap.raise_if_wanted(EventKind::Shutdown, pending)
    }

    /// Takes the vCPU's state anew, after the VMM has set it by itself: a reset, a snapshot.
    ///
    /// # Errors
    /// [`MachineError`] when KVM does not give it.
    pub fn state_was_set(&mut self) -> Result<(), MachineError> {
        let read = self.tap.read_state(&self.fd);
        read.map_err(|source| self.error("reading the state of the vCPU", source))
    }

    fn error(&self, action: &'static str, source: io::Error) -> MachineError {
        MachineError::Host {
            vcpu: self.index,
            action,
            source,
        }
    }
}

impl Tapped for EmbeddedVcpu {
    fn tapped(&mut self) -> (&mut Tap, &VcpuFd) {
        (&mut self.tap, &self.fd)
    }

    fn fits(&self) -> Option<FitsArea> {
        self.fits
    }

    fn wake(&mut self) -> Result<(), Refusal> {
        crate::kvm::tapped::unhalt(&self.fd)
    }
}

impl Vcpu for EmbeddedVcpu {
    fn index(&self) -> u32 {
        self.index
    }

    fn kicker(&self) -> Arc<dyn Kicker> {
        self.tap.kicker()
    }

    fn acknowledge_kick(&mut self) {
        self.tap.kick().acknowledge();
    }

    fn take_unjudged(&mut self) -> Option<Unjudged> {
        self.tap.take_unjudged()
    }

    /// It is the VMM that enters.
    fn enter(&mut self, _: Verdict) -> Result<Exit, MachineError> {
        let reason = io::Error::from(io::ErrorKind::Unsupported);
        Err(self.error(
            "the engine's own threads cannot enter an embedder's vCPU (use `Engine::assemble`): entering it",
            reason,
        ))
    }
}

impl std::fmt::Debug for EmbeddedVcpu {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "EmbeddedVcpu({})", self.index)
    }
}
