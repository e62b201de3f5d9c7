//! The world as the actor has it: the two connections, who is in the guest, what is armed, and
//! whether the vCPUs run. Everything here belongs to one thread.
//!
//! ```text
//!            every vCPU's thread is inside, nobody holds it, nobody has paused it
//!   Stands ─────────────────────────────────────────────────────────────────────► Runs | Steps
//!      ▲                                                                              │
//!      └── a stop reply: an event goes to its thread, which is outside from then on ──┤
//!      └── somebody is kicked, or something is to be done: it is interrupted ─────────┘
//! ```
//! A stop is one of all vCPUs, so events are judged one by one, and the world goes on when none is
//! open. Before that, a vCPU that stands at a breakpoint that was judged runs its instruction alone.

mod arm;
mod go;
mod lost;
mod met;

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::Sender,
    },
    time::{Duration, Instant},
};

use oriel_protocol::{Capabilities, Gpa, Refusal};

pub(super) use lost::make_sure;
pub(super) use met::{BEFORE, BEHIND};

use super::{
    gdb::{Gdb, GdbError},
    guard::Guard,
    link::{Going, Kicked, Left, Order},
    memory::Source,
    points::Points,
    qmp::{Qmp, QmpError, Told},
    stream::Address,
};
use crate::{End, Exit};

/// What the actor has.
pub(super) struct World {
    pub(super) gdb: Gdb,
    pub(super) qmp: Qmp,
    /// Where to connect again; none: it cannot be.
    pub(super) address: Option<Address>,
    pub(super) seats: Vec<Seat>,
    pub(super) points: Points,
    pub(super) source: Arc<Source>,
    pub(super) capabilities: Capabilities,
    pub(super) run: Run,
    /// The vCPU whose judge holds the others.
    pub(super) held: Option<u32>,
    /// Somebody else has paused the VM.
    pub(super) paused: bool,
    /// QEMU keeps INT3s in guest memory, and a step does not pass over them.
    pub(super) kvm: bool,
    /// Resumptions that QEMU has yet to tell of.
    pub(super) untold: u64,
    /// QEMU has told of the guest's end.
    pub(super) shutting_down: bool,
    pub(super) end: Option<End>,
    /// How often the guest has begun anew.
    pub(super) resets: Arc<AtomicU64>,
    /// What went wrong on a connection, and has not been dealt with.
    pub(super) trouble: Option<Trouble>,
    /// The vCPU that was stepped last, of those that are.
    pub(super) last_stepped: u32,
    pub(super) guard: Option<Guard>,
}

/// A connection that is of no use any more.
#[derive(Debug)]
pub(super) enum Trouble {
    Gdb(GdbError),
    Qmp(QmpError),
}

/// Whether the vCPUs run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Run {
    Stands,
    Runs,
    /// All run, and one of them for one instruction.
    Steps {
        vcpu: u32,
        /// Where it stood.
        ip: u64,
        /// An instruction that halts does not end: from then on it is not waited for.
        until: Instant,
    },
}

/// A vCPU, seen from here.
pub(super) struct Seat {
    pub(super) place: Place,
    /// Where it stands at a breakpoint that it is to pass.
    pub(super) over: Option<u64>,
    /// What it is handed next, before it is in the guest again.
    pub(super) next: VecDeque<Left>,
    pub(super) kicked: Arc<Kicked>,
    pub(super) exits: Sender<Left>,
}

/// Where a vCPU's thread is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// It has not begun: the guest runs unwatched.
    Free,
    /// It waits for the guest to do something.
    Inside,
    /// Its state is its thread's.
    Outside,
}

impl World {
    /// Whether a command can be given to the guest.
    pub(super) fn is_over(&self) -> bool {
        self.end.is_some()
    }

    pub(super) fn seat(&mut self, vcpu: u32) -> Option<&mut Seat> {
        self.seats.get_mut(usize::try_from(vcpu).ok()?)
    }

    /// Does what was ordered.
    pub(super) fn obey(&mut self, order: Order) {
        match order {
            Order::Enter(vcpu, going) => self.enter(vcpu, &going),
            Order::Kick(vcpu) => self.kick(vcpu),
            Order::Do(errand) => {
                if !self.is_over() {
                    self.stand();
                }
                errand(self);
            }
            Order::Look(errand) => errand(self),
        }
    }

    /// A vCPU's thread has begun: from now on its state is its own.
    pub(super) fn begin(&mut self, vcpu: u32) {
        if let Some(seat) = self.seat(vcpu).filter(|seat| seat.place == Place::Free) {
            seat.place = Place::Outside;
        }
    }

    fn enter(&mut self, vcpu: u32, going: &Going) {
        for (name, value) in &going.writes {
            let Some(place) = self.gdb.layout().place(name) else {
                continue;
            };
            let _ = self.on_gdb(|gdb| gdb.set_register(vcpu, place, *value));
        }
        let ended = self.end.clone();
        let Some(seat) = self.seat(vcpu) else { return };
        // One that was kicked before it could pass still has to.
        seat.over = going.over.or(seat.over);
        seat.place = Place::Inside;
        if let Some(end) = ended {
            return seat.leave(Exit::Ended(end), None);
        }
        if seat.kicked.is_set() {
            return seat.leave(Exit::Kicked, None);
        }
        if let Some(next) = seat.next.pop_front() {
            seat.hand(next);
        }
    }

