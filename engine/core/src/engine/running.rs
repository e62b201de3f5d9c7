//! A VM that runs on threads of ours, until its end. Never makes what they need.

use std::{sync::Arc, thread::JoinHandle, time::Duration};

use oriel_machine::End;

use super::StartError;
use crate::{handle::VmHandle, record::Record, shared::Shared};

/// How a VM ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Why.
    pub end: End,
    /// Events judged, on all vCPUs.
    pub events: u64,
    /// Accesses to trapped pages that went through unjudged, on all vCPUs.
    pub unjudged: u64,
    /// How long it ran.
    pub ran: Duration,
}

/// A VM that runs.
pub struct Running {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

/// Starts a thread that calls policies. Sync Wasm calls run on its stack: room for a policy's and
/// the host's below it.
pub(crate) fn thread(
    name: &str,
    body: impl FnOnce() + Send + 'static,
) -> std::io::Result<JoinHandle<()>> {
    let thread = std::thread::Builder::new().name(name.to_owned());
    thread.stack_size(4 << 20).spawn(body)
}

impl Running {
    /// None of its threads yet.
    pub(super) fn new(handle: VmHandle) -> Self {
        Self {
            shared: handle.shared,
            threads: Vec::new(),
        }
    }

    /// Starts one more of its threads.
    pub(super) fn launch(
        &mut self,
        name: String,
        body: impl FnOnce() + Send + 'static,
    ) -> Result<(), StartError> {
        match thread(&name, body) {
            Ok(handle) => self.threads.push(handle),
            Err(source) => {
                // Those that run already are told to stop, and waited for in `drop`.
                self.shared.end(&End::Cancelled);
                return Err(StartError::Thread { name, source });
            }
        }
        Ok(())
    }

    /// A handle for other threads.
    pub fn handle(&self) -> VmHandle {
        VmHandle {
            shared: self.shared.clone(),
        }
    }

    /// Waits for the end.
    pub fn wait(mut self) -> Outcome {
        self.join();
        let outcome = self.shared.outcome();
        self.shared.tell(|| Record::End(outcome.clone()));
        outcome
    }

    /// Waits for the threads, then takes back what the judges have armed.
    fn join(&mut self) {
        for thread in self.threads.drain(..) {
            // A panic has ended the VM already (`EndsOnPanic`, and stations that are dropped).
            let _ = thread.join();
        }
        self.shared.posts.join();
        self.shared.ledger.clear();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.threads.is_empty() {
            self.shared.end(&End::Cancelled);
            self.join();
        }
    }
}

impl std::fmt::Debug for Running {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Running({:?})", self.shared)
    }
}
