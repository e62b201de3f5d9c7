//! The loop of one vCPU: obey the verdict, run the guest, see what happened.
//!
//! ```text
//!   enter ── obey ──┬──► Run ── turn ──┬──► Run          nothing for the engine
//!                   │                  ├──► Leave(Event)
//!                   │                  └──► Leave(Kicked | Ended)
//!                   └──► Leave
//! ```

use std::io;

use oriel_protocol::{Verdict, events::ShutdownCause};
use rustix::io::Errno;

use super::KvmVcpu;
use crate::{
    End, Exit, MachineError,
    kvm::{
        entry::Ran,
        rests::rests,
        tap::{Seen, Then},
        world::Held,
    },
};

/// How it goes on.
pub(super) enum Next {
    /// Towards the guest.
    Run,
    /// Back to the engine.
    Leave(Exit),
}

impl KvmVcpu {
    /// Enters; if that fails, the VM ends for the other vCPUs too.
    pub(super) fn go(&mut self, verdict: Verdict) -> Result<Exit, MachineError> {
        self.try_go(verdict).inspect_err(|error| {
            self.vm.world.finish(End::Failed(error.to_string()));
        })
    }

    fn try_go(&mut self, verdict: Verdict) -> Result<Exit, MachineError> {
        self.tap.attach()?;
        let mut next = match self.begin_anew()? {
            // What the verdict was about is gone with the reset.
            true => Next::Run,
            false => self.obey(verdict)?,
        };
        loop {
            next = match next {
                Next::Run => self.turn()?,
                Next::Leave(exit) => return Ok(exit),
            }
        }
    }

    fn obey(&mut self, verdict: Verdict) -> Result<Next, MachineError> {
        let then = self
            .tap
            .apply(&mut self.mapped.fd, &self.vm.devices, verdict)?;
        Ok(match then {
            Then::Enter => Next::Run,
            Then::Asked(effect) => self.asked(effect),
            Then::Reset => {
                self.must_reset = true;
                Next::Run
            }
            // Somebody has been woken since; the halt was not the end.
            Then::End(End::Shutdown(ShutdownCause::Halted)) if !self.vm.all_rest() => Next::Run,
            Then::End(end) => self.end(end),
        })
    }

    /// Once round: wait where there is reason to, else run the guest.
    fn turn(&mut self) -> Result<Next, MachineError> {
        if let Some(end) = self.vm.world.ended() {
            return Ok(Next::Leave(Exit::Ended(end.clone())));
        }
        // Whoever hears of it may want to act before it happens.
        if self.kick.is_kicked() || self.tap.has_news() {
            self.tap.finish(&mut self.mapped.fd)?;
            return Ok(Next::Leave(Exit::Kicked));
        }
        if self.must_reset {
            return self.reset_vm();
        }
        self.begin_anew()?;
        if !self.tap.before_run(&mut self.mapped.fd)? {
            return self.see();
        }
        let hold = match self.tap.needs_hold() {
            true => self.hold_others()?,
            false => Held::Yes(None),
        };
        let Held::Yes(hold) = hold else {
            return self.wait();
        };
        self.tap.go_in(&self.mapped.fd)?;
        if !self.vm.world.go_in(self.index, self.resets) {
            self.tap.stay_out();
            return self.wait();
        }
        let ran = self.run()?;
        drop(hold);
        match ran {
            Ran::Exit | Ran::Fault => self.see(),
            Ran::Interrupted => Ok(self.look()),
        }
    }

    /// Held, or halted: waits until that is over or somebody kicks. What the last instruction has
    /// left to do is done first, so that whoever looks meanwhile sees it done.
    pub(super) fn wait(&mut self) -> Result<Next, MachineError> {
        self.tap.finish(&mut self.mapped.fd)?;
        let world = &self.vm.world;
        self.kick
            .wait_while(|| world.must_wait(self.index, self.resets));
        Ok(Next::Run)
    }

    /// Keeps the others out of the guest, unless somebody does already.
    pub(super) fn hold_others(&self) -> Result<Held, MachineError> {
        let held = self.vm.world.hold(self.index);
        held.map_err(|source| self.error("holding the other vCPUs", source))
    }

    fn run(&mut self) -> Result<Ran, MachineError> {
        let said = self.tap.run(&mut self.mapped.fd);
        // Before it counts as out: whoever holds it then knows what it does.
        self.vm.note_rest(self.index, || {
            let interrupted = matches!(said, Err(Errno::INTR | Errno::AGAIN));
            interrupted && rests(&self.mapped.fd, self.tap.page.regs().rflags)
        });
        self.vm.world.come_out(self.index);
        let ran = self.tap.ran(said);
        ran.map_err(|errno| self.error("KVM_RUN", errno))
    }

    fn see(&mut self) -> Result<Next, MachineError> {
        match self.tap.decode(&mut self.mapped.fd, &self.vm.devices)? {
            Seen::Event(event) => Ok(Next::Leave(Exit::Event(event))),
            Seen::Handled => Ok(Next::Run),
            Seen::NotOurs(exit) => Ok(self.serve(&exit)),
        }
    }

    pub(super) fn error(&self, action: &'static str, source: impl Into<io::Error>) -> MachineError {
        MachineError::Host {
            vcpu: self.index,
            action,
            source: source.into(),
        }
    }
}
