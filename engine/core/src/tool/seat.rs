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
    sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, Weak},
    time::{Duration, Instant},
};

use oriel_machine::Kicker;
use oriel_protocol::{Dialect, EventKind, EventSet, events::Unhook, kvmi::Snapshot};

use super::{
    link::{Letter, Link},
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
    /// Told of every change.
    pub(super) changed: Condvar,
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

/// Whether a tool is hooked.
#[derive(Debug)]
pub(super) enum State {
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

    /// What is told when the tool has come, or gone.
    pub(super) fn visit(&self, hooked: bool, time_ns: u64, detail: String) -> Record {
        Record::Tool(Visit {
            judge: self.name.clone(),
            time_ns,
            hooked,
            detail,
        })
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

    /// Nothing will be hooked any more, unless something is.
    pub(super) fn close(&self, state: &mut State) {
        if matches!(state, State::Away) {
            *state = State::Closed;
            self.changed.notify_all();
        }
    }

    /// Where in the VM it is; none before the VM is put together.
    pub(super) fn placed(&self) -> Option<Place> {
        self.place.get().map(|(place, _)| *place)
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

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
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
