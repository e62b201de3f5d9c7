//! Kicks: how other threads make a vCPU's thread leave the guest, or stop waiting.
//!
//! ```text
//!   anybody                        the vCPU's thread
//!   ───────                        ─────────────────
//!   push a letter                  acknowledge: immediate_exit := 0, kicked := false
//!   kicked := true                 drain the letters
//!   immediate_exit := 1            enter: kicked? → Kicked
//!   signal, unpark                        KVM_RUN, which looks at immediate_exit first
//! ```
//! All of these are sequentially consistent. If the kick's `immediate_exit := 1` comes before the
//! thread's `:= 0`, then so does its letter, and the drain finds it. If it comes after, `KVM_RUN`
//! returns at once, or the signal ends it.

use std::io;

use super::sys::{
    page::ImmediateExit,
    signal::{KickSignal, Target},
};
use crate::{
    Kicker,
    sync::{Arc, AtomicBool, Mutex, MutexGuard, Ordering, PoisonError, Thread, thread},
};

/// The handle by which one vCPU is kicked.
pub(super) struct Kick {
    immediate_exit: ImmediateExit,
    kicked: AtomicBool,
    runner: Mutex<Runner>,
    signal: KickSignal,
}

/// Who enters the vCPU.
enum Runner {
    /// Nobody yet.
    Nobody,
    /// This thread.
    Thread { thread: Thread, target: Target },
    /// Somebody else's business from now on.
    LetGo,
}

impl Kick {
    /// A handle that signals with `signal`.
    pub(super) fn new(immediate_exit: ImmediateExit, signal: KickSignal) -> Arc<Self> {
        Arc::new(Self {
            immediate_exit,
            kicked: AtomicBool::new(false),
            runner: Mutex::new(Runner::Nobody),
            signal,
        })
    }

    /// Notes that the calling thread enters the vCPU from now on.
    pub(super) fn attach(&self) -> io::Result<()> {
        let me = thread::current();
        let mut runner = self.runner();
        if !matches!(&*runner, Runner::Thread { thread, .. } if thread.id() == me.id()) {
            self.signal.unblock()?;
            *runner = Runner::Thread {
                thread: me,
                target: Target::current(),
            };
        }
        Ok(())
    }

    /// Nobody is kicked any more, and no kick that comes late keeps the vCPU out of the guest:
    /// whoever enters it from now on has not been told of kicks.
    pub(super) fn let_go(&self) {
        let mut runner = self.runner();
        *runner = Runner::LetGo;
        self.immediate_exit.set(false);
    }

    /// Makes the thread look around, without a reason that [`crate::Vcpu::enter`] would report.
    pub(super) fn nudge(&self) {
        let runner = self.runner();
        if matches!(*runner, Runner::LetGo) {
            return;
        }
        self.immediate_exit.set(true);
        if let Runner::Thread { thread, target } = &*runner {
            self.signal.send(target);
            thread.unpark();
        }
    }

    /// Makes the thread look around if it waits; if it is in the guest, it stays there.
    pub(super) fn wake(&self) {
        if let Runner::Thread { thread, .. } = &*self.runner() {
            thread.unpark();
        }
    }

    /// Whether somebody has kicked since the last [`acknowledge`](Self::acknowledge).
    pub(super) fn is_kicked(&self) -> bool {
        self.kicked.load(Ordering::SeqCst)
    }

    /// Forgets kicks until now. One that comes after the look has its letter read by the drain that
    /// follows, or ends the next entry.
    pub(super) fn acknowledge(&self) {
        if !self.is_kicked() {
            return;
        }
        self.immediate_exit.set(false);
        self.kicked.store(false, Ordering::SeqCst);
    }

    /// Makes the next `KVM_RUN` return before it enters the guest.
    pub(super) fn hold_at_entry(&self) {
        self.immediate_exit.set(true);
    }

    /// Lets `KVM_RUN` enter the guest again, unless somebody has kicked. A kick that comes between
    /// the two lines sets the byte again after us; one that came before the first is seen by the
    /// second.
    pub(super) fn release_entry(&self) {
        self.immediate_exit.set(false);
        if self.is_kicked() {
            self.immediate_exit.set(true);
        }
    }

    /// Waits while `blocked` holds, until somebody kicks. Whoever changes what `blocked` looks at
    /// nudges afterwards.
    pub(super) fn wait_while(&self, blocked: impl Fn() -> bool) {
        while blocked() && !self.is_kicked() {
            thread::park();
        }
    }

    fn runner(&self) -> MutexGuard<'_, Runner> {
        self.runner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kicker for Kick {
    fn kick(&self) {
        self.kicked.store(true, Ordering::SeqCst);
        self.nudge();
    }
}
