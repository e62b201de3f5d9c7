//! Playing: from one place to the next, until there is something to tell.

use oriel_protocol::{
    Access, Event, EventData, EventKind, Gpa, HardwarePoint, VerdictSet,
    events::{Breakpoint, Page, Singlestep, Trap},
    x86::Exception,
};

use super::{MockVcpu, Open, Phase, Stage};
use crate::{
    machine::Exit,
    mock::{
        bell::{ATTENTION, ENDED, HELD, KICKED, REARMED},
        effect::Given,
        instruction::{Instruction, Plain},
        step::{Action, Stand},
    },
};

/// Where an address leads that leads nowhere.
const NOWHERE: Gpa = Gpa::MAX;

impl MockVcpu {
    /// Plays until something is to be told, or somebody wants the thread, or it is over.
    pub(super) fn play(&mut self) -> Exit {
        loop {
            while self.bell.has(ATTENTION) {
                if let Some(exit) = self.attend() {
                    return exit;
                }
            }
            if let Some(event) = self.advance() {
                return Exit::Event(event);
            }
        }
    }

    /// Looks who rang.
    fn attend(&mut self) -> Option<Exit> {
        if self.bell.has(KICKED) {
            return Some(Exit::Kicked);
        }
        if self.bell.has(ENDED) {
            return self.world.ended().map(Exit::Ended);
        }
        if self.bell.clear(REARMED) & REARMED != 0 {
            self.armed = self.world.armed();
        }
        if self.bell.has(HELD) {
            self.world.stay_out(&self.bell);
        }
        None
    }

    fn advance(&mut self) -> Option<Event> {
        if let Some(exception) = self.guest.cpu.pending.take() {
            return self.deliver(exception);
        }
        match self.phase {
            Phase::Next => self.begin(),
            Phase::Fetch => self.fetch(),
            Phase::Reach => self.reach(),
            Phase::Run => self.run(),
            Phase::Abandoned => {
                self.retire();
                None
            }
            Phase::Retired => self.retired(),
        }
    }

    fn begin(&mut self) -> Option<Event> {
        let Some(step) = self.script.now() else {
            return self.halt();
        };
        if let Action::Event(instruction) = &step.action {
            let (instruction, stand) = (*instruction, step.stand);
            self.take_up(instruction, stand);
            return self.straight_on();
        }
        let action = step.action.clone();
        self.cue(action);
        None
    }

    /// Goes where the instruction stands, and loads its operands.
    fn take_up(&mut self, instruction: Instruction, stand: Stand) {
        let cpu = &mut self.guest.cpu;
        if let Some(cpl) = stand.cpl {
            cpu.set_cpl(cpl);
        }
        cpu.special.cr3 = stand.cr3.unwrap_or(cpu.special.cr3);
        cpu.general.rip = stand.ip.unwrap_or(cpu.general.rip);
        instruction.load(cpu);
        self.at = cpu.general.rip;
        self.now = instruction;
        self.length = match instruction.length() {
            0 => 0,
            own => stand.length.unwrap_or(own),
        };
        let watched = self.length > 0 && self.armed.watches_code();
        self.phase = if watched { Phase::Fetch } else { Phase::Run };
    }

    /// Runs at once what nothing can come before.
    fn straight_on(&mut self) -> Option<Event> {
        if self.phase == Phase::Run && self.guest.cpu.pending.is_none() {
            return self.run();
        }
        None
    }

    /// An instruction whose address leads nowhere is played all the same: the script is not code.
    fn fetch(&mut self) -> Option<Event> {
        let gva = self.guest.cpu.general.rip;
        self.phase = Phase::Reach;
        let gpa = self.guest.translate(gva, Access::EXECUTE).ok()?;
        let fetch = Page {
            gva: Some(gva),
            gpa,
            access: Access::EXECUTE,
            size: 0,
            value: None,
            view: 0,
        };
        self.tell(fetch.into(), Stage::Fetch)
    }