    /// A vCPU's thread is wanted outside. The state is its own then, so the world stands first.
    fn kick(&mut self, vcpu: u32) {
        let waits = |seat: &Seat| seat.place == Place::Inside && seat.kicked.is_set();
        if self.seat(vcpu).is_some_and(|seat| waits(seat)) {
            self.stand();
        }
        // It may have stopped for an event of this one.
        if let Some(seat) = self.seat(vcpu)
            && waits(seat)
        {
            seat.leave(Exit::Kicked, None);
        }
    }

    /// Keeps the world standing until it is let go.
    pub(super) fn hold(&mut self, vcpu: u32) -> Result<(), Refusal> {
        if self.is_over() {
            return Err(Refusal::Gone);
        }
        if self.held.is_some() {
            return Err(Refusal::Busy);
        }
        self.held = Some(vcpu);
        Ok(())
    }

    pub(super) fn let_go(&mut self) {
        self.held = None;
    }

    /// Uses the gdb connection. What breaks is dealt with once there is nothing else to do.
    pub(super) fn on_gdb<T>(
        &mut self,
        of: impl FnOnce(&mut Gdb) -> Result<T, GdbError>,
    ) -> Result<T, Refusal> {
        if self.is_over() || self.trouble.is_some() {
            return Err(Refusal::Gone);
        }
        of(&mut self.gdb).map_err(|error| {
            tracing::debug!(%error, "gdb");
            if error.is_an_answer() {
                return Refusal::Unavailable;
            }
            self.trouble = Some(Trouble::Gdb(error));
            Refusal::Gone
        })
    }

    /// Uses the QMP connection.
    pub(super) fn on_qmp<T>(
        &mut self,
        of: impl FnOnce(&mut Qmp) -> Result<T, QmpError>,
    ) -> Result<T, Refusal> {
        if self.is_over() {
            return Err(Refusal::Gone);
        }
        of(&mut self.qmp).map_err(|error| {
            tracing::debug!(%error, "QMP");
            if matches!(error, QmpError::Refused { .. }) {
                return Refusal::Unavailable;
            }
            self.trouble = Some(Trouble::Qmp(error));
            Refusal::Gone
        })
    }

    /// Stores into guest memory by gdb, so that QEMU knows of it. Where it keeps INT3s there, they
    /// are away meanwhile, or it would put old bytes back later.
    pub(super) fn write_memory(&mut self, gpa: Gpa, from: &[u8]) -> Result<(), Refusal> {
        let hidden = self.points.originals.within(gpa, from.len() as u64);
        let gvas = hidden.iter().filter_map(|at| self.points.managed.get(at));
        let gvas: Vec<_> = gvas.flatten().copied().collect();
        self.lift(&gvas)?;
        let written = self.on_gdb(|gdb| gdb.write_memory(gpa, from));
        for at in hidden {
            let byte = usize::try_from(at - gpa).ok().and_then(|at| from.get(at));
            if let (Some(byte), Ok(())) = (byte, written) {
                self.points.originals.insert(at, *byte);
            }
        }
        self.lower(&gvas)?;
        written
    }

    /// Reads what QEMU tells by itself.
    pub(super) fn hear(&mut self) {
        let _ = self.on_qmp(Qmp::receive);
        self.heed();
    }

    /// Acts on what QEMU has told. It tells of each resumption, ours included; one more than ours is
    /// somebody else's.
    pub(super) fn heed(&mut self) {
        while let Some(told) = self.qmp.take_told() {
            match told {
                Told::Shutdown => self.shutting_down = true,
                Told::Reset => {
                    self.resets.fetch_add(1, Ordering::Relaxed);
                }
                Told::Resume if self.untold > 0 => self.untold -= 1,
                Told::Resume => self.resumed_by_other(),
            }
        }
    }

    fn resumed_by_other(&mut self) {
        self.gdb.forget_registers();
        let runs = self.on_qmp(Qmp::status).is_ok_and(|(runs, _)| runs);
        if !runs || self.run != Run::Stands {
            return;
        }
        if !self.paused {
            tracing::warn!(
                "somebody has resumed the VM on its monitor while an event was open; it ran unwatched until now"
            );
        }
        self.set_paused(false);
        self.run = Run::Runs;
    }

    pub(super) fn set_paused(&mut self, paused: bool) {
        self.paused = paused;
        if let Some(guard) = &mut self.guard {
            guard.tell(paused);
        }
    }

    /// How long the actor may wait for something to happen.
    pub(super) fn patience(&self) -> Option<Duration> {
        match self.run {
            Run::Stands | Run::Runs => None,
            Run::Steps { until, .. } => Some(until.saturating_duration_since(Instant::now())),
        }
    }
}

impl Seat {
    /// Its thread goes outside with this.
    pub(super) fn leave(&mut self, exit: Exit, registers: Option<Vec<u8>>) {
        self.hand(Left { exit, registers });
    }

    fn hand(&mut self, left: Left) {
        self.place = Place::Outside;
        // A thread that has gone is told nothing.
        let _ = self.exits.send(left);
    }

    /// The same if it is inside; else it is handed it when it is.
    pub(super) fn leave_or_later(&mut self, left: Left) {
        match self.place {
            Place::Inside => self.hand(left),
            Place::Outside | Place::Free => self.next.push_back(left),
        }
    }
}

impl std::fmt::Debug for World {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "World({:?}, {} vCPUs)", self.run, self.seats.len())
    }
}
