//! What is seen of a seat from outside: hooks connections to it, and waits until its tool is ready.

use std::{
    os::fd::OwnedFd,
    sync::{Arc, PoisonError},
    time::{Duration, Instant},
};

use thiserror::Error;

use super::{
    link::Link,
    receiver::Receiver,
    seat::{Seat, State},
    settings::Settings,
};
use crate::shared::Shared;

/// Hooks connections to a seat.
#[derive(Clone, Debug)]
pub struct Port {
    seat: Arc<Seat>,
    shared: Arc<Shared>,
}

/// A connection was not hooked.
#[derive(Debug, Error)]
pub enum HookError {
    /// The VM is over.
    #[error("the VM has ended")]
    Ended,
    /// One connection at a time.
    #[error("the tool {0:?} is hooked already: it has to hang up first")]
    Taken(String),
    /// The host would not.
    #[error("the connection cannot be hooked")]
    Host(#[from] std::io::Error),
}

/// Whether a tool is ready for its guest to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quiet {
    /// It is hooked, and has said nothing for the while.
    Yes,
    /// It is hooked, and still busy.
    Busy,
    /// It is not hooked.
    Away,
}

impl Port {
    pub(crate) const fn new(seat: Arc<Seat>, shared: Arc<Shared>) -> Self {
        Self { seat, shared }
    }

    /// The tool's name.
    pub fn name(&self) -> &str {
        self.seat.name()
    }

    /// Whether nothing can be hooked any more.
    pub fn is_closed(&self) -> bool {
        matches!(*self.seat.lock(), State::Leaving(..) | State::Closed)
    }

    /// Nothing will be hooked any more: nobody has to wait for it.
    pub fn close(&self) {
        let mut state = self.seat.lock();
        self.seat.close(&mut state);
    }

    /// What the operator says about it.
    pub fn settings(&self) -> &Settings {
        &self.seat.settings
    }

    /// Hooks a connection over which hands have been shaken. `ended` is told, on another thread,
    /// why it has ended, once everything that the tool did is undone.
    ///
    /// # Errors
    /// [`HookError`]; then the socket is closed.
    pub fn hook(
        &self,
        socket: OwnedFd,
        ended: impl FnOnce(&str) + Send + 'static,
    ) -> Result<(), HookError> {
        let place = self.seat.placed().ok_or(HookError::Ended)?;
        let settings = &self.seat.settings;
        let vcpus = self.shared.vcpus;
        let link = Arc::new(Link::new(
            socket,
            settings.dialect,
            vcpus,
            settings.deadline,
        )?);
        let receiver = Receiver::new(&self.seat, &link, &self.shared, place)?;
        self.take(&link)?;
        self.shared.tell(|| {
            let words = format!("speaking {}", settings.dialect.name());
            self.seat.visit(true, self.shared.now(), words)
        });
        let thread = std::thread::Builder::new().name(format!("tool-{}", self.seat.name));
        thread
            .spawn(move || ended(&receiver.run()))
            .map_err(|error| {
                self.seat.vacate();
                HookError::Host(error)
            })?;
        Ok(())
    }

    fn take(&self, link: &Arc<Link>) -> Result<(), HookError> {
        let mut state = self.seat.lock();
        match &*state {
            State::Away => {
                *state = State::Here(link.clone());
                self.seat.changed.notify_all();
                Ok(())
            }
            State::Here(_) => Err(HookError::Taken(self.seat.name.to_string())),
            State::Leaving(..) | State::Closed => Err(HookError::Ended),
        }
    }

    /// Waits until the tool is hooked and has been quiet for a while, but no longer than `within`.
    pub fn wait_quiet(&self, quiet: Duration, within: Duration) -> Quiet {
        let end = Instant::now() + within;
        let mut state = self.seat.lock();
        loop {
            let now = Instant::now();
            let (until, so_far) = match &*state {
                State::Here(link) if link.has_spoken() => {
                    let calm = link.heard_at() + quiet;
                    if calm <= now {
                        return Quiet::Yes;
                    }
                    (calm, Quiet::Busy)
                }
                // Looked at again after a while: what it says wakes nobody.
                State::Here(_) => (now + quiet, Quiet::Busy),
                State::Away => (end, Quiet::Away),
                State::Leaving(..) | State::Closed => return Quiet::Away,
            };
            if end <= now {
                return so_far;
            }
            let wait = self.seat.changed.wait_timeout(state, until.min(end) - now);
            state = wait.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}
