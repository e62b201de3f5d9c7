//! A vCPU that plays its script.
//!
//! ```text
//!                 ┌────────────────────────── script ──────────────────────────┐
//!                 ▼                                                            │
//!   Next ─► [Fetch ─► Reach ─►] Run ─► Retired ─► the next step, or this one again
//!             │         │        │        ▲
//!             └─────────┴────────┴─► Abandoned: it faulted, or was made to; the guest's handler
//!                                    leaves the instruction
//! ```
//!
//! Each arrow is one look at the [bell](super::bell). Fetch and Reach are there only while an
//! instruction can be stopped before it runs: by a page that may not be executed, by a managed
//! breakpoint or a hardware point. An event is raised on the way out of a place, with the place already set to the
//! one that follows if it continues; a verdict changes that. A pending exception goes first.
//!
//! Everything here belongs to one thread.

mod cue;
mod obey;
mod outcome;
mod play;
mod state;

use std::{collections::BTreeMap, fmt, sync::Arc, time::Instant};

use oriel_protocol::{EventData, HardwarePoint, Verdict, VerdictSet};

use super::{
    armed::Armed,
    bell::{Bell, KICKED},
    guest::Guest,
    instruction::{Instruction, Plain},
    script::Script,
    world::World,
};
use crate::{
    Outlet, Unjudged,
    machine::{Exit, Kicker, MachineError, Vcpu},
};

/// One vCPU of a mock machine.
pub(super) struct MockVcpu {
    index: u32,
    guest: Guest,
    script: Script,
    phase: Phase,
    /// The instruction that is played, and where it stands.
    now: Instruction,
    at: u64,
    length: u8,
    /// The event that waits for its verdict.
    open: Option<Open>,
    /// Watched accesses of the instruction that has run, not told yet; the last one comes first.
    watched: Vec<HardwarePoint>,
    armed: Arc<Armed>,
    /// How often it has waited for each name.
    waits: BTreeMap<String, u64>,
    /// When it will have done nothing for long enough.
    idle_until: Option<Instant>,
    /// What the engine has not asked for yet.
    unjudged: Option<Unjudged>,
    bell: Arc<Bell>,
    world: Arc<World>,
    outlet: Arc<dyn Outlet>,
    /// What is known of the step that is played.
    course: outcome::Course,
}

/// How far the instruction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// There is none: the script says what comes.
    Next,
    /// To be fetched from its page.
    Fetch,
    /// Fetched; a managed breakpoint or a hardware point may be on it.
    Reach,
    /// To be run.
    Run,
    /// Not run: the guest's handler has an exception, and leaves it.
    Abandoned,
    /// Run.
    Retired,
}

/// Where an event was raised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Fetch,
    Reach,
    Run,
    /// Run; a debug register watched for its access.
    Watched,
    Retired,
    /// A pending exception was delivered.
    Delivery,
}

/// An event that waits for its verdict.
#[derive(Debug)]
struct Open {
    data: EventData,
    allowed: VerdictSet,
    stage: Stage,
}

impl MockVcpu {
    pub(super) fn new(
        index: u32,
        guest: Guest,
        script: Script,
        world: Arc<World>,
        outlet: Arc<dyn Outlet>,
    ) -> Self {
        Self {
            index,
            guest,
            script,
            phase: Phase::Next,
            now: Instruction::Singlestep(Plain::default()),
            at: 0,
            length: 0,
            open: None,
            watched: Vec::new(),
            armed: Arc::default(),
            waits: BTreeMap::new(),
            idle_until: None,
            unjudged: None,
            bell: world.bell(index),
            world,
            outlet,
            course: outcome::Course::default(),
        }
    }
}

impl Vcpu for MockVcpu {
    fn index(&self) -> u32 {
        self.index
    }

    fn kicker(&self) -> Arc<dyn Kicker> {
        Arc::new(MockKicker {
            bell: Arc::clone(&self.bell),
            world: Arc::clone(&self.world),
        })
    }

    fn acknowledge_kick(&mut self) {
        self.bell.clear(KICKED);
    }

    fn enter(&mut self, verdict: Verdict) -> Result<Exit, MachineError> {
        self.world.go_in(&self.bell);
        self.obey(verdict);
        let exit = self.play();
        self.world.go_out(&self.bell);
        Ok(exit)
    }

    fn take_unjudged(&mut self) -> Option<Unjudged> {
        self.unjudged.take()
    }
}

impl fmt::Debug for MockVcpu {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            to,
            "MockVcpu({}, {:?} of {:?})",
            self.index, self.phase, self.now
        )
    }
}

/// Rings a vCPU's bell.
struct MockKicker {
    bell: Arc<Bell>,
    world: Arc<World>,
}

impl Kicker for MockKicker {
    fn kick(&self) {
        self.world.kick(&self.bell);
    }
}
