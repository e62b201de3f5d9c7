//! SIGINT and SIGTERM end the VM in order: what was armed is taken back first.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    thread::JoinHandle,
};

use anyhow::Context;
use oriel_engine::VmHandle;
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    iterator::{self, Signals},
};

/// Ends a VM when a signal comes, as long as it is alive.
pub(crate) struct StopsOnSignal {
    caught: Arc<AtomicU8>,
    closer: iterator::Handle,
    thread: Option<JoinHandle<()>>,
}

impl StopsOnSignal {
    /// From now on, signals end this VM.
    pub(crate) fn install(vm: VmHandle) -> anyhow::Result<Self> {
        let mut signals = Signals::new([SIGINT, SIGTERM]).context("signals cannot be caught")?;
        let (closer, caught) = (signals.handle(), Arc::new(AtomicU8::new(0)));
        let seen = caught.clone();
        let body = move || {
            for signal in signals.forever() {
                if seen.load(Ordering::SeqCst) != 0 {
                    // Asked twice: whatever still waits is not waited for.
                    std::process::exit(128 + signal);
                }
                seen.store(u8::try_from(signal).unwrap_or(u8::MAX), Ordering::SeqCst);
                vm.stop();
            }
        };
        let thread = std::thread::Builder::new()
            .name("signals".to_owned())
            .spawn(body)?;
        Ok(Self {
            caught,
            closer,
            thread: Some(thread),
        })
    }

    /// The number of the signal that came, if one did.
    pub(crate) fn caught(&self) -> Option<u8> {
        Some(self.caught.load(Ordering::SeqCst)).filter(|&signal| signal != 0)
    }
}

impl Drop for StopsOnSignal {
    fn drop(&mut self) {
        self.closer.close();
        if let Some(thread) = self.thread.take() {
            // It only stores and posts; it cannot have panicked.
            let _ = thread.join();
        }
    }
}
