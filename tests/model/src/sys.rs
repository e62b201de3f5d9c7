//! What stands for the kernel below the kvm machine: a byte that `KVM_RUN` looks at, and a signal
//! that interrupts it.

/// `kvm_run`.
pub(crate) mod page {
    use crate::sync::{Arc, AtomicBool, Ordering::SeqCst};

    #[derive(Clone, Default)]
    pub(crate) struct ImmediateExit(Arc<AtomicBool>);

    impl ImmediateExit {
        pub(crate) fn set(&self, on: bool) {
            self.0.swap(on, SeqCst);
        }

        pub(crate) fn is_set(&self) -> bool {
            self.0.load(SeqCst)
        }
    }
}

/// Signals.
pub(crate) mod signal {
    use std::io;

    use crate::sync::{Arc, Condvar, Mutex};

    #[derive(Clone, Copy)]
    pub(crate) struct KickSignal;

    /// A thread, as signals reach it.
    #[derive(Clone, Default)]
    pub(crate) struct Target(Arc<Inbox>);

    #[derive(Default)]
    struct Inbox {
        pending: Mutex<bool>,
        came: Condvar,
    }

    shuttle::thread_local! {
        static MINE: Target = Target::default();
    }

    impl Target {
        pub(crate) fn current() -> Self {
            MINE.with(Clone::clone)
        }
    }

    impl KickSignal {
        pub(crate) fn unblock(self) -> io::Result<()> {
            Ok(())
        }

        pub(crate) fn send(self, target: &Target) {
            *target.0.pending.lock().unwrap() = true;
            target.0.came.notify_one();
        }
    }

    /// A system call begins: signals from before have been handled, to no effect.
    pub(crate) fn enter_kernel() {
        *Target::current().0.pending.lock().unwrap() = false;
    }

    /// Runs the guest until a signal comes.
    pub(crate) fn run_guest() {
        let target = Target::current();
        let mut pending = target.0.pending.lock().unwrap();
        while !*pending {
            pending = target.0.came.wait(pending).unwrap();
        }
    }
}

use page::ImmediateExit;

/// `KVM_RUN` of a guest that does nothing but spin; `inside` is told when it begins and ends.
pub(crate) fn kvm_run(byte: &ImmediateExit, inside: impl Fn(bool)) {
    signal::enter_kernel();
    if byte.is_set() {
        return;
    }
    inside(true);
    signal::run_guest();
    inside(false);
}