    fn reach(&mut self) -> Option<Event> {
        self.phase = Phase::Run;
        let gva = self.guest.cpu.general.rip;
        let gpa = self.guest.translate(gva, Access::EXECUTE);
        let reached = Breakpoint {
            gva,
            gpa: gpa.unwrap_or(NOWHERE),
            length: 1,
            managed: true,
            access: Access::EXECUTE,
        };
        self.tell(reached.into(), Stage::Reach)
    }

    fn run(&mut self) -> Option<Event> {
        let data = match self.now.decode(&self.guest) {
            Ok(Some(data)) => data,
            Ok(None) => {
                self.retire();
                return None;
            }
            Err(exception) => {
                self.fault(exception);
                return None;
            }
        };
        self.tell_or_do(data)
    }

    /// Tells it if anybody wants to know; otherwise it just happens.
    pub(super) fn tell_or_do(&mut self, data: EventData) -> Option<Event> {
        let event = self.tell(data, Stage::Run);
        if event.is_none() {
            self.carry_out(&data, &Given::Own);
        }
        event
    }

    /// The instruction is over. What it has met on its way is told; then, where the vCPU is stepped,
    /// that it is over.
    fn retired(&mut self) -> Option<Event> {
        if let Some(point) = self.watched.pop() {
            return self.tell_watched(point);
        }
        self.finish();
        if !self.armed.steps(self.index) {
            return None;
        }
        let failed = self.now == Instruction::Singlestep(Plain { failed: true });
        self.tell(Singlestep { failed }.into(), Stage::Retired)
    }

    fn tell_watched(&mut self, point: HardwarePoint) -> Option<Event> {
        let gpa = self.guest.translate(point.gva(), Access::NONE);
        let met = Breakpoint {
            gva: point.gva(),
            gpa: gpa.unwrap_or(NOWHERE),
            length: point.length(),
            managed: true,
            access: point.access(),
        };
        self.tell(met.into(), Stage::Watched)
    }

    /// The guest's handler gets an injected exception.
    fn deliver(&mut self, exception: Exception) -> Option<Event> {
        self.guest.deliver(exception);
        let delivered = Trap {
            vector: exception.vector,
            error_code: exception.error_code,
            address: exception.address,
        };
        self.tell(delivered.into(), Stage::Delivery)
    }

    /// Raises an event, if it is wanted.
    fn tell(&mut self, data: EventData, stage: Stage) -> Option<Event> {
        if !self.armed.reports(&data) {
            return None;
        }
        let allowed = allowed(&data);
        self.open = Some(Open {
            data,
            allowed,
            stage,
        });
        let cpu = &self.guest.cpu;
        Some(Event {
            data,
            ip: cpu.general.rip,
            cr3: cpu.special.cr3,
            cpl: cpu.special.cpl(),
            allowed,
            retired: matches!(stage, Stage::Watched | Stage::Retired),
        })
    }
}

/// What can be answered: a value can be replaced where there is one of it, and bytes given where
/// some are loaded.
fn allowed(data: &EventData) -> VerdictSet {
    let all = data.kind().verdicts();
    if let EventData::Page(it) = data {
        let stores = it.access.contains(Access::WRITE);
        let loads = it.access.contains(Access::READ);
        let all = without_unless(all, VerdictSet::REPLACE, stores);
        return without_unless(all, VerdictSet::EMULATE, loads);
    }
    if let EventData::Breakpoint(it) = data
        && it.access != Access::EXECUTE
    {
        return EventKind::Singlestep.verdicts();
    }
    if let EventData::Pio(it) = data {
        return without_unless(all, VerdictSet::REPLACE, it.count == 1);
    }
    all
}

const fn without_unless(all: VerdictSet, verdict: VerdictSet, possible: bool) -> VerdictSet {
    if possible {
        all
    } else {
        all.difference(verdict)
    }
}
