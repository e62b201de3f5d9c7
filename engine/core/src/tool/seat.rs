//! The place of a tool on a VM: whether one is hooked, and what happens when it comes or goes.
//!
//! ```text
//!            hook                    the connection ends, all is undone
//!   Away ───────────► Here(link) ─────────────────────────────────────► Away
//!     │                  │ the VM ends: UNHOOK is sent, or it is hung up on
//!     │                  ▼
//!     │               Leaving(link) ──── the connection ends ─────► Closed
//!     └── the VM ends ─────────────────────────────────────────────► Closed
//! ```

use std::{
    os::fd::OwnedFd,
    sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, Weak},
    time::{Duration, Instant},
};

use oriel_machine::Kicker;
use oriel_protocol::{Dialect, EventKind, EventSet, events::Unhook, kvmi::Snapshot};
use thiserror::Error;

use super::{
    link::{Letter, Link},
    receiver::Receiver,
    settings::Settings,
};
use crate::{
    holdings::{Holdings, Switches},
    record::{Record, Visit},
    shared::Shared,
};

/// How long a connection that has been hung up on takes to be cleared away, at the most.
pub(super) const CLEARING: Duration = Duration::from_secs(5);

/// The place of a tool on a VM.
#[derive(Debug)]
pub struct Seat {
    pub(crate) name: Arc<str>,
    pub(crate) settings: Settings,
    state: Mutex<State>,
    changed: Condvar,
    place: OnceLock<(Place, Weak<Shared>)>,
}

/// Where a seat is in the VM.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// The number of its judge.
    pub caller: usize,
    /// The number of the mailbox of its desk.
    pub mailbox: u32,
}

#[derive(Debug)]
enum State {
    Away,
    Here(Arc<Link>),
    Leaving(Arc<Link>, Instant),
    Closed,
}

impl Seat {
    pub(super) fn new(name: Arc<str>, settings: Settings) -> Self {
        Self {
            name,
            settings,
            state: Mutex::new(State::Away),
            changed: Condvar::new(),
            place: OnceLock::new(),
        }
    }

    /// As records show it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it holds as long as it has armed nothing, on a machine that reports these kinds.
    pub(crate) fn holdings(&self, reported: EventSet) -> Holdings {
        // From v8 on the command is the only switch that single-step has.
        let steps = self.settings.dialect == Dialect::V12
            && self.settings.grant.events.contains(EventKind::Singlestep);
        let always = steps.then_some(EventKind::Singlestep);
        Holdings::switched(Switches::new(reported, always.into_iter().collect()))
    }

    /// Says where in the VM it is.
    pub(crate) fn place(&self, place: Place, shared: &Arc<Shared>) {
        // An assembly seats its tools once.
        let _ = self.place.set((place, Arc::downgrade(shared)));
    }

    /// The connection, if a tool is hooked.
    pub(super) fn link(&self) -> Option<Arc<Link>> {
        match &*self.lock() {
            State::Here(link) | State::Leaving(link, _) => Some(link.clone()),
            State::Away | State::Closed => None,
        }
    }

    /// Whether this connection is still hooked.
    pub(super) fn holds(&self, link: &Arc<Link>) -> bool {
        self.link().is_some_and(|here| Arc::ptr_eq(&here, link))
    }

    /// The tool has gone, and what it did is undone.
    pub(super) fn vacate(&self) {
        let mut state = self.lock();
        *state = match &*state {
            State::Away | State::Here(_) => State::Away,
            State::Leaving(..) | State::Closed => State::Closed,
        };
        self.changed.notify_all();
    }

    /// When it has to be gone, once the VM ends; none: it is.
    pub(crate) fn gone_by(&self) -> Option<Instant> {
        match &*self.lock() {
            State::Away | State::Closed => None,
            State::Here(_) => Some(Instant::now() + self.settings.deadline),
            State::Leaving(link, _) if !link.is_up() => Some(Instant::now() + CLEARING),
            State::Leaving(link, since) => Some(self.patience(link, *since)),
        }
    }

    /// Hangs up if it has had its time.
    pub(crate) fn hang_up_overdue(&self) {
        if let State::Leaving(link, since) = &*self.lock()
            && self.patience(link, *since) <= Instant::now()
        {
            link.hang_up("it did not close the connection after UNHOOK");
        }
    }

    fn patience(&self, link: &Link, since: Instant) -> Instant {
        since.max(link.heard_at()) + self.settings.deadline
    }

    /// The VM ends: the tool is told, if it wants to be, and else hung up on.
    fn farewell(&self) {
        let link = {
            let mut state = self.lock();
            let State::Here(link) = &*state else {
                self.close(&mut state);
                return;
            };
            let link = link.clone();
            *state = State::Leaving(link.clone(), Instant::now());
            link
        };
        let letter = Letter {
            vcpu: 0,
            snapshot: &Snapshot::default(),
            data: Unhook {}.into(),
        };
        // The tool closes the connection: some see its end before what was sent last.
        if !self.wants_unhook() || link.send_event(&letter).is_none() {
            link.hang_up("the VM has ended");
        }
    }

    fn close(&self, state: &mut State) {
        if matches!(state, State::Away) {
            *state = State::Closed;
            self.changed.notify_all();
        }
    }

    fn wants_unhook(&self) -> bool {
        let Some((place, shared)) = self.place.get() else {
            return false;
        };
        let Some(shared) = shared.upgrade() else {
            return false;
        };
        let holdings = shared.ledger.of(place.caller);
        holdings.is_ok_and(|mine| mine.is_on(0, EventKind::Unhook))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Each change is one assignment.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is posted to a tool's mailbox is that the VM has ended.
impl Kicker for Seat {
    fn kick(&self) {
        self.farewell();
    }
}

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
        let Some(&(place, _)) = self.seat.place.get() else {
            return Err(HookError::Ended);
        };
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
        self.shared.tell(|| self.hooked());
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

    fn hooked(&self) -> Record {
        let dialect = self.seat.settings.dialect;
        Record::Tool(Visit {
            judge: self.seat.name.clone(),
            time_ns: self.shared.now(),
            hooked: true,
            detail: format!("speaking {}", dialect.name()),
        })
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
